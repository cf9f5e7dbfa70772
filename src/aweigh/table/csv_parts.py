"""A CSV of any size, a part at a time, in the memory of one part.

What ``table/csv.py`` says of a whole CSV holds here as well, but for rows that cannot be read: there they refuse the
table, here each keeps its place and is told, since a file of a million rows shall not fail for one of them.

Text without quotes, or with quotes around cells that do not need them, is cut at delimiters and line ends alone; a part
with any other quotes is read by Python's ``csv``.
"""

import codecs
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Self

import numpy as np

from aweigh.errors import MalformedBody
from aweigh.table.columns import TextTable
from aweigh.table.csv import MAX_CELL_CHARACTERS, check_header, encoding_of, refuse_nul, sniff_delimiter

READ_BYTES = 2**18
"""Small enough that a part's cells are still in the processor's cache when they are converted."""
_QUOTE, _FEED = ord('"'), ord("\n")
MAX_LINE_CHARACTERS = 16 * 2**20
"""A longer line is no line of a table: somebody has named the wrong file."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A row that cannot be read as one: why, and what stands there."""

    code: str
    message: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CsvPart:
    """Some rows of a CSV. A row in ``unread`` (by its place in the part) holds empty cells in ``table``.

    ``lines`` is the line of the file on which each row begins, counted from 1.
    """

    table: TextTable
    lines: Sequence[int]
    unread: dict[int, Unread] = field(default_factory=dict)


