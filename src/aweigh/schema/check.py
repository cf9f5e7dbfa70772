"""Rows against the schema: every way in ends here, so that a row means the same however it came.

JSON rows, CSV cells and typed columns (Arrow, Parquet, a DataFrame) each become the same ``Table``: float64, int64,
bool, datetime64[us] or object (of str) columns in the schema's order, with a mask where cells are missing. Missing
is JSON null, an absent nullable column, an empty CSV cell (or a word of ``MISSING_WORDS``), an Arrow null, NaN.
"""

import difflib
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aweigh.errors import InvalidRows, Problem
from aweigh.schema.cells import BadCell, Parse, json_parser, text_parser, value_parser
from aweigh.schema.column import Column, Schema
from aweigh.schema.whole import Whole, blank, whole_text, whole_values
from aweigh.table import Table, TextTable, Values
from aweigh.table.csv import named_as

CellAt = Callable[[int], object]

MAX_LISTED_PROBLEMS = 100
"""How many problems one answer lists; the rest are counted."""

MAX_NAME_CHARACTERS = 100
"""Longer names are not compared with the model's: no column was meant by them, and comparing them costs."""

MAX_NAMES_COMPARED = 200
"""How many of a client's own names are looked at for one that a required column was meant by."""

ABSENT = object()
"""Stands where a JSON row does not have a column at all."""


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """A table and what is wrong with it: cells of a bad row hold missing values and mean nothing.

    ``bad`` is a mask of rows, shape (rows,). ``whole`` are problems of whole columns: with one of them no row is good.
    ``problems`` lists at most as many as were asked for, ``total`` counts all.
    """

    table: Table
    bad: NDArray[np.bool_]
    problems: tuple[Problem, ...]
    total: int
    whole: bool


class _Findings:
    """Problems as they are found; keeps the first of them and counts the rest."""

    def __init__(self, rows: int, *, first_row: int = 0, most: int | None = MAX_LISTED_PROBLEMS) -> None:
        self.first_row = first_row
        self.most = most
        self.bad = np.zeros(rows, dtype=bool)
        self.problems: list[Problem] = []
        self.total = 0
        self.whole = False

    def add(self, problem: Problem) -> None:
        if self.count(problem.row):
            self.problems.append(problem)

    def count(self, row: int | None) -> bool:
        """Counts a problem; whether it is to be listed, and so worth the search for the right words."""
        self.total += 1
        if row is None:
            self.whole = True
            self.bad[:] = True
        else:
            self.bad[row] = True
        return self.most is None or len(self.problems) < self.most

    def cell(self, column: Column, row: int, code: str, message: str) -> None:
        """One bad cell: ``message`` ends the sentence; rows are counted from ``first_row``."""
        if self.count(row):
            number = self.first_row + row
            sentence = f"column {column.name!r}, row {number}: {message}"
            self.problems.append(Problem(code, sentence, row=number, column=column.name))


def check(schema: Schema, given: Table | TextTable) -> Table:
    """The table in the schema's columns, order and types.

    Raises:
        InvalidRows: any cell, column or row that the schema refuses, all of them listed (up to a limit).
    """
    return _all_good(schema, examine(schema, given))


def check_rows(schema: Schema, rows: Sequence[Mapping[str, object]]) -> Table:
    """JSON rows as a table.

    Raises:
        InvalidRows: any cell, column or row that the schema refuses.
    """
    return _all_good(schema, examine_rows(schema, rows))


def _all_good(schema: Schema, examined: Examined) -> Table:
    if examined.total:
        predicted = next((one for one in examined.problems if _is_predicted(one.column, schema)), None)
        hint = None if predicted is None else f"leave {predicted.column!r} out of what you send"
        raise InvalidRows(examined.problems, total=examined.total, hint=hint)
    return examined.table


