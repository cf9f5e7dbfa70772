"""Columns of an Arrow batch as one block: numbers beside numbers, text beside text, each in a few passes of numpy.

A fill is worked out once for the columns of a block and the types that a stream gives them. It raises ``Later`` for all
that is not plainly right.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.schema.cells import FLOAT64_MAX, RESERVED_TEXT
from aweigh.schema.column import Column
from aweigh.schema.decode_fast import Later, compile_bound
from aweigh.table.arrow import FLOATS, INLINE_BYTES, MAX_TEXT_BYTES, OFFSETS, table_of_columns
from aweigh.table.arrow_stream import INTEGERS, TEXTS, ArrowColumn, ArrowType, Field
from aweigh.table.blocks import Block
from aweigh.table.distinct import cells_of

COUNTS = {"null": 0, "string": 3, "large_string": 3}
"""How many buffers a column has, where it is not two; views have as many more as their batch says."""

PLAIN = INTEGERS | TEXTS | {*FLOATS, "bool", "date32", "date64", "timestamp", "decimal"}
"""Types of columns that are whole by themselves: without a dictionary, and with buffers that count."""

VIEW_BYTES = 16

_WHOLE = {one: one for one in INTEGERS - {"uint64"}}  # which may hold what no int64 does
_REAL = {**_WHOLE, **FLOATS}

Mask = NDArray[np.bool_]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A record batch: ``places`` are where its buffers start and their sizes, all within ``body``.

    ``firsts`` tells of each field which buffer is its first, and last of all how many there are.
    """

    rows: int
    body: memoryview
    places: Sequence[Sequence[int]]
    firsts: Sequence[int]
    fields: Sequence[Field]
    dictionaries: Mapping[int, ArrowColumn]

    def numbers(self, field: int, dtype: str, *, buffer: int = 1, count: int = 0) -> NDArray[Any]:
        """A buffer of the field's as numbers: as many as there are rows, unless it is said."""
        start, size = self.places[self.firsts[field] + buffer]
        kind = np.dtype(dtype)
        if size < (count or self.rows) * kind.itemsize:
            raise Later
        return np.frombuffer(self.body, kind, count or self.rows, start)

    def bits(self, field: int, *, buffer: int) -> Mask:
        """A buffer of the field's as bits, one a row."""
        start, size = self.places[self.firsts[field] + buffer]
        octets = (self.rows + 7) // 8
        if size < octets:
            raise Later
        some = np.frombuffer(self.body, np.uint8, octets, start)
        return np.unpackbits(some, count=self.rows, bitorder="little").view(bool)

    def missing(self, fields: Sequence[int]) -> Mask | None:
        """Where the fields are null, of shape (fields, rows); None when nothing is."""
        made: Mask | None = None
        for place, field in enumerate(fields):
            if self.places[self.firsts[field]][1]:
                if made is None:
                    made = np.zeros((len(fields), self.rows), dtype=bool)
                np.logical_not(self.bits(field, buffer=0), out=made[place])
        return made if made is not None and made.any() else None


Fill = Callable[[Batch], Block]


def compile_fill(columns: Sequence[Column], fields: Sequence[int], kinds: Sequence[ArrowType]) -> Fill:
    """How a batch becomes the block of these columns; ``fields`` and ``kinds`` are their places and types in it.

    Raises:
        Later: a column is of a type that wants judging cell by cell.
    """
    first = columns[0]
    if first.is_text:
        return _texts(columns, fields, kinds)
    if first.type == "boolean":
        if any(one.kind != "bool" for one in kinds):
            raise Later
        return _booleans(columns, fields)
    known = _WHOLE if first.type == "integer" else _REAL
    if any(one.kind not in known for one in kinds):
        raise Later
    return _numbers(columns, [(field, known[one.kind]) for field, one in zip(fields, kinds, strict=True)])


def _required(columns: Sequence[Column]) -> Mask:
    return np.array([not column.nullable for column in columns])


def _numbers(columns: Sequence[Column], sources: Sequence[tuple[int, str]]) -> Fill:
    fields, required = [field for field, _ in sources], _required(columns)
    real = columns[0].type == "number"
    bound = compile_bound(columns, most=FLOAT64_MAX)

    def fill(batch: Batch) -> Block:
        made = np.empty((len(fields), batch.rows), dtype=np.float64 if real else np.int64)
        np.concatenate([batch.numbers(field, dtype) for field, dtype in sources], out=made.reshape(-1))
        missing = batch.missing(fields)
        if real:
            absent = np.isnan(made)
            if absent.any():
                missing = absent if missing is None else missing | absent
        if missing is not None:
            if missing[required].any():
                raise Later
            made[missing] = np.nan if real else 0
            missing = missing.T
        if bound is not None:
            bound(made.T, missing)
        return Block(made.T, missing)

    return fill


def _booleans(columns: Sequence[Column], fields: Sequence[int]) -> Fill:
    required = _required(columns)

    def fill(batch: Batch) -> Block:
        made = np.array([batch.bits(field, buffer=1) for field in fields])
        missing = batch.missing(fields)
        if missing is None:
            return Block(made.T)
        if missing[required].any():
            raise Later
        made[missing] = False
        return Block(made.T, missing.T)

    return fill


# -- text ------------------------------------------------------------------------------------------------------------


