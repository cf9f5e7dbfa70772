"""Named numpy columns with explicit missing values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NONE_DTYPE = "object[none]"
"""An object column whose missing cells are ``None`` and not NaN: some models tell the two apart."""

DATE_DTYPE = "date"
"""An object column of ``datetime.date``, ``None`` where missing: what pandas makes of Arrow's and Parquet's dates."""

ORDERED_DTYPE = "category[ordered]"
"""A categorical column whose order means something."""


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """One column: ``data`` of shape (rows,), and ``missing``, a mask of that shape, or None when nothing is missing.

    ``data`` is float64, int64, bool, datetime64[us] or object (of str). What stands in ``data`` where ``missing`` is
    True means nothing: 0, False, an empty string or the epoch. A float64 column holds no NaN but where it is missing.

    ``dtype`` is the pandas dtype that the column has where it came from (``int8``, ``category``, ``datetime64[ms]``...,
    or one of the three names above) and ``categories`` are the kinds that a categorical column names, in its order;
    None where the source does not say.
    """

    data: NDArray[np.generic]
    missing: NDArray[np.bool_] | None = None
    dtype: str | None = None
    categories: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.data)

    def take(self, rows: NDArray[np.generic] | slice) -> "Values":
        """The same column with only these rows (indices, a mask or a slice), in their order."""
        missing = None if self.missing is None else self.missing[rows]
        return Values(self.data[rows], missing, self.dtype, self.categories)

    def as_mask(self) -> NDArray[np.bool_]:
        """The missing cells as a mask, also where nothing is missing."""
        return np.zeros(len(self.data), dtype=bool) if self.missing is None else self.missing

    def present(self) -> NDArray[np.generic]:
        """The values that are there, in order, without the missing ones."""
        return self.data if self.missing is None else self.data[~self.missing]

    def cells(self) -> list[object]:
        """Plain Python values, with None where missing."""
        plain: list[object] = self.data.tolist()
        if self.missing is None or not self.missing.any():
            return plain
        return [None if gone else value for value, gone in zip(plain, self.missing.tolist(), strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Named typed columns, all ``rows`` long, in order."""

    columns: Mapping[str, Values]
    rows: int

    def __post_init__(self) -> None:
        for name, values in self.columns.items():
            if len(values) != self.rows:
                msg = f"column {name!r} has {len(values)} rows and the table has {self.rows}"
                raise ValueError(msg)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, name: str) -> Values:
        return self.columns[name]

    def take(self, rows: NDArray[np.generic] | slice) -> "Table":
        """The same columns with only these rows (indices, a mask or a slice), in their order."""
        taken = {name: values.take(rows) for name, values in self.columns.items()}
        count = len(np.arange(self.rows)[rows])
        return Table(taken, count)

    def select(self, names: Sequence[str]) -> "Table":
        """Only these columns, in this order."""
        return Table({name: self.columns[name] for name in names}, self.rows)

    def without(self, name: str) -> "Table":
        """Every column but this one."""
        return Table({key: values for key, values in self.columns.items() if key != name}, self.rows)

    def iter_rows(self) -> Iterator[dict[str, object]]:
        """Each row as a dict of plain Python values, None where missing, dates as datetime."""
        names = list(self.columns)
        for cells in zip(*(self.columns[name].cells() for name in names), strict=True):
            yield dict(zip(names, cells, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class TextTable:
    """What a CSV says before a schema has given it types: ``columns`` of cells as text, missing ones not yet told."""

    columns: Mapping[str, list[str]]
    rows: int

    def __len__(self) -> int:
        return self.rows

    def renamed(self, names: Mapping[str, str]) -> "TextTable":
        """The same cells, with these columns (old name to new) under other names."""
        if not names:
            return self
        return TextTable({names.get(name, name): cells for name, cells in self.columns.items()}, self.rows)

    def select_rows(self, rows: Sequence[int]) -> "TextTable":
        """Only these rows, in this order."""
        return TextTable({name: [cells[i] for i in rows] for name, cells in self.columns.items()}, len(rows))


def concatenate(tables: Sequence[Table]) -> Table:
    """The rows of several tables of the same columns and types, one after another.

    Categories are joined in the order of their first appearance, as each part of a file may name only its own.
    """
    first = tables[0]
    if len(tables) == 1:
        return first
    columns: dict[str, Values] = {}
    for name in first.columns:
        parts = [table.columns[name] for table in tables]
        data = np.concatenate([part.data for part in parts])
        some = any(part.missing is not None for part in parts)
        missing = np.concatenate([part.as_mask() for part in parts]) if some else None
        kinds = dict.fromkeys(kind for part in parts for kind in part.categories or ())
        known = parts[0].categories is not None
        columns[name] = Values(data, missing, parts[0].dtype, tuple(kinds) if known else None)
    return Table(columns, sum(table.rows for table in tables))
