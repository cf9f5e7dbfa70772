"""ONNX graphs of forests: on their own, fed from a table, and as a step inside a converted scikit-learn pipeline.

onnxmltools converts the same libraries and rounds LightGBM's thresholds to single precision, loses DART's weights,
several targets and categories, and reads neither early stopping nor missing values as the libraries do. What is drawn
here follows the libraries' own files instead; ``parity.py`` holds it against the original all the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from aweigh.bundle.manifest import Graph, GraphInput
from aweigh.errors import UnsupportedModel
from aweigh.models.boosting import Codes
from aweigh.models.family import Form
from aweigh.models.onnx import OnnxModel
from aweigh.models.trees import REAL_ATTRIBUTES, Forest, tree_ensemble
from aweigh.schema.cells import RESERVED_TEXT
from aweigh.schema.column import Column, Scalar, Schema

if TYPE_CHECKING:
    import onnx

OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 8
ML = "ai.onnx.ml"
FOREST_NODE = "aweigh_forest"
"""How the names of our tree nodes begin: they hold the precision that they need already."""

FEWEST_SUMS = 3
"""With two sums a TreeEnsembleClassifier picks its label by a rule of its own."""
LARGEST_WHOLE = 2**24
"""Whole numbers below are distinct in single precision."""

Curve = Literal["identity", "sigmoid", "softmax", "exp", "signed_square", "softplus", "step", "positions"]


@dataclass(frozen=True, slots=True)
class Link:
    """How a forest's sums become what the model answers.

    ``curve`` is applied to ``scale`` times the sums (``step``: 1 above 0; ``positions``: the place of the largest).
    With ``pair`` a single number p becomes the two probabilities 1 - p and p.
    """

    curve: Curve = "identity"
    scale: float = 1.0
    pair: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Boosted:
    """A boosting model as a forest and a link. ``missing`` is a number that means missing besides NaN."""

    forest: Forest
    link: Link
    missing: float | None = None


# -- a pen for each kind of paper ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Pen:
    """Draws nodes: ``node(operator, inputs, attributes)`` gives the output's name, ``constant(values)`` its own.

    ``pair`` is ``node`` for an operator of two outputs.
    """

    node: Callable[..., str]
    pair: Callable[..., tuple[str, str]]
    constant: Callable[[NDArray[np.generic]], str]


@dataclass(slots=True, eq=False)
class _Sheet:
    """The nodes of a graph of our own."""

    nodes: list["onnx.NodeProto"] = field(default_factory=list)
    constants: list["onnx.TensorProto"] = field(default_factory=list)

    def node(self, operator: str, inputs: list[str], *, domain: str = "", **attributes: Any) -> str:
        return self._add(operator, inputs, [""], domain, attributes)[0]

    def pair(self, operator: str, inputs: list[str], *, domain: str = "", **attributes: Any) -> tuple[str, str]:
        first, second = self._add(operator, inputs, ["", "_second"], domain, attributes)
        return first, second

    def _add(
        self, operator: str, inputs: list[str], endings: list[str], domain: str, attributes: dict[str, Any]
    ) -> list[str]:
        from onnx import helper

        name = f"{FOREST_NODE if operator.startswith('Tree') else operator.lower()}_{len(self.nodes)}"
        outputs = [f"{name}{ending}" for ending in endings]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs

    def constant(self, values: NDArray[np.generic]) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name


def container_pen(scope: Any, container: Any) -> Pen:
    """A pen for skl2onnx's own container."""
    from onnx import TensorProto, helper

    def add(operator: str, inputs: list[str], count: int, domain: str, attributes: dict[str, Any]) -> list[str]:
        outputs = [scope.get_unique_variable_name(operator.lower()) for _ in range(count)]
        name = scope.get_unique_operator_name(FOREST_NODE if operator.startswith("Tree") else operator)
        version = OPSETS[ML] if domain == ML else None  # else skl2onnx declares the lowest that it knows of
        container.add_node(operator, inputs, outputs, op_domain=domain, op_version=version, name=name, **attributes)
        return outputs

    def node(operator: str, inputs: list[str], *, domain: str = "", **attributes: Any) -> str:
        return add(operator, inputs, 1, domain, attributes)[0]

    def pair(operator: str, inputs: list[str], *, domain: str = "", **attributes: Any) -> tuple[str, str]:
        first, second = add(operator, inputs, 2, domain, attributes)
        return first, second

    def constant(values: NDArray[np.generic]) -> str:
        name: str = scope.get_unique_variable_name("constant")
        element = TensorProto.STRING if values.dtype == object else helper.np_dtype_to_tensor_dtype(values.dtype)
        container.add_initializer(name, element, list(values.shape), values.ravel().tolist())
        return name

    return Pen(node, pair, constant)


