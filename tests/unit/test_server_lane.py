"""The lane: which requests take it, that the others do not, and that nobody can tell but by the time."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest

from aweigh.server import lane as lanes
from aweigh.server import protocol
from aweigh.server.readiness import Readiness
from aweigh.server.serve import bind, make_server, url_of
from aweigh.server.settings import Settings

BODY = b'{"rows":[1]}'
TAIL = b"content-length: %d\r\n\r\n%b"


class App:
    """An app with a lane, both of which answer with what they were sent, and remember which way it came."""

    def __init__(self):
        self.ways = []
        self.decline = False
        self.lanes = {b"/ask": self.lane}

    def lane(self, headers, body):
        if self.decline:
            return None
        self.ways.append(("lane", headers.get(b"x-who"), body))
        return 200, TAIL % (len(body), body)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        self.ways.append(("task", dict(scope["headers"]).get(b"x-who"), body))
        length = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(app):
    with bind("127.0.0.1", 0) as sock:
        server = make_server(app, settings=Settings(drain_s=5), readiness=Readiness(), websockets=False)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        host, port = url_of(sock).removeprefix("http://").split(":")
        thread.start()
        try:
            while not server.started:
                time.sleep(0.002)
            yield server, lambda: socket.create_connection((host, int(port)), timeout=5)
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


def ask(body=BODY, *, path="/ask", head="", method="POST", version="1.1"):
    lines = f"{method} {path} HTTP/{version}\r\nHost: localhost\r\n{head}Content-Length: {len(body)}\r\n\r\n"
    return lines.encode() + body


def read_answers(sock, count):
    """The bodies of so many answers."""
    found, bodies = b"", []
    while len(bodies) < count:
        head, end, rest = found.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]) if end else 0
        if not end or len(rest) < length:
            piece = sock.recv(65536)
            assert piece, found
            found += piece
            continue
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\ndate: " in head
        bodies.append(rest[:length])
        found = rest[length:]
    assert not found
    return bodies


def ways(app):
    return [way for way, _, _ in app.ways]


def test_a_small_request_takes_the_lane_in_one_piece_or_in_two_known_or_not():
    app = App()
    with serving(app) as (server, connect), connect() as sock:
        for sent in (ask(), ask(), ask(b'{"rows":[22]}'), ask()):
            sock.sendall(sent)
            read_answers(sock, 1)
        head, _, body = ask().partition(b"\r\n\r\n")
        sock.sendall(head + b"\r\n\r\n")
        time.sleep(lanes.HOLD_S / 4)
        sock.sendall(body)
        assert read_answers(sock, 1) == [BODY]
        assert ways(app) == ["lane"] * 5
        assert [known.body_bytes for known in server.server_state.heads.values()] == [12, 13]
        assert server.server_state.total_requests == 5
        with connect() as other:  # a new connection is known by its first bytes, and its clock is stopped
            other.sendall(ask())
            assert read_answers(other, 1) == [BODY]


def test_what_is_known_of_a_head_is_that_heads_alone():
    """Heads that differ in a byte are parsed, those that do not have said the same."""
    app = App()
    with serving(app) as (_, connect), connect() as sock:
        for who in ("one", "two", "one", "two"):
            sock.sendall(ask(head=f"X-Who: {who}\r\n"))
            read_answers(sock, 1)
        assert [who for _, who, _ in app.ways] == [b"one", b"two", b"one", b"two"]


def test_a_known_head_with_another_length_behind_it_is_parsed():
    app = App()
    with serving(app) as (_, connect), connect() as sock:
        sock.sendall(ask())
        read_answers(sock, 1)
        sock.sendall(ask()[:-4])  # the same head, and a body that is not whole
        time.sleep(lanes.HOLD_S / 4)
        sock.sendall(ask()[-4:] + ask())  # the rest of it, and another one at once
        assert read_answers(sock, 2) == [BODY, BODY]
        sock.sendall(ask() * 3)
        assert read_answers(sock, 3) == [BODY] * 3
        assert [body for _, _, body in app.ways] == [BODY] * 6


@pytest.mark.parametrize(
    "sent",
    [
        ask(path="/ask?x=1"),
        ask(path="/other"),
        ask(path="/%61sk"),
        ask(method="PUT"),
        ask(head="X-Who: a\r\nX-Who: b\r\n"),
        ask(head="Connection: close\r\n"),
        ask(version="1.0", head="Connection: keep-alive\r\n"),
    ],
)
def test_what_is_not_plain_goes_the_ordinary_way(sent):
    app = App()
    with serving(app) as (server, connect):
        for _ in range(2):
            with connect() as sock:
                sock.sendall(sent)
                assert read_answers(sock, 1) == [sent.partition(b"\r\n\r\n")[2]]
        assert ways(app) == ["task", "task"]
        assert not server.server_state.heads


def alone(sock):
    """Be the only one who asks for so long that it counts."""
    sock.sendall(ask())
    assert read_answers(sock, 1) == [BODY]
    time.sleep(1.5 * lanes.ALONE_AFTER_S)


def test_a_large_request_takes_the_lane_of_who_is_the_only_one_to_ask():
    app = App()
    large = b"x" * (lanes.INLINE_BYTES + 1)
    with serving(app) as (server, connect), connect() as sock, connect() as silent:
        sock.sendall(ask(large))
        assert read_answers(sock, 1) == [large]
        assert ways(app) == ["task"], "nobody knows yet whether others ask as well"
        alone(sock)
        for pieces in ([ask(large)], [ask(large)[:9000], ask(large)[9000:]], [ask(large + large)]):
            for piece in pieces:
                sock.sendall(piece)
                time.sleep(lanes.HOLD_S / 4)
            assert len(read_answers(sock, 1)[0]) >= len(large)
        assert ways(app)[2:] == ["lane"] * 3
        silent.sendall(ask())
        read_answers(silent, 1)
        sock.sendall(ask(large))
        assert read_answers(sock, 1) == [large]
        assert ways(app)[5:] == ["lane", "task"], "another one has just asked"
        time.sleep(1.5 * lanes.ALONE_AFTER_S)
        sock.sendall(ask(large))
        assert read_answers(sock, 1) == [large]
        assert ways(app)[7:] == ["lane"]
        assert all(known.body_bytes <= lanes.INLINE_BYTES for known in server.server_state.heads.values())


def test_who_has_a_page_of_the_app_open_counts_as_another_one():
    app = App()
    large = b"x" * (lanes.INLINE_BYTES + 1)
    with serving(app) as (server, connect), connect() as sock:
        alone(sock)
        session = object()  # uvicorn's protocol of a WebSocket
        server.server_state.connections.add(session)
        sock.sendall(ask(large))
        assert read_answers(sock, 1) == [large]
        server.server_state.connections.discard(session)
        assert ways(app) == ["lane", "task"]


def test_what_is_very_large_or_arrives_slowly_goes_the_ordinary_way_whoever_is_alone():
    app = App()
    with serving(app) as (_, connect), connect() as sock:
        alone(sock)
        huge = b"x" * (lanes.ALONE_BYTES + 1)
        sock.sendall(ask(huge))
        assert read_answers(sock, 1) == [huge]
        large = ask(b"y" * (lanes.INLINE_BYTES + 1))
        sock.sendall(large[:-1])
        time.sleep(2 * lanes.HOLD_S)
        sock.sendall(large[-1:])
        assert read_answers(sock, 1) == [b"y" * (lanes.INLINE_BYTES + 1)]
        assert ways(app)[1:] == ["task", "task"]


def test_a_body_in_a_hundred_thousand_pieces_is_put_together_once(monkeypatch):
    """Were what is held copied with each piece, a process would stand still for seconds."""
    held, whole = [], lanes._whole
    monkeypatch.setattr(lanes, "_whole", lambda parts: held.append(parts) or whole(parts))
    app = App()
    with serving(app) as (_, connect), connect() as sock:
        alone(sock)
        head = b"POST /ask HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        first, pieces = 800 * 1024, 100_000
        held.clear()
        sock.sendall(head + b"%x\r\n%b\r\n" % (first, b" " * first) + b"1\r\n \r\n" * pieces + b"0\r\n\r\n")
        assert read_answers(sock, 1) == [b" " * (first + pieces)]
        (parts,) = held
        assert isinstance(parts, list)
        assert max(map(len, parts)) <= first


def test_a_large_request_that_the_lane_declines_is_answered_whole():
    app = App()
    with serving(app) as (_, connect), connect() as sock:
        alone(sock)
        app.decline = True
        for size in (lanes.INLINE_BYTES + 1, 300_000):
            sock.sendall(ask(b"z" * size))
            assert read_answers(sock, 1) == [b"z" * size]
        assert ways(app) == ["lane", "task", "task"]


def test_who_waits_to_be_told_to_go_on_is_told():
    app = App()
    with serving(app) as (_, connect), connect() as sock:
        head, _, body = ask(head="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(body)
        assert read_answers(sock, 1) == [BODY]


def test_a_body_in_chunks_is_put_together_and_never_known_by_its_head():
    app = App()
    chunked = b"POST /ask HTTP/1.1\r\nHost: ::1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with serving(app) as (server, connect), connect() as sock:
        for _ in range(2):
            sock.sendall(chunked)
            assert read_answers(sock, 1) == [b"abcde"]
        assert not server.server_state.heads


def test_what_the_lane_declines_goes_the_ordinary_way_whole():
    app = App()
    with serving(app) as (_, connect), connect() as sock:
        sock.sendall(ask())
        read_answers(sock, 1)
        app.decline = True
        sock.sendall(ask(head="X-Who: me\r\n"))
        sock.sendall(ask())
        assert read_answers(sock, 2) == [BODY, BODY]
        assert app.ways[1:] == [("task", b"me", BODY), ("task", None, BODY)]


def test_a_slow_body_goes_the_ordinary_way(monkeypatch):
    """That one has a clock for bodies that never come; the hold is for those that come at once."""
    monkeypatch.setattr(lanes, "HOLD_S", 0.05)
    app = App()
    with serving(app) as (_, connect), connect() as sock:
        sock.sendall(ask()[:-5])
        time.sleep(0.2)
        sock.sendall(ask()[-5:])
        assert read_answers(sock, 1) == [BODY]
        assert ways(app) == ["task"]


def test_a_broken_body_is_refused_and_a_client_that_leaves_is_forgotten():
    app = App()
    with serving(app) as (server, connect):
        with connect() as sock:
            sock.sendall(b"POST /ask HTTP/1.1\r\nHost: ::1\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n")
            refusal = sock.recv(1000)
            assert refusal.startswith(b"HTTP/1.1 400 ")
            assert b"\r\ndate: " in refusal
            assert sock.recv(1000) == b""
        with connect() as sock:
            sock.sendall(ask()[:-5])
        time.sleep(4 * lanes.HOLD_S)
        with connect() as sock:
            sock.sendall(ask())
            assert read_answers(sock, 1) == [BODY]
        deadline = time.monotonic() + 5
        while server.server_state.connections and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not server.server_state.connections
        assert ways(app) == ["lane"]


def test_a_server_that_is_to_stop_lets_nobody_into_the_lane_and_finishes_what_is_held(monkeypatch):
    monkeypatch.setattr(lanes, "HOLD_S", 5.0)
    app = App()
    with serving(app) as (server, connect), connect() as sock, connect() as other:
        sock.sendall(ask()[:-5])
        other.sendall(ask())
        read_answers(other, 1)
        server.server_state.closing = True
        server.should_exit = True
        time.sleep(0.3)
        sock.sendall(ask()[-5:])
        assert read_answers(sock, 1) == [BODY]
        assert sock.recv(10) == b""
        assert ways(app) == ["lane", "task"]


def test_a_connection_is_kept_while_it_is_used_and_closed_when_it_is_not():
    app = App()
    with serving(app) as (server, connect):
        server.config.timeout_keep_alive = 0.4
        with connect() as sock:
            for _ in range(4):
                sock.sendall(ask())
                read_answers(sock, 1)
                time.sleep(0.2)
            begun = time.monotonic()
            assert sock.recv(10) == b""
            assert time.monotonic() - begun < 0.4
        with connect() as sock:  # what the ordinary way has under way is not idle
            sock.sendall(ask())
            read_answers(sock, 1)
            sock.sendall(ask(path="/other")[:-1])
            time.sleep(0.6)
            sock.sendall(ask()[-1:])
            assert read_answers(sock, 1) == [BODY]


def test_more_may_be_sent_ahead_than_a_head_may_have():
    """What is counted of a head is what came of it, not the requests that came in the same segment before it."""
    app = App()
    with serving(app) as (_, connect), connect() as sock:
        sent = ask() * 1500 + ask(b'{"rows":[%b]}' % (b"1," * 3000))
        assert len(sent) > protocol.MAX_HEAD_BYTES
        sock.sendall(sent[:-3050])  # ends in the last body
        sock.sendall(sent[-3050:] + ask()[:40])  # and in a head
        time.sleep(0.1)
        sock.sendall(ask()[40:])
        assert read_answers(sock, 1502)[-1] == BODY


@pytest.mark.parametrize("ahead", [b"", ask() * 30])
def test_a_head_that_is_too_large_is_refused_wherever_it_begins(ahead):
    with serving(App()) as (_, connect), connect() as sock:
        sock.sendall(ahead + b"GET / HTTP/1.1\r\nX: " + b"a" * (2 * protocol.MAX_HEAD_BYTES))
        found = b""
        while b"HTTP/1.1 431 " not in found:
            piece = sock.recv(65536)
            assert piece, found[-300:]
            found += piece
        assert found.count(b"HTTP/1.1 200 ") == ahead.count(b"POST")


def test_few_heads_are_kept(monkeypatch):
    monkeypatch.setattr(lanes, "MOST_HEADS", 3)
    app = App()
    with serving(app) as (server, connect), connect() as sock:
        for i in range(10):
            sock.sendall(ask(head=f"X-Who: {i}\r\n"))
            read_answers(sock, 1)
            assert len(server.server_state.heads) <= 3
        sock.sendall(ask(head=f"X-Who: {'a' * lanes.LONGEST_HEAD_BYTES}\r\n"))
        read_answers(sock, 1)
        assert not any(len(head) > lanes.LONGEST_HEAD_BYTES for head in server.server_state.heads)
