"""pyarrow's record batches cut by what they weigh when they are written out, and the sum of it bounded.

A file may hold a text once and name it a million times: how long a batch's cells are is known from its codes and
offsets, before anything is written out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.errors import TooLarge
from aweigh.table.arrow_stream import NULL_BYTES
from aweigh.table.columns import Table

PART_BYTES = 16 * 2**20
"""What the cells of one part weigh at most, unless a single row weighs more."""
MAX_ROW_BYTES = 256 * 2**20
OFFSET_BYTES = 8
VIEW_BYTES = 16

Sizes = NDArray[np.int64]


@dataclass(slots=True)
class Unpacked:
    """How many more bytes of cells may come; None: any."""

    left: int | None = None

    def take(self, size_bytes: int) -> None:
        """Counts some.

        Raises:
            TooLarge: they are too many.
        """
        if self.left is not None:
            self.left -= size_bytes
            if self.left < 0:
                raise too_much()


def too_much() -> TooLarge:
    """The refusal of a file that becomes larger than may be."""
    return TooLarge("The file unpacks to more bytes than are taken.", hint="send it in parts")


def cut_batch(pa: Any, batch: Any, *, rows: int, unpacked: Unpacked) -> Iterator[Any]:
    """A record batch in slices of at most so many rows and ``PART_BYTES``; what each weighs is counted.

    Raises:
        TooLarge: more than may be unpacked, or a single row of more than ``MAX_ROW_BYTES``.
    """
    for start in range(0, batch.num_rows, rows):
        some = batch.slice(start, rows)
        for first, end, size in _cuts(batch_sizes(pa, some)):
            unpacked.take(size)
            yield some.slice(first, end - first)


def cut_table(table: Table, *, rows: int, unpacked: Unpacked) -> Iterator[Table]:
    """The same for a table; one of no rows is given as it is."""
    for start in range(0, max(1, table.rows), rows):
        some = table if table.rows <= rows else table.take(slice(start, start + rows))
        for first, end, size in _cuts(_table_sizes(some)):
            unpacked.take(size)
            yield some if end - first == some.rows else some.take(slice(first, end))
        if not some.rows:
            yield some


def _table_sizes(table: Table) -> Sizes:
    sizes = np.zeros(table.rows, dtype=np.int64)
    for values in table.columns.values():
        if values.data.dtype == object:
            sizes += np.fromiter(map(len, values.data), dtype=np.int64, count=table.rows)
        else:
            sizes += values.data.itemsize
    return sizes


def _cuts(sizes: Sizes) -> Iterator[tuple[int, int, int]]:
    """Where slices begin and end, and what each weighs."""
    count = len(sizes)
    if count and int(sizes.max()) > MAX_ROW_BYTES:
        raise TooLarge("A row of the file holds more text than is taken at once.", hint="leave the long column out")
    ends = np.cumsum(sizes)
    first = before = 0
    while first < count:
        end = int(np.searchsorted(ends, before + PART_BYTES, side="right"))
        end = min(max(end, first + 1), count)
        yield first, end, int(ends[end - 1]) - before
        before = int(ends[end - 1])
        first = end


def batch_sizes(pa: Any, batch: Any) -> Sizes:
    """What each row of a batch weighs: text by its length in UTF-8, other cells by their width."""
    sizes = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        sizes += cell_sizes(pa, column)
    return sizes


def cell_sizes(pa: Any, array: Any) -> Sizes | int:
    """What each cell of a column weighs when it is written out, one number where all weigh the same."""
    kind, types = array.type, pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return cell_sizes(pa, array.storage)
    if types.is_dictionary(kind):
        return _coded(pa, array)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        return _lengths(pa, array)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        return _viewed(array)
    if types.is_struct(kind):
        found = np.zeros(len(array), dtype=np.int64)
        for one in array.flatten():
            found += cell_sizes(pa, one)
        return found
    if types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind):
        return _nested(pa, array)
    if types.is_null(kind):
        return NULL_BYTES
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:  # no width of its own, and nothing in it is named twice
        return -(-int(array.get_total_buffer_size()) // max(1, len(array)))


def _lengths(pa: Any, array: Any) -> Sizes:
    import pyarrow.compute as pc

    found = pc.fill_null(pc.binary_length(array), 0).cast(pa.int64())
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def _coded(pa: Any, array: Any) -> Sizes | int:
    sizes = cell_sizes(pa, array.dictionary)
    if isinstance(sizes, int):
        return sizes
    codes = array.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return np.append(sizes, 0)[np.where((codes < 0) | (codes >= len(sizes)), len(sizes), codes)]


def _viewed(array: Any) -> Sizes:
    if not len(array):
        return np.zeros(0, dtype=np.int64)
    words = np.frombuffer(array.buffers()[1], dtype=np.int32).reshape(-1, VIEW_BYTES // 4)
    return np.maximum(words[array.offset : array.offset + len(array), 0], 0).astype(np.int64)


def _nested(pa: Any, array: Any) -> Sizes | int:
    """The items that a cell names, and where they are."""
    if not len(array):
        return 0
    places = np.asarray(array.offsets.to_numpy(zero_copy_only=False), dtype=np.int64)
    start, count = int(places[0]), int(places[-1] - places[0])
    parts = (array.keys, array.items) if pa.types.is_map(array.type) else (array.values,)
    found: Sizes = np.full(len(array), OFFSET_BYTES, dtype=np.int64)
    for one in parts:
        inner = cell_sizes(pa, one.slice(start, count))
        if isinstance(inner, int):
            found += np.diff(places) * inner
        else:
            found += np.diff(np.concatenate([[0], np.cumsum(inner)])[places - start])
    return found
