"""The original model, asked: which columns may be null, which categories are closed, and what it says of every probe.

A category column whose unseen kinds the original refuses becomes closed; a column whose nulls it refuses must not be
nullable. Other probe rows that it has no answer for are kept apart: a portable form must have none either.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.errors import AweighError, ModelError
from aweigh.models.parity import Trial, make_trial, reason_of
from aweigh.models.probes import Probe, probes
from aweigh.schema.answers import Answers
from aweigh.schema.column import Schema
from aweigh.table import Table, Values
from aweigh.table.columns import concatenate
from aweigh.table.csv import is_number

PROOF_ROWS = 2_000
"""Sample rows in the proof: spread evenly over a longer sample."""

SORTING_CALLS = 300
"""When the original fails on probes, it is asked about halves of them, and halves of halves, so many times at most."""

REFUSED_ROWS = 20
"""So many of the rows that the original refuses are shown to every form."""

NEARLY_ALL = 0.75
"""A column with so large a share of numbers was meant to be one of numbers."""

CORRECT_IT = "correct that cell, or leave it empty where the model takes missing values"
_QUOTED = re.compile(r"'([^']+)'")

Ask = Callable[[Table, Schema], Answers]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """The schema as the original bears it out, the trial for the portable forms, and the sample's answers.

    ``notes`` are sentences for the person who packs.
    """

    schema: Schema
    trial: Trial
    table: Table
    answers: Answers
    notes: tuple[str, ...]
    shown: Table
    """The sample as the bundle may show rows of it, and what the original says of that."""
    shown_answers: Answers


def ask(
    predict: Ask,
    schema: Schema,
    table: Table,
    *,
    widen: Callable[[Answers], Answers],
    show: Callable[[Table], Table] | None = None,
    probing: Schema | None = None,
) -> Asked:
    """Asks the original about the sample and about every probe.

    ``show`` makes of rows what a bundle may show of them; ``probing`` is the schema that probes are made by, where it
    says more than the bundle's own.

    Raises:
        ModelError: it cannot answer its own sample; the message says what it said.
    """
    sample = table.take(np.unique(np.linspace(0, table.rows - 1, min(PROOF_ROWS, table.rows)).round().astype(np.int64)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unseen categories and the like: the probes ask for them on purpose
        try:
            first = widen(predict(sample, schema))
        except AweighError:
            raise
        except Exception as error:
            stray = stray_cell(table, str(error))
            if stray is not None:
                raise ModelError(f"The model cannot answer the sample: {stray}.", hint=CORRECT_IT) from error
            raise ModelError(
                f"The model cannot answer the sample: {reason_of(error)}",
                hint="the sample must hold rows as the model takes them: the same columns, before any preprocessing "
                "that is not part of the model",
            ) from error
        schema = msgspec.structs.replace(schema, output=first.output)
        asked = list(probes(probing or schema, sample))
        schema, good, refused, notes = _sorted(predict, schema, asked)
        shown = sample if show is None else show(sample)
        shown_answers = None if show is None else _ask_shown(lambda rows: predict(rows, schema), shown)
        # What is shown is replayed wherever the bundle is served, and so is part of the proof.
        joined = concatenate([sample, *good] if show is None else [sample, shown, *good])
        try:
            trial = make_trial(lambda rows: predict(rows, schema), joined, sample_rows=sample.rows, refused=refused)
        except AweighError:
            raise
        except Exception as error:
            raise ModelError(
                f"The model answers rows together and fails on one of them alone: {reason_of(error)}",
                hint="a model that is asked one row at a time must answer one row",
            ) from error
    answers = predict(sample, schema)
    return Asked(schema, trial, sample, answers, notes, shown, shown_answers or answers)


def stray_cell(table: Table, said: str) -> str | None:
    """The cell that an error speaks of, where it quotes a word that stands in one column of numbers alone."""
    for word in dict.fromkeys(_QUOTED.findall(said)):
        found = [(name, row) for name, values in table.columns.items() if (row := _stray_row(values, word)) is not None]
        if len(found) == 1:
            name, row = found[0]
            return f"column {name!r}, row {row}: {word!r} is no number, and nearly all others there are"
    return None


def _stray_row(values: Values, word: str) -> int | None:
    """The first row that has this word, in a column of text that nearly everywhere is a number."""
    if values.data.dtype != object:
        return None
    cells = values.cells()
    present = [str(cell) for cell in cells if cell is not None]
    if word not in present or is_number(word) or sum(map(is_number, present)) < NEARLY_ALL * len(present):
        return None
    return cells.index(word)


def _ask_shown(predict: Callable[[Table], Answers], shown: Table) -> Answers:
    try:
        return predict(shown)
    except AweighError:
        raise
    except Exception as error:
        raise ModelError(
            f"The model has no answer for rows without their personal values: {reason_of(error)}",
            hint='train it to take values that it has not seen, or say personal = "keep" of its personal columns',
        ) from error


def _sorted(
    predict: Ask, schema: Schema, asked: Sequence[Probe]
) -> tuple[Schema, list[Table], Table | None, tuple[str, ...]]:
    """The schema as the original bears it out, the probe rows that it answers, some that it refuses, and why."""
    failed = _failing(predict, schema, asked)
    good = [probe.table for probe in asked if probe not in failed]
    refused: list[Table] = []
    closed: set[str] = set()
    notes: list[str] = []
    budget = [SORTING_CALLS]
    for probe, error in failed.items():
        notes.append(_note(probe, error))
        if probe.kind == "unseen" and probe.column is not None:
            closed.add(probe.column)
            continue
        if probe.kind == "null" and probe.column is not None:
            raise ModelError(
                f"The model cannot answer when {probe.column!r} is missing: {reason_of(error)}",
                hint="put an imputer in front, or give a sample without missing values in that column",
            ) from error
        fine, wrong = _split(lambda rows: predict(rows, schema), probe.table, budget)
        good += [probe.table.take(fine)] if len(fine) else []
        refused += [probe.table.take(wrong)] if len(wrong) else []
    columns = tuple(
        msgspec.structs.replace(column, closed=True) if column.name in closed else column for column in schema.columns
    )
    return msgspec.structs.replace(schema, columns=columns), good, _some(refused), tuple(notes)


def _failing(predict: Ask, schema: Schema, asked: Sequence[Probe]) -> dict[Probe, Exception]:
    """The probes that the original fails on, each with what it said: all asked at once, then halves where it fails."""
    failed: dict[Probe, Exception] = {}
    waiting = [list(asked)] if asked else []
    while waiting:
        some = waiting.pop()
        try:
            predict(concatenate([probe.table for probe in some]), schema)
        except Exception as error:  # noqa: BLE001  a model may raise anything, and each means that it has no answer
            if len(some) == 1:
                failed[some[0]] = error
            else:
                waiting += [some[len(some) // 2 :], some[: len(some) // 2]]
    return failed


def _split(
    predict: Callable[[Table], Answers], table: Table, budget: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of a table that the original answers, and those that it fails on each alone, as far as the calls go."""
    fine: list[NDArray[np.int64]] = []
    wrong: list[NDArray[np.int64]] = []
    waiting = [np.arange(table.rows)]
    while waiting and budget[0] > 0:
        rows = waiting.pop()
        budget[0] -= 1
        try:
            predict(table.take(rows))
        except Exception:  # noqa: BLE001  see _failing
            if len(rows) == 1:
                wrong.append(rows)
            else:
                waiting += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
        else:
            fine.append(rows)
    none = np.zeros(0, dtype=np.int64)
    return np.sort(np.concatenate([none, *fine])), np.sort(np.concatenate([none, *wrong]))


def _some(refused: Sequence[Table]) -> Table | None:
    """A few of the refused rows, spread over all of them."""
    if not refused:
        return None
    table = concatenate(refused)
    return table.take(np.unique(np.linspace(0, table.rows - 1, REFUSED_ROWS).round().astype(np.int64)))


def _note(probe: Probe, error: Exception) -> str:
    if probe.kind == "unseen":
        return (
            f"{probe.column}: the model refuses unseen categories, so only those of the sample are let in "
            f"(name others that it knows under columns.{probe.column}.categories in aweigh.toml)"
        )
    where = {"null": "rows with several nulls", "far": "rows far from the sample"}.get(probe.kind, "unusual rows")
    if probe.column is not None:
        where = f"unusual values of {probe.column}"
    return f"{where}: the model itself has no answer for some ({reason_of(error)})"
