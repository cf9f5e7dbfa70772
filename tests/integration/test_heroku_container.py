"""The container way to Heroku: images that aweigh built, pushed to a real registry, released by the local platform.

The registry is Debian's, asked for by password as Heroku's asks for the token; the dynos are the images' own files.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.containers import base_in
from tests.heroku import HerokuServer, Options
from tests.registry_server import running

TOKEN = Options().token

pytestmark = [
    pytest.mark.needs("docker-registry", "skopeo", "mmdebstrap", "unshare"),
    pytest.mark.skipif(os.geteuid() != 0, reason="another root and another user take root"),
    pytest.mark.slow,
]


def test_images_are_pushed_released_checked_and_taken_back(
    penguins, docker_registry, image_registry, tmp_path, postgres
):
    base = base_in(image_registry)
    with (
        running(docker_registry, tmp_path / "registry") as registry,
        HerokuServer(Options(folder=tmp_path / "heroku", registry=registry.host, postgres_url=postgres)) as heroku,
    ):
        environ = os.environ | {
            "HEROKU_API_KEY": TOKEN,
            "AWEIGH_HEROKU_ENDPOINT": heroku.url,
            "AWEIGH_HEROKU_REGISTRY": registry.host,
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }

        def aweigh(*words: str, check: bool = True) -> str:
            done = subprocess.run(
                [sys.executable, "-m", "aweigh", *words],
                capture_output=True,
                text=True,
                check=False,
                env=environ,
                timeout=400,
            )
            assert not check or done.returncode == 0, done.stdout + done.stderr
            return done.stdout + done.stderr

        words = [
            "deploy",
            "heroku",
            str(penguins.path),
            "--app",
            "boxed",
            "--container",
            "--base",
            base,
            "--no-ui",
            "--yes",
        ]
        told = aweigh(*words)
        assert "golden rows agree" in told
        assert re.search(r"push\s+web, release: [\d.]+ MB sent", told)
        assert "as nobody's" not in told
        assert re.search(r"release\s+v\d+, Deployed release, web", told)
        assert "invite" in told, "the door is there, and its people in PostgreSQL"
        again = aweigh(*words)
        assert ": 0.0 MB sent" in again
        assert "golden rows agree" in again
        releases = aweigh("releases", "heroku", "--app", "boxed")
        assert releases.count("Deployed") == 1, "the same images are no new release"
        aweigh("status", "heroku", "--app", "boxed")
        assert heroku.violations == []
        aweigh("destroy", "heroku", "--app", "boxed", "--yes")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--base", "x:1"], "add --container"),
        (["--container", "--stack", "heroku-24"], "leave --stack"),
        (["--container", "--output-dir", "out"], "--output-dir"),
    ],
)
def test_what_does_not_go_together_is_said(penguins, options, told, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "aweigh", "deploy", "heroku", str(penguins.path), "--app", "boxed", *options],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ | {"HEROKU_API_KEY": TOKEN},
    )  # fmt: skip
    assert done.returncode == 2
    assert told in done.stderr
    assert [*Path(tmp_path).iterdir()] == []