class CsvParts:
    """The rows of a CSV with a header line, ``chunk_rows`` at a time; ``names`` and ``delimiter`` are known at once.

    ``marked`` tells whether the file begins with a byte-order mark, as spreadsheets write it. ``hint`` is what to do
    when it is not text.

    Raises:
        MalformedBody: not text in its encoding, no header, or names that are empty or double.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        chunk_rows: int,
        charset: str | None = None,
        delimiter: str | None = None,
        hint: str = "save the file as UTF-8",
    ) -> None:
        start = file.read(READ_BYTES)
        self.marked = start.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        self._chunk_rows = chunk_rows
        self._text = _Text(_blocks(file, start, charset, hint))
        while (block := self._text.rest()) and not block.strip("\r\n"):
            self._text.skip_rest(len(block.splitlines()))  # blank lines, before the header as anywhere else
        if not block.strip():
            raise MalformedBody("The CSV is empty.", hint="the first line must name the columns")
        self.delimiter = delimiter or sniff_delimiter(block)
        header = next(self._records())[1]
        if isinstance(header, Unread):
            raise MalformedBody(f"The header of the CSV {header.message}.", hint="the first line must name the columns")
        self.names = check_header(header)

    def __iter__(self) -> Iterator[CsvPart]:
        """The parts, in order; none for a CSV of no rows."""
        while block := self._text.rest():
            cells = _even_cells(block, self.delimiter, len(self.names))
            if cells is not None:
                yield from self._even_parts(cells)
                continue
            plain = _plain_lines(block)
            if plain is None:
                read = list(self._records())
                yield from self._parts([record for _, record in read], [line for line, _ in read])
            else:
                yield from self._parts([line.split(self.delimiter) for line in plain], self._take_rest(len(plain)))

    def _even_parts(self, cells: list[str]) -> Iterator[CsvPart]:
        """Parts of a block whose lines all have the header's number of cells."""
        width = len(self.names)
        lines = self._take_rest(len(cells) // width)
        for start in range(0, len(lines), self._chunk_rows):
            rows = lines[start : start + self._chunk_rows]
            first, end = start * width, (start + len(rows)) * width
            columns = {name: cells[first + i : end : width] for i, name in enumerate(self.names)}
            yield CsvPart(TextTable(columns, len(rows)), rows)

    def _take_rest(self, lines: int) -> range:
        """Takes the rest of the block, which has so many lines; their numbers."""
        before = self._text.lines
        self._text.skip_rest(lines)
        return range(before + 1, before + 1 + lines)

    def _records(self) -> Iterator[tuple[int, list[str] | Unread]]:
        """The records that begin in this block, blank lines left out, each with the line on which it begins."""
        csv.field_size_limit(MAX_CELL_CHARACTERS)
        reader = csv.reader(self._text, delimiter=self.delimiter, strict=True)
        while self._text.rest_in_block:
            line = self._text.lines + 1
            self._text.taken.clear()
            try:
                record = next(reader)
            except csv.Error as error:
                raw = "".join(self._text.taken).rstrip("\r\n")
                yield line, Unread("unreadable_row", f"cannot be read: {error}", (raw[:MAX_CELL_CHARACTERS],))
                continue
            if record:
                yield line, record

    def _parts(self, records: Sequence[list[str] | Unread], lines: Sequence[int]) -> Iterator[CsvPart]:
        for start in range(0, len(records), self._chunk_rows):
            rows = slice(start, start + self._chunk_rows)
            yield self._part(records[rows], lines[rows])

    def _part(self, records: Sequence[list[str] | Unread], lines: Sequence[int]) -> CsvPart:
        width = len(self.names)
        unread: dict[int, Unread] = {}
        whole = [
            record if type(record) is list and len(record) == width else self._blank(i, record, unread)
            for i, record in enumerate(records)
        ]
        columns = {name: list(cells) for name, cells in zip(self.names, zip(*whole, strict=True), strict=True)}
        return CsvPart(TextTable(columns, len(whole)), lines, unread)

    def _blank(self, place: int, record: list[str] | Unread, unread: dict[int, Unread]) -> list[str]:
        """A row of empty cells for one that cannot be read, which is noted."""
        if not isinstance(record, Unread):
            cells = f"{len(record)} cell{'s' if len(record) != 1 else ''}"
            message = f"has {cells} where the header has {len(self.names)} columns"
            record = Unread("ragged_row", message, tuple(record))
        unread[place] = record
        return [""] * len(self.names)


class _Text:
    """Blocks of whole lines, taken line by line or the rest of a block at once; an iterator of lines, as csv wants it.

    ``lines`` counts what was taken so far; ``taken`` are the lines since it was last cleared.
    """

    def __init__(self, blocks: Iterator[str]) -> None:
        self._blocks = blocks
        self._block = ""
        self._at = 0
        self.lines = 0
        self.taken: list[str] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if not self.rest_in_block:
            self._next_block()
        line = self._block[self._at : self._line_end()]
        self._at += len(line)
        self.lines += 1
        self.taken.append(line)
        return line

    def _line_end(self) -> int:
        """Where the line ends: behind a line feed, a carriage return, or both."""
        feed = self._block.find("\n", self._at)
        end = len(self._block) if feed < 0 else feed + 1
        back = self._block.find("\r", self._at, end)
        return end if back < 0 or back == feed - 1 else back + 1

    def _next_block(self) -> None:
        self._block, self._at = next(self._blocks), 0

    @property
    def rest_in_block(self) -> bool:
        """Whether something of the current block is left."""
        return self._at < len(self._block)

    def rest(self) -> str:
        """What is left of the block, or the next one when nothing is; empty at the end."""
        while not self.rest_in_block:
            try:
                self._next_block()
            except StopIteration:
                return ""
        return self._block[self._at :] if self._at else self._block

    def skip_rest(self, lines: int) -> None:
        """Takes the rest of the block, which has so many lines."""
        self._block, self._at = "", 0
        self.lines += lines


def _even_cells(block: str, delimiter: str, width: int) -> list[str] | None:
    """All cells of a block, line by line, if each line has ``width`` of them and needs no quote; None for any other.

    Without quotes Python's csv does the same: it cuts at line ends, and each line at its delimiters. A quote is not
    needed if it begins or ends a whole cell in which there is neither a quote nor a delimiter nor the end of a line.
    Many programs write text so: they quote whatever is no number.
    """
    if "\r" in block:
        block = block.replace("\r\n", "\n")
    if "\r" in block or "\n\n" in block or block.startswith("\n") or not delimiter.isascii():
        return None
    block = block.removesuffix("\n")
    # Of UTF-8 no byte below 128 is a part of another character.
    text = np.frombuffer(f"\n{block}\n".encode(), np.uint8)
    is_feed = text == _FEED
    is_end = is_feed | (text == ord(delimiter))
    ends = np.flatnonzero(is_end)
    lines = np.count_nonzero(is_feed) - 1
    if len(ends) - 1 != lines * width or not is_feed[ends[::width]].all() or np.diff(ends).max() > MAX_CELL_CHARACTERS:
        return None
    if '"' in block:
        quotes = np.flatnonzero(text == _QUOTE)
        if len(quotes) % 2:
            return None
        opening, closing = quotes[::2], quotes[1::2]
        if not (is_end[opening - 1].all() and is_end[closing + 1].all()):
            return None
        if not (np.searchsorted(ends, opening) == np.searchsorted(ends, closing)).all():
            return None
        block = block.replace('"', "")
    return block.replace("\n", delimiter).split(delimiter)


def _plain_lines(block: str) -> list[str] | None:
    """The lines of a block in which nothing is quoted and no line is blank; None for any other."""
    if "\r" in block:
        block = block.replace("\r\n", "\n")
    if '"' in block or "\r" in block or "\n\n" in block or block.startswith("\n"):
        return None
    lines = block.removesuffix("\n").split("\n")
    if len(max(lines, key=len)) > MAX_CELL_CHARACTERS:
        return None
    return lines


def _blocks(file: BinaryIO, start: bytes, charset: str | None, hint: str) -> Iterator[str]:
    """The file as text, in blocks of whole lines.

    Raises:
        MalformedBody: bytes that are not text in the encoding, an encoding that nobody knows, a NUL, an endless line.
    """
    name = encoding_of(start, charset)
    decoder = codecs.getincrementaldecoder(name)()
    kept: list[str] = []
    size = seen = 0
    data = start
    while True:
        text = _decoded(decoder, data, seen, name, hint)
        seen += len(data)
        cut = text.rfind("\n") + 1 or (text.rfind("\r", 0, -1) + 1)
        if cut:
            yield "".join([*kept, text[:cut]])
            kept, size = [], 0
        kept.append(text[cut:])
        size += len(text) - cut
        if size > MAX_LINE_CHARACTERS:
            raise MalformedBody(f"A line of the CSV has more than {MAX_LINE_CHARACTERS:,} characters.")
        if not data:
            break
        data = file.read(READ_BYTES)
    yield "".join(kept)


def _decoded(decoder: codecs.IncrementalDecoder, data: bytes, seen: int, name: str, hint: str) -> str:
    """The next text; what is not text in the encoding is told by its place in the file."""
    waiting = len(decoder.getstate()[0])
    try:
        text = decoder.decode(data, not data)
    except UnicodeError as error:
        at = seen - waiting + (error.start if isinstance(error, UnicodeDecodeError) else 0)
        raise MalformedBody(
            f"The text is not {name.removesuffix('-sig')}: byte {at:,} does not belong to it.",
            hint=hint,
        ) from error
    refuse_nul(text)
    return text
