"""By which names, from which sites and in front of which scripts a served app answers: the command itself."""

import pytest
from tests.integration.conftest import start_server

from aweigh.guard.guard import open_guard
from aweigh.guard.identity import Role

__all__ = ["start_server"]

PASSWORD = "otter gravel ninety"
SITE = "https://dashboards.example.org"

SCRIPT = """
import streamlit as st
st.title("mine")
"""


@pytest.fixture(scope="module")
def named(penguins, start_server):
    return start_server(penguins.path, env={"AWEIGH_HOSTS": "models.example.org", "AWEIGH_ORIGINS": SITE})


def test_it_answers_by_its_names_and_the_pages_own_way_and_by_no_other(named):
    with named.client() as client:
        for host, status in (("models.example.org", 200), ("MODELS.example.org:443", 200), ("evil.example", 421)):
            assert client.get("/v1/schema", headers={"Host": host}).status_code == status
        assert client.get("/v1/schema").status_code == 200, "the app's pages ask the API by its address"


def test_another_site_that_is_named_may_ask_the_api_and_read_its_answer(named):
    with named.client() as client:
        row = client.get("/v1/model").json()["examples"]["rows"][0]
        asked = {
            "Origin": SITE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        preflight = client.options("/v1/predict", headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == SITE
        assert "content-type" in preflight.headers["access-control-allow-headers"]
        answer = client.post("/v1/predict", json={"rows": [row]}, headers={"Origin": SITE})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, SITE)
        assert "access-control-allow-credentials" not in answer.headers
        other = client.post("/v1/predict", json={"rows": [row]}, headers={"Origin": "https://evil.example"})
        assert other.status_code == 403
        assert "access-control-allow-origin" not in other.headers
        assert "access-control-allow-origin" not in client.get("/", headers={"Origin": SITE}).headers


def test_another_site_may_send_and_read_binary_tensors(named):
    with named.client() as client:
        asked = {"Origin": SITE, "Access-Control-Request-Method": "POST"}
        preflight = client.options("/v2/models/penguins/infer", headers=asked)
        may_send = set(preflight.headers["access-control-allow-headers"].split(", "))
        assert {"content-type", "content-encoding", "inference-header-content-length", "x-aweigh-release"} <= may_send
        row = client.get("/v1/model").json()["examples"]["rows"][0]
        kinds = {one["name"]: one["datatype"] for one in client.get("/v2/models/penguins").json()["inputs"]}
        inputs = [{"name": name, "shape": [1], "datatype": kinds[name], "data": [row[name]]} for name in row]
        body = {"inputs": inputs, "parameters": {"binary_data_output": True}}
        answer = client.post("/v2/models/penguins/infer", json=body, headers={"Origin": SITE})
        assert answer.status_code == 200, answer.text
        assert "inference-header-content-length" in answer.headers
        may_read = set(answer.headers["access-control-expose-headers"].split(", "))
        assert {"inference-header-content-length", "x-aweigh-id", "retry-after"} <= may_read
        other = client.post("/v2/models/penguins/infer", json=body)
        assert "access-control-expose-headers" not in other.headers


def test_a_script_of_ones_own_is_for_those_who_may_predict(start_server, tmp_path):
    script = tmp_path / "app.py"
    script.write_text(SCRIPT)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    guard = open_guard({}, state_dir=str(state))
    cookies = {}
    for role in (Role.VIEWER, Role.PREDICTOR):
        person = guard.add_person(role.label, role, by=None)
        guard.set_password(person.id, PASSWORD, by=None)
        cookies[role] = guard.sign_in(role.label, PASSWORD, "", client="192.0.2.1").cookie.reveal()
    server = start_server(script, "--auth", "password", env={"AWEIGH_STATE_DIR": str(state)})
    name = f"aweigh_{server.url.rpartition(':')[2]}"
    for path in ("/", "/model", "/anything", "/_stcore/host-config"):
        for role, refused in ((Role.VIEWER, True), (Role.PREDICTOR, False)):
            with server.client() as client:
                status = client.get(path, headers={"Cookie": f"{name}={cookies[role]}"}).status_code
            assert (status == 403) == refused, (path, role)
    guard.close()
