"""``/v2`` of a real server, held against the protocol's own document and against ``/v1``."""

import gzip
import json
import zlib

import numpy as np
import pandas as pd
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator
from tests.conftest import ROOT

from aweigh.cli.demo import CHOICES, NUMBERS
from aweigh.data import penguins_path

DOCUMENT = yaml.safe_load((ROOT / "tests/data/oip/open_inference_rest.yaml").read_text())
PARAMETER = {"type": ["string", "number", "boolean"]}
"""What the protocol's prose says of a parameter, and its document does not."""

KINDS = {"island": "BYTES", "sex": "BYTES", "flipper_length_mm": "FP64", "body_mass_g": "FP64", "year": "INT64"}


def valid(document, name):
    """Return the document, when it is what the protocol's own schema of that name says."""
    components = DOCUMENT["components"]
    schema = {"$ref": f"#/components/schemas/{name}", "components": components}
    Draft4Validator(schema).validate(document)
    for one in (document, *document.get("inputs", ()), *document.get("outputs", ())):
        Draft4Validator({"additionalProperties": PARAMETER}).validate(one.get("parameters", {}))
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
        valid(client.get("/v2").json(), "metadata_server_response")
        valid(client.get("/v2/").json(), "metadata_server_response")
        model = valid(client.get("/v2/models/penguins").json(), "metadata_model_response")
        assert client.get(f"/v2/models/penguins/versions/{penguins.digest[:12]}").json() == model
        assert client.get(f"/v2/models/penguins/versions/{penguins.digest}").json() == model
        assert client.get("/v2/health/live").json() == {"live": True}
        assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}
        for version in ("", f"/versions/{penguins.digest[:12]}"):
            assert client.get(f"/v2/models/penguins{version}/ready").json() == {"name": "penguins", "ready": True}
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
    document = valid(reply.json(), "inference_response")
    with api.client() as client:
        body = b'{"rows":' + frame.to_json(orient="records").encode() + b"}"
        said = client.post("/v1/predict", content=body, headers={"Content-Type": "application/json"}).json()
    label, shares = document["outputs"]
    assert document["id"] == "42"
    assert (document["model_name"], document["model_version"]) == ("penguins", penguins.digest[:12])
    assert label["data"] == [one["label"] for one in said["predictions"]]
    assert shares["shape"] == [len(frame), 3]
    classes = json.loads(shares["parameters"]["classes"])
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
    document = valid(ask(api, body).json(), "inference_response")
    warnings = json.loads(document["parameters"]["warnings"])
    assert (warnings[0]["column"], warnings[0]["code"]) == ("body_mass_g", "outside_reference_range")


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


def test_two_lengths_of_the_json_are_none(api, frame):
    body = json.dumps({"inputs": tensors(frame.iloc[:1])}).encode()
    name = "Inference-Header-Content-Length"
    with api.client() as client:
        for first, second, status in ((len(body), len(body), 200), (len(body), 2, 400), (2, len(body), 400)):
            headers = [("Content-Type", "application/json"), (name, str(first)), (name, str(second))]
            reply = client.post("/v2/models/penguins/infer", content=body, headers=headers)
            assert reply.status_code == status
    assert "count its bytes" in reply.json()["error"]


def test_no_rows_are_no_answers(flats_api):
    tensor = {"name": "input", "shape": [0, 8], "datatype": "FP64", "data": []}
    outputs = ask(flats_api, {"inputs": [tensor]}, path="/v2/models/flats/infer").json()["outputs"]
    assert outputs == [{"name": "value", "datatype": "FP64", "shape": [0], "data": []}]


# -- the protocol's own document ---------------------------------------------------------------------------------------


def described(server, version):
    """The operations of the protocol's document, at this server; "$" before a parameter is a slip of the document's."""
    values = {"MODEL_NAME": "penguins", "MODEL_VERSION": version}
    paths = {}
    for path, item in DOCUMENT["paths"].items():
        filled = path.replace("$", "").format(**values)
        paths[filled] = {name: one for name, one in item.items() if name != "parameters"}
    schema = schemathesis.openapi.from_dict({**DOCUMENT, "paths": paths})
    schema.config.update(base_url=server.url)
    return schema


def test_every_operation_of_the_protocols_document_is_there(api, penguins):
    found = {}
    for result in described(api, penguins.digest[:12]).get_all_operations():
        operation = result.ok()
        if operation.method.upper() != "GET":
            continue
        reply = operation.Case().call()
        operation.validate_response(reply)
        found[operation.path.rpartition("/")[2]] = reply.status_code
    assert found == {"live": 200, "ready": 200, "": 200, penguins.digest[:12]: 200}


