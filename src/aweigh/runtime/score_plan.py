"""Which columns of a file go to the model, which are carried along, and what the answers are called among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.errors import InvalidRows, Problem, UsageError
from aweigh.runtime.cells_out import Cells, JsonCells, NativeCells, TextCells
from aweigh.runtime.rows_in import Batch, Part, Rows
from aweigh.schema import Answers, Column, Schema, examine
from aweigh.schema.check import nearest
from aweigh.table import Table, TextTable, Values
from aweigh.table.columns import DATE_DTYPE
from aweigh.table.csv import HEADER_HINT, looks_like_data, named_as


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to become of a file's columns: which to ``keep`` (None: all), and whether any may be there."""

    keep: tuple[str, ...] | None = None
    ignore_extra: bool = False


PLAIN_TYPES = {"number", "integer", "boolean", "date", "datetime"}
"""Columns whose good cells are nothing that a spreadsheet would run."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The columns of a file: ``inputs`` by the model's name for each, ``carried`` into the output, in the file's order.

    ``allowed`` are columns that the model does not have and that may be there, None when any may. ``heads`` are the
    answers' names in the output by their own: where a carried column has that name, ``predicted_`` stands before it.
    """

    inputs: Mapping[str, str]
    carried: tuple[str, ...]
    allowed: frozenset[str] | None
    heads: Mapping[str, str]
    keep: tuple[str, ...] | None

    def lets_pass(self, name: str) -> bool:
        """Whether the model does not have a column of that name, and it may be there all the same."""
        return name not in self.inputs and (self.allowed is None or name in self.allowed)

    def for_model(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A JSON row without the columns that the model does not have and that may be there."""
        return {name: cell for name, cell in row.items() if not self.lets_pass(name)}

    def json_rows(self, rows: Rows, first: int) -> Rows:
        """JSON rows with what is carried of them, whatever columns each has.

        Raises:
            UsageError: a column that came late is called what an answer is called.
        """
        heads = set(self.heads.values())
        for i, row in enumerate(rows):
            clash = heads.intersection(row) if self.keep is None else heads.intersection(row, self.keep)
            if clash:
                raise UsageError(
                    f"Row {first + i} has a column {min(clash)!r}, as the answer is called, and the first rows do not.",
                    hint="--answers-only leaves the rows' own columns out, --keep NAME carries only that one",
                )
        if self.keep is None:
            return rows
        return [{name: row[name] for name in self.carried if name in row} for row in rows]

    def check_late(self, rows: Rows, first: int) -> None:
        """Whether all that is to be carried of JSON rows has its column in a table that has been begun.

        Raises:
            UsageError: a row has a column that no row had when the table was begun.
        """
        if self.keep is not None:
            return
        for i, row in enumerate(rows):
            late = next((name for name in row if name not in self.carried and self.lets_pass(name)), None)
            if late is not None:
                raise UsageError(
                    f"Row {first + i} has a column {late!r} that the first rows do not have, and a table cannot grow.",
                    hint="write JSON lines (-o OUT.jsonl), or say with --keep which columns to carry along",
                )


def plan_table(schema: Schema, names: Sequence[str], *, text: bool, known: frozenset[str], wish: Wish) -> Plan:
    """Holds a table's columns against the model's; ``known`` may be there for a reason of their own.

    The names of ``text`` (a CSV) have lost the blanks around them, and stand for those of the model that have some.

    Raises:
        InvalidRows: a column that the model needs is not there, or one is there that it does not have.
        UsageError: a column is to be kept that is not there.
    """
    for name in wish.keep or ():
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean {near!r}?" if near else f"the file has {', '.join(names)[:200]}"
            raise UsageError(f"The file has no column {name!r} to keep.", hint=hint)
    allowed = _allowed(schema, known, wish)
    inputs = {name: name for name in names if name in schema.names}
    if text:
        inputs |= named_as(names, schema.names)
    if text and looks_like_data(names) and not inputs:
        raise InvalidRows(
            (Problem("no_header", "the file's columns are all named by numbers: its first line seems to be data"),),
            hint=HEADER_HINT,
        )
    judged = [name for name in names if name in inputs or (allowed is not None and name not in allowed)]
    _check(schema, [inputs.get(name, name) for name in judged])
    return _plan(schema, names, inputs, allowed, wish)


def plan_rows(schema: Schema, rows: Rows, unread: Mapping[int, object], *, wish: Wish) -> Plan:
    """Holds the columns of the first JSON rows against the model's; later rows may lack some of them.

    Only what is wrong in every row is told here, what is wrong in some is told row by row.

    Raises:
        InvalidRows: a column that the model needs is in no row, or one is in all of them that it does not have.
    """
    read = [row for i, row in enumerate(rows) if i not in unread]
    names = dict.fromkeys(name for row in read for name in row)
    allowed = _allowed(schema, frozenset(), wish)
    everywhere = [name for name in names if all(name in row for row in read)]
    strange = [name for name in everywhere if name not in schema.names and allowed is not None and name not in allowed]
    if read:
        _check(schema, [*(name for name in names if name in schema.names), *strange])
    later = [name for name in (*schema.names, *(wish.keep or ())) if name not in names]
    return _plan(schema, [*names, *later], {name: name for name in schema.names}, allowed, wish)


def _allowed(schema: Schema, known: frozenset[str], wish: Wish) -> frozenset[str] | None:
    """A table that the model was trained on has what it predicts as a column of its own: that is let pass."""
    if wish.ignore_extra:
        return None
    return frozenset({schema.output.name, *schema.output.names}) | known | frozenset(wish.keep or ())


def _check(schema: Schema, names: Sequence[str]) -> None:
    found = examine(schema, Table({name: Values(np.zeros(0)) for name in names}, 0))
    if found.total:
        raise InvalidRows(found.problems, total=found.total, hint=_hint(found.problems, schema, names))


def _hint(problems: Sequence[Problem], schema: Schema, names: Sequence[str]) -> str:
    """What to do: to let more columns pass helps only where none is missing."""
    lacking = [one.column for one in problems if one.is_whole_column_missing and one.column is not None]
    if not lacking:
        return "--ignore-extra lets columns pass that the model does not have; --keep NAME lets that one pass"
    strange = [name for name in names if name not in schema.names]
    near = nearest(lacking[0], strange)
    if near is not None:
        return f"rename the file's column {near!r} to {lacking[0]!r}"
    return f"the file has {', '.join(names)[:200]}" if names else HEADER_HINT


def _plan(
    schema: Schema, names: Sequence[str], inputs: Mapping[str, str], allowed: frozenset[str] | None, wish: Wish
) -> Plan:
    carried = tuple(names) if wish.keep is None else tuple(name for name in names if name in wish.keep)
    answers = Answers.empty(schema.output).columns()
    return Plan(inputs, carried, allowed, answer_heads(list(answers), carried), wish.keep)


def answer_heads(answers: Sequence[str], carried: Sequence[str]) -> dict[str, str]:
    """What the answers are called beside the carried columns."""
    heads: dict[str, str] = {}
    taken = set(carried)
    for name in answers:
        head = name
        while head in taken:
            head = f"predicted_{head}"
        heads[name] = head
        taken.add(head)
    return heads


def carried_cells(plan: Plan, part: Part, checked: Table, schema: Schema, bad: NDArray[np.bool_]) -> dict[str, Cells]:
    """The carried columns of a part, each as what it came as."""
    given = part.given
    if isinstance(given, Table):
        return {name: given[name] for name in plan.carried}
    if isinstance(given, Batch):
        return {name: NativeCells(given.batch, name) for name in plan.carried}
    if not isinstance(given, TextTable):
        plan.check_late(given, part.first)
    types = {column.name: column for column in schema.columns}
    clean = not bad.any()
    cells: dict[str, Cells] = {}
    for name in plan.carried:
        column = types.get(plan.inputs.get(name, ""))
        typed = None if column is None else _typed(column, checked[column.name])
        if isinstance(given, TextTable):
            safe = clean and column is not None and column.type in PLAIN_TYPES
            cells[name] = TextCells(given.columns[name], typed, safe)
        else:
            cells[name] = JsonCells([row.get(name) for row in given], typed)
    return cells


def _typed(column: Column, values: Values) -> Values:
    return Values(values.data, values.missing, DATE_DTYPE) if column.type == "date" else values


def spread(answers: Mapping[str, Values], good: NDArray[np.bool_], heads: Mapping[str, str]) -> dict[str, Values]:
    """Answers of the good rows among all rows, missing in the others."""
    if good.all():
        return {heads[name]: values for name, values in answers.items()}
    columns: dict[str, Values] = {}
    for name, values in answers.items():
        data: NDArray[Any] = np.zeros(len(good), dtype=values.data.dtype)
        if data.dtype == object:
            data[:] = ""
        data[good] = values.data
        missing = ~good
        missing[good] = values.as_mask()
        columns[heads[name]] = Values(data, missing)
    return columns
