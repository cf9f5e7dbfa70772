"""A job's file without somebody's rows: which rows those are, and the same file without them.

CSV and JSON lines lose the lines that those rows stand on, and no other byte; Parquet and Arrow are written anew, a
batch at a time. What cannot be edited (a packed file, one that is cut short) is said to be so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from aweigh.errors import DataError, MissingExtra
from aweigh.jobs.job import Wish
from aweigh.runtime.rows_in import Batch, Part, Rows, RowsIn, open_rows
from aweigh.runtime.score import CHUNK_ROWS
from aweigh.runtime.subject import Subject
from aweigh.table import Table, TextTable
from aweigh.table.files import GZIP
from aweigh.table.json import read_json
from aweigh.table.parquet import import_pyarrow, open_arrow, open_parquet


@dataclass(frozen=True, slots=True)
class Theirs:
    """A subject's rows in a file of ``rows``: their places, and the lines that they stand on where there are lines.

    ``kind`` is the file's, ``has_column`` whether it has the subject's column at all.
    """

    kind: str
    rows: int
    places: tuple[int, ...]
    lines: tuple[tuple[int, int | None], ...] = ()
    has_column: bool = True


def find_rows(path: Path, subject: Subject, *, wish: Wish) -> Theirs:
    """The subject's rows in a file of rows.

    Raises:
        DataError, OSError, MissingExtra: it cannot be read to its end.
    """
    with open_rows(path, chunk_rows=CHUNK_ROWS, charset=wish.charset, delimiter=wish.delimiter) as rows_in:
        return _found(rows_in, subject)


def _found(rows_in: RowsIn, subject: Subject) -> Theirs:
    places: list[int] = []
    starts: list[int] = []
    rows = 0
    named = rows_in.names is not None and any(map(subject.is_named, rows_in.names))
    for part in rows_in.parts:
        found = set(_places(part, subject))
        found |= {place for place, unread in part.unread.items() if _within(unread.cells, subject)}
        places += sorted(part.first + place for place in found)
        starts += part.lines or ()
        rows += part.rows
        named = named or (
            rows_in.names is None and any(subject.is_named(name) for row in cast("Rows", part.given) for name in row)
        )
    lines: tuple[tuple[int, int | None], ...] = ()
    if starts:
        ends = [*starts[1:], None]
        lines = tuple((starts[place], ends[place]) for place in places)
    return Theirs(rows_in.kind, rows, tuple(places), lines, named or bool(places))


def _within(cells: Sequence[str], subject: Subject) -> bool:
    """Whether a row that could not be read is theirs: then it is not known which cell is which."""
    return subject.in_cells(cells) or any(subject.in_text(cell) for cell in cells)


def _places(part: Part, subject: Subject) -> Iterator[int]:
    given = part.given
    if isinstance(given, Batch):
        cells = _of_batch(given.batch, subject)
    elif isinstance(given, TextTable):
        cells = [column for name, column in given.columns.items() if subject.is_named(name)]
    elif isinstance(given, Table):
        cells = [values.cells() for name, values in given.columns.items() if subject.is_named(name)]
    else:
        yield from (place for place, row in enumerate(given) if subject.in_row(row))
        return
    for place, some in enumerate(zip(*cells, strict=True)):
        if subject.in_cells(some):
            yield place


def _of_batch(batch: Any, subject: Subject) -> list[Sequence[object]]:
    names = batch.schema.names
    return [batch.column(i).to_pylist() for i, name in enumerate(names) if subject.is_named(name)]


# -- the same file without them --------------------------------------------------------------------------------------


def without_rows(path: Path, out: Path, theirs: Theirs, subject: Subject, *, wish: Wish) -> bool:
    """Writes the file without those rows; whether that could be done, which is looked at in what was written."""
    with path.open("rb") as file:
        if file.read(len(GZIP)) == GZIP:
            return False
    try:
        if theirs.kind in {"csv", "jsonl"}:
            _drop_lines(path, out, theirs.lines)
        elif theirs.kind == "json":
            _drop_json(path, out, set(theirs.places))
        else:
            _drop_batches(path, out, theirs)
        left = find_rows(out, subject, wish=wish)
    except (DataError, OSError, MissingExtra):
        return False
    return not left.places and left.rows == theirs.rows - len(theirs.places)


def _drop_lines(path: Path, out: Path, spans: Sequence[tuple[int, int | None]]) -> None:
    """Leaves out lines, counted from 1; a span without an end goes to the last."""
    waiting = iter(spans)
    span = next(waiting, None)
    with path.open("rb") as given, out.open("wb") as kept:
        for number, line in enumerate(given, start=1):
            while span is not None and span[1] is not None and number >= span[1]:
                span = next(waiting, None)
            if span is None or number < span[0]:
                kept.write(line)


def _drop_json(path: Path, out: Path, places: set[int]) -> None:
    rows = read_json(path.read_bytes())
    out.write_bytes(msgspec.json.encode([row for place, row in enumerate(rows) if place not in places]))


def _drop_batches(path: Path, out: Path, theirs: Theirs) -> None:
    pa = import_pyarrow()
    with path.open("rb") as plain, out.open("wb") as kept:
        reader = (open_parquet if theirs.kind == "parquet" else open_arrow)(cast("Any", plain), chunk_rows=CHUNK_ROWS)
        batches, first = iter(reader), 0
        with _writer(pa, kept, reader.schema, theirs.kind, is_file=_is_arrow_file(path)) as writer:
            for batch in batches:
                here = {place - first for place in theirs.places if first <= place < first + batch.num_rows}
                mask = pa.array([place not in here for place in range(batch.num_rows)])
                writer.write_batch(batch.filter(mask))
                first += batch.num_rows


def _is_arrow_file(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6) == b"ARROW1"


def _writer(pa: Any, stream: BinaryIO, schema: Any, kind: str, *, is_file: bool) -> Any:
    if kind == "parquet":
        return pa.parquet.ParquetWriter(stream, schema)
    return pa.ipc.new_file(stream, schema) if is_file else pa.ipc.new_stream(stream, schema)


# -- the file of bad rows --------------------------------------------------------------------------------------------


def find_bad(path: Path, subject: Subject) -> list[int]:
    """The lines, counted from 0, of the file of bad rows that tell of the subject's."""
    found = []
    with path.open("rb") as file:
        for number, line in enumerate(file):
            values = msgspec.json.decode(line).get("values")
            theirs = (
                subject.in_row(values) if isinstance(values, dict) else _within(list(map(str, values or ())), subject)
            )
            if theirs:
                found.append(number)
    return found


def without_bad(path: Path, out: Path, lines: Sequence[int]) -> None:
    """Writes the file of bad rows without those lines."""
    gone = set(lines)
    with path.open("rb") as given, out.open("wb") as kept:
        kept.writelines(line for number, line in enumerate(given) if number not in gone)


def holds_bytes(path: Path, subject: Subject) -> bool:
    """Whether the value stands in a file's bytes as it is, as text is stored: for files that nobody reads by rows."""
    wanted = subject.value.reveal().strip().encode()
    tail = b""
    with path.open("rb") as file:
        for piece in iter(lambda: file.read(2**20), b""):
            if wanted in tail + piece:
                return True
            tail = piece[-len(wanted) :]
    return False
