"""Columns of one type side by side in one array: how rows arrive, and how most models want them.

``Blocks`` is a table's columns that lie in such arrays. Who takes the arrays whole pays for an array; who asks for a
column by its name gets it cut out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.table.values import Values


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Which columns lie in which block: ``names`` are all of the table's in order, ``groups`` those of each block.

    A column that is in no group stands beside the blocks. Two tables of one layout have the same object here.
    """

    names: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    place: Mapping[str, tuple[int, int]] = field(init=False)
    """Of each column in a block, the block's place and its own within."""

    def __post_init__(self) -> None:
        place = {name: (i, j) for i, group in enumerate(self.groups) for j, name in enumerate(group)}
        object.__setattr__(self, "place", place)


class Block(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Columns of one type: ``data`` of shape (rows, columns) and ``missing``, a mask of that shape, or None.

    ``data`` is float64, int64, bool or object (of str). Where a cell is missing stands NaN, 0, False or None.
    """

    data: NDArray[Any]
    missing: NDArray[np.bool_] | None = None

    def cut(self, place: int) -> Values:
        """One column, on its own."""
        data = self.data[:, place].copy()
        if self.missing is None:
            return Values(data)
        missing = self.missing[:, place].copy()
        if not missing.any():
            return Values(data)
        data[missing] = "" if data.dtype == object else data.dtype.type(0)
        return Values(data, missing)

    def take(self, rows: NDArray[np.generic] | slice) -> "Block":
        """The same columns with only these rows."""
        missing = None if self.missing is None else self.missing[rows]
        return Block(self.data[rows], missing)


class Blocks(Mapping[str, Values]):
    """The columns of a table, most of them in ``blocks``, the ``rest`` as they are."""

    __slots__ = ("_cut", "blocks", "layout", "rest")

    def __init__(self, layout: Layout, blocks: Sequence[Block], rest: Mapping[str, Values]) -> None:
        self.layout = layout
        self.blocks = blocks
        self.rest = rest
        self._cut: dict[str, Values] = {}

    def __getitem__(self, name: str) -> Values:
        found = self._cut.get(name)
        if found is None:
            at = self.layout.place.get(name)
            found = self._cut[name] = self.rest[name] if at is None else self.blocks[at[0]].cut(at[1])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.names)

    def __len__(self) -> int:
        return len(self.layout.names)

    def take(self, rows: NDArray[np.generic] | slice) -> "Blocks":
        """The same columns with only these rows."""
        rest = {name: values.take(rows) for name, values in self.rest.items()}
        return Blocks(self.layout, [block.take(rows) for block in self.blocks], rest)


def concatenate_blocks(parts: Sequence[Blocks]) -> list[Block]:
    """The blocks of several tables of one layout, one after another."""
    joined = []
    for some in zip(*(part.blocks for part in parts), strict=True):
        data = np.concatenate([block.data for block in some])
        missing = None
        if any(block.missing is not None for block in some):
            masks = [np.zeros(one.data.shape, dtype=bool) if one.missing is None else one.missing for one in some]
            missing = np.concatenate(masks)
        joined.append(Block(data, missing))
    return joined
