"""scikit-learn's preparations of numbers as steps that skl2onnx converts: bins, powers, products, known functions.

skl2onnx's own converters of these are in single precision or fail on doubles; a value at a threshold or at the edge of
a bin would fall on the other side.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from aweigh.models.step import Convert, Shape, Step, Steps, real_shape

Draw = Callable[[Step, str], str]


def steps() -> Steps:
    """The classes that are drawn here."""
    from sklearn import preprocessing

    converters: dict[type, Convert] = {
        preprocessing.Binarizer: _binarizer,
        preprocessing.FunctionTransformer: _function,
        preprocessing.KBinsDiscretizer: _bins,
        preprocessing.PolynomialFeatures: _products,
        preprocessing.PowerTransformer: _power,
    }
    widths: dict[type, Callable[[Any], int | None]] = {
        preprocessing.Binarizer: lambda model: model.n_features_in_,
        preprocessing.FunctionTransformer: lambda _: None,
        preprocessing.KBinsDiscretizer: lambda model: (
            len(model.n_bins_) if model.encode == "ordinal" else int(sum(model.n_bins_))
        ),
        preprocessing.PolynomialFeatures: lambda model: model.n_output_features_,
        preprocessing.PowerTransformer: lambda model: model.n_features_in_,
    }
    shapes: dict[type, Shape] = {one: partial(_shape, width=width) for one, width in widths.items()}
    return Steps(converters, shapes)


def _shape(operator: Any, *, width: Callable[[Any], int | None]) -> None:
    from skl2onnx.common.data_types import StringTensorType

    wide = width(operator.raw_operator)
    if wide is None:
        widths = [one.type.shape[1] for one in operator.inputs]
        wide = sum(widths) if all(isinstance(one, int) for one in widths) else None
    if isinstance(operator.inputs[0].type, StringTensorType):
        operator.outputs[0].type = StringTensorType([operator.inputs[0].get_first_dimension(), wide])
        return
    real_shape(operator, wide)


# -- thresholds ------------------------------------------------------------------------------------------------------


def _binarizer(scope: Any, operator: Any, container: Any) -> None:
    step = Step(scope, operator, container)
    step.finish(step.binary("Greater", step.given(), float(step.model.threshold)))


def _bins(scope: Any, operator: Any, container: Any) -> None:
    """The bin of a value is how many of the inner edges it reaches."""
    from onnx import TensorProto

    step = Step(scope, operator, container)
    pen, given, parts = step.pen, step.given(), []
    for i, edges in enumerate(step.model.bin_edges_):
        column = pen.node("Gather", [given, step.whole(i)], axis=1)
        inner = np.asarray(edges, dtype=np.float64)[1:-1]
        if len(inner) == 0:
            reached = step.binary("Mul", column, 0.0)
        else:
            above = pen.node("GreaterOrEqual", [column, step.numbers(inner.reshape(1, -1))])
            counted = pen.node("Cast", [above], to=TensorProto.DOUBLE)
            reached = pen.node("ReduceSum", [counted, step.whole(1)], keepdims=1)
        if step.model.encode != "ordinal":
            bins = np.arange(int(step.model.n_bins_[i]), dtype=np.float64).reshape(1, -1)
            reached = pen.node("Cast", [pen.node("Equal", [reached, step.numbers(bins)])], to=TensorProto.DOUBLE)
        parts.append(reached)
    step.finish(parts[0] if len(parts) == 1 else pen.node("Concat", parts, axis=1))


# -- products and powers ---------------------------------------------------------------------------------------------


def _products(scope: Any, operator: Any, container: Any) -> None:
    """Each product as a multiplication of as many columns as the degree, a column of ones among them."""
    step = Step(scope, operator, container)
    pen, given = step.pen, step.given()
    powers = np.asarray(step.model.powers_)
    degree = max(int(powers.sum(axis=1).max()), 1)
    ones = step.binary("Add", step.binary("Mul", pen.node("Gather", [given, step.whole(0)], axis=1), 0.0), 1.0)
    wide = pen.node("Concat", [given, ones], axis=1)
    factors = np.full((len(powers), degree), powers.shape[1], dtype=np.int64)
    for row, exponents in enumerate(powers):
        named = np.repeat(np.arange(len(exponents)), exponents)
        factors[row, : len(named)] = named
    product = pen.node("Gather", [wide, step.whole(*factors[:, 0].tolist())], axis=1)
    for i in range(1, degree):
        product = pen.node("Mul", [product, pen.node("Gather", [wide, step.whole(*factors[:, i].tolist())], axis=1)])
    step.finish(product)


def _power(scope: Any, operator: Any, container: Any) -> None:
    """Yeo and Johnson (2000), or Box and Cox (1964), column by column; then the scaler behind it."""
    step = Step(scope, operator, container)
    draw = _yeo_johnson if step.model.method == "yeo-johnson" else _box_cox
    given = step.given()
    parts = [
        draw(step, step.pen.node("Gather", [given, step.whole(i)], axis=1), float(power))
        for i, power in enumerate(step.model.lambdas_)
    ]
    powered = parts[0] if len(parts) == 1 else step.pen.node("Concat", parts, axis=1)
    if step.model.standardize:
        scaler = step.model._scaler  # noqa: SLF001  it keeps the scaler that it has fitted to itself
        centred = step.pen.node("Sub", [powered, step.numbers(scaler.mean_)])
        powered = step.pen.node("Div", [centred, step.numbers(scaler.scale_)])
    step.finish(powered)


def _box_cox(step: Step, column: str, power: float) -> str:
    """(x^p - 1) / p, or log x where p is 0."""
    logarithm = step.pen.node("Log", [column])
    if abs(power) < np.spacing(1.0):
        return logarithm
    grown = step.pen.node("Exp", [step.binary("Mul", logarithm, power)])
    return step.binary("Div", step.binary("Sub", grown, 1.0), power)


def _yeo_johnson(step: Step, column: str, power: float) -> str:
    """Box-Cox of 1 + x for x from zero on; below, the mirror image with the power 2 - p."""
    pen, zero = step.pen, step.number(0.0)
    above = pen.node("GreaterOrEqual", [column, zero])
    high = _box_cox(step, step.binary("Add", pen.node("Where", [above, column, zero]), 1.0), power)
    low = _box_cox(step, pen.node("Sub", [step.number(1.0), pen.node("Where", [above, zero, column])]), 2.0 - power)
    return pen.node("Where", [above, high, pen.node("Neg", [low])])


# -- known functions -------------------------------------------------------------------------------------------------

_FUNCTIONS: dict[str, Draw] = {
    "log1p": lambda step, given: step.pen.node("Log", [step.binary("Add", given, 1.0)]),
    "expm1": lambda step, given: step.binary("Sub", step.pen.node("Exp", [given]), 1.0),
    "log": lambda step, given: step.pen.node("Log", [given]),
    "log2": lambda step, given: step.binary("Div", step.pen.node("Log", [given]), float(np.log(2.0))),
    "log10": lambda step, given: step.binary("Div", step.pen.node("Log", [given]), float(np.log(10.0))),
    "exp": lambda step, given: step.pen.node("Exp", [given]),
    "sqrt": lambda step, given: step.pen.node("Sqrt", [given]),
    "square": lambda step, given: step.pen.node("Mul", [given, given]),
    "absolute": lambda step, given: step.pen.node("Abs", [given]),
    "negative": lambda step, given: step.pen.node("Neg", [given]),
}
"""What numpy's functions of one number are drawn as."""


def drawn_function(function: object) -> Draw:
    """How a function is drawn.

    Raises:
        NotImplementedError: it is none of numpy's that are known here.
    """
    name = getattr(function, "__name__", "")
    if name not in _FUNCTIONS or getattr(np, name) is not function:
        msg = f"the function {name or type(function).__name__} has no ONNX form here"
        raise NotImplementedError(msg)
    return _FUNCTIONS[name]


def _function(scope: Any, operator: Any, container: Any) -> None:
    step = Step(scope, operator, container)
    if step.model.func is None:
        from skl2onnx.common._registration import get_converter

        get_converter("SklearnFunctionTransformer")(scope, operator, container)
        return
    if step.model.kw_args:
        msg = "a function with arguments of its own has no ONNX form here"
        raise NotImplementedError(msg)
    step.finish(drawn_function(step.model.func)(step, step.given()))
