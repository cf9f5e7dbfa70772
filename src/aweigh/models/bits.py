"""Whether two ways to answer give the same bits: every digit that the API writes, for a row alone and among others.

Rounding differs with the order of a sum and with who takes an exponential, and both may hang on how many rows come
together and on how many threads share them. Two forms take turns, and a form takes threads, only where no bit differs.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aweigh.models.family import Predict
from aweigh.schema.answers import Answers
from aweigh.table import Table

PART_ROWS = (257, 32)
"""How many rows at a time, beside all and one."""
TRIED_THREADS = (2, 4)
ALONE_ROWS = 1_000
"""So many rows, spread over all, are asked one at a time as well."""
ON_THREADS = {2_000: 2_000, 32: 320, 1: 20}
"""How many rows are asked on each number of threads, by how many at a time."""


def rows_differing(got: Answers, expected: Answers) -> NDArray[np.bool_]:
    """Which rows differ in any bit, (rows,); two NaN are the same, 0 and -0 are not."""
    differing = np.zeros(expected.rows, dtype=bool)
    for ours, theirs in zip(_parts(got), _parts(expected), strict=True):
        differing |= (_bits(ours) != _bits(theirs)).any(axis=1)
    return differing


def _parts(answers: Answers) -> list[NDArray[np.generic]]:
    found = (answers.index, answers.probabilities, answers.values, answers.cluster, answers.outlier, answers.scores)
    return [one.reshape(answers.rows, -1) for one in found if one is not None]


def _bits(cells: NDArray[np.generic]) -> NDArray[np.generic]:
    if cells.dtype.kind != "f":
        return cells
    plain = np.where(np.isnan(cells), np.nan, cells).astype(np.float64)
    bits: NDArray[np.generic] = plain.view(np.int64)
    return bits


def same_bits(first: Predict, other: Predict, table: Table) -> int:
    """How many rows either answers in other bits than ``first`` answers them all together: in parts, or alone."""
    together = first(table)
    differing = rows_differing(other(table), together)
    return int((differing | _in_parts(first, table, together) | _in_parts(other, table, together)).sum())


def any_parts(predict: Predict, table: Table) -> bool:
    """Whether a form answers a row in the same bits in any company: among all, in parts, and alone."""
    return not _in_parts(predict, table, predict(table)).any()


def _in_parts(predict: Predict, table: Table, together: Answers) -> NDArray[np.bool_]:
    """Which rows come out otherwise than ``together`` when they are asked in parts, or alone, (rows,)."""
    differing = np.zeros(table.rows, dtype=bool)
    parts = [at for size in PART_ROWS for at in _parts_of(table.rows, size)]
    for at in parts + _parts_of(table.rows, 1, most=ALONE_ROWS):
        differing[at] |= rows_differing(predict(table.take(at)), _taken(together, at))
    return differing


def any_threads(on_one: Predict, load: Callable[[int], Predict], table: Table) -> bool:
    """Whether a form answers in the same bits on several threads as ``on_one``; ``load`` gives it on so many."""
    parts = []
    for size, most in ON_THREADS.items():
        few = table.take(_spread(table.rows, most))
        parts += [few.take(at) for at in _parts_of(few.rows, size)]
    expected = [on_one(part) for part in parts]
    for threads in TRIED_THREADS:
        on_many = load(threads)
        if any(rows_differing(on_many(part), one).any() for part, one in zip(parts, expected, strict=True)):
            return False
    return True


def _spread(rows: int, most: int) -> NDArray[np.int64]:
    """So many positions at most, spread evenly over all rows."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(np.int64))


def _parts_of(rows: int, size: int, *, most: int | None = None) -> list[NDArray[np.int64]]:
    """Positions, so many at a time; of one at a time at most ``most``."""
    places = np.arange(rows) if most is None else _spread(rows, most)
    return np.array_split(places, np.arange(size, len(places), size))


def _taken(answers: Answers, at: NDArray[np.int64]) -> Answers:
    def cut(cells: NDArray[np.generic] | None) -> NDArray[np.generic] | None:
        return None if cells is None else cells[at]

    found = (answers.index, answers.probabilities, answers.values, answers.cluster, answers.outlier, answers.scores)
    return Answers(answers.output, len(at), *(cut(one) for one in found))  # type: ignore[arg-type]
