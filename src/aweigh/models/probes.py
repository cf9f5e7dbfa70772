"""Probe rows: what a sample does not hold and the world will send.

Each group of probes is one question: a null in one column, a category never seen, a number at or just beyond the
observed range, an empty string, columns shuffled against each other, numbers at odd fractions of single precision.
Groups are kept apart so that one which the original itself cannot answer can be told by name and left out.
"""

import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aweigh.schema.column import Column, Schema
from aweigh.table import Table, Values

Kind = Literal["null", "unseen", "text", "number", "time", "mixed"]

ROWS_PER_PROBE = 8
MIXED_ROWS = 400
SEED = 20_261_122
UNSEEN = ("zz-unseen", "", " ", "ÀÉ-Ünicode ß", "nan", "None", "0", "UNSEEN" + string.punctuation)
DAY_US = np.timedelta64(86_400_000_000, "us")


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Rows that ask one question about one column (``column`` is None when about all of them)."""

    kind: Kind
    column: str | None
    table: Table


def probes(schema: Schema, sample: Table) -> Iterator[Probe]:
    """Groups of probe rows made from the sample. The same sample gives the same probes."""
    generator = np.random.default_rng(SEED)
    for column in schema.columns:
        base = sample.take(generator.integers(0, sample.rows, ROWS_PER_PROBE))
        if column.nullable:
            missing = np.ones(base.rows, dtype=bool)
            yield Probe("null", column.name, _with(base, column.name, Values(base[column.name].data, missing)))
        yield from _own(column, base)
    if sum(column.nullable for column in schema.columns) > 1:
        yield Probe("null", None, _all_null(schema, sample.take(generator.integers(0, sample.rows, ROWS_PER_PROBE))))
    yield Probe("mixed", None, _shuffled(schema, sample, generator))
    yield Probe("mixed", None, _between(schema, sample, generator))


def _with(table: Table, name: str, values: Values) -> Table:
    return Table({**table.columns, name: values}, table.rows)


def _own(column: Column, base: Table) -> Iterator[Probe]:
    if column.is_text:
        if not column.closed:
            cells = np.array([UNSEEN[i % len(UNSEEN)] for i in range(base.rows)], dtype=object)
            yield Probe(
                "unseen" if column.type == "category" else "text", column.name, _with(base, column.name, Values(cells))
            )
    elif column.is_number:
        yield Probe("number", column.name, _with(base, column.name, Values(_edges(column, base.rows))))
    elif column.type == "boolean":
        yield Probe("number", column.name, _with(base, column.name, Values(np.arange(base.rows) % 2 == 0)))
    else:
        low, high = np.datetime64(str(column.minimum), "us"), np.datetime64(str(column.maximum), "us")
        edges = np.array([low, high, low - DAY_US, high + DAY_US])
        yield Probe("time", column.name, _with(base, column.name, Values(edges[np.arange(base.rows) % len(edges)])))


def _edges(column: Column, rows: int) -> NDArray[np.generic]:
    """Numbers at and just beyond the observed range, far beyond it, and zero; only what the owner's limits allow."""
    low, high = float(column.minimum or 0.0), float(column.maximum or 0.0)
    span = (high - low) or max(abs(high), 1.0)
    wanted = [low, high, np.nextafter(low, -np.inf), np.nextafter(high, np.inf), low - span, high + span, 0.0, -high]
    floor = -np.inf if not isinstance(column.lower_limit, int | float) else column.lower_limit
    ceiling = np.inf if not isinstance(column.upper_limit, int | float) else column.upper_limit
    allowed = [value for value in wanted if floor <= value <= ceiling] or [low]
    cells = np.array([allowed[i % len(allowed)] for i in range(rows)])
    if column.type == "integer":
        whole: NDArray[np.int64] = np.clip(np.rint(cells), -(2.0**53), 2.0**53).astype(np.int64)
        return whole
    return _in_precision(column, cells)


def _in_precision(column: Column, cells: NDArray[np.float64]) -> NDArray[np.float64]:
    return cells.astype(np.float32).astype(np.float64) if column.dtype == "float32" else cells


def _all_null(schema: Schema, base: Table) -> Table:
    columns = dict(base.columns)
    for column in schema.columns:
        if column.nullable:
            columns[column.name] = Values(columns[column.name].data, np.ones(base.rows, dtype=bool))
    return Table(columns, base.rows)


def _shuffled(schema: Schema, sample: Table, generator: np.random.Generator) -> Table:
    """Every column drawn by itself: combinations of seen values that the sample does not hold."""
    return Table(
        {name: sample[name].take(generator.integers(0, sample.rows, MIXED_ROWS)) for name in schema.names}, MIXED_ROWS
    )


def _between(schema: Schema, sample: Table, generator: np.random.Generator) -> Table:
    """Numbers between the observed ones, many at two decimals and halves, where thresholds lie."""
    columns = dict(sample.take(generator.integers(0, sample.rows, MIXED_ROWS)).columns)
    for column in schema.columns:
        if column.type != "number" or column.minimum is None or column.maximum is None:
            continue
        low, high = float(column.minimum), float(column.maximum)
        drawn = generator.uniform(low, high, MIXED_ROWS)
        drawn[::3] = np.round(drawn[::3], 2)
        drawn[1::3] = np.round(drawn[1::3] * 2) / 2
        columns[column.name] = Values(_in_precision(column, np.clip(drawn, low, high)))
    return Table(columns, MIXED_ROWS)
