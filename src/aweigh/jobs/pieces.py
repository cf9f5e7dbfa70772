"""A file cut into pieces, for stores that hold no files."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

PIECE_BYTES = 2**20


def pieces(file: BinaryIO, *, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """The pieces of an open file from the one on that byte ``start`` is in, each with its place among all."""
    place = start // PIECE_BYTES
    while piece := os.pread(file.fileno(), PIECE_BYTES, place * PIECE_BYTES):
        yield place, piece
        place += 1


def gather(piece_at: Callable[[int], bytes], path: Path) -> Path:
    """Puts the pieces together at a path; ``piece_at`` answers with the piece of a place, empty behind the last."""
    with path.open("wb") as file:
        place = 0
        while piece := piece_at(place):
            file.write(piece)
            place += 1
    return path


def within(piece_at: Callable[[int], bytes], start: int, size: int) -> bytes:
    """The bytes from ``start`` on, as many as asked for or as its piece has; none where there is no such piece."""
    place, offset = divmod(start, PIECE_BYTES)
    return piece_at(place)[offset : offset + size]
