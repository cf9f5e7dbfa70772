"""What an input looks like, worked out from its column: the widget that fits, its label, unit, step and warning."""

import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from aweigh.schema import Column, Schema
from aweigh.schema.check import examine_rows
from aweigh.schema.domain import Domain
from aweigh.ui.row import Cell, Row
from aweigh.ui.words import count, label_of, range_text, unit_of

SEGMENTS_AT_MOST = 5
OPEN_COLUMNS_AT_MOST = 12
FIRST_COLUMNS = 8
FOLDED_TOGETHER = 24
"""Inputs that open at once: each costs time on every change."""

SAFE_INTEGER = 2**53 - 1
"""Beyond it a browser's numbers lose digits: such integers are typed as text."""

DECIMALS_AT_MOST = 8

Kind = Literal["number", "segments", "list", "date", "datetime", "text", "typed"]
"""``typed``: what no widget holds whole, written out: integers beyond a browser's, and moments with seconds."""


@dataclass(frozen=True, slots=True)
class Field:
    """One input: ``kind`` is the widget, ``step`` and ``decimals`` are a number's, ``help`` what the model has seen."""

    column: Column
    kind: Kind
    label: str
    unit: str | None
    help: str | None
    step: float
    decimals: int

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name


@dataclass(frozen=True, slots=True)
class Note:
    """A line under an input. ``refused`` when the API would not answer."""

    text: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Inputs under one heading; ``folded`` ones are drawn when opened."""

    title: str
    fields: tuple[Field, ...]
    folded: bool = False


def field_of(column: Column) -> Field:
    """The input for a column."""
    decimals = _decimals(column)
    return Field(
        column=column,
        kind=_kind(column),
        label=label_of(column),
        unit=unit_of(column),
        help=_help(column),
        step=_step(column, decimals),
        decimals=decimals,
    )


def _kind(column: Column) -> Kind:
    known = (column.minimum, column.maximum, column.typical, column.default)
    if column.categories and column.type != "text":
        # Numbers that are names are chosen like names.
        return "segments" if len(column.categories) <= SEGMENTS_AT_MOST else "list"
    if column.is_number:
        large = any(isinstance(one, int) and abs(one) > SAFE_INTEGER for one in known)
        return "typed" if large else "number"
    if column.type == "boolean":
        return "segments"
    if column.type == "datetime":
        fine = any(isinstance(one, str) and dt.datetime.fromisoformat(one).second for one in known)
        return "typed" if fine else "datetime"
    return "date" if column.type == "date" else "text"


def _decimals(column: Column) -> int:
    if column.type != "number":
        return 0
    if column.decimals is not None:
        return min(column.decimals, DECIMALS_AT_MOST)
    known = (column.minimum, column.maximum, column.typical)
    return max((decimals_of(one) for one in known if isinstance(one, int | float)), default=2)


def decimals_of(value: float) -> int:
    """Decimal places that the number needs to be said, up to ``DECIMALS_AT_MOST``."""
    if not math.isfinite(value):
        return 0
    _, _, places = f"{value:.{DECIMALS_AT_MOST}f}".rstrip("0").partition(".")
    return len(places)


def _step(column: Column, decimals: int) -> float:
    """A fiftieth of the observed range, rounded down to 1, 2 or 5 of its power of ten; no finer than the data."""
    least = 10.0**-decimals
    low, high = column.minimum, column.maximum
    if not isinstance(low, int | float) or not isinstance(high, int | float) or high <= low:
        return least
    wide = (high - low) / 50
    power = 10.0 ** math.floor(math.log10(wide))
    nice = max(factor * power for factor in (1, 2, 5) if factor * power <= wide * (1 + 1e-9))
    return max(least, nice)


def _help(column: Column) -> str | None:
    """What the model has seen, and what the owner says where that is not the label already."""
    said = [column.description] if column.description and column.description.rstrip(".") != label_of(column) else []
    said.append(seen_text(column))
    if column.nullable:
        said.append("May be left unknown.")
    return " ".join(filter(None, said)) or None


def seen_text(column: Column) -> str:
    """What the model has seen of the column, in a sentence; empty where there is nothing to say."""
    seen = range_text(column)
    if column.categories:
        many = len(column.categories) > SEGMENTS_AT_MOST
        return f"{count(len(column.categories), 'choice')} seen in training." if many else ""
    unit = unit_of(column)
    return f"{seen}{' ' + unit if unit else ''} in training." if seen is not None else ""


def notes_of(domain: Domain, row: Row) -> dict[str, Note]:
    """What must be said under an input about its value, by column: the API's own checks, in its own words.

    Unseen is accepted and said, unless the policy is against it; what the API would refuse is said in red.
    """
    schema = domain.schema
    examined = examine_rows(schema, [row])
    notes: dict[str, Note] = {}
    for word in ("reject", "flag"):
        find = domain.compile("reject" if word == "reject" else "flag", limit=None)
        for one in [] if find is None else find(examined.table):
            if one.column is not None:
                note = Note(_sentence(one.message, schema.column(one.column)), refused=word == "reject")
                notes.setdefault(one.column, note)
    for one in examined.problems:
        if one.column in schema.names:
            notes[one.column] = Note(_sentence(one.message, schema.column(one.column)), refused=True)
    return notes


def _sentence(message: str, column: Column) -> str:
    """A message of the API without the place that it stands under."""
    text = message.partition(": ")[2] if message.startswith(f"column {column.name!r}") else message
    return text[:1].upper() + text[1:] + "."


_TITLES: Mapping[Kind, str] = {
    "number": "Numbers",
    "segments": "Choices",
    "list": "Choices",
    "date": "Dates",
    "datetime": "Dates",
    "text": "Text",
}


def grouped(schema: Schema, influence: Mapping[str, float]) -> list[Group]:
    """The inputs in groups: the owner's, else by kind; beyond twelve, what matters most first and the rest folded.

    ``influence`` says how far each column moves the answer; without it the schema's order stands.
    """
    fields = [field_of(column) for column in schema.columns]
    ranked = sorted(fields, key=lambda field: -influence.get(field.name, 0.0))
    many = len(fields) > OPEN_COLUMNS_AT_MOST
    if any(field.column.group for field in fields):
        order = ranked if many else fields
        titles = list(dict.fromkeys(field.column.group or "Other" for field in order))
        groups = [
            Group(title, tuple(field for field in fields if (field.column.group or "Other") == title))
            for title in titles
        ]
        return [Group(one.title, one.fields, folded=many and i > 0) for i, one in enumerate(groups)]
    if not many:
        return _by_kind(fields, folded=False)
    first = ranked[:FIRST_COLUMNS]
    title = "What matters most" if influence else "First"
    return [Group(title, tuple(first)), *_by_kind([field for field in fields if field not in first], folded=True)]


def _by_kind(fields: list[Field], *, folded: bool) -> list[Group]:
    groups = []
    for title in dict.fromkeys(_TITLES.values()):
        inside = [field for field in fields if _title(field) == title]
        if not folded:
            groups.append(Group(title, tuple(inside)))
            continue
        for at in range(0, len(inside), FOLDED_TOGETHER):
            part = tuple(inside[at : at + FOLDED_TOGETHER])
            which = f", {at + 1} to {at + len(part)}" if len(inside) > FOLDED_TOGETHER else ""
            groups.append(Group(f"More {title.lower()}{which}", part, folded=True))
    return [group for group in groups if group.fields]


def _title(field: Field) -> str:
    if field.kind == "typed":
        return "Numbers" if field.column.is_number else "Dates"
    return _TITLES[field.kind]


def number_format(field: Field, cell: Cell) -> str:
    """The printf format that shows every digit the value has, and at least the data's own precision."""
    if field.column.type == "integer":
        return "%d"
    own = decimals_of(cell) if isinstance(cell, int | float) else 0
    if isinstance(cell, int | float) and cell != 0 and abs(cell) < 10.0**-DECIMALS_AT_MOST:
        return "%e"
    return f"%.{max(field.decimals, own)}f"


def choices(column: Column) -> list[Cell]:
    """What a column may be chosen from, in the column's own type."""
    if column.type == "boolean":
        return [False, True]
    kind: Callable[[str], Cell] = {"integer": int, "number": float}.get(column.type, str)
    return [kind(one) for one in column.categories or ()]
