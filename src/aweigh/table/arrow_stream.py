"""An Arrow IPC stream as columns of buffers, read without a library: no byte of a stranger reaches C code unchecked.

The messages are walked by the layout of Arrow's ``Message.fbs`` and ``Schema.fbs`` (version 5 of the format). How many
rows there are and how many bytes is counted before a batch is looked at: a body of a kilobyte may stand for
gigabytes, when many columns share one buffer or a million rows hold nothing. (nanoarrow 0.9 ends the whole process on
some damaged streams, and takes the compressed bytes of a dictionary for its values.)
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import BufferedIOBase
from struct import Struct
from typing import Protocol

from aweigh.errors import MalformedBody, TooLarge, UnsupportedMedia
from aweigh.table.flatbuffer import ASTRAY, INT16, INT32, INT64, FlatTable, root

FILE_MAGIC = b"ARROW1"
HEAD_BYTES = 8
CONTINUATION = b"\xff\xff\xff\xff"
SCHEMA, DICTIONARY_BATCH, RECORD_BATCH = 1, 2, 3
READ_BYTES = 2**20
MAX_COLUMNS = 10_000
MAX_NAME_BYTES = 4_096
MAX_NOTES, MAX_NOTE_BYTES = 64, 16 * 2**20

NULL_BYTES = 8
"""What a row of a column of nothing counts for: it takes no room in the stream, and as a float64 in the table."""

PAIR = Struct("<qq")
"""A buffer: where it starts and its size. A node: its rows and its nulls."""

INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
TEXTS = frozenset({"string", "large_string", "string_view"})
FLOATS = ("half_float", "float", "double")
KINDS = INTEGERS | TEXTS
READABLE = KINDS | {*FLOATS, "bool", "date32", "date64", "timestamp", "decimal", "null"}
UNITS = ("s", "ms", "us", "ns")
# Schema.fbs, union Type. Those that carry parameters are read in _type.
_INT, _FLOAT, _DECIMAL, _DATE, _TIMESTAMP = 2, 3, 7, 8, 10
_PLAIN = {
    1: "null", 4: "binary", 5: "string", 6: "bool", 9: "time", 11: "interval", 12: "list", 13: "struct", 14: "union",
    15: "fixed_size_binary", 16: "fixed_size_list", 17: "map", 18: "duration", 19: "large_binary", 20: "large_string",
    21: "large_list", 22: "run_end_encoded", 23: "binary_view", 24: "string_view", 25: "list_view",
    26: "large_list_view",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArrowType:
    """A column's type: ``kind`` as Arrow names it (``int64``, ``double``, ``string``, ``timestamp``...).

    ``unit`` and ``zone`` are a timestamp's, ``scale`` and ``width`` (in bits) a decimal's. A dictionary has codes of
    the type ``codes`` into values of the type ``of``; ``ordered`` when their order means something.
    """

    kind: str
    unit: str = ""
    zone: str = ""
    scale: int = 0
    width: int = 0
    codes: str = ""
    of: "ArrowType | None" = None
    ordered: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ArrowColumn:
    """One column of a batch: its buffers as they came, of which the rows from ``offset`` on are meant."""

    name: str
    type: ArrowType
    rows: int
    buffers: tuple[memoryview, ...]
    offset: int = 0
    dictionary: "ArrowColumn | None" = None


@dataclass(frozen=True, slots=True, eq=False)
class ArrowBatch:
    """A record batch, and the notes in its stream's schema."""

    columns: tuple[ArrowColumn, ...]
    rows: int
    notes: Mapping[bytes, bytes]


