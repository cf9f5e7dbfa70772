"""Files of rows: what kind a file is, told by its first bytes, and a sample of it.

CSV becomes a ``TextTable``, whose cells have no types yet; Parquet, Arrow and JSON become a ``Table``.
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO, RawIOBase
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from aweigh.errors import InvalidRows, MalformedBody, MissingExtra, Problem, TooLarge, UnsupportedMedia
from aweigh.table.arrow import iter_arrow
from aweigh.table.columns import Table, TextTable, concatenate
from aweigh.table.csv import MAX_LISTED_PROBLEMS
from aweigh.table.csv_parts import CsvPart, CsvParts
from aweigh.table.cut import too_much
from aweigh.table.json import read_json, read_json_line, table_of_rows
from aweigh.table.parquet import open_arrow, open_parquet

FileKind = Literal["csv", "parquet", "arrow", "json", "jsonl"]

HEAD_BYTES = 65_536
SUFFIXES: dict[str, FileKind] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow",
    ".arrows": "arrow", ".feather": "arrow", ".ipc": "arrow", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
}  # fmt: skip
"""What a file's suffix says of its kind; ``.gz`` may follow those that are text."""

MAGIC: dict[bytes, FileKind] = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow"}
FOREIGN = {
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "save the sheet as CSV"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV"),
    b"FEA1": ("Feather of the first version", "write it anew with a current pyarrow"),
    b"SQLite format 3\x00": ("an SQLite database", "export the table as CSV"),
    b"ORC": ("ORC", "write it as Parquet"),
    b"Obj\x01": ("Avro", "write it as Parquet"),
    b"\x89HDF": ("HDF5", "write it as Parquet"),
    b"\x93NUMPY": ("a numpy array", "write a table with named columns, such as CSV or Parquet"),
    **dict.fromkeys(
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        ("a pickle, which could run code when read", "write it as Parquet or CSV"),
    ),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "unpack it first, or use gzip"),
    b"BZh": ("compressed with bzip2", "unpack it first, or use gzip"),
    b"\xfd7zXZ\x00": ("compressed with xz", "unpack it first, or use gzip"),
    b"%PDF": ("a PDF", "export the table as CSV"),
}
TEXT_BYTES = bytes([9, 10, 12, 13, *range(32, 127), *range(128, 256)]).replace(b"\xff", b"")
GZIP = b"\x1f\x8b"
CHUNK_ROWS = 16_384
BRACES_A_ROW = 8
"""In JSON a row has one, and text in it may have some more."""
MOST_VALUES = 5_000_000
READ_BYTES = 2**20


def suffix_kind(path: Path) -> FileKind | None:
    """What the file's name says it is, ``.gz`` aside; None when it says nothing."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return SUFFIXES.get(suffixes[-1]) if suffixes else None


def kind_of(head: bytes, *, named: FileKind | None, name: str | None = None) -> FileKind:
    """What a file is by its first bytes; what its name says decides only between kinds of text.

    ``name`` is what the user called the file.

    Raises:
        MalformedBody: it is empty, or not what its name says.
        UnsupportedMedia: a kind of file that is not read.
    """
    if not head.strip():
        raise MalformedBody(
            "The file is empty." if name is None else f"{name!r} is empty.",
            hint="rows are needed, and in a CSV a first line that names the columns",
        )
    if head.translate(None, TEXT_BYTES):
        # Only what is binary: the header of a CSV may well start with "ORC" or "PAR1".
        for magic, kind in MAGIC.items():
            if head.startswith(magic):
                return kind
        for magic, (what, hint) in FOREIGN.items():
            if head.startswith(magic):
                raise UnsupportedMedia(f"The file is {what}.", hint=hint)
    if named in {"parquet", "arrow"}:
        raise MalformedBody(f"The file is named as {named.capitalize()} and is not.", hint="check what wrote it")
    if named == "csv":
        return "csv"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        return "json"
    if start.startswith(b"{"):
        return "jsonl" if named == "jsonl" else _object_or_lines(start)
    if named is not None:
        raise MalformedBody("The file is named as JSON and is not.", hint="check what wrote it")
    return "csv"


def _object_or_lines(start: bytes) -> FileKind:
    """A file that opens with an object: JSON lines when its first line is a whole row."""
    line, _, rest = start.partition(b"\n")
    if not rest.strip() and b'"rows"' in line:
        return "json"
    try:
        read_json_line(line)
    except MalformedBody:
        return "json"
    return "jsonl"


def open_bytes(source: Path | bytes, *, most_bytes: int | None = None) -> BufferedReader:
    """A file's bytes, of a path or all of them, as a buffered stream, unpacked when they are gzip.

    Of a packed file no more than ``most_bytes`` are unpacked: reading on raises ``TooLarge``.
    """
    raw = source.open("rb", buffering=0) if isinstance(source, Path) else cast("RawIOBase", BytesIO(source))
    file = cast("BufferedReader", BufferedReader(raw))
    if not file.peek(len(GZIP)).startswith(GZIP):
        return file
    file.close()
    return BufferedReader(cast("RawIOBase", _Bounded(source, most_bytes)), HEAD_BYTES)


class _Bounded(gzip.GzipFile):
    """A packed file that unpacks to no more than so many bytes: a thousandth of them may have been sent."""

    def __init__(self, source: Path | bytes, most_bytes: int | None) -> None:
        if isinstance(source, Path):
            super().__init__(source, "rb")
        else:
            super().__init__(fileobj=BytesIO(source))
        self._left = math.inf if most_bytes is None else most_bytes

    def readinto(self, buffer: Any) -> int:
        """Unpacks some more.

        Raises:
            TooLarge: that is more than may be.
        """
        count = super().readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise too_much()
        return count


@contextmanager
def sound_gzip() -> Iterator[None]:
    """Tells of a gzip file that is damaged.

    Raises:
        MalformedBody: it is.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MalformedBody("The gzip file is damaged.", hint="pack it anew") from error


