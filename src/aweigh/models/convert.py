"""scikit-learn to ONNX: the ways that are tried, and what each of them mends first.

skl2onnx converts most estimators and gets some of them wrong without a word, so nothing that comes out of here is
served before ``parity.py`` has held it against the original. What is mended so that more of them agree:

- searches and frozen estimators are unwrapped, voting classifiers flattened;
- missing text is fed as one reserved string, and imputers and encoders are told so on a copy;
- numbers go in as doubles, and trees keep double thresholds: scikit-learn compares them so, and in single precision
  money and whole numbers fall on the wrong side of a threshold;
- trees send missing values the way that they learnt.
"""

import contextlib
import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from aweigh.bundle.manifest import Graph, GraphInput
from aweigh.errors import UnsupportedModel
from aweigh.models import onnx_imputer
from aweigh.models.family import Form, Way
from aweigh.models.onnx import OnnxModel
from aweigh.schema.cells import RESERVED_TEXT
from aweigh.schema.column import Column, Schema

if TYPE_CHECKING:
    import onnx

OPSETS = {"": 18, "ai.onnx.ml": 3}
"""Fixed, so that the same model gives the same bytes; IsolationForest needs ai.onnx.ml 3."""
_DOUBLE_TREE_ATTRIBUTES = ("nodes_values", "class_weights", "target_weights", "base_values")
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


def onnx_form(model: object, schema: Schema, *, number: str, whole: str) -> Form:
    """One conversion: ``number`` and ``whole`` are the element types in which numbers and whole numbers go in.

    Raises:
        UnsupportedModel: a column that no graph can take. skl2onnx raises much else besides.
    """
    inputs = graph_inputs(schema.columns, number=number, whole=whole, matrix=_one_matrix(model, schema))
    proto = _convert(prepared(model), inputs, output_task=schema.output.task)
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
    with _CONVERTING, _double_trees() as trees:
        proto: onnx.ModelProto = convert_sklearn(
            model,
            "model",
            types,
            target_opset=OPSETS,
            options=options,
            custom_conversion_functions={SimpleImputer: onnx_imputer.convert},
            custom_shape_calculators={SimpleImputer: onnx_imputer.shape},
        )
    if any(one.element == "double" for one in inputs):
        _keep_doubles(proto, trees)
    _undress(proto)
    return proto


@contextlib.contextmanager
def _double_trees() -> "Iterator[dict[str, dict[str, np.ndarray[Any, Any]]]]":
    """While open, notes the double-precision attributes of each tree node by its name, before skl2onnx rounds them.

    Also fills in which way a missing value goes, which skl2onnx leaves out for all trees but histogram boosting.
    """
    import sys

    from skl2onnx.common import tree_ensemble
    from skl2onnx.common._container import ModelComponentContainer

    noted: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
    unrounded: dict[str, dict[str, list[float]]] = {}
    add_node = ModelComponentContainer.add_node

    def noting(self: object, op_type: str, *args: object, **attributes: Any) -> object:
        if isinstance(op_type, str) and op_type.startswith("TreeEnsemble"):
            lists = unrounded.get(str(attributes["name"]), {})
            noted[str(attributes["name"])] = {
                key: np.asarray(lists.get(key, attributes[key]), np.float64)
                for key in _DOUBLE_TREE_ATTRIBUTES
                if key in attributes
            }
        return add_node(self, op_type, *args, **attributes)

    def watched(add_tree: Callable[..., None]) -> Callable[..., None]:
        def add_watched(
            attributes: dict[str, Any],
            classifier: bool,  # noqa: FBT001  skl2onnx passes it so
            tree: Any,
            *args: object,
            **named: object,
        ) -> None:
            before = len(attributes["nodes_modes"])
            add_tree(attributes, classifier, tree, *args, **named)
            left = getattr(tree, "missing_go_to_left", None)
            if left is not None:
                attributes["nodes_missing_value_tracks_true"][before:] = [int(one) for one in left[: tree.node_count]]
            if "name" in attributes:  # the lists themselves: converters put rounded arrays in their place
                kept = {
                    key: attributes[key] for key in _DOUBLE_TREE_ATTRIBUTES if isinstance(attributes.get(key), list)
                }
                unrounded[attributes["name"]] = kept

        return add_watched

    originals = {
        "add_tree_to_attribute_pairs": tree_ensemble.add_tree_to_attribute_pairs,
        "add_tree_to_attribute_pairs_hist_gradient_boosting": (
            tree_ensemble.add_tree_to_attribute_pairs_hist_gradient_boosting
        ),
    }
    users = [
        (module, name)
        for key, module in list(sys.modules.items())
        if key.startswith("skl2onnx.")
        for name, original in originals.items()
        if getattr(module, name, None) is original
    ]
    ModelComponentContainer.add_node = noting
    for module, name in users:
        setattr(module, name, watched(originals[name]))
    try:
        yield noted
    finally:
        ModelComponentContainer.add_node = add_node
        for module, name in users:
            setattr(module, name, originals[name])


def _keep_doubles(proto: "onnx.ModelProto", trees: "dict[str, dict[str, np.ndarray[Any, Any]]]") -> None:
    """Gives tree nodes fed with doubles their double thresholds and weights, and widens what they give back.

    A TreeEnsemble node gives single precision whatever it takes, where skl2onnx has declared double.
    """
    from onnx import TensorProto, helper, numpy_helper

    rebuilt, widened = [], set()
    for node in proto.graph.node:
        rebuilt.append(node)
        if not node.op_type.startswith("TreeEnsemble") or node.name not in trees:
            continue
        doubles = trees[node.name]
        kept = [one for one in node.attribute if one.name not in doubles and one.name != "nodes_hitrates"]
        del node.attribute[:]
        node.attribute.extend(kept)
        for key, values in sorted(doubles.items()):
            node.attribute.append(helper.make_attribute(f"{key}_as_tensor", numpy_helper.from_array(values)))
        node.attribute.sort(key=lambda one: one.name)
        at = 1 if node.op_type == "TreeEnsembleClassifier" else 0
        wide, single = node.output[at], f"{node.output[at]}_single"
        node.output[at] = single
        widened.add(wide)
        rebuilt.append(helper.make_node("Cast", [single], [wide], name=f"{node.name}_wide", to=TensorProto.DOUBLE))
    del proto.graph.node[:]
    proto.graph.node.extend(rebuilt)
    for output in proto.graph.output:
        if output.name in widened:
            output.type.tensor_type.elem_type = TensorProto.DOUBLE
    for opset in proto.opset_import:  # skl2onnx declares the lowest that its own attributes need
        if opset.domain == "ai.onnx.ml":
            opset.version = max(opset.version, OPSETS["ai.onnx.ml"])


def _undress(proto: "onnx.ModelProto") -> None:
    """Takes out what differs from run to run and machine to machine and serves nobody."""
    proto.doc_string = ""
    proto.graph.doc_string = ""
    proto.producer_version = ""
    for node in proto.graph.node:
        node.doc_string = ""
