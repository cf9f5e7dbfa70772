"""One step of a scikit-learn model while skl2onnx converts it, drawn by us instead of by skl2onnx's own converter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.models.pens import FOREST_NODE, ML, OPSETS, container_pen
from aweigh.models.trees import REAL_ATTRIBUTES, Forest, tree_ensemble

Convert = Callable[[Any, Any, Any], None]
"""What skl2onnx calls to convert a step: ``(scope, operator, container)``."""

Shape = Callable[[Any], None]
"""What skl2onnx calls to learn the types and widths of a step's outputs: ``(operator)``."""

FEWEST_CLASSES = 3
"""With two classes a TreeEnsembleClassifier follows a rule of its own; with a third that never wins, it does not."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Converters and shape calculators of our own, by the class of the estimator."""

    converters: Mapping[type, Convert]
    shapes: Mapping[type, Shape] = field(default_factory=dict)


class Step:
    """The step that is being drawn: its inputs, its outputs, and a pen between them; numbers are doubles."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self.scope, self.operator, self.container = scope, operator, container
        self.model = operator.raw_operator
        self.pen = container_pen(scope, container)

    def given(self, *, to: int | None = None) -> str:
        """All inputs side by side as doubles, or as the ``TensorProto`` type asked for."""
        from onnx import TensorProto

        parts = [self.pen.node("Cast", [one.full_name], to=to or TensorProto.DOUBLE) for one in self.operator.inputs]
        return parts[0] if len(parts) == 1 else self.pen.node("Concat", parts, axis=1)

    def number(self, value: float) -> str:
        """A constant double of shape (1,)."""
        return self.pen.constant(np.array([value], np.float64))

    def numbers(self, values: Any) -> str:
        """A constant array of doubles."""
        return self.pen.constant(np.asarray(values, np.float64))

    def whole(self, *values: int) -> str:
        """A constant vector of whole numbers."""
        return self.pen.constant(np.array(values, np.int64))

    def binary(self, operator: str, left: str, right: str | float) -> str:
        """``left`` and ``right`` through an operator of two inputs; a bare number is a constant."""
        return self.pen.node(operator, [left, right if isinstance(right, str) else self.number(right)])

    def finish(self, *answers: str) -> None:
        """Connects the answers to the outputs, in the types that the next step expects."""
        from onnx import TensorProto
        from skl2onnx.common.data_types import StringTensorType, guess_proto_type

        for answer, output in zip(answers, self.operator.outputs, strict=True):
            to = TensorProto.STRING if isinstance(output.type, StringTensorType) else guess_proto_type(output.type)
            name = self.scope.get_unique_operator_name("Cast")
            self.container.add_node("Cast", answer, output.full_name, to=to, name=name)

    def labels(self, place: str) -> str:
        """The classes that stand at these places; the places themselves, where classes are called by them."""
        classes = np.asarray(self.model.classes_)
        if classes.dtype.kind in "iub" and classes.tolist() == list(range(len(classes))):
            return place
        known = classes.astype(object) if classes.dtype.kind in "OUS" else classes.astype(np.int64)
        return self.pen.node("Gather", [self.pen.constant(known), place], axis=0)

    def places(self, given: str, forest: Forest) -> tuple[str, str]:
        """The place of a forest's largest sum, (rows,), found in double precision; and the sums, (rows, targets)."""
        from onnx import TensorProto, numpy_helper

        if not forest.double_values:
            given = self.pen.node("Cast", [given], to=TensorProto.DOUBLE)
        attributes = tree_ensemble(forest)
        del attributes["n_targets"]
        for key in REAL_ATTRIBUTES:
            values: NDArray[np.float64] = np.array(attributes.pop(key), np.float64)
            attributes[f"{key}_as_tensor"] = numpy_helper.from_array(values)
        classes = max(forest.targets, FEWEST_CLASSES)
        place, sums = (self.scope.get_unique_variable_name(name) for name in ("place", "sums"))
        self.container.add_node(
            "TreeEnsembleClassifier",
            given,
            [place, sums],
            op_domain=ML,
            op_version=OPSETS[ML],
            name=self.scope.get_unique_operator_name(FOREST_NODE),
            classlabels_int64s=list(range(classes)),
            **{key.replace("target_", "class_"): value for key, value in attributes.items()},
        )
        if classes > forest.targets:
            sums = self.pen.node("Slice", [sums, self.whole(0), self.whole(forest.targets), self.whole(1)])
        return place, self.pen.node("Cast", [sums], to=TensorProto.DOUBLE)

    @property
    def wants_raw_scores(self) -> bool:
        """Whether the one that holds this classifier wants its decision function in place of probabilities."""
        options = self.scope.get_options(self.model, {"raw_scores": False}, fail=False) or {}
        return bool(options.get("raw_scores"))

    def refuse_raw_scores(self) -> None:
        """Raises NotImplementedError when probabilities are not what is wanted."""
        if self.wants_raw_scores:
            msg = f"the raw scores of a {type(self.model).__name__} are not drawn here"
            raise NotImplementedError(msg)


def real_shape(operator: Any, width: int | None) -> None:
    """Says that a step gives ``width`` doubles."""
    from skl2onnx.common.data_types import DoubleTensorType

    operator.outputs[0].type = DoubleTensorType([operator.inputs[0].get_first_dimension(), width])
