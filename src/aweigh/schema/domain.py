"""What a model has seen and a row goes beyond: no fault, and worth a warning beside the answer.

What the owner refuses (``lower_limit``, ``upper_limit``, ``closed``) never comes this far: ``check`` has refused it.
"""

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from aweigh.errors import Problem
from aweigh.schema.cells import INT64_MAX, INT64_MIN, shown
from aweigh.schema.column import Column, Schema
from aweigh.table import Table, Values
from aweigh.table.blocks import Block, Blocks, Layout

FEW_ROWS = 64
"""Up to here plain Python is quicker than arrays: most requests have one row."""

FEW_COLUMNS = 16
"""Of a single row, up to here plain Python is quicker than two comparisons of arrays."""

WRITTEN_OUT = 1e15
"""Below this a whole number stored as a float is written without a point and an exponent."""

OUTSIDE = "outside_reference_range"
UNSEEN = "unseen_category"


Warn = Callable[[Table], list[Problem]]


def warnings_for(schema: Schema, table: Table, limit: int = 100) -> list[Problem]:
    """The first ``limit`` cells, by row and then column, that lie outside what the model was trained on.

    ``table`` is in the schema's types, as ``check`` returns it. A warning's code is ``outside_reference_range`` (a
    number or a time beyond the observed range) or ``unseen_category``. Who asks often compiles once.
    """
    return compile_warnings(schema, limit=limit)(table)


def compile_warnings(schema: Schema, *, limit: int = 100) -> Warn:
    """``warnings_for`` with all that the schema decides done beforehand: 30 numbers of a row cost 3 microseconds."""
    domains = [domain for column in schema.columns if (domain := _domain(column)) is not None]
    everywhere = list(enumerate(domains))
    latest: tuple[Layout | None, Usual, list[tuple[int, _Range | _Kinds]]] = (None, _never, everywhere)

    def doubtful(columns: Mapping[str, Values]) -> list[tuple[int, _Range | _Kinds]]:
        nonlocal latest
        if not isinstance(columns, Blocks):
            return everywhere
        layout, usual, beside = latest
        if layout is not columns.layout:
            usual = _compile_usual(domains, columns.layout)
            beside = [one for one in everywhere if one[1].column.name not in columns.layout.place]
            latest = (columns.layout, usual, beside)
        return beside if usual(columns.blocks) else everywhere

    def warn(table: Table) -> list[Problem]:
        found: list[tuple[int, int, Problem]] = []
        for place, domain in doubtful(table.columns):
            values = table.columns[domain.column.name]
            if table.rows <= FEW_ROWS and domain.holds(values.data.tolist()):
                continue
            rows = domain.rows_beyond(values, limit)
            found.extend((row, place, _warning(domain.column, row, values.data[row])) for row in rows)
        found.sort(key=lambda one: one[:2])
        return [problem for _, _, problem in found[:limit]]

    return warn


@dataclass(frozen=True, slots=True)
class _Range:
    """Numbers or times from the least to the greatest that was seen."""

    column: Column
    low: Any
    high: Any

    def holds(self, cells: list[Any]) -> bool:
        """Whether plain cells all lie within; a blank where one is missing may not."""
        return not cells or bool(self.low <= min(cells) and max(cells) <= self.high)

    def rows_beyond(self, values: Values, limit: int) -> list[int]:
        bounds = np.array([self.low, self.high], dtype="datetime64[us]" if self.column.is_time else None)
        flags = (values.data < bounds[0]) | (values.data > bounds[1])
        if values.missing is not None:
            flags &= ~values.missing
        rows: list[int] = np.flatnonzero(flags)[:limit].tolist()
        return rows


@dataclass(frozen=True, slots=True)
class _Kinds:
    """The kinds that were seen: of text, or of numbers that are names."""

    column: Column
    known: frozenset[str | int | float]

    def holds(self, cells: list[Any]) -> bool:
        """Whether plain cells are all known."""
        return self.known.issuperset(cells)

    def rows_beyond(self, values: Values, limit: int) -> list[int]:
        known, missing = self.known, values.missing
        cells = values.data.tolist()
        if self.holds(cells):
            return []
        beyond = (row for row, cell in enumerate(cells) if cell not in known and (missing is None or not missing[row]))
        return list(islice(beyond, limit))


# -- whole blocks at once --------------------------------------------------------------------------------------------

Usual = Callable[[Sequence[Block]], bool]
"""Whether every cell of the blocks is sure to lie within; where it is not, the columns are looked at one by one."""


