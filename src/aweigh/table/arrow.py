"""Arrow's columns as a ``Table``: from the bytes of a stranger, or from pyarrow's batches.

Numbers, booleans, text, dictionaries of text or whole numbers, dates, points in time and decimals are read; what is
nested, binary or of elapsed time is refused by its column's name. Nothing of a batch is believed: offsets, codes and
UTF-8 are checked before they are used. Neither reading nor writing (``arrow_write.py``) needs a library.
"""

import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Sequence
from io import BufferedIOBase, BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.errors import DataError, MalformedBody, TooLarge, UnsupportedMedia
from aweigh.table.arrow_stream import INTEGERS, TEXTS, ArrowColumn, ArrowLimits, iter_batches
from aweigh.table.arrow_write import write_arrow
from aweigh.table.columns import DATE_DTYPE, ORDERED_DTYPE, Table, Values, concatenate
from aweigh.table.pandas_notes import read_notes

__all__ = ["iter_arrow", "read_arrow", "table_of_columns", "write_arrow"]

FLOATS = {"half_float": "float16", "float": "float32", "double": "float64"}
OFFSETS = {"string": "int32", "large_string": "int64"}
MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
FIRST_MOMENT = int(np.datetime64(dt.datetime(1, 1, 1), "us").astype(np.int64))  # noqa: DTZ001  dtype datetime64 is naive
LAST_MOMENT = int(np.datetime64(dt.datetime(9999, 12, 31, 23, 59, 59, 999_999), "us").astype(np.int64))  # noqa: DTZ001
MAX_BUFFER_BYTES = 256 * 2**20
DAY_US = 86_400_000_000
DAY_MS = 86_400_000
EXACT_POWER = 22
"""The largest power of ten that a float64 holds exactly."""
MAX_SCALE = 76
"""Arrow's own limit: the digits of a decimal of 256 bits."""
MAX_TEXT_BYTES = 256 * 2**20
"""Text of one column of a batch, written out: views and codes may name the same bytes again and again, so that a body
of ten megabytes would become a terabyte."""
INLINE_BYTES = 12
"""A view holds text up to so many bytes itself."""

Mask = NDArray[np.bool_] | None


def read_arrow(
    body: bytes,
    *,
    max_rows: int | None = None,
    max_bytes: int | None = MAX_BUFFER_BYTES,
    max_cells: int | None = None,
) -> Table:
    """A whole Arrow IPC stream, or file, from somebody who need not be trusted.

    ``max_bytes`` bounds the sum of its columns' buffers, which may be more than the body, ``max_cells`` rows times
    columns: a cell takes eight bytes and more in the table, whatever it took in the body.

    Raises:
        MalformedBody: not Arrow, damaged, or text that is not UTF-8.
        TooLarge: more rows, bytes or cells than that.
        UnsupportedMedia: a column of a type that no model takes, compression, a dictionary that grows.
        DataError: whole numbers beyond 64 bits, times outside the years 1 to 9999.
    """
    if not body:
        raise MalformedBody("The body is empty.", hint="send an Arrow IPC stream")
    return concatenate(list(iter_arrow(BytesIO(body), limits=ArrowLimits(max_rows, max_bytes, max_cells))))


def iter_arrow(file: BufferedIOBase, *, limits: ArrowLimits | None = None) -> Iterator[Table]:
    """The record batches of an Arrow IPC stream or file, in order; at least one table, perhaps of no rows.

    Raises:
        MalformedBody: not Arrow, damaged, or text that is not UTF-8.
        TooLarge: more than ``limits``.
        UnsupportedMedia: a column of a type that no model takes, compression, a dictionary that grows.
        DataError: whole numbers beyond 64 bits, times outside the years 1 to 9999.
    """
    for batch in iter_batches(file, limits=limits or ArrowLimits()):
        yield read_notes(batch.notes).apply(table_of_columns(batch.columns, batch.rows))


def table_of_columns(columns: Sequence[ArrowColumn], rows: int) -> Table:
    """Columns of buffers as a table.

    Raises:
        MalformedBody: offsets or codes that lead nowhere, text that is not UTF-8.
        UnsupportedMedia: a dictionary that holds a null.
        TooLarge: more text in a column than is taken at once.
        DataError: whole numbers beyond 64 bits, times outside the years 1 to 9999.
    """
    return Table({column.name: _READERS[column.type.kind](column) for column in columns}, rows)


def _lies(column: ArrowColumn) -> MalformedBody:
    return MalformedBody(f"The Arrow data of column {column.name!r} contradicts itself.")


# -- buffers ---------------------------------------------------------------------------------------------------------


def _numbers(column: ArrowColumn, index: int, dtype: str, *, per_row: int = 1, more: int = 0) -> NDArray[Any]:
    """The column's part of a buffer of fixed-width values, ``per_row`` a row and ``more`` behind; not copied."""
    kind = np.dtype(dtype)
    start = column.offset * per_row * kind.itemsize
    count = column.rows * per_row + more
    if column.rows == 0:
        return np.zeros(count, dtype=kind)
    if start + count * kind.itemsize > len(column.buffers[index]):
        raise _lies(column)
    return np.frombuffer(column.buffers[index], dtype=kind, count=count, offset=start)


