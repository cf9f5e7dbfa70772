"""Work that would hold up the event loop, done in a thread.

This is for where every microsecond counts: asyncio's own way costs a third of anyio's, whose backend besides is a
twentieth of a start, and many a server never needs it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], pool: Executor | None = None) -> T:
    """What the work gives, done in a thread of the pool, or of the loop's own; it raises what the work raises.

    Whoever is cancelled meanwhile waits for the end all the same: nothing is let go of that is still at work.
    """
    working = asyncio.get_running_loop().run_in_executor(pool, work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        if not working.cancelled():
            working.exception()  # nobody is left who could be told
        raise
