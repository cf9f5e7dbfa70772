"""scikit-learn to ONNX: the ways that are tried, and what each of them mends first.

skl2onnx converts most estimators and gets some of them wrong without a word, so nothing that comes out of here is
served before ``parity.py`` has held it against the original. What is mended so that more of them agree:

- searches and frozen estimators are unwrapped, voting classifiers flattened;
- missing text is fed as one reserved string, and imputers and encoders are told so on a copy;
- numbers go in as doubles, and trees keep double thresholds: scikit-learn compares them so, and in single precision
  money and whole numbers fall on the wrong side of a threshold;
- trees send missing values the way that they learnt.
"""

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from aweigh.bundle.manifest import Graph, GraphInput
from aweigh.errors import UnsupportedModel
from aweigh.models import onnx_imputer, sklearn_trees
from aweigh.models.boosting_steps import ZEROS_MISSING, known_steps
from aweigh.models.family import Form, Way
from aweigh.models.onnx import OnnxModel
from aweigh.schema.cells import RESERVED_TEXT
from aweigh.schema.column import Column, Schema

if TYPE_CHECKING:
    import onnx

OPSETS = {"": 18, "ai.onnx.ml": 3}
"""Fixed, so that the same model gives the same bytes; IsolationForest needs ai.onnx.ml 3."""
_CONVERTING = threading.Lock()
_OUTPUTS = {"class": ("label", "probabilities"), "outlier": ("label", "scores"), "cluster": ("label", None)}


# -- the estimator, made ready on a copy -----------------------------------------------------------------------------


def unwrap(model: object) -> object:
    """A copy in which every search stands as the estimator it found, and every frozen estimator as itself."""
    return _rebuild(copy.deepcopy(model), _unwrapped)


def _unwrapped(part: Any) -> object:
    while True:
        if hasattr(part, "best_estimator_"):
            part = part.best_estimator_
        elif type(part).__name__ == "FrozenEstimator":
            part = part.estimator
        else:
            return part


def prepared(model: object) -> object:
    """The copy that is converted: unwrapped, and told how missing text is spelled inside the graph."""
    return _rebuild(unwrap(model), _respelled)


def _respelled(part: Any) -> object:
    kind = type(part).__name__
    if kind == "SimpleImputer" and getattr(part, "statistics_", np.zeros(0)).dtype == object:
        part.missing_values = RESERVED_TEXT
    elif kind in {"OneHotEncoder", "OrdinalEncoder"} and hasattr(part, "categories_"):
        part.categories_ = [_respelled_categories(one) for one in part.categories_]
    elif kind == "VotingClassifier":
        part.flatten_transform = False
    return part


def _respelled_categories(categories: Any) -> Any:
    if categories.dtype.kind not in "OUT":
        return categories
    spelled = [RESERVED_TEXT if one is None or one != one else one for one in categories.tolist()]  # noqa: PLR0124  NaN
    return np.array(spelled, dtype=object)


def _rebuild(part: Any, change: Callable[[Any], object]) -> Any:
    """Applies ``change`` to an estimator and to every estimator that it holds, wherever it holds them."""
    part = change(part)
    if hasattr(part, "get_params") and hasattr(part, "__dict__"):
        for name, value in list(vars(part).items()):
            new = _rebuild_held(value, change)
            if new is not value:
                setattr(part, name, new)
    return part


def _rebuild_held(value: Any, change: Callable[[Any], object]) -> Any:
    if hasattr(value, "get_params") and not isinstance(value, type):
        return _rebuild(value, change)
    if isinstance(value, list | tuple) and any(_holds_estimator(one) for one in value):
        return type(value)(_rebuild_held(one, change) for one in value) if type(value) in {list, tuple} else value
    if isinstance(value, dict) and any(_holds_estimator(one) for one in value.values()):
        if type(value) is dict:
            return {key: _rebuild_held(one, change) for key, one in value.items()}
        for key in list(value):  # a Bunch: changed in place
            value[key] = _rebuild_held(value[key], change)
    return value


def _holds_estimator(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_estimator(one) for one in value)
    return hasattr(value, "get_params") and not isinstance(value, type)


# -- the ways --------------------------------------------------------------------------------------------------------


def onnx_ways(model: object, schema: Schema) -> Iterator[Way]:
    """ONNX in double precision first, then single; whole numbers as whole numbers where there are any."""
    elements = [("in double precision", "double", "double"), ("in single precision", "float", "float")]
    if any(column.type in {"integer", "boolean"} for column in schema.columns) and not _one_matrix(model, schema):
        elements.insert(1, ("in double precision, whole numbers kept whole", "double", "int64"))
    for name, number, whole in elements:
        yield Way(f"ONNX {name}", partial(onnx_form, model, schema, number=number, whole=whole))
    if any(type(part).__module__.startswith("xgboost") for part in _parts(model)):
        form = partial(onnx_form, model, schema, number="double", whole="double", zeros_missing=True)
        yield Way("ONNX in double precision, zeros missing to XGBoost as in sparse rows", form)


