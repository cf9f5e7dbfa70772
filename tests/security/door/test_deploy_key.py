"""What a deployment's key opens behind a real door: rows, and nothing else."""

import httpx
import pytest

from aweigh.guard.deploy_key import new_key
from aweigh.secret import Secret

SECRET = Secret("d" * 43)


@pytest.fixture(scope="module")
def guarded(open_house, tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("deploy-key"), deploy_secret=SECRET) as found:
        yield found


def client(house, secret=SECRET, **said):
    headers = {"Authorization": f"Bearer {new_key(secret, **said).reveal()}"}
    return httpx.Client(base_url=house.url, headers=headers, trust_env=False, timeout=20)


def test_it_asks_rows(guarded):
    with client(guarded) as asking:
        reply = asking.post("/v1/predict", json={"rows": guarded.rows})
        assert reply.status_code == 200
        assert len(reply.json()["predictions"]) == len(guarded.rows)


@pytest.mark.parametrize("path", ["/metrics", "/admin", "/account", "/v1/model", "/v1/predict/", "/v2", "/"])
def test_it_opens_nothing_else(guarded, path):
    with client(guarded) as asking:
        assert asking.get(path).status_code == 401, path


@pytest.mark.parametrize("said", [{"secret": Secret("e" * 43)}, {"lasts_s": -1}, {"lasts_s": 3600}])
def test_a_wrong_one_opens_nothing(guarded, said):
    with client(guarded, **said) as asking:
        assert asking.post("/v1/predict", json={"rows": guarded.rows}).status_code == 401


def test_where_there_is_no_secret_no_key_opens(house):
    with client(house) as asking:
        assert asking.post("/v1/predict", json={"rows": house.rows}).status_code == 401


def test_it_leaves_no_trace_in_the_audit_log_and_spends_no_budget(guarded):
    before = len(guarded.guard.latest_audit())
    with client(guarded) as asking:
        asking.post("/v1/predict", json={"rows": guarded.rows})
    assert len(guarded.guard.latest_audit()) == before