def first_look(path: Path) -> tuple[list[str], bool] | None:
    """A CSV's names and whether any row follows them, of its beginning alone; None for other kinds of files.

    Raises:
        MalformedBody: the file is empty, damaged, or not what its name says.
        UnsupportedMedia: a kind of file that is not read.
        OSError: the file cannot be opened.
    """
    with sound_gzip(), open_bytes(path) as file:
        if kind_of(file.peek(HEAD_BYTES), named=suffix_kind(path), name=path.name) != "csv":
            return None
        parts = CsvParts(file, chunk_rows=1)
        return parts.names, next(iter(parts), None) is not None


def read_sample(
    source: Path | bytes,
    *,
    name: str | None = None,
    max_rows: int | None = None,
    most_rows: int | None = None,
    most_bytes: int | None = None,
) -> Table | TextTable:
    """A file of rows: CSV, Parquet, Arrow (stream or file), JSON or JSON lines, told by content; gzip is unpacked.

    It is a path, or all its bytes and the ``name`` it has somewhere else.
    A file of more than ``most_rows`` rows, or that unpacks to more than ``most_bytes``, is refused while it is read.
    Of more than ``max_rows`` rows every second, fourth, eighth... is kept, spread evenly over the whole file.

    Raises:
        MalformedBody: the file is empty, damaged, or not what its name says.
        UnsupportedMedia: a kind of file, or a type of column, that is not read.
        InvalidRows: CSV rows with more or fewer cells than the header.
        DataError: a JSON column of several kinds.
        TooLarge: more rows or bytes than may be.
        MissingExtra: Parquet without pyarrow.
        OSError: the file cannot be opened.
    """
    called = source if isinstance(source, Path) else Path(name or "")
    with sound_gzip(), open_bytes(source, most_bytes=most_bytes) as file:
        kind = kind_of(file.peek(HEAD_BYTES), named=suffix_kind(called), name=called.name or None)
        if kind == "csv":
            return _csv(file, max_rows=max_rows)
        if kind in {"json", "jsonl"}:
            rows = read_json(_modest(file, most_rows)) if kind == "json" else _json_lines(file, most_rows=most_rows)
            _refuse_many(len(rows), most_rows)
            return table_of_rows(rows[:: stride_for(len(rows), max_rows)])
        tables = _parquet(file) if kind == "parquet" else _arrow(file)
        return _thinned(_counted(tables, most_rows, most_bytes), max_rows=max_rows)


