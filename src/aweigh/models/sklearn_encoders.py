"""scikit-learn's encoders as steps that skl2onnx converts: one-hot, ordinal and target codes of text and numbers.

What an encoder makes of each of its categories, of an unknown one and of a missing one, it is asked itself, once; the
graph looks up the place of a cell among the categories and takes that row. So every option means what it means to
scikit-learn: dropped and infrequent categories, codes for what is unknown or missing, several columns for a target of
several classes.
"""

import warnings
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.models.onnx_imputer import text_before_filling
from aweigh.models.pens import ML
from aweigh.models.step import Step, Steps, real_shape
from aweigh.models.text_lookup import Coded, draw_lookup
from aweigh.schema.cells import RESERVED_TEXT

UNKNOWN_TEXT = "\ufdd2"
"""A Unicode noncharacter: no category is called so."""


def steps() -> Steps:
    """The classes that are drawn here."""
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

    classes = (OneHotEncoder, OrdinalEncoder, TargetEncoder)
    return Steps(dict.fromkeys(classes, _convert), dict.fromkeys(classes, _shape))


def _shape(operator: Any) -> None:
    real_shape(operator, sum(_widths(operator.raw_operator)))


def _widths(encoder: Any) -> list[int]:
    """How many columns the encoder makes of each of its own."""
    kind = type(encoder).__name__
    if kind == "OneHotEncoder":
        return [int(one) for one in encoder._n_features_outs]  # noqa: SLF001  there is no other place that says so
    if kind == "TargetEncoder":
        return [len(encoder.encodings_) // len(encoder.categories_)] * len(encoder.categories_)
    return [1] * len(encoder.categories_)


# -- what the encoder says -------------------------------------------------------------------------------------------


def codes(encoder: Any) -> list[NDArray[np.float64]]:
    """For each column the encoder's own answers (categories + 1, width): one for each category, the last for unknown.

    Where it refuses what is unknown, the last is zeros: no such row is ever asked.
    """
    widths = _widths(encoder)
    ends = np.cumsum([0, *widths])
    plain = [kinds[0] for kinds in encoder.categories_]
    found = []
    for i, kinds in enumerate(encoder.categories_):
        known = _ask(encoder, plain, i, kinds)[:, ends[i] : ends[i + 1]]
        try:
            unknown = _ask(encoder, plain, i, _unheard_of(kinds))[:, ends[i] : ends[i + 1]]
        except (ValueError, TypeError):
            unknown = np.zeros((1, widths[i]))
        found.append(np.vstack([known, unknown]))
    return found


def _ask(encoder: Any, plain: Sequence[object], i: int, cells: NDArray[Any]) -> NDArray[np.float64]:
    """The encoder's answers for ``cells`` in column ``i`` and a known category in all others."""
    import pandas as pd

    names = getattr(encoder, "feature_names_in_", None)
    columns = [f"x{j}" for j in range(len(plain))] if names is None else [str(name) for name in names]
    data = {}
    for j, name in enumerate(columns):
        given = cells if j == i else np.repeat(np.array([plain[j]], encoder.categories_[j].dtype), len(cells))
        # An array of objects would become pandas' own text, and None in it NaN.
        data[name] = pd.Series(given, dtype=object if given.dtype.kind in "OUT" else given.dtype)
    frame = pd.DataFrame(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a category is unknown is what is asked
        coded = encoder.transform(frame if names is not None else _as_array(frame))
    dense = coded.toarray() if hasattr(coded, "toarray") else coded
    return np.asarray(dense, dtype=np.float64)


def _as_array(frame: Any) -> Any:
    return frame.to_numpy() if len({str(dtype) for dtype in frame.dtypes}) == 1 else frame.to_numpy(dtype=object)


def _unheard_of(kinds: NDArray[Any]) -> NDArray[Any]:
    if kinds.dtype.kind in "iu":
        return np.array([int(kinds.max()) + 1], dtype=np.int64)
    if kinds.dtype.kind == "f":
        return np.array([np.nanmax(kinds) + 1.0 if not np.isnan(kinds).all() else 0.0])
    if kinds.dtype.kind == "b":
        msg = "there is no third truth"
        raise ValueError(msg)
    return np.array([UNKNOWN_TEXT], dtype=object)


# -- what is drawn ---------------------------------------------------------------------------------------------------


def _convert(scope: Any, operator: Any, container: Any) -> None:
    step = Step(scope, operator, container)
    kinds, rows = step.model.categories_, codes(step.model)
    widths = [one.type.shape[1] for one in operator.inputs]
    if not all(isinstance(width, int) for width in widths):
        msg = "an encoder's inputs must be of known width"
        raise NotImplementedError(msg)
    if sum(widths) != len(kinds):
        msg = f"an encoder of {len(kinds)} columns is given {sum(widths)}"
        raise NotImplementedError(msg)
    parts: list[str] = []
    at = 0
    for text, some in groupby(operator.inputs, lambda one: type(one.type).__name__ == "StringTensorType"):
        variables = list(some)
        count = sum(one.type.shape[1] for one in variables)
        draw = _texts if text else _numbers
        parts += draw(step, variables, kinds[at : at + count], rows[at : at + count])
        at += count
    step.finish(parts[0] if len(parts) == 1 else step.pen.node("Concat", parts, axis=1))


def _texts(step: Step, variables: list[Any], kinds: list[NDArray[Any]], rows: list[NDArray[np.float64]]) -> list[str]:
    """Columns of text, all at once; an imputer before them is taken for its words."""
    given: list[str] = []
    filled: list[tuple[str, str] | None] = []
    for one in variables:
        unfilled = text_before_filling(one)
        if unfilled is None:
            given.append(one.full_name)
            filled += [None] * one.type.shape[1]
        else:
            given += unfilled.given
            filled += [(unfilled.marker, word) for word in unfilled.words]
    columns = [
        Coded([_spelled(kind) for kind in known.tolist()], row, fill)
        for known, row, fill in zip(kinds, rows, filled, strict=True)
    ]
    return draw_lookup(step.pen, given, columns)


def _numbers(step: Step, variables: list[Any], kinds: list[NDArray[Any]], rows: list[NDArray[np.float64]]) -> list[str]:
    """Columns of numbers, one after the other."""
    pen = step.pen
    columns = [(one, j) for one in variables for j in range(one.type.shape[1])]
    parts = []
    for (one, j), known, row in zip(columns, kinds, rows, strict=True):
        cells = pen.node("Gather", [one.full_name, pen.constant(np.array(j))], axis=1)
        parts.append(pen.node("Gather", [step.numbers(row), _place(step, cells, one, known)], axis=0))
    return parts


def _place(step: Step, name: str, variable: Any, kinds: NDArray[Any]) -> str:
    """Where each number stands among the kinds, (rows,); behind the last of them when it is none."""
    if type(variable.type).__name__ == "Int64TensorType" and kinds.dtype.kind in "iub":
        return step.pen.node(
            "LabelEncoder",
            [name],
            domain=ML,
            keys_int64s=[int(one) for one in kinds.tolist()],
            values_int64s=list(range(len(kinds))),
            default_int64=len(kinds),
        )
    return _place_of_real(step, name, _reals(kinds))


def _spelled(kind: object) -> str:
    if isinstance(kind, str):
        return kind
    if kind is None or kind != kind:  # noqa: PLR0124  NaN
        return RESERVED_TEXT
    msg = f"text and {type(kind).__name__} among the categories of one column have no ONNX form"
    raise NotImplementedError(msg)


def _reals(kinds: NDArray[Any]) -> NDArray[np.float64]:
    if any(isinstance(one, str) for one in kinds.tolist()):
        msg = "categories of text in a column of numbers have no ONNX form"
        raise NotImplementedError(msg)
    return np.array([np.nan if one is None else float(one) for one in kinds.tolist()])


def _place_of_real(step: Step, name: str, kinds: NDArray[np.float64]) -> str:
    """The place of a number among the kinds by comparing it with each; the missing one, if any, is told by IsNaN."""
    from onnx import TensorProto

    pen = step.pen
    column = pen.node("Reshape", [pen.node("Cast", [name], to=TensorProto.DOUBLE), step.whole(-1, 1)])
    same = pen.node("Equal", [column, step.numbers(kinds.reshape(1, -1))])
    if np.isnan(kinds).any():
        gone = pen.node("And", [pen.node("IsNaN", [column]), pen.constant(np.isnan(kinds).reshape(1, -1))])
        same = pen.node("Or", [same, gone])
    found = pen.node("Cast", [same], to=TensorProto.FLOAT)
    # A half in the last column wins where no kind is the cell's own.
    none = pen.node("Mul", [pen.node("Slice", [found, *(step.whole(one) for one in (0, 1, 1))]), _single(step, 0.0)])
    none = pen.node("Add", [none, _single(step, 0.5)])
    return pen.node("ArgMax", [pen.node("Concat", [found, none], axis=1)], axis=1, keepdims=0)


def _single(step: Step, value: float) -> str:
    return step.pen.constant(np.array([value], np.float32))
