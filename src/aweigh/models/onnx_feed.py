"""A checked table as what a graph takes: which array goes where is worked out once for each layout of blocks."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from aweigh.bundle.manifest import Graph, GraphInput
from aweigh.errors import UnsupportedModel
from aweigh.table.blocks import Block, Blocks, Layout

if TYPE_CHECKING:
    from aweigh.table import Table, Values

ELEMENTS: Mapping[str, Any] = {"float": np.float32, "double": np.float64, "int64": np.int64, "bool": np.bool_}
REALS = frozenset({"float", "double"})

Feeds = dict[str, NDArray[Any]]
Array = NDArray[Any]
Fill = Callable[[Feeds, Sequence[Block]], None]


class Feed:
    """The inputs of one graph, from tables; may be called from several threads.

    ``ranks``: how many dimensions each input has, by its name.
    """

    def __init__(self, graph: Graph, ranks: Mapping[str, int]) -> None:
        self._graph = graph
        self._ranks = ranks
        self._latest: tuple[Layout | None, list[Fill] | None] = (None, None)

    def __call__(self, table: "Table") -> Feeds:
        """The graph's inputs, by name.

        Raises:
            UnsupportedModel: a cell is missing where the graph cannot hold it.
        """
        columns = table.columns
        if isinstance(columns, Blocks):
            layout, fills = self._latest
            if layout is not columns.layout:
                fills = _compile(self._graph, self._ranks, columns.layout)
                self._latest = (columns.layout, fills)
            if fills is not None:
                feeds: Feeds = {}
                for fill in fills:
                    fill(feeds, columns.blocks)
                return feeds
        return {one.name: self._from_columns(one, table) for one in self._graph.inputs}

    def _from_columns(self, given: GraphInput, table: "Table") -> Array:
        if len(given.columns) == 1:
            cells = feed_column(table[given.columns[0]], given.element, self._graph.missing_text)
            return cells if self._ranks[given.name] == 1 else cells.reshape(-1, 1)
        return feed_block(given, table, self._graph.missing_text)


# -- from columns ----------------------------------------------------------------------------------------------------


def feed_block(given: GraphInput, table: "Table", missing_text: str) -> Array:
    """Columns side by side as a graph takes them, (rows, columns)."""
    block: Array = np.empty((table.rows, len(given.columns)), dtype=ELEMENTS.get(given.element, object))
    for i, name in enumerate(given.columns):
        block[:, i] = feed_column(table[name], given.element, missing_text)
    return block


def feed_column(values: "Values", element: str, missing_text: str) -> Array:
    """One column as a graph takes it: NaN for a missing number, ``missing_text`` for missing text."""
    return _typed(Block(values.data, values.missing), element, missing_text)


def _typed(block: Block, element: str, missing_text: str, order: Literal["K", "C"] = "K") -> Array:
    """The block's cells (or a column's) in the graph's own type; nobody may write to what comes back.

    ``order`` is how they lie where they are made anew: as they lay, or row by row.
    """
    data, missing = block.data, block.missing
    if element == "string":
        if missing is None:
            return data
        cells = data.copy()
        cells[missing] = missing_text
        return cells
    dtype = ELEMENTS[element]
    if missing is not None and not missing.any():
        missing = None
    if missing is not None and element not in REALS:
        msg = f"a graph input of {element} cannot hold a missing value"
        raise UnsupportedModel(msg)
    if data.dtype == dtype:
        made = data
    else:
        with np.errstate(over="ignore"):  # beyond single precision is infinity
            made = data.astype(dtype, order=order)
    if missing is not None:
        made = made.copy() if made is data else made
        made[missing] = np.nan
    return made


# -- from blocks -----------------------------------------------------------------------------------------------------


def _compile(graph: Graph, ranks: Mapping[str, int], layout: Layout) -> list[Fill] | None:
    """How each input is filled from the blocks of a layout; None where a column lies in none of them."""
    if not all(name in layout.place for one in graph.inputs for name in one.columns):
        return None
    fills: list[Fill] = []
    alone: dict[tuple[int, str, int], list[tuple[str, int]]] = {}
    for one in graph.inputs:
        places = [layout.place[name] for name in one.columns]
        if len(places) == 1:
            alone.setdefault((places[0][0], one.element, ranks[one.name]), []).append((one.name, places[0][1]))
        else:
            fills.append(_side_by_side(one, places, layout, graph.missing_text))
    for (block, element, rank), inputs in alone.items():
        fills.append(_apart(inputs, block, element, rank, layout, graph.missing_text))
    return fills


def _apart(
    inputs: list[tuple[str, int]], block: int, element: str, rank: int, layout: Layout, missing_text: str
) -> Fill:
    """Inputs that take a column each, all out of one block: ``inputs`` are their names and the columns' places."""
    names = [name for name, _ in inputs]
    places = [place for _, place in inputs]
    some = None if places == list(range(len(layout.groups[block]))) else places

    def fill(feeds: Feeds, blocks: Sequence[Block]) -> None:
        cells = _typed(blocks[block], element, missing_text)
        columns = np.ascontiguousarray(cells.T if some is None else cells.T[some])
        feeds.update(zip(names, columns if rank == 1 else columns[:, :, None], strict=True))

    return fill


def _side_by_side(given: GraphInput, places: list[tuple[int, int]], layout: Layout, missing_text: str) -> Fill:
    """An input that takes several columns side by side: one block as it is, or parts of several."""
    name, element = given.name, given.element
    first = places[0][0]
    if places == [(first, place) for place in range(len(layout.groups[first]))]:

        def fill_whole(feeds: Feeds, blocks: Sequence[Block]) -> None:
            feeds[name] = np.ascontiguousarray(_typed(blocks[first], element, missing_text, "C"))

        return fill_whole
    gathered: dict[int, tuple[list[int], list[int]]] = {}
    for there, (block, here) in enumerate(places):
        from_here, to_there = gathered.setdefault(block, ([], []))
        from_here.append(here)
        to_there.append(there)
    sources = [(block, _as_slice(here), _as_slice(there)) for block, (here, there) in gathered.items()]
    dtype = ELEMENTS.get(element, object)

    def fill(feeds: Feeds, blocks: Sequence[Block]) -> None:
        made = np.empty((len(blocks[first].data), len(places)), dtype=dtype)
        for block, from_here, to_there in sources:
            part = blocks[block]
            missing = None if part.missing is None else part.missing[:, from_here]
            made[:, to_there] = _typed(Block(part.data[:, from_here], missing), element, missing_text)
        feeds[name] = made

    return fill


def _as_slice(places: list[int]) -> list[int] | slice:
    """Neighbours as a slice, which numpy takes without copying."""
    neighbours = places == list(range(places[0], places[0] + len(places)))
    return slice(places[0], places[0] + len(places)) if neighbours else places
