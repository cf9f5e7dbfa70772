"""The worker beside a server: a process of its own and of low priority, there while there is something to do.

A thread would be simpler and would hold Python's lock while it reads and writes cells, for milliseconds at a time, in
which no request is answered.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial

from aweigh.database.place import private_folder
from aweigh.errors import AweighError
from aweigh.jobs.store import Store, has_work, let_go, owner_name

LOOK_S = 5.0
"""How often a server looks for jobs that nobody told it of: those of a worker that died with its server."""
STOP_S = 4.0
"""How long the worker has to give its job back when the server ends: it has been told already, or is told then."""
YOUNG_S = 5.0
MOST_PAUSE_S = 60.0

_LOG = logging.getLogger(__name__)


class Beside:
    """Starts the worker when there is a job, one for all processes of a server, and ends it with the server."""

    def __init__(self, store: Store, *, digest: str, command: Sequence[str], ttl_s: float) -> None:
        self._store = store
        self._digest = digest
        self._command = list(command)
        self._ttl_s = ttl_s
        self._wake = asyncio.Event()
        self._pause_s = 1.0

    def wake(self) -> None:
        """There is a job."""
        self._wake.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Looks after the worker inside the block."""
        task = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep(self) -> None:
        while True:
            try:
                if await asyncio.to_thread(has_work, self._store, self._digest):
                    await self._work()
            except AweighError as error:
                _LOG.warning("no worker is started: %s", error.message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()

    async def _work(self) -> None:
        """Runs a worker until it ends, unless another process of this machine has one for the same bundle."""
        folder = private_folder(self._store.state)
        lock = os.open(folder / f"worker-{self._digest[:16]}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            await self._run()
        finally:
            os.close(lock)

    async def _run(self) -> None:
        born = time.monotonic()
        # Its standard input is how it hears that this process is gone, however that came about.
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, close_fds=True
        )
        blame = True
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            blame = False
            process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            raise
        finally:
            with contextlib.suppress(AweighError):
                await asyncio.to_thread(
                    partial(
                        let_go,
                        self._store,
                        self._digest,
                        owner=owner_name(process.pid),
                        ttl_s=self._ttl_s,
                        blame=blame,
                    )
                )
        if code == 0:
            self._pause_s = 1.0
            return
        _LOG.error("the worker ended with %s", code)
        await asyncio.sleep(self._pause_s)
        young = time.monotonic() - born < YOUNG_S
        self._pause_s = min(MOST_PAUSE_S, self._pause_s * 2) if young else 1.0
        self._wake.set()
