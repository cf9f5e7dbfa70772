"""One cell at a time: what a JSON value, a CSV cell or a typed value means in a column, or why it means nothing.

A parser takes a cell and returns the value, or None when it is missing, and raises ``BadCell`` when it is neither.
JSON is taken at its word (text is never a number); a CSV cell is text by nature and is read as the column's type.
"""

import datetime as dt
import math
import re
from collections.abc import Callable

import numpy as np

from aweigh.schema.column import Column
from aweigh.table import MISSING_WORDS

Parse = Callable[[object], object | None]

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
RESERVED_TEXT = "\ufdd0"
"""A Unicode noncharacter that stands for a missing string inside ONNX graphs; no client may send it as a whole cell."""
FLOAT32_MAX = float(np.finfo(np.float32).max)
FLOAT64_MAX = float(np.finfo(np.float64).max)
MAX_SHOWN_CHARACTERS = 40
MAX_DIGITS = 1000
"""Longer than any number of 64 bits with zeros before it, and shorter than what Python refuses to convert."""
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  the columns are naive: dtype datetime64 has no zone
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?\Z", re.ASCII)


class BadCell(Exception):  # noqa: N818  it is control flow inside this layer, not an error of the tree
    """A cell that means nothing in its column; ``message`` ends the sentence "column 'x', row 3: ..."."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def shown(value: object) -> str:
    """A value as a message says it back: JSON's word for it, cut when long."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 3] + "..."


EXPECTED = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "category": "text",
    "text": "text",
    "date": "a date such as 2026-01-31",
    "datetime": "a point in time such as 2026-01-31T12:00:00",
}
"""What a column of each type takes, in words."""


def _wrong(column: Column, value: object) -> BadCell:
    return BadCell("wrong_type", f"expected {EXPECTED[column.type]}, got {shown(value)}")


def json_parser(column: Column) -> Parse:
    """A parser of JSON values for the column."""
    return _with_limits(column, _json_number_or(column))


def _json_number_or(column: Column) -> Parse:
    if column.is_number:
        return lambda cell: _number(column, cell)
    if column.type == "boolean":
        return lambda cell: _boolean(column, cell)
    if column.is_text:
        return lambda cell: _text(column, cell)
    return lambda cell: _time(column, cell)


def value_parser(column: Column) -> Parse:
    """A parser of typed values (Arrow, Parquet, a DataFrame): JSON's, and NaN means missing."""
    parse = json_parser(column)
    return lambda cell: None if isinstance(cell, float) and math.isnan(cell) else parse(cell)


def missing_words(column: Column) -> frozenset[str]:
    """The CSV cells that mean "missing" in the column."""
    return MISSING_WORDS - frozenset(column.categories or ()) - frozenset(column.present_words or ()) | {""}


def text_parser(column: Column) -> Parse:
    """A parser of CSV cells for the column.

    Words such as ``NA`` mean missing (``MISSING_WORDS``), unless the column's categories hold that very word.
    """
    words = missing_words(column)
    parse = json_parser(column)
    read = _READ.get(column.type)

    def parse_text(cell: object) -> object | None:
        text = str(cell)
        if read is None:
            return None if text in words else parse(text)
        text = text.strip()
        if text in words:
            return None
        value = read(text)
        if value is None:
            raise _wrong(column, str(cell))
        return parse(value)

    return parse_text


def read_number(text: str) -> float | None:
    """A decimal number as text, or None: no thousands separators, no infinity, no underscores."""
    return float(text) if _NUMBER.match(text) else None


def read_integer(text: str) -> int | None:
    """A whole number as text (``12``, ``12.0``), or None.

    Raises:
        BadCell: it has so many digits that Python refuses to convert it.
    """
    if not _WHOLE.match(text):
        return None
    if len(text) > MAX_DIGITS:
        raise BadCell("out_of_range", f"{shown(text)} does not fit 64 bits")
    return int(text.partition(".")[0])


def read_boolean(text: str) -> bool | None:
    """``true`` or ``false`` in any case, or None."""
    return {"true": True, "false": False}.get(text.lower())


_READ: dict[str, Callable[[str], object | None]] = {
    "number": read_number,
    "integer": read_integer,
    "boolean": read_boolean,
}


def _number(column: Column, cell: object) -> float | int | None:
    if cell is None:
        return None
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise _wrong(column, cell)
    if column.type == "integer":
        if isinstance(cell, float) and not cell.is_integer():
            raise _wrong(column, cell)
        whole = int(cell)
        if not INT64_MIN <= whole <= INT64_MAX:
            raise BadCell("out_of_range", f"{shown(cell)} does not fit 64 bits")
        return whole
    try:
        number = float(cell)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadCell("not_finite", "the number is not finite")
    if column.dtype == "float32" and abs(number) > FLOAT32_MAX:
        raise BadCell("out_of_range", f"{shown(cell)} does not fit 32 bits")
    return number


def _boolean(column: Column, cell: object) -> bool | None:
    if cell is None or isinstance(cell, bool):
        return cell
    raise _wrong(column, cell)


def _text(column: Column, cell: object) -> str | None:
    if cell is None:
        return None
    if not isinstance(cell, str):
        raise _wrong(column, cell)
    if cell == RESERVED_TEXT or not _encodable(cell):
        raise BadCell("wrong_type", "the text holds a character that no text may hold")
    return cell


def _encodable(text: str) -> bool:
    """Whether the text is valid Unicode without NUL, which neither ONNX nor a C string can hold."""
    if text.isascii():
        return "\x00" not in text
    return "\x00" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def _time(column: Column, cell: object) -> np.datetime64 | None:
    if cell is None:
        return None
    if isinstance(cell, dt.datetime):
        moment = cell
    elif isinstance(cell, dt.date):
        moment = dt.datetime(cell.year, cell.month, cell.day)  # noqa: DTZ001  see EPOCH
    elif isinstance(cell, str):
        moment = _parse_time(column, cell)
    else:
        raise _wrong(column, cell)
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
        except OverflowError:
            raise BadCell("out_of_range", "in UTC it lies outside the years 1 to 9999") from None
    if column.type == "date" and moment.time() != dt.time():
        raise _wrong(column, cell if isinstance(cell, str) else cell.isoformat())
    return np.datetime64(moment, "us")


def _parse_time(column: Column, cell: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(cell)
    except ValueError:
        raise _wrong(column, cell) from None


def _with_limits(column: Column, parse: Parse) -> Parse:
    """Refuses what lies beyond the limits that the owner set; without limits the parser itself."""
    if column.closed and column.categories is not None:
        allowed = frozenset(column.categories)

        def parse_closed(cell: object) -> object | None:
            value = parse(cell)
            if value is not None and value not in allowed:
                some = ", ".join(repr(one) for one in sorted(allowed)[:8]) + (", ..." if len(allowed) > 8 else "")
                raise BadCell("not_allowed", f"{shown(value)} is none of {some}")
            return value

        return parse_closed
    if column.lower_limit is None and column.upper_limit is None:
        return parse
    low = parse(column.lower_limit)
    high = parse(column.upper_limit)

    def parse_limited(cell: object) -> object | None:
        value = parse(cell)
        if value is None:
            return None
        if low is not None and value < low:  # type: ignore[operator]
            raise BadCell("out_of_range", f"{shown(cell)} is below the least allowed, {column.lower_limit}")
        if high is not None and value > high:  # type: ignore[operator]
            raise BadCell("out_of_range", f"{shown(cell)} is above the most allowed, {column.upper_limit}")
        return value

    return parse_limited
