"""Whether single messages of an Arrow stream or file unpack to more than is taken at once, told before they are read.

A batch is unpacked whole. Each of its buffers begins with what it unpacks to, and is unpacked by that.
"""

import os
from collections.abc import Iterator
from io import BufferedReader
from struct import Struct

from aweigh.errors import TooLarge
from aweigh.table.arrow_stream import (
    CONTINUATION,
    DICTIONARY_BATCH,
    FILE_MAGIC,
    HEAD_BYTES,
    PAIR,
    RECORD_BATCH,
    exactly,
    unreadable,
)
from aweigh.table.flatbuffer import ASTRAY, INT32, INT64, FlatTable, root

MAX_MESSAGE_BYTES = 256 * 2**20
MAX_BUFFERS = 100_000
NOT_PACKED = -1
BLOCK = Struct("<qi4xq")
"""Where a message of a file is: its place, the length of its metadata and that of its body."""


def require_small_messages(file: BufferedReader) -> None:
    """Passes if every batch and dictionary that is packed unpacks to 256 MB at most, and so do those added to another.

    Raises:
        TooLarge: one unpacks to more.
        MalformedBody: the messages contradict themselves.
    """
    dictionaries: dict[int, int] = {}
    try:
        for kind, header, body in _messages(file):
            if kind == RECORD_BATCH:
                _refuse_large(_unpacked(file, header, body))
            data = header.table(1) if kind == DICTIONARY_BATCH else None
            if data is not None:
                number = header.number(0, INT64)
                added = dictionaries.get(number, 0) if header.byte(2) else 0
                dictionaries[number] = added + _unpacked(file, data, body)
                _refuse_large(sum(dictionaries.values()))
    except ASTRAY as error:
        raise unreadable() from error


def _refuse_large(size_bytes: int) -> None:
    if size_bytes > MAX_MESSAGE_BYTES:
        raise TooLarge(
            "The Arrow data has a batch that unpacks to more than is taken at once.", hint="write smaller batches"
        )


def _messages(file: BufferedReader) -> Iterator[tuple[int, FlatTable, int]]:
    """Each message's kind, header and the place of its body: of a stream one by one, of a file all it names."""
    if file.read(len(FILE_MAGIC)) == FILE_MAGIC:
        for place, *_ in _blocks(file):
            file.seek(place)
            found = _message(file)
            if found is not None:
                yield found[:3]
        return
    file.seek(0)
    while (found := _message(file)) is not None:
        yield found[:3]
        file.seek(found[2] + found[3])


def _message(file: BufferedReader) -> tuple[int, FlatTable, int, int] | None:
    """The message at this place: kind, header, the place and the length of its body; None at the end."""
    head = file.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES // 2:
        return None
    if head.startswith(CONTINUATION):
        (size,) = INT32.unpack_from(head, len(CONTINUATION))
    else:  # as programs wrote it before 2019
        (size,) = INT32.unpack_from(head)
        file.seek(len(CONTINUATION) - len(head), os.SEEK_CUR)
    if size == 0:
        return None
    message = root(memoryview(exactly(file, size)))
    header, length = message.table(2), message.number(3, INT64)
    if header is None or length < 0:
        raise IndexError
    return message.byte(1), header, file.tell(), length


def _blocks(file: BufferedReader) -> list[tuple[int, ...]]:
    tail = INT32.size + len(FILE_MAGIC)
    end = file.seek(0, os.SEEK_END)
    file.seek(end - tail)
    (size,) = INT32.unpack_from(exactly(file, tail))
    file.seek(end - tail - size)
    footer = root(memoryview(exactly(file, size)))
    return sorted(footer.structs(2, BLOCK) + footer.structs(3, BLOCK))


def _unpacked(file: BufferedReader, batch: FlatTable, body: int) -> int:
    """What the buffers of a batch unpack to together; 0 when they are not packed, as they came so large."""
    if batch.table(3) is None:
        return 0
    buffers = batch.structs(2, PAIR)
    if len(buffers) > MAX_BUFFERS:
        raise TooLarge(f"The Arrow data has a batch of more than {MAX_BUFFERS:,} buffers.")
    total = 0
    for offset, size in sorted(buffers):
        if size >= INT64.size:
            file.seek(body + offset)
            (told,) = INT64.unpack_from(exactly(file, INT64.size))
            total += size if told == NOT_PACKED else max(0, told)
    return total
