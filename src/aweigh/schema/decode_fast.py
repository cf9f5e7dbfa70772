"""The decoder compiled from a schema: right JSON straight into blocks of columns, with no object a cell that lasts.

msgspec reads the rows into objects made for this schema; their cells are laid end to end by type, and each type becomes
one array. What this way does not take it leaves to the patient reader of ``schema/decode.py``, which alone says what is
wrong. It never takes what that one would refuse, and makes the same table of what it takes.
"""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from aweigh.schema.cells import FLOAT32_MAX, INT64_MAX, INT64_MIN, RESERVED_TEXT, Parse, json_parser
from aweigh.schema.column import Column, Schema
from aweigh.schema.layout import is_apart, layout_of, together
from aweigh.schema.whole import blank
from aweigh.table import Table, Values
from aweigh.table.blocks import Block, Blocks, Layout

RESERVED_BYTES = RESERVED_TEXT.encode()
MANY_BYTES = 4096
"""From here on numpy counts quicker than ``bytes.count``, which looks for one hit at a time."""

_CELL: dict[str, Any] = {"number": float, "integer": int, "boolean": bool}
_DTYPES = {"number": np.float64, "integer": np.int64, "boolean": np.bool_}
_PACKED = {"number": "d", "integer": "q"}
"""What ``struct`` calls them. It lays out many in a third of the time that numpy takes, which first asks each what it
is."""


class Later(Exception):  # noqa: N818  control flow, no error of the tree
    """The fast way does not take this body: the patient reader shall decide."""


def compile_fast(schema: Schema, *, max_rows: int, layout: Layout | None = None) -> Callable[[bytes], Table]:
    """A function from a body to its table; it raises ``Later``, or whatever numpy and msgspec raise, when in doubt.

    ``layout``: the schema's own, where others make tables by it as well.

    Raises:
        ValueError: a column has a name that msgspec does not take.
    """
    fields: list[tuple[str, Any, Any]] = []
    for i, column in enumerate(schema.columns):
        cell = _CELL.get(column.type, str)
        if column.nullable:
            fields.append((f"c{i}", cell | None | UnsetType, msgspec.field(name=column.name, default=UNSET)))
        else:
            fields.append((f"c{i}", cell, msgspec.field(name=column.name)))
    row = msgspec.defstruct("Row", fields, kw_only=True, forbid_unknown_fields=True, gc=False)
    request = msgspec.defstruct("Request", [("rows", list[row])], forbid_unknown_fields=True)  # type: ignore[valid-type]
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(request)
    parts = [_part(schema, places) for places in together(schema)]
    blocks_of = layout_of(schema) if layout is None else layout
    colons_a_row = sum(_colons(column) for column in schema.columns)
    any_text = any(part.text for part in parts)

    def decode(body: bytes) -> Table:
        rows = decoder.decode(body).rows
        count = len(rows)
        if not count or count > max_rows:
            raise Later
        if b"\\" in body or (any_text and not body.isascii()):
            _refuse_escapes(body, any_text=any_text)
        surplus = count_byte(body, b":") - 1 - count * colons_a_row
        blocks: list[Block] = []
        rest: dict[str, Values] = {}
        texts: list[list[Any]] = []
        for part in parts:
            cells = part.get(rows)
            if part.nullable and UNSET in cells:
                surplus += part.without_absent(cells)
            if part.text:
                texts.append(cells)
            if part.block is not None:
                blocks.append(part.block(cells, count))
            elif part.column is not None:
                rest[part.names[0]] = part.column(cells)
        if surplus and surplus != sum(map(_in_texts, texts)):
            raise Later
        return Table.of_blocks(Blocks(blocks_of, blocks, rest), count)

    return decode


# -- what msgspec does not look at -----------------------------------------------------------------------------------
#
# Every key has one colon behind it. When the body has no colon more than its keys, the columns' names and the text
# cells account for, no key stands twice. Escapes that could hide a colon (or a NUL, or the reserved character) leave
# the matter to the patient reader.


def _colons(column: Column) -> int:
    """How many colons a key of the column brings along: its own and those of its name."""
    return 1 + column.name.count(":")


def _in_texts(cells: list[Any]) -> int:
    return sum(cell.count(":") for cell in cells if cell)


def _refuse_escapes(body: bytes, *, any_text: bool) -> None:
    if b"\\" in body and b"\\u" in body:
        folded = body.lower()
        if b"\\u003a" in folded or b"\\u0000" in folded or b"\\ufdd0" in folded:
            raise Later
    if any_text and not body.isascii() and RESERVED_BYTES in body:
        raise Later


def count_byte(body: bytes, byte: bytes) -> int:
    """How often a byte stands there."""
    if len(body) < MANY_BYTES:
        return body.count(byte)
    return int(np.count_nonzero(np.frombuffer(body, dtype=np.uint8) == ord(byte)))


# -- columns ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Columns that are read together: those of one type, which become a block, or one that is parsed cell by cell."""

    names: tuple[str, ...]
    get: Callable[[list[Any]], list[Any]]
    """The cells of these columns from all rows, end to end, row by row."""
    colons: tuple[int, ...]
    nullable: bool
    text: bool
    block: Callable[[list[Any], int], Block] | None
    column: Callable[[list[Any]], Values] | None

    def without_absent(self, cells: list[Any]) -> int:
        """Puts None where a key was absent, and says how many colons went with such keys."""
        wide = len(self.colons)
        gone = [i for i, cell in enumerate(cells) if cell is UNSET]
        for i in gone:
            cells[i] = None
        return sum(self.colons[i % wide] for i in gone)


