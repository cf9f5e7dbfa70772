"""Tensors of a request of the Open Inference Protocol, which become rows of columns.

One tensor a column, of shape [n] or [n, 1]; or, where all columns are numbers, one tensor of shape [n, columns]. JSON
data may be flat or nested, and null is a missing value. Data may also be bytes behind the JSON
(``binary_tensors``).
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from aweigh.errors import InvalidRows, MalformedBody, Problem, TooLarge
from aweigh.schema import Schema
from aweigh.schema.decode import count_containers, parse_json
from aweigh.server.binary_tensors import read_values, size_of

MAX_CONTAINERS = 1_000_000
"""Lists and objects in one request: nested data of a million rows of one value, at 60 bytes each."""

_KINDS = {
    "BOOL": (bool,),
    **dict.fromkeys(["UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"], (int,)),
    **dict.fromkeys(["FP16", "FP32", "FP64"], (int, float)),
    "BYTES": (str,),
}
NOT_OFFERED = {
    "shared_memory_region": "Shared memory is not read or written here.",
    "classification": "Classes by rank, as the classification extension has them, are not given here.",
}
"""Parameters of Triton's extensions without which a tensor would be another one, and what is said to them."""

HINT = 'send {"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [1.5]}]}'

Parameters = dict[str, Any] | None


class InputTensor(msgspec.Struct, frozen=True, kw_only=True):
    """One input of a request."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = None
    data: list[Any] | None = None


class BinaryTensor(InputTensor, frozen=True, kw_only=True):
    """One whose data are bytes behind the JSON; they are read when it is known that they are as many as they should."""

    content: bytes


class OutputAsked(msgspec.Struct, frozen=True, kw_only=True):
    """One output that a request asks for."""

    name: str
    parameters: Parameters = None


class InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of ``infer``."""

    inputs: list[InputTensor]
    id: str | None = None
    parameters: Parameters = None
    outputs: list[OutputAsked] | None = None

    def binary_outputs(self, names: Collection[str]) -> frozenset[str]:
        """Those of the model's outputs that are to be bytes behind the JSON.

        Raises:
            MalformedBody: a parameter says neither yes nor no.
        """
        every = _flag(self.parameters, "binary_data_output", otherwise=False)
        own = {one.name: _flag(one.parameters, "binary_data", otherwise=every) for one in self.outputs or ()}
        return frozenset(name for name in names if own.get(name, every))

    @property
    def missing_text(self) -> str | None:
        """The text that stands for a missing value in tensors of BYTES, where the client has no other word for it.

        Raises:
            MalformedBody: it is none.
        """
        found = (self.parameters or {}).get("missing_text")
        if found is not None and not isinstance(found, str):
            raise MalformedBody("The parameter missing_text is not a text.")
        return found


def _flag(parameters: Parameters, name: str, *, otherwise: bool) -> bool:
    found = (parameters or {}).get(name, otherwise)
    if not isinstance(found, bool):
        raise MalformedBody(f"The parameter {name} is neither true nor false.")
    return found


def read_request(body: bytes, *, json_bytes: int | None) -> InferenceRequest:
    """The request, each tensor with its own part of the bytes behind the JSON.

    Raises:
        MalformedBody: not JSON, not of the protocol's shape, or binary data that is not there.
        TooLarge: it holds too many lists.
    """
    text = body if json_bytes is None else body[:json_bytes]
    if not text.strip():
        raise MalformedBody("There is no JSON in the body.", hint=HINT)
    if count_containers(text, over=MAX_CONTAINERS) > MAX_CONTAINERS:
        raise TooLarge("The request holds too many lists.", hint="send the data of each tensor flat")
    document = parse_json(text)
    try:
        request = msgspec.convert(document, InferenceRequest)
    except msgspec.ValidationError as error:
        raise MalformedBody(f"The body is no inference request: {error}.", hint=HINT) from error
    for one in (*request.inputs, *(request.outputs or ())):
        for name, sentence in NOT_OFFERED.items():
            if name in (one.parameters or ()):
                raise MalformedBody(sentence, hint="send and take the data of the tensors themselves")
    at = len(text)
    inputs = []
    for tensor in request.inputs:
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None or tensor.data is not None:
            inputs.append(tensor)
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(body) - at:
            raise MalformedBody(
                f"The binary data of tensor {tensor.name[:60]!r} is not in the body.",
                hint="binary_data_size counts its bytes, and Inference-Header-Content-Length those of the JSON before",
            )
        content = body[at : at + size]
        inputs.append(BinaryTensor(name=tensor.name, shape=tensor.shape, datatype=tensor.datatype, content=content))
        at += size
    if at < len(body):
        raise MalformedBody(
            f"{len(body) - at:,} bytes after the JSON belong to no tensor.",
            hint="the parameter binary_data_size of a tensor says how many are its own",
        )
    return msgspec.structs.replace(request, inputs=inputs)


