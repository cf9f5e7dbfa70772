"""Bytes behind the JSON of an inference request: as many as the shape says, and read in one pass."""

import json
import time

import pytest

from aweigh.errors import InvalidRows, MalformedBody
from aweigh.schema import Column, Output, Schema
from aweigh.server.tensors import read_request, rows_of

TYPES = {"n": "number", "t": "text", "b": "boolean"}
SCHEMA = Schema(
    columns=tuple(Column(name=name, type=kind, dtype="object", nullable=True) for name, kind in TYPES.items()),
    output=Output(task="number", name="y"),
)


def rows_from(*inputs, rest=b""):
    head = json.dumps({"inputs": inputs}).encode()
    return rows_of(SCHEMA, read_request(head + rest, json_bytes=len(head)).inputs, max_rows=10)


def tensor(name, shape, datatype, size):
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}


def test_many_small_tensors_do_not_take_the_square_of_their_number():
    many, large = 20_000, 8 * 2**20
    inputs = [tensor("n", [1], "INT8", 1)] * many + [tensor("n", [1], "INT8", large)]
    head = json.dumps({"inputs": inputs}).encode()
    body = head + b"\1" * (many + large)
    begun = time.perf_counter()
    request = read_request(body, json_bytes=len(head))
    assert time.perf_counter() - begun < 5
    with pytest.raises(InvalidRows, match="stands twice"):
        rows_of(SCHEMA, request.inputs, max_rows=10)


@pytest.mark.parametrize(
    ("given", "rest", "told"),
    [
        (tensor("n", [2], "FP64", 8), b"\0" * 8, "has 8 bytes where its shape"),
        (tensor("n", [1], "FP64", 16), b"\0" * 16, "has 16 bytes where its shape"),
        (tensor("n", [1, 1], "INT16", 3), b"\0" * 3, "has 3 bytes where its shape"),
        (tensor("n", [-1], "FP64", 8), b"\0" * 8, "has 8 bytes where its shape"),
        (tensor("n", [-1], "FP64", 0), b"", "has 0 bytes where its shape"),
        (tensor("t", [1], "BYTES", 8), b"\0" * 8, "it holds more texts than its shape says"),
        (tensor("t", [-1], "BYTES", 4), b"\0" * 4, "it holds more texts than its shape says"),
        (tensor("t", [3], "BYTES", 8), b"\0" * 8, "has 2 values where its shape"),
        (tensor("t", [1], "BYTES", 5), b"\1\0\0\0\xff", "text 0 is not UTF-8"),
        (tensor("t", [1], "BYTES", 5), b"\xff\xff\xff\xff\0", "a text is cut off"),
        (tensor("b", [1], "BOOL", 1), b"\2", "a byte is neither 0 nor 1"),
    ],
)
def test_bytes_that_are_not_what_the_shape_and_the_datatype_say_are_refused(given, rest, told):
    with pytest.raises((InvalidRows, MalformedBody), match=told):
        rows_from(given, rest=rest)


def test_no_more_texts_are_made_than_there_are_to_be():
    begun = time.perf_counter()
    with pytest.raises(MalformedBody, match="more texts"):
        rows_from(tensor("t", [1], "BYTES", 16 * 2**20), rest=b"\0" * 16 * 2**20)
    assert time.perf_counter() - begun < 0.5


@pytest.mark.parametrize(
    ("body", "json_bytes"),
    [(b"", None), (b" ", None), (b"{}", 0), (b"[]", None), (b'{"inputs": 1}', None), (b"{}x", 2)],
)
def test_what_is_no_request_is_refused_with_what_one_is(body, json_bytes):
    with pytest.raises(MalformedBody) as caught:
        read_request(body, json_bytes=json_bytes)
    assert '"inputs"' in caught.value.hint


@pytest.mark.parametrize(("size", "rest"), [(9, b"\0" * 8), (-1, b""), (8, b"\0" * 9), (True, b"\0")])
def test_bytes_that_are_not_there_or_are_nobodys_are_told_with_what_counts_them(size, rest):
    with pytest.raises(MalformedBody) as caught:
        rows_from(tensor("n", [1], "FP64", size), rest=rest)
    assert "binary_data_size" in caught.value.hint
