"""Columns on their way into a file: what each came as, and how it is written into each kind of file.

A CSV's own text goes into a CSV as it is, but for cells that a spreadsheet would run; pyarrow's arrays go into Parquet
as they are; everything else is written from its values.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.schema.cells import read_number
from aweigh.table import MISSING_WORDS, Values
from aweigh.table.arrow_write import encoded
from aweigh.table.columns import DATE_DTYPE
from aweigh.table.csv import FORMULA_STARTS, disarm
from aweigh.table.parquet import import_pyarrow, table_of_batch

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class TextCells:
    """A CSV's own cells; ``typed`` are their values where the schema knows the column, ``safe`` if all are numbers."""

    cells: list[str]
    typed: Values | None = None
    safe: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class JsonCells:
    """Values of JSON rows, None where a row does not have the column; ``typed`` as for a CSV."""

    cells: list[object]
    typed: Values | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NativeCells:
    """A column of a record batch of pyarrow's."""

    batch: Any
    name: str

    def values(self) -> Values:
        """The column as values.

        Raises:
            UnsupportedMedia: it is of a type that is not read.
        """
        return table_of_batch(self.batch, {self.name})[self.name]


Cells = TextCells | JsonCells | NativeCells | Values


# -- as the text of a CSV --------------------------------------------------------------------------------------------


def as_text(cells: Cells) -> list[str]:
    """Cells of a CSV; what is missing is empty, what a spreadsheet would run is disarmed."""
    if isinstance(cells, TextCells):
        return cells.cells if cells.safe else disarmed(cells.cells)
    if isinstance(cells, JsonCells):
        return disarmed([_json_text(cell) for cell in cells.cells])
    return _values_text(cells.values() if isinstance(cells, NativeCells) else cells)


def disarmed(cells: list[str]) -> list[str]:
    """Text cells, those that begin like a formula with an apostrophe before them; numbers stay as they are."""
    together = "\n" + "\n".join(cells)
    if not any("\n" + start in together for start in FORMULA_STARTS):
        return cells
    return [cell if _harmless(cell) else str(disarm(cell)) for cell in cells]


def _harmless(cell: str) -> bool:
    return not cell.startswith(FORMULA_STARTS) or cell in MISSING_WORDS or read_number(cell) is not None


def _json_text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    return str(cell) if isinstance(cell, bool) else msgspec.json.encode(cell).decode()


def _values_text(values: Values) -> list[str]:
    data, kind = values.data, values.data.dtype.kind
    if kind == "O":
        text = disarmed(data.tolist())
    elif kind == "b":
        text = ["True" if one else "False" for one in data.tolist()]
    elif kind == "M":
        text = _moments_text(values)
    elif values.dtype == "float32":
        text = data.astype(np.float32).astype(str).tolist()
    else:
        # One call for all numbers: the shortest digits that read back as the same number, as Python writes them.
        joined = msgspec.json.encode(data.tolist())[1:-1].decode()
        text = joined.split(",") if joined else []
    if values.missing is None:
        return text
    return ["" if gone else cell for cell, gone in zip(text, values.missing.tolist(), strict=True)]


def _moments_text(values: Values) -> list[str]:
    moments = values.data.astype("datetime64[us]")
    seconds = moments.astype("datetime64[s]")
    if values.dtype == DATE_DTYPE:
        text = np.datetime_as_string(moments, unit="D")
    elif (seconds == moments).all():
        text = np.datetime_as_string(moments, unit="s")
    else:
        text = np.datetime_as_string(moments, unit="us")
    return [str(one) for one in text.tolist()]


# -- as JSON ---------------------------------------------------------------------------------------------------------


def as_json(cells: Cells, bad: Mask) -> list[object]:
    """JSON values; in bad rows the text that stood there."""
    if isinstance(cells, JsonCells):
        return cells.cells
    if not isinstance(cells, TextCells):
        return _values_json(cells.values() if isinstance(cells, NativeCells) else cells)
    if cells.typed is None:
        return [None if cell == "" else cell for cell in cells.cells]
    plain = _values_json(cells.typed)
    for row in np.flatnonzero(bad).tolist():
        plain[row] = cells.cells[row]
    return plain


def _values_json(values: Values) -> list[object]:
    if values.data.dtype.kind != "M":
        return values.cells()
    gone = values.as_mask().tolist()
    return [None if absent else cell for cell, absent in zip(_moments_text(values), gone, strict=True)]


# -- as pyarrow's arrays ---------------------------------------------------------------------------------------------


def as_arrow(cells: Cells) -> Any:
    """pyarrow's array; of text without a type, and of JSON that is neither text nor typed, text."""
    if isinstance(cells, NativeCells):
        return cells.batch.column(cells.name)
    # From the buffers: pyarrow imports pandas, a second's work, to look at an array of numpy's.
    pa, made = import_pyarrow(), encoded(_typed(cells))
    kinds = {"double": pa.float64, "timestamp": lambda: pa.timestamp("us"), "bool": pa.bool_}
    kind = kinds.get(made.kind) or getattr(pa, made.kind)
    buffers = [None if one is None else pa.py_buffer(one) for one in made.buffers]
    return pa.Array.from_buffers(kind(), made.rows, buffers, made.nulls)


def _typed(cells: TextCells | JsonCells | Values) -> Values:
    if isinstance(cells, Values):
        return cells
    if cells.typed is not None:
        return cells.typed
    if isinstance(cells, TextCells):
        text = [cell or None for cell in cells.cells]
    else:
        text = [None if cell is None else _json_text(cell) for cell in cells.cells]
    data = np.empty(len(text), dtype=object)
    data[:] = ["" if cell is None else cell for cell in text]
    missing = np.fromiter((cell is None for cell in text), dtype=bool, count=len(text))
    return Values(data, missing if missing.any() else None)
