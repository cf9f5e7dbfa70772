"""An answer in one message is the same answer on the wire, in one write."""

import asyncio
from types import SimpleNamespace

import pytest
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from aweigh.server.whole import EXTENSIONS, WHOLE, send_whole, write_whole

HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


def answered(*, extensions, headers=HEADERS, keep_alive=True):
    """What an answer writes, write by write, and whether the connection was closed."""
    written, closed, completed = [], [], []
    transport = SimpleNamespace(write=written.append, close=lambda: closed.append(True))
    cycle = RequestResponseCycle(
        scope={"method": "POST"}, transport=transport, flow=SimpleNamespace(write_paused=False), logger=None,
        access_logger=None, access_log=False, default_headers=[(b"date", b"today")], message_event=asyncio.Event(),
        expect_100_continue=False, keep_alive=keep_alive, on_response=lambda: completed.append(True),
    )  # fmt: skip

    async def send(message):
        if message["type"] == WHOLE:
            await write_whole(cycle, message, status_line=STATUS_LINE[message["status"]])
        else:
            await cycle.send(message)

    asyncio.run(send_whole({"extensions": extensions}, send, status=200, headers=headers, body=b"{}"))
    assert (cycle.response_started, cycle.response_complete, completed) == (True, True, [True])
    return written, bool(closed)


@pytest.mark.parametrize("keep_alive", [True, False])
def test_the_bytes_are_uvicorns_own(keep_alive):
    parts, closed = answered(extensions={}, keep_alive=keep_alive)
    whole, also_closed = answered(extensions=EXTENSIONS, keep_alive=keep_alive)
    assert whole == [b"".join(parts)]
    assert len(parts) == 2
    assert closed is also_closed is not keep_alive


def test_no_header_may_end_the_head():
    with pytest.raises(RuntimeError, match="line break"):
        answered(extensions=EXTENSIONS, headers=[*HEADERS, (b"x-aweigh-model", b"a\r\nset-cookie: b")])
