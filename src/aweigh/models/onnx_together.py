"""Graph inputs of a column each become matrices, one for each element type, as a table's cells lie.

ONNX Runtime takes a microsecond for each array that it is given, and the decoder of JSON rows lays columns of one type
side by side anyway: ten columns are fed as two arrays, which are not even copied.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from aweigh.bundle.manifest import GraphInput
from aweigh.models.onnx_net import holds_graphs
from aweigh.schema.column import Column

if TYPE_CHECKING:
    import onnx


def lay_together(
    proto: "onnx.ModelProto", inputs: tuple[GraphInput, ...], columns: Sequence[Column]
) -> tuple[GraphInput, ...]:
    """Takes the inputs of one element type as one matrix, in place, and says how the graph is fed then.

    The columns in a matrix stand as a table's blocks stand, by type. ``onnx_fewer.py`` takes out most of the nodes that
    pick a column: what takes several takes the matrix.
    """
    if holds_graphs(proto):
        return inputs
    kinds = {column.name: _kind(column) for column in columns}
    order = list(dict.fromkeys(kinds.values()))
    found: dict[str, list[GraphInput]] = {}
    for one in inputs:
        found.setdefault(one.element if len(one.columns) == 1 else one.name, []).append(one)
    laid = []
    for several in found.values():
        if len(several) == 1:
            laid += several
            continue
        several.sort(key=lambda one: order.index(kinds[one.columns[0]]))  # stable: else as in the table
        laid.append(_matrix(proto, several))
    return tuple(laid)


def _kind(column: Column) -> str:
    """Columns of one kind lie in one block."""
    return "text" if column.is_text else column.type


def _matrix(proto: "onnx.ModelProto", several: Sequence[GraphInput]) -> GraphInput:
    """One input in place of several, and a node for each of them that picks its column."""
    from onnx import helper, numpy_helper

    element = several[0].element
    name = f"columns_{element}"
    names = [one.name for one in several]
    given = {one.name: one for one in proto.graph.input}
    kind = given[names[0]].type.tensor_type.elem_type
    kept = [helper.make_tensor_value_info(name, kind, ["rows", len(several)])]
    kept += [one for one in proto.graph.input if one.name not in names]
    picks = []
    for i, one in enumerate(names):
        place = f"{name}_{i}"
        proto.graph.initializer.append(numpy_helper.from_array(np.array([i], np.int64), place))
        picks.append(helper.make_node("Gather", [name, place], [one], name=f"{name}_{one}", axis=1))
    nodes = [*picks, *proto.graph.node]
    del proto.graph.input[:], proto.graph.node[:]
    proto.graph.input.extend(kept)
    proto.graph.node.extend(nodes)
    return GraphInput(name=name, columns=tuple(one.columns[0] for one in several), element=element)
