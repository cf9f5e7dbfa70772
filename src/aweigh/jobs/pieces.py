"""A file cut into pieces, for stores that hold no files."""

import os
from collections.abc import Iterator
from typing import BinaryIO

PIECE_BYTES = 2**20


def pieces(file: BinaryIO, *, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """The pieces of an open file from the one on that byte ``start`` is in, each with its place among all."""
    place = start // PIECE_BYTES
    while piece := os.pread(file.fileno(), PIECE_BYTES, place * PIECE_BYTES):
        yield place, piece
        place += 1
