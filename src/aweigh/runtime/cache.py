"""Answers that are already known: a row that was answered is not asked again.

The key of a row is a hash of what its answer hangs on: the bundle's digest, whose answer it is (``scope``), and the
checked row itself, so that ``1`` and ``1.0`` in a column of numbers, an absent cell and ``null``, JSON and CSV are one
row. ``0.0`` and ``-0.0`` are two, as a model may tell them apart. The rows themselves are not kept.
"""

import hashlib
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from aweigh._version import __version__
from aweigh.schema.column import Schema
from aweigh.schema.stored import RowForm
from aweigh.secret import Secret
from aweigh.table import Table

KEY_BYTES = 32
"""Wide enough that nobody finds two rows of one key, even where the hash has no secret."""

ENTRY_BYTES = 256
"""What an entry takes beside its answer's own bytes: key, two objects, a place in the order (measured: 170 to 250)."""

Keys = Callable[[Table], list[bytes]]


def compile_keys(schema: Schema, *, digest: str, scope: bytes = b"", secret: bytes = b"") -> Keys:
    """A function from a checked table to a key of 32 bytes for each of its rows.

    ``scope`` parts those whose answers may differ though their rows are the same. With a ``secret`` (at most 64
    bytes) nobody without it can tell from a key which row it stands for, nor make one.
    """
    base = hashlib.blake2b(digest_size=KEY_BYTES, key=secret, person=b"aweigh-row-1")
    for part in (__version__.encode(), digest.encode(), RowForm(schema.output).layout.encode(), scope):
        base.update(struct.pack("<I", len(part)) + part)
    texts = [column.name for column in schema.columns if column.is_text]
    numbers = [column.name for column in schema.columns if not column.is_text]
    names = [*numbers, *texts]

    def keys(table: Table) -> list[bytes]:
        rows = table.rows
        masks = [table.columns[name].missing for name in names]
        pieces = [b""] * rows
        if any(mask is not None for mask in masks):
            width = len(names)
            gone = np.zeros((rows, width), dtype=np.uint8)
            for i, mask in enumerate(masks):
                if mask is not None:
                    gone[:, i] = mask
            flat = gone.tobytes()
            # A row in which nothing is missing says so in no bytes, whatever is missing in the rows beside it.
            pieces = [flat[i : i + width] if 1 in flat[i : i + width] else b"" for i in range(0, rows * width, width)]
        if numbers:
            flat = np.concatenate([_words(table, name) for name in numbers]).reshape(-1, rows).T.tobytes()
            step = 8 * len(numbers)
            pieces = [piece + flat[i * step : (i + 1) * step] for i, piece in enumerate(pieces)]
        cells = [_texts(table, name) for name in texts]
        found = []
        for i, piece in enumerate(pieces):
            one = base.copy()
            one.update(struct.pack("<I", len(piece)) + piece)
            for column in cells:
                text = column[i]
                one.update(struct.pack("<I", len(text)) + text)
            found.append(one.digest())
        return found

    return keys


def _words(table: Table, name: str) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    """A column of numbers, booleans or times as 64-bit words; missing ones are 0."""
    values = table.columns[name]
    data = values.data
    words = data.view(np.uint64) if data.dtype.itemsize == 8 else data.astype(np.uint64)
    return words if values.missing is None else np.where(values.missing, np.uint64(0), words)


def _texts(table: Table, name: str) -> list[bytes]:
    values = table.columns[name]
    cells = [str(cell).encode("utf-8", "surrogatepass") for cell in values.data.tolist()]
    if values.missing is None:
        return cells
    return [b"" if gone else cell for cell, gone in zip(cells, values.missing.tolist(), strict=True)]


def secret_of(secret: Secret | None) -> bytes:
    """A secret of any length as the key of a hash; none is none."""
    return hashlib.blake2b(secret.reveal().encode(), person=b"aweigh-secret-1").digest() if secret else b""


class Cache:
    """Answers of rows in this process, at most ``size_bytes`` of them; those unused longest go first.

    Safe to use from several threads.
    """

    def __init__(self, *, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.held_bytes = 0
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        """Lets go of everything."""
        with self._lock:
            self._entries.clear()
            self.held_bytes = 0

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """What is known of each key."""
        with self._lock:
            found = [self._entries.get(key) for key in keys]
            for key, piece in zip(keys, found, strict=True):
                if piece is not None:
                    self._entries.move_to_end(key)
        missed = found.count(None)
        self.hits += len(found) - missed
        self.misses += missed
        return found

    def put(self, keys: Sequence[bytes], pieces: Sequence[bytes]) -> None:
        """Keeps an answer for each key."""
        with self._lock:
            for key, piece in zip(keys, pieces, strict=True):
                before = self._entries.pop(key, None)
                if before is not None:
                    self.held_bytes -= len(before) + ENTRY_BYTES
                self._entries[key] = piece
                self.held_bytes += len(piece) + ENTRY_BYTES
            while self.held_bytes > self.size_bytes:
                _, gone = self._entries.popitem(last=False)
                self.held_bytes -= len(gone) + ENTRY_BYTES
                self.evictions += 1