FEW = settings(max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@pytest.mark.slow
def test_any_request_of_the_protocols_schema_is_refused_as_its_document_says(api, penguins):
    """schemathesis makes them, of names that are no column's."""
    version = penguins.digest[:12]
    operation = described(api, version)[f"/v2/models/penguins/versions/{version}/infer"]["POST"]

    @FEW
    @given(case=operation.as_strategy())
    def refused(case):
        reply = case.call()
        assert reply.status_code in {400, 413}  # more rows than may be, by the first number of a shape
        valid(reply.json(), "inference_error_response")
        assert list(reply.json()) == ["error"]

    refused()


scalars = st.text(max_size=5) | st.integers(-9, 9) | st.booleans()
parameters = st.dictionaries(st.sampled_from(["priority", "timeout", "content_type", "any"]), scalars, max_size=2)


@st.composite
def requests(draw, frame):
    """Requests for some of these rows in any form that the protocol has."""
    rows = frame.iloc[draw(st.integers(0, 4)) : draw(st.integers(5, 9))]
    inputs = draw(st.permutations(tensors(rows, nested=draw(st.booleans()))))
    for one in inputs:
        if len(one["shape"]) == 2 and draw(st.booleans()):
            one["data"] = [value for row in one["data"] for value in row]
        one["parameters"] = draw(parameters)
    names = draw(st.lists(st.sampled_from(["label", "probabilities"]), unique=True, max_size=2))
    more = {"id": draw(st.text(max_size=8)), "parameters": draw(parameters)}
    outputs = [{"name": name, "parameters": draw(parameters)} for name in names]
    return rows, {"inputs": inputs, "outputs": outputs, **draw(st.sampled_from([{}, more]))}


def test_any_request_of_the_protocols_schema_for_the_columns_is_answered(api, frame):
    whole = frame.dropna().reset_index(drop=True)
    label, shares = ask(api, {"inputs": tensors(whole.iloc[:9])}).json()["outputs"]

    @FEW
    @given(requests(whole))
    def answered(made):
        rows, body = made
        found = valid(ask(api, valid(body, "inference_request")).json(), "inference_response")
        assert found["id"] == body.get("id", found["id"])
        names = {one["name"] for one in body["outputs"]} or {"label", "probabilities"}
        outputs = {one["name"]: one["data"] for one in found["outputs"]}
        at, end = rows.index[0], rows.index[-1] + 1
        expected = {"label": label["data"][at:end], "probabilities": shares["data"][3 * at : 3 * end]}
        assert outputs == {name: expected[name] for name in names}

    answered()


@pytest.mark.parametrize("more", [{"id": None, "parameters": None, "outputs": None}, {"model_name": "penguins"}])
def test_what_clients_send_beside_the_schema_is_taken(api, frame, more):
    """KServe's client names the model once more; others write null for what they leave out."""
    inputs = [one | {"parameters": None} for one in tensors(frame.iloc[:2])]
    document = valid(ask(api, {"inputs": inputs} | more).json(), "inference_response")
    assert document["outputs"] == ask(api, {"inputs": tensors(frame.iloc[:2])}).json()["outputs"]


# -- bytes both ways, and packed ---------------------------------------------------------------------------------------


def test_outputs_are_bytes_for_who_asks_for_them(api, frame):
    inputs = tensors(frame.iloc[:5])
    plain = ask(api, {"inputs": inputs}).json()["outputs"]
    reply = ask(api, {"inputs": inputs, "parameters": {"binary_data_output": True}})
    head = int(reply.headers["inference-header-content-length"])
    assert reply.headers["content-type"] == "application/octet-stream"
    assert int(reply.headers["content-length"]) == len(reply.content)
    label, shares = json.loads(reply.content[:head])["outputs"]
    rest = reply.content[head:]
    assert label["parameters"]["binary_data_size"] + shares["parameters"]["binary_data_size"] == len(rest)
    assert np.frombuffer(rest[-shares["parameters"]["binary_data_size"] :], "<f8").tolist() == plain[1]["data"]
    texts = b"".join(len(one).to_bytes(4, "little") + one.encode() for one in plain[0]["data"])
    assert rest[: label["parameters"]["binary_data_size"]] == texts


PACK = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}


@pytest.mark.parametrize("coding", PACK)
@pytest.mark.parametrize("count", [1, 344])
def test_packed_bodies_are_read(api, frame, coding, count):
    body = json.dumps({"id": "1", "inputs": tensors(frame.iloc[:count])}).encode()
    reply = ask(api, PACK[coding](body), headers={"Content-Encoding": coding})
    assert reply.json() == ask(api, body).json()


def test_what_unpacks_to_more_than_a_body_may_hold_is_too_large(api):
    bomb = gzip.compress(b" " * 200 * 2**20, 9)
    assert len(bomb) < 2**18
    before = api.memory_bytes()
    for _ in range(3):
        reply = ask(api, bomb, headers={"Content-Encoding": "gzip"})
        assert reply.status_code == 413
        assert "larger than 16,777,216 bytes" in reply.json()["error"]
    assert api.memory_bytes() - before < 100 * 2**20


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", b"{}", 400),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-1], 400),
        ("deflate", gzip.compress(b"{}", mtime=0), 400),
        ("gzip", b"", 400),
        ("br", b"{}", 415),
        ("gzip, deflate", b"{}", 415),
    ],
)
def test_a_body_that_is_not_packed_as_it_says_is_refused(api, coding, body, status):
    reply = ask(api, body, headers={"Content-Encoding": coding})
    assert reply.status_code == status
    assert list(reply.json()) == ["error"]


def test_answers_are_in_no_coding_that_tritons_client_does_not_read(api, frame):
    body = {"inputs": tensors(frame)}
    reply = ask(api, body, headers={"Accept-Encoding": "gzip, deflate, br, zstd"})
    assert reply.headers["content-encoding"] == "gzip"
    assert ask(api, body, headers={"Accept-Encoding": "zstd"}).headers.get("content-encoding") is None