# -- what is drawn ---------------------------------------------------------------------------------------------------


def draw_sums(pen: Pen, given: str, boosted: Boosted, *, zeros_missing: bool = False) -> str:
    """The forest's sums, (rows, targets), of the matrix ``given``; each in the forest's own precision."""
    given, attributes = _prepared(pen, given, boosted, zeros_missing=zeros_missing)
    sums = pen.node("TreeEnsembleRegressor", [given], domain=ML, **attributes)
    return _wide(pen, sums) if boosted.forest.double_sums else sums


def draw_places(pen: Pen, given: str, boosted: Boosted) -> tuple[str, str]:
    """The place of the largest of three sums or more, (rows,), and the sums as ``draw_sums`` gives them.

    The place is found before the node rounds what it gives to single precision: LightGBM's sums of two classes often
    differ in their last bit alone.
    """
    given, attributes = _prepared(pen, given, boosted, zeros_missing=False)
    count = attributes.pop("n_targets")
    renamed = {key.replace("target_", "class_"): value for key, value in attributes.items()}
    labels = {"classlabels_int64s": list(range(count))}
    place, sums = pen.pair("TreeEnsembleClassifier", [given], domain=ML, **labels, **renamed)
    return place, _wide(pen, sums) if boosted.forest.double_sums else sums


def _prepared(pen: Pen, given: str, boosted: Boosted, *, zeros_missing: bool) -> tuple[str, dict[str, Any]]:
    """What a tree node is fed with, and its attributes."""
    forest = boosted.forest
    real = np.float64 if forest.double_values else np.float32
    markers = [] if boosted.missing is None else [boosted.missing]
    for marker in [*markers, *([0.0] if zeros_missing else [])]:
        found = pen.node("Equal", [given, pen.constant(np.array([marker], real))])
        given = pen.node("Where", [found, pen.constant(np.array([np.nan], real)), given])
    attributes = tree_ensemble(forest)
    if forest.double_sums:
        from onnx import numpy_helper

        given = given if forest.double_values else _wide(pen, given)
        for key in REAL_ATTRIBUTES:
            values = np.array(attributes.pop(key), np.float64)
            attributes[f"{key}_as_tensor"] = numpy_helper.from_array(values)
    return given, attributes


def _wide(pen: Pen, name: str) -> str:
    from onnx import TensorProto

    return pen.node("Cast", [name], to=TensorProto.DOUBLE)


def draw_link(pen: Pen, sums: str, link: Link, real: Any) -> str:
    """What the model answers, from the forest's sums; ``real`` is the numpy type of both."""

    def number(value: float) -> str:
        return pen.constant(np.array([value], real))

    if link.scale != 1.0:
        sums = pen.node("Mul", [sums, number(link.scale)])
    match link.curve:
        case "identity":
            value = sums
        case "sigmoid" | "exp" | "softplus":
            value = pen.node(link.curve.capitalize(), [sums])
        case "softmax":
            value = pen.node("Softmax", [sums], axis=1)
        case "signed_square":
            value = pen.node("Mul", [sums, pen.node("Abs", [sums])])
        case "step":
            value = pen.node("Where", [pen.node("Greater", [sums, number(0.0)]), number(1.0), number(0.0)])
        case "positions":
            return pen.node("ArgMax", [sums], axis=1, keepdims=0)
    if link.pair:
        return pen.node("Concat", [pen.node("Sub", [number(1.0), value]), value], axis=1)
    return value


# -- a graph of its own ----------------------------------------------------------------------------------------------


def forest_form(boosted: Boosted, schema: Schema, codes: Codes) -> Form:
    """The model as an ONNX graph: numbers in one matrix, category columns as text beside it.

    Raises:
        UnsupportedModel: a column that trees cannot take.
    """
    from onnx import TensorProto, helper

    forest = boosted.forest
    given_as = TensorProto.DOUBLE if forest.double_values else TensorProto.FLOAT
    real, element = (np.float64, TensorProto.DOUBLE) if forest.double_sums else (np.float32, TensorProto.FLOAT)
    inputs = _inputs(schema.columns, codes, "double" if forest.double_values else "float")
    sheet = _Sheet()
    pen = Pen(sheet.node, sheet.pair, sheet.constant)
    matrix = _draw_matrix(pen, inputs, codes, given_as)
    ordered = [name for one in inputs for name in one.columns]
    boosted = _reordered(boosted, [ordered.index(name) for name in schema.names])
    place, answer = _draw_answers(pen, matrix, boosted, real)
    outputs = [helper.make_tensor_value_info(answer, element, ["rows", None])] if answer else []
    label, kind = _draw_label(pen, place, schema.output.classes)
    if label:
        outputs.insert(0, helper.make_tensor_value_info(label, kind, ["rows"]))
    kinds = {"double": TensorProto.DOUBLE, "float": TensorProto.FLOAT, "string": TensorProto.STRING}
    given = [helper.make_tensor_value_info(one.name, kinds[one.element], ["rows", len(one.columns)]) for one in inputs]
    graph = helper.make_graph(sheet.nodes, "model", given, outputs, sheet.constants)
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="aweigh")
    data = proto.SerializeToString(deterministic=True)
    classes = schema.output.task == "class"
    read = Graph(
        inputs=inputs,
        missing_text=RESERVED_TEXT,
        label=label,
        probabilities=answer if classes else None,
        values=None if classes else answer,
    )
    return Form("onnx", "model/model.onnx", data, OnnxModel(data, read, schema.output).predict, graph=read)


