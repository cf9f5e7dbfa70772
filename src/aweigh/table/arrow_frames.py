"""The messages of an Arrow IPC stream, each looked at before it is decoded: how many rows, how many bytes.

A body of a kilobyte may stand for gigabytes: compressed buffers, many columns over one buffer, a million rows of
nothing. The messages' own tables (FlatBuffers) are walked here, with every offset checked, so that such a body is
refused while it is still a kilobyte. The layout is that of Arrow's ``Message.fbs`` (version 5 of the format).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase, RawIOBase
from struct import Struct
from struct import error as struct_error
from typing import Any

from aweigh.errors import AweighError, MalformedBody, TooLarge, UnsupportedMedia

FILE_MAGIC = b"ARROW1"
PADDED_MAGIC_BYTES = 8
CONTINUATION = b"\xff\xff\xff\xff"
DICTIONARY_BATCH, RECORD_BATCH = 2, 3
BUFFER_BYTES = 16
PREFIX_BYTES = 8
"""Before each compressed buffer stands its size when unpacked, -1 where it is not packed after all."""
READ_BYTES = 2**20

_INT32, _INT64 = Struct("<i"), Struct("<q")
_UINT16, _UINT32 = Struct("<H"), Struct("<I")
_BUFFER = Struct("<qq")


class _Astray(Exception):  # noqa: N818  control flow of this module
    """An offset that leads out of the message."""


@dataclass(slots=True)
class ArrowLimits:
    """How much more may come: rows of record batches, and bytes of buffers when unpacked, dictionaries included."""

    rows: int | None = None
    size_bytes: int | None = None

    def take(self, rows: int, size_bytes: int) -> None:
        """Counts a message.

        Raises:
            TooLarge: it is one too many.
        """
        if self.rows is not None:
            self.rows -= rows
            if self.rows < 0:
                raise TooLarge("The Arrow data has more rows than are taken at once.", hint="send fewer rows at a time")
        if self.size_bytes is not None:
            self.size_bytes -= size_bytes
            if self.size_bytes < 0:
                raise TooLarge(
                    "The Arrow data holds more bytes than are taken at once.", hint="send fewer rows at a time"
                )


class ArrowFrames(RawIOBase):
    """The bytes of an IPC stream, or of the stream inside an IPC file, a message at a time and only after a look at it.

    nanoarrow reads from it; what it raises goes through C and loses its type there, so it is kept in ``error``.
    """

    def __init__(self, file: BufferedIOBase, limits: ArrowLimits) -> None:
        self._frames = _frames(file, limits)
        self._rest = memoryview(b"")
        self.error: AweighError | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer with what is left of this message, or with the next one.

        Raises:
            MalformedBody: the message contradicts itself.
            TooLarge: more than the limits allow.
            UnsupportedMedia: dictionaries that are compressed, or that grow from batch to batch.
        """
        try:
            while not self._rest:
                self._rest = memoryview(next(self._frames))
        except StopIteration:
            return 0
        except AweighError as error:
            self.error = error
            raise
        room = memoryview(buffer).cast("B")
        count = min(len(room), len(self._rest))
        room[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _frames(file: BufferedIOBase, limits: ArrowLimits) -> Iterator[bytes]:
    """Each message whole: its length, its metadata, its body; then the end-of-stream mark."""
    start = file.read(PADDED_MAGIC_BYTES)
    if start.startswith(FILE_MAGIC):
        # In the file format the messages of a stream follow the magic; its footer is only needed to read out of order.
        start = file.read(PADDED_MAGIC_BYTES)
    try:
        while start:
            if not start.startswith(CONTINUATION):
                raise _Astray
            (length,) = _INT32.unpack_from(start, len(CONTINUATION))
            yield start
            if length == 0:
                return
            metadata = _exactly(file, length)
            message = memoryview(metadata)
            body = _exactly(file, _int64(message, _root(message), 3))
            limits.take(*_size(message, memoryview(body)))
            yield metadata
            yield body
            start = file.read(PADDED_MAGIC_BYTES)
    except (_Astray, struct_error, IndexError, ValueError) as error:
        raise unreadable() from error


def unreadable() -> MalformedBody:
    """What is said of bytes that are not Arrow, whatever it is that is wrong with them."""
    return MalformedBody("The Arrow data cannot be read.", hint="send an Arrow IPC stream, whole")


def _exactly(file: BufferedIOBase, count: int) -> bytes:
    """So many bytes, read in parts: a length that lies takes no memory."""
    if count < 0:
        raise _Astray
    parts = []
    while count:
        part = file.read(min(count, READ_BYTES))
        if not part:
            raise _Astray
        parts.append(part)
        count -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _size(message: memoryview, data: memoryview) -> tuple[int, int]:
    """The rows of a message and the bytes of its buffers when unpacked."""
    kind = _byte(message, _root(message), 1)
    if kind == RECORD_BATCH:
        batch = _table(message, _root(message), 2)
        rows = _int64(message, batch, 0)
        if rows < 0:
            raise _Astray
        return rows, _unpacked(message, batch, data)
    if kind != DICTIONARY_BATCH:
        return 0, 0
    dictionary = _table(message, _root(message), 2)
    batch = _table(message, dictionary, 1)
    if _byte(message, dictionary, 2):
        raise UnsupportedMedia(
            "The Arrow data adds to a dictionary later on (delta).", hint="write the column as plain text"
        )
    if _reference(message, batch, 3) is not None:
        # nanoarrow 0.9 takes the compressed bytes of a dictionary for its values.
        raise UnsupportedMedia(
            "The Arrow data has a dictionary that is compressed.",
            hint="write it without compression, or the column as plain text",
        )
    return 0, _unpacked(message, batch, data)


def _unpacked(message: memoryview, batch: int, data: memoryview) -> int:
    """The bytes of a batch's buffers when unpacked; those that several columns share count for each."""
    vector = _reference(message, batch, 2)
    if vector is None:
        return 0
    packed = _reference(message, batch, 3) is not None
    (count,) = _UINT32.unpack_from(message, vector)
    raw = message[vector + 4 : vector + 4 + count * BUFFER_BYTES]
    if len(raw) != count * BUFFER_BYTES:
        raise _Astray
    size = 0
    for offset, length in _BUFFER.iter_unpack(raw):
        if min(offset, length) < 0 or offset + length > len(data):
            raise _Astray
        if packed and length:
            (unpacked,) = _INT64.unpack_from(data, offset)
            if unpacked < -1:
                raise _Astray
            size += length - PREFIX_BYTES if unpacked == -1 else unpacked
        else:
            size += length
    return size


# -- FlatBuffers: a table is a place in the message; its fields are found through a table of offsets behind it ---------


def _root(message: memoryview) -> int:
    return _within(message, _UINT32.unpack_from(message, 0)[0])


def _field(message: memoryview, table: int, number: int) -> int | None:
    """Where a field of the table stands, None where it has its default."""
    vtable = _within(message, table - _INT32.unpack_from(message, table)[0])
    (size,) = _UINT16.unpack_from(message, vtable)
    slot = 4 + 2 * number
    if slot + 2 > size:
        return None
    (offset,) = _UINT16.unpack_from(message, vtable + slot)
    return _within(message, table + offset) if offset else None


def _byte(message: memoryview, table: int, number: int) -> int:
    place = _field(message, table, number)
    return 0 if place is None else message[place]


def _int64(message: memoryview, table: int, number: int) -> int:
    place = _field(message, table, number)
    return 0 if place is None else int(_INT64.unpack_from(message, place)[0])


def _reference(message: memoryview, table: int, number: int) -> int | None:
    """Where the table or vector that a field refers to stands."""
    place = _field(message, table, number)
    return None if place is None else _within(message, place + _UINT32.unpack_from(message, place)[0])


def _table(message: memoryview, table: int, number: int) -> int:
    place = _reference(message, table, number)
    if place is None:
        raise _Astray
    return place


def _within(message: memoryview, place: int) -> int:
    if not 0 <= place < len(message):
        raise _Astray
    return place