def _part(schema: Schema, places: list[int]) -> _Part:
    columns = [schema.columns[i] for i in places]
    first = columns[0]
    nullable = any(column.nullable for column in columns)
    block: Callable[[list[Any], int], Block] | None = None
    column: Callable[[list[Any]], Values] | None = None
    if is_apart(first):
        column = _parsed(first, json_parser(first))
    elif first.is_number:
        block = _plain(columns, nullable=nullable, bound=compile_bound(columns))
    elif first.is_text:
        block = _texts(columns, nullable=nullable)
    else:
        block = _plain(columns, nullable=nullable, bound=None)
    return _Part(
        tuple(one.name for one in columns),
        _getter(places, whole=len(places) == len(schema.columns)),
        tuple(_colons(one) for one in columns),
        nullable,
        first.type not in _CELL,
        block,
        column,
    )


def _getter(places: list[int], *, whole: bool) -> Callable[[list[Any]], list[Any]]:
    if len(places) == 1:  # attrgetter of one name returns no tuple
        one = attrgetter(f"c{places[0]}")
        return lambda rows: list(map(one, rows))
    some = msgspec.structs.astuple if whole else attrgetter(*(f"c{i}" for i in places))
    return lambda rows: list(chain.from_iterable(map(some, rows)))


Bound = Callable[[NDArray[Any], NDArray[np.bool_] | None], None]


def _plain(columns: list[Column], *, nullable: bool, bound: Bound | None) -> Callable[[list[Any], int], Block]:
    """Numbers, whole numbers or booleans."""
    kind, wide = columns[0].type, len(columns)
    dtype, packed = _DTYPES[kind], _PACKED.get(kind)

    def block(cells: list[Any], rows: int) -> Block:
        missing: NDArray[np.bool_] | None = None
        if nullable and None in cells:
            missing = np.array([cell is None for cell in cells]).reshape(rows, wide)
            if kind != "number":  # None among numbers becomes NaN by itself
                cells = [cell or 0 for cell in cells]
        data: NDArray[Any]
        if rows == 1 or packed is None or (missing is not None and kind == "number"):
            data = np.array(cells, dtype=dtype).reshape(rows, wide)
        else:
            data = np.empty((rows, wide), dtype=dtype)
            struct.pack_into(f"{len(cells)}{packed}", data.data, 0, *cells)
        if bound is not None:
            bound(data, missing)
        return Block(data, missing)

    return block


def compile_bound(columns: Sequence[Column], *, most: float = math.inf) -> Bound | None:
    """Leaves numbers beyond the columns' limits to the reader and rounds to 32 bits, in place; None: neither is due.

    ``most``: beyond it lies no number at all. (JSON has no word for infinity.)
    """
    whole = columns[0].type == "integer"
    dtype = _DTYPES[columns[0].type]
    ends = (INT64_MIN, INT64_MAX) if whole else (-most, most)
    limits: NDArray[Any] = np.full((2, len(columns)), [[end] for end in ends], dtype=dtype)
    for i, column in enumerate(columns):
        parse = json_parser(column)
        for side, limit in enumerate((column.lower_limit, column.upper_limit)):
            if limit is not None:
                limits[side, i] = parse(limit)
    single = np.array([column.dtype == "float32" and not whole for column in columns])
    if single.any():
        limits[:, single] = np.clip(limits[:, single], -FLOAT32_MAX, FLOAT32_MAX)
    low, high = limits
    if (whole or math.isinf(most)) and (low == ends[0]).all() and (high == ends[1]).all():
        return None

    def bound(data: NDArray[Any], missing: NDArray[np.bool_] | None) -> None:
        beyond = (data < low) | (data > high)  # NaN, where a number is missing, compares false
        if missing is not None:
            beyond &= ~missing
        if beyond.any():
            raise Later
        if single.any():
            data[:, single] = data[:, single].astype(np.float32)

    return bound


def _texts(columns: list[Column], *, nullable: bool) -> Callable[[list[Any], int], Block]:
    wide = len(columns)
    closed = [
        (place, frozenset((*column.categories, None)))
        for place, column in enumerate(columns)
        if column.closed and column.categories is not None
    ]

    def block(cells: list[Any], rows: int) -> Block:
        missing: NDArray[np.bool_] | None = None
        if nullable and None in cells:
            missing = np.array([cell is None for cell in cells]).reshape(rows, wide)
        for place, allowed in closed:
            if not allowed.issuperset(cells[place::wide]):
                raise Later
        return Block(np.array(cells, dtype=object).reshape(rows, wide), missing)

    return block


def _parsed(column: Column, parse: Parse) -> Callable[[list[Any]], Values]:
    def convert(cells: list[Any]) -> Values:
        data: Any = blank(column, len(cells))
        missing = np.zeros(len(cells), dtype=bool)
        for i, cell in enumerate(cells):
            if cell is None:
                missing[i] = True
            else:
                data[i] = parse(cell)
        return Values(data, missing if missing.any() else None)

    return convert
