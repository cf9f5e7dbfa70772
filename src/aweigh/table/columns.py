"""Named numpy columns with explicit missing values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aweigh.table.blocks import Blocks, concatenate_blocks
from aweigh.table.values import DATE_DTYPE, NONE_DTYPE, ORDERED_DTYPE, Values

__all__ = ["DATE_DTYPE", "NONE_DTYPE", "ORDERED_DTYPE", "Table", "TextTable", "Values", "concatenate"]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Named typed columns, all ``rows`` long, in order; those that lie in ``Blocks`` are cut out when asked for."""

    columns: Mapping[str, Values]
    rows: int

    def __post_init__(self) -> None:
        given = self.columns
        if isinstance(given, Blocks):
            for block, group in zip(given.blocks, given.layout.groups, strict=True):
                if block.data.shape != (self.rows, len(group)):
                    msg = f"a block is {block.data.shape} and the table has {self.rows} rows of {len(group)} columns"
                    raise ValueError(msg)
            given = given.rest
        for name, values in given.items():
            if len(values) != self.rows:
                msg = f"column {name!r} has {len(values)} rows and the table has {self.rows}"
                raise ValueError(msg)

    @classmethod
    def of_blocks(cls, columns: Blocks, rows: int) -> "Table":
        """A table of columns that were made to measure: nothing is looked at again, a fifth of reading."""
        table = cls.__new__(cls)
        _set_columns(table, columns)
        _set_rows(table, rows)
        return table

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, name: str) -> Values:
        return self.columns[name]

    def take(self, rows: NDArray[np.generic] | slice) -> "Table":
        """The same columns with only these rows (indices, a mask or a slice), in their order."""
        count = len(np.arange(self.rows)[rows])
        if isinstance(self.columns, Blocks):
            return Table(self.columns.take(rows), count)
        return Table({name: values.take(rows) for name, values in self.columns.items()}, count)

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


# What a frozen dataclass with slots is filled by; ``object.__setattr__`` would look the names up each time.
_set_columns: Callable[[Table, Blocks], None] = vars(Table)["columns"].__set__
_set_rows: Callable[[Table, int], None] = vars(Table)["rows"].__set__


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


def concatenate(tables: Sequence[Table]) -> Table:
    """The rows of several tables of the same columns and types, one after another.

    Categories are joined in the order of their first appearance, as each part of a file may name only its own.
    """
    first = tables[0]
    if len(tables) == 1:
        return first
    rows = sum(table.rows for table in tables)
    given = [table.columns for table in tables]
    parts = [one for one in given if isinstance(one, Blocks)]
    if len(parts) == len(tables) and len({id(one.layout) for one in parts}) == 1:
        rest = {name: _joined([one.rest[name] for one in parts]) for name in parts[0].rest}
        return Table(Blocks(parts[0].layout, concatenate_blocks(parts), rest), rows)
    return Table({name: _joined([one[name] for one in given]) for name in first.columns}, rows)


def _joined(parts: Sequence[Values]) -> Values:
    data = np.concatenate([part.data for part in parts])
    some = any(part.missing is not None for part in parts)
    missing = np.concatenate([part.as_mask() for part in parts]) if some else None
    kinds = dict.fromkeys(kind for part in parts for kind in part.categories or ())
    known = parts[0].categories is not None
    return Values(data, missing, parts[0].dtype, tuple(kinds) if known else None)
