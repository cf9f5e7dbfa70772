"""Connections that come together to a server at work are taken in a few turns of its event loop."""

import asyncio
import socket
from contextlib import ExitStack

import pytest

from aweigh.server.app import create_app
from aweigh.server.readiness import Readiness
from aweigh.server.serve import ACCEPTED_A_TURN, bind, listeners, make_server
from aweigh.server.settings import Settings

uvloop = pytest.importorskip("uvloop")

COUNT = 24


async def turns_until_all_are_accepted(*, shared):
    """So many turns of the event loop it takes the server to accept ``COUNT`` connections that came in one of them."""
    readiness = Readiness()
    app = create_app(None, readiness=readiness)
    settings = Settings(drain_s=5, drain_delay_s=0)
    server = make_server(app, settings=settings, readiness=readiness, websockets=False)
    with ExitStack() as stack:
        sockets = listeners(stack.enter_context(bind("127.0.0.1", 0)), shared=shared)
        task = asyncio.create_task(server.serve(sockets=sockets))
        while not server.started:  # noqa: ASYNC110  uvicorn tells nobody
            await asyncio.sleep(0.01)
        for _ in range(COUNT):  # the kernel connects them, while the loop stands still
            stack.enter_context(socket.create_connection(sockets[0].getsockname()))
        turns = 0
        while len(server.server_state.connections) < COUNT:
            await asyncio.sleep(0)
            turns += 1
        stack.close()
        server.should_exit = True
        await task
        assert all(one.fileno() == -1 for one in sockets), "left open"
    return turns


def test_many_connections_are_taken_in_one_turn():
    assert uvloop.run(turns_until_all_are_accepted(shared=False)) <= COUNT / ACCEPTED_A_TURN + 2


def test_of_a_socket_that_others_share_one_is_left_for_them_in_each_turn():
    assert uvloop.run(turns_until_all_are_accepted(shared=True)) >= COUNT
