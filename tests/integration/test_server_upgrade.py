"""Requests for a WebSocket as bytes: each is answered, whatever is wrong with it, and holds no connection."""

import socket
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
from starlette.responses import PlainTextResponse

from aweigh.server import protocol, serve
from aweigh.server.readiness import Readiness
from aweigh.server.settings import Settings

pytest.importorskip("websockets")

KEY = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
UPGRADE = b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + KEY


def ask(more=b"", *, method=b"GET", path=b"/_stcore/stream", body=b""):
    return b"%b %b HTTP/1.1\r\n%b%b\r\n%b" % (method, path, UPGRADE, more, body)


LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def script_server(start_server, tmp_path_factory):
    pytest.importorskip("streamlit")
    script = tmp_path_factory.mktemp("script") / "page.py"
    script.write_text("import streamlit as st\nst.text('here')\n")
    return start_server(script, env={"AWEIGH_DRAIN_DELAY_S": "0"})


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (ask(b"Content-Length: 2\r\n", body=b"{}"), b"400"),
        (ask(b"Content-Length: 2\r\n", method=b"POST", body=b"{}"), b"400"),
        (ask(b"Transfer-Encoding: chunked\r\n", body=b"0\r\n\r\n"), b"400"),
        (ask(method=b"POST"), b"400"),
        (ask(b"".join(b"X-%d: 1\r\n" % i for i in range(300))), b"431"),
        (ask(b"X: " + b"a" * 20_000 + b"\r\n"), b"431"),
        (ask(b"".join(b"X-%d: %b\r\n" % (i, b"a" * 7000) for i in range(10))), b"431"),
        (ask(path=b"/" + b"a" * 20_000), b"414"),
        (ask(b"X: \xff\x00\r\n"), b"400"),
        (ask().replace(KEY, b""), b"400"),
        (ask(path=b"/v1/predict"), b"403"),
        (ask(b"Origin: https://elsewhere.example\r\n"), b"403"),
    ],
)
def test_a_request_for_a_websocket_that_is_refused_is_told_so(script_server, sent, status):
    with script_server.connect(timeout_s=5) as sock:
        sock.sendall(sent)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:300]


def test_a_request_for_a_websocket_ahead_of_an_answer_takes_nobodys_place(script_server):
    with script_server.connect(timeout_s=5) as sock:
        sock.sendall(LIVE + ask())
        answer = script_server.read_all(sock)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 400 ") == 1
    assert answer.index(b'"live"') < answer.index(b"HTTP/1.1 400 ")


def test_a_websocket_is_opened_on_a_connection_that_was_used_before(script_server):
    with script_server.connect(timeout_s=5) as sock:
        sock.sendall(LIVE)
        answer = b""
        while not answer.endswith(b'{"status":"live"}'):
            answer += sock.recv(65536)
        sock.sendall(ask())
        assert sock.recv(65536).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket, h2c"])
def test_another_protocol_is_answered_in_http_for_the_last_time(script_server, upgrade):
    head = b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n\r\n"
    answer = script_server.raw(b"GET /health/live HTTP/1.1\r\n" + head + LIVE, timeout_s=5)
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert b"connection: close" in answer.lower()


@contextmanager
def hurried(app):
    """A server in a thread; what is given is a function that connects to it."""
    with serve.bind("127.0.0.1", 0) as sock:
        server = serve.make_server(app, settings=Settings(drain_s=5), readiness=Readiness(), websockets=True)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            httpx.get(serve.url_of(sock), trust_env=False, timeout=20)
            yield lambda: socket.create_connection(sock.getsockname(), timeout=10), server
        finally:
            server.force_exit = server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


class Undecided:
    """An app that answers requests, and never settles a WebSocket."""

    def __init__(self, flood=0):
        self.flood = flood
        self.left = threading.Event()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            await PlainTextResponse("no", status_code=401)(scope, receive, send)
        else:
            await receive()
            try:
                if self.flood:
                    await send({"type": "websocket.accept"})
                    for _ in range(self.flood):
                        await send({"type": "websocket.send", "bytes": bytes(1 << 20)})
                while (await receive())["type"] != "websocket.disconnect":
                    pass
            finally:
                self.left.set()


def test_a_handshake_that_nobody_settles_ends(monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.3)
    app = Undecided()
    with hurried(app) as (connect, _), connect() as sock:
        sock.sendall(ask())
        assert sock.recv(100).startswith(b"HTTP/1.1 500 ")
        assert app.left.wait(5), "its app is told that the client has gone"


def test_a_client_that_never_reads_is_not_waited_for(monkeypatch):
    from aweigh.server import upgrade

    monkeypatch.setattr(upgrade, "LINGER_S", 0.2)
    app = Undecided(flood=64)
    with hurried(app) as (connect, server), connect() as sock:
        server.config.ws_ping_interval = server.config.ws_ping_timeout = 0.2
        sock.sendall(ask())
        assert app.left.wait(8)
        assert not [one for one in server.server_state.connections if one.transport.get_write_buffer_size()]


@pytest.mark.parametrize("drop", [b"\r\n", b"a"])
def test_bytes_that_begin_no_request_do_not_keep_a_connection(monkeypatch, drop):
    """Empty lines between two requests, and a body that is still sent when it has been answered long since."""
    monkeypatch.setattr(serve, "KEEP_ALIVE_S", 1)
    with hurried(Undecided()) as (connect, _), connect() as sock:
        length = 10_000 if drop == b"a" else 0
        sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % length)
        assert sock.recv(10_000).startswith(b"HTTP/1.1 401 ")
        begun = time.monotonic()
        sock.settimeout(0.2)
        closed = False
        while not closed and time.monotonic() - begun < 6:
            try:
                sock.sendall(drop)
                closed = sock.recv(100) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True
        assert closed
