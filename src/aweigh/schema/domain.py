"""What a model has seen and a row goes beyond: no fault, and by the policy worth a warning, a refusal, or nothing.

What the owner refuses (``lower_limit``, ``upper_limit``, ``closed``) never comes this far: ``check`` has refused it.
"""

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from aweigh.errors import OutsideDomain, Problem
from aweigh.schema.cells import INT64_MAX, INT64_MIN, shown
from aweigh.schema.column import Column, Schema
from aweigh.schema.combination import Combinations, Distance
from aweigh.schema.policy import FLAG, Policy, Word
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
UNLIKELY = "unlikely_combination"

MAX_REFUSED = 100
"""How many problems one refusal lists; the rest are counted."""

Warn = Callable[[Table], list[Problem]]


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """What a model has seen of a schema's columns, how they go together, and what becomes of what goes beyond.

    ``combinations`` is None where nothing is known of them.
    """

    schema: Schema
    policy: Policy = FLAG
    combinations: Combinations | None = None

    def compile(self, word: Word, *, limit: int | None = MAX_REFUSED) -> Warn | None:
        """What is said of the cells and combinations that the policy has this word for; None where it has it for none.

        The function gives the first ``limit``, by row and then column; None gives all. A code is
        ``outside_reference_range`` (a number or a time beyond the observed range), ``unseen_category`` or
        ``unlikely_combination``.
        """
        columns = [column for column in self.schema.columns if self.policy.of(column.name) == word]
        domains = [domain for column in columns if (domain := _domain(column)) is not None]
        known = self.combinations if self.policy.combination == word else None
        unlikely = None if known is None else _Unlikely(self.schema, known)
        if not domains and unlikely is None:
            return None
        return _compile(domains, unlikely, limit)

    def compile_refusal(self) -> Callable[[Table], None] | None:
        """A function that refuses a table by the policy; None where the policy refuses nothing.

        Raises:
            OutsideDomain: (the function) a row lies outside, every such cell and combination listed.
        """
        find = self.compile("reject", limit=None)
        if find is None:
            return None

        def refuse(table: Table) -> None:
            found = find(table)
            if found:
                raise OutsideDomain(tuple(found[:MAX_REFUSED]), total=len(found))

        return refuse


def warnings_for(schema: Schema, table: Table, limit: int = 100) -> list[Problem]:
    """The first ``limit`` cells, by row and then column, that lie outside what the model was trained on.

    ``table`` is in the schema's types, as ``check`` returns it. Who asks often compiles once, and asks a ``Domain``.
    """
    warn = Domain(schema).compile("flag", limit=limit)
    return [] if warn is None else warn(table)


class _Unlikely:
    """Rows whose distance is above the threshold."""

    def __init__(self, schema: Schema, known: Combinations) -> None:
        self.distance = Distance(schema, known)
        self.threshold = known.threshold
        self._schema = schema

    def rows_beyond(self, table: Table, limit: int | None) -> list[int]:
        return self.distance.rows_beyond(table, self.threshold)[:limit]

    def warning(self, table: Table, row: int) -> Problem:
        one, other = map(self._schema.column, self.distance.strangest(table, row))
        told, beside = (_told(column, table.columns[column.name].data[row]) for column in (one, other))
        message = f"{told} with {beside} in {other.name!r} is a combination that the model has hardly seen"
        return Problem(UNLIKELY, message, row=row, column=one.name)


def _compile(domains: "list[_Range | _Kinds]", unlikely: _Unlikely | None, limit: int | None) -> Warn:
    """All that the schema decides done beforehand: 30 numbers of a row cost 3 microseconds."""
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
        if unlikely is not None:
            rows = unlikely.rows_beyond(table, limit)
            found.extend((row, len(domains), unlikely.warning(table, row)) for row in rows)
        if not found:
            return []
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

    def rows_beyond(self, values: Values, limit: int | None) -> list[int]:
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

    def rows_beyond(self, values: Values, limit: int | None) -> list[int]:
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
    unit = f" {column.unit}" if column.unit else ""
    seen = f"{_number(column.minimum)} to {_number(column.maximum)}"
    message = f"{_told(column, value)} lies outside what the model has seen, {seen}{unit}"
    return Problem(OUTSIDE, message, row=row, column=column.name)


def _told(column: Column, value: np.generic | str) -> str:
    """A cell as people write it, with its unit."""
    if column.is_time:
        return _time(column, value)
    plain = value.item() if isinstance(value, np.generic) else value
    if not column.is_number:
        return shown(plain)
    return _number(plain) + (f" {column.unit}" if column.unit else "")


def _number(value: object) -> str:
    """As people write it: 6300 where Python says 6300.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < WRITTEN_OUT:
        return str(int(value))
    return str(value)


def _time(column: Column, value: object) -> str:
    return str(value)[:10] if column.type == "date" else str(value).removesuffix(".000000")
