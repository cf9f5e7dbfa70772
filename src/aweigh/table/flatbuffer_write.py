"""FlatBuffers as Arrow's messages use them, written: a table, then what it refers to, every offset forward.

Only what is needed; ``flatbuffer.py`` reads them. The format is described at flatbuffers.dev ("FlatBuffer Internals").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from aweigh.table.flatbuffer import INT16, INT32, INT64

BYTE = Struct("<B")
_UINT16, _UINT32 = Struct("<H"), Struct("<I")
_REFERENCE = INT32
_ALIGNED = 8
"""A table begins where a whole number of 64 bits may."""


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number that stands in the table itself."""

    kind: Struct
    value: int


@dataclass(frozen=True, slots=True)
class Structs:
    """A vector of structs of whole numbers of 64 bits."""

    kind: Struct
    values: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Node:
    """A table to be written: its fields by their numbers; None: the field is left out and has its default."""

    fields: "Sequence[Field | None]"


Field = Number | Structs | Node | str | Sequence[Node]


def byte(value: int) -> Number:
    """An unsigned byte, a truth value or the tag of a union."""
    return Number(BYTE, value)


def short(value: int) -> Number:
    """A whole number of 16 bits."""
    return Number(INT16, value)


def integer(value: int) -> Number:
    """A whole number of 32 bits."""
    return Number(INT32, value)


def long(value: int) -> Number:
    """A whole number of 64 bits."""
    return Number(INT64, value)


def written(root: Node) -> bytes:
    """The message that holds the table, filled up to eight bytes."""
    out = bytearray(_UINT32.size)
    _UINT32.pack_into(out, 0, _table(out, root))
    _fill(out)
    return bytes(out)


def _fill(out: bytearray, *, short_of: int = 0) -> None:
    """Fills up so that what comes ``short_of`` bytes later is aligned."""
    out += bytes(-(len(out) + short_of) % _ALIGNED)


def _table(out: bytearray, node: Node) -> int:
    """Writes a table and what it refers to; where the table stands."""
    size, offsets = _REFERENCE.size, []
    for field in node.fields:
        if field is None:
            offsets.append(0)
            continue
        wide = field.kind.size if isinstance(field, Number) else _REFERENCE.size
        size += -size % wide
        offsets.append(size)
        size += wide
    vtable_bytes = _UINT16.size * (2 + len(offsets))
    _fill(out, short_of=vtable_bytes)
    vtable, place = len(out), len(out) + vtable_bytes
    for one in (vtable_bytes, size, *offsets):
        out += _UINT16.pack(one)
    out += bytes(size)
    INT32.pack_into(out, place, place - vtable)
    for field, offset in zip(node.fields, offsets, strict=True):
        if isinstance(field, Number):
            field.kind.pack_into(out, place + offset, field.value)
        elif field is not None:
            _refer(out, place + offset, _behind(out, field))
    return place


def _refer(out: bytearray, place: int, to: int) -> None:
    _UINT32.pack_into(out, place, to - place)


def _behind(out: bytearray, field: Structs | Node | str | Sequence[Node]) -> int:
    """Writes what a field refers to; where it stands."""
    if isinstance(field, Node):
        return _table(out, field)
    _fill(out, short_of=_UINT32.size)  # a vector's elements follow its length, aligned
    place = len(out)
    if isinstance(field, str):
        raw = field.encode()
        out += _UINT32.pack(len(raw)) + raw + b"\x00"
    elif isinstance(field, Structs):
        out += _UINT32.pack(len(field.values)) + b"".join(field.kind.pack(*one) for one in field.values)
    else:
        out += _UINT32.pack(len(field)) + bytes(_UINT32.size * len(field))
        for i, node in enumerate(field, start=1):
            _refer(out, place + _UINT32.size * i, _table(out, node))
    return place
