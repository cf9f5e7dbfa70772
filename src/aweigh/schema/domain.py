"""What a model has seen and a row goes beyond: no fault, and by the policy worth a warning, a refusal, or nothing.

What the owner refuses (``lower_limit``, ``upper_limit``, ``closed``) never comes this far: ``check`` has refused it.
"""

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


class Beyond(NamedTuple):
    """The rows in which one column, or the combination of all, goes beyond; ``place`` is the column's own."""

    place: int
    code: str
    rows: NDArray[np.int64]


Find = Callable[[Table], list[Beyond]]


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """What a model has seen of a schema's columns, how they go together, and what becomes of what goes beyond.

    ``combinations`` is None where nothing is known of them.
    """

    schema: Schema
    policy: Policy = FLAG
    combinations: Combinations | None = None
    _compiled: dict[tuple[Word, int | None], Warn | None] = field(default_factory=dict, init=False, repr=False)

    def compile(self, word: Word, *, limit: int | None = MAX_REFUSED) -> Warn | None:
        """What is said of the cells and combinations that the policy has this word for; None where it has it for none.

        The function gives the first ``limit``, by row and then column; None gives all. A code is
        ``outside_reference_range`` (a number or a time beyond the observed range), ``unseen_category`` or
        ``unlikely_combination``.

        Who asks again, as the app does at each change, gets the same function.
        """
        if (word, limit) not in self._compiled:
            self._compiled[word, limit] = self._compile(word, limit)
        return self._compiled[word, limit]

    def _compile(self, word: Word, limit: int | None) -> Warn | None:
        domains, unlikely = self._parts(word)
        if not domains and unlikely is None:
            return None
        find = _compile(domains, unlikely)

        def warn(table: Table) -> list[Problem]:
            found = find(table)
            return _tell(domains, unlikely, table, found, limit=limit) if found else []

        return warn

    def compile_places(self, word: Word) -> Find | None:
        """As ``compile``, and only which rows they are: millions of cells cost no more than their numbers."""
        domains, unlikely = self._parts(word)
        return _compile(domains, unlikely) if domains or unlikely is not None else None

    def _parts(self, word: Word) -> "tuple[list[_Range | _Kinds], _Unlikely | None]":
        columns = [column for column in self.schema.columns if self.policy.of(column.name) == word]
        domains = [domain for column in columns if (domain := _domain(column)) is not None]
        known = self.combinations if self.policy.combination == word else None
        return domains, None if known is None else _Unlikely(self.schema, known)

    def compile_refusal(self) -> Callable[[Table], None] | None:
        """A function that refuses a table by the policy; None where the policy refuses nothing.

        Raises:
            OutsideDomain: (the function) a row lies outside; such cells and combinations are listed up to
                ``MAX_REFUSED``, and all are counted.
        """
        domains, unlikely = self._parts("reject")
        if not domains and unlikely is None:
            return None
        find = _compile(domains, unlikely)

        def refuse(table: Table) -> None:
            found = find(table)
            if found:
                told = _tell(domains, unlikely, table, found, limit=MAX_REFUSED)
                raise OutsideDomain(tuple(told), total=sum(len(one.rows) for one in found))

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

    def rows_beyond(self, table: Table) -> list[int]:
        return self.distance.rows_beyond(table, self.threshold)

    def warnings(self, table: Table, rows: Sequence[int]) -> list[Problem]:
        ends = self.distance.strangest(table, rows)
        return [self._warning(table, row, *names) for row, names in zip(rows, ends, strict=True)]

    def _warning(self, table: Table, row: int, *names: str) -> Problem:
        one, other = map(self._schema.column, names)
        told, beside = (_told(column, table.columns[column.name].data[row]) for column in (one, other))
        message = f"{told} with {beside} in {other.name!r} is a combination that the model has hardly seen"
        return Problem(UNLIKELY, message, row=row, column=one.name)


def _compile(domains: "list[_Range | _Kinds]", unlikely: _Unlikely | None) -> Find:
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

    def find(table: Table) -> list[Beyond]:
        found: list[Beyond] = []
        for place, domain in doubtful(table.columns):
            values = table.columns[domain.column.name]
            if table.rows <= FEW_ROWS and domain.holds(values.data.tolist()):
                continue
            rows = domain.rows_beyond(values)
            if len(rows):
                found.append(Beyond(place, UNSEEN if domain.column.categories is not None else OUTSIDE, rows))
        if unlikely is not None:
            strange = unlikely.rows_beyond(table)
            if strange:
                found.append(Beyond(len(domains), UNLIKELY, np.array(strange, dtype=np.int64)))
        return found

    return find


def _tell(
    domains: "list[_Range | _Kinds]",
    unlikely: _Unlikely | None,
    table: Table,
    found: Sequence[Beyond],
    *,
    limit: int | None,
) -> list[Problem]:
    """The first ``limit`` of them in words, by row and then column; nothing is put in words that is not told."""
    told = sorted((row, one.place) for one in found for row in one.rows[:limit].tolist())[:limit]
    strange = [row for row, place in told if place == len(domains)]
    columns = {place: domains[place].column for place, _, _ in found if place < len(domains)}
    cells = {place: table.columns[column.name].data for place, column in columns.items()}
    combined = iter(unlikely.warnings(table, strange) if unlikely is not None and strange else ())
    problems = []
    for row, place in told:
        if place == len(domains):
            problems.append(next(combined))
        else:
            problems.append(_warning(columns[place], row, cells[place][row]))
    return problems


NO_ROWS: NDArray[np.int64] = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Range:
    """Numbers or times from the least to the greatest that was seen."""

    column: Column
    low: Any
    high: Any

    def holds(self, cells: list[Any]) -> bool:
        """Whether plain cells all lie within; a blank where one is missing may not."""
        return not cells or bool(self.low <= min(cells) and max(cells) <= self.high)

    def rows_beyond(self, values: Values) -> NDArray[np.int64]:
        bounds = np.array([self.low, self.high], dtype="datetime64[us]" if self.column.is_time else None)
        flags = (values.data < bounds[0]) | (values.data > bounds[1])
        if values.missing is not None:
            flags &= ~values.missing
        return np.flatnonzero(flags)


@dataclass(frozen=True, slots=True)
class _Kinds:
    """The kinds that were seen: of text, or of numbers that are names."""

    column: Column
    known: frozenset[str | int | float]

    def holds(self, cells: list[Any]) -> bool:
        """Whether plain cells are all known."""
        return self.known.issuperset(cells)

    def rows_beyond(self, values: Values) -> NDArray[np.int64]:
        known, missing = self.known, values.missing
        cells = values.data.tolist()
        if self.holds(cells):
            return NO_ROWS
        beyond = (row for row, cell in enumerate(cells) if cell not in known and (missing is None or not missing[row]))
        return np.fromiter(beyond, dtype=np.int64)


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
