"""News that there is something to do: looked for again and again on one machine, carried by a queue between several.

The queue is saq's, in the same Redis or PostgreSQL as the jobs. It carries news and nothing else: who takes a job is
decided by the job's record, so that a message that is lost or comes twice costs a few seconds and no answer.
"""

import asyncio
import logging
import secrets
from contextlib import suppress
from typing import Any

from aweigh.registry import require
from aweigh.secret import Secret

LOOK_S = 0.25
"""How often a worker looks for jobs on its own machine: a look is one read of a small file."""
SWEEP_S = 60.0
PATIENCE_S = 5.0

_LOG = logging.getLogger(__name__)


class Looked:
    """News on one machine: there is none, so that the worker must look."""

    async def tell(self, job_id: str) -> None:
        """Says that a job may be taken."""

    async def wait(self, timeout_s: float) -> None:
        """Waits until it is worth looking again."""
        await asyncio.sleep(min(timeout_s, LOOK_S))

    async def close(self) -> None:
        """Ends what is open."""


class Carried:
    """News through saq's queue, one for each bundle: a worker hears only of what it may run."""

    def __init__(self, url: Secret, *, digest: str) -> None:
        require("saq", what="a queue between machines", extra="jobs")
        self._url = url
        self._name = f"aweigh-{digest[:16]}"
        self._queue: Any = None
        self._lock = asyncio.Lock()
        self._swept = 0.0

    async def tell(self, job_id: str) -> None:
        """Says that a job may be taken. That nobody could be told does no harm: workers also look by themselves."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                queue = await self._open()
                # A message lives until a worker hears it (ttl: it is not kept after), and never twice under one key.
                await queue.enqueue(
                    "look", key=f"{job_id[:8]}-{secrets.token_hex(4)}", timeout=int(SWEEP_S), retries=1, ttl=-1
                )
        except Exception as error:  # noqa: BLE001  each client has its own errors, and none of them may fail a job
            _LOG.warning("no worker could be told of a job: %s", type(error).__name__)

    async def wait(self, timeout_s: float) -> None:
        """Waits until there is news, or for so long."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        try:
            async with asyncio.timeout(timeout_s + PATIENCE_S):
                from saq import Status

                queue = await self._open()
                message = await queue.dequeue(timeout=timeout_s)
                if message is not None:
                    await queue.finish(message, Status.COMPLETE)
                if loop.time() - self._swept > SWEEP_S:
                    self._swept = loop.time()
                    await queue.sweep(abort=0.1)
        except Exception as error:  # noqa: BLE001  as above: the worker goes on looking by itself
            _LOG.warning("no news of jobs: %s", type(error).__name__)
            await self.close()
            await asyncio.sleep(max(0.0, end - loop.time()))

    async def close(self) -> None:
        """Ends what is open."""
        queue, self._queue = self._queue, None
        if queue is not None:
            with suppress(Exception):
                async with asyncio.timeout(PATIENCE_S):
                    await queue.disconnect()

    async def _open(self) -> Any:
        async with self._lock:
            if self._queue is None:
                from saq import Queue

                # What saq says of every message is for those who look for a fault in it.
                logging.getLogger("saq").setLevel(logging.WARNING)
                url = self._url.reveal()
                postgres = url.startswith("postgres")
                few = {"min_size": 1, "max_size": 3} if postgres else {}
                queue = Queue.from_url(url, name=self._name, **few)
                await queue.connect()
                self._queue = queue
            return self._queue


News = Looked | Carried


def open_news(url: Secret | None, *, digest: str) -> News:
    """News of a bundle's jobs, by the address that the store names.

    Raises:
        MissingExtra: the queue's package is not installed.
    """
    return Looked() if url is None else Carried(url, digest=digest)
