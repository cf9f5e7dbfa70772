"""The columns of an Arrow stream or file, and whether all of it is there, without reading its rows."""

import itertools
import os
from io import BufferedIOBase, BufferedReader

from aweigh.table.arrow_stream import (
    CONTINUATION,
    FILE_MAGIC,
    HEAD_BYTES,
    MAX_COLUMNS,
    SCHEMA,
    ArrowType,
    exactly,
    field_of,
    iter_messages,
    notes_of,
    unreadable,
)
from aweigh.table.flatbuffer import ASTRAY, INT32, INT64, root


def read_fields(file: BufferedIOBase) -> tuple[dict[str, ArrowType], dict[bytes, bytes]]:
    """The columns of an IPC stream or file with their types, whatever these are, and the notes in its schema.

    Raises:
        MalformedBody: it does not begin with a schema.
    """
    try:
        kind, header, _ = next(iter_messages(file), (0, None, None))
        if kind != SCHEMA or header is None:
            raise IndexError
        fields = [field_of(table) for table in itertools.islice(header.tables(1), MAX_COLUMNS)]
        return {field.name: field.type for field in fields}, notes_of(header)
    except ASTRAY as error:
        raise unreadable() from error


def check_whole(file: BufferedReader) -> None:
    """Walks the messages of a stream without reading what they carry, or looks at the end of a file.

    Raises:
        MalformedBody: it is cut short.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(FILE_MAGIC)) == FILE_MAGIC:
        file.seek(-len(FILE_MAGIC), os.SEEK_END)
        if file.read() != FILE_MAGIC or size < 2 * len(FILE_MAGIC):
            raise unreadable()
        return
    file.seek(0)
    try:
        while head := file.read(HEAD_BYTES):
            if not head.startswith(CONTINUATION):
                raise IndexError
            (length,) = INT32.unpack_from(head, len(CONTINUATION))
            if length == 0:
                return
            body = root(memoryview(exactly(file, length))).number(3, INT64)
            if body < 0 or file.seek(body, os.SEEK_CUR) > size:
                raise IndexError
    except ASTRAY as error:
        raise unreadable() from error
