"""Every row of docs/reference/errors.md, sent to a real server."""

import gzip
import io
import json
import re
import time
from pathlib import Path

import httpx
import pytest
from tests.data_sets import ROW

from aweigh.server.media import ARROW_STREAM

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
TABLE_ROW = re.compile(r"^\| (.+?) \| (\d{3}) \|(?: (?:`(\w+)`)? ?(?:\(`(\w+)`\))?)? ?\|$", re.MULTILINE)
ROWS = TABLE_ROW.findall(PAGE.read_text(encoding="utf-8").partition("## Not the client's doing")[0])

LEAKS = re.compile(r"/work|/root|/tmp|/home|/usr|site-packages|Traceback|File \"|\.py\b|0x[0-9a-f]{6}|msgspec|numpy")
MEGABYTE = 1_000_000

STRANGE = {"island": "Torgersen", "bill_depth_mm": 20.5, "flipper_length_mm": 230, "body_mass_g": 3000}
"""No one value is unusual: no penguin of so long flippers is so light, nor lives there."""

JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv"}
HEADER = ",".join(ROW)
LINE = ",".join(map(str, ROW.values()))
INFER = "/v2/models/penguins/infer"


def rows(*changed):
    """Return a body of rows: the ordinary one with these changes, each."""
    return json.dumps({"rows": [{k: v for k, v in (ROW | one).items() if v is not ...} for one in changed or ({},)]})


def post(body, headers=JSON, path="/v1/predict"):
    return lambda server: send(server, "POST", path, body, headers)


def get(path, headers=None, method="GET"):
    return lambda server: send(server, method, path, None, headers)


def send(server, method, path, body, headers):
    body = body() if callable(body) else body
    with server.client() as client:
        reply = client.request(method, path, content=body, headers=headers)
    return reply.status_code, dict(reply.headers), reply.text


def raw(sent):
    """Send bytes as they are; the status, headers and body of what comes back."""

    def ask(server):
        head, _, body = server.raw(sent).decode().partition("\r\n\r\n")
        lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), headers, body

    return ask


def fifty_megabytes():
    yield b'{"rows":['
    for _ in range(50):
        yield b" " * MEGABYTE


def slowly(server):
    with server.connect() as sock:
        head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n{as_lines(JSON)}Content-Length: 1000\r\n\r\n"
        sock.sendall(head.encode() + b'{"rows"')
        answer = b""
        for _ in range(40):
            time.sleep(0.1)
            sock.sendall(b" ")
            sock.settimeout(0.01)
            try:
                answer += sock.recv(65536)
            except TimeoutError:
                continue
            break
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), {"content-type": "application/problem+json"}, body


def as_lines(headers):
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def parquet():
    import pandas as pd

    out = io.BytesIO()
    pd.DataFrame([ROW]).to_parquet(out)
    return out.getvalue()


def arrow(frame):
    import pyarrow as pa

    table = pa.Table.from_pandas(frame, preserve_index=False)
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def cut_arrow():
    import pandas as pd

    return arrow(pd.DataFrame([ROW]))[:-100]


def arrow_of_lists():
    import pandas as pd

    return arrow(pd.DataFrame([ROW]).assign(year=[[1, 2]]))


def strange_arrow():
    import pandas as pd

    return arrow(pd.DataFrame([ROW | STRANGE]))


def tensors(**changed):
    """Return an inference request: a tensor a column, with these changed."""
    kinds = {str: "BYTES", float: "FP64", int: "INT64"}
    inputs = {
        name: {"name": name, "shape": [1], "datatype": kinds[type(value)], "data": [value]}
        for name, value in ROW.items()
    }
    for name, change in changed.items():
        inputs[name] = inputs[name] | change
    return {"inputs": list(inputs.values())}


def infer(document, path=INFER):
    return post(document if isinstance(document, str) else json.dumps(document), JSON, path)


def arrow_headers(media=ARROW_STREAM):
    return {"Content-Type": media}