def _texts(columns: Sequence[Column], fields: Sequence[int], kinds: Sequence[ArrowType]) -> Fill:
    required = _required(columns)
    plain = [i for i, kind in enumerate(kinds) if kind.kind in TEXTS]
    coded = [i for i in range(len(kinds)) if i not in plain]
    if any(kinds[i].of is None or kinds[i].of.kind not in TEXTS for i in coded):  # type: ignore[union-attr]
        raise Later
    closed = [
        (i, frozenset((*column.categories, None)))
        for i, column in enumerate(columns)
        if column.closed and column.categories is not None
    ]

    def fill(batch: Batch) -> Block:
        missing = batch.missing(fields)
        made: NDArray[np.object_]
        if coded:
            made = np.empty((len(fields), batch.rows), dtype=object)
            if plain:
                gone = None if missing is None else missing[plain]
                made[plain] = _cells(batch, [(fields[i], kinds[i].kind) for i in plain], gone)
            for i in coded:
                made[i] = _looked_up(batch, fields[i], kinds[i], None if missing is None else missing[i])
        else:
            made = _cells(batch, [(field, kind.kind) for field, kind in zip(fields, kinds, strict=True)], missing)
        if missing is not None:
            if missing[required].any():
                raise Later
            made[missing] = None
            missing = missing.T
        for i, allowed in closed:
            if not allowed.issuperset(made[i].tolist()):
                raise Later
        return Block(made.T, missing)

    return fill


def _cells(batch: Batch, sources: Sequence[tuple[int, str]], missing: Mask | None) -> NDArray[np.object_]:
    """Columns of plain text, of shape (columns, rows)."""
    first = sources[0][1]
    if first != "string_view" and all(kind == first for _, kind in sources):
        starts, sizes = _laid(batch, [field for field, _ in sources], first)
    else:
        starts = np.empty((len(sources), batch.rows), dtype=np.int64)
        sizes = np.empty_like(starts)
        for i, (field, kind) in enumerate(sources):
            if kind == "string_view":
                gone = None if missing is None else missing[i]
                starts[i], sizes[i] = _viewed(batch, field, gone)
            else:
                starts[i : i + 1], sizes[i : i + 1] = _laid(batch, [field], kind)
    if missing is not None:  # what lies under a null is nobody's text
        starts[missing] = sizes[missing] = 0
    if int(sizes.sum()) > MAX_TEXT_BYTES:  # many views of the same text
        raise Later
    cells, kinds = cells_of(batch.body, starts, sizes)
    _refuse_reserved("".join(kinds))
    return cells


def _laid(batch: Batch, fields: Sequence[int], kind: str) -> tuple[Places, Places]:
    """Where each text begins in the body, and its size, of columns whose text is laid end to end: (columns, rows)."""
    count = batch.rows + 1
    bounds = np.empty((len(fields), count), dtype=np.int64)  # a difference of 32 bits would go round
    np.concatenate([batch.numbers(field, OFFSETS[kind], count=count) for field in fields], out=bounds.reshape(-1))
    sizes = bounds[:, 1:] - bounds[:, :-1]
    texts = [batch.places[batch.firsts[field] + 2] for field in fields]
    if bounds.min() < 0 or sizes.min() < 0:
        raise Later
    if any(last > size for last, (_, size) in zip(bounds[:, -1].tolist(), texts, strict=True)):
        raise Later
    return bounds[:, :-1] + np.array([[start] for start, _ in texts]), sizes


def _viewed(batch: Batch, field: int, missing: Mask | None) -> tuple[Places, Places]:
    """The same of a column of views, which hold short text themselves; see ``table/arrow.py``."""
    words = batch.numbers(field, "int32", count=4 * batch.rows).reshape(-1, 4).astype(np.int64)
    if missing is not None:
        words[missing] = 0
    sizes, buffer, place = words[:, 0], words[:, 2], words[:, 3]
    own = batch.places[batch.firsts[field] + 1][0]
    inside = own + 4 + VIEW_BYTES * np.arange(batch.rows, dtype=np.int64)
    beside = sizes > INLINE_BYTES
    if sizes.min() < 0:
        raise Later
    if not beside.any():
        return inside, sizes
    spans = np.array(batch.places[batch.firsts[field] + 2 : batch.firsts[field + 1]], dtype=np.int64).reshape(-1, 2)
    number = np.where(beside, buffer, 0)
    if number.min() < 0 or number.max() >= len(spans):
        raise Later
    if (beside & ((place < 0) | (place + sizes > spans[number, 1]))).any():
        raise Later
    return np.where(beside, spans[number, 0] + place, inside), sizes


def _looked_up(batch: Batch, field: int, kind: ArrowType, missing: Mask | None) -> NDArray[np.object_]:
    """A column of codes into a dictionary of text."""
    kinds = batch.dictionaries.get(batch.fields[field].dictionary or 0)
    if kinds is None or not kinds.rows:
        raise Later
    words = table_of_columns([kinds], kinds.rows)[kinds.name]
    if words.missing is not None:
        raise Later
    _refuse_reserved("".join(words.data.tolist()))
    codes = batch.numbers(field, kind.codes)
    if missing is not None:
        codes = np.where(missing, codes.dtype.type(0), codes)
    if int(codes.min()) < 0 or int(codes.max()) >= kinds.rows:
        raise Later
    lengths = np.array([len(one) for one in words.data.tolist()], dtype=np.int64)
    if int(lengths.max()) * batch.rows > MAX_TEXT_BYTES:
        raise Later
    found: NDArray[np.object_] = words.data[codes]
    return found


def _refuse_reserved(text: str) -> None:
    """What the patient way looks at cell by cell."""
    if "\x00" in text or RESERVED_TEXT in text:
        raise Later
