"""Arrow as it comes: record batches become a ``Table`` by nanoarrow alone, without pyarrow.

Numbers, booleans, text, dictionaries of text or whole numbers, dates, points in time and decimals are read; anything
nested, binary or of elapsed time is refused by its column's name. Nothing of a batch is believed: offsets, dictionary
indices and UTF-8 are checked before they are used.
"""

import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from io import BufferedIOBase, BytesIO
from typing import Any

import nanoarrow
import numpy as np
from nanoarrow.c_schema import c_schema_view
from nanoarrow.ipc import InputStream
from numpy.typing import NDArray

from aweigh.errors import DataError, MalformedBody, UnsupportedMedia
from aweigh.table.arrow_frames import ArrowFrames, ArrowLimits, unreadable
from aweigh.table.arrow_write import write_arrow
from aweigh.table.columns import DATE_DTYPE, ORDERED_DTYPE, Table, Values, concatenate
from aweigh.table.pandas_notes import read_notes

__all__ = ["ArrowLimits", "iter_arrow", "read_arrow", "table_of_batch", "write_arrow"]

INTEGERS = {"int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}
FLOATS = {"half_float": "float16", "float": "float32", "double": "float64"}
OFFSETS = {"string": "int32", "large_string": "int64"}
MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
FIRST_MOMENT = int(np.datetime64(dt.datetime(1, 1, 1), "us").astype(np.int64))  # noqa: DTZ001  dtype datetime64 is naive
LAST_MOMENT = int(np.datetime64(dt.datetime(9999, 12, 31, 23, 59, 59, 999_999), "us").astype(np.int64))  # noqa: DTZ001
MAX_UNPACKED_BYTES = 256 * 2**20
DAY_US = 86_400_000_000
EXACT_POWER = 22
"""The largest power of ten that a float64 holds exactly."""

Mask = NDArray[np.bool_] | None


def table_of_batch(batch: object) -> Table:
    """One record batch (anything with ``__arrow_c_array__``, or nanoarrow's own array of a struct) as a table.

    Raises:
        UnsupportedMedia: a column of a type that no model takes, or rows that are null as a whole.
        MalformedBody: no record batch, column names that are empty or double, text that is not UTF-8, offsets that lie.
    """
    array = nanoarrow.c_array(batch)
    if c_schema_view(array.schema).type != "struct":
        raise MalformedBody("The Arrow data is not a table.", hint="send a stream of record batches")
    names = column_names([array.schema.child(i).name for i in range(array.schema.n_children)])
    view = array.view()
    if array.null_count != 0:
        raise UnsupportedMedia("Whole rows of the Arrow table are null.", hint="make each column of such a row null")
    columns = {
        name: _values(name, array.schema.child(i), view.child(i), slice(array.offset, array.offset + array.length))
        for i, name in enumerate(names)
    }
    return Table(columns, array.length)


def column_names(names: list[str]) -> list[str]:
    """The names as they are.

    Raises:
        MalformedBody: one is empty or stands twice.
    """
    if not all(names):
        raise MalformedBody(f"Column {names.index('') + 1} of the table has no name.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedBody(f"The table has more than one column named {twice!r}.")
    return names


def _values(name: str, schema: Any, view: Any, rows: slice) -> Values:
    """One column: ``rows`` are those of the batch, counted from the column's own offset."""
    kind = c_schema_view(schema)
    rows = slice(rows.start + view.offset, rows.stop + view.offset)
    if kind.type == "na":
        # Rows of nothing take no room in a body, and none here: every cell is the same one.
        nothing, gone = np.broadcast_to(np.float64(0), _count(rows)), np.broadcast_to(np.True_, _count(rows))
        return Values(nothing, gone, "float64")
    if kind.type == "dictionary":
        return _dictionary(name, kind, view, rows, of=c_schema_view(schema.dictionary).type)
    read = _READERS.get(kind.type)
    if read is None:
        raise _unreadable(name, kind.type)
    return read(name, kind, view, rows)


def _unreadable(name: str, kind: str) -> UnsupportedMedia:
    return UnsupportedMedia(
        f"Column {name!r} is of Arrow type {kind}, which no model takes.",
        hint="cast it to a number, a boolean, text, a date or a timestamp, or leave it out",
    )


def _count(rows: slice) -> int:
    return int(rows.stop - rows.start)


def _lies(name: str) -> MalformedBody:
    return MalformedBody(f"The Arrow data of column {name!r} contradicts itself.")


def _buffer(name: str, view: Any, index: int, *, dtype: str, rows: slice) -> NDArray[Any]:
    """These rows of a buffer of fixed-width values, copied: nanoarrow's views do not keep the memory that they show."""
    whole = np.frombuffer(view.buffer(index), dtype=np.uint8)
    item = np.dtype(dtype)
    start, stop = rows.start * item.itemsize, rows.stop * item.itemsize
    if not 0 <= start <= stop <= whole.nbytes:
        raise _lies(name)
    return whole[start:stop].copy().view(item)


def _bits(name: str, view: Any, index: int, *, rows: slice) -> NDArray[np.bool_]:
    """These rows of a buffer of bits, least significant first."""
    whole = np.frombuffer(view.buffer(index), dtype=np.uint8)
    first, last = rows.start // 8, (rows.stop + 7) // 8
    if not 0 <= first <= last <= len(whole):
        raise _lies(name)
    bits = np.unpackbits(whole[first:last], bitorder="little")
    return bits[rows.start - 8 * first : rows.stop - 8 * first].astype(bool)


def _missing(name: str, view: Any, rows: slice) -> Mask:
    if view.buffer(0).size_bytes == 0:
        return None
    missing = ~_bits(name, view, 0, rows=rows)
    return missing if missing.any() else None


def _blanked(data: NDArray[Any], missing: Mask) -> NDArray[Any]:
    """The same array: what stands where a value is missing is whatever the sender left there, and is wiped."""
    if missing is None:
        return data
    data[missing] = data.dtype.type(0) if data.dtype != object else ""
    return data


def _integers(name: str, kind: Any, view: Any, rows: slice) -> Values:
    data = _buffer(name, view, 1, dtype=kind.type, rows=rows)
    missing = _missing(name, view, rows)
    if kind.type == "uint64":
        data = _blanked(data, missing)
        if len(data) and int(data.max()) > np.iinfo(np.int64).max:
            raise DataError(f"Column {name!r} holds whole numbers beyond 64 bits with a sign.", hint="send it as text")
    return Values(_blanked(data.astype(np.int64, copy=False), missing), missing, kind.type)


def _floats(name: str, kind: Any, view: Any, rows: slice) -> Values:
    # A column of 16 bits is held to 32: no model library of ours keeps fewer.
    dtype = "float64" if kind.type == "double" else "float32"
    data = _buffer(name, view, 1, dtype=FLOATS[kind.type], rows=rows).astype(np.float64, copy=False)
    missing = _missing(name, view, rows)
    absent = np.isnan(data)
    if absent.any():
        missing = absent if missing is None else missing | absent
    return Values(_blanked(data, missing), missing, dtype)


def _booleans(name: str, _kind: Any, view: Any, rows: slice) -> Values:
    missing = _missing(name, view, rows)
    return Values(_blanked(_bits(name, view, 1, rows=rows), missing), missing, "bool")


def _texts(name: str, kind: Any, view: Any, rows: slice) -> Values:
    missing = _missing(name, view, rows)
    cells = _strings(name, view, offsets=OFFSETS[kind.type], rows=rows, missing=missing)
    data = np.empty(len(cells), dtype=object)
    data[:] = cells
    return Values(data, missing, "str")


def _strings(name: str, view: Any, *, offsets: str, rows: slice, missing: Mask) -> list[str]:
    if not _count(rows):
        return []
    bounds = _buffer(name, view, 1, dtype=offsets, rows=slice(rows.start, rows.stop + 1))
    body = memoryview(view.buffer(2)).cast("B")
    if bounds[0] < 0 or bounds[-1] > len(body) or (np.diff(bounds) < 0).any():
        raise _lies(name)
    start = int(bounds[0])
    text = bytes(body[start : int(bounds[-1])])
    edges = (bounds - start).tolist()
    pairs = itertools.pairwise(edges)
    try:
        if text.isascii():
            whole = text.decode("ascii")
            cells = [whole[low:high] for low, high in pairs]
        elif missing is None:
            cells = [text[low:high].decode() for low, high in pairs]
        else:
            here = (~missing).tolist()
            cells = [text[low:high].decode() if ok else "" for (low, high), ok in zip(pairs, here, strict=True)]
    except UnicodeDecodeError as error:
        raise MalformedBody(f"Column {name!r} holds text that is not UTF-8.") from error
    if missing is not None:
        for row in np.flatnonzero(missing).tolist():
            cells[row] = ""
    return cells


def _dictionary(name: str, kind: Any, view: Any, rows: slice, *, of: str) -> Values:
    """Codes into a dictionary of kinds: text, or whole numbers."""
    if of not in OFFSETS and of not in INTEGERS:
        raise _unreadable(name, f"dictionary of {of}")
    missing = _missing(name, view, rows)
    codes = _buffer(name, view, 1, dtype=kind.storage_type, rows=rows)
    kinds = view.dictionary
    every = slice(kinds.offset, kinds.offset + kinds.length)
    empty = _missing(name, kinds, every)
    if empty is not None:
        raise UnsupportedMedia(f"The dictionary of column {name!r} holds a null.", hint="make the cells null instead")
    codes = _blanked(codes, missing) if missing is not None else codes
    present = codes if missing is None else codes[~missing]
    if len(present) and not (int(present.min()) >= 0 and int(present.max()) < kinds.length):
        raise _lies(name)
    if of in OFFSETS:
        words = _strings(name, kinds, offsets=OFFSETS[of], rows=every, missing=None)
        lookup = np.empty(len(words), dtype=object)
        lookup[:] = words
    else:
        lookup = _buffer(name, kinds, 1, dtype=of, rows=every).astype(np.int64)
        words = [str(one) for one in lookup.tolist()]
    if len(lookup) == 0:
        lookup = np.zeros(1, dtype=lookup.dtype) if lookup.dtype != object else np.array([""], dtype=object)
    data = _blanked(lookup[codes], missing)
    dtype = ORDERED_DTYPE if kind.dictionary_ordered else "category"
    return Values(data, missing, dtype, tuple(words))


def _date32(name: str, _kind: Any, view: Any, rows: slice) -> Values:
    missing = _missing(name, view, rows)
    days = _blanked(_buffer(name, view, 1, dtype="int32", rows=rows), missing).astype(np.int64)
    return _moments(name, days, missing, us=DAY_US, dtype=DATE_DTYPE)


def _date64(name: str, _kind: Any, view: Any, rows: slice) -> Values:
    missing = _missing(name, view, rows)
    milliseconds = _blanked(_buffer(name, view, 1, dtype="int64", rows=rows), missing)
    return _moments(name, milliseconds // 86_400_000, missing, us=DAY_US, dtype=DATE_DTYPE)


def _timestamps(name: str, kind: Any, view: Any, rows: slice) -> Values:
    missing = _missing(name, view, rows)
    ticks = _blanked(_buffer(name, view, 1, dtype="int64", rows=rows), missing)
    zone = f", {kind.timezone}" if kind.timezone else ""
    dtype = f"datetime64[{kind.time_unit}{zone}]"
    if kind.time_unit == "ns":
        return _moments(name, ticks // 1_000, missing, us=1, dtype=dtype)
    return _moments(name, ticks, missing, us=MICROSECONDS[kind.time_unit], dtype=dtype)


def _moments(name: str, ticks: NDArray[np.int64], missing: Mask, *, us: int, dtype: str) -> Values:
    """Ticks of ``us`` microseconds since 1970 (UTC where the column has a zone) as datetime64[us]."""
    if len(ticks) and not (int(ticks.min()) * us >= FIRST_MOMENT and int(ticks.max()) * us <= LAST_MOMENT):
        raise DataError(f"Column {name!r} holds times outside the years 1 to 9999.")
    return Values((ticks * us).view("datetime64[us]"), missing, dtype)


def _decimals(name: str, kind: Any, view: Any, rows: slice) -> Values:
    """Decimals as the nearest float64: whole numbers of 128 or 256 bits, little-endian, over a power of ten."""
    missing = _missing(name, view, rows)
    words = kind.decimal_bitwidth // 64
    wide = slice(rows.start * words, rows.stop * words)
    limbs = _buffer(name, view, 1, dtype="int64", rows=wide).reshape(-1, words)
    low = limbs[:, 0]
    scale = kind.decimal_scale
    small = (limbs[:, 1:] == (low >> 63)[:, None]).all() and ((low > -(2**53)) & (low < 2**53)).all()
    if small and 0 <= scale <= EXACT_POWER:
        # Both sides of the division are exact, so its result is the nearest float64.
        data = low.astype(np.float64) / 10.0**scale
    else:
        size = 8 * words
        raw = limbs.tobytes()
        wholes = [int.from_bytes(raw[i : i + size], "little", signed=True) for i in range(0, len(raw), size)]
        up, down = 10 ** max(-scale, 0), 10 ** max(scale, 0)
        data = np.array([one * up / down for one in wholes], dtype=np.float64)
    return Values(_blanked(data, missing), missing, "float64")


_READERS: dict[str, Callable[[str, Any, Any, slice], Values]] = {
    **dict.fromkeys(INTEGERS, _integers),
    **dict.fromkeys(FLOATS, _floats),
    "bool": _booleans,
    **dict.fromkeys(OFFSETS, _texts),
    "date32": _date32,
    "date64": _date64,
    "timestamp": _timestamps,
    "decimal128": _decimals,
    "decimal256": _decimals,
}


# -- streams ---------------------------------------------------------------------------------------------------------


def read_arrow(body: bytes, *, max_rows: int | None = None, max_bytes: int | None = MAX_UNPACKED_BYTES) -> Table:
    """A whole Arrow IPC stream, or file, from somebody who need not be trusted.

    ``max_bytes`` bounds what its buffers hold when unpacked, before they are; lz4 and zstd are read.

    Raises:
        MalformedBody: not Arrow, damaged, or text that is not UTF-8.
        TooLarge: more rows or more bytes than that.
        UnsupportedMedia: a column of a type that no model takes, a compressed or growing dictionary.
        DataError: whole numbers beyond 64 bits, times outside the years 1 to 9999.
    """
    if not body:
        raise MalformedBody("The body is empty.", hint="send an Arrow IPC stream")
    return concatenate(list(iter_arrow(BytesIO(body), limits=ArrowLimits(max_rows, max_bytes))))


def iter_arrow(file: BufferedIOBase, *, limits: ArrowLimits | None = None) -> Iterator[Table]:
    """The record batches of an Arrow IPC stream or file, in order; at least one table, perhaps of no rows.

    Raises:
        MalformedBody: not Arrow, damaged, or text that is not UTF-8.
        TooLarge: more than ``limits``.
        UnsupportedMedia: a column of a type that no model takes, a compressed or growing dictionary.
        DataError: whole numbers beyond 64 bits, times outside the years 1 to 9999.
    """
    frames = ArrowFrames(file, limits or ArrowLimits())
    try:
        stream = nanoarrow.c_array_stream(InputStream.from_readable(frames))
        schema = stream.get_schema()
        notes = read_notes(None if schema.metadata is None else dict(schema.metadata.items()))
        some = False
        for batch in stream:
            some = True
            yield notes.apply(table_of_batch(batch))
        if not some:
            yield notes.apply(table_of_batch(nanoarrow.c_array([], schema)))
    except (RuntimeError, ValueError) as error:
        # RuntimeError is the base of nanoarrow's own exception, whose name is not public.
        raise frames.error or _unread(error) from error


def _unread(error: Exception) -> UnsupportedMedia | MalformedBody:
    text = str(error)
    if "not yet supported" in text or "not supported" in text:
        what = text.rpartition(": ")[2].split(" not ")[0]
        return UnsupportedMedia(
            f"The Arrow data holds what is not read here: {what[:80]}.", hint="cast to plain types before writing it"
        )
    return unreadable()
