"""``/v2`` of a real server, held against the protocol's own document and against ``/v1``."""

import json

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from aweigh.cli.demo import CHOICES, NUMBERS
from aweigh.data import penguins_path

# The schemas of the protocol's REST document (open_inference_rest.yaml, version 2.0), as far as answers go.
TENSOR = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "datatype": {"enum": ["BOOL", "INT64", "FP32", "FP64", "BYTES"]},
        "shape": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["name", "datatype", "shape"],
}
SERVER = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "extensions": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "version", "extensions"],
}
MODEL = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "versions": {"type": "array", "items": {"type": "string"}},
        "platform": {"type": "string"},
        "inputs": {"type": "array", "items": TENSOR},
        "outputs": {"type": "array", "items": TENSOR},
        "properties": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["name", "platform"],
}
REPLY = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "outputs": {
            "type": "array",
            "items": TENSOR
            | {
                "properties": TENSOR["properties"]
                | {
                    "parameters": {"type": "object"},
                    "data": {"type": "array", "items": {"type": ["number", "string", "boolean", "null"]}},
                },
                "required": ["name", "datatype", "shape", "data"],
            },
        },
    },
    "required": ["model_name", "outputs"],
}

KINDS = {"island": "BYTES", "sex": "BYTES", "flipper_length_mm": "FP64", "body_mass_g": "FP64", "year": "INT64"}


def valid(document, schema):
    Draft202012Validator(schema).validate(document)
    return document


@pytest.fixture(scope="module")
def frame():
    return pd.read_csv(penguins_path())[[*CHOICES, *NUMBERS]]


def tensors(frame, *, nested=False):
    rows = json.loads(frame.to_json(orient="records"))
    made = []
    for name in frame.columns:
        data = [row[name] for row in rows]
        shape = [len(rows), 1] if nested else [len(rows)]
        made.append(
            {
                "name": name,
                "datatype": KINDS.get(name, "FP64"),
                "shape": shape,
                "data": [[one] for one in data] if nested else data,
            }
        )
    return made


def ask(server, body, *, path="/v2/models/penguins/infer", headers=None):
    with server.client() as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return client.post(path, content=content, headers={"Content-Type": "application/json"} | (headers or {}))


def test_the_server_and_the_model_describe_themselves(api, penguins):
    with api.client() as client:
        valid(client.get("/v2").json(), SERVER)
        valid(client.get("/v2/").json(), SERVER)
        model = valid(client.get("/v2/models/penguins").json(), MODEL)
        assert client.get(f"/v2/models/penguins/versions/{penguins.digest[:12]}").json() == model
        assert client.get(f"/v2/models/penguins/versions/{penguins.digest}").json() == model
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/penguins/ready"):
            assert client.get(path).status_code == 200
    assert model["versions"] == [penguins.digest[:12]]
    assert {one["name"]: one["datatype"] for one in model["inputs"]} | KINDS == {
        one["name"]: one["datatype"] for one in model["inputs"]
    }
    assert model["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, 3]},
    ]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("versioned", [False, True])
def test_the_answers_are_those_of_v1(api, penguins, frame, nested, versioned):
    version = f"/versions/{penguins.digest[:12]}" if versioned else ""
    reply = ask(api, {"id": "42", "inputs": tensors(frame, nested=nested)}, path=f"/v2/models/penguins{version}/infer")
    document = valid(reply.json(), REPLY)
    with api.client() as client:
        body = b'{"rows":' + frame.to_json(orient="records").encode() + b"}"
        said = client.post("/v1/predict", content=body, headers={"Content-Type": "application/json"}).json()
    label, shares = document["outputs"]
    assert document["id"] == "42"
    assert (document["model_name"], document["model_version"]) == ("penguins", penguins.digest[:12])
    assert label["data"] == [one["label"] for one in said["predictions"]]
    assert shares["shape"] == [len(frame), 3]
    classes = shares["parameters"]["classes"]
    assert shares["data"] == [one["probabilities"][name] for one in said["predictions"] for name in classes]


