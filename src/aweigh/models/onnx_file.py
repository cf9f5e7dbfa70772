"""A user's ONNX file: what it takes, what it answers, and the same graph with outputs that a server can read.

Nothing is parsed before ``onnx_wire`` has seen that the file reaches for no other. A graph that takes pictures or
sequences, uses operators of somebody's own, or answers in a way whose meaning nobody can tell is refused, with a way
out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from aweigh.errors import UnreadableModel, UnsupportedModel
from aweigh.models.onnx_session import open_session, too_new
from aweigh.models.onnx_wire import check_wire
from aweigh.schema.column import Scalar

if TYPE_CHECKING:
    import onnx
    import onnxruntime

CHECKED_BYTES = 256 * 2**20
"""The ONNX checker copies what it checks; larger graphs are checked by ONNX Runtime alone, when it loads them."""
KNOWN_DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft"))
_TENSOR = "tensor("
_REALS = frozenset(("float", "double", "float16"))
_LABELS = frozenset(("int64", "int32", "string", "bool"))
_PASSING = frozenset(("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"))
"""Operators that hand on what they are given, element by element."""

Element = Literal["float", "double", "int64", "bool", "string"]
_WIDE: tuple[Element, ...] = ("float", "double", "int64", "bool", "string")
_ELEMENTS: dict[str, Element] = {
    **{one: one for one in _WIDE},
    "float16": "float",
    "int8": "int64",
    "int16": "int64",
    "int32": "int64",
    "uint8": "int64",
    "uint16": "int64",
    "uint32": "int64",
}
"""What an input is fed with, by its own type; the narrow ones are cast inside the graph."""

ReadTask = Literal["class", "number", "numbers", "cluster", "outlier"]


@dataclass(frozen=True, slots=True)
class Input:
    """One input: ``element`` is what it is fed with (narrower types are cast inside the graph), ``own`` its own type.

    ``width`` is how many columns it takes, None when the graph does not say.
    """

    name: str
    element: Element
    own: str
    width: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """How the outputs are meant. ``mapped`` tells that ``second`` is ZipMap's list of a dict for each row.

    ``label`` and ``second`` name outputs: of a class and its probabilities, a cluster, an outlier and its score;
    ``numbers`` those that are numbers.
    """

    task: ReadTask
    classes: tuple[Scalar, ...] = ()
    label: str | None = None
    second: str | None = None
    mapped: bool = False
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class OnnxFile:
    """A graph as it came, ``data``, and what is known of it. ``one_row`` tells that it takes one row at a time."""

    data: bytes
    proto: "onnx.ModelProto"
    session: "onnxruntime.InferenceSession"
    inputs: tuple[Input, ...]
    reading: Reading
    one_row: bool


def open_file(data: bytes) -> OnnxFile:
    """The graph in these bytes.

    Raises:
        UnreadableModel: they are no ONNX graph.
        UnsupportedModel: it needs other files or operators, or its inputs or outputs mean nothing here.
    """
    from aweigh.registry import require

    check_wire(data)
    require("onnx", what="reading an ONNX file", extra="pack")
    proto = _parse(data)
    _check_operators(proto)
    session = open_session(data)
    inputs = tuple(_input(one) for one in session.get_inputs())
    if not inputs:
        raise UnsupportedModel("The graph has no input.")
    one_row = _one_row(session.get_inputs())
    return OnnxFile(data, proto, session, inputs, _reading(proto, session.get_outputs()), one_row)


def _parse(data: bytes) -> "onnx.ModelProto":
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load_model_from_string(data)
        if proto.ir_version > onnx.IR_VERSION:
            raise too_new(f"the onnx {onnx.__version__} here knows")
        _refuse_circles(proto)
        if len(data) <= CHECKED_BYTES and not _is_later(proto):
            onnx.checker.check_model(proto)
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        said = str(error).strip().split("\n", 1)[0][:200]
        raise UnreadableModel(f"The file is no valid ONNX graph: {said}.", hint="export it again") from error
    return proto


def _is_later(proto: "onnx.ModelProto") -> bool:
    """Whether it is of operators that the checker does not know; ONNX Runtime may."""
    import onnx

    known = onnx.defs.onnx_opset_version()
    return any(one.domain in {"", "ai.onnx"} and one.version > known for one in proto.opset_import)


# -- operators -------------------------------------------------------------------------------------------------------


def _check_operators(proto: "onnx.ModelProto") -> None:
    own = {(function.domain, function.name) for function in proto.functions}
    for node in _nodes(proto):
        if node.domain not in KNOWN_DOMAINS and (node.domain, node.op_type) not in own:
            raise UnsupportedModel(
                f"The graph uses an operator of its own, {node.domain}.{node.op_type}.",
                hint="export it with standard operators alone: a server has no library of yours to load",
            )
        if node.op_type == "EPContext":
            raise UnsupportedModel(
                "The graph was compiled for other hardware (EPContext).", hint="give the graph that it was made from"
            )


def _nodes(proto: "onnx.ModelProto") -> Iterator["onnx.NodeProto"]:
    """Every node, in graphs within nodes and in functions as well."""
    waiting = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend(graph.node)


def _refuse_circles(proto: "onnx.ModelProto") -> None:
    """Functions that call each other in a circle: ONNX forbids it, and unfolding them would not end."""
    calls = {
        (function.domain, function.name): {(node.domain, node.op_type) for node in function.node}
        for function in proto.functions
    }
    while calls:
        leaves = [name for name, called in calls.items() if not called & calls.keys()]
        if not leaves:
            raise UnreadableModel("The graph's functions call each other in a circle.")
        for name in leaves:
            del calls[name]


# -- inputs ----------------------------------------------------------------------------------------------------------


def _input(given: Any) -> Input:
    own = given.type.removeprefix(_TENSOR).removesuffix(")")
    element = _ELEMENTS.get(own) if given.type.startswith(_TENSOR) else None
    if element is None:
        raise UnsupportedModel(
            f"The graph's input {given.name!r} is a {given.type}, and a table has no such column.",
            hint="export it with tensors of numbers or text as inputs",
        )
    shape = list(given.shape)
    if len(shape) not in {1, 2}:
        raise UnsupportedModel(
            f"The graph's input {given.name!r} has {len(shape)} dimensions, as pictures and sequences have; "
            "rows of a table have two.",
            hint="put what turns a row into that shape in front: write a function that takes a table, "
            "and pack it as module:function",
        )
    if isinstance(shape[0], int) and shape[0] != 1:
        what = "rows at a time" if len(shape) == 2 else "numbers, and has no dimension for rows"
        raise UnsupportedModel(
            f"The graph's input {given.name!r} takes exactly {shape[0]} {what}.",
            hint="export it with a free first dimension; in torch: "
            f"dynamic_axes={{{given.name!r}: {{0: 'rows'}}}}, and an example of two dimensions",
        )
    width = 1 if len(shape) == 1 else shape[1] if isinstance(shape[1], int) else None
    return Input(given.name, element, own, width)


def _one_row(inputs: list[Any]) -> bool:
    return any(one.shape[0] == 1 for one in inputs)


# -- outputs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Output:
    """One output: the kind of its elements (``maps`` for ZipMap's), and its width, None when the graph does not say."""

    name: str
    kind: str
    width: int | None

    @classmethod
    def of(cls, given: Any) -> "_Output":
        if given.type.startswith("seq(map("):
            return cls(given.name, "maps", None)
        kind = given.type.removeprefix(_TENSOR).removesuffix(")")
        shape = list(given.shape)
        known = len(shape) == 2 and isinstance(shape[1], int)
        return cls(given.name, kind, 1 if len(shape) == 1 else shape[1] if known else None)


def _reading(proto: "onnx.ModelProto", given: list[Any]) -> Reading:
    outputs = [_Output.of(one) for one in given]
    graph = _Producers(proto)
    maps = [one for one in outputs if one.kind == "maps"]
    reals = [one for one in outputs if one.kind in _REALS]
    labels = [one for one in outputs if one.kind in _LABELS]
    if len(maps) == 1 and not reals and len(labels) <= 1:
        classes = graph.zipped(maps[0].name)
        if classes:
            return Reading("class", classes, labels[0].name if labels else None, maps[0].name, mapped=True)
    elif len(labels) == 1 and len(reals) == 1 and not maps:
        return _label_and_scores(graph, labels[0], reals[0])
    elif len(labels) == 1 and not reals and not maps:
        return _label_alone(graph, labels[0])
    elif reals and not labels and not maps:
        return _numbers_alone(graph, reals)
    told = ", ".join(f"{one.name} ({one.kind})" for one in outputs)
    raise UnsupportedModel(
        f"What the graph's outputs mean cannot be told: {told}.",
        hint="keep a label and its probabilities, or numbers alone, as outputs of the exported graph",
    )


def _label_and_scores(graph: "_Producers", label: _Output, scores: _Output) -> Reading:
    classes, operator = graph.labels(label.name)
    if set(classes) == {-1, 1} or (not classes and operator not in {"ArgMax", "ArgMin", "TopK"} and scores.width == 1):
        return Reading("outlier", (), label.name, scores.name)
    if operator in {"ArgMin", "TopK"}:
        return Reading("cluster", (), label.name)
    if not classes and label.kind in {"int64", "int32"} and scores.width is not None:
        classes = tuple(range(max(scores.width, 2)))
    if not classes and label.kind == "bool":
        classes = (False, True)
    if not classes:
        raise _unknown_classes(label)
    return Reading("class", classes, label.name, scores.name)


def _label_alone(graph: "_Producers", label: _Output) -> Reading:
    classes, operator = graph.labels(label.name)
    if label.kind == "bool":
        return Reading("class", (False, True), label.name)
    if set(classes) == {-1, 1}:
        return Reading("outlier", (), label.name)
    if classes:
        return Reading("class", classes, label.name)
    if label.kind == "string":
        raise _unknown_classes(label)
    if operator in {"ArgMax", "ArgMin", "TopK"}:
        return Reading("cluster", (), label.name)
    return Reading("number", numbers=(label.name,))


def _numbers_alone(graph: "_Producers", reals: list[_Output]) -> Reading:
    if len(reals) > 1:
        return Reading("numbers", numbers=tuple(one.name for one in reals))
    only = reals[0]
    classes, operator = graph.labels(only.name)
    if only.width is not None and only.width > 1 and (operator == "Softmax" or classes):
        chosen = classes if len(classes) == only.width else tuple(range(only.width))
        return Reading("class", chosen, None, only.name)
    return Reading("number", numbers=(only.name,))


def _unknown_classes(label: _Output) -> UnsupportedModel:
    return UnsupportedModel(
        f"The graph does not say which classes its output {label.name!r} can name.",
        hint="export it with its probabilities as well, or without turning the class's number into a name",
    )


class _Producers:
    """Which node makes each value of the main graph, and the constants among them."""

    def __init__(self, proto: "onnx.ModelProto") -> None:
        self.nodes = {name: node for node in proto.graph.node for name in node.output}
        self.constants = {one.name: one for one in proto.graph.initializer}

    def zipped(self, name: str) -> tuple[Scalar, ...]:
        """The classes of a ZipMap's dicts."""
        node = self.nodes.get(name)
        return _labels_of(node) if node is not None and node.op_type == "ZipMap" else ()

    def labels(self, name: str) -> tuple[tuple[Scalar, ...], str]:
        """The classes that a value can be, in the order of their probabilities, and the operator that chose it."""
        node = self.nodes.get(name)
        for _ in range(len(self.nodes)):
            if node is None or node.op_type not in _PASSING:
                break
            node = self.nodes.get(node.input[0])
        if node is None:
            return (), ""
        if node.op_type in {"ArrayFeatureExtractor", "Gather"}:
            return self._constant(node.input[0]), node.op_type
        return _labels_of(node), node.op_type

    def _constant(self, name: str) -> tuple[Scalar, ...]:
        from onnx import numpy_helper

        if name not in self.constants:
            return ()
        cells = numpy_helper.to_array(self.constants[name]).ravel().tolist()
        return tuple(one.decode() if isinstance(one, bytes) else one for one in cells)


def _labels_of(node: "onnx.NodeProto") -> tuple[Scalar, ...]:
    for attribute in node.attribute:
        if attribute.name.startswith("classlabels_") or (
            node.op_type == "LabelEncoder" and attribute.name in {"values_int64s", "values_strings"}
        ):
            labels = tuple(attribute.ints) or tuple(one.decode() for one in attribute.strings)
            if labels:
                return labels
    return ()
