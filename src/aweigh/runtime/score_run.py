"""Rows on their way through a model, a part at a time: checked, answered, written, and what is wrong with them told."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from aweigh.errors import Problem
from aweigh.runtime.arrow_log import ArrowLog, read_log
from aweigh.runtime.bad_rows import BadRows
from aweigh.runtime.cells_out import Cells
from aweigh.runtime.predictor import Predictor
from aweigh.runtime.rows_in import Batch, Part, Rows, RowsIn
from aweigh.runtime.rows_out import ArrowWriter, CsvWriter, JsonLinesWriter, OutKind, OutPart, Writer
from aweigh.runtime.score_plan import Plan, Wish, carried_cells, plan_rows, plan_table, spread
from aweigh.schema import Answers, Examined, Schema, examine, examine_rows
from aweigh.schema.domain import Find, Warn
from aweigh.table import Table, TextTable
from aweigh.table.parquet import table_of_batch


@dataclass(slots=True)
class Run:
    """One file on its way: what answers, what is read, where it is written; ``begun`` if its beginning is there.

    ``flagged`` of the answered rows lie outside what the model has seen; ``flags`` counts why.
    """

    predictor: Predictor
    rows_in: RowsIn
    stream: BinaryIO
    kind: OutKind
    bad_rows: BadRows
    wish: Wish
    tabs: bool = False
    begun: bool = False
    log: ArrowLog | None = None
    plan: Plan | None = None
    writer: Writer | None = None
    rows: int = 0
    flagged: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    domain: tuple[Warn | None, Find | None] | None = None

    def part(self, part: Part) -> None:
        """Answers a part and writes it."""
        schema = self.predictor.schema
        plan = self.plan = self.plan or self._first(part)
        examined = _examined(schema, plan, part)
        bad = examined.bad.copy()
        bad[list(part.unread)] = True
        beyond = self._beyond(examined.table, bad, part.first)
        good = ~bad
        answers = self._answers(examined.table, good)
        told: dict[str, Cells] = {**spread(answers.columns(), good, plan.heads)}
        if self.kind == "jsonl" and self.rows_in.names is None:
            self._write(OutPart(told, part.rows, bad, before=plan.json_rows(cast("Rows", part.given), part.first)))
        else:
            self._write(OutPart(carried_cells(plan, part, examined.table, schema, bad) | told, part.rows, bad))
        self.bad_rows.tell(part, bad, beyond | _problems(part, examined))
        self.rows += part.rows

    def skip(self, part: Part) -> None:
        """Passes over a part that an earlier run has answered."""
        self.plan = self.plan or self._first(part)
        self.rows += part.rows

    def replay(self, log: BinaryIO) -> None:
        """Writes anew what an earlier run has logged of a file that has a footer, and logs behind it.

        Raises:
            MalformedBody: it is no log.
        """
        end = log.tell()
        log.seek(0)
        writer = self.writer = ArrowWriter(self.stream, self.kind)
        for batch, size_bytes in read_log(log, size_bytes=end):
            writer.put(batch, size_bytes=size_bytes)
        log.seek(end)
        writer.log = ArrowLog(log, more=True)

    def _write(self, part: OutPart) -> None:
        if self.writer is None:
            self.writer = self._writer(list(part.columns))
        self.writer.write(part)

    def end(self) -> tuple[str, ...]:
        """Writes what is left; the answers' names in the output."""
        if self.plan is None:
            msg = "a file of rows has at least one part"
            raise ValueError(msg)
        if self.writer is not None:  # nothing was left to write
            self.writer.close()
        return tuple(self.plan.heads.values())

    def abandon(self) -> None:
        """Ends the writer of a file that nobody will read, while there is still something to write to."""
        if isinstance(self.writer, ArrowWriter):
            self.writer.abandon()

    def total(self) -> int | None:
        """How many rows there are, as far as anybody knows."""
        if self.rows_in.rows is not None:
            return self.rows_in.rows
        position = self.rows_in.position()
        return round(self.rows / position) if position else None

    def _first(self, part: Part) -> Plan:
        schema, names = self.predictor.schema, self.rows_in.names
        if names is not None:
            return plan_table(schema, names, text=self.rows_in.kind == "csv", known=self.rows_in.known, wish=self.wish)
        return plan_rows(schema, cast("Rows", part.given), part.unread, wish=self.wish)

    def _beyond(self, table: Table, bad: NDArray[np.bool_], first: int) -> dict[int, list[Problem]]:
        """What the policy refuses of the rows that are good so far, by row; such rows become bad ones.

        Rows that it would warn of are counted.
        """
        if self.domain is None:
            domain = self.predictor.domain
            self.domain = domain.compile("reject", limit=None), domain.compile_places("flag")
        refuse, flag = self.domain
        found: dict[int, list[Problem]] = {}
        if refuse is not None and not bad.all():
            rows = np.flatnonzero(~bad)
            for one in refuse(table if len(rows) == table.rows else table.take(rows)):
                row = first + int(rows[one.row or 0])
                told = f"column {one.column!r}, row {row}: {one.message}"
                found.setdefault(row, []).append(replace(one, row=row, message=told))
            bad[[row - first for row in found]] = True
        if flag is not None and not bad.all():
            flagged = np.zeros(table.rows, dtype=np.bool_)
            for beyond in flag(table if not bad.any() else table.take(np.flatnonzero(~bad))):
                flagged[beyond.rows] = True
                self.flags[beyond.code] += len(beyond.rows)
            self.flagged += int(flagged.sum())
        return found

    def _answers(self, table: Table, good: NDArray[np.bool_]) -> Answers:
        if good.all() and table.rows:
            return self.predictor.predict(table)
        if good.any():
            return self.predictor.predict(table.take(np.flatnonzero(good)))
        return Answers.empty(self.predictor.schema.output)

    def _writer(self, names: list[str]) -> Writer:
        rows_in, tabs = self.rows_in, self.tabs
        if self.kind == "jsonl":
            return JsonLinesWriter(self.stream)
        if self.kind != "csv":
            return ArrowWriter(self.stream, self.kind, log=self.log)
        delimiter, marked = "\t" if tabs else ",", False
        if rows_in.kind == "csv":
            # The table comes back as it was: a semicolon stays one, and a spreadsheet that wrote a mark wants it again.
            delimiter, marked = "\t" if tabs else rows_in.delimiter, rows_in.marked
        return CsvWriter(self.stream, None if self.begun else names, delimiter=delimiter, marked=marked)


def _examined(schema: Schema, plan: Plan, part: Part) -> Examined:
    """The part's columns for the model, checked; every problem is listed."""
    given = part.given
    if isinstance(given, TextTable):
        text = TextTable({name: cells for name, cells in given.columns.items() if name in plan.inputs}, part.rows)
        return examine(schema, text, first_row=part.first, most=None)
    if isinstance(given, Batch):
        given = table_of_batch(given.batch, plan.inputs)
    if isinstance(given, Table):
        table = given.select([name for name in given.columns if name in plan.inputs])
        return examine(schema, table, first_row=part.first, most=None)
    rows = [plan.for_model(row) for row in given]
    return examine_rows(schema, rows, first_row=part.first, most=None)


def _problems(part: Part, examined: Examined) -> dict[int, list[Problem]]:
    """What is wrong with each bad row; of one that could not be read, only that."""
    found: dict[int, list[Problem]] = {}
    for problem in examined.problems:
        if problem.row is not None:
            found.setdefault(problem.row, []).append(problem)
    for place, unread in part.unread.items():
        row = part.first + place
        found[row] = [Problem(unread.code, f"row {row} {unread.message}", row=row)]
    return found
