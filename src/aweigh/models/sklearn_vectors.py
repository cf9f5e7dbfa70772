"""scikit-learn's linear classifiers without probabilities and its support vector machines, drawn in double precision.

ONNX has an operator for each, and ONNX Runtime computes them in single precision; a row near the boundary would get the
other label.
"""

# ruff: noqa: SLF001  libsvm's own coefficients, before scikit-learn turns the signs of two classes, are undocumented

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.models.step import Convert, Shape, Step, Steps, real_shape


def steps() -> Steps:
    """The classes that are drawn here."""
    from sklearn import linear_model, svm

    converters: dict[type, Convert] = {
        linear_model.RidgeClassifier: _linear_classifier,
        linear_model.RidgeClassifierCV: _linear_classifier,
        svm.LinearSVC: _linear_classifier,
        svm.SVC: _machine_classifier,
        svm.NuSVC: _machine_classifier,
        svm.SVR: _machine_regressor,
        svm.NuSVR: _machine_regressor,
        svm.OneClassSVM: _machine_outlier,
    }
    shapes: dict[type, Shape] = dict.fromkeys((svm.SVR, svm.NuSVR), _one_number)
    return Steps(converters, shapes)


def _one_number(operator: Any) -> None:
    real_shape(operator, 1)


def _own(scope: Any, operator: Any, container: Any) -> None:
    """Leaves the step to skl2onnx."""
    from skl2onnx.common._registration import get_converter

    get_converter(operator.type)(scope, operator, container)


def _flat(step: Step, column: str) -> str:
    return step.pen.node("Reshape", [column, step.whole(-1)])


# -- linear ----------------------------------------------------------------------------------------------------------


def _linear_classifier(scope: Any, operator: Any, container: Any) -> None:
    from onnx import TensorProto

    step = Step(scope, operator, container)
    if step.wants_raw_scores:
        _own(scope, operator, container)
        return
    pen, model = step.pen, step.model
    product = pen.node("MatMul", [step.given(), step.numbers(np.atleast_2d(model.coef_).T)])
    scores = pen.node("Add", [product, step.numbers(np.atleast_1d(model.intercept_))])
    if len(model.classes_) > 2:
        step.finish(step.labels(pen.node("ArgMax", [scores], axis=1, keepdims=0)), scores)
        return
    place = pen.node("Cast", [_flat(step, step.binary("Greater", scores, 0.0))], to=TensorProto.INT64)
    step.finish(step.labels(place), pen.node("Concat", [pen.node("Neg", [scores]), scores], axis=1))


# -- support vectors -------------------------------------------------------------------------------------------------


def _kernel(step: Step) -> str:
    """The kernel of each row with each support vector, (rows, vectors)."""
    model, pen, given = step.model, step.pen, step.given()
    vectors = np.asarray(model.support_vectors_, dtype=np.float64)
    gamma = float(model._gamma)
    if model.kernel == "rbf":
        return pen.node("Exp", [step.binary("Mul", _squared_distances(step, given, vectors), -gamma)])
    product = pen.node("MatMul", [given, step.numbers(vectors.T)])
    if model.kernel == "linear":
        return product
    shifted = step.binary("Add", step.binary("Mul", product, gamma), float(model.coef0))
    if model.kernel == "poly":
        return step.binary("Pow", shifted, float(model.degree))
    if model.kernel == "sigmoid":
        return pen.node("Tanh", [shifted])
    msg = f"support vectors with the kernel {model.kernel!r} have no ONNX form here"
    raise NotImplementedError(msg)


def _squared_distances(step: Step, given: str, vectors: NDArray[np.float64]) -> str:
    """|x|^2 - 2xy + |y|^2 about the vectors' own middle: columns far from zero would leave little of it elsewhere."""
    pen = step.pen
    middle = vectors.mean(axis=0)
    centred = vectors - middle
    rows = pen.node("Sub", [given, step.numbers(middle)])
    own = pen.node("ReduceSum", [pen.node("Mul", [rows, rows]), step.whole(1)], keepdims=1)
    mixed = pen.node("MatMul", [rows, step.numbers(-2.0 * centred.T)])
    apart = pen.node("Add", [pen.node("Add", [own, mixed]), step.numbers((centred**2).sum(axis=1))])
    return step.binary("Max", apart, 0.0)


def _decision(step: Step) -> str:
    product = step.pen.node("MatMul", [_kernel(step), step.numbers(step.model._dual_coef_.T)])
    return step.pen.node("Add", [product, step.numbers(step.model._intercept_)])


def _machine_regressor(scope: Any, operator: Any, container: Any) -> None:
    step = Step(scope, operator, container)
    step.finish(_decision(step))


def _machine_outlier(scope: Any, operator: Any, container: Any) -> None:
    step = Step(scope, operator, container)
    scores = _decision(step)
    strange = _flat(step, step.binary("LessOrEqual", scores, 0.0))
    step.finish(step.pen.node("Where", [strange, step.whole(-1), step.whole(1)]), scores)


def _machine_classifier(scope: Any, operator: Any, container: Any) -> None:
    """libsvm's vote: every pair of classes has a decision, the class with most of them wins, the first on a tie."""
    from onnx import TensorProto

    step = Step(scope, operator, container)
    model = step.model
    if model.probability is True:  # from scikit-learn 1.9 on, what is not said is the word "deprecated"
        msg = "libsvm finds probabilities step by step, and in single precision ends at another step"
        raise NotImplementedError(msg)
    if model.break_ties or step.wants_raw_scores:
        _own(scope, operator, container)
        return
    pen = step.pen
    weights, pairs = pair_weights(model)
    product = pen.node("MatMul", [_kernel(step), step.numbers(weights)])
    decisions = pen.node("Add", [product, step.numbers(model._intercept_)])
    first = pen.node("Cast", [step.binary("Greater", decisions, 0.0)], to=TensorProto.DOUBLE)
    votes = np.zeros((2, len(pairs), len(model.classes_)))
    for place, pair in enumerate(pairs):
        votes[0, place, pair[0]] = 1.0
        votes[1, place, pair[1]] = 1.0
    second = pen.node("Sub", [step.number(1.0), first])
    counted = pen.node(
        "Add",
        [pen.node("MatMul", [first, step.numbers(votes[0])]), pen.node("MatMul", [second, step.numbers(votes[1])])],
    )
    step.finish(step.labels(pen.node("ArgMax", [counted], axis=1, keepdims=0)), counted)


def pair_weights(model: Any) -> tuple[NDArray[np.float64], list[tuple[int, int]]]:
    """The weight of each support vector in each pair's decision, (vectors, pairs), and the pairs in libsvm's order.

    libsvm keeps the vectors class by class, and for each the coefficients against all other classes (Chang and Lin,
    "LIBSVM", section 4.1).
    """
    coefficients = np.asarray(model._dual_coef_)
    ends = np.cumsum([0, *model._n_support])
    count = len(model.classes_)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    weights = np.zeros((coefficients.shape[1], len(pairs)))
    for place, (i, j) in enumerate(pairs):
        of_first, of_second = slice(ends[i], ends[i + 1]), slice(ends[j], ends[j + 1])
        weights[of_first, place] = coefficients[j - 1, of_first]
        weights[of_second, place] = coefficients[i, of_second]
    return weights, pairs