def _never(_: Sequence[Block]) -> bool:
    return False


def _compile_usual(domains: "list[_Range | _Kinds]", layout: Layout) -> Usual:
    ranges: list[dict[int, _Range]] = [{} for _ in layout.groups]
    kinds: list[dict[int, _Kinds]] = [{} for _ in layout.groups]
    for domain in domains:
        at = layout.place.get(domain.column.name)
        if at is None:
            continue
        if isinstance(domain, _Range):
            ranges[at[0]][at[1]] = domain
        else:
            kinds[at[0]][at[1]] = domain
    checks = [
        *[_compile_ranges(i, some, len(layout.groups[i])) for i, some in enumerate(ranges) if some],
        *[_compile_kinds(i, some, len(layout.groups[i])) for i, some in enumerate(kinds) if some],
    ]

    if len(checks) == 1:
        return checks[0]

    def usual(blocks: Sequence[Block]) -> bool:
        for check in checks:  # noqa: SIM110  all() of a generator costs as much as a check
            if not check(blocks):
                return False
        return True

    return usual


def _compile_ranges(block: int, ranges: "dict[int, _Range]", wide: int) -> Usual:
    whole = next(iter(ranges.values())).column.type == "integer"
    low = np.full(wide, INT64_MIN if whole else -math.inf, dtype=np.int64 if whole else np.float64)
    high = np.full(wide, INT64_MAX if whole else math.inf, dtype=low.dtype)
    for place, one in ranges.items():
        low[place] = math.ceil(one.low) if whole else one.low
        high[place] = math.floor(one.high) if whole else one.high

    bounds = list(zip(low.tolist(), high.tolist(), strict=True))
    few = wide <= FEW_COLUMNS

    def usual(blocks: Sequence[Block]) -> bool:
        data, missing = blocks[block].data, blocks[block].missing
        if few and missing is None and len(data) == 1:
            for cell, (least, most) in zip(data[0].tolist(), bounds, strict=True):
                if cell < least or cell > most:
                    return False
            return True
        below, above = data < low, data > high  # NaN, where a number is missing, compares false
        if missing is None and len(data) <= FEW_ROWS:
            return b"\x01" not in below.tobytes() and b"\x01" not in above.tobytes()  # a third of what any() takes
        beyond = below | above
        if missing is not None:
            beyond &= ~missing
        return not beyond.any()

    return usual


def _compile_kinds(block: int, kinds: "dict[int, _Kinds]", wide: int) -> Usual:
    places = sorted(kinds)
    known = [kinds[place].known | {None} for place in places]
    every = places == list(range(wide))

    def usual(blocks: Sequence[Block]) -> bool:
        data = blocks[block].data
        if every and len(data) == 1:
            for cell, some in zip(data[0].tolist(), known, strict=True):  # noqa: SIM110  as above
                if cell not in some:
                    return False
            return True
        columns = (data if every else data[:, places]).T.tolist()
        return all(map(frozenset.issuperset, known, columns))

    return usual


# -- one column ------------------------------------------------------------------------------------------------------


def _domain(column: Column) -> _Range | _Kinds | None:
    if column.categories is not None:
        kind = {"integer": int, "number": float}.get(column.type, str)
        return _Kinds(column, frozenset(map(kind, column.categories)))
    if column.minimum is None or column.maximum is None or column.is_text:
        return None
    if column.is_time:
        return _Range(column, *(dt.datetime.fromisoformat(str(one)) for one in (column.minimum, column.maximum)))
    return _Range(column, column.minimum, column.maximum)


def _warning(column: Column, row: int, value: np.generic | str) -> Problem:
    if column.categories is not None:
        kind = shown(str(value))
        return Problem(UNSEEN, f"{kind} is a value that the model has not seen", row=row, column=column.name)
    told = _time(column, value) if column.is_time else _number(value.item() if isinstance(value, np.generic) else value)
    unit = f" {column.unit}" if column.unit else ""
    seen = f"{_number(column.minimum)} to {_number(column.maximum)}"
    message = f"{told}{unit} lies outside what the model has seen, {seen}{unit}"
    return Problem(OUTSIDE, message, row=row, column=column.name)


def _number(value: object) -> str:
    """As people write it: 6300 where Python says 6300.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < WRITTEN_OUT:
        return str(int(value))
    return str(value)


def _time(column: Column, value: object) -> str:
    return str(value)[:10] if column.type == "date" else str(value).removesuffix(".000000")
