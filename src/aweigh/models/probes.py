"""Probe rows: what a sample does not hold and the world will send.

Each group of probes is one question: a null in one column, a category never seen, a number at or just beyond the
observed range, columns shuffled against each other, numbers between two that were seen and next to them in single and
double precision, rows far from everything. Groups are kept apart so that one which the original itself cannot answer
can be told by name.
"""

import string
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aweigh.schema.column import Column, Schema
from aweigh.table import Table, Values

Kind = Literal["null", "unseen", "text", "number", "time", "mixed", "far"]

ROWS_PER_PROBE = 8
OWN_ROWS = 6_000
"""Rows of the probes of single columns, all columns together: with many columns each gets fewer."""
MOST_COLUMNS = 200
"""So many columns that are not text, spread over all, get probes of their own; the others are in the mixed ones."""
MIXED_ROWS = 1_000
MIXED_CELLS = 2_000_000
FAR_ROWS = 200
TEXT_ROWS = 200
FEW_DISTINCT = 4_096
SEED = 20_261_122
UNSEEN = ("zz-unseen", "", " ", "ÀÉ-Ünicode ß", "nan", "None", "0", "UNSEEN" + string.punctuation)
DAY_US = np.timedelta64(86_400_000_000, "us")
FAR = (-1e6, -1e3, -30.0, -10.0, -3.0, 3.0, 10.0, 30.0, 1e3, 1e6)
"""How many spans of the observed range beyond its middle."""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Rows that ask one question about one column (``column`` is None when about all of them)."""

    kind: Kind
    column: str | None
    table: Table


def probes(schema: Schema, sample: Table) -> Iterator[Probe]:
    """Groups of probe rows made from the sample. The same sample gives the same probes."""
    generator = np.random.default_rng(SEED)
    chosen = _chosen(schema.columns)
    rows = max(1, min(ROWS_PER_PROBE, OWN_ROWS // len(chosen)))
    for column in chosen:
        base = sample.take(generator.integers(0, sample.rows, rows))
        if column.nullable:
            missing = np.ones(base.rows, dtype=bool)
            yield Probe("null", column.name, _with(base, column.name, Values(base[column.name].data, missing)))
        yield from _own(column, base)
    if sum(column.nullable for column in schema.columns) > 1:
        yield Probe("null", None, _all_null(schema, sample.take(generator.integers(0, sample.rows, ROWS_PER_PROBE))))
    many = max(20, min(MIXED_ROWS, MIXED_CELLS // len(schema.columns)))
    yield Probe("mixed", None, _shuffled(schema, sample, generator, many))
    yield Probe("mixed", None, _between(schema, sample, generator, many))
    yield from _texts(schema, sample, generator, min(many, TEXT_ROWS))
    yield Probe("far", None, _far(schema, sample, generator, min(many, FAR_ROWS)))


def _chosen(columns: tuple[Column, ...]) -> list[Column]:
    """All columns of text, since only they can turn out to be closed, and not too many others."""
    others = [column.name for column in columns if not column.is_text]
    places = np.linspace(0, len(others) - 1, MOST_COLUMNS).astype(int).tolist() if others else []
    wanted = {others[place] for place in places}
    return [column for column in columns if column.is_text or column.name in wanted]


def _with(table: Table, name: str, values: Values) -> Table:
    return Table({**table.columns, name: values}, table.rows)


# -- one column ------------------------------------------------------------------------------------------------------


def _own(column: Column, base: Table) -> Iterator[Probe]:
    if column.is_text:
        if not column.closed:
            words = [*UNSEEN, *_near(column)]
            cells = np.array([words[i % len(words)] for i in range(base.rows)], dtype=object)
            yield Probe(
                "unseen" if column.type == "category" else "text", column.name, _with(base, column.name, Values(cells))
            )
    elif column.is_number:
        yield Probe("number", column.name, _with(base, column.name, Values(_edges(column, base.rows))))
    elif column.type == "boolean":
        yield Probe("number", column.name, _with(base, column.name, Values(np.arange(base.rows) % 2 == 0)))
    elif column.minimum is not None:
        low, high = np.datetime64(str(column.minimum), "us"), np.datetime64(str(column.maximum), "us")
        edges = np.array([low, high, low - DAY_US, high + DAY_US])
        yield Probe("time", column.name, _with(base, column.name, Values(edges[np.arange(base.rows) % len(edges)])))


def _near(column: Column) -> list[str]:
    """Text that only looks like a kind that was seen."""
    kinds = set(column.categories or ())
    near = [made for kind in sorted(kinds)[:2] for made in (f"{kind} ", kind.swapcase(), decomposed(kind))]
    return [made for made in near if made not in kinds]


def decomposed(text: str) -> str:
    """The same text to the eye, its accents as characters of their own (Unicode's NFD)."""
    return unicodedata.normalize("NFD", text)


def _edges(column: Column, rows: int) -> NDArray[np.generic]:
    """Numbers at, just beyond and further beyond the observed range, and zero; only what the owner's limits allow."""
    if column.type == "integer":
        return _whole_edges(column, rows)
    low, high = float(column.minimum or 0.0), float(column.maximum or 0.0)
    span = (high - low) or max(abs(high), 1.0)
    wanted = [np.nextafter(low, -np.inf), high + span, low, high, np.nextafter(high, np.inf), low - span, 0.0, -high]
    allowed = [value for value in wanted if _allowed(column, value)] or [low]
    return _in_precision(column, np.array([allowed[i % len(allowed)] for i in range(rows)]))


def _whole_edges(column: Column, rows: int) -> NDArray[np.int64]:
    low, high = int(column.minimum or 0), int(column.maximum or 0)
    span = (high - low) or max(abs(high), 1)
    wanted = [low - 1, high + span, low, high, high + 1, low - span, 0, -high]
    held = [min(max(value, -(2**63)), 2**63 - 1) for value in wanted]
    allowed = [value for value in held if _allowed(column, value)] or [low]
    return np.array([allowed[i % len(allowed)] for i in range(rows)], dtype=np.int64)


def _allowed(column: Column, value: float) -> bool:
    floor, ceiling = column.lower_limit, column.upper_limit
    above = not isinstance(floor, int | float) or value >= floor
    return above and (not isinstance(ceiling, int | float) or value <= ceiling)


def _in_precision(column: Column, cells: NDArray[np.float64]) -> NDArray[np.float64]:
    return cells.astype(np.float32).astype(np.float64) if column.dtype == "float32" else cells


# -- all columns -----------------------------------------------------------------------------------------------------


def _all_null(schema: Schema, base: Table) -> Table:
    columns = dict(base.columns)
    for column in schema.columns:
        if column.nullable:
            columns[column.name] = Values(columns[column.name].data, np.ones(base.rows, dtype=bool))
    return Table(columns, base.rows)


def _shuffled(schema: Schema, sample: Table, generator: np.random.Generator, rows: int) -> Table:
    """Every column drawn by itself: combinations of seen values that the sample does not hold."""
    return Table({name: sample[name].take(generator.integers(0, sample.rows, rows)) for name in schema.names}, rows)


def _between(schema: Schema, sample: Table, generator: np.random.Generator, rows: int) -> Table:
    """Numbers between the observed ones: halfway, where thresholds lie, and beside that; at two decimals and halves."""
    columns = dict(sample.take(generator.integers(0, sample.rows, rows)).columns)
    for column in schema.columns:
        if not column.is_number or column.minimum is None or column.maximum is None:
            continue
        if column.type == "integer":
            drawn_whole = generator.integers(int(column.minimum), int(column.maximum), rows, endpoint=True)
            columns[column.name] = Values(drawn_whole)
            continue
        low, high = float(column.minimum), float(column.maximum)
        drawn = generator.uniform(low, high, rows)
        drawn[::4] = np.round(drawn[::4], 2)
        drawn[1::4] = np.round(drawn[1::4] * 2) / 2
        drawn[2::4] = _beside(sample[column.name], generator, len(drawn[2::4]))
        columns[column.name] = Values(_in_precision(column, np.clip(drawn, low, high)))
    return Table(columns, rows)


def _beside(values: Values, generator: np.random.Generator, rows: int) -> NDArray[np.float64]:
    """Values seen and the middles between neighbours, moved by what single or double precision can just tell."""
    seen = np.unique(values.present().astype(np.float64))
    if len(seen) > FEW_DISTINCT:
        seen = seen[np.linspace(0, len(seen) - 1, FEW_DISTINCT).astype(int)]
    places = np.concatenate([seen, (seen[:-1] + seen[1:]) / 2]) if len(seen) else np.zeros(1)
    picked = generator.choice(places, rows)
    with np.errstate(over="ignore"):
        single = picked.astype(np.float32)
    moved = [
        picked,
        np.nextafter(picked, np.inf),
        np.nextafter(picked, -np.inf),
        single.astype(np.float64),
        np.nextafter(single, np.float32(np.inf)).astype(np.float64),
        np.nextafter(single, np.float32(-np.inf)).astype(np.float64),
    ]
    beside: NDArray[np.float64] = np.choose(generator.integers(len(moved), size=rows), moved)
    return beside


def _far(schema: Schema, sample: Table, generator: np.random.Generator, rows: int) -> Table:
    """Rows far from everything: where probabilities are 0 or 1 to the last digit, and no neighbour is near."""
    columns = dict(sample.take(generator.integers(0, sample.rows, rows)).columns)
    for column in schema.columns:
        if not column.is_number or column.minimum is None or column.maximum is None:
            continue
        low, high = float(column.minimum), float(column.maximum)
        span = (high - low) or max(abs(high), 1.0)
        drawn = (low + high) / 2 + span * generator.choice(FAR, rows)
        here = generator.random(rows) < 0.3  # some columns of a row stay where they were
        kept = columns[column.name].data.astype(np.float64)
        cells = np.where(here | columns[column.name].as_mask() | ~_all_allowed(column, drawn), kept, drawn)
        if column.type == "integer":
            whole = np.clip(np.rint(cells), -(2.0**62), 2.0**62).astype(np.int64)
            columns[column.name] = Values(np.where(cells == kept, columns[column.name].data, whole))
        else:
            columns[column.name] = Values(_in_precision(column, cells))
    return Table(columns, rows)


def _all_allowed(column: Column, cells: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.array([_allowed(column, value) for value in cells.tolist()], dtype=bool)


def _texts(schema: Schema, sample: Table, generator: np.random.Generator, rows: int) -> Iterator[Probe]:
    """Free text as people write it: other letters, other order, cut, doubled, accents apart, odd punctuation."""
    for column in schema.columns:
        if column.type != "text" or column.closed:
            continue
        base = sample.take(generator.integers(0, sample.rows, rows))
        drawn = base[column.name].data.tolist()
        cells = np.empty(rows, dtype=object)
        cells[:] = [_CHANGES[i % len(_CHANGES)](str(text)) for i, text in enumerate(drawn)]
        yield Probe("text", column.name, _with(base, column.name, Values(cells)))


_CHANGES = (
    str.upper,
    str.lower,
    str.swapcase,
    decomposed,
    lambda text: " ".join(reversed(text.split())),
    lambda text: text[: max(1, len(text) // 2)],
    lambda text: f"{text} {text}",
    lambda text: text.replace(" ", "-"),
    lambda text: f"  {text}\n",
    lambda text: f"«{text}», it's 3.5 o'clock: naïve_ÉTÉ",
    lambda text: text[::-1],
    lambda text: text.replace("e", "é"),
)
