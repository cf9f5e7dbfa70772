"""A file's columns and cells against the model's inputs: what was found, what is missing, what is left over.

Cells are read by the same checks as the API's, so that what is shown as wrong here is what would be refused there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aweigh.errors import Problem
from aweigh.schema import Schema
from aweigh.schema.check import examine, nearest
from aweigh.schema.domain import Domain
from aweigh.table import Table, TextTable
from aweigh.ui.upload import Upload

SHOWN_PROBLEMS = 8


@dataclass(frozen=True, slots=True)
class Match:
    """One input of the model: ``source`` is the file's column that it is read from, ``near`` one that may be meant."""

    name: str
    source: str | None
    near: str | None
    nullable: bool


@dataclass(frozen=True, slots=True)
class BadCell:
    """A cell that cannot be read: ``row`` counts from 0, ``text`` is what stands there."""

    row: int
    column: str | None
    text: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The file as the model takes it. ``bad`` is a mask of rows that cannot be asked, shape (rows,).

    ``cells`` are the first of ``total`` cells that cannot be read, or that are ``refused`` for lying outside what the
    model has seen. ``reasons`` says for each bad row what is wrong,
    as far as it was listed.
    """

    upload: Upload
    matches: tuple[Match, ...]
    extra: tuple[str, ...]
    table: Table
    bad: NDArray[np.bool_]
    cells: tuple[BadCell, ...]
    total: int
    reasons: Mapping[int, str]
    refused: int = 0

    @property
    def lacking(self) -> tuple[Match, ...]:
        """Inputs that the model needs and the file does not have."""
        return tuple(match for match in self.matches if match.source is None and not match.nullable)

    @property
    def good(self) -> int:
        """How many rows can be asked."""
        return int(self.upload.rows - self.bad.sum())


def matched(schema: Schema, upload: Upload, *, taken: Mapping[str, str]) -> tuple[Match, ...]:
    """Each input and the column it is read from: of the same name, or the one in ``taken`` (input to file's column)."""
    left = [name for name in upload.names if name not in schema.names and name not in taken.values()]
    found = []
    for column in schema.columns:
        source = column.name if column.name in upload.names else taken.get(column.name)
        near = nearest(column.name, left) if source is None else None
        found.append(Match(column.name, source, near, column.nullable))
    return tuple(found)


def fitted(domain: Domain, upload: Upload, *, taken: Mapping[str, str]) -> Fitted:
    """The file against the schema, and against what the model has seen where the policy refuses what lies beyond."""
    schema = domain.schema
    matches = matched(schema, upload, taken=taken)
    used = {match.source for match in matches}
    table: Table | TextTable
    if isinstance(upload.table, TextTable):
        table = TextTable({name: upload.table.columns[source] for name, source in _pairs(matches)}, upload.rows)
    else:
        table = Table({name: upload.table.columns[source] for name, source in _pairs(matches)}, upload.rows)
    examined = examine(schema, table)
    bad = examined.bad.copy()
    ragged = upload.ragged or {}
    bad[list(ragged)] = True
    cells = [_ragged(row, count, len(upload.names)) for row, count in ragged.items()]
    in_cells = [one for one in examined.problems if one.row is not None and one.row not in ragged]
    cells += [_bad_cell(one, table) for one in in_cells]
    beyond = _beyond(domain, examined.table, bad)
    cells += [_bad_cell(one, table) for one in beyond]
    reasons: dict[int, str] = {}
    for cell in cells:
        reasons[cell.row] = f"{reasons[cell.row]}; {cell.message}" if cell.row in reasons else cell.message
    whole = sum(1 for one in examined.problems if one.row is None)
    return Fitted(
        upload=upload,
        matches=matches,
        extra=tuple(name for name in upload.names if name not in used),
        table=examined.table,
        bad=bad,
        cells=tuple(sorted(cells, key=lambda cell: cell.row)[:SHOWN_PROBLEMS]),
        total=examined.total - whole + len(ragged) + len(beyond),
        reasons=reasons,
        refused=len(beyond),
    )


def _beyond(domain: Domain, table: Table, bad: NDArray[np.bool_]) -> list[Problem]:
    """What the policy refuses of the rows that can be read; they become bad ones."""
    find = domain.compile("reject", limit=None)
    rows = np.flatnonzero(~bad)
    if find is None or not len(rows):
        return []
    found = []
    for one in find(table.take(rows)):
        row = int(rows[one.row or 0])
        bad[row] = True
        found.append(replace(one, row=row))
    return found


def _pairs(matches: tuple[Match, ...]) -> list[tuple[str, str]]:
    return [(match.name, match.source) for match in matches if match.source is not None]


def _ragged(row: int, count: int, columns: int) -> BadCell:
    cells = f"{count} cell{'' if count == 1 else 's'}"
    return BadCell(row, None, "", f"the row has {cells}, the header {columns}")


def _bad_cell(problem: Problem, table: Table | TextTable) -> BadCell:
    text = ""
    row = problem.row or 0
    if problem.column is not None and problem.column in table.columns:
        column = table.columns[problem.column]
        cell = column[row] if isinstance(column, list) else column.take(slice(row, row + 1)).cells()[0]
        text = "" if cell is None else str(cell)
    message = problem.message.partition(f"row {row}: ")[2] or problem.message
    return BadCell(row, problem.column, text, message)
