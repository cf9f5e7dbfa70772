"""Rows that wait for the model: those of several requests are asked together, and each request gets its own back.

While the model works on one batch, what arrives gathers for the next: the window is the model's own time, and an idle
server lets nobody wait. What may wait is bounded; beyond that ``Busy`` is raised at once. A request that fails fails
alone: a batch on which the model raises is asked again by halves until the guilty one stands by itself.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aweigh.errors import Busy
from aweigh.schema.answers import Answers
from aweigh.table import Table
from aweigh.table.columns import concatenate

Ask = Callable[[Table], Answers]
"""The model: answers for a table, one for each row; called from one thread of several, or on the event loop."""

Outcome = Answers | Exception
Outcomes = Callable[[], list[Outcome]]
InThread = Callable[[Outcomes], Awaitable[list[Outcome]]]
"""Runs the work in a thread."""

LARGE_AT_ONCE = 2
"""How many requests that are a batch by themselves are worked on beside the small ones."""

PAUSE_SHARE = 0.15
"""After a call a model pauses while others still join, each within so much of what the call took."""

LONGEST_PAUSE_SHARE = 1.0
"""But never longer than this much of it."""

LONGEST_RETRY_S = 60
FORGETS = 0.3
"""How much the latest batch counts in the average of what a row takes."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the queue may do.

    ``batch_rows``: the most rows asked in one call; 1 puts none together. ``waiting_rows``: the most that may wait;
    a single request of more is let in when nothing waits. ``wait_s``: how long an idle model waits for company.
    ``lanes``: how many calls at once, in threads.
    """

    batch_rows: int
    waiting_rows: int
    wait_s: float = 0.0
    lanes: int = 1


class Left(Exception):  # noqa: N818  control flow: whoever waited is gone
    """The place in the queue was given up before the answer came."""


class Place:
    """One request in the queue."""

    __slots__ = ("_future", "_queue", "begun_s", "joined_s", "rows", "table")

    def __init__(self, queue: "Queue", table: Table, future: "asyncio.Future[Answers]") -> None:
        self._queue = queue
        self._future = future
        self.table = table
        self.rows = table.rows
        self.joined_s = time.perf_counter()
        self.begun_s = 0.0

    async def answers(self) -> Answers:
        """The answers, when they are there.

        Raises:
            Left: ``leave`` was called before.
            Exception: what the model raised on this request's rows.
        """
        try:
            return await self._future
        finally:
            self.leave()

    @property
    def is_waiting(self) -> bool:
        """Whether its batch has not been made yet."""
        return self._queue.holds(self)

    def leave(self) -> None:
        """Gives up the place; one whose batch is already being asked, or answered, has none to give up."""
        self._queue.drop(self)
        if not self._future.done():
            self._future.set_exception(Left())

    def settle(self, outcome: Outcome) -> None:
        """Hands over what came of it, unless nobody waits any more."""
        if self._future.done():
            return
        if isinstance(outcome, Exception):
            self._future.set_exception(outcome)
        else:
            self._future.set_result(outcome)


class Queue:
    """Tables in front of a model. All of it belongs to one event loop; only the model's own call leaves it.

    ``in_thread`` runs the call elsewhere; without it the call is made on the event loop, once all requests that have
    arrived together have joined. ``seconds_per_row`` is the first guess of what a row takes, from which ``Busy`` says
    when to come again. ``on_batch`` is told the rows and seconds of every call, ``on_waiting`` how many rows wait.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        bounds: Bounds,
        in_thread: InThread | None = None,
        seconds_per_row: float = 0.001,
        on_batch: Callable[[int, float], None] = lambda _, __: None,
        on_waiting: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.bounds = bounds
        self.waiting_rows = 0
        self._ask = ask
        self._in_thread = in_thread
        self._seconds_per_row = seconds_per_row
        self._on_batch = on_batch
        self._on_waiting = on_waiting
        self._small: OrderedDict[Place, None] = OrderedDict()
        self._large: OrderedDict[Place, None] = OrderedDict()
        self._small_rows = 0
        self._running = 0
        self._large_running = 0
        self._timer: asyncio.TimerHandle | None = None
        self._flush: asyncio.Handle | None = None
        self._expected_rows = 0
        self._pause_s = 0.0
        self._pause_until_s = 0.0
        self._joined_s = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_full(self) -> bool:
        """Whether a request of one row would be turned away."""
        return self.waiting_rows >= self.bounds.waiting_rows

    def require_room(self, rows: int = 1) -> None:
        """Passes only when so many rows may wait.

        Raises:
            Busy: they may not.
        """
        if self.waiting_rows and self.waiting_rows + rows > self.bounds.waiting_rows:
            raise Busy(retry_after_s=self.retry_after_s())

    def retry_after_s(self) -> int:
        """When what waits now will have been answered, at the rate of late: whole seconds, 1 to 60."""
        return min(LONGEST_RETRY_S, max(1, math.ceil(self.waiting_rows * self._seconds_per_row)))

    def join(self, table: Table) -> Place:
        """A place for the table, at the end of the queue.

        Raises:
            Busy: the queue is full.
        """
        self.require_room(table.rows)
        loop = asyncio.get_running_loop()
        place = Place(self, table, loop.create_future())
        self._wait(place.rows)
        if place.rows > self.bounds.batch_rows and self._in_thread is not None:
            self._large[place] = None
        else:
            self._small[place] = None
            self._small_rows += place.rows
            self._joined_s = place.joined_s
        self._go(loop)
        return place

    def holds(self, place: Place) -> bool:
        """Whether the place still waits in a queue for a thread; a wait for the event loop's next turn is none."""
        return self._in_thread is not None and (place in self._small or place in self._large)

    def drop(self, place: Place) -> None:
        """Takes a place that still waits out of the queue."""
        if place in self._small:
            del self._small[place]
            self._small_rows -= place.rows
        elif place in self._large:
            del self._large[place]
        else:
            return
        self._wait(-place.rows)

    def _wait(self, rows: int) -> None:
        self.waiting_rows += rows
        self._on_waiting(self.waiting_rows)

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sets going what can go."""
        if self._in_thread is None:
            if self._small and self._flush is None and self._is_time(loop):
                # Not now: whoever else has arrived in this turn of the loop joins first.
                self._flush = loop.call_soon(self._answer_here, loop)
            return
        while self._large and self._large_running < LARGE_AT_ONCE:
            place, _ = self._large.popitem(last=False)
            self._large_running += 1
            self._start(loop, [place], self._in_thread, large=True)
        while self._small and self._running < self.bounds.lanes and self._is_time(loop):
            self._running += 1
            self._start(loop, self._gather(), self._in_thread, large=False)

    def _is_time(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether the next batch is to be made: it is full, or nobody is worth waiting for. If not, a timer is set.

        Right after a batch those whom it answered are, for a moment: without it the same clients fall into two halves
        that take turns, and no batch holds more than half of them. An idle model waits only when told to.
        """
        most = self.bounds.batch_rows
        if most == 1 or self._small_rows >= (most if self.bounds.wait_s else min(most, self._expected_rows)):
            return True
        now = time.perf_counter()
        paused_until_s = min(self._pause_until_s, self._joined_s + self._pause_s)
        left_s = max(paused_until_s, next(iter(self._small)).joined_s + self.bounds.wait_s) - now
        if left_s <= 0:
            return True
        if self._timer is None:
            self._timer = loop.call_later(left_s, self._ring, loop)
        return False

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._go(loop)

    def _gather(self) -> list[Place]:
        """The next batch: the first in the queue, and those behind it while there is room."""
        batch: list[Place] = []
        rows = 0
        while self._small:
            first = next(iter(self._small))
            if batch and rows + first.rows > self.bounds.batch_rows:
                break
            del self._small[first]
            batch.append(first)
            rows += first.rows
        self._small_rows -= rows
        return batch

    def _start(self, loop: asyncio.AbstractEventLoop, batch: list[Place], in_thread: InThread, *, large: bool) -> None:
        self._wait(-sum(place.rows for place in batch))
        task = loop.create_task(self._answer_there(batch, in_thread, large=large))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_there(self, batch: list[Place], in_thread: InThread, *, large: bool) -> None:
        """Answers a batch in a thread."""
        tables = [place.table for place in batch]
        begun = self._begin(batch)
        found: list[Outcome] | None = None
        try:
            found = await in_thread(lambda: outcomes(self._ask, tables))
        finally:
            if large:
                self._large_running -= 1
            else:
                self._running -= 1
            self._settle(batch, found, begun)
            self._go(asyncio.get_running_loop())

    def _answer_here(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answers a batch on the event loop."""
        self._flush = None
        if not self._small:
            return
        batch = self._gather()
        self._wait(-sum(place.rows for place in batch))
        begun = self._begin(batch)
        self._settle(batch, outcomes(self._ask, [place.table for place in batch]), begun)
        self._go(loop)

    def _begin(self, batch: Sequence[Place]) -> float:
        begun = time.perf_counter()
        for place in batch:
            place.begun_s = begun
        return begun

    def _settle(self, batch: Sequence[Place], found: Sequence[Outcome] | None, begun: float) -> None:
        if found is None:  # the thread itself was given up: the server is stopping
            for place in batch:
                place.settle(Left())
            return
        rows = sum(place.rows for place in batch)
        now = time.perf_counter()
        seconds = now - begun
        self._expected_rows = self._small_rows + rows
        self._pause_s = PAUSE_SHARE * seconds
        self._pause_until_s = now + LONGEST_PAUSE_SHARE * seconds
        self._joined_s = now
        self._seconds_per_row += FORGETS * (seconds / max(1, rows) - self._seconds_per_row)
        self._on_batch(rows, seconds)
        for place, outcome in zip(batch, found, strict=True):
            place.settle(outcome)


def outcomes(ask: Ask, tables: Sequence[Table]) -> list[Outcome]:
    """Each table's answers, asked together; where the model raises, its exception on that table alone."""
    try:
        answers = ask(concatenate(tables))
    except Exception as error:  # noqa: BLE001  whatever a model raises belongs to whoever asked
        if len(tables) == 1:
            return [error]
        middle = len(tables) // 2
        return outcomes(ask, tables[:middle]) + outcomes(ask, tables[middle:])
    if len(tables) == 1:
        return [answers]
    found: list[Outcome] = []
    begin = 0
    for table in tables:
        found.append(answers.take(slice(begin, begin + table.rows)))
        begin += table.rows
    return found
