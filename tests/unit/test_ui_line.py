"""The line from the pages to the API, against a server that hangs up, says nothing, or says something else."""

import contextlib
import socket
import threading

import pytest

from aweigh.errors import RemoteError
from aweigh.ui.line import Line

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextlib.contextmanager
def serving(*scripts):
    """A server that gives each connection the replies of one script, then closes it; yields its port and what came."""
    came = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)

        def serve():
            for script in scripts:
                connection, _ = listening.accept()
                with connection:
                    for reply in script:
                        came.append(connection.recv(65536))
                        if reply is None:
                            connection.recv(1)
                        else:
                            connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1], came
        thread.join()


@contextlib.contextmanager
def line_to(port, *, path="", timeout_s=10.0):
    with contextlib.closing(Line(f"http://127.0.0.1:{port}{path}", timeout_s=timeout_s)) as line:
        yield line


def test_a_connection_is_kept_and_another_opened_when_it_was_closed_meanwhile():
    with serving([OK, OK], [OK]) as (port, came), line_to(port, path="/under/") as line:
        for _ in range(3):
            response = line.ask("GET", "/v1/schema")
            assert (response.status, response.content) == (200, b"{}")
    assert len(came) == 3
    assert all(one.startswith(b"GET /under/v1/schema HTTP/1.1\r\n") for one in came)


def test_a_visit_stays_with_one_model_and_a_person_is_known_by_their_session():
    with serving([OK, OK, OK]) as (port, came), line_to(port) as line:
        line.ask("GET", "/", visit="v1")
        line.ask("GET", "/", visit="v1", session="s1")
        line.ask("GET", "/")
    assert ["X-Aweigh-Sticky: v1" in one.decode() for one in came] == [True, False, False]
    assert "Authorization: Aweigh-Session s1" in came[1].decode()


def test_a_body_is_json():
    with serving([OK]) as (port, came), line_to(port) as line:
        line.ask("POST", "/v1/predict", content=b'{"rows":[]}')
    assert b"content-type: application/json\r\n" in came[0].lower()
    assert b"accept-encoding: identity\r\n" in came[0].lower()


def test_a_refusal_is_a_response_and_no_error():
    refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    with serving([refusal]) as (port, _), line_to(port) as line:
        assert line.ask("GET", "/").status == 503


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param([None], "did not answer within", id="silence"),
        pytest.param([b"SSH-2.0-OpenSSH_9.2\r\n"], "cannot be reached", id="not HTTP"),
        pytest.param([b""], "cannot be reached", id="hangs up"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"], "cannot be reached", id="half"),
    ],
)
def test_what_goes_wrong_is_told_in_a_sentence(script, said):
    with serving(script) as (port, _), line_to(port, timeout_s=0.3) as line:
        with pytest.raises(RemoteError, match=said):
            line.ask("GET", "/")
        line.close()


def test_nobody_there_is_told_too():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with line_to(port) as line, pytest.raises(RemoteError, match="cannot be reached"):
        line.ask("GET", "/")
