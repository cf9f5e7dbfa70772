"""What nobody would think of sending: from the OpenAPI document by schemathesis, and from good bodies gone bad."""

import io
import json
import subprocess
import sys

import httpx
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.data_sets import ROW

from aweigh.cli.demo import CHOICES, NUMBERS
from aweigh.data import penguins_path
from aweigh.server.media import ARROW_STREAM
from aweigh.server.problems import PROBLEMS

FRAME = pd.read_csv(penguins_path())[[*CHOICES, *NUMBERS]].iloc[:3]


def arrow_of(frame):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


GOOD = {
    "application/json": json.dumps({"rows": [ROW, ROW | {"sex": None}]}).encode(),
    "text/csv": FRAME.to_csv(index=False).encode(),
    ARROW_STREAM: arrow_of(FRAME),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ["api", pytest.param("flats_api", marks=pytest.mark.slow)])
def test_the_server_is_what_its_openapi_document_says(name, request, tmp_path):
    """schemathesis makes requests that fit the document and requests that do not, and holds the answers against it.

    A CSV is any text to the document, so that text which is no such CSV would count as fitting: it is left out here.
    """
    server = request.getfixturevalue(name)
    with server.client() as client:
        document = client.get("/v1/openapi.json").json()
    del document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["text/csv"]
    del document["paths"]["/v1/jobs"]  # for the same reason: any bytes are a file to the document
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document))
    command = [sys.executable, "-m", "schemathesis.cli", "run", path, "--url", server.url, "--checks", "all"]
    done = subprocess.run(
        [*map(str, command), "--max-examples", "40", "--seed", "1", "--no-color", "--suppress-health-check", "all"],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Fuzzing" in done.stdout
    assert "Coverage" in done.stdout


@pytest.fixture(scope="module")
def client(api):
    with api.client() as client:
        yield client


def check(reply: httpx.Response) -> None:
    """An answer, or a refusal that says what and nothing else; never a failure."""
    assert reply.status_code in {200, *(status for status, _ in PROBLEMS.values() if status < 500)}, reply.text
    if reply.status_code != 200:
        document = reply.json()
        assert document.get("code") in PROBLEMS or document.get("error"), document


fuzzing = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def spoilt(draw, good):
    """A good body with some of its bytes changed, cut out or doubled."""
    body = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(body) - 1)))
        end = min(len(body), at + draw(st.integers(0, 12)))
        kind = draw(st.sampled_from(["change", "cut", "double", "put"]))
        if kind == "change" and body:
            body[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del body[at:end]
        elif kind == "double":
            body[at:at] = body[at:end]
        else:
            body[at:at] = draw(st.binary(max_size=6))
    return bytes(body)


@fuzzing
@given(media=st.sampled_from(list(GOOD)), body=st.binary(max_size=300))
@example(media="application/json", body=b"")
@example(media=ARROW_STREAM, body=b"\xff\xff\xff\xff\xff\xff\xff\x7f")
@example(media=ARROW_STREAM, body=b"ARROW1\x00\x00")
def test_any_bytes_are_refused_or_answered(client, media, body):
    check(client.post("/v1/predict", content=body, headers={"Content-Type": media}))


@pytest.mark.parametrize("media", list(GOOD))
@fuzzing
@given(data=st.data())
def test_good_bodies_gone_bad_are_refused_or_answered(client, media, data):
    body = data.draw(spoilt(GOOD[media]))
    check(client.post("/v1/predict", content=body, headers={"Content-Type": media}))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from([*ROW, "rows"]) | st.text(max_size=6)


@fuzzing
@given(rows=st.lists(st.dictionaries(keys, values, max_size=8).map(lambda odd: ROW | odd) | values, max_size=4))
def test_any_values_are_refused_or_answered(client, rows):
    body = json.dumps({"rows": rows}).encode("utf-8", "surrogatepass")
    check(client.post("/v1/predict", content=body, headers={"Content-Type": "application/json"}))


@fuzzing
@given(
    tensors=st.lists(
        st.fixed_dictionaries(
            {
                "name": st.sampled_from(list(ROW)) | st.text(max_size=4),
                "shape": st.lists(st.integers(-1, 3), max_size=3) | values,
                "datatype": st.sampled_from(["FP64", "INT64", "BYTES", "BOOL", "X"]),
            },
            optional={"data": st.lists(values, max_size=4), "parameters": values},
        ),
        max_size=8,
    ),
    more=st.dictionaries(st.sampled_from(["id", "outputs", "parameters"]), values),
    length=st.none() | st.integers(-1, 400),
    rest=st.binary(max_size=20),
)
def test_any_tensors_are_refused_or_answered(client, tensors, more, length, rest):
    body = json.dumps({"inputs": tensors} | more).encode() + rest
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    check(client.post("/v2/models/penguins/infer", content=body, headers=headers))


PARTS = [
    *("v1", "v2", "models", "penguins", "predict", "infer", "versions", "health", "ready", "metrics", "docs"),
    *("..", "", "%2e%2e", "%00", "%2F", "é", "%ff", "a" * 300),
]


@fuzzing
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
    path=st.lists(st.sampled_from(PARTS), max_size=6).map(lambda parts: "/" + "/".join(parts)),
    query=st.sampled_from(["", "?x=%00", "?" + "a" * 500]),
)
def test_any_address_is_answered_or_not_there(client, method, path, query):
    reply = client.request(method, str(client.base_url).rstrip("/") + path + query)
    assert reply.status_code in {200, 400, 403, 404, 405, 415}
    if reply.status_code != 200 and method != "HEAD":
        assert reply.headers["content-type"] in {"application/problem+json", "application/json"}


@fuzzing
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["Accept", "Content-Type", "Content-Encoding", "Host", "X-Aweigh-User", "X-Forwarded-For", "Authorization"]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40).map(str.strip),
    )
)
def test_any_headers_are_taken_or_refused(client, headers):
    check(
        client.post(
            "/v1/predict", content=GOOD["application/json"], headers={"Content-Type": "application/json"} | headers
        )
    )
    assert client.get("/v1/docs", headers=headers).status_code in {200, 400, 421}


def test_after_all_that_it_is_well(api):
    with api.client() as client:
        assert client.post("/v1/predict", json={"rows": [ROW]}).status_code == 200
    assert "Traceback" not in api.errors()
