"""`aweigh deploy ray` on a real Ray of three nodes, and what comes after it, under a load that compares answers."""

import json
import time

import httpx
import pytest
from tests.conftest import any_port
from tests.ray.cluster import ray_cluster
from tests.ray.serving import STORED, Shell, bundle_at, loaded, made_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.needs("ray")]

TOKEN = "0123456789abcdef" * 4
REDIS = "redis://:a-password-that-nobody-sees@127.0.0.1:1/0"


@pytest.fixture(scope="module")
def cluster():
    environ = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_raylet_start_wait_time_s": "120"}
    with ray_cluster(3, cpus=2, dashboard=True, environ=environ) as running:
        yield running


@pytest.fixture(scope="module")
def first():
    return bundle_at(STORED)


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    return made_of(tmp_path_factory.mktemp("second") / "penguins.aweigh", card=b"\nAnother.\n")


@pytest.fixture(scope="module")
def shell(cluster):
    return Shell(cluster, any_port())


@pytest.fixture
def live(shell, first):
    """The first bundle, live in two replicas."""
    shell.deploy(first, "--replicas", "2")
    return shell


def predict(shell, rows, path=""):
    return httpx.post(f"{shell.url}{path}/v1/predict", json={"rows": rows}, trust_env=False, timeout=30)


@pytest.mark.shows("ray", "deploy", "status", how="real run")
def test_what_is_live_answers_as_serve_does(live, first, shell):
    reply = predict(live, first.rows)
    assert reply.status_code == 200
    assert reply.json()["model"]["version"] == first.version
    assert predict(live, [{"no": "such column"}]).status_code == 422
    assert httpx.get(f"{live.url}/v1/typo", trust_env=False).status_code == 404
    assert httpx.get(f"{live.url}/v2/health/ready", trust_env=False).status_code == 200
    found = live.ask("status")
    assert (found["state"], found["bundle"], found["replicas"]) == ("up", first.version, {"web": 2})
    again = shell.deploy(first, "--replicas", "2")
    assert not again["changed"]
    assert again["golden_rows"] == len(first.rows)


@pytest.mark.shows("ray", "releases", "rollback", how="real run")
def test_a_release_and_the_way_back_fail_no_request(live, first, second):
    before = live.ask("status")["release"]
    with loaded(live.url, first, second) as load:
        time.sleep(2)
        there = live.deploy(second)
        time.sleep(1)
        back = live.ask("rollback")
        time.sleep(1)
    assert there["replicas"] == {"web": 2}
    assert f"v{back['to']}" == before
    assert load.failed == []
    assert load.wrong == []
    seen = [one.version for one in load.answers]
    assert {first.version, second.version} == set(seen)
    assert seen[0] == seen[-1] == first.version
    listed = live.ask("releases")["releases"]
    assert [one["bundle"] for one in listed[:2]] == [first.version, second.version]
    assert [one["current"] for one in listed[:2]] == [True, False]


def test_a_bundle_that_lies_is_not_switched_to(live, first, tmp_path):
    liar = made_of(tmp_path / "penguins.aweigh", lies=True)
    with loaded(live.url, first) as load:
        time.sleep(1)
        done = live.type("deploy", str(liar.path), "--auth", "none", "--cpus", "0.5")
        time.sleep(1)
    assert done.code == 4
    assert "golden row" in done.err
    assert "runs on, untouched" in done.err
    assert load.failed == load.wrong == []
    assert live.ask("releases")["releases"][0]["status"] == "failed"
    assert live.ask("status")["bundle"] == first.version


def test_a_release_that_finds_no_room_is_given_up(live, first, second):
    done = live.type("deploy", str(second.path), "--auth", "none", "--cpus", "64", "--ready-within", "40")
    assert done.code == 4
    assert "runs on, untouched" in done.err
    assert predict(live, first.rows).json()["model"]["version"] == first.version


