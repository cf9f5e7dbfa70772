"""The bytes of an ONNX file, walked before anything parses them: does it reach for files outside itself?

A tensor may say that its numbers lie in another file, by any path, and ONNX Runtime would read it. A bundle may come
from anyone and is served without the ``onnx`` package, so this reads the protobuf encoding itself (protobuf.dev,
"Encoding"), going only into the fields where tensors live (onnx.proto).
"""

import re
from collections.abc import Iterator

from aweigh.errors import UnreadableModel, UnsupportedModel

MOST_DEPTH = 64
"""Graphs within graphs, tensors within attributes: far more than any model has."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT_BYTES = 10
_RUN = re.compile(
    rb"(?:\x3d.{4}"  # field 7: floats
    rb"|\x40[\x80-\xff]{0,9}[\x00-\x7f]"  # field 8: whole numbers
    rb"|\x4a\x04LEAF|\x4a\x0aBRANCH_(?:LEQ|GTE|NEQ)|\x4a\x09BRANCH_(?:LT|GT|EQ))++",  # field 9: modes of trees
    re.DOTALL,
)
"""An attribute's lists, which are written one by one and may be of millions."""
_ORT_FORMAT = b"ORTM"
_LOCATION = b"location"

_INTO: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def may_reach_out(data: bytes) -> bool:
    """Whether a look at each field is needed to know that the file holds all of itself.

    A tensor's numbers can lie elsewhere only under the key ``location`` (onnx.proto, TensorProto.external_data), which
    protobuf writes as those bytes: a file without them names no other.
    """
    return data[4:8] == _ORT_FORMAT or _LOCATION in data


def check_wire(data: bytes) -> None:
    """Passes a file that holds all of itself.

    Raises:
        UnsupportedModel: it keeps some of its numbers in other files, or is in ONNX Runtime's own format.
        UnreadableModel: it is no ONNX file.
    """
    if data[4:8] == _ORT_FORMAT:
        raise UnsupportedModel(
            "The graph is in ONNX Runtime's own .ort format.", hint="give the .onnx file that it was made from"
        )
    waiting = [("model", 0, len(data), 0)]
    try:
        while waiting:
            kind, start, end, depth = waiting.pop()
            for number, wire, at, value in _fields(data, start, end, runs=kind == "attribute"):
                if kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value)):
                    raise UnsupportedModel(
                        "The graph keeps some of its numbers in other files.",
                        hint="save it in one file: onnx.save(onnx.load('model.onnx'), 'whole.onnx')",
                    )
                within = _INTO.get(kind, {}).get(number)
                if within is not None and wire == _BYTES:
                    if depth == MOST_DEPTH:
                        raise UnreadableModel("The graph is nested too deeply to be one that anyone made.")
                    waiting.append((within, at, at + value, depth + 1))
    except (ValueError, IndexError) as error:
        raise UnreadableModel("The file is no ONNX graph: its bytes do not add up.") from error


def _fields(data: bytes, start: int, end: int, *, runs: bool) -> Iterator[tuple[int, int, int, int]]:
    """Each field of a message: its number, how it is written, where its bytes begin, and their count or its value."""
    at = start
    while at < end:
        if runs and (run := _RUN.match(data, at, end)):
            at = run.end()
            continue
        key, at = _varint(data, at, end)
        wire, value = key & 7, 0
        if wire == _VARINT:
            value, at = _varint(data, at, end)
            begins = at
        elif wire == _BYTES:
            value, at = _varint(data, at, end)
            begins, at = at, at + value
        elif wire in {_FIXED64, _FIXED32}:
            begins, at = at, at + (8 if wire == _FIXED64 else 4)
        else:
            raise ValueError(wire)
        if at > end:
            raise ValueError(at)
        yield key >> 3, wire, begins, value


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(at + _LONGEST_VARINT_BYTES, end)):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise ValueError(at)
