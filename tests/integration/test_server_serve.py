"""`aweigh serve` as people and platforms run it: what it prints, refuses, and how it stops."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from tests.data_sets import ROW


def refused(*arguments, env=None):
    """Return exit code and words of a server that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "aweigh", "serve", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | (env or {}),
    )
    return done.returncode, done.stderr


def test_it_says_where_it_is_and_how_to_ask(api):
    assert api.url
    told = dict(line.split(maxsplit=1) for line in api.told)
    assert list(told) == ["verify", "plan", "load", "ready", "memory", "api", "try", "stop"]
    assert re.fullmatch(r"\d+ golden rows are answered as the original model answers them", told["ready"])
    assert httpx.get(told["api"], trust_env=False).status_code == 200


@pytest.mark.needs("curl")
def test_the_curl_that_it_prints_works(api):
    command = shlex.split(api.line("try"))
    done = subprocess.run([*command, "-sS", "--fail"], capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(done.stdout)["predictions"][0]["label"] == "Adelie"


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_with_zero_and_says_so(start_server, penguins, sent):
    server = start_server(penguins.path, "--no-ui", env={"AWEIGH_DRAIN_DELAY_S": "0"})
    assert server.url
    assert server.stop(sent) == 0
    assert server.told[-1].split()[0] == "stopped"
    assert "Traceback" not in server.errors()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=2)


def test_a_platform_that_goes_on_signalling_does_not_kill_what_ends_by_itself(start_server, penguins):
    server = start_server(penguins.path, "--no-ui", env={"AWEIGH_DRAIN_DELAY_S": "0"})
    assert server.url
    deadline = time.monotonic() + 20
    while server.process.poll() is None and time.monotonic() < deadline:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.001)
    assert server.stop() == 0
    assert server.told[-1].split()[0] == "stopped"


def test_what_is_under_way_is_finished_before_it_stops(start_server, penguins):
    """A request whose body is half here when SIGTERM comes is answered; meanwhile nobody new is welcome."""
    server = start_server(penguins.path, "--no-ui", env={"AWEIGH_DRAIN_DELAY_S": "0.6"})
    body = json.dumps({"rows": [ROW]}).encode()
    head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\n\r\n"
    with server.connect() as sock:
        sock.sendall(head.encode() + body[:20])
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        with server.client() as client:
            assert client.get("/health/ready").status_code == 503
            assert client.get("/health/live").status_code == 200
            assert client.post("/v1/predict", json={"rows": [ROW]}).status_code == 200
        time.sleep(1.0)
        assert server.process.poll() is None, "it waits for the request that is under way"
        sock.sendall(body[20:])
        answer = server.read_all(sock)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b'"label":"Gentoo"' in answer
    assert server.stop() == 0


@pytest.mark.slow
def test_it_does_not_wait_for_ever(start_server, penguins):
    env = {"AWEIGH_DRAIN_DELAY_S": "0", "AWEIGH_DRAIN_S": "1"}
    server = start_server(penguins.path, "--no-ui", env=env)
    with server.connect() as sock:
        sock.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: [::1]\r\nContent-Type: text/csv\r\nContent-Length: 10\r\n\r\n"
        )
        time.sleep(0.2)
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 10


def test_a_taken_port_is_told_in_a_sentence(penguins):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        code, words = refused(penguins.path, "--no-ui", "--port", port)
    assert code == 2
    assert f"Port {port} is taken." in words
    assert "Traceback" not in words


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_beyond_this_machine_nobody_is_let_in_by_default(penguins, host):
    code, words = refused(penguins.path, "--host", host, "--port", 0)
    assert code == 2
    assert "nobody is asked to sign in" in words
    assert "--auth none" in words


def test_beyond_this_machine_it_serves_when_that_is_said(start_server, penguins):
    server = start_server(penguins.path, "--no-ui", "--host", "0.0.0.0", "--auth", "none")
    with server.client() as client:
        assert client.get("/health/ready").status_code == 200


