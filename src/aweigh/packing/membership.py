"""Membership inference: how well a model's answers tell who was among the rows that it was trained on.

The attack is a threshold, which takes nothing but the answers: on the loss of each row's own label (Yeom, Giacomelli,
Fredrikson and Jha, "Privacy Risk in Machine Learning", CSF 2018), and on the largest probability, for which no label is
needed (Salem et al., "ML-Leaks", NDSS 2019, their third adversary). The area under the curve is that of all thresholds.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aweigh.bundle.findings import Membership
from aweigh.errors import DataError, UsageError
from aweigh.models.family import Described, Predict
from aweigh.packing.sample import open_sample
from aweigh.schema.answers import Answers, class_key
from aweigh.schema.check import examine
from aweigh.schema.column import Schema
from aweigh.table import Table, Values

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 20_000
LEAST_ROWS = 20
LEAST_PROBABILITY = 1e-12
DIGITS = 4


def membership(predict: Predict, schema: Schema, trained: Table, held_out: Table, *, target: str) -> Membership:
    """What the answers tell, of rows with their right answers in the column ``target``.

    Raises:
        UsageError: the model answers neither a class nor a number, or there is no such column.
        DataError: too few rows that the schema takes and whose answer is known.
    """
    members, others = (
        _losses(predict, schema, table, target=target, what=what)
        for table, what in ((trained, "sample"), (held_out, "held-out rows"))
    )
    threshold = float(members[0].mean())
    advantage = float((members[0] <= threshold).mean() - (others[0] <= threshold).mean())
    area, error = _area(-members[0], -others[0])
    sure = None
    if members[2] is not None and others[2] is not None:
        sure = _rounded(_area(members[2], others[2])[0])
    return Membership(
        rows=len(members[0]),
        held_out_rows=len(others[0]),
        measure="accuracy" if schema.output.task == "class" else "root mean squared error",
        trained=_rounded(_told(members[1], schema)),
        held_out=_rounded(_told(others[1], schema)),
        area=_rounded(area),
        error=_rounded(error),
        advantage=_rounded(advantage),
        confidence_area=sure,
    )


def open_held_out(data: "Path | pd.DataFrame | Table", *, described: Described) -> Table:
    """Held-out rows from where they are, in types of their own.

    Raises:
        DataError: no rows, or bytes that are not what the file's name says.
    """
    return open_sample(data, described=described)[1]


_Losses = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]
"""Of each row its loss, what is told of it (1 right and 0 wrong, or a squared error), and its largest probability."""


def _losses(predict: Predict, schema: Schema, table: Table, *, target: str, what: str) -> _Losses:
    if target not in table.columns:
        raise UsageError(f"The {what} have no column {target!r}.", hint="both need the column that holds the answers")
    lacking = [name for name in schema.names if name not in table.columns and not schema.column(name).nullable]
    if lacking:
        raise UsageError(f"The {what} have no column {lacking[0]!r}.", hint="give rows as the model takes them")
    rows = np.unique(np.linspace(0, table.rows - 1, min(MOST_ROWS, table.rows)).round().astype(np.int64))
    chosen = table.take(rows)
    right = chosen[target]
    inputs = chosen.select([name for name in schema.names if name in chosen.columns])
    examined = examine(schema, inputs)
    good = ~(examined.bad | right.as_mask())
    if schema.output.task == "class":
        keys = {class_key(one): i for i, one in enumerate(schema.output.classes)}
        labels = np.array([keys.get(class_key(one), -1) for one in _plain(right)], dtype=np.int64)
        good &= labels >= 0
    elif schema.output.task != "number" or right.data.dtype.kind not in "fiu":
        raise UsageError(
            f"Membership is told of models that answer a class or a number, with such answers in {target!r}."
        )
    if good.sum() < LEAST_ROWS:
        raise DataError(f"The {what} hold {int(good.sum())} rows with an answer; {LEAST_ROWS} are needed.")
    answers = predict(examined.table.take(np.flatnonzero(good)))
    if schema.output.task == "class":
        return _of_classes(answers, labels[good])
    squares = (_numbers(answers) - right.data[good].astype(np.float64)) ** 2
    return squares, squares, None


def _plain(values: Values) -> list[str | int | float | bool]:
    cells: list[str | int | float | bool] = values.data.tolist()
    return cells


def _of_classes(answers: Answers, labels: NDArray[np.int64]) -> _Losses:
    index = np.zeros(0, dtype=np.int64) if answers.index is None else answers.index
    right = (index == labels).astype(np.float64)
    if answers.probabilities is None:
        return 1.0 - right, right, None
    own = answers.probabilities[np.arange(len(labels)), labels]
    return -np.log(np.maximum(own, LEAST_PROBABILITY)), right, answers.probabilities.max(axis=1)


def _numbers(answers: Answers) -> NDArray[np.float64]:
    return np.zeros(0) if answers.values is None else answers.values[:, 0]


def _told(each: NDArray[np.float64], schema: Schema) -> float:
    mean = float(each.mean())
    return mean if schema.output.task == "class" else math.sqrt(mean)


def _area(members: NDArray[np.float64], others: NDArray[np.float64]) -> tuple[float, float]:
    """How often a member's score is above another's, ties half, and the standard error (Hanley and McNeil 1982)."""
    both = np.sort(others)
    below = np.searchsorted(both, members, side="left")
    level = np.searchsorted(both, members, side="right") - below
    area = float((below + level / 2).sum()) / (len(members) * len(others))
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (len(members) - 1) * (q1 - area**2) + (len(others) - 1) * (q2 - area**2)
    return area, math.sqrt(max(spread, 0.0) / (len(members) * len(others)))


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
