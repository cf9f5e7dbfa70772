"""One row of inputs: what a form starts with, and its two ways through an address and back.

A link holds one parameter a column, as people would write it: ``?bill_length_mm=39.1&island=Dream&sex=~``. A lone ``~``
is "unknown", text that starts with ``~`` gets one more, and so do the names that Streamlit keeps for itself.
"""

import datetime as dt
import math
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from aweigh.schema import Column, Schema

Cell = str | int | float | bool | None
"""A JSON value of one cell; dates and times are ISO 8601 text, None is unknown."""

Row = dict[str, Cell]

ESCAPE = "~"
LONGEST_LINK = 6000
"""Characters of an address that every browser, proxy and chat passes on whole."""

_KEPT_BY_STREAMLIT = ("embed",)


def start_cell(column: Column) -> Cell:
    """What an input starts with: the owner's default, the typical value, unknown, or the least that fits the type."""
    if column.default is not None:
        return column.default
    if column.typical is not None:
        return column.typical
    if column.nullable:
        return None
    if column.is_number:
        return column.minimum if isinstance(column.minimum, int | float) else 0
    if column.type == "boolean":
        return False
    if column.is_time:
        return str(column.minimum or "2000-01-01")
    return column.categories[0] if column.categories else ""


def start_row(schema: Schema) -> Row:
    """The row that a form opens with."""
    return {column.name: start_cell(column) for column in schema.columns}


def example_row(schema: Schema, given: Mapping[str, Cell]) -> Row:
    """A golden row with every column there: one that it leaves out is unknown."""
    return {column.name: given.get(column.name) for column in schema.columns}


def to_query(schema: Schema, row: Row) -> str | None:
    """The query part of an address that reopens the row; None when it would be too long to travel.

    Where the whole row is too long, only what differs from the start of the form is said. Cells of personal columns are
    in no address: proxies and browsers write those down.
    """
    start = start_row(schema)
    shared = {column.name for column in schema.columns if column.personal is None}
    row = {name: cell for name, cell in row.items() if name in shared}
    differing = {name: cell for name, cell in row.items() if cell != start[name] or type(cell) is not type(start[name])}
    for cells in (row, differing):
        query = urlencode([(_parameter(name), _said(cell)) for name, cell in cells.items()], quote_via=quote)
        if len(query) <= LONGEST_LINK:
            return f"?{query}"
    return None


def from_query(schema: Schema, parameters: Mapping[str, str]) -> tuple[Row, list[str]]:
    """The row that an address asks for, over the start of the form; and the names of columns that could not be read."""
    row = start_row(schema)
    unread: list[str] = []
    for column in schema.columns:
        said = parameters.get(_parameter(column.name))
        if said is None:
            continue
        try:
            row[column.name] = _meant(column, said)
        except ValueError:
            unread.append(column.name)
    return row, unread


def _parameter(name: str) -> str:
    kept = name.casefold().startswith(_KEPT_BY_STREAMLIT)
    return ESCAPE + name if kept or name.startswith(ESCAPE) else name


def _said(cell: Cell) -> str:
    if cell is None:
        return ESCAPE
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str):
        return ESCAPE + cell if cell.startswith(ESCAPE) else cell
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    return repr(cell)


def _meant(column: Column, said: str) -> Cell:
    if said == ESCAPE:
        return None
    text = said.removeprefix(ESCAPE)
    if column.type == "integer":
        return int(text)
    if column.type == "number":
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(text)
        return number
    if column.type == "boolean":
        if text not in {"true", "false"}:
            raise ValueError(text)
        return text == "true"
    if column.type == "date":
        return dt.date.fromisoformat(text).isoformat()
    if column.type == "datetime":
        return dt.datetime.fromisoformat(text).isoformat()
    return text