def _bits(column: ArrowColumn, index: int) -> NDArray[np.bool_]:
    """The column's part of a buffer of bits, least significant first."""
    first, last = column.offset // 8, (column.offset + column.rows + 7) // 8
    if column.rows == 0:
        return np.zeros(0, dtype=bool)
    if last > len(column.buffers[index]):
        raise _lies(column)
    octets = np.frombuffer(column.buffers[index], dtype=np.uint8, count=last - first, offset=first)
    start = column.offset - 8 * first
    return np.unpackbits(octets, bitorder="little")[start : start + column.rows].view(bool)


def _missing(column: ArrowColumn) -> Mask:
    """Where the column is null: the validity bits, which may be left out when nothing is."""
    if not column.buffers or len(column.buffers[0]) == 0:
        return None
    missing = ~_bits(column, 0)
    return missing if missing.any() else None


def _blanked(data: NDArray[Any], missing: Mask) -> NDArray[Any]:
    """What stands where a value is missing is whatever the sender left there: it is wiped, in a copy."""
    if missing is None:
        return data
    data = data.copy()
    data[missing] = "" if data.dtype == object else data.dtype.type(0)
    return data


# -- columns ---------------------------------------------------------------------------------------------------------


def _nothing(column: ArrowColumn) -> Values:
    return Values(np.zeros(column.rows), np.ones(column.rows, dtype=bool), "float64")


def _integers(column: ArrowColumn) -> Values:
    missing = _missing(column)
    data = _blanked(_numbers(column, 1, column.type.kind), missing)
    if column.type.kind == "uint64" and len(data) and int(data.max()) > np.iinfo(np.int64).max:
        raise DataError(
            f"Column {column.name!r} holds whole numbers beyond 64 bits with a sign.", hint="send it as text"
        )
    return Values(data.astype(np.int64, copy=False), missing, column.type.kind)


def _floats(column: ArrowColumn) -> Values:
    # A column of 16 bits is held to 32: no model library of ours keeps fewer.
    dtype = "float64" if column.type.kind == "double" else "float32"
    data = _numbers(column, 1, FLOATS[column.type.kind]).astype(np.float64, copy=False)
    missing = _missing(column)
    absent = np.isnan(data)
    if absent.any():
        missing = absent if missing is None else missing | absent
    return Values(_blanked(data, missing), missing, dtype)


def _booleans(column: ArrowColumn) -> Values:
    missing = _missing(column)
    return Values(_blanked(_bits(column, 1), missing), missing, "bool")


def _texts(column: ArrowColumn) -> Values:
    missing = _missing(column)
    return Values(_strings(column, missing), missing, "str")


def _strings(column: ArrowColumn, missing: Mask) -> NDArray[np.object_]:
    try:
        cells = _viewed(column, missing) if column.type.kind == "string_view" else _cut(column, missing)
    except UnicodeDecodeError as error:
        raise MalformedBody(f"Column {column.name!r} holds text that is not UTF-8.") from error
    data = np.empty(column.rows, dtype=object)
    data[:] = cells
    return _blanked(data, missing)


def _cut(column: ArrowColumn, missing: Mask) -> list[str]:
    """Text laid end to end, and where each begins."""
    if column.rows == 0:
        return []
    bounds = _numbers(column, 1, OFFSETS[column.type.kind], more=1)
    # Compared, not subtracted: a difference of 32 bits goes round.
    if bounds[0] < 0 or bounds[-1] > len(column.buffers[2]) or (bounds[1:] < bounds[:-1]).any():
        raise _lies(column)
    start = int(bounds[0])
    body = bytes(column.buffers[2][start : int(bounds[-1])])
    pairs = itertools.pairwise((bounds - start).tolist())
    if body.isascii():
        text = body.decode("ascii")
        return [text[low:high] for low, high in pairs]
    if missing is None:
        return [body[low:high].decode() for low, high in pairs]
    gone = missing.tolist()
    return ["" if absent else body[low:high].decode() for (low, high), absent in zip(pairs, gone, strict=True)]


def _refuse_much(column: ArrowColumn, sizes: NDArray[np.integer]) -> None:
    """Refuses text that is small as it came and huge when it is written out."""
    if int(np.maximum(sizes, 0).sum(dtype=np.int64)) > MAX_TEXT_BYTES:
        raise TooLarge(
            f"Column {column.name!r} holds more text than is taken at once.", hint="send fewer rows at a time"
        )


def _viewed(column: ArrowColumn, missing: Mask) -> list[str]:
    """Views of 16 bytes: a length, then the text itself, or four bytes of it, a buffer's number and a place there."""
    views = _numbers(column, 1, "uint8", per_row=16).reshape(-1, 16)
    words = views.view("int32")
    _refuse_much(column, words[:, 0].astype(np.int64) if missing is None else np.where(missing, 0, words[:, 0]))
    gone = [False] * column.rows if missing is None else missing.tolist()
    cells = []
    for i, (size, _, buffer, place) in enumerate(words.tolist()):
        if gone[i]:
            cells.append("")
            continue
        if 0 <= size <= INLINE_BYTES:
            raw = views[i, 4 : 4 + size].tobytes()
        elif size > 0 and 0 <= buffer < len(column.buffers) - 2 and place >= 0:
            raw = bytes(column.buffers[2 + buffer][place : place + size])
        else:
            raise _lies(column)
        if len(raw) != size:
            raise _lies(column)
        cells.append(raw.decode())
    return cells


