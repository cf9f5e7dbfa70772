"""Text cells that repeat themselves, from bytes: each distinct one becomes an object once, and the cells share it.

A cell of Arrow is a place in a buffer and a size. Read as whole numbers, eight bytes at a time, a thousand cells are
compared in a few passes of numpy, where a thousand ``str`` would each cost a tenth of a microsecond and more.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WORD_BYTES = 8
MAX_BYTES = 4 * WORD_BYTES
"""Text beyond this size is cut out cell by cell: kinds have short names."""

FEW_KINDS = 4
"""Sharing pays when each kind stands so many times on average."""

FEW_CELLS = 256
"""Up to here cells are cut out one by one: looking for equal ones takes as long whether they are few or thousands."""

SLOT_BITS = 16
SIZE_SHIFT = np.uint64(8 * (WORD_BYTES - 1))
FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
"""Two odd numbers that spread cells over the slots; where one puts two kinds into one slot, the other seldom does."""

_KEPT = np.array([(1 << 8 * size) - 1 for size in range(WORD_BYTES + 1)], dtype=np.uint64)
"""Of a word the bytes that belong to a text of so many bytes more."""

Places = NDArray[np.int64]
Cells = NDArray[np.object_]


def cells_of(data: bytes | memoryview, starts: Places, sizes: Places) -> tuple[Cells, list[str]]:
    """The text at those places, and each kind of text at least once; ``starts`` is of shape (columns, rows).

    All places must lie within the data. Where it can be had, a row's cells lie side by side: so models want them.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    if starts.size <= FEW_CELLS:
        few: Cells = np.empty(starts.size, dtype=object)
        few[:] = cut = _cut(data, starts.T.reshape(-1), sizes.T.reshape(-1))
        return few.reshape(starts.shape[::-1]).T, cut
    together = _shared(data, starts, sizes)
    if together is not None:
        return together
    made: Cells = np.empty(starts.shape, dtype=object)
    kinds: list[str] = []
    for i, (some, wide) in enumerate(zip(starts, sizes, strict=True)):
        shared = _shared(data, some, wide) if len(starts) > 1 else None
        made[i], kinds_here = shared or 2 * (_cut(data, some, wide),)
        kinds += kinds_here
    return made, kinds


def _shared(data: bytes | memoryview, starts: Places, sizes: Places) -> tuple[Cells, list[str]] | None:
    """Cells of which equal ones are one object, and the kinds; None where they are many, long or too near the end."""
    shape = starts.shape
    starts, sizes = starts.reshape(-1), sizes.reshape(-1)
    longest = int(sizes.max()) if len(sizes) else 0
    if longest > MAX_BYTES:
        return None
    words = _words(data, starts, sizes, max(1, -(-longest // WORD_BYTES)))
    if words is None:
        return None
    if longest < WORD_BYTES:  # there is room for the size
        words[0] |= sizes.view(np.uint64) << SIZE_SHIFT
    else:
        words.append(sizes.view(np.uint64))
    found = one_of_equals(words)
    if found is None:
        return None
    heads, chosen = found
    kinds = _cut(data, starts[heads], sizes[heads])
    lookup: Cells = np.empty(len(chosen), dtype=object)
    lookup[heads] = kinds
    return lookup.take(chosen.reshape(shape).T).T, kinds


def one_of_equals(words: Sequence[NDArray[np.uint64]]) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """For each place one of those at which all words are the same, and which those are; the latter come first.

    None where the different ones are many, or cannot be told apart in a few passes.
    """
    numbers = np.arange(len(words[0]))
    for factor in FACTORS:
        chosen = _representatives(words, numbers, factor)
        if all((word.take(chosen) == word).all() for word in words):
            heads = np.flatnonzero(chosen == numbers)
            return None if len(heads) * FEW_KINDS > len(chosen) else (heads, chosen)
    return None


def _words(data: bytes | memoryview, starts: Places, sizes: Places, count: int) -> list[NDArray[np.uint64]] | None:
    """The cells' bytes as whole numbers, zeros behind their ends; None where a word would reach beyond the data."""
    last = len(data) - WORD_BYTES
    if last < 0:
        return None
    # Every place of the data at which eight bytes begin. numpy refuses an index that is none of them.
    anywhere = np.ndarray((last + 1,), dtype="<u8", buffer=data, strides=(1,))
    words = []
    for i in range(count):
        at, left = (starts, sizes) if i == 0 else (starts + i * WORD_BYTES, sizes - i * WORD_BYTES)
        if at.max() > last:
            if ((at > last) & (left > 0)).any():
                return None
            at = np.minimum(at, last)
        words.append(anywhere[at] & _KEPT.take(left, mode="clip"))
    return words


def _representatives(words: Sequence[NDArray[np.uint64]], numbers: NDArray[np.intp], factor: int) -> NDArray[np.intp]:
    """The number of a place in the same slot, for each: one for all in the slot, and equal to them, it is hoped."""
    mixed = words[0] * np.uint64(factor)
    for word in words[1:]:
        mixed = ((mixed >> np.uint64(29)) ^ mixed ^ word) * np.uint64(factor)
    slots = (mixed >> np.uint64(64 - SLOT_BITS)).astype(np.intp)
    held = np.empty(1 << SLOT_BITS, dtype=np.intp)  # only slots that were written to are read
    held[slots] = numbers
    return held.take(slots)


def _cut(data: bytes | memoryview, starts: Places, sizes: Places) -> list[str]:
    if not len(starts):
        return []
    ends = starts + sizes
    first = int(starts.min())
    body = bytes(data[first : int(ends.max())])
    pairs = zip((starts - first).tolist(), (ends - first).tolist(), strict=True)
    if body.isascii():
        text = body.decode("ascii")
        return [text[low:high] for low, high in pairs]
    return [body[low:high].decode() for low, high in pairs]
