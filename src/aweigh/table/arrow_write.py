"""Columns as an Arrow IPC stream, written by nanoarrow alone."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import nanoarrow
import numpy as np
from nanoarrow.ipc import StreamWriter
from numpy.typing import NDArray

from aweigh.table.columns import DATE_DTYPE, Values

Column = Values | NDArray[Any] | Sequence[object]


def write_arrow(names: Sequence[str], columns: Sequence[Column]) -> bytes:
    """Columns of one length as an IPC stream of one record batch.

    A column is ``Values``, an array (float64, int64, bool, datetime64[us] or of objects; NaN becomes null), or plain
    Python values with None where missing: numbers, booleans or text, numbers beside text as text.
    """
    values = [column if isinstance(column, Values) else values_of(column) for column in columns]
    children = [encoded(one) for one in values]
    schema = nanoarrow.struct({name: child.schema for name, child in zip(names, children, strict=True)})
    length = len(values[0]) if values else 0
    batch = nanoarrow.c_array_from_buffers(schema, length, [None], null_count=0, children=children)
    out = BytesIO()
    with StreamWriter.from_writable(out) as writer:
        writer.write_array(batch)
    return out.getvalue()


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


def encoded(values: Values) -> Any:
    """The column as nanoarrow's array, which any Arrow library takes: validity bits, and the values as Arrow has them.

    Points in time that are a column of dates are written as dates.
    """
    data, missing = values.data, values.missing
    if data.dtype.kind == "f" and np.isnan(data).any():
        missing = values.as_mask() | np.isnan(data)
    nulls = 0 if missing is None else int(missing.sum())
    validity = np.packbits(~missing, bitorder="little") if nulls and missing is not None else None
    kind, buffers = _days(data) if values.dtype == DATE_DTYPE else _LAYOUTS[data.dtype.kind](data)
    return nanoarrow.c_array_from_buffers(kind, len(data), [validity, *buffers], null_count=nulls)


def _days(data: NDArray[Any]) -> tuple[Any, list[NDArray[Any]]]:
    days = data.astype("datetime64[D]").astype(np.int64).astype(np.int32)
    return nanoarrow.date32(), [days]


def _text(data: NDArray[Any]) -> tuple[Any, list[NDArray[Any]]]:
    cells = data.tolist()
    text = "".join(cells)
    pieces = cells if text.isascii() else [cell.encode() for cell in cells]
    body = np.frombuffer(text.encode(), dtype=np.uint8)
    offsets = np.zeros(len(cells) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, pieces), dtype=np.int64, count=len(cells)), out=offsets[1:])
    if offsets[-1] > np.iinfo(np.int32).max:
        return nanoarrow.large_string(), [offsets, body]
    return nanoarrow.string(), [offsets.astype(np.int32), body]


_LAYOUTS: dict[str, Any] = {
    "f": lambda data: (nanoarrow.float64(), [np.ascontiguousarray(data, dtype=np.float64)]),
    "i": lambda data: (nanoarrow.int64(), [np.ascontiguousarray(data, dtype=np.int64)]),
    "b": lambda data: (nanoarrow.bool_(), [np.packbits(data, bitorder="little")]),
    "M": lambda data: (nanoarrow.timestamp("us"), [np.ascontiguousarray(data).astype("datetime64[us]").view(np.int64)]),
    "O": _text,
}
