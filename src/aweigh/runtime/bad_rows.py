"""The file beside the answers that tells of every row without one: its number, what is wrong, what stands there."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.errors import Problem
from aweigh.runtime.rows_in import Batch, Part
from aweigh.table import Table, TextTable


class BadRows:
    """Bad rows as JSON lines, counted by what is wrong with them; the file is opened when the first one comes.

    ``count`` and ``codes`` are those that the file holds already.
    """

    def __init__(
        self, open_file: Callable[[], BinaryIO], *, count: int = 0, codes: Mapping[str, int] | None = None
    ) -> None:
        self._open = open_file
        self._stream: BinaryIO | None = None
        self.count = count
        self.codes: Counter[str] = Counter(codes)
        self.first: Problem | None = None

    def tell(self, part: Part, bad: NDArray[np.bool_], problems: Mapping[int, Sequence[Problem]]) -> None:
        """Writes the bad rows of a part; ``problems`` by row, counted from the file's first."""
        places = np.flatnonzero(bad).tolist()
        if not places:
            return
        if self._stream is None:
            self._stream = self._open()
        for place in places:
            row = part.first + place
            found = problems[row]
            self.first = self.first or found[0]
            self.count += 1
            self.codes.update(problem.code for problem in found)
            line = {} if part.lines is None else {"line": part.lines[place]}
            told = [{key: value for key, value in one.document().items() if key != "row"} for one in found]
            document = {"row": row, **line, "problems": told, "values": _values(part, place)}
            self._stream.write(msgspec.json.encode(document, enc_hook=str) + b"\n")


def _values(part: Part, place: int) -> Any:
    """What stands in the row: by column, or, where it could not be read as a row, as its cells."""
    if place in part.unread:
        return list(part.unread[place].cells)
    given = part.given
    if isinstance(given, TextTable):
        return {name: cells[place] for name, cells in given.columns.items()}
    if isinstance(given, Table):
        return next(given.take(slice(place, place + 1)).iter_rows())
    if isinstance(given, Batch):
        return given.batch.slice(place, 1).to_pylist()[0]
    return given[place]
