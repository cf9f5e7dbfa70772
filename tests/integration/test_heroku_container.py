"""The container way to Heroku: images that aweigh built, pushed to a real registry, released by the local platform.

The registry is Debian's, open; the dynos are the images' own files, run by a user that the images do not choose.
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
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


def aweigh(*words: str, cwd: Path, check: bool = True, **environ: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "aweigh", *words], capture_output=True, text=True, check=False, timeout=400, cwd=cwd,
        env=os.environ | {"HEROKU_API_KEY": TOKEN, "XDG_CACHE_HOME": str(cwd / "cache")} | environ,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.shows("heroku", "deploy by images", how="local server")
@pytest.mark.needs("docker-registry", "skopeo", "mmdebstrap", "unshare")
@pytest.mark.skipif(os.geteuid() != 0, reason="another root and another user take root")
def test_images_are_pushed_released_and_checked(penguins, docker_registry, image_registry, tmp_path):
    base = base_in(image_registry)
    with (
        running(docker_registry, tmp_path / "registry") as registry,
        HerokuServer(Options(folder=tmp_path / "heroku", registry=registry.host, postgres_url=NOWHERE)) as heroku,
    ):
        here = {"AWEIGH_HEROKU_ENDPOINT": heroku.url, "AWEIGH_HEROKU_REGISTRY": registry.host}
        words = ["deploy", "heroku", str(penguins.path), "--app", "boxed", "--no-ui", "--container", "--base", base]
        # Behind a door its people are kept in a database, and this one is not there: the release phase says so.
        refused = aweigh(*words, "--yes", cwd=tmp_path, check=False, **here)
        assert "The release phase of v5 failed" in refused
        assert "config    as it was before" in refused
        words += ["--auth", "none"]
        told = aweigh(*words, cwd=tmp_path, **here)
        assert "golden rows agree" in told
        assert re.search(r"release\s+v\d+, Deployed web", told)
        again = aweigh(*words, cwd=tmp_path, **here)
        assert "web: 0.0 MB sent" in again
        assert "golden rows agree" in again
        releases = aweigh("releases", "heroku", "--app", "boxed", cwd=tmp_path, **here)
        assert len(re.findall(r"Deployed web$", releases, re.MULTILINE)) == 1, "the same images are no new release"
        assert "boxed: up" in aweigh("status", "heroku", "--app", "boxed", cwd=tmp_path, **here)
        assert heroku.violations == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--base", "x:1"], "add --container"),
        (["--container", "--stack", "heroku-24"], "leave --stack"),
        (["--container", "--output-dir", "out"], "--output-dir"),
    ],
)
def test_what_does_not_go_together_is_said(penguins, options, told, tmp_path):
    words = ["deploy", "heroku", str(penguins.path), "--app", "boxed", *options]
    assert told in aweigh(*words, cwd=tmp_path, check=False)
    assert [*tmp_path.iterdir()] == []


def test_a_dry_run_shows_what_would_be_pushed(penguins, tmp_path):
    words = ["deploy", "heroku", str(penguins.path), "--app", "boxed", "--container", "--auth", "none", "--dry-run"]
    told = aweigh(*words, cwd=tmp_path)
    assert "PUT /v2/boxed/web/manifests/latest" in told
    assert "docker_image" in told
    assert "/builds" not in told
