"""Work that would hold up the event loop, done in a thread.

This is for where every microsecond counts: asyncio's own way costs less than anyio's, whose backend besides is a
twentieth of a start, and many a server never needs it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from functools import partial
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], pool: Executor | None = None) -> T:
    """What the work gives, done in a thread of the pool, or of the loop's own; it raises what the work raises.

    Whoever is cancelled takes along what still waits for a thread, and waits for the end of what has begun, unless
    cancelled once more: nothing is let go of that is still at work.
    """
    done = partial(copy_context().run, _done, work)
    waiting: Future[T] | None = None
    if pool is None:
        working = asyncio.get_running_loop().run_in_executor(None, done)
    else:
        waiting = pool.submit(done)
        working = asyncio.wrap_future(waiting)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        if waiting is None or not waiting.cancel():
            await asyncio.wait([working])
            if not working.cancelled():
                working.exception()  # nobody is left who could be told
        raise


def _done(work: Callable[[], T]) -> T:
    try:
        return work()
    except StopIteration as error:  # no future takes it: whoever waits would wait for ever
        msg = "the work ended with StopIteration"
        raise RuntimeError(msg) from error
