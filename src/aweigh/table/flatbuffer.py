"""FlatBuffers as Arrow's messages use them: tables whose fields are found through offsets, every offset checked.

Only reading, only what is needed; the format is described at flatbuffers.dev ("FlatBuffer Internals").
"""

from collections.abc import Iterator
from struct import Struct
from struct import error as struct_error

INT16, INT32, INT64 = Struct("<h"), Struct("<i"), Struct("<q")
_UINT16, _UINT32 = Struct("<H"), Struct("<I")
_OFFSET_BYTES = 4

MOST_FIELDS = 16
"""No table of Arrow's has more; what else a table says that it has is passed over."""
_OFFSETS = [Struct(f"<{count}H") for count in range(MOST_FIELDS + 1)]

ASTRAY = (struct_error, IndexError, ValueError)
"""What reading a damaged message may raise: an offset out of the message, or text that is not UTF-8."""


class FlatTable:
    """A table at a place in a message; a field that is not there has its default.

    Raises:
        struct.error, IndexError: where its fields are is told outside the message.
    """

    __slots__ = ("_offsets", "message", "place")

    def __init__(self, message: memoryview, place: int) -> None:
        self.message = message
        self.place = place
        vtable = _within(message, place - INT32.unpack_from(message, place)[0])
        count = max(0, _UINT16.unpack_from(message, vtable)[0] - 4) // 2
        self._offsets: tuple[int, ...] = _OFFSETS[min(count, MOST_FIELDS)].unpack_from(message, vtable + 4)

    def _field(self, number: int) -> int | None:
        if number >= len(self._offsets):
            return None
        offset = self._offsets[number]
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
        return list(kind.iter_unpack(self.elements(number, kind.size)))

    def elements(self, number: int, size_bytes: int) -> memoryview:
        """The bytes of a vector of elements of that size, end to end.

        Raises:
            IndexError: they lead out of the message.
        """
        place = self._reference(number)
        if place is None:
            return self.message[:0]
        start = place + _OFFSET_BYTES
        count = _UINT32.unpack_from(self.message, place)[0]
        raw = self.message[start : start + count * size_bytes]
        if len(raw) != count * size_bytes:
            raise IndexError
        return raw


def root(message: memoryview) -> FlatTable:
    """The table that the message holds."""
    return FlatTable(message, _followed(message, 0))


def _followed(message: memoryview, place: int) -> int:
    return _within(message, place + _UINT32.unpack_from(message, place)[0])


def _within(message: memoryview, place: int) -> int:
    if not 0 <= place < len(message):
        raise IndexError
    return place
