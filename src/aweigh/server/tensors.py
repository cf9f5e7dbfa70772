"""Tensors of the Open Inference Protocol: a request's become rows of columns, answers become tensors.

One tensor a column, of shape [n] or [n, 1]; or, where all columns are numbers, one tensor of shape [n, columns]. JSON
data may be flat or nested, and null is a missing value. Bytes after the JSON (the binary tensor extension, which
Triton's clients use) are read as well.
"""

import math
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from aweigh.errors import InvalidRows, MalformedBody, Problem, TooLarge
from aweigh.schema import Answers, Column, Schema
from aweigh.schema.decode import count_containers, parse_json

MAX_CONTAINERS = 1_000_000
"""Lists and objects in one request: nested data of a million rows of one value, at 60 bytes each."""

_KINDS = {
    "BOOL": (bool,),
    **dict.fromkeys(["UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"], (int,)),
    **dict.fromkeys(["FP16", "FP32", "FP64"], (int, float)),
    "BYTES": (str,),
}
_WIDTHS = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


class InputTensor(msgspec.Struct, frozen=True, kw_only=True):
    """One input of a request."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class OutputAsked(msgspec.Struct, frozen=True, kw_only=True):
    """One output that a request asks for."""

    name: str
    parameters: dict[str, Any] = {}


class InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of ``infer``."""

    inputs: list[InputTensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[OutputAsked] | None = None


def read_request(body: bytes, *, json_bytes: int | None) -> InferenceRequest:
    """The request, with the data of every tensor in it as plain values.

    Raises:
        MalformedBody: not JSON, not of the protocol's shape, or binary data that does not fit its tensor.
    """
    text = body if json_bytes is None else body[:json_bytes]
    if count_containers(text, over=MAX_CONTAINERS) > MAX_CONTAINERS:
        raise TooLarge("The request holds too many lists.", hint="send the data of each tensor flat")
    document = parse_json(text)
    try:
        request = msgspec.convert(document, InferenceRequest)
    except msgspec.ValidationError as error:
        raise MalformedBody(f"The body is no inference request: {error}.") from error
    rest = b"" if json_bytes is None else body[json_bytes:]
    inputs = []
    for tensor in request.inputs:
        size = tensor.parameters.get("binary_data_size")
        if size is None or tensor.data is not None:
            inputs.append(tensor)
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest):
            raise MalformedBody(f"The binary data of tensor {tensor.name[:60]!r} is not in the body.")
        inputs.append(msgspec.structs.replace(tensor, data=binary_values(tensor, rest[:size])))
        rest = rest[size:]
    if rest:
        raise MalformedBody(f"{len(rest):,} bytes after the JSON belong to no tensor.")
    return msgspec.structs.replace(request, inputs=inputs)


def binary_values(tensor: InputTensor, data: bytes) -> list[Any]:
    """The values of a tensor from its bytes: little-endian numbers; texts each behind its length in four bytes.

    Raises:
        MalformedBody: the bytes are not what the datatype says.
    """
    wrong = MalformedBody(f"The binary data of tensor {tensor.name[:60]!r} is not {tensor.datatype[:20]}.")
    if tensor.datatype == "BYTES":
        found: list[Any] = []
        at = 0
        while at < len(data):
            if at + 4 > len(data):
                raise wrong
            (length,) = struct.unpack_from("<I", data, at)
            at += 4 + length
            if at > len(data):
                raise wrong
            try:
                found.append(data[at - length : at].decode())
            except UnicodeDecodeError as error:
                raise wrong from error
        return found
    width = _WIDTHS.get(tensor.datatype)
    if width is None or len(data) % np.dtype(width).itemsize:
        raise wrong
    values: list[Any] = np.frombuffer(data, dtype=width).tolist()
    # NaN is how a binary tensor of floats says that a value is missing; JSON has null for it.
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _flat(tensor: InputTensor) -> list[Any]:
    """The tensor's values in row-major order, whether its data is nested or not.

    Raises:
        InvalidRows: they are not as many as its shape says, or not of its datatype.
    """
    values: list[Any] = tensor.data or []
    for _ in tensor.shape[1:]:
        if not all(isinstance(one, list) for one in values) or not values:
            break
        values = [value for one in values for value in one]
    if any(size < 0 for size in tensor.shape) or math.prod(tensor.shape) != len(values):
        raise _bad(tensor, f"has {len(values)} values where its shape {str(tensor.shape)[:60]} says otherwise")
    kinds = _KINDS.get(tensor.datatype)
    if kinds is None:
        raise _bad(tensor, f"is of the datatype {tensor.datatype[:20]!r}, which the protocol does not know")
    for i, value in enumerate(values):
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            raise _bad(tensor, f"is of {tensor.datatype}, and its value {i} is not")
    return values


