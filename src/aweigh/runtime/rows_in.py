"""Files of rows on their way to a model: a part at a time, in order, whatever their kind, in the memory of one part."""

import gzip
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

from aweigh.errors import MalformedBody, MissingExtra, UnsupportedMedia
from aweigh.table import Table, TextTable
from aweigh.table.arrow import iter_arrow
from aweigh.table.arrow_unpacked import require_small_messages
from aweigh.table.csv_parts import CsvParts, Unread
from aweigh.table.cut import PART_BYTES, Unpacked, cut_table, too_much
from aweigh.table.files import HEAD_BYTES, FileKind, kind_of, open_bytes, sound_gzip, suffix_kind
from aweigh.table.json import read_json, read_json_line
from aweigh.table.parquet import RecordBatches, open_arrow, open_parquet

STDIN = Path("-")
MAX_JSON_BYTES = 100_000_000
"""A JSON array is read whole; a larger one is better written as JSON lines."""
ENCODING_HINT = "save the file as UTF-8, or name its encoding: --encoding windows-1252"
MAX_LINE_BYTES = 16 * 2**20
LOOKS = 4
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__\Z")

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some rows of a file, the first of which is row ``first`` of all, counted from 0.

    ``given`` is what they say: text (CSV), typed columns (Arrow without pyarrow), pyarrow's record batch, or JSON rows.
    A row in ``unread`` (by its place in the part) could not be read; it holds nothing in ``given``. ``lines`` are the
    lines of the file where rows begin, where it has any.
    """

    first: int
    rows: int
    given: "TextTable | Table | Batch | Rows"
    lines: Sequence[int] | None = None
    unread: Mapping[int, Unread] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A record batch of pyarrow's."""

    batch: Any


@dataclass(frozen=True, slots=True, eq=False)
class RowsIn:
    """A file that is open: its ``kind``, its columns' ``names`` (None: each row its own), its ``parts``, at least one.

    ``known`` are columns that are there for a reason of their own: an index that pandas kept. ``rows`` is how many
    there are, where the file says so. ``delimiter`` and ``marked`` (a byte-order mark) are a CSV's.
    """

    kind: FileKind
    names: tuple[str, ...] | None
    parts: Iterator[Part]
    known: frozenset[str] = frozenset()
    rows: int | None = None
    delimiter: str = ","
    marked: bool = False
    position: Callable[[], float | None] = lambda: None
    """How much of the file has been read, from 0 to 1; None when nobody knows."""


@contextmanager
def open_rows(
    path: Path,
    *,
    chunk_rows: int,
    charset: str | None = None,
    delimiter: str | None = None,
    most_bytes: int | None = None,
) -> Iterator[RowsIn]:
    """Opens a file of rows; ``-`` is standard input. Its rows unpack to no more than ``most_bytes``, of whatever kind.

    With that bound the file is a stranger's, and what would take much memory at once is refused, too.

    Raises:
        TooLarge: it unpacks to more; what shows later is raised by the parts.
        MalformedBody: the file is empty, damaged, or not what its name says.
        UnsupportedMedia: a kind of file that is not read, or not from standard input.
        MissingExtra: Parquet without pyarrow.
        OSError: the file cannot be opened.
    """
    if path == STDIN:
        yield _opened(cast("BufferedReader", sys.stdin.buffer), None, _How(chunk_rows, charset, delimiter))
        return
    with sound_gzip(), open_bytes(path, most_bytes=most_bytes) as file:
        yield _opened(file, path, _How(chunk_rows, charset, delimiter, most_bytes))


@dataclass(frozen=True, slots=True)
class _How:
    """How a file is read."""

    chunk_rows: int
    charset: str | None
    delimiter: str | None
    most_bytes: int | None = None


