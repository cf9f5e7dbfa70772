"""The worker: it takes a bundle's jobs, one after the other, until it is told to stop."""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from aweigh.errors import AweighError, StorageDown
from aweigh.jobs.attempt import NO_LIMITS, Limits, Outcome
from aweigh.jobs.job import Job
from aweigh.jobs.news import News
from aweigh.jobs.run import run
from aweigh.jobs.store import Store, claim, owner_name, sweep
from aweigh.runtime.predictor import Predictor

SWEEP_S = 60.0
LOOK_AGAIN_S = 10.0
"""How long a worker trusts that it would have been told of a job."""
STORE_DOWN_S = 2.0

_LOG = logging.getLogger(__name__)

Told = Callable[[Job, Outcome, float], None]
"""Hears of each job that a worker has let go of: the job as it was taken, what became of it, the seconds it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a worker works: leases, keeping times, how many jobs at once, and how long without one until it ends."""

    lease_s: float
    ttl_s: float
    concurrency: int = 1
    idle_s: float | None = None
    drain_s: float = 25.0
    limits: Limits = NO_LIMITS


async def work(
    store: Store, predictor: Predictor, news: News, *, terms: Terms, stop: asyncio.Event, told: Told
) -> None:
    """Takes jobs until ``stop`` is set, or until there was none for ``idle_s``.

    What is under way then is given back after the part under way; what does not come to a part's end within
    ``drain_s`` is left, and taken up by another worker when its lease has ended.
    """
    worker = _Worker(store, predictor, news, terms, told)
    slots = [asyncio.create_task(worker.slot()) for _ in range(terms.concurrency)]
    sweeper = asyncio.create_task(keep_swept(store, ttl_s=terms.ttl_s))
    stopped = asyncio.create_task(stop.wait())
    try:
        waited: list[asyncio.Task[Any]] = [*slots, stopped]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await asyncio.wait(slots)  # idle: each ends by itself
        worker.stop.set()
        worker.stopping.set()
        _, late = await asyncio.wait(slots, timeout=terms.drain_s)
        if late:
            _LOG.error("%d jobs did not come to the end of a part in %g s: left", len(late), terms.drain_s)
            # Their threads cannot be ended from here, and the interpreter would wait for them.
            os._exit(0)
        for one in slots:
            one.result()
    finally:
        ending: list[asyncio.Task[Any]] = [sweeper, stopped]
        for one in ending:
            one.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await one
        await news.close()


async def keep_swept(store: Store, *, ttl_s: float) -> None:
    """Removes what has run out, at once and then now and then."""
    while True:
        try:
            await asyncio.to_thread(partial(sweep, store, ttl_s=ttl_s))
        except AweighError as error:
            _LOG.warning("nothing is swept: %s", error.message)
        await asyncio.sleep(min(SWEEP_S, ttl_s))


class _Worker:
    """What the slots of one worker share."""

    def __init__(self, store: Store, predictor: Predictor, news: News, terms: Terms, told: Told) -> None:
        self._store = store
        self._predictor = predictor
        self._news = news
        self._terms = terms
        self._told = told
        self._owner = owner_name()
        self.stop = threading.Event()
        self.stopping = asyncio.Event()

    async def slot(self) -> None:
        """One job after the other."""
        last = time.monotonic()
        while not self.stop.is_set():
            found = await asyncio.to_thread(self._claim)
            if found is not None:
                await self._run(found)
                last = time.monotonic()
                continue
            if self._terms.idle_s is not None and time.monotonic() - last > self._terms.idle_s:
                return
            # Looks again even without news: some may have been lost, and nobody tells of a job whose worker died.
            await self._until_stopped(self._news.wait(min(LOOK_AGAIN_S, self._terms.lease_s / 2)))

    async def _until_stopped(self, waiting: Coroutine[None, None, None]) -> None:
        task, stopped = asyncio.create_task(waiting), asyncio.create_task(self.stopping.wait())
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        for one in (task, stopped):
            one.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)

    async def _run(self, found: tuple[Job, int]) -> None:
        begun = time.monotonic()
        terms = self._terms
        outcome = await asyncio.to_thread(
            partial(
                run,
                self._store,
                self._predictor,
                found,
                lease_s=terms.lease_s,
                ttl_s=terms.ttl_s,
                stop=self.stop,
                limits=terms.limits,
            )
        )
        self._told(found[0], outcome, time.monotonic() - begun)
        if outcome == "given back":
            await self._news.tell(found[0].id)

    def _claim(self) -> tuple[Job, int] | None:
        terms = self._terms
        try:
            return claim(
                self._store, self._predictor.digest, owner=self._owner, lease_s=terms.lease_s, ttl_s=terms.ttl_s
            )
        except StorageDown as error:
            _LOG.warning("no jobs: %s", error.message)
            self.stop.wait(STORE_DOWN_S)
            return None