@dataclass(slots=True)
class ArrowLimits:
    """How much more may come: rows of record batches, bytes of buffers, and cells, which is rows times columns."""

    rows: int | None = None
    size_bytes: int | None = None
    cells: int | None = None

    def take_cells(self, count: int) -> None:
        """Counts the cells of a message: many columns may share a buffer, and each becomes a column of its own.

        Raises:
            TooLarge: they are too many.
        """
        if self.cells is not None:
            self.cells -= count
            if self.cells < 0:
                raise TooLarge(
                    "The Arrow data has more cells than are taken at once.", hint="send the model's columns only"
                )

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


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the stream's schema; ``dictionary`` is the number of the dictionary that its codes lead into."""

    name: str
    type: ArrowType
    dictionary: int | None


def unreadable() -> MalformedBody:
    """What is said of bytes that are not Arrow, whatever it is that is wrong with them."""
    return MalformedBody("The Arrow data cannot be read.", hint="send an Arrow IPC stream, whole")


def iter_batches(file: BufferedIOBase, *, limits: ArrowLimits) -> Iterator[ArrowBatch]:
    """The record batches of an IPC stream, or of the stream inside an IPC file; at least one, perhaps of no rows.

    Raises:
        MalformedBody: the messages contradict themselves.
        TooLarge: more than the limits, or more than 10,000 columns.
        UnsupportedMedia: compressed buffers, a dictionary that grows, numbers with the big end first.
    """
    try:
        yield from _batches(file, limits)
    except ASTRAY as error:
        raise unreadable() from error


def _batches(file: BufferedIOBase, limits: ArrowLimits) -> Iterator[ArrowBatch]:
    fields: tuple[Field, ...] | None = None
    notes: dict[bytes, bytes] = {}
    dictionaries: dict[int, ArrowColumn] = {}
    some = False
    for kind, header, body in iter_messages(file):
        if kind == SCHEMA and fields is None:
            fields, notes = read_schema(header)
        elif kind == DICTIONARY_BATCH and fields is not None:
            number, column = read_dictionary(header, body, fields, limits)
            dictionaries[number] = column
        elif kind == RECORD_BATCH and fields is not None:
            some = True
            columns, rows = _columns(header, body, fields, limits)
            yield ArrowBatch(tuple(_with_dictionary(*pair, dictionaries) for pair in columns), rows, notes)
        else:
            raise IndexError
    if fields is None:
        raise IndexError
    if not some:
        yield ArrowBatch(tuple(_empty(field) for field in fields), 0, notes)


class Source(Protocol):
    """What messages are read from: a file, or a body as ``InMemory``."""

    def read(self, size: int, /) -> bytes | memoryview:
        """So many bytes, fewer at the end."""
        ...


class InMemory:
    """A body that is read as a file is, without a copy of what is read."""

    __slots__ = ("_at", "_body")

    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)
        self._at = 0

    def read(self, size: int, /) -> memoryview:
        """So many bytes, fewer at the end."""
        begun = self._at
        self._at = begun + size
        return self._body[begun : self._at]


def iter_messages(file: Source) -> Iterator[tuple[int, FlatTable, memoryview]]:
    """Each message's kind, header and body, up to the end-of-stream mark or the end."""
    head = bytes(file.read(HEAD_BYTES))
    if head.startswith(FILE_MAGIC):
        # In the file format the messages of a stream follow the magic; its footer is only needed to read out of order.
        head = bytes(file.read(HEAD_BYTES))
    while head:
        if not head.startswith(CONTINUATION):
            raise IndexError
        (size,) = INT32.unpack_from(head, len(CONTINUATION))
        if size == 0:
            return
        message = root(memoryview(exactly(file, size)))
        body = exactly(file, message.number(3, INT64))
        header = message.table(2)
        if header is None:
            raise IndexError
        yield message.byte(1), header, memoryview(body)
        head = bytes(file.read(HEAD_BYTES))


def exactly(file: Source, count: int) -> bytes | memoryview:
    """So many bytes, read in parts: a length that lies takes no memory."""
    if count < 0:
        raise IndexError
    parts: list[bytes | memoryview] = []
    while count:
        part = file.read(min(count, READ_BYTES))
        if not part:
            raise IndexError
        parts.append(part)
        count -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


# -- schema ----------------------------------------------------------------------------------------------------------


