"""Work in threads: what it gives and raises comes back, and whoever is cancelled waits for its end."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from aweigh.server.threads import in_thread


def test_what_the_work_gives_or_raises_comes_back():
    async def ask():
        assert await in_thread(lambda: threading.current_thread().name) != threading.current_thread().name
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 / 0)

    asyncio.run(ask())


def test_a_pool_bounds_how_many_work_at_once():
    at_once, most, lock = 0, 0, threading.Lock()

    def work():
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.01)
        with lock:
            at_once -= 1

    async def ask(pool):
        await asyncio.gather(*[in_thread(work, pool) for _ in range(12)])

    with ThreadPoolExecutor(2) as pool:
        asyncio.run(ask(pool))
    assert most == 2


@pytest.mark.parametrize("fails", [False, True])
def test_whoever_is_cancelled_waits_until_the_work_has_ended(fails):
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work():
        begun.set()
        go_on.wait(30)
        ended.set()
        if fails:
            raise ValueError

    async def ask():
        complaints = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        asking = asyncio.create_task(in_thread(work))
        await asyncio.to_thread(begun.wait, 30)
        asking.cancel()
        await asyncio.sleep(0.05)
        assert not asking.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert ended.is_set()
        return complaints

    assert asyncio.run(ask()) == []


def test_what_still_waits_for_a_thread_goes_with_whoever_is_cancelled():
    go_on, worked = threading.Event(), []

    async def ask(pool):
        first = asyncio.create_task(in_thread(lambda: go_on.wait(30), pool))
        second = asyncio.create_task(in_thread(lambda: worked.append(2), pool))
        await asyncio.sleep(0.05)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(second, 10)
        go_on.set()
        assert await first
        await in_thread(lambda: worked.append(3), pool)

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(ask(pool))
    assert worked == [3]


@pytest.mark.parametrize("has_pool", [False, True])
def test_work_that_runs_out_of_an_iterator_fails_and_does_not_hang(has_pool):
    async def ask(pool):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.wait_for(in_thread(lambda: next(iter([])), pool), 10)

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(ask(pool if has_pool else None))


def test_the_work_knows_the_context_of_whoever_asks():
    name = contextvars.ContextVar("name")

    async def ask():
        name.set("request 7")
        assert await in_thread(name.get) == "request 7"

    asyncio.run(ask())