def _draw_answers(pen: Pen, matrix: str, boosted: Boosted, real: Any) -> tuple[str | None, str | None]:
    """The label's place, where the probabilities do not tell it, and the probabilities or numbers."""
    forest, link = boosted.forest, boosted.link
    if link.curve == "positions":
        return draw_link(pen, draw_sums(pen, matrix, boosted), link, real), None
    if is_choice(boosted) and forest.double_sums:
        place, sums = draw_places(pen, matrix, boosted)
        return place, draw_link(pen, sums, link, real)
    return None, draw_link(pen, draw_sums(pen, matrix, boosted), link, real)


def _draw_label(pen: Pen, place: str | None, classes: tuple[Scalar, ...]) -> tuple[str | None, int]:
    """The class that stands at a place, and its element type."""
    from onnx import TensorProto

    if place is None or classes == tuple(range(len(classes))):
        return place, TensorProto.INT64
    text = isinstance(classes[0], str)
    known = np.array(classes, dtype=object if text else None)
    kind = TensorProto.STRING if text else TensorProto.DOUBLE if known.dtype.kind == "f" else TensorProto.INT64
    return pen.node("Gather", [pen.constant(known), place], axis=0), kind


def is_choice(boosted: Boosted) -> bool:
    """Whether the model chooses among three classes or more by the largest of its sums."""
    return boosted.forest.targets >= FEWEST_SUMS and boosted.link.curve in {"softmax", "sigmoid"}


def _inputs(columns: tuple[Column, ...], codes: Codes, element: Literal["float", "double"]) -> tuple[GraphInput, ...]:
    numbers = tuple(column.name for column in columns if column.name not in codes)
    for column in columns:
        if column.name not in codes and not (column.is_number or column.type == "boolean"):
            raise UnsupportedModel(f"column {column.name!r} is {column.type}, and trees take numbers")
    matrix = (GraphInput(name="X", columns=numbers, element=element),) if numbers else ()
    chosen = tuple(
        GraphInput(
            name=f"category_{i}",
            columns=(name,),
            element="string" if all(isinstance(kind, str) for kind in codes[name]) else "float",
        )
        for i, name in enumerate(column.name for column in columns if column.name in codes)
    )
    return (*matrix, *chosen)


def _draw_matrix(pen: Pen, inputs: tuple[GraphInput, ...], codes: Codes, element: int) -> str:
    """Numbers as they are, and each category as its code, NaN where it is missing or unknown; side by side."""
    from onnx import TensorProto

    parts = []
    for one in inputs:
        if one.name == "X":
            parts.append(one.name)
            continue
        kinds = codes[one.columns[0]]
        if any(isinstance(kind, int) and abs(kind) >= LARGEST_WHOLE for kind in kinds):
            raise UnsupportedModel(f"column {one.columns[0]!r} has kinds beyond {LARGEST_WHOLE:,}")
        keys: dict[str, Any] = (
            {"keys_strings": kinds} if one.element == "string" else {"keys_floats": [float(kind) for kind in kinds]}
        )
        coded = pen.node(
            "LabelEncoder",
            [one.name],
            domain=ML,
            values_floats=[float(code) for code in range(len(kinds))],
            default_float=float("nan"),
            **keys,
        )
        parts.append(coded if element == TensorProto.FLOAT else pen.node("Cast", [coded], to=element))
    return parts[0] if len(parts) == 1 else pen.node("Concat", parts, axis=1)


def _reordered(boosted: Boosted, places: list[int]) -> Boosted:
    """The same model asking for each feature where it now stands."""
    from dataclasses import replace

    if places == sorted(places):
        return boosted
    moved = np.array(places, dtype=np.int64)
    trees = tuple(replace(tree, feature=moved[tree.feature]) for tree in boosted.forest.trees)
    return replace(boosted, forest=replace(boosted.forest, trees=trees))