@pytest.mark.shows("ray", "scale", "logs", how="real run")
def test_more_replicas_and_what_they_write(live):
    assert live.ask("scale", "3") == {"replicas": {"web": 3}, "size": {"web": None}, "changed": True}
    until = time.monotonic() + 90
    while live.ask("status")["replicas"] != {"web": 3} and time.monotonic() < until:
        time.sleep(1)
    assert live.ask("status")["replicas"] == {"web": 3}
    done = live.type("logs", "--lines", "50")
    assert done.code == 0
    assert "initializ" in done.out
    assert live.ask("scale", "2")["changed"]
    assert live.type("scale", "worker=2").code == 2
    assert "one replica" in live.type("scale", "0").err


def test_no_secret_is_in_what_ray_shows(live, cluster, first):
    """In nothing that the dashboard, the state API, the logs and the processes' first environments tell."""
    hidden = Shell(cluster, live.port, app="hidden", more={"REDIS_URL": REDIS})
    refused = hidden.type("deploy", str(STORED), "--auth", "none", "--cpus", "0.5")
    assert refused.code == 2  # the other app answers at / already
    assert "--route-prefix /hidden" in refused.err
    hidden.deploy(first, "--route-prefix", "/hidden")
    try:
        assert predict(hidden, first.rows, "/hidden").status_code == 200
        asks = {"Authorization": f"Bearer {TOKEN}"}
        shown = [
            httpx.get(f"{cluster.dashboard_url}{path}", headers=asks, trust_env=False, timeout=30).text
            for path in (
                "/api/serve/applications/", "/api/v0/actors?detail=1", "/api/v0/tasks?detail=1",
                "/api/v0/workers?detail=1", "/api/v0/runtime_envs?detail=1", "/api/jobs/", "/nodes?view=details",
                "/logical/actors",
            )
        ]  # fmt: skip
        assert "hidden.v1" in shown[0]
        shown += [path.read_text(errors="replace") for path in cluster.folder.rglob("*") if path.is_file()]
        shown += [str(one.environ()) for node in cluster.nodes for one in node.processes()]
        secrets = kept_secrets(cluster, "hidden")
        assert set(secrets) == {"AWEIGH_DEPLOY_SECRET", "AWEIGH_METRICS_TOKEN", "REDIS_URL"}
        assert secrets["REDIS_URL"] == REDIS
        for name, value in secrets.items():
            assert not any(value in text for text in shown), name
    finally:
        hidden.ask("destroy", "--yes")
    assert predict(live, first.rows).status_code == 200


def kept_secrets(cluster, app):
    """Read what the cluster keeps, as any task on it can."""
    import subprocess
    import sys

    code = (
        "import json, sys\n"
        "from aweigh.targets.ray.cluster import connected\n"
        "from aweigh.targets.ray.kept import RayStore, read_secrets\n"
        "with connected(sys.argv[1]):\n"
        "    print('FOUND', json.dumps(read_secrets(RayStore(), sys.argv[2], 1)))\n"
    )
    words = [sys.executable, "-c", code, cluster.address, app]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120, env=cluster.environ)
    return json.loads(done.stdout.partition("FOUND ")[2])


def test_who_has_no_token_of_the_cluster_is_told_so(cluster):
    other = Shell(cluster, any_port(), more={"RAY_AUTH_TOKEN": "f" * 64})
    done = other.type("status")
    assert done.code == 4
    assert "error: " in done.err


def test_by_rays_client_from_outside(live, cluster, first):
    done = live.type("status", "--json", address=cluster.client_address)
    assert done.code == 0, done.err
    assert done.document["bundle"] == first.version


def test_people_who_are_known_take_a_database(cluster):
    done = Shell(cluster, any_port()).type("deploy", str(STORED))
    assert done.code == 2
    assert "DATABASE_URL" in done.err
    assert "--auth none" in done.err


@pytest.mark.shows("ray", "destroy", how="real run")
def test_nothing_is_left_of_what_is_destroyed(live):
    assert live.ask("destroy", "--yes") == {"destroyed": "penguins"}
    assert live.type("status").code == 1
    assert live.type("status", "--json").document["state"] == "absent"
    assert live.type("destroy", "--yes").code == 2
    assert httpx.get(f"{live.url}/v1/model", trust_env=False).status_code == 404
