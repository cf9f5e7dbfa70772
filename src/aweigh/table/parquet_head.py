"""The columns of a Parquet file, read from its last bytes without a library.

Only what is needed to tell whether a table fits: names, types, and which columns pandas kept as an index. Layout: the
file ends in its metadata (a struct of Thrift's compact protocol, ``parquet.thrift``), their length and ``PAR1``.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

from aweigh.errors import MalformedBody
from aweigh.table.arrow_stream import ArrowType
from aweigh.table.pandas_notes import PandasNotes, read_notes

MAGIC, ENCRYPTED = b"PAR1", b"PARE"
TAIL_BYTES = 8
MAX_FOOTER_BYTES = 256 * 2**20
MAX_DEPTH = 32
MAX_COUNTED_BYTES = 2**20
"""Longer metadata are not searched for how many cells are missing."""

_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 11, 12
_WHOLE = {4, 5, 6}
_REPEATED = 2
_PHYSICAL = {
    0: "bool", 1: "int32", 2: "int64", 3: "timestamp", 4: "float", 5: "double", 6: "binary", 7: "fixed_size_binary",
}  # fmt: skip
_LOGICAL = {
    1: "string", 4: "binary", 5: "decimal", 6: "date32", 7: "time", 8: "timestamp", 10: "int64", 11: "null",
    12: "string", 13: "binary", 14: "fixed_size_binary", 15: "half_float",
}  # fmt: skip
"""``SchemaElement.logicalType``: which member of the union is there."""
_CONVERTED = {
    0: "string", 4: "binary", 5: "decimal", 6: "date32", 7: "time", 8: "time", 9: "timestamp", 10: "timestamp",
    **dict.fromkeys(range(11, 19), "int64"), 19: "string", 20: "binary", 21: "fixed_size_binary",
}  # fmt: skip
"""``SchemaElement.converted_type``, as older programs say the same."""


@dataclass(frozen=True, slots=True, eq=False)
class TableHead:
    """A table's columns by their names, each with its type; ``notes`` are pandas'.

    ``empty`` are columns of which it is known that they hold nothing.
    """

    types: dict[str, ArrowType]
    notes: PandasNotes
    empty: frozenset[str] = frozenset()


def read_parquet_head(file: BufferedReader) -> TableHead | None:
    """The head of an open file; None for one that is encrypted.

    Raises:
        MalformedBody: it does not end as a Parquet file ends.
    """
    footer = read_footer(file)
    if footer is None:
        return None
    try:
        return _head(footer)
    except (IndexError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _cut() from error


def read_footer(file: BufferedReader) -> bytes | None:
    """What stands at the end of the file about all of it; None where that is encrypted.

    Raises:
        MalformedBody: it does not end as a Parquet file ends.
    """
    size = file.seek(0, os.SEEK_END)
    if size < len(MAGIC) + TAIL_BYTES:
        raise _cut()
    file.seek(-TAIL_BYTES, os.SEEK_END)
    tail = file.read(TAIL_BYTES)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] == ENCRYPTED:
        return None
    if tail[4:] != MAGIC or not 0 < length <= min(size - TAIL_BYTES - len(MAGIC), MAX_FOOTER_BYTES):
        raise _cut()
    file.seek(-TAIL_BYTES - length, os.SEEK_END)
    return file.read(length)


def _cut() -> MalformedBody:
    return MalformedBody("The Parquet file is damaged or cut short.", hint="write it anew, or send it whole")


def _head(footer: bytes) -> TableHead:
    elements = next((value for number, value in Thrift(footer).fields() if number == 2), None)
    if not elements:
        raise ValueError
    types: dict[str, ArrowType] = {}
    at = 1  # behind the root
    for _ in range(elements[0].get(5, 0)):
        element = elements[at]
        types[element[4].decode()] = ArrowType(_kind(element))
        at = _behind(elements, at)
    return TableHead(types, _notes(footer), _empty(footer) if len(footer) <= MAX_COUNTED_BYTES else frozenset())


def _behind(elements: list[dict[int, Any]], at: int) -> int:
    """The place behind an element and all that is nested in it."""
    left = 1
    while left:
        left += elements[at].get(5, 0) - 1
        at += 1
    return at


def _kind(element: dict[int, Any]) -> str:
    """Arrow's word for the type; ``struct`` for whatever is nested."""
    if element.get(5, 0) or element.get(3) == _REPEATED:
        return "struct"
    logical = element.get(10)
    if logical:
        return _LOGICAL.get(next(iter(logical)), "")
    if 6 in element:
        return _CONVERTED.get(element[6], "")
    return _PHYSICAL[element[1]]


