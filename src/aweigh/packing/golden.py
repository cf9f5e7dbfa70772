"""Golden rows: a handful of the sample's rows, named by what makes them different, with the original's answers.

They are replayed when a bundle is packed, at every start, and against every deployment; the page offers the first of
them to try.
"""

import datetime as dt

import numpy as np
from numpy.typing import NDArray

from aweigh.bundle.examples import Examples
from aweigh.schema.answers import Answers
from aweigh.schema.column import Schema
from aweigh.table import Table

MAX_CLASSES = 5
MAX_GOLDEN_ROWS = 12


def golden(schema: Schema, table: Table, answers: Answers) -> Examples:
    """Picks rows that differ: the clearest of each class, the closest call, the lowest and highest, one with gaps."""
    picked: dict[int, str] = {}
    for row, title in [*_by_answer(answers), *_by_gaps(schema, table), *_spread(table.rows)]:
        if len(picked) < MAX_GOLDEN_ROWS:
            picked.setdefault(row, title)
    order = np.array(list(picked), dtype=np.int64)
    rows = [as_json(row) for row in table.take(order).iter_rows()]
    documents = answers.documents()
    return Examples(rows=rows, predictions=[documents[row] for row in picked], titles=list(picked.values()))


def as_json(row: dict[str, object]) -> dict[str, object]:
    """A row with dates and points in time as ISO 8601 text."""
    return {name: time_text(cell) if isinstance(cell, dt.date) else cell for name, cell in row.items()}


def time_text(moment: dt.date) -> str:
    """A date as ``2026-01-31``, a point in time as ``2026-01-31T12:00:00``; midnight counts as a date."""
    if isinstance(moment, dt.datetime) and moment.time() == dt.time():
        return moment.date().isoformat()
    return moment.isoformat()


def _by_answer(answers: Answers) -> list[tuple[int, str]]:
    if answers.index is not None:
        return _by_class(answers, answers.index)
    if answers.cluster is not None:
        kinds, first = np.unique(answers.cluster, return_index=True)
        pairs = zip(first.tolist()[:MAX_CLASSES], kinds.tolist(), strict=False)
        return [(row, f"Cluster {kind}") for row, kind in pairs]
    if answers.outlier is not None:
        found = [(int(np.flatnonzero(answers.outlier)[0]), "An outlier")] if answers.outlier.any() else []
        usual = [(int(np.flatnonzero(~answers.outlier)[0]), "Nothing unusual")] if not answers.outlier.all() else []
        return usual + found
    if answers.values is None or not np.isfinite(answers.values[:, 0]).any():
        return []
    first_value = answers.values[:, 0]
    middle = np.nanmedian(first_value)
    return [
        (int(np.nanargmin(np.abs(first_value - middle))), "In the middle"),
        (int(np.nanargmin(first_value)), "The lowest"),
        (int(np.nanargmax(first_value)), "The highest"),
    ]


def _by_class(answers: Answers, index: NDArray[np.int64]) -> list[tuple[int, str]]:
    titles = answers.output.class_titles or tuple(str(one) for one in answers.output.classes)
    chance = answers.probabilities
    found: list[tuple[int, str]] = []
    for i, title in enumerate(titles[:MAX_CLASSES]):
        rows = np.flatnonzero(index == i)
        if len(rows):
            best = rows[chance[rows, i].argmax()] if chance is not None else rows[0]
            found.append((int(best), f"Clearly {title}" if chance is not None else title))
    if chance is not None and chance.shape[1] > 1:
        ranked = np.sort(chance, axis=1)
        row = int((ranked[:, -1] - ranked[:, -2]).argmin())
        first, second = (titles[i] for i in np.argsort(-chance[row], kind="stable")[:2])
        found.insert(2, (row, f"Hard to tell: {first} or {second}"))
    return found


def _by_gaps(schema: Schema, table: Table) -> list[tuple[int, str]]:
    counts = np.zeros(table.rows, dtype=np.int64)
    for name in schema.names:
        counts += table[name].as_mask()
    if not counts.any():
        return []
    one = int(np.where(counts > 0, counts, np.iinfo(np.int64).max).argmin())
    absent = next(name for name in schema.names if table[name].as_mask()[one])
    column = schema.column(absent)
    return [(one, f"Without {column.title or absent.replace('_', ' ')}"), (int(counts.argmax()), "The most unknown")]


def _spread(rows: int) -> list[tuple[int, str]]:
    return [
        (int(row), f"Row {int(row) + 1} of the sample") for row in np.linspace(0, rows - 1, MAX_GOLDEN_ROWS).round()
    ]