def test_an_absent_tensor_of_a_nullable_column_is_missing(api, frame):
    row = frame.iloc[[5]].assign(sex=None)
    absent = [one for one in tensors(row) if one["name"] != "sex"]
    assert ask(api, {"inputs": absent}).json()["outputs"] == ask(api, {"inputs": tensors(row)}).json()["outputs"]


def test_only_what_was_asked_for_is_answered(api, frame):
    body = {"inputs": tensors(frame.iloc[:2]), "outputs": [{"name": "probabilities"}]}
    assert [one["name"] for one in ask(api, body).json()["outputs"]] == ["probabilities"]


def test_warnings_are_parameters(api, frame):
    body = {"inputs": tensors(frame.iloc[:1].assign(body_mass_g=50_000.0))}
    assert ask(api, body).json()["parameters"]["warnings"][0]["code"] == "outside_reference_range"


def flats_rows(count):
    return np.random.default_rng(1).normal(size=(count, 8))


@pytest.mark.parametrize("count", [1, 5, 500])
def test_a_model_of_numbers_takes_one_tensor(flats_api, count):
    rows = flats_rows(count)
    path = "/v2/models/flats/infer"
    tensor = {"name": "input-0", "shape": [count, 8], "datatype": "FP64"}
    flat = ask(flats_api, {"inputs": [tensor | {"data": rows.ravel().tolist()}]}, path=path)
    nested = ask(flats_api, {"inputs": [tensor | {"data": rows.tolist()}]}, path=path)
    names = [f"x{i}" for i in range(8)]
    with flats_api.client() as client:
        said = client.post("/v1/predict", json={"rows": [dict(zip(names, row, strict=True)) for row in rows.tolist()]})
    values = [one["value"] for one in said.json()["predictions"]]
    assert flat.json()["outputs"] == [{"name": "value", "datatype": "FP64", "shape": [count], "data": values}]
    assert nested.json()["outputs"] == flat.json()["outputs"]


def test_one_tensor_is_refused_where_columns_are_text(api):
    reply = ask(api, {"inputs": [{"name": "all", "shape": [1, 7], "datatype": "FP64", "data": [0.0] * 7}]})
    assert reply.status_code == 400
    assert "columns of numbers only" in reply.json()["error"]


def test_binary_tensors_are_read_as_triton_clients_send_them(flats_api):
    rows = flats_rows(3)
    data = rows.astype("<f8").tobytes()
    tensor = {"name": "all", "shape": [3, 8], "datatype": "FP64", "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    path = "/v2/models/flats/infer"
    binary = ask(flats_api, head + data, path=path, headers={"Inference-Header-Content-Length": str(len(head))})
    text = ask(flats_api, {"inputs": [tensor | {"data": rows.ravel().tolist(), "parameters": {}}]}, path=path)
    assert binary.status_code == 200, binary.text
    assert binary.json()["outputs"] == text.json()["outputs"]


def test_binary_texts_are_read(api, frame):
    row = frame.iloc[[7]]
    plain = tensors(row)
    texts = [one for one in plain if one["datatype"] == "BYTES"]
    rest = b""
    for one in texts:
        text = one.pop("data")[0].encode()
        piece = len(text).to_bytes(4, "little") + text
        one["parameters"] = {"binary_data_size": len(piece)}
        rest += piece
    head = json.dumps({"inputs": plain}).encode()
    reply = ask(api, head + rest, headers={"Inference-Header-Content-Length": str(len(head))})
    assert reply.json()["outputs"] == ask(api, {"inputs": tensors(row)}).json()["outputs"]


@pytest.mark.parametrize("length", ["0", "-1", "x", "99999", "1" * 50])
def test_a_length_of_the_json_that_cannot_be_is_refused(api, frame, length):
    body = json.dumps({"inputs": tensors(frame.iloc[:1])}).encode()
    reply = ask(api, body, headers={"Inference-Header-Content-Length": length})
    assert reply.status_code == 400
    assert list(reply.json()) == ["error"]


def test_no_rows_are_no_answers(flats_api):
    tensor = {"name": "input", "shape": [0, 8], "datatype": "FP64", "data": []}
    outputs = ask(flats_api, {"inputs": [tensor]}, path="/v2/models/flats/infer").json()["outputs"]
    assert outputs == [{"name": "value", "datatype": "FP64", "shape": [0], "data": []}]
