"""Files of rows: what kind a file is, told by its first bytes, and a sample of it.

CSV becomes a ``TextTable``, whose cells have no types yet; Parquet, Arrow and JSON become a ``Table``.
"""

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Literal, cast

import numpy as np

from aweigh.errors import InvalidRows, MalformedBody, MissingExtra, Problem, UnsupportedMedia
from aweigh.table.arrow import iter_arrow
from aweigh.table.columns import Table, TextTable, concatenate
from aweigh.table.csv import MAX_LISTED_PROBLEMS
from aweigh.table.csv_parts import CsvPart, CsvParts
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


def suffix_kind(path: Path) -> FileKind | None:
    """What the file's name says it is, ``.gz`` aside; None when it says nothing."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return SUFFIXES.get(suffixes[-1]) if suffixes else None


def kind_of(head: bytes, *, named: FileKind | None) -> FileKind:
    """What a file is by its first bytes; what its name says decides only between kinds of text.

    Raises:
        MalformedBody: it is empty, or not what its name says.
        UnsupportedMedia: a kind of file that is not read.
    """
    if not head.strip():
        raise MalformedBody("The file is empty.")
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


def open_bytes(path: Path) -> BufferedReader:
    """The file's bytes as a buffered stream, unpacked when they are gzip."""
    file = path.open("rb")
    if not file.peek(len(GZIP)).startswith(GZIP):
        return file
    file.close()
    return BufferedReader(cast("RawIOBase", gzip.open(path)), HEAD_BYTES)


def read_sample(path: Path, *, max_rows: int | None = None) -> Table | TextTable:
    """A file of rows: CSV, Parquet, Arrow (stream or file), JSON or JSON lines, told by content; gzip is unpacked.

    Of more than ``max_rows`` rows every second, fourth, eighth... is kept, spread evenly over the whole file.

    Raises:
        MalformedBody: the file is empty, damaged, or not what its name says.
        UnsupportedMedia: a kind of file, or a type of column, that is not read.
        InvalidRows: CSV rows with more or fewer cells than the header.
        DataError: a JSON column of several kinds.
        MissingExtra: Parquet without pyarrow.
        OSError: the file cannot be opened.
    """
    try:
        with open_bytes(path) as file:
            kind = kind_of(file.peek(HEAD_BYTES), named=suffix_kind(path))
            if kind == "csv":
                return _csv(file, max_rows=max_rows)
            if kind in {"json", "jsonl"}:
                rows = read_json(file.read()) if kind == "json" else _json_lines(file)
                return table_of_rows(rows[:: stride_for(len(rows), max_rows)])
            tables = _parquet(file) if kind == "parquet" else _arrow(file)
            return _thinned(tables, max_rows=max_rows)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MalformedBody("The gzip file is damaged.", hint="pack it anew") from error


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


def _json_lines(file: BufferedReader) -> list[dict[str, object]]:
    rows = []
    for number, line in enumerate(file, start=1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if text.strip():
            try:
                rows.append(read_json_line(text))
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
