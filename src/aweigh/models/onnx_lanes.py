"""Curves in a converted graph that give a number the same bits wherever in the table it stands.

In double precision ONNX Runtime takes several numbers of an exponential at once, and what is left at the end one by
one, by another arithmetic: of 1,287 rows of a logistic regression of three classes 115 came out otherwise alone than
together, in the last bit. Rows that are filled up to ``LANES`` numbers leave nothing over. An even number of them is
left as it is: ONNX Runtime's own builds take two doubles at once, and each further node costs a microsecond a call.
"""

from typing import TYPE_CHECKING

import numpy as np

from aweigh.models.forest_graph import LANES

if TYPE_CHECKING:
    import onnx

NOTHING = {"Softmax": -np.inf, "Sigmoid": 0.0, "Exp": 0.0, "Tanh": 0.0}
"""The curves, and what a row is filled up with: what counts for nothing."""
LAST_AXIS = {-1, 1}
AT_ONCE = 2
"""Doubles: what SSE2 and NEON hold, for which ONNX Runtime's packages are built."""


def fill_lanes(proto: "onnx.ModelProto") -> None:
    """Fills up the rows before each such curve of a matrix whose width is known, and cuts them off behind it."""
    from onnx import TensorProto, shape_inference

    found = shape_inference.infer_shapes(proto).graph
    kinds = {one.name: one.type.tensor_type for one in (*found.input, *found.value_info, *found.output)}
    nodes: list[onnx.NodeProto] = []
    for node in proto.graph.node:
        kind = kinds.get(node.input[0]) if node.op_type in NOTHING else None
        width = 0
        if kind is not None and kind.elem_type == TensorProto.DOUBLE and len(kind.shape.dim) == 2:
            width = kind.shape.dim[1].dim_value
        axes = {one.i for one in node.attribute if one.name == "axis"}
        if width % AT_ONCE and axes <= LAST_AXIS:
            nodes += _filled(proto, node, width)
        else:
            nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _filled(proto: "onnx.ModelProto", node: "onnx.NodeProto", width: int) -> list["onnx.NodeProto"]:
    from onnx import helper, numpy_helper

    own = f"aweigh_{node.output[0]}"

    def constant(name: str, *values: float, real: bool = False) -> str:
        array = np.array(values[0], np.float64) if real else np.array(values, np.int64)
        proto.graph.initializer.append(numpy_helper.from_array(array, f"{own}_{name}"))
        return f"{own}_{name}"

    fill = [constant("pads", 0, 0, 0, -width % LANES), constant("nothing", NOTHING[node.op_type], real=True)]
    cut = [constant("start", 0), constant("end", width), constant("axis", 1)]
    before = helper.make_node("Pad", [node.input[0], *fill], [f"{own}_filled"], name=f"{own}_pad")
    after = helper.make_node("Slice", [f"{own}_curved", *cut], [node.output[0]], name=f"{own}_slice")
    node.input[0], node.output[0] = before.output[0], f"{own}_curved"
    return [before, node, after]
