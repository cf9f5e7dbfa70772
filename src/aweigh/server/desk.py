"""Where requests wait for a model that is too slow to answer at once: known rows are looked up, the others queue."""

import asyncio
import logging
import os
from dataclasses import replace
from functools import partial

import anyio
import anyio.to_thread
from starlette.types import Receive

from aweigh.database.place import state_folder
from aweigh.errors import MissingExtra
from aweigh.runtime.batching import Left, Place, Queue
from aweigh.runtime.cache import Cache, compile_keys, secret_of
from aweigh.runtime.cost import Cost, bounds_for, measure
from aweigh.runtime.known import Known
from aweigh.runtime.predictor import Predictor
from aweigh.runtime.shared_cache import SharedCache, connect
from aweigh.runtime.subject import mark_of
from aweigh.runtime.timing import quickest_s
from aweigh.schema.answers import Answers
from aweigh.schema.stored import RowForm
from aweigh.server.body import ClientGone
from aweigh.server.metrics import Counters
from aweigh.server.settings import Settings
from aweigh.server.timing import MODEL, Timing
from aweigh.table import Table

CACHE_BYTES = 16 * 2**20
"""What a process keeps of answers when nothing else was asked for: some 50,000 of two classes."""

LOOKING_PAYS = 4.0
"""Answers are kept, unasked, of models that take so many times what making a row's key takes."""

HERE_S, FEW_HERE = 0.01, 8
"""Batches are asked on the event loop when at least so many rows take no longer; otherwise in a thread."""

_LOG = logging.getLogger(__name__)


class Desk:
    """A predictor behind a queue and a cache; made by ``open_desk``.

    A ``discreet`` one does not tell whether rows were known, nor how long the model took, which tells the same: where
    people are told apart, it would say what others have asked.
    """

    def __init__(self, queue: Queue, *, known: Known | None, counters: Counters, discreet: bool = False) -> None:
        self.queue = queue
        self.known = known
        self._counters = counters
        self._discreet = discreet and known is not None

    def require_room(self) -> None:
        """Passes unless the queue is full and nothing can be known without it.

        Raises:
            Busy: it is.
        """
        if self.known is None and self.queue.is_full:
            self.queue.require_room()

    async def ask(self, table: Table, *, timing: Timing, receive: Receive | None) -> Answers:
        """The answers for a table; ``receive`` tells when its client has gone.

        Raises:
            Busy: too much waits already.
            ClientGone: nobody waits any more.
            Exception: whatever the model raises.
        """
        asked_rows = 0

        async def wait(part: Table) -> Answers:
            nonlocal asked_rows
            asked_rows = part.rows
            return await self._wait(part, timing=timing, receive=receive)

        if self.known is None:
            return await wait(table)
        answers = await self.known.ask(table, wait)
        if self._discreet:
            timing.pass_over()
        elif asked_rows in {0, table.rows}:
            timing.note(b"cache;desc=miss" if asked_rows else b"cache;desc=hit")
        else:
            timing.note(b'cache;desc="%d of %d"' % (table.rows - asked_rows, table.rows))
        return answers

    async def _wait(self, table: Table, *, timing: Timing, receive: Receive | None) -> Answers:
        place = self.queue.join(table)
        watch: asyncio.Task[None] | None = None
        if receive is not None and place.is_waiting:
            watch = asyncio.get_running_loop().create_task(_leave_with_client(place, receive))
        try:
            answers = await place.answers()
        except Left:
            raise ClientGone from None
        finally:
            if watch is not None:
                watch.cancel()
        if not self._discreet:
            timing.waited(place.begun_s)
            timing.mark(MODEL)
        return answers

    def open(self) -> None:
        """Looks for the Redis, on the event loop."""
        if self.known is not None:
            self.known.open()

    async def close(self) -> None:
        """Leaves the Redis."""
        if self.known is not None:
            await self.known.close()


async def _leave_with_client(place: Place, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # nothing else comes behind a body that is whole
    place.leave()


def open_desk(
    predictor: Predictor,
    rows: Table,
    *,
    settings: Settings,
    counters: Counters,
    inline_s: float,
    lanes: int,
    discreet: bool = False,
) -> Desk | None:
    """The desk that suits the model, by measuring what it costs; None where asking it at once is cheaper.

    ``rows`` are some that the model answers, as requests bring them. A model that answers a row within ``inline_s`` is
    asked on the event loop, otherwise in ``lanes`` threads, or in one when rows are put together. ``discreet``: nobody
    is told which rows were known.
    """
    wanted = (settings.batch_rows or 0) > 1 or bool(settings.cache_bytes)
    cost = measure(predictor.predict, rows, thoroughly=wanted)
    known = _open_cache(predictor, cost, rows, settings=settings, counters=counters)
    bounds = bounds_for(
        cost,
        batch_rows=settings.batch_rows,
        max_batch_rows=settings.max_batch_rows,
        queue_rows=settings.queue_rows,
        wait_s=settings.batch_wait_s,
        lanes=lanes,
    )
    here = cost.one_s < inline_s
    if here and known is None and bounds.batch_rows == 1:
        return None
    if bounds.batch_rows > 1:
        # On the event loop a batch costs less, as long as nothing else is held up by it.
        most = cost.rows_within(HERE_S)
        here = here and most >= FEW_HERE and not bounds.wait_s
        bounds = replace(bounds, batch_rows=min(bounds.batch_rows, most)) if here else bounds
    queue = Queue(
        predictor.predict,
        bounds=bounds,
        in_thread=None if here else partial(anyio.to_thread.run_sync, abandon_on_cancel=True),
        seconds_per_row=cost.one_s,
        on_batch=counters.batched,
        on_waiting=counters.queued,
    )
    return Desk(queue, known=known, counters=counters, discreet=discreet)


def _open_cache(
    predictor: Predictor, cost: Cost, rows: Table, *, settings: Settings, counters: Counters
) -> Known | None:
    """The cache, where answers should be kept: asked for, or of a slow model that takes no free text.

    Those that are not what the schema says of them cannot be: such a model is served without.

    An owner's own function may know more than its row, the hour for one: its answers are kept only when asked for.
    """
    asked_for = settings.cache_bytes is not None
    size_bytes = settings.cache_bytes if settings.cache_bytes is not None else CACHE_BYTES
    hangs_on_more = predictor.manifest.runtime == "python"
    has_text = any(column.type == "text" for column in predictor.schema.columns)
    if not size_bytes or (not asked_for and (has_text or hangs_on_more or not cost.keeping_pays)):
        return None
    secret = secret_of(settings.cache_secret)
    keys = compile_keys(predictor.schema, digest=predictor.digest, secret=secret)
    first = rows.take(slice(0, 1))
    if not asked_for and cost.one_s < LOOKING_PAYS * quickest_s(lambda: keys(first)):
        return None  # thousands of columns: looking for the answer takes as long as asking
    form = RowForm(predictor.schema.output)
    try:
        form.dump(predictor.predict(rows))
    except ValueError:
        _LOG.warning("the model's answers are not what its schema says of them: none are kept")
        return None
    forgotten = partial(mark_of, state_folder(os.environ, named=settings.state_dir))
    shared = None
    if settings.redis_url is not None and (asked_for or cost.sharing_pays):
        try:
            shared = SharedCache(
                connect(settings.redis_url),
                ttl_s=settings.cache_ttl_s,
                secret=secret,
                on_failure=counters.redis_failed,
            )
        except MissingExtra as error:
            _LOG.warning("%s %s", error.message, error.hint)
    return Known(keys, form, cache=Cache(size_bytes=size_bytes), shared=shared, tally=counters, forgotten=forgotten)