def examine(
    schema: Schema, given: Table | TextTable, *, first_row: int = 0, most: int | None = MAX_LISTED_PROBLEMS
) -> Examined:
    """The table in the schema's types, and every problem; nothing is raised for bad cells.

    A table that is a part of a larger one has its rows numbered from ``first_row``; ``most`` problems are listed, None
    means all of them.
    """
    findings = _Findings(given.rows, first_row=first_row, most=most)
    if isinstance(given, TextTable):
        given = given.renamed(named_as(given.columns, schema.names))
    _unknown_columns(schema, given.columns, findings)
    columns: dict[str, Values] = {}
    for column in schema.columns:
        if column.name not in given.columns:
            _absent_column(column, schema, given.columns, findings)
            columns[column.name] = _nothing(column, given.rows)
        elif isinstance(given, TextTable):
            columns[column.name] = _read_text(column, given.columns[column.name], findings)
        else:
            columns[column.name] = _convert(column, given.columns[column.name], findings)
    return _examined(columns, given.rows, findings)


def examine_rows(
    schema: Schema,
    rows: Sequence[Mapping[str, object]],
    *,
    first_row: int = 0,
    most: int | None = MAX_LISTED_PROBLEMS,
) -> Examined:
    """JSON rows in the schema's types, and every problem, as ``examine`` does it; nothing is raised for bad cells."""
    findings = _Findings(len(rows), first_row=first_row, most=most)
    known = set(schema.names)
    for i, row in enumerate(rows):
        if row.keys() <= known:
            continue
        for name in row:
            if name not in known and findings.count(i):
                findings.problems.append(_unknown(name, schema, row=first_row + i, given=row))
    columns: dict[str, Values] = {}
    for column in schema.columns:
        cells = [row.get(column.name, ABSENT) for row in rows]
        if ABSENT in cells:
            for i, cell in enumerate(cells):
                if cell is ABSENT:
                    cells[i] = None
                    if not column.nullable:
                        if findings.count(i):
                            findings.problems.append(_absent(column, schema, row=first_row + i, given=rows[i]))
                        cells[i] = ABSENT
        columns[column.name] = _parse_cells(column, cells, json_parser(column), findings)
    return _examined(columns, len(rows), findings)


def _examined(columns: dict[str, Values], rows: int, findings: _Findings) -> Examined:
    problems = sorted(findings.problems, key=lambda problem: (problem.row is not None, problem.row or 0))
    return Examined(Table(columns, rows), findings.bad, tuple(problems), findings.total, findings.whole)


# -- columns ---------------------------------------------------------------------------------------------------------


def nearest(name: str, names: Sequence[str]) -> str | None:
    """The one of ``names`` that ``name`` was most likely meant to be, if any is near."""
    if len(name) > MAX_NAME_CHARACTERS:
        return None
    folded = {one.casefold().replace(" ", "_").replace("-", "_"): one for one in names}
    found = difflib.get_close_matches(
        name.casefold().replace(" ", "_").replace("-", "_"), list(folded), n=1, cutoff=0.6
    )
    return folded[found[0]] if found else None


def _shown(name: str) -> str:
    """A client's own word, short enough to be said back."""
    return repr(name if len(name) <= 60 else name[:57] + "...")


def _is_predicted(name: str | None, schema: Schema) -> bool:
    """Whether a column is what the model predicts, and no input of it: tables that it was trained on have that."""
    return name in {schema.output.name, *schema.output.names} and name not in schema.names


def _unknown(name: str, schema: Schema, *, row: int | None, given: Collection[str]) -> Problem:
    if _is_predicted(name, schema):
        message = f"{_shown(name)} is what the model predicts: leave it out"
        return Problem("unknown_column", message, row=row, column=name[:60])
    near = nearest(name, [one for one in schema.names if one not in given])
    ask = f"; did you mean {near!r}?" if near else ""
    return Problem("unknown_column", f"the model has no column {_shown(name)}{ask}", row=row, column=name[:60])