def onnx_form(model: object, schema: Schema, *, number: str, whole: str, zeros_missing: bool = False) -> Form:
    """One conversion: ``number`` and ``whole`` are the element types in which numbers and whole numbers go in.

    With ``zeros_missing`` an XGBoost step takes zeros for missing: it does so with the absent cells of sparse rows,
    such as a one-hot encoder gives it.

    Raises:
        UnsupportedModel: a column that no graph can take. skl2onnx raises much else besides.
    """
    inputs = graph_inputs(schema.columns, number=number, whole=whole, matrix=_one_matrix(model, schema))
    ready = prepared(model)
    for part in _parts(ready) if zeros_missing else ():
        setattr(part, ZEROS_MISSING, True)
    proto = _convert(ready, inputs, output_task=schema.output.task)
    names = [one.name for one in proto.graph.output]
    graph = _read_as(names, inputs, schema)
    data = proto.SerializeToString(deterministic=True)
    return Form("onnx", "model/model.onnx", data, OnnxModel(data, graph, schema.output).predict, graph=graph)


def _read_as(names: Sequence[str], inputs: tuple[GraphInput, ...], schema: Schema) -> Graph:
    task, output = schema.output.task, schema.output
    if task not in _OUTPUTS:
        return Graph(inputs=inputs, missing_text=RESERVED_TEXT, values=names[0])
    label, second = names[0], names[1] if len(names) > 1 else None
    if task == "class":
        wanted = second if output.probabilities else None
        return Graph(inputs=inputs, missing_text=RESERVED_TEXT, label=label, probabilities=wanted)
    if task == "outlier":
        return Graph(inputs=inputs, missing_text=RESERVED_TEXT, label=label, scores=second if output.scores else None)
    return Graph(inputs=inputs, missing_text=RESERVED_TEXT, label=label)


def _one_matrix(model: object, schema: Schema) -> bool:
    """Whether the graph takes all columns side by side: all are numbers and nothing selects them by name."""
    if not all(column.is_number or column.type == "boolean" for column in schema.columns):
        return False
    return not any(type(part).__name__ == "ColumnTransformer" for part in _parts(model))


def _parts(model: object) -> list[object]:
    """Every estimator that a model holds, itself included."""
    found: list[object] = []

    def note(part: Any) -> object:
        found.append(part)
        return part

    _rebuild(copy.copy(model), note)
    return found


def graph_inputs(columns: Sequence[Column], *, number: str, whole: str, matrix: bool) -> tuple[GraphInput, ...]:
    """How a table is laid out for the graph: one matrix, or an input for each column.

    Raises:
        UnsupportedModel: a point in time, which no graph takes.
    """
    if matrix:
        names = tuple(column.name for column in columns)
        return (GraphInput(name="X", columns=names, element=number),)  # type: ignore[arg-type]
    return tuple(
        GraphInput(name=column.name, columns=(column.name,), element=_element(column, number, whole))  # type: ignore[arg-type]
        for column in columns
    )


def _element(column: Column, number: str, whole: str) -> str:
    if column.is_text or (column.type == "date" and column.dtype in {"str", "object"}):
        return "string"
    if column.is_time:
        raise UnsupportedModel(f"column {column.name!r} is a point in time, which an ONNX graph does not take")
    if column.type == "number" or column.nullable:
        return number
    return whole


# -- the conversion --------------------------------------------------------------------------------------------------


def _convert(model: object, inputs: tuple[GraphInput, ...], *, output_task: str) -> "onnx.ModelProto":
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
    from sklearn.impute import SimpleImputer

    kinds = {"double": DoubleTensorType, "float": FloatTensorType, "int64": Int64TensorType, "string": StringTensorType}
    types = [(one.name, kinds[one.element]([None, len(one.columns)])) for one in inputs]
    options = {id(model): {"zipmap": False}} if output_task == "class" else None
    with _CONVERTING, known_steps(_parts(model)):
        proto: onnx.ModelProto = convert_sklearn(
            model,
            "model",
            types,
            target_opset=OPSETS,
            options=options,
            custom_conversion_functions={**sklearn_trees.converters(), SimpleImputer: onnx_imputer.convert},
            custom_shape_calculators={SimpleImputer: onnx_imputer.shape},
        )
    for opset in proto.opset_import:  # skl2onnx declares the lowest that its own attributes need
        opset.version = max(opset.version, OPSETS.get(opset.domain, 0))
    _undress(proto)
    return proto


def _undress(proto: "onnx.ModelProto") -> None:
    """Takes out what differs from run to run and machine to machine and serves nobody."""
    proto.doc_string = ""
    proto.graph.doc_string = ""
    proto.producer_version = ""
    for node in proto.graph.node:
        node.doc_string = ""
