"""Combinations: how unlikely it is that a row's values come together, by counts that were taken at pack time.

Each column has a few bins, or its frequent kinds. Of pairs of columns that hang together, each pair of bins has its
surprise: the square of log2((e + 1) / (c + 1)), where ``c`` rows of the sample lie there and ``e`` would if the columns
knew nothing of each other, or 0 where it is no rarer than that. A row's distance is the sum over the pairs. All of it
is whole numbers looked up in tables, so a row has the same distance alone and among others, on every machine.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import getitem, itemgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.errors import DamagedBundle
from aweigh.schema.column import Column, Schema
from aweigh.table import Table, Values
from aweigh.table.blocks import Blocks, Layout

UNITS_PER_SQUARE_BIT = 16
FEW_ROWS = 12
"""Up to here rows are looked at one by one: some 5 microseconds each, against 300 to begin with arrays."""


NO_EDGES = np.zeros(0)


class Binned(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One column in bins: the inner ``edges``, where a value on an edge lies above it, or the kinds in ``values``.

    Bins are numbered from 1. A missing cell, and one of a kind that is not among the values, is in bin 0, of which
    nothing is said.
    """

    name: str
    edges: tuple[int | float | str, ...] = ()
    values: tuple[str, ...] = ()

    @property
    def bins(self) -> int:
        """How many bins there are, bin 0 included."""
        return len(self.values) + 1 if self.values else len(self.edges) + 2


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two columns, by their places among the binned ones, and the surprise of each two of their bins but bin 0.

    ``surprise`` runs through the second column's bins for each of the first, in sixteenths of a squared bit.
    """

    first: int
    second: int
    surprise: tuple[int, ...]


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the threshold was chosen, and what it does, on rows that the tables had not seen.

    ``rows`` of the sample; of them ``flagged`` is the share beyond a threshold found on others of them, where
    ``wanted`` was wanted. ``swapped``: of rows with one value taken from another row; ``shuffled``: of rows with every
    value from another row.
    """

    rows: int
    wanted: float
    flagged: float
    swapped: float
    shuffled: float