def _absent(column: Column, schema: Schema, *, row: int | None, given: Collection[str]) -> Problem:
    some = itertools.islice(given, len(schema.names) + MAX_NAMES_COMPARED)
    near = nearest(column.name, [one for one in some if len(one) <= MAX_NAME_CHARACTERS and one not in schema.names])
    ask = f"; is {_shown(near)} meant to be it?" if near else ""
    return Problem("missing_column", f"column {column.name!r} is required{ask}", row=row, column=column.name)


def _unknown_columns(schema: Schema, given: Mapping[str, object], findings: _Findings) -> None:
    known = set(schema.names)
    for name in given:
        if name not in known and findings.count(None):
            findings.problems.append(_unknown(name, schema, row=None, given=given))


def _absent_column(column: Column, schema: Schema, given: Collection[str], findings: _Findings) -> None:
    if not column.nullable:
        findings.add(_absent(column, schema, row=None, given=given))


def _nothing(column: Column, rows: int) -> Values:
    return Values(blank(column, rows), np.ones(rows, dtype=bool))


# -- cells -----------------------------------------------------------------------------------------------------------


def _parse_cells(column: Column, cells: Sequence[object], parse: Parse, findings: _Findings) -> Values:
    """A column cell by cell."""
    data = blank(column, len(cells))
    missing = np.zeros(len(cells), dtype=bool)
    for row, cell in enumerate(cells):
        value = None if cell is ABSENT else _parsed(column, row, cell, parse, findings)
        if value is None:
            missing[row] = True
        else:
            data[row] = value
    return Values(_rounded(column, data), missing if missing.any() else None)


def _parsed(column: Column, row: int, cell: object, parse: Parse, findings: _Findings) -> object | None:
    """What a cell means; None when it is missing or, which is found, means nothing."""
    try:
        value = parse(cell)
    except BadCell as bad:
        findings.cell(column, row, bad.code, bad.message)
        return None
    if value is None and not column.nullable:
        findings.cell(column, row, "missing_value", "a value is required")
    return value


def _judged(column: Column, whole: Whole, cell_at: CellAt, parse: Parse, findings: _Findings) -> Values:
    """A column converted whole, its doubtful cells judged one by one."""
    data = whole.data
    missing = np.zeros(len(data), dtype=bool) if whole.missing is None else whole.missing.copy()
    doubtful = np.zeros(len(data), dtype=bool) if whole.doubtful is None else whole.doubtful
    looked_at = doubtful if column.nullable else doubtful | missing
    for row in np.flatnonzero(looked_at).tolist():
        if not doubtful[row]:
            findings.cell(column, row, "missing_value", "a value is required")
            continue
        value = _parsed(column, row, cell_at(row), parse, findings)
        missing[row] = value is None
        if value is not None:
            data[row] = value
    if not missing.any():
        return Values(_rounded(column, data))
    data[missing] = blank(column, 1)[0]
    return Values(_rounded(column, data), missing)


def _rounded(column: Column, data: NDArray[np.generic]) -> NDArray[np.generic]:
    """Numbers as the sample's own precision holds them: a float32 column gets float32's values on every path."""
    if column.dtype == "float32" and column.type == "number":
        return data.astype(np.float32).astype(np.float64)
    return data


def _read_text(column: Column, cells: Sequence[str], findings: _Findings) -> Values:
    """CSV cells."""
    parse = text_parser(column)
    whole = whole_text(column, cells, parse)
    if whole is None:
        return _parse_cells(column, cells, parse, findings)
    return _judged(column, whole, cells.__getitem__, parse, findings)


def _convert(column: Column, given: Values, findings: _Findings) -> Values:
    """A typed column."""
    parse = value_parser(column)
    whole = whole_values(column, given)
    if whole is None:
        return _parse_cells(column, given.cells(), parse, findings)
    return _judged(column, whole, lambda row: given.data[row : row + 1].tolist()[0], parse, findings)
