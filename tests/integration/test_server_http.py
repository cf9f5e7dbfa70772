"""The manners of HTTP at a real server: ETags, codings and what may be kept. The client adds nothing of its own."""

import gzip
import http.client
import json
import time

import pytest
from backports import zstd

DOCUMENTS = ("/v1/schema", "/v1/model", "/v1/openapi.json", "/v1/docs", "/")


def ask(serving, path, *, method="GET", body=None, **headers):
    """Return status, headers and body of one request with exactly these headers."""
    connection = http.client.HTTPConnection(serving.url.removeprefix("http://"), timeout=30)
    connection.putrequest(method, path, skip_accept_encoding=True, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    reply = connection.getresponse()
    found = reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    connection.close()
    return found


@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_are_revalidated(api, path):
    status, headers, body = ask(api, path)
    assert status == 200
    assert headers["cache-control"] == "private, no-cache"
    assert headers["etag"].startswith('"')
    status, again, nothing = ask(api, path, If_None_Match=headers["etag"])
    assert (status, nothing, again["etag"]) == (304, b"", headers["etag"])
    status, head, nothing = ask(api, path, method="HEAD")
    assert (status, nothing, head["content-length"], head["etag"]) == (200, b"", str(len(body)), headers["etag"])
    assert ask(api, path, method="DELETE")[0] == 405


@pytest.mark.parametrize("path", ["/v1/model", "/v1/openapi.json", "/v1/docs"])
def test_large_documents_are_compressed_for_who_takes_it(api, path):
    _, plain, body = ask(api, path)
    assert "content-encoding" not in plain
    for accepted, decode in (("gzip, deflate", gzip.decompress), ("gzip, deflate, br, zstd", zstd.decompress)):
        _, headers, packed = ask(api, path, Accept_Encoding=accepted)
        assert headers["content-encoding"] in accepted
        assert headers["vary"] == "accept-encoding"
        assert headers["etag"] != plain["etag"]
        assert decode(packed) == body
        assert len(packed) < len(body) / 2
        assert ask(api, path, Accept_Encoding=accepted, If_None_Match=headers["etag"])[0] == 304


def test_the_pages_say_under_which_address_they_were_asked_for(start_server, penguins):
    api = start_server(penguins.path, "--no-ui", env={"AWEIGH_HOSTS": "*"})
    pages = {host: ask(api, "/v1/docs", Host=host) for host in ("one.example", "two.example")}
    for host, (_, _, body) in pages.items():
        assert f"http://{host}/v1/predict".encode() in body
    assert len({headers["etag"] for _, headers, _ in pages.values()}) == 2
    for i in range(20):
        assert f"http://n{i}.example/".encode() in ask(api, "/v1/docs", Host=f"n{i}.example")[2]


STAGES = ["read", "model", "warnings", "write"]


def stages(headers):
    """Return the stages of ``Server-Timing`` and the milliseconds of each."""
    parts = [one.split(";dur=") for one in headers["server-timing"].split(", ")]
    return {name: float(milliseconds) for name, milliseconds in parts}


def golden_row(serving):
    """Return a row that the model answers."""
    return json.loads(ask(serving, "/v1/model")[2])["examples"]["rows"][0]


def predict(serving, rows, *, path="/v1/predict", **headers):
    """Return status, headers and body of the reply to these bytes."""
    return ask(serving, path, method="POST", body=rows, **({"Content-Type": "application/json"} | headers))


def test_every_prediction_says_where_its_time_went(api):
    row = golden_row(api)
    for many, codings in ((1, "gzip"), (500, "identity")):
        body = json.dumps({"rows": [row] * many}).encode()
        begun = time.perf_counter()
        status, headers, _ = predict(api, body, Accept_Encoding=codings)
        passed_ms = (time.perf_counter() - begun) * 1000
        assert status == 200
        took = stages(headers)
        assert [one for one in took if one != "queue"] == STAGES
        assert 0 < sum(took.values()) < passed_ms
        assert took["model"] > 0
    assert "server-timing" not in predict(api, b"{}")[1]


@pytest.mark.parametrize(
    "accept", ["application/json", "text/csv", "application/vnd.apache.arrow.stream"], ids=["json", "csv", "arrow"]
)
def test_large_answers_are_compressed_for_who_takes_it(api, accept):
    row = golden_row(api)
    body = json.dumps({"rows": [row] * 500}).encode()
    _, plain, whole = predict(api, body, Accept=accept)
    assert "content-encoding" not in plain
    assert plain["vary"] == "accept-encoding"
    for accepted, decode in (("gzip;q=0.5, br", gzip.decompress), ("gzip, zstd", zstd.decompress)):
        status, headers, packed = predict(api, body, Accept=accept, Accept_Encoding=accepted)
        assert (status, headers["content-length"]) == (200, str(len(packed)))
        assert headers["content-encoding"] in accepted
        assert headers["content-type"] == plain["content-type"]
        assert headers["cache-control"] == "no-store"
        assert [one for one in stages(headers) if one != "queue"] == [*STAGES, "compress"]
        unpacked = decode(packed)
        if accept == "application/json":
            assert json.loads(unpacked)["predictions"] == json.loads(whole)["predictions"]
        else:
            assert unpacked == whole
    small = json.dumps({"rows": [row]}).encode()
    assert "content-encoding" not in predict(api, small, Accept=accept, Accept_Encoding="gzip")[1]
    _, headers, packed = predict(api, small, Accept=accept, Accept_Encoding="gzip, identity;q=0")
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed)


def test_the_protocol_of_others_does_the_same(flats_api):
    names = [one["name"] for one in json.loads(ask(flats_api, "/v1/schema")[2])["input"]["columns"]]
    row = golden_row(flats_api)
    tensor = {"name": "x", "shape": [500, len(names)], "datatype": "FP64", "data": [[row[one] for one in names]] * 500}
    body = json.dumps({"inputs": [tensor]}).encode()
    path = "/v2/models/flats/infer"
    _, plain, whole = predict(flats_api, body, path=path)
    assert list(stages(plain)) == ["queue", *STAGES]
    status, headers, packed = predict(flats_api, body, path=path, Accept_Encoding="gzip, deflate, br, zstd")
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert json.loads(gzip.decompress(packed))["outputs"] == json.loads(whole)["outputs"]


def test_a_compressed_body_is_refused(api):
    status, _, body = predict(api, gzip.compress(b'{"rows":[]}'), Content_Encoding="gzip")
    assert (status, json.loads(body)["code"]) == (415, "unsupported_media")


def test_what_is_asked_for_now_is_not_kept(api):
    for path in ("/health/live", "/health/ready", "/metrics"):
        status, headers, _ = ask(api, path, Accept_Encoding="gzip")
        assert (status, headers["cache-control"]) == (200, "no-store"), path
        assert json.loads(ask(api, "/health/live")[2]) == {"status": "live"}
