"""JSON rows: an array of objects, ``{"rows": [...]}``, or one object a line."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from aweigh.errors import DataError, MalformedBody
from aweigh.table.columns import Table, Values

Row = Mapping[str, object]

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
NAMES = {bool: "true or false", int: "whole numbers", float: "numbers", str: "text", list: "lists", dict: "objects"}


def read_json(body: bytes) -> list[dict[str, Any]]:
    """The rows of a JSON document: an array of objects, or an object whose ``rows`` is one.

    Raises:
        MalformedBody: not JSON, or JSON of another shape.
    """
    try:
        document = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"The JSON cannot be read: {reason(error)}.") from error
    rows = document.get("rows") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MalformedBody(
            "The JSON is not a table.",
            hint='write [{"column": value, ...}, ...], or {"rows": [...]}, or one object a line',
        )
    return rows


def read_json_line(line: bytes) -> dict[str, Any]:
    """The row of one line.

    Raises:
        MalformedBody: not JSON, or not an object.
    """
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"the line is not JSON: {reason(error)}") from error
    if not isinstance(row, dict):
        raise MalformedBody("the line is not a JSON object")
    return row


def reason(error: Exception) -> str:
    """What is wrong with the JSON, as the end of a sentence."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = str(error).removeprefix("JSON is malformed: ")
    return text[:1].lower() + text[1:]


def table_of_rows(rows: Sequence[Row]) -> Table:
    """Rows as columns, in the order of their first appearance; what a row does not have, or has as null, is missing.

    A column of whole numbers and fractions is one of numbers.

    Raises:
        DataError: a column holds values of several kinds, lists or objects, or whole numbers beyond 64 bits.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return Table({name: _values(name, [row.get(name) for row in rows]) for name in names}, len(rows))


def _values(name: str, cells: list[object]) -> Values:
    missing = np.array([cell is None for cell in cells], dtype=bool)
    kinds = {type(cell) for cell in cells} - {type(None)}
    if kinds == {int, float}:
        kinds = {float}
    if len(kinds) > 1 or kinds & {list, dict}:
        what = " and ".join(sorted(NAMES[kind] for kind in kinds))
        raise DataError(f"Column {name!r} holds {what}.", hint="a column must hold values of one kind: numbers or text")
    kind = kinds.pop() if kinds else float
    if kind is int and not all(cell is None or INT64_MIN <= cell <= INT64_MAX for cell in cells):  # type: ignore[operator]
        raise DataError(f"Column {name!r} holds whole numbers that do not fit 64 bits.", hint="write them as text")
    blank, dtype = {int: (0, "int64"), float: (0.0, "float64"), bool: (False, "bool"), str: ("", "object")}[kind]
    filled = [blank if cell is None else cell for cell in cells]
    try:
        data = np.array(filled, dtype=dtype)
    except OverflowError as error:  # whole numbers among others, larger than any of those
        raise DataError(f"Column {name!r} holds numbers that do not fit 64 bits.", hint="write them as text") from error
    return Values(data, missing if missing.any() else None)