def _bad(tensor: InputTensor, what: str) -> InvalidRows:
    return InvalidRows((Problem("bad_tensor", f"tensor {tensor.name[:60]!r} {what}", column=tensor.name[:60]),))


def rows_of(schema: Schema, inputs: Sequence[InputTensor], *, max_rows: int) -> list[dict[str, object]]:
    """The tensors as rows of the schema's columns.

    Raises:
        InvalidRows: names, shapes or values that do not fit.
        TooLarge: more than ``max_rows`` rows.
    """
    if not inputs:
        raise InvalidRows((Problem("missing_column", "the request has no inputs"),))
    for tensor in inputs:
        if tensor.shape and tensor.shape[0] > max_rows:
            raise TooLarge(f"More than {max_rows:,} rows.", hint="send fewer rows at a time")
    first = inputs[0]
    wide = len(schema.columns)
    if len(inputs) == 1 and len(first.shape) == 2 and first.name not in schema.names:
        if not all(column.is_number for column in schema.columns):
            raise _bad(first, "is none of the columns; one tensor for all of them needs columns of numbers only")
        if first.shape[1] != wide:
            raise _bad(first, f"has {first.shape[1]} columns where the model has {wide}")
        values = _flat(first)
        return [dict(zip(schema.names, values[i : i + wide], strict=True)) for i in range(0, len(values), wide)]
    columns: dict[str, list[Any]] = {}
    for tensor in inputs:
        if tensor.name in columns:
            raise _bad(tensor, "stands twice")
        if len(tensor.shape) != 1 and tensor.shape[1:] != [1]:
            raise _bad(tensor, "must have the shape [rows] or [rows, 1]")
        if tensor.shape[0] != first.shape[0]:
            raise _bad(tensor, f"has {tensor.shape[0]} rows where the first has {first.shape[0]}")
        columns[tensor.name] = _flat(tensor)
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


# -- metadata and answers --------------------------------------------------------------------------------------------


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


def output_tensors(schema: Schema, answers: Answers) -> list[dict[str, object]]:
    """The answers as tensors, flat and row-major; a number that is none is null."""
    tensors = []
    for one in output_metadata(schema):
        data = _output_data(str(one["name"]), str(one["datatype"]), answers)
        shape = [answers.rows, *one["shape"][1:]]  # type: ignore[index]
        tensor = {"name": one["name"], "datatype": one["datatype"], "shape": shape, "data": data}
        if one["name"] == "probabilities":
            tensor["parameters"] = {"classes": list(schema.output.classes)}
        elif one["name"] == "values":
            tensor["parameters"] = {"names": list(schema.output.names)}
        tensors.append(tensor)
    return tensors


def _output_data(name: str, datatype: str, answers: Answers) -> list[Any]:
    if name == "label":
        labels = answers.labels()
        return [str(one) for one in labels] if datatype == "BYTES" else list(labels)
    arrays: dict[str, Any] = {
        "probabilities": answers.probabilities,
        "cluster": answers.cluster,
        "outlier": answers.outlier,
        "score": answers.scores,
    }
    array = arrays.get(name, answers.values)
    if array is None:
        msg = f"the schema promises {name}, which the model did not give"
        raise ValueError(msg)
    flat = array.reshape(-1)
    if flat.dtype.kind != "f":
        return list(flat.tolist())
    return [value if math.isfinite(value) else None for value in flat.tolist()]
