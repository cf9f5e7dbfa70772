"""What a model gives, as tensors of the Open Inference Protocol: metadata and answers."""

import math
from collections.abc import Collection
from typing import Any

import msgspec
from numpy.typing import NDArray

from aweigh.schema import Answers, Column, Schema
from aweigh.server.binary_tensors import write_values


def datatype_of(column: Column) -> str:
    """The protocol's datatype of a column."""
    if column.type == "number":
        return "FP32" if column.dtype == "float32" else "FP64"
    return {"integer": "INT64", "boolean": "BOOL"}.get(column.type, "BYTES")


def _label_type(schema: Schema) -> str:
    kinds = {type(one) for one in schema.output.classes}
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds and kinds <= {int, float} else "BYTES"


def output_metadata(schema: Schema) -> list[dict[str, object]]:
    """Names, datatypes and shapes of the outputs; -1 is the number of rows."""
    output = schema.output
    found: list[dict[str, object]]
    if output.task == "class":
        found = [{"name": "label", "datatype": _label_type(schema), "shape": [-1]}]
        if output.probabilities:
            found.append({"name": "probabilities", "datatype": "FP64", "shape": [-1, len(output.classes)]})
        return found
    if output.task == "cluster":
        return [{"name": "cluster", "datatype": "INT64", "shape": [-1]}]
    if output.task == "outlier":
        found = [{"name": "outlier", "datatype": "BOOL", "shape": [-1]}]
        if output.scores:
            found.append({"name": "score", "datatype": "FP64", "shape": [-1]})
        return found
    if output.task == "number":
        return [{"name": "value", "datatype": "FP64", "shape": [-1]}]
    return [{"name": "values", "datatype": "FP64", "shape": [-1, len(output.names)]}]


def output_tensors(
    schema: Schema, answers: Answers, *, names: Collection[str] = (), binary: Collection[str] = ()
) -> tuple[list[dict[str, object]], bytes]:
    """The answers as tensors, flat and row-major, and the bytes that go behind the JSON.

    ``names`` are those of the outputs that were asked for, of all where there is none; the data of those in ``binary``
    are bytes. A number that is none is null, or NaN. By the protocol a parameter is a text, a number or a boolean: a
    list is JSON in a text.
    """
    tensors = []
    pieces = []
    for one in output_metadata(schema):
        name, datatype = str(one["name"]), str(one["datatype"])
        if names and name not in names:
            continue
        values = _output_values(name, datatype, answers)
        parameters: dict[str, object] = {}
        if name == "probabilities":
            parameters["classes"] = _json_text(schema.output.classes)
        elif name == "values":
            parameters["names"] = _json_text(schema.output.names)
        shape = [answers.rows, *one["shape"][1:]]  # type: ignore[index]
        tensor: dict[str, object] = {"name": name, "datatype": datatype, "shape": shape}
        if name in binary:
            pieces.append(write_values(values, datatype))
            parameters["binary_data_size"] = len(pieces[-1])
        else:
            tensor["data"] = _plain(values)
        tensors.append(tensor | ({"parameters": parameters} if parameters else {}))
    return tensors, b"".join(pieces)


def _json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _plain(values: NDArray[Any] | list[Any]) -> list[Any]:
    if isinstance(values, list):
        return values
    plain: list[Any] = values.tolist()
    return [value if math.isfinite(value) else None for value in plain] if values.dtype.kind == "f" else plain


def _output_values(name: str, datatype: str, answers: Answers) -> NDArray[Any] | list[Any]:
    if name == "label":
        labels = answers.labels()
        return [str(one) for one in labels] if datatype == "BYTES" else list(labels)
    arrays: dict[str, Any] = {
        "probabilities": answers.probabilities,
        "cluster": answers.cluster,
        "outlier": answers.outlier,
        "score": answers.scores,
    }
    array: NDArray[Any] | None = arrays.get(name, answers.values)
    if array is None:
        msg = f"the schema promises {name}, which the model did not give"
        raise ValueError(msg)
    return array.reshape(-1)