def _binary_values(tensor: BinaryTensor) -> list[Any]:
    _kinds_of(tensor)
    count = math.prod(tensor.shape)
    size = size_of(tensor.datatype, count)
    if size not in {None, len(tensor.content)}:
        raise _bad(tensor, f"has {len(tensor.content)} bytes where its shape {str(tensor.shape)[:60]} says otherwise")
    try:
        return read_values(tensor.content, tensor.datatype, most=count)
    except ValueError as error:
        raise MalformedBody(
            f"The binary data of tensor {tensor.name[:60]!r} is not {tensor.datatype}: {error}.",
            hint="numbers are little-endian; a text is its length in four bytes, and its UTF-8",
        ) from error


def _kinds_of(tensor: InputTensor) -> tuple[type, ...]:
    """The types of the values that the tensor's datatype has.

    Raises:
        InvalidRows: there is no such datatype here.
    """
    kinds = _KINDS.get(tensor.datatype)
    if kinds is None:
        raise _bad(tensor, f"is of the datatype {tensor.datatype[:20]!r}, which is not read here")
    return kinds


def _flat(tensor: InputTensor, missing_text: str | None) -> list[Any]:
    """The tensor's values in row-major order, whether its data is nested or not; None is a missing one.

    Raises:
        InvalidRows: they are not as many as its shape says, or not of its datatype.
    """
    values = _binary_values(tensor) if isinstance(tensor, BinaryTensor) else tensor.data
    if values is None:
        raise _bad(tensor, "has no data")
    for _ in tensor.shape[1:]:
        if not all(isinstance(one, list) for one in values) or not values:
            break
        values = [value for one in values for value in one]
    if any(size < 0 for size in tensor.shape) or math.prod(tensor.shape) != len(values):
        raise _bad(tensor, f"has {len(values)} values where its shape {str(tensor.shape)[:60]} says otherwise")
    kinds = _kinds_of(tensor)
    for i, value in enumerate(values):
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            raise _bad(tensor, f"is of {tensor.datatype}, and its value {i} is not")
    if missing_text is not None and str in kinds:
        return [None if value == missing_text else value for value in values]
    return values


def _bad(tensor: InputTensor, what: str) -> InvalidRows:
    return InvalidRows((Problem("bad_tensor", f"tensor {tensor.name[:60]!r} {what}", column=tensor.name[:60]),))


def rows_of(
    schema: Schema, inputs: Sequence[InputTensor], *, max_rows: int, missing_text: str | None = None
) -> list[dict[str, object]]:
    """The tensors as rows of the schema's columns; ``missing_text`` in a tensor of BYTES is a missing value.

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
        values = _flat(first, missing_text)
        return [dict(zip(schema.names, values[i : i + wide], strict=True)) for i in range(0, len(values), wide)]
    columns: dict[str, list[Any]] = {}
    for tensor in inputs:
        if tensor.name in columns:
            raise _bad(tensor, "stands twice")
        if len(tensor.shape) != 1 and tensor.shape[1:] != [1]:
            raise _bad(tensor, "must have the shape [rows] or [rows, 1]")
        if tensor.shape[0] != first.shape[0]:
            raise _bad(tensor, f"has {tensor.shape[0]} rows where the first has {first.shape[0]}")
        columns[tensor.name] = _flat(tensor, missing_text)
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
