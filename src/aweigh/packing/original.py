"""The original model, asked: which columns may be null, which categories are closed, and what it says of every probe.

A probe that the original itself cannot answer is no row that anyone may send: a column whose nulls it refuses must not
be nullable, one whose unseen categories it refuses becomes closed.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from aweigh.errors import AweighError, ModelError
from aweigh.models.parity import Trial, make_trial, reason_of
from aweigh.models.probes import Probe, probes
from aweigh.schema.answers import Answers
from aweigh.schema.column import Schema
from aweigh.table import Table
from aweigh.table.columns import concatenate

PROOF_ROWS = 2_000
"""Sample rows in the proof: spread evenly over a longer sample."""

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


def ask(predict: Ask, schema: Schema, table: Table, *, widen: Callable[[Answers], Answers]) -> Asked:
    """Asks the original about the sample and about every probe.

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
            raise ModelError(
                f"The model cannot answer the sample: {reason_of(error)}",
                hint="the sample must hold rows as the model takes them: the same columns, before any preprocessing "
                "that is not part of the model",
            ) from error
        schema = msgspec.structs.replace(schema, output=first.output)
        schema, good, notes = _answerable(predict, schema, sample)
        joined = concatenate([sample, *(probe.table for probe in good)])
        trial = make_trial(lambda rows: predict(rows, schema), joined, sample_rows=sample.rows)
    answers = predict(sample, schema)
    return Asked(schema, trial, sample, answers, notes)


def _answerable(predict: Ask, schema: Schema, sample: Table) -> tuple[Schema, list[Probe], tuple[str, ...]]:
    good: list[Probe] = []
    notes: list[str] = []
    closed: set[str] = set()
    for probe in probes(schema, sample):
        if probe.column in closed:
            continue
        try:
            predict(probe.table, schema)
        except Exception as error:
            notes.append(_note(probe, error))
            if probe.kind == "unseen" and probe.column is not None:
                closed.add(probe.column)
            elif probe.kind == "null" and probe.column is not None:
                raise ModelError(
                    f"The model cannot answer when {probe.column!r} is missing: {reason_of(error)}",
                    hint="put an imputer in front, or give a sample without missing values in that column",
                ) from error
            continue
        good.append(probe)
    columns = tuple(
        msgspec.structs.replace(column, closed=True) if column.name in closed else column for column in schema.columns
    )
    return msgspec.structs.replace(schema, columns=columns), good, tuple(notes)


def _note(probe: Probe, error: Exception) -> str:
    if probe.kind == "unseen":
        return f"{probe.column}: the model refuses categories it has not seen, so requests with them are refused"
    where = "rows with several nulls" if probe.column is None else f"{probe.kind} probes of {probe.column}"
    return f"{where}: the model itself fails ({reason_of(error)})"