class Combinations(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of how columns go together; a row whose distance is above ``threshold`` is unlikely.

    Nine of ten ordinary rows are not above ``usual``.
    """

    columns: tuple[Binned, ...]
    pairs: tuple[Pair, ...]
    threshold: int
    usual: int
    calibration: Calibration


class _Holder(msgspec.Struct, frozen=True):
    """The one key of ``profile.json`` that is read here."""

    combinations: Combinations | None = None


def read_combinations(profile_json: bytes, schema: Schema) -> Combinations | None:
    """What ``profile.json`` says of combinations; None where it says nothing, as of bundles made before there were any.

    Raises:
        DamagedBundle: it cannot be, or speaks of other columns than the schema.
    """
    try:
        found = msgspec.json.decode(profile_json, type=_Holder).combinations
        if found is not None:
            _check(found, schema)
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError, ValueError) as error:
        raise DamagedBundle(f"profile.json says of combinations what cannot be: {str(error)[:200]}.") from error
    return found


def _check(found: Combinations, schema: Schema) -> None:
    for one in found.columns:
        keys = coder_of(one, schema.column(one.name)).keys
        if list(keys) != sorted(keys):
            msg = f"the edges of {one.name[:80]!a} are in no order"
            raise ValueError(msg)
    if not found.pairs:
        msg = "no pair of columns"
        raise ValueError(msg)
    for pair in found.pairs:
        if not 0 <= pair.first < len(found.columns) or not 0 <= pair.second < len(found.columns):
            msg = "a pair of columns that are not there"
            raise ValueError(msg)
        cells = (found.columns[pair.first].bins - 1) * (found.columns[pair.second].bins - 1)
        if len(pair.surprise) != cells or min(pair.surprise, default=0) < 0 or max(pair.surprise, default=0) > 10**6:
            msg = "a pair of columns with a table of another size"
            raise ValueError(msg)


# -- bins ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Coder:
    """From a column's cells to bins: by ``keys``, the edges as the cells' own type, or by ``kinds``."""

    keys: Sequence[Any]
    kinds: Mapping[Any, int] | None
    array: NDArray[Any]

    def of(self, cell: Any) -> int:
        """The bin of one plain cell that is there."""
        return bisect_right(self.keys, cell) + 1 if self.kinds is None else self.kinds.get(cell, 0)

    def column(self, values: Values) -> NDArray[np.int64]:
        """The bins of a column, shape (rows,)."""
        if self.kinds is None:
            codes: NDArray[np.int64] = np.searchsorted(self.array, values.data, side="right").astype(np.int64) + 1
        else:
            codes = np.fromiter(map(self.kinds.get, values.data.tolist(), repeat(0)), np.int64, len(values))
        if values.missing is not None:
            codes[values.missing] = 0
        return codes


def coder_of(binned: Binned, column: Column) -> Coder:
    """How the column's cells are put into bins.

    Raises:
        ValueError, TypeError: its edges or values are none of the column's type.
    """
    if column.type == "boolean":
        return Coder((), {word == "true": i + 1 for i, word in enumerate(binned.values)}, NO_EDGES)
    if binned.values:
        kind = {"integer": int, "number": float}.get(column.type, str)
        return Coder((), {kind(one): i + 1 for i, one in enumerate(binned.values)}, NO_EDGES)
    if not column.is_number:
        msg = f"edges of a {column.type} column"
        raise TypeError(msg)
    if not all(isinstance(one, int | float) for one in binned.edges):
        msg = "an edge that is no number"
        raise TypeError(msg)
    return Coder(binned.edges, None, np.array(binned.edges, dtype=np.int64 if column.type == "integer" else np.float64))


# -- distances -------------------------------------------------------------------------------------------------------


class Distance:
    """The distance of rows: all that the tables decide is done beforehand."""

    def __init__(self, schema: Schema, known: Combinations) -> None:
        self.known = known
        self.coders = [coder_of(one, schema.column(one.name)) for one in known.columns]
        self._tables = [_table(known, pair) for pair in known.pairs]
        self._rows = [table.tolist() for table in self._tables]
        # A getter of one item gives no tuple: one pair alone is followed by one that is never strange.
        more = [[[0] * table.shape[1]] * table.shape[0] for table in self._tables] if len(self._rows) == 1 else []
        self._lookup = [*self._rows, *more]
        ends = [(pair.first, pair.second) for pair in known.pairs] * (2 if more else 1)
        self._firsts = itemgetter(*[first for first, _ in ends])
        self._seconds = itemgetter(*[second for _, second in ends])
        self._latest: tuple[Layout | None, _Places, list[int]] = (None, (), [])

    def rows_beyond(self, table: Table, threshold: int) -> list[int]:
        """The rows whose distance is above the threshold, in order."""
        if table.rows > FEW_ROWS:
            found: list[int] = np.flatnonzero(self.many(self.codes(table)) > threshold).tolist()
            return found
        return [row for row, codes in enumerate(self._few(table)) if self._one(codes) > threshold]

    def _one(self, codes: Sequence[int]) -> int:
        """The distance of one row: 48 pairs take 4 microseconds, a third less than a loop."""
        return sum(map(getitem, map(getitem, self._lookup, self._firsts(codes)), self._seconds(codes)))

    def many(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The distances of rows by their bins, shape (columns, rows)."""
        total = np.zeros(codes.shape[1], dtype=np.int64)
        for pair, table in zip(self.known.pairs, self._tables, strict=True):
            total += table.ravel()[codes[pair.first] * table.shape[1] + codes[pair.second]]
        return total

    def codes(self, table: Table) -> NDArray[np.int64]:
        """The bins of all rows, shape (columns, rows)."""
        columns = zip(self.known.columns, self.coders, strict=True)
        found = [coder.column(table.columns[binned.name]) for binned, coder in columns]
        return np.array(found, dtype=np.int64).reshape(len(found), table.rows)

    def _few(self, table: Table) -> Iterator[Sequence[int]]:
        """The bins of each of a few rows."""
        columns = table.columns
        if not isinstance(columns, Blocks):
            yield from zip(*map(self._plain, self.known.columns, self.coders, repeat(table)), strict=True)
            return
        layout, places, beside = self._latest
        if layout is not columns.layout:
            layout = columns.layout
            places, beside = self._places(layout)
            self._latest = (layout, places, beside)
        blocks = columns.blocks
        for row in range(table.rows):
            cells = [block.data[row].tolist() for block in blocks]
            codes = [
                bisect_right(keys, cells[block][place]) + 1 if kinds is None else kinds.get(cells[block][place], 0)
                for keys, kinds, block, place in places
            ]
            for i, block in enumerate(blocks):
                if block.missing is not None:
                    gone = block.missing[row].tolist()
                    for at, (_, _, its_block, place) in enumerate(places):
                        if its_block == i and gone[place]:
                            codes[at] = 0
            for at in beside:
                values = columns[self.known.columns[at].name].take(slice(row, row + 1))
                codes[at] = int(self.coders[at].column(values)[0])
            yield codes

    @staticmethod
    def _plain(binned: Binned, coder: Coder, table: Table) -> list[int]:
        return [0 if cell is None else coder.of(cell) for cell in table.columns[binned.name].cells()]

    def _places(self, layout: Layout) -> "tuple[_Places, list[int]]":
        """Where each column's cells lie in the blocks, and which columns lie in none."""
        found: list[tuple[Sequence[Any], Mapping[Any, int] | None, int, int]] = []
        beside = []
        for i, (binned, coder) in enumerate(zip(self.known.columns, self.coders, strict=True)):
            at = layout.place.get(binned.name)
            if at is None:
                beside.append(i)
                found.append(((), {}, 0, 0))
            else:
                found.append((coder.keys, coder.kinds, *at))
        return found, beside

    def strangest(self, table: Table, rows: Sequence[int]) -> list[tuple[str, str]]:
        """The two columns of each row whose values go together least; the one first whose pairs are strangest in all.

        Many rows are put into bins at once.
        """
        some = table.take(np.array(rows, dtype=np.int64))
        codes = self.codes(some).T.tolist() if len(rows) > FEW_ROWS else self._few(some)
        return [self._strangest(of_row) for of_row in codes]

    def _strangest(self, codes: Sequence[int]) -> tuple[str, str]:
        ends = [(pair.first, pair.second) for pair in self.known.pairs]
        by_pair = [rows[codes[first]][codes[second]] for (first, second), rows in zip(ends, self._rows, strict=True)]
        by_column = [0] * len(codes)
        for (first, second), surprise in zip(ends, by_pair, strict=True):
            by_column[first] += surprise
            by_column[second] += surprise
        first, second = ends[by_pair.index(max(by_pair))]
        if by_column[second] > by_column[first]:
            first, second = second, first
        return self.known.columns[first].name, self.known.columns[second].name


_Places = Sequence[tuple[Sequence[Any], Mapping[Any, int] | None, int, int]]


def _table(known: Combinations, pair: Pair) -> NDArray[np.int64]:
    """The pair's surprises with a row and a column of noughts for bin 0."""
    shape = known.columns[pair.first].bins, known.columns[pair.second].bins
    table = np.zeros(shape, dtype=np.int64)
    table[1:, 1:] = np.array(pair.surprise, dtype=np.int64).reshape(shape[0] - 1, shape[1] - 1)
    return table
