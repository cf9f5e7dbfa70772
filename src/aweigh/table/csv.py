"""CSV as it comes: byte-order marks, other delimiters and encodings, ragged rows told by their number.

``read_csv`` turns bytes into a ``TextTable``; what a cell means is the schema's to say. ``write_csv`` writes plain rows
and disarms cells that a spreadsheet would run.
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from aweigh.errors import InvalidRows, MalformedBody, Problem, TooLarge
from aweigh.table.columns import TextTable

MISSING_WORDS = frozenset(
    {
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
        "NULL", "NaN", "None", "n/a", "nan", "null",
    }
)  # fmt: skip
"""Cells that mean "missing": the words that ``pandas.read_csv`` takes so by default, as models were trained with it."""

DELIMITERS = (",", ";", "\t", "|")
_FIRST_LINE = re.compile(r"[\r\n]*+([^\r\n]*+)")
_CONTROL = re.compile(r"[\x01-\x08\x0e-\x1f]")
SEEN_BYTES = 4096
"""Of what is marked as UTF-16 so much is looked at to see whether it is text."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  the wide ones as well
MAX_CELL_CHARACTERS = 1_000_000
MAX_LISTED_PROBLEMS = 100
MAX_COLUMNS = 10_000
AS_UTF8 = "save the table as CSV in UTF-8"
HEADER_HINT = "give every column its name, in the first line of the file"


CHARSETS = re.compile(
    r"ascii|utf-8(-sig)?|utf-(16|32)(-[lb]e)?|iso8859-\d+|cp(125\d|437|850|852|855|866|874|932|936|949|950)|mac-roman"
    r"|koi8-[ru]|shift_jis(_2004|x0213)?|euc_(jp|kr|jis_2004|jisx0213)|gb2312|gbk|gb18030|big5(hkscs)?|tis-620"
)
"""Encodings of tables, by Python's name. Others are refused: some of Python's take time that grows with the square of
the text (``punycode``, ``idna``), and some are no encodings of text at all."""


def known_charset(charset: str) -> str:
    """Python's name for a charset that tables come in; UTF-8 may have a byte-order mark.

    Raises:
        MalformedBody: none that is read here.
    """
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        name = ""
    if not CHARSETS.fullmatch(name):
        raise MalformedBody(f"The encoding {charset[:40]!r} is not known.", hint="send UTF-8")
    return "utf-8-sig" if name == "utf-8" else name


def encoding_of(start: bytes, charset: str | None) -> str:
    """The name of the codec: the charset named, else what a byte-order mark says, else UTF-8.

    Raises:
        MalformedBody: an encoding that nobody knows, a mark of UTF-32, or one of UTF-16 before what is no text.
    """
    if charset is not None:
        return known_charset(charset)
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise MalformedBody("The text is marked as UTF-32, or binary.", hint=AS_UTF8)
    if not start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-8-sig"
    seen = start[:SEEN_BYTES].decode("utf-16", "ignore")
    if seen and (not any(map(str.isascii, seen)) or _CONTROL.search(seen)):
        # A table has line ends and delimiters; what has none of those, or others, only begins like UTF-16.
        raise MalformedBody("The file begins as UTF-16 does, and is no text.", hint=AS_UTF8)
    return "utf-16"


def decode_text(body: bytes, *, charset: str | None = None) -> str:
    """Bytes to text: the charset named, else what a byte-order mark says, else UTF-8.

    Raises:
        MalformedBody: the bytes are not text in that encoding, or the encoding is not known.
    """
    charset = encoding_of(body, charset)
    try:
        # Not body.decode: without a byte-order mark that takes this machine's order, and read in parts it is refused.
        text = codecs.getincrementaldecoder(charset)().decode(body, True)
    except UnicodeError as error:
        at = error.start if isinstance(error, UnicodeDecodeError) else 0
        raise MalformedBody(
            f"The text is not {charset.removesuffix('-sig')}: byte {at} does not belong to it.",
            hint="save the file as UTF-8, or name its encoding: Content-Type: text/csv; charset=windows-1252",
        ) from error
    refuse_nul(text)
    return text


def refuse_nul(text: str) -> None:
    """Passes text that could be a table's.

    Raises:
        MalformedBody: it holds a NUL, as no table's text does, and that of an encoding read as another's.
    """
    if "\x00" in text:
        raise MalformedBody("The text holds a NUL character: it is binary, or UTF-16 without its mark.", hint=AS_UTF8)


