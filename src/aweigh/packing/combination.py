"""How a sample's columns go together, learnt at pack time: which pairs, what is surprising, and from where on.

Everything that the threshold is chosen by was measured on rows that the tables had not seen: the rows are dealt into
ten parts, and each part is held against tables made of the other nine (cross-fitting).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aweigh.schema.column import Column, Schema
from aweigh.schema.combination import (
    UNITS_PER_SQUARE_BIT,
    Binned,
    Calibration,
    Combinations,
    Distance,
    Pair,
    coder_of,
)
from aweigh.table import Table, Values

WANTED = 0.001
"""The share of ordinary rows that may be called unlikely."""
USUAL = 0.9
LEAST_ROWS = 100
MOST_ROWS = 50_000
MOST_CELLS = 3e10
"""Rows times the square of all bins: counting every pair then takes about a second."""
MOST_COLUMNS = 300
MOST_PAIRS = 48
"""What a row may cost: some 6 microseconds."""
MOST_BINS, LEAST_BINS = 8, 3
ROWS_PER_CELL = 5
"""So many rows for each two bins of a pair decide how many bins there are: the cube root, since cells are many."""
MOST_KINDS = 12
PARTS = 10
CERTAIN = 5.0
"""A pair hangs together when its G statistic is so many standard deviations above what chance makes of it."""
TAIL = 0.05
"""Of too few rows to see one in a thousand, so many of the largest tell how fast distances die out."""
LEAST_THRESHOLD = 4 * UNITS_PER_SQUARE_BIT
"""Two bits: a row with but one pair that is four times rarer than chance would have it is not unlikely."""
USELESS = 0.01
"""Where not even so many of rows shuffled at random are found, nothing is gained by looking."""
SEED = 20_261_129


def learn(schema: Schema, table: Table, *, golden: Table) -> Combinations | None:
    """What a sample shows of how its columns go together; None where it shows nothing that would find a strange row.

    No ``golden`` row is called unlikely.
    """
    if table.rows < LEAST_ROWS:
        return None
    binned = _binned(schema, table)
    width = sum(one.bins for one in binned)
    rows = min(table.rows, MOST_ROWS, max(LEAST_ROWS, int(MOST_CELLS / max(width, 1) ** 2)))
    sample = table.take(np.unique(np.linspace(0, table.rows - 1, rows).round().astype(np.int64)))
    codes = np.array([coder_of(one, schema.column(one.name)).column(sample[one.name]) for one in binned])
    chosen = _chosen(codes, [one.bins for one in binned]) if len(binned) > 1 else []
    if not chosen:
        return None
    used = sorted({place for pair in chosen for place in pair})
    at = {place: i for i, place in enumerate(used)}
    found = _Learnt(
        tuple(binned[place] for place in used),
        codes[used],
        tuple((at[first], at[second]) for first, second in chosen),
    )
    known = found.combinations()
    if known.calibration.shuffled < USELESS:
        return None
    distance = Distance(schema, known)
    most = int(distance.many(distance.codes(golden)).max(initial=0))
    return Combinations(
        columns=known.columns,
        pairs=known.pairs,
        threshold=max(known.threshold, most),
        usual=known.usual,
        calibration=known.calibration,
    )


# -- bins ------------------------------------------------------------------------------------------------------------


def _binned(schema: Schema, table: Table) -> list[Binned]:
    """The columns that have more than one bin. Times go on and free text never comes again: neither is looked at."""
    columns = [
        column
        for column in schema.columns
        # Bins and kinds are written into the bundle: of columns about people nothing is, unless the owner keeps it.
        if not column.is_time and column.type != "text" and column.personal in {None, "keep"}
    ]
    if len(columns) > MOST_COLUMNS:
        columns = [columns[i] for i in np.linspace(0, len(columns) - 1, MOST_COLUMNS).round().astype(int).tolist()]
    most = round(math.cbrt(table.rows / ROWS_PER_CELL))
    bins = min(max(most, LEAST_BINS), MOST_BINS)
    found = [_bins(column, table[column.name], bins) for column in columns]
    return [one for one in found if one.bins > 2]


def _bins(column: Column, values: Values, bins: int) -> Binned:
    present = values.present()
    if column.type == "boolean":
        both = len(np.unique(present)) > 1
        return Binned(name=column.name, values=("false", "true")) if both else Binned(name=column.name)
    if not column.is_number or column.categories is not None:
        kinds, counts = np.unique(present.astype(str), return_counts=True)
        ranked = sorted(zip(counts.tolist(), kinds.tolist(), strict=True), key=lambda one: (-one[0], one[1]))
        return Binned(name=column.name, values=tuple(_kind(column, kind) for _, kind in ranked[:MOST_KINDS]))
    ordered = np.sort(present)
    distinct = np.unique(ordered)
    if len(distinct) <= bins:
        edges = distinct[1:]
    else:
        places = [math.ceil(i * len(ordered) / bins) - 1 for i in range(1, bins)]
        edges = np.unique(ordered[places])
        edges = edges[edges > distinct[0]]
    return Binned(name=column.name, edges=tuple(edges.tolist()))


def _kind(column: Column, kind: str) -> str:
    """A kind as the schema writes it: numbers that are names may be written otherwise by numpy."""
    if not column.is_number:
        return kind
    return next((one for one in column.categories or () if float(one) == float(kind)), kind)


# -- pairs -----------------------------------------------------------------------------------------------------------


def _chosen(codes: NDArray[np.int64], bins: list[int]) -> list[tuple[int, int]]:
    """The pairs of columns that hang together most, each column's closest first, so that none is left out."""
    starts = np.concatenate([[0], np.cumsum([count - 1 for count in bins])])
    rows = codes.shape[1]
    flags = np.zeros((rows, int(starts[-1])), dtype=np.float32)
    for column, start in zip(codes, starts[:-1].tolist(), strict=True):
        here = np.flatnonzero(column)
        flags[here, column[here] - 1 + start] = 1
    counts = flags.T @ flags  # whole numbers below 2**24: exact in any order
    strength: dict[tuple[int, int], float] = {}
    for i in range(len(bins)):
        for j in range(i + 1, len(bins)):
            above = _above_chance(counts[starts[i] : starts[i + 1], starts[j] : starts[j + 1]].astype(np.float64))
            if above is not None:
                strength[i, j] = above
    ranked = sorted(strength, key=lambda pair: (-strength[pair], pair))
    own = [[pair for pair in ranked if place in pair] for place in range(len(bins))]
    chosen: dict[tuple[int, int], None] = {}
    for turn in range(max(map(len, own), default=0)):
        for mine in own:
            if turn < len(mine) and len(chosen) < MOST_PAIRS:
                chosen.setdefault(mine[turn])
    return sorted(chosen)


