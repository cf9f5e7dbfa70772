"""FlatBuffers as Arrow's messages use them: tables whose fields are found through offsets, every offset checked.

Only reading, only what is needed; the format is described at flatbuffers.dev ("FlatBuffer Internals").
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from struct import error as struct_error

INT16, INT32, INT64 = Struct("<h"), Struct("<i"), Struct("<q")
_UINT16, _UINT32 = Struct("<H"), Struct("<I")
_OFFSET_BYTES = 4

ASTRAY = (struct_error, IndexError, ValueError)
"""What reading a damaged message may raise: an offset out of the message, or text that is not UTF-8."""


@dataclass(frozen=True, slots=True)
class FlatTable:
    """A table at a place in a message; a field that is not there has its default."""

    message: memoryview
    place: int

    def _field(self, number: int) -> int | None:
        vtable = _within(self.message, self.place - INT32.unpack_from(self.message, self.place)[0])
        (size,) = _UINT16.unpack_from(self.message, vtable)
        slot = 4 + 2 * number
        if slot + 2 > size:
            return None
        (offset,) = _UINT16.unpack_from(self.message, vtable + slot)
        return _within(self.message, self.place + offset) if offset else None

    def _reference(self, number: int) -> int | None:
        place = self._field(number)
        return None if place is None else _followed(self.message, place)

    def byte(self, number: int) -> int:
        """An unsigned byte, a truth value or the tag of a union; 0 by default."""
        place = self._field(number)
        return 0 if place is None else self.message[place]

    def number(self, number: int, kind: Struct, *, default: int = 0) -> int:
        """A whole number of that kind."""
        place = self._field(number)
        return default if place is None else int(kind.unpack_from(self.message, place)[0])

    def table(self, number: int) -> "FlatTable | None":
        """The table that the field refers to."""
        place = self._reference(number)
        return None if place is None else FlatTable(self.message, place)

    def text(self, number: int, *, max_bytes: int) -> str | None:
        """The text that the field refers to.

        Raises:
            ValueError: it is longer than that, or not UTF-8.
        """
        place = self._reference(number)
        if place is None:
            return None
        (size,) = _UINT32.unpack_from(self.message, place)
        raw = self.message[place + _OFFSET_BYTES : place + _OFFSET_BYTES + size]
        if len(raw) != size or size > max_bytes:
            raise ValueError
        return bytes(raw).decode()

    def count(self, number: int) -> int:
        """How many elements the vector has that the field refers to."""
        place = self._reference(number)
        return 0 if place is None else int(_UINT32.unpack_from(self.message, place)[0])

    def tables(self, number: int) -> Iterator["FlatTable"]:
        """The tables of a vector of them."""
        place = self._reference(number)
        for i in range(self.count(number)):
            assert place is not None  # noqa: S101  a vector that is not there has no elements
            yield FlatTable(self.message, _followed(self.message, place + _OFFSET_BYTES * (1 + i)))

    def structs(self, number: int, kind: Struct) -> list[tuple[int, ...]]:
        """The elements of a vector of structs.

        Raises:
            IndexError: they lead out of the message.
        """
        place = self._reference(number)
        if place is None:
            return []
        start = place + _OFFSET_BYTES
        raw = self.message[start : start + self.count(number) * kind.size]
        if len(raw) != self.count(number) * kind.size:
            raise IndexError
        return list(kind.iter_unpack(raw))


def root(message: memoryview) -> FlatTable:
    """The table that the message holds."""
    return FlatTable(message, _followed(message, 0))


def _followed(message: memoryview, place: int) -> int:
    return _within(message, place + _UINT32.unpack_from(message, place)[0])


def _within(message: memoryview, place: int) -> int:
    if not 0 <= place < len(message):
        raise IndexError
    return place
