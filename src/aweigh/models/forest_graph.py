"""ONNX graphs of forests: on their own, fed from a table, and as a step inside a converted scikit-learn pipeline.

onnxmltools converts the same libraries and rounds LightGBM's thresholds to single precision, loses DART's weights,
several targets and categories, and reads neither early stopping nor missing values as the libraries do. What is drawn
here follows the libraries' own files instead; ``parity.py`` holds it against the original all the same.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from aweigh.bundle.manifest import Graph, GraphInput
from aweigh.errors import UnsupportedModel
from aweigh.models.boosting import Codes
from aweigh.models.family import Form
from aweigh.models.onnx import OnnxModel
from aweigh.models.pens import ML, OPSETS, Pen, Sheet
from aweigh.models.tailed import PLACE, SUMS
from aweigh.models.trees import REAL_ATTRIBUTES, Forest, tree_ensemble
from aweigh.schema.cells import RESERVED_TEXT
from aweigh.schema.column import Column, Scalar, Schema

IR_VERSION = 8
FEWEST_SUMS = 3
"""With two sums a TreeEnsembleClassifier picks its label by a rule of its own."""

LANES = 8
"""The most doubles that a processor takes at once."""
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


def draw_link(pen: Pen, sums: str, link: Link, real: Any, *, width: int) -> str:
    """What the model answers, from the forest's sums, (rows, width); ``real`` is the numpy type of both."""

    def number(value: float) -> str:
        return pen.constant(np.array([value], real))

    if link.scale != 1.0:
        sums = pen.node("Mul", [sums, number(link.scale)])
    match link.curve:
        case "identity":
            value = sums
        case "sigmoid" | "exp" | "softplus" | "softmax":
            value = _draw_curve(pen, sums, link.curve, real, width)
        case "signed_square":
            value = pen.node("Mul", [sums, pen.node("Abs", [sums])])
        case "step":
            value = pen.node("Where", [pen.node("Greater", [sums, number(0.0)]), number(1.0), number(0.0)])
        case "positions":
            return pen.node("ArgMax", [sums], axis=1, keepdims=0)
    if link.pair:
        return pen.node("Concat", [pen.node("Sub", [number(1.0), value]), value], axis=1)
    return value


def _draw_curve(pen: Pen, sums: str, curve: Curve, real: Any, width: int) -> str:
    """A curve of the sums that gives a number the same bits wherever in the table it stands.

    In double precision ONNX Runtime takes 2 to 8 numbers at once and what is left over one by one, by another
    arithmetic: 69 of 5,001 rows came out otherwise alone than together. Rows of ``LANES`` numbers leave nothing over.
    """
    attributes = {"axis": 1} if curve == "softmax" else {}
    operator = curve.capitalize()
    missing = -width % LANES
    if real is not np.float64 or not missing:
        return pen.node(operator, [sums], **attributes)
    nothing = -np.inf if curve == "softmax" else 0.0
    filled = pen.node("Pad", [sums, _whole(pen, 0, 0, 0, missing), pen.constant(np.array(nothing, real))])
    curved = pen.node(operator, [filled], **attributes)
    return pen.node("Slice", [curved, _whole(pen, 0), _whole(pen, width), _whole(pen, 1)])


def _whole(pen: Pen, *values: int) -> str:
    return pen.constant(np.array(values, np.int64))


# -- a graph of its own ----------------------------------------------------------------------------------------------


def forest_form(boosted: Boosted, schema: Schema, codes: Codes) -> Form:
    """The model as an ONNX graph: numbers in one matrix, category columns as text beside it.

    Raises:
        UnsupportedModel: a column that trees cannot take.
    """
    from onnx import TensorProto, helper

    forest, output = boosted.forest, schema.output
    inputs = _inputs(schema.columns, codes, "double" if forest.double_values else "float")
    sheet = Sheet()
    pen = Pen(sheet.node, sheet.pair, sheet.constant)
    matrix = _draw_matrix(pen, inputs, codes, TensorProto.DOUBLE if forest.double_values else TensorProto.FLOAT)
    ordered = [name for one in inputs for name in one.columns]
    boosted = _reordered(boosted, [ordered.index(name) for name in schema.names])
    place, sums = _draw_sums(pen, matrix, boosted)
    label, answer, outputs = _draw_answers(pen, place, sums, boosted, output.classes)
    kinds = {"double": TensorProto.DOUBLE, "float": TensorProto.FLOAT, "string": TensorProto.STRING}
    given = [helper.make_tensor_value_info(one.name, kinds[one.element], ["rows", len(one.columns)]) for one in inputs]
    data = _graph(sheet, given, outputs)
    classes = output.task == "class"
    read = Graph(
        inputs=inputs,
        missing_text=RESERVED_TEXT,
        label=label,
        probabilities=answer if classes else None,
        values=None if classes else answer,
    )
    predict = OnnxModel(data, read, output).predict
    tail = _tail(boosted, output.classes, places=place is not None)
    return Form("onnx", "model/model.onnx", data, predict, graph=read, tail=tail)


def _graph(sheet: Sheet, given: list[Any], outputs: list[Any]) -> bytes:
    from onnx import helper

    graph = helper.make_graph(sheet.nodes, "model", given, outputs, sheet.constants)
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="aweigh")
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _tail(boosted: Boosted, classes: tuple[Scalar, ...], *, places: bool) -> bytes:
    """The graph from the sums on: ``sums`` as a tree node gives them, and ``place`` where it finds the largest itself.

    With it a library's own sums become answers by the very operators that the whole graph ends in.
    """
    from onnx import TensorProto, helper

    sheet = Sheet()
    pen = Pen(sheet.node, sheet.pair, sheet.constant)
    given = [helper.make_tensor_value_info(SUMS, TensorProto.FLOAT, ["rows", boosted.forest.targets])]
    if places:
        given.append(helper.make_tensor_value_info(PLACE, TensorProto.INT64, ["rows"]))
    sums = _wide(pen, SUMS) if boosted.forest.double_sums else SUMS
    place = pen.node("Identity", [PLACE]) if places else None
    if boosted.link.curve == "identity" and not boosted.link.pair:
        sums = pen.node("Identity", [sums])  # what comes in does not go out as the same
    return _graph(sheet, given, _draw_answers(pen, place, sums, boosted, classes)[2])


def _draw_sums(pen: Pen, matrix: str, boosted: Boosted) -> tuple[str | None, str]:
    """The place of the largest sum, where it must be found before they are rounded, and the sums."""
    if is_choice(boosted) and boosted.forest.double_sums:
        return draw_places(pen, matrix, boosted)
    return None, draw_sums(pen, matrix, boosted)


def _draw_answers(
    pen: Pen, place: str | None, sums: str, boosted: Boosted, classes: tuple[Scalar, ...]
) -> tuple[str | None, str | None, list[Any]]:
    """The label, where probabilities do not tell it, the probabilities or numbers, and both as a graph's outputs."""
    from onnx import TensorProto, helper

    forest, link = boosted.forest, boosted.link
    real, element = (np.float64, TensorProto.DOUBLE) if forest.double_sums else (np.float32, TensorProto.FLOAT)
    answer: str | None = draw_link(pen, sums, link, real, width=forest.targets)
    if link.curve == "positions":
        place, answer = answer, None
    outputs = [helper.make_tensor_value_info(answer, element, ["rows", None])] if answer else []
    label, kind = _draw_label(pen, place, classes)
    if label:
        outputs.insert(0, helper.make_tensor_value_info(label, kind, ["rows"]))
    return label, answer, outputs


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
