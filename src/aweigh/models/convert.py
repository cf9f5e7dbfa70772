"""scikit-learn to ONNX: the ways that are tried, and how a graph is fed and read.

skl2onnx converts most estimators and gets some of them wrong without a word, so nothing that comes out of here is
served before ``parity.py`` has held it against the original. What is mended so that more of them agree:

- searches, frozen estimators and the like are unwrapped on a copy (``prepared.py``);
- numbers go in as doubles and stay doubles: in single precision money and whole numbers fall on the wrong side of a
  threshold, so trees, bins, encoders and support vectors are drawn by us (``sklearn_*.py``);
- missing text is fed as one reserved string, and imputers and encoders know it;
- what was drawn in many small steps is drawn in few, and fed as a matrix for each type (``onnx_fewer.py``,
  ``onnx_together.py``): for one row the number of nodes and of arrays is what costs.
"""

import contextlib
import re
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from aweigh.bundle.manifest import Graph, GraphInput
from aweigh.errors import UnsupportedModel
from aweigh.models import onnx_imputer, sklearn_encoders, sklearn_scalers, sklearn_trees, sklearn_vectors
from aweigh.models.boosting_steps import ZEROS_MISSING, known_steps
from aweigh.models.family import Form, Way
from aweigh.models.onnx import OnnxModel
from aweigh.models.onnx_fewer import draw_fewer
from aweigh.models.onnx_lanes import fill_lanes
from aweigh.models.onnx_together import lay_together
from aweigh.models.prepared import parts_of, plain_names, prepared
from aweigh.models.step import Convert, Shape, Steps
from aweigh.schema.cells import RESERVED_TEXT
from aweigh.schema.column import Column, Schema

if TYPE_CHECKING:
    import onnx

OPSETS = {"": 18, "ai.onnx.ml": 3}
"""Fixed, so that the same model gives the same bytes; IsolationForest needs ai.onnx.ml 3."""
_CONVERTING = threading.Lock()
_OUTPUTS = {"class": ("label", "probabilities"), "outlier": ("label", "scores"), "cluster": ("label", None)}


# -- the ways --------------------------------------------------------------------------------------------------------


def onnx_ways(model: object, schema: Schema) -> Iterator[Way]:
    """ONNX in double precision; whole numbers as whole numbers where there are any.

    Never in single precision: what agrees on every row of a proof may still lie beside a threshold on the next one.
    """
    yield Way("ONNX in double precision", partial(onnx_form, model, schema))
    if any(column.type in {"integer", "boolean"} for column in schema.columns) and not _one_matrix(model, schema):
        form = partial(onnx_form, model, schema, whole="int64")
        yield Way("ONNX in double precision, whole numbers kept whole", form)
    if any(type(part).__module__.startswith("xgboost") for part in parts_of(model)):
        form = partial(onnx_form, model, schema, zeros_missing=True)
        yield Way("ONNX in double precision, zeros missing to XGBoost as in sparse rows", form)


def onnx_form(model: object, schema: Schema, *, whole: str = "double", zeros_missing: bool = False) -> Form:
    """One conversion: numbers go in as doubles, whole numbers as the element type ``whole``.

    With ``zeros_missing`` an XGBoost step takes zeros for missing: it does so with the absent cells of sparse rows,
    such as a one-hot encoder gives it.

    Raises:
        UnsupportedModel: a column that no graph can take. skl2onnx raises much else besides.
    """
    inputs = graph_inputs(schema.columns, whole=whole, matrix=_one_matrix(model, schema))
    ready = prepared(model, schema)
    for part in parts_of(ready) if zeros_missing else ():
        setattr(part, ZEROS_MISSING, True)
    proto = _convert(ready, inputs, output_task=schema.output.task)
    inputs = lay_together(proto, inputs, schema.columns)
    draw_fewer(proto)
    fill_lanes(proto)
    _undress(proto)
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
    return not any(type(part).__name__ == "ColumnTransformer" for part in parts_of(model))


def graph_inputs(columns: Sequence[Column], *, whole: str, matrix: bool) -> tuple[GraphInput, ...]:
    """How a table is laid out while the graph is made: one matrix, or an input for each column.

    Raises:
        UnsupportedModel: a point in time, which no graph takes.
    """
    if matrix:
        names = tuple(column.name for column in columns)
        return (GraphInput(name="X", columns=names, element="double"),)
    plain = plain_names(columns)
    return tuple(
        GraphInput(name=plain[column.name], columns=(column.name,), element=_element(column, whole))  # type: ignore[arg-type]
        for column in columns
    )


