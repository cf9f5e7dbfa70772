"""The manners of HTTP at a real server: ETags, codings and what may be kept. The client adds nothing of its own."""

import gzip
import http.client
import json

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


def test_the_pages_say_under_which_address_they_were_asked_for(api):
    pages = {host: ask(api, "/v1/docs", Host=host) for host in ("one.example", "two.example")}
    for host, (_, _, body) in pages.items():
        assert f"http://{host}/v1/predict".encode() in body
    assert len({headers["etag"] for _, headers, _ in pages.values()}) == 2
    for i in range(20):
        assert f"http://n{i}.example/".encode() in ask(api, "/v1/docs", Host=f"n{i}.example")[2]


def test_what_is_asked_for_now_is_not_kept(api):
    for path in ("/health/live", "/health/ready", "/metrics"):
        status, headers, _ = ask(api, path, Accept_Encoding="gzip")
        assert (status, headers["cache-control"]) == (200, "no-store"), path
        assert json.loads(ask(api, "/health/live")[2]) == {"status": "live"}
