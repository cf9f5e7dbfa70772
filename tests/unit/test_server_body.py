"""Reading a body: at once when it is there, under a clock when it is not."""

import asyncio
import gzip

import pytest

from aweigh.errors import Busy, MalformedBody, TooLarge
from aweigh.server.body import MOST_PACKED, ClientGone, Unpacking, Unread, read_body
from aweigh.server.problems import Refused
from aweigh.server.settings import Settings

SCOPE = {"type": "http", "headers": []}
SETTINGS = Settings(max_body_bytes=2000, body_timeout_s=0.1)


def part(body=b"", *, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


def read(*parts, pause_s=None):
    """What is read of a body that comes in these parts, each after a pause."""
    left = list(parts)

    async def receive():
        if pause_s is not None:
            await asyncio.sleep(0)
            await asyncio.sleep(pause_s)
        return left.pop(0)

    return asyncio.run(read_body(SCOPE, receive, settings=SETTINGS))


@pytest.mark.parametrize("pause_s", [None, 0, 0.001])
def test_a_body_is_read_whole_however_it_comes(pause_s):
    assert read(part(b"abc"), pause_s=pause_s) == b"abc"
    assert read(part(b"abc", more=True), part(more=True), part(b"de"), pause_s=pause_s) == b"abcde"


@pytest.mark.parametrize("pause_s", [None, 0])
def test_what_is_too_large_or_breaks_off_is_refused(pause_s):
    for parts in ([part(b"x" * 2001)], [part(b"x" * 1500, more=True), part(b"x" * 1500)]):
        with pytest.raises(Unread) as caught:
            read(*parts, pause_s=pause_s)
        assert isinstance(caught.value.error, TooLarge)
    for parts in ([{"type": "http.disconnect"}], [part(b"x", more=True), {"type": "http.disconnect"}]):
        with pytest.raises(ClientGone):
            read(*parts, pause_s=pause_s)


def test_what_comes_too_slowly_is_refused():
    for parts in ([part(b"x")], [part(b"x", more=True), part(b"x")]):
        with pytest.raises(Unread) as caught:
            read(*parts, pause_s=5)
        assert isinstance(caught.value.error, Refused)
        assert caught.value.error.code == "slow_body"


def test_who_waits_for_a_body_is_told_that_it_is_cancelled():
    told = []

    async def receive():
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    async def cancel():
        task = asyncio.create_task(read_body(SCOPE, receive, settings=Settings()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert told == ["cancelled"]


def test_so_many_packed_bodies_are_kept_waiting_and_no_more():
    unpacked, body = Unpacking(2**20), gzip.compress(b"x" * 2**20)

    async def ask(count):
        return await asyncio.gather(*[unpacked(body, "gzip") for _ in range(count)], return_exceptions=True)

    found = asyncio.run(ask(MOST_PACKED + 6))
    assert [type(one) for one in found] == [bytes] * MOST_PACKED + [Busy] * 6
    # And those that were too large, or none, take nobody's place.
    for bad, error in ((gzip.compress(b"x" * (2**20 + 1)), TooLarge), (body + b"x", MalformedBody)):
        unpacked, body = Unpacking(2**20), bad
        assert [type(one) for one in asyncio.run(ask(MOST_PACKED))] == [error] * MOST_PACKED
        unpacked._threads = None  # another loop
        assert type(asyncio.run(ask(1))[0]) is error