def _opened(file: BufferedReader, path: Path | None, how: _How) -> RowsIn:
    chunk_rows, most_bytes = how.chunk_rows, how.most_bytes
    named, name = (suffix_kind(path), path.name) if path else (None, None)
    kind = kind_of(file.peek(HEAD_BYTES), named=named, name=name)
    position = _position(file, path)
    is_typed = kind in {"parquet", "arrow"}  # counted by its cells
    if not is_typed and path is not None and most_bytes is not None and path.stat().st_size > most_bytes:
        raise too_much()
    if kind == "csv":
        parts = CsvParts(file, chunk_rows=chunk_rows, charset=how.charset, delimiter=how.delimiter, hint=ENCODING_HINT)
        return RowsIn(kind, tuple(parts.names), _csv_parts(parts), delimiter=parts.delimiter, marked=parts.marked,
                      position=position)  # fmt: skip
    if kind == "jsonl":
        return RowsIn(kind, None, _json_line_parts(file, chunk_rows), position=position)
    if kind == "json":
        return _json_rows(file, chunk_rows)
    if kind == "parquet" and path is None:
        raise UnsupportedMedia("Parquet is not read from standard input.", hint="name the file")
    if kind == "arrow" and path is not None and most_bytes is not None:
        # Looking through a packed file takes unpacking it, from the start again for its end.
        with open_bytes(path, most_bytes=LOOKS * most_bytes) as again:
            require_small_messages(again)
    try:
        opener = open_parquet if kind == "parquet" else open_arrow
        batches = opener(file, chunk_rows=chunk_rows, most_bytes=most_bytes)
    except MissingExtra:
        if kind == "parquet":
            raise
        return _arrow_tables(file, position, chunk_rows, Unpacked(most_bytes))
    index = batches.notes.index
    names = named_columns(batches.schema.names, index)
    return RowsIn(kind, names, _batch_parts(batches), known=index, rows=batches.rows, position=position)


def named_columns(names: Iterable[str], index: frozenset[str]) -> tuple[str, ...]:
    """The columns of a file without an index of pandas' that has no name."""
    return tuple(name for name in names if not (name in index and _UNNAMED_INDEX.match(name)))


def _position(file: BufferedReader, path: Path | None) -> Callable[[], float | None]:
    if path is None or not path.is_file():
        return lambda: None
    size = path.stat().st_size
    raw: Any = file.raw.fileobj if isinstance(file.raw, gzip.GzipFile) else file
    return lambda: min(1.0, raw.tell() / size)


# -- parts -----------------------------------------------------------------------------------------------------------


def _csv_parts(parts: CsvParts) -> Iterator[Part]:
    first = 0
    for part in parts:
        yield Part(first, part.table.rows, part.table, part.lines, part.unread)
        first += part.table.rows
    if first == 0:
        yield Part(0, 0, TextTable({name: [] for name in parts.names}, 0))


def _batch_parts(batches: RecordBatches) -> Iterator[Part]:
    first = 0
    for batch in batches:
        yield Part(first, batch.num_rows, Batch(batch))
        first += batch.num_rows
    if first == 0:
        yield Part(0, 0, Batch(batches.empty()))


def _arrow_tables(
    file: BufferedReader, position: Callable[[], float | None], chunk_rows: int, unpacked: Unpacked
) -> RowsIn:
    """Arrow without pyarrow: the names are those of the first batch, which is read ahead."""
    tables = iter_arrow(file)
    head = next(tables)

    def parts() -> Iterator[Part]:
        first = 0
        for whole in itertools.chain([head], tables):
            for table in cut_table(whole, rows=chunk_rows, unpacked=unpacked):
                yield Part(first, table.rows, table)
                first += table.rows

    return RowsIn("arrow", tuple(head.columns), parts(), position=position)


def _json_rows(file: BufferedReader, chunk_rows: int) -> RowsIn:
    body = file.read(MAX_JSON_BYTES + 1)
    if len(body) > MAX_JSON_BYTES:
        raise UnsupportedMedia(
            "The JSON file is too large to be read whole.", hint="write JSON lines: one object a line"
        )
    rows = read_json(body)
    starts = range(0, max(len(rows), 1), chunk_rows)
    parts = (Part(start, len(rows[start : start + chunk_rows]), rows[start : start + chunk_rows]) for start in starts)
    return RowsIn("json", None, parts, rows=len(rows))


def _json_line_parts(file: BufferedReader, chunk_rows: int) -> Iterator[Part]:
    first = number = 0
    while True:
        rows: list[dict[str, Any]] = []
        lines: list[int] = []
        unread: dict[int, Unread] = {}
        size = 0
        while len(rows) < chunk_rows and size < PART_BYTES and (line := file.readline(MAX_LINE_BYTES)):
            number += 1
            size += len(line)
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                raise MalformedBody(f"Line {number} has more than {MAX_LINE_BYTES:,} bytes.")
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not line.strip():
                continue
            try:
                row = read_json_line(line)
            except MalformedBody as error:
                unread[len(rows)] = Unread("unreadable_row", f"cannot be read: {error.message}", (_shown(line),))
                row = {}
            rows.append(row)
            lines.append(number)
        if not rows and first:
            return
        yield Part(first, len(rows), rows, lines, unread)
        if not rows:
            return
        first += len(rows)


def _shown(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r\n")