def _notes(footer: bytes) -> PandasNotes:
    """What pandas noted stands behind what is said of every group of rows: it is looked for from the end."""
    key = b"\x18\x06pandas\x18"
    at = footer.rfind(key)
    return read_notes(None if at < 0 else {b"pandas": Thrift(footer, at + len(key)).value(_BINARY)})


def _empty(footer: bytes) -> frozenset[str]:
    """Columns whose statistics say that all their cells are missing."""
    found = dict(Thrift(footer).fields())
    missing: dict[str, int] = {}
    for group in found.get(4, []):
        for column in group.get(1, []):
            about = column.get(3, {})
            name = b".".join(about.get(3, [])).decode()
            missing[name] = missing.get(name, 0) + about.get(12, {}).get(3, 0)
    return frozenset(name for name, count in missing.items() if count >= found[3])


class Thrift:
    """Values of the compact protocol, one behind the other; structs are dictionaries by the numbers of their fields."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._at = at

    @property
    def place(self) -> int:
        """Behind what was read so far."""
        return self._at

    def heads(self) -> Iterator[tuple[int, int]]:
        """The number and the type of each of a struct's fields; who asks takes the value, which a truth value lacks.

        Raises:
            ValueError: a field stands twice.
        """
        number, seen = 0, set()
        while (head := self._byte()) != _STOP:
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            if number in seen:
                raise ValueError
            seen.add(number)
            yield number, head & 0x0F

    def fields(self, depth: int = 0) -> Iterator[tuple[int, Any]]:
        """A struct's fields, one after the other.

        Raises:
            IndexError: the data end before it does.
            ValueError: a field has no type that there is, or stands twice.
        """
        for number, kind in self.heads():
            yield number, (kind == _TRUE) if kind in {_TRUE, _FALSE} else self.value(kind, depth)

    def count(self) -> tuple[int, int]:
        """How many values of which type a list has, which come next."""
        head = self._byte()
        return self._believable(head >> 4 if head >> 4 != 15 else self._varint()), head & 0x0F

    def value(self, kind: int, depth: int = 0) -> Any:
        """The next value, of that type.

        Raises:
            IndexError: the data end before it does.
            ValueError: there is no such type.
        """
        if depth > MAX_DEPTH:
            raise ValueError
        if kind in _WHOLE:
            return self._zigzag()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind in {_TRUE, _FALSE, _BYTE}:
            return self._byte()
        if kind == _DOUBLE:
            return self._take(8)
        if kind == _STRUCT:
            return dict(self.fields(depth + 1))
        if kind in {_LIST, _SET}:
            count, inner = self.count()
            return [self.value(inner, depth + 1) for _ in range(count)]
        if kind == _MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            return [
                (self.value(kinds >> 4, depth + 1), self.value(kinds & 0x0F, depth + 1))
                for _ in range(self._believable(count))
            ]
        raise ValueError

    def _believable(self, count: int) -> int:
        """A count of values, each of which takes a byte at least."""
        if count > len(self._data) - self._at:
            raise IndexError
        return count

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, count: int) -> bytes:
        self._at += self._believable(count)
        return self._data[self._at - count : self._at]

    def _varint(self) -> int:
        found = shift = 0
        while (byte := self._byte()) & 0x80:
            found |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise ValueError
        return found | byte << shift

    def _zigzag(self) -> int:
        found = self._varint()
        return (found >> 1) ^ -(found & 1)
