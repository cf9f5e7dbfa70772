"""What reading a Parquet file takes at once, told by the headers of its pages before any of them is unpacked.

A page is unpacked whole, and a batch of rows is made whole: sixty kilobytes may hold a page of two gigabytes, or pages
of a megabyte with one cell in each. What the footer says of sizes is not believed; a page's own header is what it is
unpacked by.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader

from aweigh.errors import MalformedBody, TooLarge
from aweigh.table.parquet_head import Thrift, read_footer

BATCH_BYTES = 32 * 2**20
"""What the cells of a batch take at most, as far as pages tell."""
COMMON_PAGE_BYTES = 2 * 2**20
"""Pages up to there are what programs write by themselves: a megabyte, and what came with the last row."""
MAX_PAGES_BYTES = 2**30
MAX_LONG_PAGES_BYTES = 256 * 2**20
MAX_CODED_BYTES = 32 * 2**20
"""Text that stands for itself and is read as codes is kept until the group's end: no more than that."""
MAX_PAGES = 4_000_000
HEADER_BYTES = 512
MAX_HEADER_BYTES = 16 * 2**20

_DICTIONARY = 2
_CELLS = {0: (5, 2), 3: (8, 4)}
"""Of pages with cells, by their type: the field that tells of them, and in it that of their encoding."""
_CODED = {2, 8}
_PREFIXED = 7
"""``Encoding.DELTA_BYTE_ARRAY``: a cell is a beginning of the one before it, and some more."""
_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_BYTES, _FIXED = 6, 7
_WIDTHS = {0: 1, 1: 4, 2: 8, 3: 12, 4: 4, 5: 8, _BYTES: 4}
"""``Type``: what a cell of it takes; of text and bytes, its code."""
_I32, _I64, _LIST, _STRUCT, _TRUTHS = 5, 6, 9, 12, {1, 2}
WRONG = (IndexError, KeyError, ValueError, TypeError)
"""What reading damaged headers raises."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A column of a group of rows, as the footer tells of it: its pages are from ``start`` to ``end``."""

    kind: int
    codec: int
    values: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Way:
    """How a group is read: so many rows at once, the text of which columns as codes, and whether ``alone``."""

    rows: int
    coded: frozenset[int]
    alone: bool


@dataclass(slots=True)
class _Most:
    """The largest page of each kind in bytes, what one cell takes at most, and all text that stands for itself."""

    cell: float
    data: int = 0
    dictionary: int = 0
    plain: int = 0
    is_plain: bool = True
    """Whether that text is stored as it is, which is all that is read as codes."""
    words: tuple[int, int] | None = None
    """Where the dictionary's bytes are, and how many."""


@dataclass(frozen=True, slots=True)
class _Page:
    """A page's header: its bytes unpacked and packed, its cells and their encoding (0 and None without cells)."""

    kind: int
    size: int
    packed: int
    values: int
    encoding: int | None


