"""The whole road in containers by Docker itself: networks, volumes, limits, health, PostgreSQL, Valkey, Caddy.

Docker Hub is asked for nothing: the images of PostgreSQL, Valkey and Caddy are made of Debian's packages, with entry
points that do what the official ones do.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from tests.asking import asked_all_the_while
from tests.compose.real import IMAGES
from tests.containers import base_in

from aweigh.targets.live import golden_of

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


def head_of(url, cookie="", **more):
    request = urllib.request.Request(url, headers={"Cookie": cookie} | more if cookie else more)
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

    # From the database nothing outside is reached, and it is reached from nowhere but the app.
    for process, networks in (("postgres", {"stores"}), ("web", {"default", "stores"})):
        held = json.loads(docker("inspect", f"{PROJECT}-{process}-1"))[0]
        assert held["NetworkSettings"]["Networks"].keys() == {f"{PROJECT}_{one}" for one in networks}
        assert not any(held["NetworkSettings"]["Ports"].values()) or process == "web"

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
    assert docker("ps", "-aq") == ""
    assert PROJECT not in docker("volume", "ls", "-q") + docker("network", "ls", "--format", "{{.Name}}")
    assert f"localhost/aweigh-{APP}" not in docker("images", "--format", "{{.Repository}}")
    assert not run.folder.exists()


@pytest.mark.parametrize("more", [("--replicas", "2"), ("--proxy",)], ids=" ".join)
def test_a_release_leaves_no_request_unanswered(penguins, words, run, docker, free_port, more):
    port = free_port()
    deploy = ["deploy", "compose", str(penguins.path), "--app", APP, "--port", str(port), "--auth", "none", "--no-ui"]
    code, out, err = run(*deploy, *words, *more)
    assert code == 0, out + err
    row = golden_of(penguins.path).rows[0]
    with asked_all_the_while(port, row) as told:
        code, out, err = run("config", "compose", "--app", APP, "AWEIGH_SWEEPS=off")
        assert code == 0, out + err
        assert (run.folder / "live" / "b").exists()
        code, out, err = run("rollback", "compose", "v1", "--app", APP)
        assert code == 0, out + err
    assert told["failed"] == []
    assert told["asked"] > 100
    names = docker("ps", "-a", "--format", "{{.Names}}")
    assert f"{PROJECT}-web-1" in names
    assert "web-b" not in names
    assert run("destroy", "compose", "--app", APP, "--yes")[0] == 0


def test_a_proxy_of_ones_own_is_believed_when_told_and_all_comes_up_with_the_machine(
    penguins, words, run, docker, free_port
):
    port = free_port()
    url = f"http://127.0.0.1:{port}/login"
    deploy = ["deploy", "compose", str(penguins.path), "--app", APP, "--port", str(port), "--replicas", "2", "--no-ui"]
    code, out, err = run(*deploy, *words, "--worker", "--redis")
    assert code == 0, out + err
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    assert head_of(url, **said).get("Strict-Transport-Security") is None  # anybody's word
    code, out, err = run("config", "compose", "--app", APP, "AWEIGH_PROXIES=1")
    assert code == 0, out + err
    assert head_of(url, **said)["Strict-Transport-Security"]
    assert head_of(url).get("Strict-Transport-Security") is None
    code, out, err = run("config", "compose", "--app", APP, "AWEIGH_SWEEPS=off")  # into the second slot
    assert code == 0, out + err
    assert (run.folder / "live" / "b").exists()

    docker.restart()
    end = time.monotonic() + 120
    while (told := json.loads(run("status", "compose", "--app", APP, "--json")[1]))["state"] != "up":
        assert time.monotonic() < end, told
    assert told["replicas"] == {"postgres": 1, "proxy": 1, "valkey": 1, "web": 2, "worker": 1}
    assert head_of(url, **said)["Strict-Transport-Security"]
    code, out, err = run("deploy", "compose", str(penguins.path), *deploy[3:], *words, "--worker", "--redis", "--json")
    assert (code, json.loads(out)["changed"]) == (0, False), err
    assert run("destroy", "compose", "--app", APP, "--yes")[0] == 0


def test_what_answers_for_another_bundle_is_taken_back(penguins, flats, words, run, docker, free_port, tmp_path):
    port = free_port()
    more = ["--app", APP, "--port", str(port), "--auth", "none", "--no-ui", *words]
    code, out, err = run("deploy", "compose", str(penguins.path), *more)
    assert code == 0, out + err
    image = re.search(r"image: \"(\S+)\"", (run.folder / "compose.yaml").read_text())[1]
    (run.folder / "compose.override.yaml").write_text(f'services:\n  web:\n    image: "{image}"\n')
    code, out, err = run("deploy", "compose", str(flats.path), *more)
    assert code == 4
    assert "v1 runs again" in err
    assert run("status", "compose", "--app", APP)[0] == 0
    assert run("destroy", "compose", "--app", APP, "--yes")[0] == 0