def _above_chance(seen: NDArray[np.float64]) -> float | None:
    """How far a table's G statistic (twice the log likelihood ratio) is above its degrees of freedom; None: hardly."""
    seen = seen[seen.sum(axis=1) > 0][:, seen.sum(axis=0) > 0]
    free = (seen.shape[0] - 1) * (seen.shape[1] - 1)
    if free < 1:
        return None
    expected = _expected(seen)
    here = seen > 0
    statistic = 2.0 * float((seen[here] * np.log(seen[here] / expected[here])).sum())
    return statistic - free if (statistic - free) > CERTAIN * math.sqrt(2.0 * free) else None


def _expected(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many rows would lie in each cell if neither column knew of the other."""
    expected: NDArray[np.float64] = seen.sum(axis=1, keepdims=True) * seen.sum(axis=0, keepdims=True)
    return expected / max(float(seen.sum()), 1.0)


def _surprise(seen: NDArray[np.float64]) -> NDArray[np.int64]:
    """The squared bits by which a cell is rarer than chance, in whole units; one row more in each cell is assumed."""
    bits = np.maximum(np.log2((_expected(seen) + 1.0) / (seen + 1.0)), 0.0)
    units: NDArray[np.int64] = np.rint(UNITS_PER_SQUARE_BIT * bits**2).astype(np.int64)
    return units


# -- threshold -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Learnt:
    """Columns in bins, the bins of the sample's rows, shape (columns, rows), and the pairs that are looked at."""

    columns: tuple[Binned, ...]
    codes: NDArray[np.int64]
    pairs: tuple[tuple[int, int], ...]

    def combinations(self) -> Combinations:
        """The tables of all rows, with the threshold and the figures of rows that were held out."""
        rows = self.codes.shape[1]
        part = np.arange(rows) % PARTS
        counts = [self._counts(pair, part) for pair in self.pairs]
        honest = self._held_out(self.codes, counts, part)
        generator = np.random.default_rng(SEED)
        swapped, shuffled = self.codes.copy(), self.codes.copy()
        which = generator.integers(len(self.columns), size=rows)
        swapped[which, np.arange(rows)] = self.codes[which, generator.integers(rows, size=rows)]
        for column in shuffled:
            column[:] = column[generator.integers(rows, size=rows)]
        halves = [np.arange(rows) % 2 == side for side in (0, 1)]
        flagged = sum(int((honest[one] > threshold_of(honest[~one])).sum()) for one in halves)
        threshold = threshold_of(honest)
        usual = int(np.sort(honest)[math.ceil(USUAL * rows) - 1])
        share = [float((self._held_out(codes, counts, part) > threshold).mean()) for codes in (swapped, shuffled)]
        pairs = tuple(
            Pair(first=first, second=second, surprise=tuple(_surprise(seen.sum(axis=0)).ravel().tolist()))
            for (first, second), seen in zip(self.pairs, counts, strict=True)
        )
        calibration = Calibration(rows=rows, wanted=WANTED, flagged=flagged / rows, swapped=share[0], shuffled=share[1])
        return Combinations(
            columns=self.columns, pairs=pairs, threshold=threshold, usual=usual, calibration=calibration
        )

    def _shape(self, pair: tuple[int, int]) -> tuple[int, int]:
        return self.columns[pair[0]].bins - 1, self.columns[pair[1]].bins - 1

    def _counts(self, pair: tuple[int, int], part: NDArray[np.int64]) -> NDArray[np.float64]:
        """The rows in each two bins of a pair, by part of the sample; shape (parts, bins, bins)."""
        one, other = self.codes[pair[0]], self.codes[pair[1]]
        here = (one > 0) & (other > 0)
        shape = self._shape(pair)
        cells = (part[here] * shape[0] + one[here] - 1) * shape[1] + other[here] - 1
        counted = np.bincount(cells, minlength=PARTS * shape[0] * shape[1])
        return counted.astype(np.float64).reshape(PARTS, *shape)

    def _held_out(
        self, codes: NDArray[np.int64], counts: list[NDArray[np.float64]], part: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The distance of each row by tables of the other parts."""
        total = np.zeros(codes.shape[1], dtype=np.int64)
        for pair, seen in zip(self.pairs, counts, strict=True):
            tables = np.array([_surprise(seen.sum(axis=0) - seen[i]) for i in range(PARTS)])
            tables = np.pad(tables, ((0, 0), (1, 0), (1, 0)))
            total += tables[part, codes[pair[0]], codes[pair[1]]]
        return total


def threshold_of(distances: NDArray[np.int64]) -> int:
    """The distance that a share of ``WANTED`` of such rows goes beyond.

    Of a thousand rows and more it is seen. Of fewer it is put where an exponential tail would have it, fitted to the
    largest of them by its mean (the maximum likelihood estimate) without the very largest, which may be a mistake.
    """
    ordered = np.sort(distances)
    if len(ordered) >= 1 / WANTED:
        return max(int(ordered[math.ceil((1 - WANTED) * len(ordered)) - 1]), LEAST_THRESHOLD)
    begins = int(ordered[math.ceil((1 - TAIL) * len(ordered)) - 1])
    beyond = ordered[:-1][ordered[:-1] > begins] - begins
    mean = float(beyond.sum()) / len(beyond) if len(beyond) else 0.0
    return max(math.ceil(begins + mean * math.log(TAIL / WANTED)), LEAST_THRESHOLD)
