"""What the boosting families share: a table as the one matrix that their libraries take, and plain answers from it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.errors import UnsupportedModel
from aweigh.schema.answers import Answers
from aweigh.schema.column import Column, Output, Schema
from aweigh.table import Table, Values

Kind = str | int
Codes = Mapping[str, tuple[Kind, ...]]
"""The kinds of category columns, in the order of the codes that the library gave them in training."""

UNKNOWN = np.nan
"""The code of a missing category and of one that training had not: pandas makes no difference, nor do the libraries."""


def matrix(table: Table, columns: Sequence[Column], codes: Codes, *, dtype: Any) -> NDArray[Any]:
    """The columns side by side, (rows, columns): numbers with NaN where missing, categories as their codes.

    Raises:
        UnsupportedModel: a column that is neither a number nor a category of the model.
    """
    block = np.empty((table.rows, len(columns)), dtype=dtype)
    for i, column in enumerate(columns):
        values = table[column.name]
        if column.name in codes:
            block[:, i] = coded(values, codes[column.name])
            continue
        if not (column.is_number or column.type == "boolean"):
            raise UnsupportedModel(f"column {column.name!r} is {column.type}, and the model takes numbers there")
        with np.errstate(over="ignore"):  # beyond single precision is infinity, as it is to XGBoost itself
            block[:, i] = values.data
        if values.missing is not None:
            block[values.missing, i] = np.nan
    return block


def coded(values: Values, kinds: Sequence[Kind]) -> NDArray[np.float64]:
    """A category column as codes, (rows,): the place in ``kinds``, NaN for what is missing or none of them."""
    places = {kind: float(i) for i, kind in enumerate(kinds)}
    codes = np.array([places.get(cell, UNKNOWN) for cell in values.data.tolist()], dtype=np.float64)
    if values.missing is not None:
        codes[values.missing] = UNKNOWN
    return codes


def class_answers(output: Output, scores: NDArray[Any]) -> Answers:
    """Answers from probabilities of each class (rows, classes), or of the second of two (rows,)."""
    rows = len(scores)
    shaped = np.asarray(scores, dtype=np.float64).reshape(rows, -1)
    if shaped.shape[1] == 1:
        # In the precision of the scores: 1 - p of a float32 is a float32 to the library, too.
        second = np.asarray(scores).reshape(rows, 1)
        shaped = np.hstack([1.0 - second, second]).astype(np.float64)
    index = shaped.argmax(axis=1).astype(np.int64)
    return Answers(output, rows, index=index, probabilities=shaped if output.probabilities else None)


def number_answers(output: Output, raw: NDArray[Any]) -> Answers:
    """Answers from one number a row, or several."""
    rows = len(raw)
    return Answers(output, rows, values=np.asarray(raw, dtype=np.float64).reshape(rows, -1))


def widen(output: Output, answers: Answers) -> Output:
    """The output once an answer was seen: a model of several targets answers several numbers."""
    if output.task != "number" or answers.values is None or answers.values.shape[1] == 1:
        return output
    names = tuple(f"{output.name}_{i}" for i in range(answers.values.shape[1]))
    return Output(task="numbers", name=output.name, names=names, unit=output.unit, description=output.description)


def frame_or_matrix(table: Table, schema: Schema, *, named: bool) -> Any:
    """What the original is asked with: a DataFrame of the sample's types, or an array when it was fitted on one."""
    from aweigh.models.frame import table_to_frame

    if named:
        return table_to_frame(table, schema.columns)
    return matrix(table, schema.columns, {}, dtype=np.float64)
