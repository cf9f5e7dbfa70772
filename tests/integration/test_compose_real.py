"""The whole road in containers by Docker itself: networks, volumes, limits, health, PostgreSQL, Valkey, Caddy.

Docker Hub is asked for nothing: the images of PostgreSQL, Valkey and Caddy are made of Debian's packages, with entry
points that do what the official ones do.
"""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from tests.compose.real import IMAGES
from tests.containers import base_in

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("docker-registry", "skopeo", "mmdebstrap", "dockerd", "docker", "docker compose"),
    pytest.mark.skipif(os.geteuid() != 0, reason="dockerd takes root"),
    pytest.mark.timeout(1800),
]
APP = "real-penguins"
PROJECT = f"aweigh-{APP}"


@pytest.fixture(scope="module")
def docker(real_docker):
    return real_docker


@pytest.fixture(scope="module")
def run(docker, tmp_path_factory):
    """Return a function that types a command: its exit code, and what it printed to both."""
    place = tmp_path_factory.mktemp("user")
    environ = os.environ | {
        "DOCKER_HOST": docker.host, "XDG_CACHE_HOME": str(place / "cache"), "XDG_DATA_HOME": str(place / "data"),
    }  # fmt: skip

    def typed(*words, said=""):
        done = subprocess.run(
            [sys.executable, "-m", "aweigh", *words], input=said, capture_output=True, text=True, check=False,
            timeout=900, env=environ,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    typed.folder = place / "data" / "aweigh" / "compose" / APP
    yield typed
    typed("destroy", "compose", "--app", APP, "--yes")


@pytest.fixture(scope="module")
def words(penguins, image_registry):
    return ["--base", base_in(image_registry, "compose-base"), "--insecure", *IMAGES]


def head_of(url, cookie=""):
    request = urllib.request.Request(url, headers={"Cookie": cookie} if cookie else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.headers
    except urllib.error.HTTPError as error:
        return error.headers


@pytest.mark.shows("compose", "deploy", "status", "scale", "golden rows", how="real run")
def test_with_stores_a_worker_and_a_proxy_nothing_may_more_than_it_must(penguins, words, run, docker, free_port):
    port = free_port()
    deploy = ["deploy", "compose", str(penguins.path), "--app", APP, "--port", str(port), *words]
    code, out, err = run(*deploy, "--worker", "--redis")
    assert code == 0, out + err
    assert "golden rows agree with the original" in out
    assert re.search(rf"http://127\.0\.0\.1:{port}/invite/\S+", out)  # the first administrator's, once

    code, out, err = run("status", "compose", "--app", APP, "--json")
    told = json.loads(out)
    assert (code, told["state"]) == (0, "up"), err
    assert told["replicas"] == {"postgres": 1, "valkey": 1, "web": 1, "worker": 1}
    for process in ("web", "worker"):
        held = json.loads(docker("inspect", f"{PROJECT}-{process}-1"))[0]
        assert held["HostConfig"]["ReadonlyRootfs"] is True
        assert held["HostConfig"]["CapDrop"] == ["ALL"]
        assert held["HostConfig"]["Memory"] == 512 * 2**20
        assert held["State"]["Health"]["Status"] == "healthy"
        assert docker("exec", f"{PROJECT}-{process}-1", "id", "-u") == "10001"

    # A setting that the app refuses: what ran before runs again, and says why.
    code, _, err = run("config", "compose", "--app", APP, "AWEIGH_DRAIN_S=nonsense")
    assert code == 4
    assert "AWEIGH_DRAIN_S" in err
    assert "v1 runs again" in err

    code, out, err = run("scale", "compose", "2", "--app", APP)
    assert code == 0, out + err
    url = f"http://127.0.0.1:{port}/"
    given = {head_of(url)["Set-Cookie"].partition(";")[0] for _ in range(12)}
    assert len(given) == 2  # each replica is named by a cookie of its own
    for cookie in given:  # and who shows one is sent where it leads
        assert head_of(url, cookie)["Set-Cookie"] is None

    code, out, _ = run("logs", "compose", "--app", APP, "--process", "web")
    assert code == 0
    assert "/invite/(withheld)" in out or "/invite/" not in out

    secrets = "".join(path.read_text() for path in (run.folder / "secrets").iterdir())
    password = re.search(r"postgresql://aweigh:(\w+)@", secrets)[1]
    for path in run.folder.rglob("*"):
        if path.is_file() and path.parent.name != "secrets":
            assert password not in path.read_text(), path

    code, out, _ = run("destroy", "compose", "--app", APP, "--yes")
    assert code == 0
    assert PROJECT not in docker("ps", "-a", "--format", "{{.Names}}")
    assert PROJECT not in docker("volume", "ls", "-q")
    assert not run.folder.exists()
