"""A server that is to stop: every answer is the last on its connection, and no request is lost by it."""

import signal
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from aweigh.server.app import create_app
from aweigh.server.readiness import Readiness
from aweigh.server.serve import bind, make_server, url_of
from aweigh.server.settings import Settings

GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def serving(*, linger_s=0.0, drain_delay_s=1.0):
    with bind("127.0.0.1", 0) as sock:
        readiness = Readiness()
        server = make_server(
            create_app(None, readiness=readiness),
            settings=Settings(drain_s=5, drain_delay_s=drain_delay_s),
            readiness=readiness,
            websockets=False,
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        address = url_of(sock).removeprefix("http://").split(":")
        thread.start()
        try:
            while not server.started:
                time.sleep(0.002)
            server._linger_s = linger_s
            yield server, lambda: socket.create_connection((address[0], int(address[1])), timeout=5)
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


def read_all(sock):
    found = b""
    while piece := sock.recv(65536):
        found += piece
    return found


def test_while_it_closes_every_answer_is_the_last_on_its_connection():
    with serving() as (server, connection), connection() as sock:
        sock.sendall(GET)
        assert b"connection: close" not in sock.recv(1000)
        server.server_state.closing = True
        sock.sendall(GET)
        assert b"connection: close" in read_all(sock)


def test_what_was_sent_ahead_is_answered_before_the_end():
    with serving() as (server, connection), connection() as sock:
        server.server_state.closing = True
        sock.sendall(GET * 3)
        answer = read_all(sock)
        assert answer.count(b'"live"') == 3
        assert answer.count(b"connection: close") == 1
        assert answer.rindex(b"connection: close") > answer.rindex(b"HTTP/1.1 200")


def test_an_idle_connection_is_kept_for_a_while_and_its_request_answered():
    with serving(linger_s=5.0) as (server, connection), connection() as kept, connection() as new:
        kept.sendall(GET)
        kept.recv(1000)
        server.should_exit = True
        time.sleep(0.5)
        for sock in (kept, new):
            sock.sendall(GET)
            answer = read_all(sock)
            assert b'"live"' in answer
            assert b"connection: close" in answer


def test_without_a_delay_who_has_connected_is_heard_out_all_the_same():
    with serving(drain_delay_s=0) as (server, connection), connection() as kept:
        kept.sendall(GET)
        kept.recv(1000)
        server.handle_exit(signal.SIGTERM, None)
        time.sleep(0.3)
        kept.sendall(GET)
        assert b"connection: close" in read_all(kept)


def test_one_that_has_begun_to_speak_is_heard_out():
    with serving() as (server, connection), connection() as sock, connection() as idle:
        sock.sendall(GET[:20])
        time.sleep(0.1)
        server.should_exit = True
        assert idle.recv(10) == b""
        sock.sendall(GET[20:])
        assert b'"live"' in read_all(sock)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_of_the_platform_means_the_same_and_a_second_ctrl_c_hurries(sent):
    readiness = Readiness()
    settings = Settings(drain_delay_s=0)
    server = make_server(create_app(None), settings=settings, readiness=readiness, websockets=False)
    server.handle_exit(sent, None)
    assert (readiness.draining, server.should_exit, server.force_exit) == (True, True, False)
    server.handle_exit(sent, None)
    assert server.force_exit == (sent == signal.SIGINT)
