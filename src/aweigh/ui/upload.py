"""A dropped file as rows: CSV of any delimiter and the usual encodings, Parquet, Arrow or JSON. It is never on a disk.

What is wrong with single rows is kept beside them, so that the others can be answered; only a file that cannot be read
at all is an error.
"""

import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from aweigh.errors import MalformedBody, TooLarge
from aweigh.table import Table, TextTable
from aweigh.table.csv import check_header, encoding_of, iter_records, refuse_nul, sniff_delimiter
from aweigh.table.csv_parts import MAX_LINE_CHARACTERS
from aweigh.table.cut import too_much
from aweigh.table.files import HEAD_BYTES, FileKind, kind_of, open_bytes, read_sample, suffix_kind

MOST_ROWS = 100_000
"""What one session may hold; beyond it `aweigh predict` is the tool, and says so."""

MOST_TEXT_BYTES = 256 * 2**20
MOST_CELLS = 10_000_000
_SPLIT = "split it, or score it with aweigh predict, which takes any size"
FALLBACK_CHARSET = "windows-1252"
_DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """The rows of a file. ``told`` says in a few words how it was read; ``doubt`` what should be looked at.

    ``ragged`` are rows whose number of cells is not the header's, each with its number of cells.
    """

    name: str
    kind: FileKind
    table: Table | TextTable
    told: str
    doubt: str | None = None
    ragged: dict[int, int] | None = None

    @property
    def rows(self) -> int:
        """How many rows."""
        return self.table.rows

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in order."""
        return tuple(self.table.columns)


def read_upload(name: str, body: bytes) -> Upload:
    """The file as rows.

    Raises:
        MalformedBody: it is empty, damaged, or not what its name says.
        UnsupportedMedia: a kind of file, or a type of column, that is not read.
        TooLarge: more rows than one session may hold.
    """
    try:
        with open_bytes(body, most_bytes=MOST_TEXT_BYTES) as file:
            kind = kind_of(file.peek(HEAD_BYTES), named=suffix_kind(Path(name)))
            packed = isinstance(file.raw, gzip.GzipFile)
        if kind == "csv":
            if not packed and len(body) > MOST_TEXT_BYTES:
                raise too_much()
            return _csv(name, body)
        table = read_sample(body, name=name, most_rows=MOST_ROWS, most_bytes=MOST_TEXT_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MalformedBody("The gzip file is damaged.", hint="pack it anew") from error
    except TooLarge as error:
        error.hint = _SPLIT
        raise
    _refuse_cells(table.rows, len(table.columns))
    return Upload(name, kind, table, kind.upper() if kind.startswith("json") else kind.capitalize())


def _refuse_many(rows: int) -> None:
    if rows > MOST_ROWS:
        raise TooLarge(
            f"The file has more than {MOST_ROWS:,} rows, which is what this page takes at once.",
            hint=_SPLIT,
        )


def _refuse_cells(rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        raise TooLarge(f"The file has more than {MOST_CELLS:,} cells, which is what this page takes.", hint=_SPLIT)


def _csv(name: str, body: bytes) -> Upload:
    try:
        return _rows(name, body, charset=None)
    except UnicodeError:
        return _rows(name, body, charset=FALLBACK_CHARSET)


def _rows(name: str, body: bytes, *, charset: str | None) -> Upload:
    """The rows, read line by line: what is packed is never there as a whole.

    Raises:
        UnicodeError: it is not text in the encoding that its first bytes tell, and no ``charset`` was named.
    """
    doubt = None
    if charset is not None:
        doubt = "The file is not UTF-8 and was read as Windows-1252: look at a word with an accent before you trust it."
    with open_bytes(body, most_bytes=MOST_TEXT_BYTES) as file:
        encoding = charset or encoding_of(file.peek(HEAD_BYTES), None)
        text = io.TextIOWrapper(file, encoding, errors="replace" if charset else "strict", newline="")
        lines = _lines(text)
        first = next((line for line in lines if line.strip("\r\n")), "")
        delimiter = sniff_delimiter(first)
        upload = _upload(name, iter_records(itertools.chain([first], lines), delimiter=delimiter), delimiter)
        return replace(upload, doubt=doubt)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(MAX_LINE_CHARACTERS):
        number += 1
        refuse_nul(line)
        if len(line) == MAX_LINE_CHARACTERS and not line.endswith(("\r", "\n")):
            raise MalformedBody(f"Line {number} of the CSV has more than {MAX_LINE_CHARACTERS:,} characters.")
        yield line


def _upload(name: str, records: Iterator[list[str]], delimiter: str) -> Upload:
    header = next(records, None)
    if header is None:
        raise MalformedBody("The file is empty.", hint="the first line must name the columns")
    names = check_header(header)
    columns: list[list[str]] = [[] for _ in names]
    one_of_each: dict[str, str] = {}  # most cells of most files stand there more than once
    ragged: dict[int, int] = {}
    rows = 0
    for record in records:
        if len(record) != len(names):
            ragged[rows] = len(record)
            record = (record + [""] * len(names))[: len(names)]  # noqa: PLW2901  as many cells as the others
        for column, cell in zip(columns, record, strict=True):
            column.append(one_of_each.setdefault(cell, cell))
        rows += 1
        _refuse_many(rows)
        _refuse_cells(rows, len(names))
    table = TextTable(dict(zip(names, columns, strict=True)), rows)
    told = f"CSV separated by {_DELIMITER_NAMES[delimiter]}" if len(names) > 1 else "CSV of one column"
    return Upload(name, "csv", table, told, None, ragged or None)
