"""Several processes behind one port: they share the API, pass the app on, and are replaced when they die."""

import os
import re
import signal
import time

import httpx
import psutil
import pytest
from tests.data_sets import ROW
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


@pytest.fixture(scope="module")
def crowd(start_server, penguins):
    """Return a server of two API processes and one for the app."""
    pytest.importorskip("streamlit")
    return start_server(penguins.path, "--workers", 2, env={"AWEIGH_DRAIN_DELAY_S": "0"})


def processes(server):
    return psutil.Process(server.process.pid).children()


def wait_for(true, *, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_they_answer_the_api_and_pass_the_app_on(crowd):
    assert crowd.line("workers") == "2 processes answer the API, one the app"
    assert len(processes(crowd)) == 3
    for _ in range(8):
        with crowd.client() as client:
            assert client.post("/v1/predict", json={"rows": [ROW]}).json()["predictions"][0]["label"] == "Gentoo"
            assert client.get("/_stcore/health").text == "ok"
            assert "text/html" in client.get("/").headers["content-type"]
            assert client.get("/v1/typo").status_code == 404


def test_nobody_is_invited_before_the_app_is_there(start_server, penguins, free_port):
    pytest.importorskip("streamlit")
    port = free_port()
    start_server(penguins.path, "--workers", 2, "--ui-processes", 2, port=port)
    said = []

    def is_ready():
        try:
            said.append(httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=30, trust_env=False))
        except httpx.TransportError:
            return False
        return said[-1].status_code == 200

    wait_for(is_ready, seconds=60)
    assert httpx.get(f"http://127.0.0.1:{port}/", timeout=30, trust_env=False).status_code == 200
    assert said[-1].json()["processes"] == {"wanted": 4, "up": 4}
    assert {one.status_code for one in said[:-1]} <= {503}


def test_the_parent_loads_no_model(crowd):
    """It is what stays when all goes wrong, and what everything is forked from: one thread, no ONNX Runtime."""
    assert crowd.url
    parent = psutil.Process(crowd.process.pid)
    assert parent.num_threads() == 1
    assert not any("onnxruntime" in one.path for one in parent.memory_maps())


def test_counters_are_those_of_all_processes(crowd):
    def asked():
        with crowd.client() as client:
            text = client.get("/metrics").text
        return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    before = int(asked().get('aweigh_requests_total{route="predict",status="200"}', 0))
    for _ in range(12):
        with crowd.client() as client:
            client.post("/v1/predict", json={"rows": [ROW]})
    after = asked()
    assert int(after['aweigh_requests_total{route="predict",status="200"}']) == before + 12
    assert after["aweigh_processes"] == after["aweigh_processes_up"] == "3"


def test_what_the_app_sends_comes_through_whole(crowd):
    """Scripts large and small, packed and not, and HEAD."""
    with crowd.client() as client:
        page = client.get("/").text
        names = [part.split('"')[0] for part in page.split('src="')[1:]]
        scripts = [name for name in names if name.endswith(".js")]
        assert scripts
        for name in scripts:
            path = "/" + name.lstrip("./")
            reply = client.get(path)
            assert reply.status_code == 200
            assert len(client.get(path, headers={"Accept-Encoding": "identity"}).content) == len(reply.content)
            assert client.head(path).status_code == 200
            assert client.head(path).content == b""


def test_sessions_work_through_the_passage(crowd):
    url = crowd.url.replace("http", "ws") + "/_stcore/stream"
    with connect(url, subprotocols=["streamlit"], origin=crowd.url) as session:
        assert session.subprotocol == "streamlit"


def test_a_session_of_another_origin_is_refused_as_the_app_refuses_it(crowd):
    url = crowd.url.replace("http", "ws") + "/_stcore/stream"
    with pytest.raises((InvalidStatus, ConnectionClosed)), connect(url, origin="http://evil.example") as session:
        session.recv(timeout=5)


def test_nothing_of_the_api_is_passed_on(crowd):
    with pytest.raises(InvalidStatus, match="403"):
        connect(crowd.url.replace("http", "ws") + "/v1/predict")


@pytest.mark.slow
def test_one_that_is_killed_is_replaced_and_the_others_answer(crowd):
    assert crowd.url
    time.sleep(5.5)  # older than what counts as a failed start
    before = {one.pid for one in processes(crowd)}
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len({one.pid for one in processes(crowd)} - before) == 1)

    def answers():
        try:
            with crowd.client() as client:
                return client.post("/v1/predict", json={"rows": [ROW]}).status_code == 200
        except httpx.TransportError:
            return False

    wait_for(lambda: all(answers() for _ in range(6)))
    assert "starting another" in crowd.errors()
    wait_for(lambda: re.search(r"api 1 is back after \d+\.\d\d s \(process \d+\)", crowd.errors()))


def test_they_stop_together_with_zero(crowd):
    assert crowd.url
    ours = processes(crowd)
    assert crowd.stop() == 0
    assert crowd.told[-1].split()[0] == "stopped"
    assert not any(one.is_running() for one in ours)


def test_none_outlives_a_parent_that_is_killed(start_server, penguins):
    server = start_server(penguins.path, "--workers", 2, "--no-ui", env={"AWEIGH_DRAIN_DELAY_S": "0"})
    assert server.url
    ours = processes(server)
    assert len(ours) == 2
    server.process.kill()
    wait_for(lambda: not any(one.is_running() for one in ours))
    server.stop()


@pytest.mark.slow
def test_a_process_that_cannot_start_is_told_in_a_sentence(start_server, penguins, tmp_path):
    script = tmp_path / "none.py"
    server = start_server(penguins.path, "--workers", 2, "--app", script)
    assert server.process.wait(60) == 1
    assert "There is no Streamlit script" in server.errors()
    assert "Traceback" not in server.errors()
