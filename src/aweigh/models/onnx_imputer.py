"""SimpleImputer as our own ONNX nodes: numbers in the input's precision and with indicators, text all columns at once.

skl2onnx rounds the imputed values to single precision, uses an operator that ONNX Runtime lacks for doubles, leaves
out the columns that ``add_indicator=True`` appends, and takes five nodes for each column of text.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from aweigh.models.pens import ML
from aweigh.models.step import Step


@dataclass(frozen=True, slots=True)
class Unfilled:
    """Text before an imputer: the matrices ``given``, side by side, and each column's word in place of ``marker``."""

    given: list[str]
    marker: str
    words: list[str]


def imputes_numbers(operator: Any) -> bool:
    """Whether this imputer's input is one tensor of floats, which is what is mended here."""
    return len(operator.inputs) == 1 and type(operator.inputs[0].type).__name__ in {
        "FloatTensorType",
        "DoubleTensorType",
    }


def shape(operator: Any) -> None:
    """The shape of the output: the columns kept, and the indicator's behind them."""
    from skl2onnx.common._registration import get_shape_calculator

    if not imputes_numbers(operator):
        get_shape_calculator("SklearnSimpleImputer")(operator)
        return
    model = operator.raw_operator
    width = len(model.statistics_) + (len(model.indicator_.features_) if model.add_indicator else 0)
    operator.outputs[0].type = type(operator.inputs[0].type)([operator.inputs[0].type.shape[0], width])


def convert(scope: Any, operator: Any, container: Any) -> None:
    """Writes ``Where(is missing, statistic, value)``, and the indicator's columns behind it.

    Raises:
        NotImplementedError: a column had nothing to learn from, or missing is spelled in a way that no tensor holds.
    """
    from onnx import TensorProto
    from skl2onnx.common._registration import get_converter

    model = operator.raw_operator
    if not imputes_numbers(operator):
        if model.add_indicator:
            msg = "an imputer of text with add_indicator=True has no ONNX form"
            raise NotImplementedError(msg)
        unfilled = _unfilled(operator)
        if unfilled is None:
            get_converter("SklearnSimpleImputer")(scope, operator, container)
        else:
            _fill_text(Step(scope, operator, container), unfilled)
        return
    double = type(operator.inputs[0].type).__name__ == "DoubleTensorType"
    element = TensorProto.DOUBLE if double else TensorProto.FLOAT
    statistics = np.asarray(model.statistics_, dtype=np.float64)
    if np.isnan(statistics).any():
        msg = "an imputer with a column that held no value at all has no ONNX form"
        raise NotImplementedError(msg)
    given = operator.inputs[0].full_name
    missing = scope.get_unique_variable_name("missing")
    _missing_nodes(scope, container, model, (given, missing, element))
    fill = scope.get_unique_variable_name("statistics")
    container.add_initializer(fill, element, [1, len(statistics)], statistics.tolist())
    imputed = operator.outputs[0].full_name
    if model.add_indicator:
        imputed = scope.get_unique_variable_name("imputed")
    container.add_node("Where", [missing, fill, given], imputed, name=scope.get_unique_operator_name("Where"))
    if model.add_indicator:
        _indicator_nodes(scope, container, operator, (missing, imputed, element))


def _missing_nodes(scope: Any, container: Any, model: Any, names: tuple[str, str, int]) -> None:
    given, missing, element = names
    marker = model.missing_values
    if isinstance(marker, float) and np.isnan(marker):
        container.add_node("IsNaN", given, missing, name=scope.get_unique_operator_name("IsNaN"), op_version=13)
        return
    if isinstance(marker, bool) or not isinstance(marker, int | float):
        msg = f"an imputer of missing_values={marker!r} has no ONNX form"
        raise NotImplementedError(msg)
    value = scope.get_unique_variable_name("marker")
    container.add_initializer(value, element, [1], [float(marker)])
    container.add_node("Equal", [given, value], missing, name=scope.get_unique_operator_name("Equal"))


def _indicator_nodes(scope: Any, container: Any, operator: Any, names: tuple[str, str, int]) -> None:
    from onnx import TensorProto

    missing, imputed, element = names
    features = operator.raw_operator.indicator_.features_.tolist()
    picked, flags, at = (scope.get_unique_variable_name(name) for name in ("picked", "flags", "features"))
    container.add_initializer(at, TensorProto.INT64, [len(features)], features)
    container.add_node("Gather", [missing, at], picked, name=scope.get_unique_operator_name("Gather"), axis=1)
    container.add_node("Cast", picked, flags, name=scope.get_unique_operator_name("Cast"), to=element)
    outputs = operator.outputs[0].full_name
    container.add_node("Concat", [imputed, flags], outputs, name=scope.get_unique_operator_name("Concat"), axis=1)


# -- text ------------------------------------------------------------------------------------------------------------


def text_before_filling(variable: Any) -> Unfilled | None:
    """What an imputer of text makes this variable of, for a step that looks words up and can do without the filling.

    None: no such imputer gives it.
    """
    for operator in variable.operators_outputs_:
        if type(operator.raw_operator).__name__ == "SimpleImputer":
            return _unfilled(operator)
    return None


def _unfilled(operator: Any) -> Unfilled | None:
    """The imputer of text in short; None where it is none, or not of words for each column."""
    model = operator.raw_operator
    words = model.statistics_.tolist()
    given = operator.inputs
    if any(type(one.type).__name__ != "StringTensorType" for one in given) or model.add_indicator:
        return None
    if not isinstance(model.missing_values, str) or not all(isinstance(one, str) for one in words):
        return None
    if sum(one.type.shape[1] or 0 for one in given) != len(words):
        return None
    return Unfilled([one.full_name for one in given], str(model.missing_values), [str(one) for one in words])


def _fill_text(step: Step, unfilled: Unfilled) -> None:
    from onnx import TensorProto

    pen, given = step.pen, unfilled.given
    cells = given[0] if len(given) == 1 else pen.node("Concat", given, axis=1)
    found = pen.node(
        "LabelEncoder", [cells], domain=ML, keys_strings=[unfilled.marker], values_int64s=[1], default_int64=0
    )
    words = pen.constant(np.array([unfilled.words], dtype=object))
    step.finish(pen.node("Where", [pen.node("Cast", [found], to=TensorProto.BOOL), words, cells]))