def _element(column: Column, whole: str) -> str:
    if column.is_text or (column.type == "date" and column.dtype in {"str", "object"}):
        return "string"
    if column.is_time:
        raise UnsupportedModel(f"column {column.name!r} is a point in time, which an ONNX graph does not take")
    if column.type == "number" or column.nullable:
        return "double"
    return whole


# -- the conversion --------------------------------------------------------------------------------------------------


def _convert(model: object, inputs: tuple[GraphInput, ...], *, output_task: str) -> "onnx.ModelProto":
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType

    kinds = {"double": DoubleTensorType, "int64": Int64TensorType, "string": StringTensorType}
    types = [(one.name, kinds[one.element]([None, len(one.columns)])) for one in inputs]
    own = own_steps()
    with _CONVERTING, known_steps(parts_of(model)), _unknown_told():
        _allow_plain_probabilities()
        proto: onnx.ModelProto = convert_sklearn(
            model,
            "model",
            types,
            target_opset=OPSETS[""],  # some of its converters fail on more than this number
            options={id(model): {"zipmap": False}} if output_task == "class" else None,
            custom_conversion_functions=dict(own.converters),
            custom_shape_calculators=dict(own.shapes),
        )
    _widen_outputs(proto)
    for opset in proto.opset_import:  # skl2onnx declares the lowest that its own attributes need
        opset.version = max(opset.version, OPSETS.get(opset.domain, 0))
    if any(node.op_type == "StringNormalizer" for node in proto.graph.node):
        raise UnsupportedModel("its text is put in small letters by the rules of a locale, which machines may not have")
    return proto


@contextlib.contextmanager
def _unknown_told() -> Iterator[None]:
    """Says in a few words what skl2onnx says in paragraphs of an estimator that it does not know.

    Raises:
        UnsupportedModel: there was one.
    """
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    try:
        yield
    except (MissingConverter, MissingShapeCalculator) as error:
        named = re.search(r"'(?:<class ')?[\w.]*?(\w+)'", str(error))
        raise UnsupportedModel(f"{named[1] if named else 'a step'} has no ONNX form here") from error


def own_steps() -> Steps:
    """All that is drawn here and not by skl2onnx."""
    from sklearn.impute import SimpleImputer

    found = [one.steps() for one in (sklearn_trees, sklearn_encoders, sklearn_scalers, sklearn_vectors)]
    converters: dict[type, Convert] = {SimpleImputer: onnx_imputer.convert}
    shapes: dict[type, Shape] = {SimpleImputer: onnx_imputer.shape}
    for one in found:
        converters.update(one.converters)
        shapes.update(one.shapes)
    return Steps(converters, shapes)


def _allow_plain_probabilities() -> None:
    """Lets LinearSVC take the option that all other classifiers take, and that skl2onnx itself sets in pipelines."""
    from skl2onnx.common._registration import get_converter

    get_converter("SklearnLinearSVC").get_allowed_options().setdefault("zipmap", [True, False, "columns"])


def _widen_outputs(proto: "onnx.ModelProto") -> None:
    """Gives every real output as doubles: skl2onnx declares single precision wherever the first input is text."""
    from onnx import TensorProto, helper

    for output in proto.graph.output:
        kind = output.type.tensor_type
        if kind.elem_type not in {TensorProto.FLOAT, TensorProto.DOUBLE}:
            continue
        kind.elem_type = TensorProto.DOUBLE
        raw = f"{output.name}_as_made"
        for node in proto.graph.node:
            node.output[:] = [raw if one == output.name else one for one in node.output]
            node.input[:] = [raw if one == output.name else one for one in node.input]
        proto.graph.node.append(helper.make_node("Cast", [raw], [output.name], name=raw, to=TensorProto.DOUBLE))


def _undress(proto: "onnx.ModelProto") -> None:
    """Takes out, or puts in order, what differs from run to run and machine to machine and serves nobody."""
    proto.opset_import.sort(key=lambda one: one.domain)
    proto.doc_string = ""
    proto.graph.doc_string = ""
    proto.producer_version = ""
    for node in proto.graph.node:
        node.doc_string = ""
        node.attribute.sort(key=lambda one: one.name)
