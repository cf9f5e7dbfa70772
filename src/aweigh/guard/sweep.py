"""Sweeps: whether a client's rows look made up to map the model, by the reference bins that its bundle carries.

A thief without data of his own makes rows up, and rows made up column by column are unlike real ones in two ways that
do not hang on whose rows they are: their values do not come together as values do (``strange``: the combination is
farther out than nine of ten ordinary rows), and where they are drawn over a column's whole range most lie in its
outermost bins (``outer``), which of real rows hold a fixed share. A sub-population, one island's penguins, moves the
middle of some columns, and changes neither by much: that is why the bins themselves are not compared with the client's.

What it cannot see: a thief with real rows, and a model whose columns are neither dependent nor numbers. It tells
effects, never p-values: at a thousand rows anything is significant.
"""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aweigh.profile import Observed, Profile
from aweigh.schema.column import Schema
from aweigh.schema.combination import Distance
from aweigh.table import Table

LEAST_ROWS = 50
"""Of fewer different rows nothing is said."""
STRANGE_SHARE = 0.35
"""Of ordinary rows a tenth are strange; of those of odd honest clients, measured, up to a third."""
OUTER_SHARE = 0.15
"""How much more of the cells may lie in outermost bins than do of the sample's."""
FADE_ROWS = 2_000
"""From here on what was counted is halved: an old client's new habit shows within as many rows."""
REMEMBERED = 256
"""A row that came among the last so many different ones is not counted again: monitors ask the same one for ever."""
LEAST_OUTER = 3
"""Of fewer columns with outermost bins nothing is said: an honest client may ask for the oldest alone."""
MOST_OUTER = 0.3
"""A column of which more lies in its two outermost bins is not looked at: it has few bins."""


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What a table's rows look like: ``strange`` and ``outer`` by row (None: too little is known), and a key."""

    strange: NDArray[np.bool_] | None
    outer: NDArray[np.float64] | None
    keys: NDArray[np.uint64]

    def part(self, begin: int, end: int) -> "Looks":
        """Those of some rows."""
        strange = None if self.strange is None else self.strange[begin:end]
        outer = None if self.outer is None else self.outer[begin:end]
        return Looks(strange, outer, self.keys[begin:end])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a client: ``rows`` that were counted, and the shares; None where the bundle knows too little."""

    rows: int
    strange: float | None
    outer: float | None

    @property
    def is_sweep(self) -> bool:
        """Whether the rows look made up."""
        if self.rows < LEAST_ROWS:
            return False
        return (self.strange is not None and self.strange >= STRANGE_SHARE) or (
            self.outer is not None and self.outer >= OUTER_SHARE
        )


class SweepReference:
    """What a bundle knows of ordinary rows; one for all clients."""

    def __init__(self, schema: Schema, profile: Profile) -> None:
        known = profile.combinations
        self._distance = None if known is None else Distance(schema, known)
        self._usual = 0 if known is None else known.usual
        self._names = schema.names
        outer = [found for one in profile.columns if (found := _outermost(one)) is not None]
        self._outer = outer if len(outer) >= LEAST_OUTER else []

    def look(self, table: Table) -> Looks:
        """The looks of rows that the schema has checked."""
        strange = None
        if self._distance is not None:
            strange = self._distance.many(self._distance.codes(table)) > self._usual
        outer = None
        if self._outer:
            total = np.zeros(table.rows)
            for one in self._outer:
                values = table.columns[one.name]
                cells = values.data.astype(np.float64)
                excess = ((cells < one.low) | (cells >= one.high)).astype(np.float64) - one.share
                total += excess if values.missing is None else np.where(values.missing, 0.0, excess)
            outer = total / len(self._outer)
        return Looks(strange, outer, self._keys(table))

    def _keys(self, table: Table) -> NDArray[np.uint64]:
        """A number for each row, the same for the same row in this process."""
        keys = np.zeros(table.rows, dtype=np.uint64)
        for name in self._names:
            values = table.columns[name]
            cells = values.data
            plain = cells.astype(np.float64).view(np.uint64) if cells.dtype.kind in "fiub" else None
            if plain is None:
                hashed = map(hash, cells.tolist())
                plain = np.fromiter(hashed, dtype=np.int64, count=len(cells)).view(np.uint64)
            if values.missing is not None:
                plain = np.where(values.missing, np.uint64(1), plain)
            keys = (keys ^ plain) * np.uint64(0x9E3779B97F4A7C15)
            keys ^= keys >> np.uint64(29)
        return keys


@dataclass(frozen=True, slots=True)
class _Outermost:
    """A column's outermost bins, below ``low`` and from ``high`` on, and what ``share`` of the sample lies there."""

    name: str
    low: float
    high: float
    share: float


def _outermost(seen: Observed) -> _Outermost | None:
    if seen.kind != "numbers" or len(seen.counts) < 3 or not all(isinstance(one, int | float) for one in seen.edges):
        return None
    share = (seen.counts[0] + seen.counts[-1]) / max(sum(seen.counts), 1)
    if share > MOST_OUTER:
        return None
    return _Outermost(seen.name, float(seen.edges[1]), float(seen.edges[-2]), share)


class SweepWatch:
    """One client: a few numbers and the keys of its last different rows, some 20 kB at most."""

    def __init__(self) -> None:
        self._rows = 0.0
        self._strange = 0.0
        self._outer = 0.0
        self._told = (False, False)
        self._last: OrderedDict[int, None] = OrderedDict()

    def add(self, looks: Looks) -> Verdict:
        """Counts some rows; what is known of the client by then."""
        new = np.array([self._is_new(key) for key in looks.keys.tolist()], dtype=bool)
        self._told = (looks.strange is not None, looks.outer is not None)
        self._rows += float(new.sum())
        self._strange += 0.0 if looks.strange is None else float(looks.strange[new].sum())
        self._outer += 0.0 if looks.outer is None else float(looks.outer[new].sum())
        verdict = self.verdict
        while self._rows > FADE_ROWS:
            self._rows, self._strange, self._outer = self._rows / 2, self._strange / 2, self._outer / 2
        return verdict

    def _is_new(self, key: int) -> bool:
        if key in self._last:
            self._last.move_to_end(key)
            return False
        self._last[key] = None
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
        return True

    @property
    def verdict(self) -> Verdict:
        """What is known of the client."""
        rows = self._rows or 1.0
        strange, outer = self._told
        return Verdict(
            int(self._rows), self._strange / rows if strange else None, self._outer / rows if outer else None
        )