@dataclass(slots=True)
class Pages:
    """The pages of an open file; ``bounded`` refuses such as take much, as those of a stranger's file.

    ``lengths`` are those of cells of fixed size, by column, ``groups`` how many there are to be. ``coded`` columns come
    as codes anyway, others may; inside of ``nested`` ones codes do not change in a batch. The footer is read here: to
    tell of one that is damaged pyarrow ends the process.
    """

    file: BufferedReader
    lengths: Sequence[int]
    groups: int
    coded: frozenset[int]
    may_be_coded: frozenset[int]
    nested: frozenset[int]
    bounded: bool
    seen: int = 0

    def ways(self, chunk_rows: int) -> Iterator[Way]:
        """How each group of rows is read, up to so many rows at once.

        Raises:
            TooLarge: pages that are too large, or too many of them.
            MalformedBody: the file is damaged.
        """
        footer = read_footer(self.file)
        if footer is None:
            raise _damaged()
        try:
            for _, (rows, chunks) in zip(range(self.groups), _groups(Thrift(footer)), strict=True):
                yield self._way(rows, chunks, chunk_rows)
        except WRONG as error:
            raise _damaged() from error

    def _way(self, rows: int, chunks: list[_Chunk], chunk_rows: int) -> Way:
        row_bytes, whole, long, kept = 0.0, 0, 0, 0
        coded = set()
        for place, chunk in enumerate(chunks):
            most = self._most(chunk, self.lengths[place] if chunk.kind == _FIXED else _WIDTHS[chunk.kind])
            whole += most.data + most.dictionary
            long += sum(one for one in (most.data, most.dictionary) if one > COMMON_PAGE_BYTES)
            if place in self.coded:
                long += most.plain if most.plain > MAX_CODED_BYTES else 0
            elif self._is_codable(place, most) and kept + most.plain <= MAX_CODED_BYTES:
                kept += most.plain
                coded.add(place)
            elif most.words is not None and chunk.kind == _BYTES:
                most.cell = max(most.cell, self._longest(chunk, most))
            row_bytes += most.cell * max(1.0, chunk.values / max(1, rows))
        if self.bounded and (whole > MAX_PAGES_BYTES or long > MAX_LONG_PAGES_BYTES):
            raise TooLarge(
                "The Parquet file has pages that unpack to more than is taken at once.",
                hint="write it with smaller pages (data_page_size), or send CSV packed with gzip",
            )
        at_once = max(1, min(chunk_rows, int(BATCH_BYTES / max(row_bytes, 1.0))))
        return Way(at_once, frozenset(coded), at_once < chunk_rows or not self.nested.isdisjoint(coded))

    def _is_codable(self, place: int, most: _Most) -> bool:
        """Whether a column's text can be read as codes, and it pays: some of it is stored as such."""
        if most.words is None or place not in self.may_be_coded:
            return False
        return most.plain == 0 if place in self.nested else most.is_plain

    def _most(self, chunk: _Chunk, width: int) -> _Most:
        found = _Most(cell=width)
        for page, body in self._pages(chunk):
            if page.kind == _DICTIONARY:
                found.dictionary = max(found.dictionary, page.size)
                found.words = body, page.packed
            if page.kind not in _CELLS:
                continue
            found.data = max(found.data, page.size)
            if chunk.kind == _BYTES and page.encoding not in _CODED:
                cells = 1 if page.encoding == _PREFIXED and self.bounded else max(1, page.values)
                found.cell = max(found.cell, page.size / cells + width)
                found.plain += page.size
                found.is_plain = found.is_plain and page.encoding == 0
        return found

    def _longest(self, chunk: _Chunk, most: _Most) -> int:
        """The longest word of a dictionary; where it is not looked for, what all take together."""
        if most.words is None or most.dictionary > COMMON_PAGE_BYTES or chunk.codec not in {0, *_CODECS}:
            return most.dictionary
        self.file.seek(most.words[0])
        words = self.file.read(most.words[1])
        if chunk.codec:
            from pyarrow import Codec

            words = bytes(Codec(_CODECS[chunk.codec]).decompress(words, most.dictionary))
        at = longest = 0
        while at + 4 <= len(words):
            size = int.from_bytes(words[at : at + 4], "little")
            longest = max(longest, size)
            at += 4 + size
        return min(longest, most.dictionary)

    def _pages(self, chunk: _Chunk) -> Iterator[tuple[_Page, int]]:
        """The pages that are read of a column, as its reader finds them, and where the bytes of each are."""
        at, values = chunk.start, 0
        while values < chunk.values and at < chunk.end:
            self.seen += 1
            if self.bounded and self.seen > MAX_PAGES:
                raise TooLarge(
                    f"The Parquet file has more than {MAX_PAGES:,} pages.", hint="write it with larger pages"
                )
            page, length = self._header(at)
            if page is None:
                return
            yield page, at + length
            values += page.values
            at += length + page.packed

    def _header(self, at: int) -> tuple[_Page | None, int]:
        """The header at that place and its length; None where the file ends."""
        size = HEADER_BYTES
        while True:
            self.file.seek(at)
            head = self.file.read(size)
            if not head:
                return None, 0
            thrift = Thrift(head)
            try:
                return _page(thrift), thrift.place
            except IndexError:
                if len(head) < size or size > MAX_HEADER_BYTES:
                    raise
                size *= 8


def _groups(footer: Thrift) -> Iterator[tuple[int, list[_Chunk]]]:
    """Each group's rows and columns, one group after the other: there may be very many."""
    for number, kind in footer.heads():
        if number != 4:
            _pass(footer, kind)
            continue
        count, inner = footer.count()
        if (kind, inner) != (_LIST, _STRUCT):
            raise ValueError
        for _ in range(count):
            yield _group(footer)


def _group(footer: Thrift) -> tuple[int, list[_Chunk]]:
    rows, chunks = 0, []
    for number, kind in footer.heads():
        if number == 1 and kind == _LIST:
            count, inner = footer.count()
            if inner != _STRUCT:
                raise ValueError
            chunks = [_chunk(footer) for _ in range(count)]
        elif number == 3 and kind == _I64:
            rows = footer.value(kind)
        else:
            _pass(footer, kind)
    return rows, chunks


def _chunk(footer: Thrift) -> _Chunk:
    about: dict[int, int] = {}
    for number, kind in footer.heads():
        if (number, kind) == (3, _STRUCT):
            about = _numbers(footer, {1: _I32, 4: _I32, 5: _I64, 7: _I64, 9: _I64, 11: _I64})
        else:
            _pass(footer, kind)
    start = about[9]
    if 0 < about.get(11, 0) < start:
        start = about[11]
    return _Chunk(about[1], about[4], about[5], start, start + about[7])


def _page(thrift: Thrift) -> _Page:
    found: dict[int, int] = {}
    cells: dict[int, dict[int, int]] = {}
    for number, kind in thrift.heads():
        if number in {1, 2, 3} and kind == _I32:
            found[number] = thrift.value(kind)
        elif number in {5, 8} and kind == _STRUCT:
            cells[number] = _numbers(thrift, {1: _I32, 2: _I32, 4: _I32})
        else:
            _pass(thrift, kind)
    place, encoded = _CELLS.get(found[1], (0, 0))
    told = cells[place] if place else {}
    values, encoding = told.get(1, 0), told.get(encoded)
    if min(*found.values(), values) < 0:
        raise ValueError
    return _Page(found[1], found[2], found[3], values, encoding)


def _numbers(thrift: Thrift, wanted: Mapping[int, int]) -> dict[int, int]:
    """Those of a struct's fields that are numbers of these types; a field of another type is none."""
    found = {}
    for number, kind in thrift.heads():
        if wanted.get(number) == kind:
            found[number] = thrift.value(kind)
        else:
            _pass(thrift, kind)
    return found


def _pass(thrift: Thrift, kind: int) -> None:
    if kind not in _TRUTHS:
        thrift.value(kind)


def _damaged() -> MalformedBody:
    return MalformedBody("The Parquet file is damaged.", hint="write it anew")