CASES = {
    # columns and cells
    "A required column is missing": post(rows({"year": ...})),
    "A column that the model does not have": post(rows({"colour": "black"})),
    "A misspelt column: the nearest name is offered": post(rows({"bill_length_mm": ..., "bil_length_mm": 46.1})),
    "Text where a number belongs": post(rows({"bill_length_mm": "wide"})),
    "A number where text belongs": post(rows({"island": 3})),
    "A number as text, in JSON": post(rows({"bill_length_mm": "46.1"})),
    "A list or an object as a cell": post(rows({"year": [2007]}, {"island": {"name": "Biscoe"}})),
    "A fraction where a whole number belongs": post(rows({"year": 2007.5})),
    "A whole number beyond 64 bits": post(rows({"year": 2**63})),
    "A number too large for a float (`1e999`)": post(rows().replace("46.1", "1e999")),
    "`null` in a required column": post(rows({"year": None})),
    "A value beyond the owner's limit": post(rows({"body_mass_g": -1})),
    "A value that is none of a closed column's categories": post(rows({"sex": "unknown"})),
    "Text with a NUL character": post(rows({"island": "Bis\x00coe"})),
    'Text with half a surrogate pair (`"\\ud800"`)': post(rows({"island": "\ud800"})),
    "A category that the model has not seen": post(rows({"island": "Atlantis"})),
    "A number beyond what the model has seen": post(rows({"body_mass_g": 50_000})),
    "Values that hardly ever come together": post(rows(STRANGE)),
    # refused
    "Refused: a number beyond what the model has seen": post(rows({"body_mass_g": 50_000})),
    "Refused: a category that the model has not seen": post(rows({"island": "Atlantis"})),
    "Refused: values that hardly ever come together": post(rows({}, STRANGE)),
    "Refused: the same in a CSV": post(",".join(ROW) + "\n" + ",".join(map(str, (ROW | STRANGE).values())), CSV),
    "Refused: the same in Arrow": post(strange_arrow, arrow_headers()),
    # rows
    "No rows": post('{"rows": []}'),
    "A CSV with a header and no rows": post(HEADER, CSV),
    "Too many rows": post('{"rows": [' + ",".join(["{}"] * 100_001) + "]}"),
    "Too many rows in a CSV": post(HEADER + "\n" + ("," * 6 + "\n") * 100_001, CSV),
    "A row that is not an object": post('{"rows": [[1, 2]]}'),
    # JSON
    "Invalid JSON": post('{"rows": [}'),
    "JSON that ends too early": post('{"rows": [{"island": "Bis'),
    "`NaN`": post(rows().replace("46.1", "NaN")),
    "`Infinity`": post(rows().replace("46.1", "-Infinity")),
    "A key that stands twice": post(rows().replace("}", ', "year": 2008}', 1)),
    "Lists nested without end": post("[" * 90_000),
    "Objects nested without end": post('{"rows":[{"year":' + '{"a":' * 90_000),
    "A whole number of 5,000 digits": post(rows().replace("2007", "2" * 5000)),
    "Bytes that are not UTF-8": post(rows().encode().replace(b"Biscoe", b"Bisc\xf6")),
    "UTF-16": post(rows().encode("utf-16")),
    "A byte-order mark before the JSON": post(b"\xef\xbb\xbf" + rows().encode()),
    "A bare list of rows": post(json.dumps([ROW])),
    "A bare row": post(json.dumps(ROW)),
    "`rows` that is not a list": post(json.dumps({"rows": ROW})),
    "A key beside `rows`": post(json.dumps({"rows": [ROW], "threshold": 0.5})),
    # CSV
    "Rows with too few or too many cells": post(f"{HEADER}\n{LINE}\n{LINE},1\nBiscoe\n", CSV),
    "A byte-order mark before the CSV": post(b"\xef\xbb\xbf" + f"{HEADER}\n{LINE}\n".encode(), CSV),
    "Semicolons, tabs or bars between the cells": post(f"{HEADER}\n{LINE}\n".replace(",", ";"), CSV),
    "Another encoding, named as `charset`": post(
        f"{HEADER}\n{LINE}\n".encode("utf-16-le"), {"Content-Type": 'text/csv; header=present; charset="utf-16-le"'}
    ),
    "UTF-16 with a byte-order mark": post(f"{HEADER}\n{LINE}\n".encode("utf-16"), CSV),
    "A CSV that is not UTF-8 and does not say what it is": post(f"{HEADER}\n{LINE}\nö".encode("cp1252"), CSV),
    "A charset that nobody knows": post(f"{HEADER}\n{LINE}\n", {"Content-Type": "text/csv; charset=klingon"}),
    "A charset that is no text encoding": post(f"{HEADER}\n{LINE}\n", {"Content-Type": "text/csv; charset=base64"}),
    "A column that stands twice": post(f"{HEADER},year\n{LINE},2007\n", CSV),
    "A column without a name": post(f"{HEADER},\n{LINE},1\n", CSV),
    "A quote that never closes": post(f'{HEADER}\n"{LINE}\n', CSV),
    "A CSV with a NUL character": post(f"{HEADER}\n{LINE}\n".replace("Biscoe", "Bis\x00coe"), CSV),
    "Text in a number's column": post(f"{HEADER}\n{LINE}\n".replace("46.1", "wide"), CSV),
    "A number with a thousands separator": post(f"{HEADER}\n{LINE}\n".replace("4500", '"4,500"'), CSV),
    # Arrow
    "Bytes that are not Arrow": post(b"\xff\xff\xff\xff" + b"nonsense" * 9, arrow_headers()),
    "An Arrow stream cut short": post(cut_arrow, arrow_headers()),
    "A Parquet file said to be Arrow": post(parquet, arrow_headers()),
    "A column of lists": post(arrow_of_lists, arrow_headers()),
    # the body as a whole
    "An empty body": post(b""),
    "No content type": post(rows(), {}),
    "A content type that is not read here": post(rows(), {"Content-Type": "text/plain"}),
    "A content type that is not well formed": post(rows(), {"Content-Type": "json"}),
    "A form, as `curl -d` sends it": post(rows(), {"Content-Type": "application/x-www-form-urlencoded"}),
    "A Parquet file": post(parquet, arrow_headers("application/vnd.apache.parquet")),
    "A Parquet file that is not Parquet": post(b"PAR1 no PAR1", arrow_headers("application/vnd.apache.parquet")),
    "JSON that says it is UTF-16": post(rows(), {"Content-Type": "application/json; charset=utf-16"}),
    "A compressed body": post(b"\x1f\x8b\x08", JSON | {"Content-Encoding": "gzip"}),
    "50 MB, said beforehand": post(b" " * (50 * MEGABYTE)),
    "50 MB in chunks": post(fifty_megabytes),
    "A body that comes too slowly": slowly,
    # the request
    "Another method": get("/v1/predict"),
    "An address under `/v1` that does not exist": get("/v1/predictions"),
    "An address under `/health` that does not exist": get("/health/fine"),
    "`Accept` with nothing that is written here": post(rows(), JSON | {"Accept": "application/xml"}),
    "`/metrics` through a proxy, without the token": get("/metrics", {"X-Forwarded-For": "127.0.0.1"}),
    "A path that climbs (`/v1/../../etc/passwd`)": raw(
        b"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    ),
    "Headers of a megabyte": raw(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * MEGABYTE),
    "Bytes that are not HTTP": raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello"),
    # Open Inference Protocol
    "`/v2`: no inputs": infer({"inputs": []}),
    "`/v2`: JSON of another shape": infer({"instances": [ROW]}),
    "`/v2`: a tensor of an unknown name": infer(tensors(year={"name": "jahr"})),
    "`/v2`: a shape that does not fit the data": infer(tensors(year={"shape": [2]})),
    "`/v2`: a negative shape": infer(tensors(year={"shape": [-1]})),
    "`/v2`: tensors with different numbers of rows": infer(tensors(year={"shape": [2], "data": [2007, 2008]})),
    "`/v2`: values that are not of the datatype": infer(tensors(year={"data": ["2007"]})),
    "`/v2`: a datatype that nobody knows": infer(tensors(year={"datatype": "COMPLEX"})),
    "`/v2`: an output that the model does not have": infer(tensors() | {"outputs": [{"name": "certainty"}]}),
    "`/v2`: binary data that is not there": infer(tensors(year={"data": None, "parameters": {"binary_data_size": 8}})),
    "`/v2`: what shared memory holds": infer(tensors(year={"data": None, "parameters": {"shared_memory_region": "r"}})),
    "`/v2`: a body that is not in gzip, as it says": post(b"{}", JSON | {"Content-Encoding": "gzip"}, INFER),
    "`/v2`: invalid JSON": infer('{"inputs": ['),
    "`/v2`: another model's name": infer(tensors(), "/v2/models/whales/infer"),
    "`/v2`: another version": infer(tensors(), "/v2/models/penguins/versions/000000000000/infer"),
    "`/v2`: another method": get(INFER),
    "`/v2`: 50 MB, said beforehand": post(b" " * (50 * MEGABYTE), JSON, INFER),
    "`/v2`: 50 MB, packed with gzip": post(
        gzip.compress(b" " * (50 * MEGABYTE)), JSON | {"Content-Encoding": "gzip"}, INFER
    ),
    "`/v2`: a body in brotli": post(b"{}", JSON | {"Content-Encoding": "br"}, INFER),
}


@pytest.fixture(scope="module")
def strict(start_server, penguins):
    return start_server(penguins.path, "--no-ui", env={"AWEIGH_DOMAIN": "reject"})


def test_every_row_outside_is_listed_with_its_column(strict):
    _, _, body = post(rows({}, {"body_mass_g": 50_000, "island": "Atlantis"}, STRANGE))(strict)
    document = json.loads(body)
    assert document["title"] == "The rows lie outside what the model has seen"
    told = [(one["row"], one["column"], one["code"]) for one in document["problems"]]
    assert told[:2] == [(1, "island", "unseen_category"), (1, "body_mass_g", "outside_reference_range")]
    assert [(row, code) for row, _, code in told if code == "unlikely_combination"][-1] == (2, "unlikely_combination")
    assert document["total"] == len(told)
    _, _, also = infer(tensors(body_mass_g={"data": [50_000]}))(strict)
    assert "50000 lies outside" in json.loads(also)["error"] or "50000 g lies outside" in json.loads(also)["error"]


def test_what_is_served_is_told_with_its_policy(api, strict):
    found = [json.loads(get("/v1/model")(server)[2])["domain"] for server in (api, strict)]
    assert [(one["columns"], one["combination"], one["named"]) for one in found] == [
        ("flag", "flag", {}), ("reject", "reject", {})
    ]  # fmt: skip
    assert found[0]["calibration"]["wanted"] == 0.001
    assert 0 <= found[0]["calibration"]["flagged"] < 0.02 < found[0]["calibration"]["shuffled"] <= 1


def test_the_page_and_the_cases_are_the_same_rows():
    assert sorted(what for what, *_ in ROWS) == sorted(CASES)


@pytest.mark.parametrize(("what", "status", "code", "inner"), ROWS, ids=[what for what, *_ in ROWS])
def test_what_the_page_says_is_what_the_server_does(api, strict, what, status, code, inner):
    found, headers, body = CASES[what](strict if what.startswith("Refused: ") else api)

    assert found == int(status), body[:500]
    assert LEAKS.search(body) is None, body[:500]
    document = json.loads(body) if headers.get("content-type", "").endswith("json") else None
    if what.startswith("`/v2`"):
        assert list(document) == ["error"]
        assert document["error"]
    elif found == 200:
        assert [one["code"] for one in document["warnings"]] == ([inner] if inner else [])
    else:
        assert headers["content-type"] == "application/problem+json"
        assert (document["status"], document["code"]) == (found, code)
        assert document["type"] == f"/v1/docs#{code}"
        assert inner in {one["code"] for one in document.get("problems", [])} | {""}
    with api.client() as client:
        assert client.get("/health/ready").status_code == 200
    assert api.process.poll() is None


def test_a_misspelt_column_is_offered_the_nearest(api):
    _, _, body = CASES["A misspelt column: the nearest name is offered"](api)
    assert "did you mean 'bill_length_mm'?" in json.loads(body)["detail"]


def test_every_bad_cell_is_listed(api):
    _, _, body = post(rows({"year": "x", "sex": 1}, {}, {"body_mass_g": -1}))(api)
    document = json.loads(body)
    assert [(one["row"], one["column"], one["code"]) for one in document["problems"]] == [
        (0, "sex", "wrong_type"),
        (0, "year", "wrong_type"),
        (2, "body_mass_g", "out_of_range"),
    ]
    assert document["total"] == 3


def test_the_log_holds_no_failure(api):
    assert "Traceback" not in api.errors()


@pytest.mark.slow
def test_memory_comes_back_after_large_and_slow_bodies(api):
    with api.client() as client:
        client.post("/v1/predict", json={"rows": [ROW] * 100})
    before = api.memory_bytes()
    for _ in range(3):
        CASES["50 MB, said beforehand"](api)
        CASES["50 MB in chunks"](api)
        CASES["Too many rows"](api)
    slowly(api)
    assert api.memory_bytes() - before < 30 * MEGABYTE


def test_a_large_refused_body_is_never_held(api):
    """50 MB in chunks are counted and dropped: the most that a server holds of them is its limit."""
    before = api.memory_bytes()
    most = before
    with api.connect() as sock:
        sock.sendall(
            f"POST /v1/predict HTTP/1.1\r\nHost: [::1]\r\n{as_lines(JSON)}Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        piece = b"%x\r\n" % MEGABYTE + b" " * MEGABYTE + b"\r\n"
        for _ in range(50):
            sock.sendall(piece)
            most = max(most, api.memory_bytes())
        answer = sock.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert most - before < 60 * MEGABYTE


def test_a_client_that_asks_first_is_told_before_it_sends(api):
    """With `Expect: 100-continue` a body over the limit is refused without a byte of it on the line."""
    head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n{as_lines(JSON)}Content-Length: {50 * MEGABYTE}\r\n"
    answer = api.raw(head.encode() + b"Expect: 100-continue\r\n\r\n", timeout_s=5)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer
    assert b"connection: close" in answer.lower()


def test_a_refusal_of_the_body_leaves_the_connection_to_the_next_request(api):
    with api.client() as client:
        for body in (b'{"rows": [}', rows().encode(), b"", rows().encode()):
            reply = client.post("/v1/predict", content=body, headers=JSON)
            assert reply.status_code in {200, 400}
            assert "connection" not in reply.headers


def test_the_same_table_is_refused_alike_in_v1_and_v2(api):
    _, _, told = post(rows({"year": "soon"}))(api)
    _, _, also = infer(tensors(year={"datatype": "BYTES", "data": ["soon"]}))(api)
    assert json.loads(also)["error"].startswith(json.loads(told)["detail"])


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer wrong"}, {"X-Real-IP": "127.0.0.1"}, {"Forwarded": "for=1"}]
)
def test_counters_are_not_given_to_who_came_through_a_proxy(api, headers):
    with api.client() as client:
        reply = client.get("/metrics", headers={"X-Forwarded-For": "1.2.3.4"} | headers)
    assert reply.status_code == 403
    assert "aweigh_" not in reply.text.replace("AWEIGH_", "")


def test_httpx_is_told_413_while_it_still_sends(api):
    with httpx.Client(base_url=api.url, trust_env=False) as client:
        reply = client.post("/v1/predict", content=fifty_megabytes(), headers=JSON)
    assert reply.status_code == 413
    assert reply.headers["connection"] == "close"
