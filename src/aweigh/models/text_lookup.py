"""Columns of text looked up side by side: one dictionary for all, one table for what each column makes of each word.

A node of ONNX Runtime costs half a microsecond whatever little it does, so four columns of a few categories are not
looked up one after the other. Where the table would grow large (many categories, each a column of its own), the columns
are taken in several lots, and what is large alone has its own small dictionary and table.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aweigh.models.pens import ML, Pen

LARGEST_TABLE = 2**15
"""Cells of a table that columns share, 256 kB of doubles: about what a core keeps near."""


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A column of text: its ``words`` in order, and ``rows`` (words + 1, width): a row for each, the last for others.

    ``filled`` says what stands for what: the word of a missing cell, and the one that an imputer writes there.
    """

    words: Sequence[str]
    rows: NDArray[np.float64]
    filled: tuple[str, str] | None = None

    @property
    def known(self) -> set[str]:
        """The words that are told apart."""
        return {*self.words, *(self.filled or ())[:1]}

    def places(self, words: Iterable[str]) -> list[int]:
        """The rows of these words."""
        found: dict[str, int] = {}
        for i, word in enumerate(self.words):
            found.setdefault(word, i)
        other = len(self.words)
        if self.filled is not None:
            found[self.filled[0]] = found.get(self.filled[1], other)
        return [found.get(word, other) for word in words]


def draw_lookup(pen: Pen, given: Sequence[str], columns: Sequence[Coded]) -> list[str]:
    """What the columns of the matrices ``given``, side by side, are coded as: matrices to be laid side by side."""
    matrix = given[0] if len(given) == 1 else pen.node("Concat", list(given), axis=1)
    parts = []
    for lot in lots(columns):
        if len(lot) == 1:
            parts.append(_alone(pen, matrix, lot[0], columns[lot[0]]))
            continue
        some = matrix
        if len(lot) < len(columns):
            some = pen.node("Gather", [matrix, pen.constant(np.array(lot, np.int64))], axis=1)
        parts.append(_together(pen, some, [columns[i] for i in lot]))
    return parts


def lots(columns: Sequence[Coded]) -> Iterator[list[int]]:
    """The places of the columns that share a table: neighbours, as many as its limit lets."""
    lot: list[int] = []
    words: set[str] = set()
    width = 0
    for i, column in enumerate(columns):
        more, wider = words | column.known, width + column.rows.shape[1]
        if lot and (len(more) + 1) * (len(lot) + 1) * wider > LARGEST_TABLE:
            yield lot
            lot, more, wider = [], column.known, column.rows.shape[1]
        lot, words, width = [*lot, i], more, wider
    yield lot


def _alone(pen: Pen, matrix: str, place: int, column: Coded) -> str:
    """One column, by its own dictionary and table."""
    cells = pen.node("Gather", [matrix, pen.constant(np.array(place))], axis=1)
    words = list(dict.fromkeys((*column.words, *(column.filled or ())[:1])))
    code = _numbered(pen, cells, words, column.places(words), len(column.words))
    return pen.node("Gather", [pen.constant(column.rows), code], axis=0)


def _together(pen: Pen, matrix: str, columns: Sequence[Coded]) -> str:
    """Several columns: the table holds, for each of them, a row for each word of all, zero where others write.

    So the columns' rows added up are the rows side by side: to each number are added zeros only.
    """
    words = sorted(set().union(*(column.known for column in columns)))
    count, widths = len(words) + 1, [column.rows.shape[1] for column in columns]
    ends = np.cumsum([0, *widths])
    table = np.zeros((len(columns), count, ends[-1]))
    for i, column in enumerate(columns):
        places = [*column.places(words), len(column.words)]
        table[i, :, ends[i] : ends[i + 1]] = column.rows[places]
    code = _numbered(pen, matrix, words, list(range(len(words))), len(words))
    first = np.arange(len(columns), dtype=np.int64).reshape(1, -1) * count
    place = pen.node("Add", [code, pen.constant(first)])
    if set(widths) == {1}:
        own = table[np.arange(len(columns)), :, np.arange(len(columns))]
        return pen.node("Gather", [pen.constant(own.ravel()), place], axis=0)
    rows = pen.node("Gather", [pen.constant(table.reshape(-1, ends[-1])), place], axis=0)
    return pen.node("ReduceSum", [rows, pen.constant(np.array([1], np.int64))], keepdims=0)


def _numbered(pen: Pen, cells: str, words: list[str], numbers: list[int], other: int) -> str:
    return pen.node("LabelEncoder", [cells], domain=ML, keys_strings=words, values_int64s=numbers, default_int64=other)
