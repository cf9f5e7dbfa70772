"""Pens: what nodes of an ONNX graph are drawn with, on a sheet of our own or inside a graph that skl2onnx makes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

OPSETS = {"": 18, "ai.onnx.ml": 3}
ML = "ai.onnx.ml"
FOREST_NODE = "aweigh_forest"
"""How the names of our tree nodes begin: they hold the precision that they need already."""


@dataclass(frozen=True, slots=True, eq=False)
class Pen:
    """Draws nodes: ``node(operator, inputs, attributes)`` gives the output's name, ``constant(values)`` its own.

    ``pair`` is ``node`` for an operator of two outputs.
    """

    node: Callable[..., str]
    pair: Callable[..., tuple[str, str]]
    constant: Callable[[NDArray[np.generic]], str]


@dataclass(slots=True, eq=False)
class Sheet:
    """The nodes of a graph of our own."""

    nodes: list["onnx.NodeProto"] = field(default_factory=list)
    constants: list["onnx.TensorProto"] = field(default_factory=list)

    def node(self, operator: str, inputs: list[str], *, domain: str = "", **attributes: Any) -> str:
        """A node of one output, by its name."""
        return self._add(operator, inputs, [""], domain, attributes)[0]

    def pair(self, operator: str, inputs: list[str], *, domain: str = "", **attributes: Any) -> tuple[str, str]:
        """A node of two outputs."""
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
        """Numbers or texts that the graph itself holds."""
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