def read_schema(header: FlatTable) -> tuple[tuple[Field, ...], dict[bytes, bytes]]:
    """The columns of a schema message, and the notes in it.

    Raises:
        UnsupportedMedia: numbers with the big end first, a type that no model takes.
        MalformedBody: names that are empty or double.
        TooLarge: more than 10,000 columns.
    """
    if header.number(0, INT16):
        raise UnsupportedMedia("The Arrow data has its numbers big end first.", hint="write it on an ordinary machine")
    if header.count(1) > MAX_COLUMNS:
        raise TooLarge(f"The Arrow data has more than {MAX_COLUMNS:,} columns.")
    fields: dict[str, Field] = {}
    for table in header.tables(1):
        field = field_of(table)
        check_name(field.name, fields)
        check_type(field.name, field.type)
        fields[field.name] = field
    return tuple(fields.values()), notes_of(header)


def notes_of(header: FlatTable) -> dict[bytes, bytes]:
    """The notes in a schema."""
    notes = {}
    for note in itertools.islice(header.tables(2), MAX_NOTES):
        key, value = (note.text(i, max_bytes=MAX_NOTE_BYTES) or "" for i in range(2))
        notes[key.encode()] = value.encode()
    return notes


def check_name(name: str, before: Mapping[str, object]) -> None:
    """Whether a column may have that name behind those that came before.

    Raises:
        MalformedBody: it is empty or stands twice.
    """
    if not name:
        raise MalformedBody(f"Column {len(before) + 1} of the table has no name.")
    if name in before:
        raise MalformedBody(f"The table has more than one column named {name[:60]!r}.")


def check_type(name: str, kind: ArrowType) -> None:
    """Whether a column is of a type that some model takes.

    Raises:
        UnsupportedMedia: it is not.
    """
    if kind.kind in READABLE or (kind.of is not None and kind.of.kind in KINDS):
        return
    what = kind.kind if kind.of is None else f"dictionary of {kind.of.kind}"
    raise UnsupportedMedia(
        f"Column {name[:60]!r} is of Arrow type {what}, which no model takes.",
        hint="cast it to a number, a boolean, text, a date or a timestamp, or leave it out",
    )


def field_of(table: FlatTable) -> Field:
    """A column as a schema tells of it."""
    name = table.text(0, max_bytes=MAX_NAME_BYTES) or ""
    kind = _type(table.byte(2), table.table(3))
    encoding = table.table(4)
    if encoding is None:
        return Field(name, kind, None)
    index = encoding.table(1)
    codes = "int32" if index is None else _whole(index)
    coded = ArrowType("dictionary", codes=codes, of=kind, ordered=bool(encoding.byte(2)))
    return Field(name, coded, encoding.number(0, INT64))


def _whole(table: FlatTable) -> str:
    kind = f"{'int' if table.byte(1) else 'uint'}{table.number(0, INT32)}"
    if kind not in INTEGERS:
        raise IndexError
    return kind


def _type(tag: int, table: FlatTable | None) -> ArrowType:
    if tag in _PLAIN:
        return ArrowType(_PLAIN[tag])
    if table is None:
        raise IndexError
    if tag == _INT:
        return ArrowType(_whole(table))
    if tag == _FLOAT:
        return ArrowType(_one_of(FLOATS, table.number(0, INT16)))
    if tag == _DECIMAL:
        return ArrowType("decimal", scale=table.number(1, INT32), width=table.number(2, INT32, default=128))
    if tag == _DATE:
        return ArrowType("date64" if table.number(0, INT16, default=1) else "date32")
    if tag == _TIMESTAMP:
        zone = table.text(1, max_bytes=MAX_NAME_BYTES) or ""
        return ArrowType("timestamp", unit=_one_of(UNITS, table.number(0, INT16)), zone=zone)
    raise IndexError


def _one_of(names: tuple[str, ...], number: int) -> str:
    if not 0 <= number < len(names):
        raise IndexError
    return names[number]


