"""What a model has seen and a row goes beyond: no fault, and worth a warning beside the answer.

What the owner refuses (``lower_limit``, ``upper_limit``, ``closed``) never comes this far: ``check`` has refused it.
"""

from itertools import islice

import numpy as np

from aweigh.errors import Problem
from aweigh.schema.cells import shown
from aweigh.schema.column import Column, Schema
from aweigh.table import Table, Values

FEW_ROWS = 16
"""Up to here plain Python is quicker than arrays: most requests have one row."""

WRITTEN_OUT = 1e15
"""Below this a whole number stored as a float is written without a point and an exponent."""

OUTSIDE = "outside_reference_range"
UNSEEN = "unseen_category"


def warnings_for(schema: Schema, table: Table, limit: int = 100) -> list[Problem]:
    """The first ``limit`` cells, by row and then column, that lie outside what the model was trained on.

    ``table`` is in the schema's types, as ``check`` returns it. A warning's code is ``outside_reference_range`` (a
    number or a time beyond the observed range) or ``unseen_category``.
    """
    found: list[tuple[int, int, Problem]] = []
    for place, column in enumerate(schema.columns):
        values = table[column.name]
        rows = _rows_beyond(column, values, limit)
        found.extend((row, place, _warning(column, row, values.data[row])) for row in rows)
    found.sort(key=lambda one: one[:2])
    return [problem for _, _, problem in found[:limit]]


def _rows_beyond(column: Column, values: Values, limit: int) -> list[int]:
    """The first ``limit`` rows whose cell is there and lies beyond."""
    if column.categories is not None:
        return _unseen(column.categories, values, limit)
    low, high = column.minimum, column.maximum
    if low is None or high is None or column.is_text:
        return []
    if len(values) <= FEW_ROWS and not column.is_time:
        numbers = enumerate(values.data.tolist())
        return [row for row, number in numbers if not low <= number <= high and not _is_missing(values, row)][:limit]
    bounds = np.array([low, high], dtype="datetime64[us]" if column.is_time else None)
    flags = (values.data < bounds[0]) | (values.data > bounds[1])
    if values.missing is not None:
        flags &= ~values.missing
    rows: list[int] = np.flatnonzero(flags)[:limit].tolist()
    return rows


def _unseen(categories: tuple[str, ...], values: Values, limit: int) -> list[int]:
    known = categories if len(values) <= FEW_ROWS else frozenset(categories)
    kinds = values.data.tolist() if values.data.dtype.kind == "O" else map(str, values.data.tolist())
    beyond = (row for row, kind in enumerate(kinds) if kind not in known and not _is_missing(values, row))
    return list(islice(beyond, limit))


def _is_missing(values: Values, row: int) -> bool:
    return values.missing is not None and bool(values.missing[row])


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
