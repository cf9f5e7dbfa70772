"""What a row costs this model on this machine, measured when it is loaded; and what follows from that.

Whether rows of several requests are put together, and whether answers are kept, is a question of prices: of one row
alone, of a row among others, of putting together and taking apart, of handing work to a thread.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from aweigh.runtime.batching import Ask, Bounds
from aweigh.runtime.timing import quickest_s
from aweigh.schema.stored import RowForm
from aweigh.table import Table
from aweigh.table.columns import concatenate

SIZES = (1, 8, 32, 128)
"""Rows in one call at which the model is measured."""

LONG_CALL_S = 0.1
"""A batch should not take longer than this: whoever comes next waits for it."""

TURN_S = 60e-6
"""What a place in the queue costs beside what is measured: a future, a task that wakes (measured: 20 to 50 µs)."""

PAYS = 2.0
"""Putting together pays when it saves so many times what it costs."""

KNOWN_PAYS_S = 0.5e-3
"""Answers are kept of models that take at least so long for a row: ten times what looking a row up costs."""

SHARED_PAYS_S = 2e-3
"""Others are asked for answers when the model itself would take longer than they do."""

QUEUE_S = 5.0
"""So long may the last in a full queue have to wait, when nothing else was asked for."""

FEWEST_WAITING, MOST_WAITING = 64, 10_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one call of the model: ``seconds[i]`` with ``sizes[i]`` rows.

    ``gather_s``: what a row costs that is put together with others and taken apart again. ``switch_s``: what handing a
    call to a thread and back costs. ``steady``: whether a row's answer has the same bits alone and in company.
    """

    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    gather_s: float
    switch_s: float
    steady: bool

    @property
    def one_s(self) -> float:
        """Seconds of a call with one row."""
        return self.seconds[0]

    def row_s(self) -> float:
        """Seconds of a row in the largest call measured."""
        return self.seconds[-1] / self.sizes[-1]

    @property
    def saved_s(self) -> float:
        """What a row saves in the best company measured, against being asked alone."""
        return self.one_s - min(seconds / size for size, seconds in zip(self.sizes, self.seconds, strict=True))

    def rows_within(self, seconds: float) -> int:
        """The most rows of which a call takes no longer, as far as the measured sizes tell; at least one."""
        most = 1
        for size, taken in zip(self.sizes, self.seconds, strict=True):
            if taken <= seconds:
                most = size
        return most

    @property
    def batching_pays(self) -> bool:
        """Whether rows of several requests should be asked together."""
        return self.steady and self.saved_s > PAYS * (self.gather_s + TURN_S)

    @property
    def keeping_pays(self) -> bool:
        """Whether answers should be kept."""
        return self.steady and self.one_s >= KNOWN_PAYS_S

    @property
    def sharing_pays(self) -> bool:
        """Whether others should be asked for answers."""
        return self.one_s >= SHARED_PAYS_S


def measure(ask: Ask, rows: Table, *, thoroughly: bool = False, clock: Callable[[], float] = time.perf_counter) -> Cost:
    """Asks the model with these rows, over and over; it must have answered them before.

    Larger calls are left out when smaller ones already take longer than a batch should. Of a model that is quicker
    than any queue nothing more is asked, unless ``thoroughly``.
    """
    quickest = partial(quickest_s, clock=clock)
    one_s = quickest(lambda: ask(rows.take(slice(0, 1))))
    sizes, seconds = [1], [one_s]
    if one_s < PAYS * TURN_S and not thoroughly:
        return Cost((1,), (one_s,), gather_s=0.0, switch_s=0.0, steady=True)
    for size in SIZES[1:]:
        if seconds[-1] > LONG_CALL_S:
            break
        table = rows.take(np.arange(size) % rows.rows)
        sizes.append(size)
        seconds.append(quickest(partial(ask, table)))
    singles = [rows.take(slice(i % rows.rows, i % rows.rows + 1)) for i in range(8)]
    answers = ask(concatenate(singles))
    gather_s = quickest(lambda: concatenate(singles)) / 8 + quickest(lambda: answers.take(slice(0, 1)))
    with ThreadPoolExecutor(1) as pool:
        switch_s = quickest(lambda: pool.submit(_nothing).result())
    # Only where it matters: a quick model is neither batched nor cached.
    worth_it = max(seconds) >= KNOWN_PAYS_S
    return Cost(tuple(sizes), tuple(seconds), gather_s, switch_s, not worth_it or is_steady(ask, rows, sizes=sizes[1:]))


def is_steady(ask: Ask, rows: Table, *, sizes: list[int]) -> bool:
    """Whether each of the rows gets the same bits alone as among these numbers of rows.

    Of answers that are not what the schema says of them that cannot be told: each is left alone.
    """
    form = RowForm(ask(rows).output)
    try:
        alone = [form.dump(ask(rows.take(slice(i, i + 1))))[0] for i in range(rows.rows)]
        for size in {2, rows.rows, *sizes}:
            places = np.arange(size) % rows.rows
            if form.dump(ask(rows.take(places))) != [alone[i] for i in places.tolist()]:
                return False
    except ValueError:
        return False
    return True


def bounds_for(
    cost: Cost,
    *,
    batch_rows: int | None = None,
    max_batch_rows: int | None = None,
    queue_rows: int | None = None,
    wait_s: float = 0.0,
    lanes: int = 4,
) -> Bounds:
    """What the queue may do: as asked for, and else as the prices say.

    ``batch_rows`` 0 or 1 puts nothing together; where it is None the prices say, and ``max_batch_rows`` bounds what
    they say: a plan measures how few rows a call give nearly all that more would. Without batches ``lanes`` calls are
    made at once; with them one, so that what arrives meanwhile gathers.
    """
    most = batch_rows
    if most is None:
        most = cost.rows_within(LONG_CALL_S) if cost.batching_pays else 1
        most = min(most, max_batch_rows or most)
    row_s = cost.row_s() if most > 1 else cost.one_s
    waiting = queue_rows
    if waiting is None:
        waiting = min(MOST_WAITING, max(FEWEST_WAITING, round(QUEUE_S / max(row_s, 1e-9))))
    return Bounds(max(1, most), waiting, wait_s, 1 if most > 1 else lanes)


def _nothing() -> None:
    """What a thread is asked to do, to see what asking costs."""
