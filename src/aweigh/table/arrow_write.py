"""Columns as an Arrow IPC stream, written without a library: a schema, one record batch, and the end.

The messages are those of Arrow's ``Message.fbs`` and ``Schema.fbs`` (version 5 of the format).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.table.arrow_stream import CONTINUATION, PAIR, RECORD_BATCH, SCHEMA
from aweigh.table.columns import DATE_DTYPE, Values
from aweigh.table.flatbuffer import INT32
from aweigh.table.flatbuffer_write import Node, Structs, byte, integer, long, short, written

Column = Values | NDArray[Any] | Sequence[object]

VERSION_5 = 4
"""MetadataVersion.V5, counted from zero."""
BUFFER_BYTES = 8
"""Every buffer is filled up to a multiple of so many bytes."""

_TYPES = {
    "double": (3, Node([short(2)])),
    "int64": (2, Node([integer(64), byte(1)])),
    "bool": (6, Node([])),
    "string": (5, Node([])),
    "large_string": (20, Node([])),
    "date32": (8, Node([short(0)])),
    "timestamp": (10, Node([short(2)])),
}
"""Of each type the tag in the union ``Type`` and its table: doubles, 64 bits with a sign, days, microseconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A column as Arrow lays it out: ``kind`` as in ``arrow_stream.py``; the first buffer, validity, may be None."""

    kind: str
    rows: int
    nulls: int
    buffers: tuple[NDArray[Any] | None, ...]


def write_arrow(names: Sequence[str], columns: Sequence[Column]) -> bytes:
    """Columns of one length as an IPC stream of one record batch.

    A column is ``Values``, an array (float64, int64, bool, datetime64[us] or of objects; NaN becomes null), or plain
    Python values with None where missing: numbers, booleans or text, numbers beside text as text.
    """
    made = [encoded(column if isinstance(column, Values) else values_of(column)) for column in columns]
    schema = _schema(tuple(names), tuple(one.kind for one in made))
    places, parts, end = [], [], 0
    for buffer in (buffer for one in made for buffer in one.buffers):
        raw = b"" if buffer is None else buffer.tobytes()
        places.append((end, len(raw)))
        parts += [raw, bytes(-len(raw) % BUFFER_BYTES)]
        end += len(raw) + len(parts[-1])
    nodes = Structs(PAIR, [(one.rows, one.nulls) for one in made])
    batch = Node([long(made[0].rows if made else 0), nodes, Structs(PAIR, places)])
    return b"".join([schema, _message(RECORD_BATCH, batch, body_bytes=end), *parts, CONTINUATION, INT32.pack(0)])


@lru_cache(maxsize=64)  # of a reply of a thousand numbers two fifths
def _schema(names: tuple[str, ...], kinds: tuple[str, ...]) -> bytes:
    fields = [_field(name, kind) for name, kind in zip(names, kinds, strict=True)]
    return _message(SCHEMA, Node([None, fields]), body_bytes=0)


def _message(kind: int, header: Node, *, body_bytes: int) -> bytes:
    raw = written(Node([short(VERSION_5), byte(kind), header, long(body_bytes)]))
    return CONTINUATION + INT32.pack(len(raw)) + raw


def _field(name: str, kind: str) -> Node:
    tag, table = _TYPES[kind]
    return Node([name, byte(1), byte(tag), table, None, []])


def values_of(cells: NDArray[Any] | Sequence[object]) -> Values:
    """Plain values, or an array of them, as a column; None and NaN are missing."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind != "O":
        kind = {"f": "float64", "i": "int64", "u": "int64", "b": "bool", "M": "datetime64[us]"}[cells.dtype.kind]
        data = cells.astype(kind, copy=False)
        missing = np.isnat(data) if data.dtype.kind == "M" else np.isnan(data) if data.dtype.kind == "f" else None
        return Values(data, missing if missing is not None and missing.any() else None)
    plain = cells.tolist() if isinstance(cells, np.ndarray) else list(cells)
    gone = np.array([cell is None or cell != cell for cell in plain], dtype=bool)  # noqa: PLR0124  NaN alone differs from itself
    kinds = {type(cell) for cell, absent in zip(plain, gone, strict=True) if not absent}
    if kinds == {bool}:
        made: tuple[object, str] = (False, "bool")
    elif kinds == {int}:
        made = (0, "int64")
    elif kinds <= {int, float}:
        made = (0.0, "float64")
    else:
        made = ("", "object")
        plain = [cell if isinstance(cell, str) else str(cell) for cell in plain]
    filled = [made[0] if absent else cell for cell, absent in zip(plain, gone.tolist(), strict=True)]
    return Values(np.array(filled, dtype=made[1]), gone if gone.any() else None)


def encoded(values: Values) -> Encoded:
    """The column as Arrow has it: validity bits, and the values.

    Points in time that are a column of dates are written as dates.
    """
    data, missing = values.data, values.missing
    if data.dtype.kind == "f" and np.isnan(data).any():
        missing = values.as_mask() | np.isnan(data)
    nulls = 0 if missing is None else int(missing.sum())
    validity = np.packbits(~missing, bitorder="little") if nulls and missing is not None else None
    kind, buffers = _days(data) if values.dtype == DATE_DTYPE else _LAYOUTS[data.dtype.kind](data)
    return Encoded(kind, len(data), nulls, (validity, *buffers))


def _days(data: NDArray[Any]) -> tuple[str, list[NDArray[Any]]]:
    return "date32", [data.astype("datetime64[D]").astype(np.int64).astype(np.int32)]


def _text(data: NDArray[Any]) -> tuple[str, list[NDArray[Any]]]:
    cells = data.tolist()
    text = "".join(cells)
    pieces = cells if text.isascii() else [cell.encode() for cell in cells]
    body = np.frombuffer(text.encode(), dtype=np.uint8)
    offsets = np.zeros(len(cells) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, pieces), dtype=np.int64, count=len(cells)), out=offsets[1:])
    if offsets[-1] > np.iinfo(np.int32).max:
        return "large_string", [offsets, body]
    return "string", [offsets.astype(np.int32), body]


_LAYOUTS: dict[str, Any] = {
    "f": lambda data: ("double", [np.ascontiguousarray(data, dtype=np.float64)]),
    "i": lambda data: ("int64", [np.ascontiguousarray(data, dtype=np.int64)]),
    "b": lambda data: ("bool", [np.packbits(data, bitorder="little")]),
    "M": lambda data: ("timestamp", [np.ascontiguousarray(data).astype("datetime64[us]").view(np.int64)]),
    "O": _text,
}