def _csv(file: BufferedReader, *, max_rows: int | None) -> TextTable:
    """A CSV, thinned as it comes; in a sample every row must be one."""
    parts = CsvParts(file, chunk_rows=CHUNK_ROWS)
    kept: dict[str, list[str]] = {name: [] for name in parts.names}
    stride, seen = 1, 0
    for part in parts:
        _all_read(part, seen)
        first = -seen % stride
        seen += part.table.rows
        wanted = stride_for(seen, max_rows)
        for name, cells in part.table.columns.items():
            kept[name] += cells[first::stride]
            if wanted > stride:
                kept[name] = kept[name][:: wanted // stride]
        stride = wanted
    return TextTable(kept, -(-seen // stride))


def _all_read(part: CsvPart, seen: int) -> None:
    for place, unread in part.unread.items():
        if unread.code != "ragged_row":
            raise MalformedBody(f"Line {part.lines[place]} of the CSV {unread.message}.")
    if part.unread:
        problems = [
            Problem(unread.code, f"row {seen + place} {unread.message}", row=seen + place)
            for place, unread in part.unread.items()
        ]
        raise InvalidRows(tuple(problems[:MAX_LISTED_PROBLEMS]), total=len(problems))


def _parquet(file: BufferedReader) -> Iterator[Table]:
    return open_parquet(file, chunk_rows=CHUNK_ROWS).tables()


def _arrow(file: BufferedReader) -> Iterator[Table]:
    """By pyarrow where it is installed, since it reads more: compression, dictionaries that grow."""
    try:
        return open_arrow(file, chunk_rows=CHUNK_ROWS).tables()
    except MissingExtra:
        return iter_arrow(file)


def _refuse_many(rows: int, most_rows: int | None) -> None:
    if most_rows is not None and rows > most_rows:
        raise TooLarge(f"The file has more than {most_rows:,} rows.", hint="split it")


def _modest(file: BufferedReader, most_rows: int | None) -> bytes:
    """A JSON document that may be read whole: what it becomes takes twenty times the bytes of what it is made of.

    It is counted as it comes, and read no further than it may.
    """
    if most_rows is None:
        return file.read()
    pieces: list[bytes] = []
    braces = commas = 0
    while piece := file.read(READ_BYTES):
        pieces.append(piece)
        braces += piece.count(b"{")
        commas += piece.count(b",")
        _refuse_many(braces // BRACES_A_ROW, most_rows)
        if commas > MOST_VALUES:
            raise TooLarge(
                f"The file has more than {MOST_VALUES:,} values.", hint="write it as JSON lines, or split it"
            )
    return b"".join(pieces)


def _counted(tables: Iterator[Table], most_rows: int | None, most_bytes: int | None) -> Iterator[Table]:
    """The tables, while they are not too much: a few bytes may stand for millions of rows, or for long text."""
    rows = size = 0
    for table in tables:
        rows += table.rows
        _refuse_many(rows, most_rows)
        if most_bytes is not None:
            size += sum(sum(map(len, one.data)) for one in table.columns.values() if one.data.dtype == object)
            if size > most_bytes:
                raise TooLarge("The file holds more text than is taken at once.", hint="split it")
        yield table


def _json_lines(file: BufferedReader, *, most_rows: int | None = None) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for number, line in enumerate(file, start=1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if text.strip():
            try:
                rows.append(read_json_line(text))
                _refuse_many(len(rows), most_rows)
            except MalformedBody as error:
                raise MalformedBody(f"Line {number}: {error.message}.") from error
    return rows


def stride_for(rows: int, max_rows: int | None) -> int:
    """Every how manieth row to keep so that no more than ``max_rows`` are left: a power of two."""
    stride = 1
    while max_rows is not None and -(-rows // stride) > max_rows:
        stride *= 2
    return stride


def _thinned(chunks: Iterator[Table], *, max_rows: int | None) -> Table:
    """The chunks as one table, thinned as they come so that never more than twice ``max_rows`` are held."""
    kept: list[Table] = []
    stride, seen, held = 1, 0, 0
    for chunk in chunks:
        first = -seen % stride
        taken = chunk.take(slice(first, None, stride)) if stride > 1 else chunk
        seen += chunk.rows
        kept.append(taken)
        held += taken.rows
        wanted = stride_for(seen, max_rows)
        if wanted > stride:
            together = concatenate(kept)
            kept = [together.take(np.arange(0, together.rows, wanted // stride))]
            held, stride = kept[0].rows, wanted
    return concatenate(kept)