def sniff_delimiter(text: str) -> str:
    """The delimiter that the first line with something in it uses most, outside quotes; a comma when none is there."""
    found = _FIRST_LINE.match(text)
    header = found[1] if found else ""
    outside = "".join(part for i, part in enumerate(header.split('"')) if i % 2 == 0)
    return max(DELIMITERS, key=lambda delimiter: (outside.count(delimiter), delimiter == ","))


def iter_records(lines: Iterable[str], *, delimiter: str) -> Iterator[list[str]]:
    """Records of a CSV, blank lines left out.

    Raises:
        MalformedBody: quoting that never closes, or a cell of more than a million characters.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise MalformedBody(f"Line {reader.line_num} of the CSV cannot be read: {error}.") from error
        if record:
            yield record


def check_header(header: Sequence[str]) -> list[str]:
    """The column names, stripped.

    Raises:
        MalformedBody: a name is empty or stands twice.
        TooLarge: there are more than 10,000.
    """
    if len(header) > MAX_COLUMNS:
        raise TooLarge(f"The CSV has more than {MAX_COLUMNS:,} columns.")
    names = [name.strip() for name in header]
    if not all(names):
        raise MalformedBody(
            f"Column {names.index('') + 1} of the CSV has no name.",
            hint="the first line must name every column; pandas writes one without a name unless to_csv(index=False)",
        )
    if len(set(names)) < len(names):
        twice = min(name for name, times in Counter(names).items() if times > 1)
        raise MalformedBody(
            f"The CSV has more than one column named {twice[:60]!r}.",
            hint=HEADER_HINT if looks_like_data(names) else "rename one of them",
        )
    return names


def read_csv(body: bytes, *, charset: str | None = None, max_rows: int | None = None) -> TextTable:
    """A whole CSV with a header line as text cells; the delimiter is found among comma, semicolon, tab and bar.

    Raises:
        MalformedBody: not text, no header, or names that are empty or double.
        InvalidRows: rows with more or fewer cells than the header.
        TooLarge: more than ``max_rows`` rows.
    """
    text = decode_text(body, charset=charset)
    if not text.strip():
        raise MalformedBody("The CSV is empty.", hint="the first line must name the columns")
    records = iter_records(io.StringIO(text, newline=""), delimiter=sniff_delimiter(text))
    names = check_header(next(records))
    rows: list[list[str]] = []
    problems: list[Problem] = []
    ragged = 0
    for record in records:
        if len(record) != len(names):
            ragged += 1
            if len(problems) < MAX_LISTED_PROBLEMS:
                problems.append(ragged_problem(len(rows), cells=len(record), columns=len(names)))
        rows.append(record)
        if max_rows is not None and len(rows) > max_rows:
            raise TooLarge(f"More than {max_rows:,} rows.", hint="send fewer rows at a time")
    if problems:
        raise InvalidRows(tuple(problems), total=ragged)
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return TextTable({name: list(cells) for name, cells in zip(names, columns, strict=True)}, len(rows))


def ragged_problem(row: int, *, cells: int, columns: int) -> Problem:
    """What to say of a row whose number of cells is not the header's."""
    many = f"{cells} cell{'s' if cells != 1 else ''}"
    return Problem("ragged_row", f"row {row} has {many} where the header has {columns} columns", row=row)


def disarm(cell: object) -> object:
    """A text cell that a spreadsheet would run as a formula, made harmless by a leading apostrophe; others unchanged.

    The rule is OWASP's "CSV Injection": cells that start with ``= + - @``, tab or carriage return. Numbers are
    not text and stay numbers.
    """
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return "'" + cell
    return cell


def looks_like_data(header: Sequence[str]) -> bool:
    """Whether all names of a header are numbers, as they are where the first line is a row already."""
    return all(map(is_number, header))


def is_number(text: str) -> bool:
    """Whether a cell's text is a number, as Python reads one."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def named_as(given: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Header names, which are read without the blanks around them, to the wanted names that have such blanks."""
    taken = set(wanted)
    bare: dict[str, list[str]] = {}
    for name in taken:
        bare.setdefault(name.strip(), []).append(name)
    return {name: bare[name][0] for name in given if name not in taken and len(bare.get(name, ())) == 1}


def write_csv(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV text with a header; None becomes an empty cell, text that is a formula is disarmed."""
    records: list[list[object]] = [[disarm(name) for name in names]]
    records += [["" if cell is None else disarm(cell) for cell in row] for row in rows]
    # Python's writer leaves a lone carriage return without the quotes that it needs.
    lone = any(isinstance(cell, str) and "\r" in cell for record in records for cell in record)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL if lone else csv.QUOTE_MINIMAL)
    writer.writerows(records)
    return out.getvalue()