# -- batches ---------------------------------------------------------------------------------------------------------


class _Buffers:
    """A batch's buffers, handed out in their order, each within the body."""

    def __init__(self, batch: FlatTable, body: memoryview) -> None:
        self._nodes = iter(batch.structs(1, PAIR))
        self._places = batch.structs(2, PAIR)
        self._next = iter(self._places)
        self._views = iter(batch.structs(4, INT64))
        self._body = body

    @property
    def size_bytes(self) -> int:
        """The bytes of all buffers; those that several columns share count for each."""
        return sum(size for _, size in self._places)

    def column(self, field: Field, kind: ArrowType) -> ArrowColumn:
        """The next column, of that type.

        Raises:
            IndexError: there is none, or a buffer leads out of the body.
        """
        rows, _nulls = next(self._nodes, (-1, 0))
        if rows < 0:
            raise IndexError
        count = {"null": 0, "string": 3, "large_string": 3}.get(kind.kind, 2)
        if kind.kind == "string_view":
            (more,) = next(self._views, (-1,))
            if not 0 <= more <= len(self._places):
                raise IndexError
            count += more
        return ArrowColumn(field.name, kind, rows, tuple(self._buffer() for _ in range(count)))

    def _buffer(self) -> memoryview:
        offset, size = next(self._next, (-1, 0))
        if min(offset, size) < 0 or offset + size > len(self._body):
            raise IndexError
        return self._body[offset : offset + size]


def _open(batch: FlatTable, body: memoryview, limits: ArrowLimits) -> tuple[_Buffers, int]:
    """A batch's buffers and its rows, counted."""
    if batch.table(3) is not None:
        raise UnsupportedMedia("The Arrow data is compressed.", hint="write it without compression (compression=None)")
    rows = batch.number(0, INT64)
    if rows < 0:
        raise IndexError
    buffers = _Buffers(batch, body)
    limits.take(rows, buffers.size_bytes)
    return buffers, rows


def _columns(
    header: FlatTable, body: memoryview, fields: tuple[Field, ...], limits: ArrowLimits
) -> tuple[list[tuple[ArrowColumn, int | None]], int]:
    """A record batch's columns, each with the number of its dictionary, and its rows."""
    buffers, rows = _open(header, body, limits)
    limits.take(0, NULL_BYTES * rows * sum(field.type.kind == "null" for field in fields))
    limits.take_cells(rows * len(fields))
    columns = [(buffers.column(field, field.type), field.dictionary) for field in fields]
    if any(column.rows != rows for column, _ in columns):
        raise IndexError
    return columns, rows


def read_dictionary(
    header: FlatTable, body: memoryview, fields: tuple[Field, ...], limits: ArrowLimits
) -> tuple[int, ArrowColumn]:
    """A dictionary's number and its values; the rows of a dictionary are not rows of the table."""
    number, batch = header.number(0, INT64), header.table(1)
    if header.byte(2):
        raise UnsupportedMedia(
            "The Arrow data adds to a dictionary later on (delta).", hint="write the column as plain text"
        )
    field = next((one for one in fields if one.dictionary == number), None)
    if field is None or field.type.of is None or batch is None:
        raise IndexError
    uncounted = ArrowLimits(None, limits.size_bytes)
    buffers, rows = _open(batch, body, uncounted)
    limits.size_bytes = uncounted.size_bytes
    column = buffers.column(field, field.type.of)
    if column.rows != rows:
        raise IndexError
    return number, column


def _with_dictionary(column: ArrowColumn, number: int | None, dictionaries: Mapping[int, ArrowColumn]) -> ArrowColumn:
    if number is None:
        return column
    if number not in dictionaries:
        raise IndexError
    return replace(column, dictionary=dictionaries[number])


def _empty(field: Field) -> ArrowColumn:
    """A column of no rows: all its buffers are empty."""
    return ArrowColumn(field.name, field.type, 0, ())