def test_an_unknown_host_is_told_in_a_sentence(penguins):
    code, words = refused(penguins.path, "--host", "no.such.host.invalid")
    assert code == 2
    assert "There is no address 'no.such.host.invalid' on this machine." in words


def test_what_is_no_bundle_is_refused(tmp_path):
    path = tmp_path / "model.aweigh"
    path.write_bytes(b"no bundle")
    code, words = refused(path)
    assert code == 3
    assert "Traceback" not in words


def test_a_setting_that_cannot_be_is_told(penguins):
    code, words = refused(penguins.path, env={"AWEIGH_MAX_ROWS": "many"})
    assert code == 2
    assert "AWEIGH_MAX_ROWS is 'many'." in words


@pytest.mark.parametrize("arguments", [["page.py", "--no-ui"], ["page.py", "--app", "x.py"]])
def test_arguments_that_contradict_each_other_are_refused(arguments):
    code, words = refused(*arguments)
    assert code == 2
    assert "A Streamlit script is all app" in words


def test_pipelined_and_kept_connections_are_served_in_order(api):
    one = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = api.raw(one + one + last)
    assert re.findall(rb'"status":"(\w+)"', answer) == [b"live", b"live", b"ready"]


@pytest.fixture(scope="module")
def whole(start_server, penguins):
    """Return a server with its app."""
    pytest.importorskip("streamlit")
    return start_server(penguins.path, env={"AWEIGH_DRAIN_DELAY_S": "0"})


def test_the_first_page_is_shown_before_anybody_is_invited(whole):
    """The page asks for a prediction, which is counted: nobody else has asked anything yet."""
    assert whole.line("ready")
    with whole.client() as client:
        assert 'aweigh_requests_total{route="predict",status="200"} 1' in client.get("/metrics").text
    assert whole.errors() == ""


def test_app_and_api_share_one_port(whole):
    assert whole.line("app") == f"{whole.url}/"
    with whole.client() as client:
        assert "text/html" in client.get("/").headers["content-type"]
        assert client.get("/_stcore/health").text == "ok"
        assert client.post("/v1/predict", json={"rows": [ROW]}).status_code == 200
        for path in ("/v1/typo", "/v2/typo", "/health/typo", "/metrics/typo"):
            assert client.get(path).status_code == 404


def test_a_session_can_be_opened_through_the_gate_and_its_messages_are_not_packed(whole):
    from websockets.sync.client import connect

    address = whole.url.replace("http", "ws") + "/_stcore/stream"
    with connect(address, subprotocols=["streamlit"], compression="deflate") as session:
        assert session.subprotocol == "streamlit"
        assert session.protocol.extensions == []


def test_it_stops_while_sessions_are_open(whole):
    from websockets.sync.client import connect

    with connect(whole.url.replace("http", "ws") + "/_stcore/stream", subprotocols=["streamlit"]):
        assert whole.stop() == 0
    assert "Traceback" not in whole.errors()


@pytest.mark.slow
def test_a_streamlit_script_is_served_beside_health(start_server, tmp_path):
    pytest.importorskip("streamlit")
    script = tmp_path / "page.py"
    script.write_text("import streamlit as st\nst.title('Mine')\n")
    server = start_server(script, env={"AWEIGH_DRAIN_DELAY_S": "0"})
    with server.client() as client:
        assert client.get("/").status_code == 200
        assert client.get("/health/ready").json() == {"status": "ready", "golden_rows": 0}
        assert client.get("/v1/predict").status_code == 404
    assert server.stop() == 0


def test_the_demo_is_served_by_a_process_that_has_trained_nothing():
    command = [sys.executable, "-m", "aweigh", "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            told = []
            for line in process.stdout:
                told.append(line.split()[0])
                if told[-1] == "stop":
                    break
            held = {Path(one.path).name for one in psutil.Process(process.pid).memory_maps()}
        finally:
            process.send_signal(signal.SIGTERM)
        assert "what was under way is finished" in process.stdout.read()
    assert process.returncode == 0
    assert told[:2] == ["train", "scan"]
    assert any("onnxruntime" in name for name in held)
    assert not any("_criterion" in name for name in held), "scikit-learn's trees are still there"
