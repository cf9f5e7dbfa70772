"""XGBoost, LightGBM and CatBoost as steps of scikit-learn models that skl2onnx converts.

While ``known_steps`` is open, skl2onnx draws such a step as the forest that it is (``forest_graph.py``): cast to the
precision in which its library compares, with its label and probabilities behind it. What the process had registered
for these classes before is in force again afterwards.
"""

import contextlib
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from aweigh.errors import UnsupportedModel
from aweigh.models.forest_graph import Boosted, draw_link, draw_places, draw_sums, is_choice
from aweigh.models.forest_graph import Link as ForestLink
from aweigh.models.pens import container_pen

_STEPS = {
    "xgboost": ("XGBClassifier", "XGBRFClassifier", "XGBRegressor", "XGBRFRegressor"),
    "lightgbm": ("LGBMClassifier", "LGBMRegressor"),
    "catboost": ("CatBoostClassifier", "CatBoostRegressor"),
}
ZEROS_MISSING = "_aweigh_zeros_missing"
"""Set on an XGBoost step that is fed with sparse rows, whose absent zeros XGBoost takes for missing."""
_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
}
_RAW_SCORES = {"raw_scores": [True, False]}


def boosted_of(model: Any) -> Boosted:
    """A fitted boosting estimator as a forest.

    Raises:
        UnsupportedModel: it is of no library that is known here, or of a kind that a forest cannot say.
    """
    top = type(model).__module__.partition(".")[0]
    if top not in _STEPS:
        raise UnsupportedModel(f"a {type(model).__name__} is no boosting model that is known here")
    boosted: Boosted = import_module(f"aweigh.models.{top}_trees").boosted(model)
    return boosted


def is_step(model: object) -> bool:
    """Whether this estimator is one that is drawn here."""
    top = type(model).__module__.partition(".")[0]
    return type(model).__name__ in _STEPS.get(top, ())


@contextlib.contextmanager
def known_steps(parts: list[object]) -> Iterator[None]:
    """While open, skl2onnx converts those of ``parts`` that are boosting estimators."""
    from skl2onnx._parse import sklearn_parsers_map
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common._registration import register_converter, register_shape_calculator

    classes = {type(part) for part in parts if is_step(part)}
    named = {one: sklearn_operator_name_map.get(one) for one in classes}
    parsed = {one: sklearn_parsers_map.get(one) for one in classes}
    for one in classes:
        alias = f"Aweigh{one.__name__}"
        classifier = one.__name__.endswith("Classifier")
        # Calibration asks for raw scores where there is the option, as scikit-learn does where there is the method.
        options = _OPTIONS | _RAW_SCORES if hasattr(one, "decision_function") else _OPTIONS
        register_converter(alias, _convert, overwrite=True, options=options if classifier else {})
        register_shape_calculator(alias, _shape, overwrite=True)
        sklearn_operator_name_map[one] = alias
        if classifier:
            sklearn_parsers_map[one] = _parse_classifier
    try:
        yield
    finally:
        _restore(sklearn_operator_name_map, named)
        _restore(sklearn_parsers_map, parsed)


def _restore(registry: dict[Any, Any], before: dict[Any, Any]) -> None:
    for key, value in before.items():
        if value is None:
            registry.pop(key, None)
        else:
            registry[key] = value


def _parse_classifier(scope: Any, model: Any, inputs: list[Any], custom_parsers: object = None) -> Any:
    """A classifier's two outputs; skl2onnx knows a classifier by a base class that CatBoost's has not."""
    del custom_parsers
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common.data_types import Int64TensorType, guess_tensor_type

    operator = scope.declare_local_operator(sklearn_operator_name_map[type(model)], model)
    operator.inputs = inputs
    operator.outputs.append(scope.declare_local_variable("label", Int64TensorType()))
    operator.outputs.append(scope.declare_local_variable("probabilities", guess_tensor_type(inputs[0].type)))
    return operator.outputs


def _is_classifier(operator: Any) -> bool:
    return bool(type(operator.raw_operator).__name__.endswith("Classifier"))


def _shape(operator: Any) -> None:
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType, guess_tensor_type

    rows = operator.inputs[0].type.shape[0]
    real = type(guess_tensor_type(operator.inputs[0].type))
    if not _is_classifier(operator):
        operator.outputs[0].type = real([rows, None])
        return
    classes = np.asarray(operator.raw_operator.classes_)
    operator.outputs[0].type = (StringTensorType if classes.dtype.kind in "OUS" else Int64TensorType)([rows])
    operator.outputs[1].type = real([rows, len(classes)])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    from onnx import TensorProto
    from skl2onnx.common.data_types import guess_proto_type, guess_tensor_type

    model = operator.raw_operator
    boosted = boosted_of(model)
    pen = container_pen(scope, container)
    element = TensorProto.DOUBLE if boosted.forest.double_values else TensorProto.FLOAT
    real = np.float64 if boosted.forest.double_sums else np.float32
    parts = [pen.node("Cast", [one.full_name], to=element) for one in operator.inputs]
    given = parts[0] if len(parts) == 1 else pen.node("Concat", parts, axis=1)
    zeros_missing = getattr(model, ZEROS_MISSING, False)
    wanted = guess_proto_type(guess_tensor_type(operator.inputs[0].type))
    if not _is_classifier(operator):
        sums = draw_sums(pen, given, boosted, zeros_missing=zeros_missing)
        value = draw_link(pen, sums, boosted.link, real, width=boosted.forest.targets)
        container.add_node("Cast", value, operator.outputs[0].full_name, to=wanted, name=_name(scope, "Cast"))
        return
    if is_choice(boosted) and boosted.forest.double_sums:
        place, sums = draw_places(pen, given, boosted)
    else:
        place, sums = "", draw_sums(pen, given, boosted, zeros_missing=zeros_missing)
    chances = draw_link(pen, sums, boosted.link, real, width=boosted.forest.targets)
    if boosted.link.curve == "positions":
        raise UnsupportedModel(f"the {type(model).__name__} inside gives labels without probabilities")
    classes = np.asarray(model.classes_)
    labels = classes.astype(object) if classes.dtype.kind in "OUS" else classes.astype(np.int64)
    place = place or pen.node("ArgMax", [chances], axis=1, keepdims=0)
    container.add_node(
        "Gather", [pen.constant(labels), place], operator.outputs[0].full_name, axis=0, name=_name(scope, "Gather")
    )
    if hasattr(model, "decision_function") and scope.get_options(model, {"raw_scores": False})["raw_scores"]:
        chances = draw_link(pen, sums, ForestLink(), real, width=boosted.forest.targets)
        if boosted.forest.targets == 1:  # skl2onnx takes the second of two, as of probabilities
            chances = pen.node("Concat", [pen.node("Neg", [chances]), chances], axis=1)
    container.add_node("Cast", chances, operator.outputs[1].full_name, to=wanted, name=_name(scope, "Cast"))


def _name(scope: Any, operator: str) -> str:
    name: str = scope.get_unique_operator_name(operator)
    return name