def _dictionary(column: ArrowColumn) -> Values:
    """Codes into a dictionary of kinds: text, or whole numbers."""
    missing = _missing(column)
    kinds = column.dictionary
    dtype = ORDERED_DTYPE if column.type.ordered else "category"
    if kinds is None:  # a stream of no rows need not have sent it
        return Values(np.empty(0, dtype=object), None, dtype, ())
    if _missing(kinds) is not None:
        raise UnsupportedMedia(
            f"The dictionary of column {column.name!r} holds a null.", hint="make the cells null instead"
        )
    codes = _blanked(_numbers(column, 1, column.type.codes), missing)
    present = codes if missing is None else codes[~missing]
    if len(present) and not (int(present.min()) >= 0 and int(present.max()) < kinds.rows):
        raise _lies(column)
    values = _texts(kinds) if kinds.type.kind in TEXTS else _integers(kinds)
    words = tuple(str(one) for one in values.data.tolist())
    if kinds.type.kind in TEXTS and len(present):
        sizes = np.array([len(one) for one in values.data.tolist()], dtype=np.int64)
        _refuse_much(column, np.bincount(present.astype(np.int64), minlength=kinds.rows) * sizes)
    lookup = values.data if kinds.rows else np.zeros(1, dtype=values.data.dtype)
    return Values(_blanked(lookup[codes], missing), missing, dtype, words)


def _days(column: ArrowColumn) -> Values:
    missing = _missing(column)
    if column.type.kind == "date32":
        days = _blanked(_numbers(column, 1, "int32"), missing).astype(np.int64)
    else:
        days = _blanked(_numbers(column, 1, "int64"), missing) // DAY_MS
    return _moments(column, days, missing, us=DAY_US, dtype=DATE_DTYPE)


def _timestamps(column: ArrowColumn) -> Values:
    missing = _missing(column)
    ticks = _blanked(_numbers(column, 1, "int64"), missing)
    unit, zone = column.type.unit, column.type.zone
    dtype = f"datetime64[{unit}, {zone}]" if zone else f"datetime64[{unit}]"
    if unit == "ns":
        return _moments(column, ticks // 1_000, missing, us=1, dtype=dtype)
    return _moments(column, ticks, missing, us=MICROSECONDS[unit], dtype=dtype)


def _moments(column: ArrowColumn, ticks: NDArray[np.int64], missing: Mask, *, us: int, dtype: str) -> Values:
    """Ticks of ``us`` microseconds since 1970 (UTC where the column has a zone) as datetime64[us]."""
    if len(ticks) and not (int(ticks.min()) * us >= FIRST_MOMENT and int(ticks.max()) * us <= LAST_MOMENT):
        raise DataError(f"Column {column.name!r} holds times outside the years 1 to 9999.")
    return Values((ticks * us).view("datetime64[us]"), missing, dtype)


def _decimals(column: ArrowColumn) -> Values:
    """Decimals as the nearest float64: whole numbers of 32 to 256 bits, little end first, over a power of ten."""
    missing = _missing(column)
    scale, width = column.type.scale, column.type.width
    if width not in {32, 64, 128, 256} or abs(scale) > MAX_SCALE:
        raise _lies(column)
    limbs = _numbers(column, 1, "int32" if width == 32 else "int64", per_row=max(width // 64, 1))
    limbs = limbs.reshape(column.rows, max(width // 64, 1))
    low = limbs[:, 0].astype(np.int64)
    small = (limbs[:, 1:] == (low >> 63)[:, None]).all() and ((low > -(2**53)) & (low < 2**53)).all()
    if small and 0 <= scale <= EXACT_POWER:
        # Both sides of the division are exact, so its result is the nearest float64.
        data = low.astype(np.float64) / 10.0**scale
    else:
        raw, size = limbs.tobytes(), width // 8
        wholes = [int.from_bytes(raw[i : i + size], "little", signed=True) for i in range(0, len(raw), size)]
        up, down = 10 ** max(-scale, 0), 10 ** max(scale, 0)
        data = np.array([one * up / down for one in wholes], dtype=np.float64)
    return Values(_blanked(data, missing), missing, "float64")


_READERS: dict[str, Callable[[ArrowColumn], Values]] = {
    **dict.fromkeys(INTEGERS, _integers),
    **dict.fromkeys(FLOATS, _floats),
    **dict.fromkeys(TEXTS, _texts),
    "bool": _booleans,
    "dictionary": _dictionary,
    "date32": _days,
    "date64": _days,
    "timestamp": _timestamps,
    "decimal": _decimals,
    "null": _nothing,
}
