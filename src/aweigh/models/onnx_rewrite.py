"""A user's graph asked as it came, and the same graph as it is served: no ZipMap, one output for all numbers.

Columns go into inputs by name where each has one of its own, else in their order. What a column cannot be (text for a
number, a fraction for a whole number, a gap where there is no word for one) is told by name.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aweigh.bundle.manifest import Graph, GraphInput
from aweigh.errors import UnsupportedModel
from aweigh.models.onnx_feed import feed_block
from aweigh.models.onnx_file import Input, OnnxFile
from aweigh.models.onnx_read import compile_reader, wanted_outputs
from aweigh.schema.answers import Answers
from aweigh.schema.column import Column, Schema

if TYPE_CHECKING:
    import onnx

    from aweigh.table import Table

VALUES = "aweigh_values"
CLOSE = 1e-4
"""How near a row's answer alone must come to its answer among others, absolutely and relatively."""
_GIVEN = "aweigh_given_"
"""How the inputs that are cast inside the graph are called from outside."""
_OWN = {"float16": np.float16, "double": np.float64, "float": np.float32, "string": np.object_, "bool": np.bool_}
_FITTING = {
    "float": frozenset(("number", "integer", "boolean")),
    "double": frozenset(("number", "integer", "boolean")),
    "int64": frozenset(("integer", "boolean")),
    "bool": frozenset(("boolean",)),
    "string": frozenset(("category", "text")),
}
_NEEDS = {"float": "numbers", "double": "numbers", "int64": "whole numbers", "bool": "true or false", "string": "text"}


# -- columns and inputs ----------------------------------------------------------------------------------------------


def columns_of(file: OnnxFile, schema: Schema) -> dict[str, GraphInput]:
    """Which columns go into each input, by its name.

    Raises:
        UnsupportedModel: the graph does not say how many columns each input takes, or one does not fit.
    """
    unknown = [one for one in file.inputs if one.width is None]
    known = sum(one.width or 0 for one in file.inputs)
    rest = len(schema.columns) - known
    if len(unknown) > 1 or (unknown and rest < 1) or (not unknown and rest):
        raise UnsupportedModel(
            f"The graph's inputs ({', '.join(one.name for one in file.inputs)}) do not say how they take "
            f"{len(schema.columns)} columns.",
            hint="give a sample of exactly the columns that the graph takes, in its order",
        )
    laid: dict[str, GraphInput] = {}
    waiting = list(schema.columns)
    for one in file.inputs:
        width = rest if one.width is None else one.width
        taken, waiting = waiting[:width], waiting[width:]
        for column in taken:
            _check_fit(one, column)
        laid[one.name] = GraphInput(name=one.name, columns=tuple(column.name for column in taken), element=one.element)
    return laid


def _check_fit(given: Input, column: Column) -> None:
    if column.type not in _FITTING[given.element]:
        raise UnsupportedModel(
            f"The graph's input {given.name!r} takes {_NEEDS[given.element]}, and column {column.name!r} is "
            f"{column.type}.",
            hint="give a sample with the types that the graph was exported for, its columns in the graph's order",
        )
    if column.nullable and given.element not in {"float", "double"}:
        raise UnsupportedModel(
            f"Column {column.name!r} has missing values, and the graph's input {given.name!r} of "
            f"{_NEEDS[given.element]} has no word for them.",
            hint="fill them in the sample with what the model was trained with in their place",
        )


# -- asked as it came ------------------------------------------------------------------------------------------------


def ask_as_it_came(file: OnnxFile, table: "Table", schema: Schema) -> Answers:
    """The answers of the original graph, ZipMap's dicts and all.

    Raises:
        UnsupportedModel: a column does not fit, or the graph gives what its outputs do not promise.
    """
    laid, reading = columns_of(file, schema), file.reading
    ranks = {one.name: len(one.shape) for one in file.session.get_inputs()}
    feeds = {one.name: _feed(one, laid[one.name], table, ranks[one.name]) for one in file.inputs}
    if file.one_row:
        parts = [_run(file, feeds, slice(row, row + 1)) for row in range(table.rows)]
        results = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    else:
        results = _run(file, feeds, slice(None))
        _check_alone(file, feeds, results, table.rows)
    if reading.numbers:
        block = np.hstack([results[name].astype(np.float64) for name in reading.numbers])
        results = {VALUES: block}
    graph = _graph(file, (), VALUES)
    return compile_reader(graph, schema.output)([results[name] for name in wanted_outputs(graph)])


def _run(file: OnnxFile, feeds: dict[str, NDArray[Any]], rows: slice) -> dict[str, NDArray[Any]]:
    reading = file.reading
    wanted = [name for name in (reading.label, reading.second, *reading.numbers) if name is not None]
    some = {name: cells[rows] for name, cells in feeds.items()}
    count = len(next(iter(some.values())))
    found = file.session.run(wanted, some)
    return {
        name: _mapped(one, reading.classes) if isinstance(one, list) else _two_sided(one, count)
        for name, one in zip(wanted, found, strict=True)
    }


