"""A converted graph as one that can be rewritten: who makes a value, who takes it, of what type and width it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx


def holds_graphs(proto: "onnx.ModelProto") -> bool:
    """Whether a node holds a graph of its own, which may take values from around it unseen."""
    return any(one.HasField("g") or len(one.graphs) for node in proto.graph.node for one in node.attribute)


class Net:
    """The nodes of a graph that holds no other graphs; ``write`` puts what became of them back into it.

    What nobody takes is left out, now and after each change.
    """

    def __init__(self, proto: "onnx.ModelProto") -> None:
        from onnx import shape_inference

        self._proto = proto
        self._held = {one.name: one for one in proto.graph.initializer}
        self._outputs = {one.name for one in proto.graph.output}
        found = shape_inference.infer_shapes(proto).graph
        self._kinds = {one.name: one.type.tensor_type for one in (*found.input, *found.value_info, *found.output)}
        self._nodes: dict[int, onnx.NodeProto] = {}
        self._makers: dict[str, onnx.NodeProto] = {}
        self._takers: dict[str, list[onnx.NodeProto]] = {}
        for node in proto.graph.node:
            self._add(node)
        for node in reversed(self.nodes):
            self._drop_if_idle(node)

    # -- questions ---------------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> "list[onnx.NodeProto]":
        """All nodes, in no order that matters."""
        return list(self._nodes.values())

    def stands(self, node: "onnx.NodeProto") -> bool:
        """Whether the node is still there."""
        return id(node) in self._nodes

    def maker(self, name: str, *operators: str) -> "onnx.NodeProto | None":
        """The node that makes a value, if it is of one of these operators."""
        node = self._makers.get(name)
        return node if node is not None and node.op_type in operators else None

    def taken_once(self, name: str) -> bool:
        """Whether one node takes a value, once, and the graph does not give it."""
        return len(self._takers.get(name, [])) == 1 and name not in self._outputs

    def constant(self, name: str) -> NDArray[Any] | None:
        """What the graph itself holds under a name."""
        from onnx import numpy_helper

        return numpy_helper.to_array(self._held[name]) if name in self._held else None

    def element(self, name: str) -> int:
        """The element type of a value; 0: not known."""
        if name in self._held:
            return int(self._held[name].data_type)
        return int(self._kinds[name].elem_type) if name in self._kinds else 0

    def rank(self, name: str) -> int | None:
        """How many dimensions a value has; None: not known."""
        if name in self._held:
            return len(self._held[name].dims)
        kind = self._kinds.get(name)
        return len(kind.shape.dim) if kind is not None and kind.HasField("shape") else None

    def width(self, name: str) -> int:
        """How many columns a matrix has; 0: it is none, or that is not known."""
        kind = self._kinds.get(name)
        return 0 if kind is None or self.rank(name) != 2 else int(kind.shape.dim[1].dim_value)

    # -- changes -----------------------------------------------------------------------------------------------------

    def hold(self, beside: str, values: NDArray[Any]) -> str:
        """A new constant, named after the value that it helps to make."""
        from onnx import numpy_helper

        name = self._free(f"{beside}_held")
        self._held[name] = numpy_helper.from_array(values, name)
        return name

    def draw(
        self, beside: str, operator: str, inputs: Sequence[str], *, element: int, width: int | None, **attributes: Any
    ) -> str:
        """A node more, named after ``beside``: a matrix of ``width`` columns (0: not known), or a vector (None)."""
        from onnx import TypeProto, helper

        name = self._free(f"{beside}_{operator.lower()}")
        self._add(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        kind = TypeProto.Tensor(elem_type=element)
        kind.shape.dim.add()
        if width is not None:
            kind.shape.dim.add().dim_value = width
        self._kinds[name] = kind
        return name

    def redraw(self, node: "onnx.NodeProto", operator: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Makes a node's only output by another of ONNX's own operators."""
        from onnx import helper

        made = helper.make_node(operator, [], [], **attributes)
        node.op_type, node.domain = made.op_type, made.domain
        del node.attribute[:]
        node.attribute.extend(made.attribute)
        self.take(node, inputs)

    def take(self, node: "onnx.NodeProto", inputs: Sequence[str]) -> None:
        """Gives a node other inputs."""
        old = list(node.input)
        node.input[:] = inputs
        for name in inputs:
            self._takers.setdefault(name, []).append(node)
        self._untake(node, old)

    def bypass(self, node: "onnx.NodeProto", value: str) -> bool:
        """Lets all who take a node's only output take ``value`` instead; False where the graph's names forbid it."""
        name = node.output[0]
        if name not in self._outputs:
            for taker in list(self._takers.get(name, [])):
                self.take(taker, [value if one == name else one for one in taker.input])
            return True
        maker = self._makers.get(value)
        if maker is None or value in self._outputs:
            return False
        maker.output[:] = [name if one == value else one for one in maker.output]
        self._makers[name] = maker
        del self._nodes[id(node)], self._makers[value]
        for taker in list(self._takers[value]):
            if taker is not node:
                self.take(taker, [name if one == value else one for one in taker.input])
        self._untake(node, list(node.input))
        return True

    def write(self) -> None:
        """Puts the nodes back, each behind those that it takes from, and the constants that are taken."""
        ordered: dict[int, onnx.NodeProto] = {}
        waiting = self.nodes[::-1]
        while waiting:
            node = waiting[-1]
            makers = (self._makers.get(name) for name in node.input)
            first = [one for one in makers if one is not None and id(one) not in ordered]
            if first and id(node) not in ordered:
                waiting += first[::-1]
            else:
                ordered.setdefault(id(waiting.pop()), node)
        graph = self._proto.graph
        taken = {name for node in ordered.values() for name in node.input} | self._outputs
        held = [one for name, one in self._held.items() if name in taken]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(ordered.values())
        graph.initializer.extend(held)

    # -- the books ---------------------------------------------------------------------------------------------------

    def _add(self, node: "onnx.NodeProto") -> None:
        self._nodes[id(node)] = node
        for name in node.output:
            self._makers[name] = node
        for name in node.input:
            self._takers.setdefault(name, []).append(node)

    def _untake(self, node: "onnx.NodeProto", names: Sequence[str]) -> None:
        for name in names:
            takers = self._takers.get(name, [])
            place = next((i for i, one in enumerate(takers) if one is node), None)
            if place is not None:
                del takers[place]
            if name in self._makers:
                self._drop_if_idle(self._makers[name])

    def _drop_if_idle(self, node: "onnx.NodeProto") -> None:
        """Takes a node out, and what served it alone, when nobody takes what it makes."""
        if any(self._takers.get(name) or name in self._outputs for name in node.output):
            return
        if self._nodes.pop(id(node), None) is not None:
            for name in node.output:
                self._makers.pop(name, None)
            self._untake(node, list(node.input))

    def _free(self, wanted: str) -> str:
        taken = self._kinds.keys() | self._held.keys() | self._makers.keys()
        found, number = wanted, 0
        while found in taken:
            number += 1
            found = f"{wanted}_{number}"
        return found


def runs_from_zero(values: NDArray[Any]) -> bool:
    """Whether these are 0, 1, 2..."""
    return values.ndim == 1 and values.dtype.kind in "iu" and bool((values == np.arange(len(values))).all())