def _check_alone(file: OnnxFile, feeds: dict[str, NDArray[Any]], together: dict[str, NDArray[Any]], rows: int) -> None:
    """A few rows alone must get the answers that they got together."""
    for row in {0, rows // 2, rows - 1} if rows > 1 else ():
        for name, alone in _run(file, feeds, slice(row, row + 1)).items():
            beside = together[name][row : row + 1]
            real = beside.dtype.kind == "f"
            if not (
                np.allclose(alone, beside, rtol=CLOSE, atol=CLOSE, equal_nan=True) if real else (alone == beside).all()
            ):
                raise UnsupportedModel(
                    "The graph's answer to a row hangs on the rows beside it.",
                    hint="export it in evaluation mode; in torch: model.eval()",
                )


def _feed(given: Input, laid: GraphInput, table: "Table", rank: int) -> NDArray[Any]:
    block = feed_block(laid, table, "").astype(_OWN.get(given.own, given.own), copy=False)
    return block.reshape(-1) if rank == 1 else block


def _two_sided(result: NDArray[Any], rows: int) -> NDArray[Any]:
    """(rows, columns), whatever the shape."""
    if np.ndim(result) == 0 or len(result) != rows:
        raise UnsupportedModel(f"The graph does not give an answer for each row: {np.shape(result)} for {rows} rows.")
    return np.asarray(result).reshape(rows, -1)


def _mapped(result: list[dict[Any, float]], classes: tuple[Any, ...]) -> NDArray[np.float64]:
    return np.array([[row[one] for one in classes] for row in result], dtype=np.float64)


def _graph(file: OnnxFile, inputs: tuple[GraphInput, ...], values: str, *, one_row: bool = False) -> Graph:
    reading = file.reading
    return Graph(
        inputs=inputs,
        label=reading.label,
        probabilities=reading.second if reading.task == "class" else None,
        values=values if reading.numbers else None,
        scores=reading.second if reading.task == "outlier" else None,
        one_row=one_row,
    )


# -- as it is served -------------------------------------------------------------------------------------------------


def served(file: OnnxFile, schema: Schema, *, one_row: bool) -> tuple[bytes, Graph]:
    """The graph's bytes and how they are fed and read; the bytes that came, where nothing stands in the way.

    With ``one_row`` False a graph of one row gets a free first dimension.
    """
    import onnx

    proto = onnx.ModelProto()
    proto.CopyFrom(file.proto)
    laid = columns_of(file, schema)
    free = file.one_row and not one_row
    changed = free
    if free:
        _free_rows(proto)
    inputs = []
    for one in file.inputs:
        narrow = one.own != one.element
        if narrow:
            _cast_inside(proto, one)
        changed = changed or narrow
        name = _GIVEN + one.name if narrow else one.name
        inputs.append(GraphInput(name=name, columns=laid[one.name].columns, element=one.element))
    reading = file.reading
    values = reading.numbers[0] if reading.numbers else ""
    if len(reading.numbers) > 1:
        changed, values = True, VALUES
        _side_by_side(proto, reading.numbers)
    graph = _graph(file, tuple(inputs), values, one_row=one_row)
    if reading.mapped:
        changed = True
        _unmap(proto, reading.second or "")
    return (proto.SerializeToString(deterministic=True) if changed else file.data), graph


def _free_rows(proto: "onnx.ModelProto") -> None:
    """Gives inputs and outputs a free first dimension, and forgets what was known of the shapes between."""
    del proto.graph.value_info[:]
    for one in (*proto.graph.input, *proto.graph.output):
        shape = one.type.tensor_type.shape
        if one.type.HasField("tensor_type") and len(shape.dim):
            shape.dim[0].ClearField("dim_value")
            shape.dim[0].dim_param = "rows"


def _cast_inside(proto: "onnx.ModelProto", given: Input) -> None:
    """Takes an input in the wider type that a table has, and casts it to the graph's own."""
    from onnx import TensorProto, helper

    one = next(one for one in proto.graph.input if one.name == given.name)
    own = one.type.tensor_type.elem_type
    one.type.tensor_type.elem_type = TensorProto.FLOAT if given.element == "float" else TensorProto.INT64
    one.name = _GIVEN + given.name
    proto.graph.node.insert(0, helper.make_node("Cast", [one.name], [given.name], name=one.name, to=own))


def _side_by_side(proto: "onnx.ModelProto", names: tuple[str, ...]) -> None:
    """Makes one output of several: each as a matrix of doubles, one beside the other."""
    from onnx import TensorProto, helper

    for i, name in enumerate(names):
        wide, flat = f"{VALUES}_wide_{i}", f"{VALUES}_flat_{i}"
        proto.graph.node.append(helper.make_node("Cast", [name], [wide], name=wide, to=TensorProto.DOUBLE))
        proto.graph.node.append(helper.make_node("Flatten", [wide], [flat], name=flat, axis=1))
    parts = [f"{VALUES}_flat_{i}" for i in range(len(names))]
    proto.graph.node.append(helper.make_node("Concat", parts, [VALUES], name=VALUES, axis=1))
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_tensor_value_info(VALUES, TensorProto.DOUBLE, None))


def _unmap(proto: "onnx.ModelProto", name: str) -> None:
    """Takes ZipMap out: its input becomes the output, under the output's name."""
    from onnx import TensorProto, helper

    zipmap = next(node for node in proto.graph.node if name in node.output)
    replaced = helper.make_node("Identity", list(zipmap.input), list(zipmap.output), name=f"{VALUES}_unmapped")
    zipmap.CopyFrom(replaced)
    output = next(one for one in proto.graph.output if one.name == name)
    output.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
