"""The client against what no good registry does: answers that lie, break off or lead elsewhere, and no registries."""

import base64
import io
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from tests.odd_server import Answer, OddServer

from aweigh.errors import ConfigError, DamagedImage, RemoteError, UnsuitableImage, UsageError
from aweigh.oci.challenges import Challenge
from aweigh.oci.client import open_registry
from aweigh.oci.documents import (
    EMPTY,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    descriptor_of,
    digest_of,
    encode,
    index_of,
    manifest_of,
)
from aweigh.oci.errors import AccessDenied, NotInRegistry, RegistryRefused, RegistrySilent, quote, silent

MIB = 2**20
HTML = Answer(200, b"<html><body>Sign in</body></html>", {"Content-Type": "text/html"})
MANIFEST = encode(manifest_of(descriptor_of(EMPTY, OCI_CONFIG), []))
NAMED = descriptor_of(MANIFEST, OCI_MANIFEST)
LAYER = bytes(range(256)) * 40
BLOB = descriptor_of(LAYER, OCI_LAYER_GZIP)


@pytest.fixture
def server():
    found = OddServer()
    yield found
    found.close()


@pytest.fixture
def elsewhere():
    found = OddServer()
    yield found
    found.close()


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def registry(server, pauses):
    environ = {
        "AWEIGH_REGISTRY_HOST": server.host,
        "AWEIGH_REGISTRY_USERNAME": "anna",
        "AWEIGH_REGISTRY_PASSWORD": "hush-hush",
    }
    with open_registry(server.host, insecure=True, environ=environ, pause=pauses.append) as found:
        yield found


def manifest(status=200, body=MANIFEST, media_type=OCI_MANIFEST, **headers):
    return Answer(status, body, {"Content-Type": media_type, **headers})


def errors(status, code="UNKNOWN", message="it is so", **headers):
    body = json.dumps({"errors": [{"code": code, "message": message, "detail": {"x": 1}}]}).encode()
    return Answer(status, body, {"Content-Type": "application/json", **headers})


def give(content):
    return lambda: io.BytesIO(content)


# -- what is tried again ---------------------------------------------------------------------------------------------


def test_who_asks_too_often_waits_as_long_as_is_said(server, registry, pauses):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server.in_turn(
        errors(429, **{"Retry-After": "7"}), errors(503, **{"Retry-After": date}), errors(500), errors(502), manifest()
    )
    assert registry.pull_manifest("a/b", "1").content == MANIFEST
    assert pauses[0] == 7.0
    assert 20 < pauses[1] <= 30
    assert all(one < 6 for one in pauses[2:])
    assert len(pauses) == 4


@pytest.mark.parametrize("said", ["soon", "-5", "1e9", "Mon, 99 Foo 2026 00:00:00 GMT", "\u0661", ""])
def test_a_wait_that_is_none_is_the_usual_one(server, registry, pauses, said):
    server.in_turn(errors(429, **{"Retry-After": said.encode().decode("latin-1")}), manifest())
    registry.pull_manifest("a/b", "1")
    assert len(pauses) == 1
    assert 0.3 < pauses[0] < 0.7


def test_it_ends_after_five_tries_and_says_why(server, registry, pauses):
    server.in_turn(errors(429, "TOOMANYREQUESTS", "pull rate limit"))
    with pytest.raises(RegistryRefused, match="was asked too often, the last time to pull a/b:1: pull rate limit"):
        registry.pull_manifest("a/b", "1")
    assert len(server.asked) == 5
    assert len(pauses) == 4
    server.in_turn(errors(429, **{"Retry-After": "3600"}))
    with pytest.raises(RegistryRefused) as caught:
        registry.pull_manifest("a/b", "1")
    assert caught.value.retry_after_s == 3600
    assert len(server.asked) == 6


def test_a_connection_that_breaks_is_made_anew(server, registry, pauses):
    server.in_turn(Answer(200, MANIFEST, {"Content-Type": OCI_MANIFEST}, cut=10), manifest())
    assert registry.pull_manifest("a/b", "1").digest == NAMED.digest
    server.in_turn(Answer(200, MANIFEST, {"Content-Type": OCI_MANIFEST}, cut=10))
    with pytest.raises(RegistrySilent, match=r"The connection to .* broke when it was asked to pull a/b:1") as caught:
        registry.pull_manifest("a/b", "1")
    assert caught.value.hint
    assert len(pauses) == 5


# -- what is told ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "why"),
    [
        (400, RegistryRefused, "answers with the status 400 when it is asked to pull a/b:1"),
        (401, AccessDenied, "wants somebody signed in to pull a/b:1"),
        (403, AccessDenied, "does not let everybody pull a/b:1"),
        (404, NotInRegistry, "has no a/b:1"),
        (405, RegistryRefused, "does not offer to pull a/b:1"),
        (413, RegistryRefused, "takes no body of this size"),
        (418, RegistryRefused, "the status 418"),
        (451, RegistryRefused, "the status 451"),
        (500, RegistryRefused, "failed with the status 500"),
        (307, RegistryRefused, None),
    ],
)
def test_each_status_is_a_sentence_and_a_hint(server, registry, status, kind, why):
    server.in_turn(errors(status, "X" * 500, "line\none\x1b[2J " + "long " * 500))
    with pytest.raises(RemoteError) as caught:
        registry.pull_manifest("a/b", "1")
    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 420
    if why is not None:
        assert type(caught.value) is kind
        assert why in caught.value.message
        assert "line one [2J long" in caught.value.message


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b'{"errors": null}', b'{"errors": [5]}', b"\xff", b"[" * 100_000, HTML.body]
)
def test_an_error_that_says_nothing_is_told_all_the_same(server, registry, body):
    server.in_turn(Answer(404, body))
    with pytest.raises(NotInRegistry, match=r"(?m)has no a/b:1\.$"):
        registry.pull_manifest("a/b", "1")


@pytest.mark.parametrize(
    "answer",
    [
        HTML,
        Answer(200, b"", {"Content-Type": OCI_MANIFEST}),
        Answer(200, b"{", {"Content-Type": OCI_MANIFEST}),
        Answer(200, b"[]", {"Content-Type": OCI_MANIFEST}),
        Answer(200, b'{"mediaType": 5}', {"Content-Type": OCI_MANIFEST}),
        Answer(200, b"{}", {"Content-Type": "application/json"}),
        Answer(200, b"[" * 100_000, {"Content-Type": OCI_MANIFEST}),
        Answer(200, b"\xff\xfe", {"Content-Type": OCI_MANIFEST}),
    ],
)
def test_what_is_no_registry_is_told(server, registry, answer):
    server.in_turn(answer)
    with pytest.raises(RemoteError, match="does not answer as a registry when it is asked to pull a/b:1") as caught:
        registry.pull_manifest("a/b", "1")
    assert "check the host" in caught.value.hint


def test_a_page_for_people_is_no_list_and_no_registry(server, registry):
    server.in_turn(HTML)
    with pytest.raises(RemoteError, match="does not answer as a registry"):
        registry.tags("a/b")
    with pytest.raises(RemoteError, match="does not answer as a registry"):
        registry.ping()


def test_an_answer_without_an_end_is_not_read_to_it(server, registry):
    server.in_turn(Answer(200, b" " * (5 * MIB), {"Content-Type": OCI_MANIFEST}))
    with pytest.raises(RemoteError, match="is too large when it is asked to pull a/b:1"):
        registry.pull_manifest("a/b", "1")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (httpx.ReadTimeout("x"), "did not answer in time"),
        (httpx.ConnectTimeout("x"), "did not answer in time"),
        (httpx.ConnectError("x"), "cannot be reached"),
        (httpx.RemoteProtocolError("x"), "The connection to ghcr.io broke"),
    ],
)
def test_each_silence_is_a_sentence_and_a_hint(error, why):
    found = silent(error, host="ghcr.io", what="pull a/b:1")
    assert why in found.message
    assert found.message.endswith("when it was asked to pull a/b:1.")
    assert found.hint
    assert "docker.io" in silent(error, host="registry-1.docker.io", what="pull").message


def test_words_are_cut_and_cleaned():
    assert quote("") == quote(" \n\x00") == ""
    assert quote("a\u202eb") == "a b."
    assert len(quote("x" * 10**6)) == 240


# -- manifests -------------------------------------------------------------------------------------------------------


def test_a_digest_that_lies_is_found_out(server, registry):
    server.in_turn(manifest(**{"Docker-Content-Digest": digest_of(b"other")}))
    for wanted in ("1", digest_of(b"other")):
        with pytest.raises(DamagedImage, match=r"gives other bytes for a/b[:@]") as caught:
            registry.pull_manifest("a/b", wanted)
        assert caught.value.exit_code == 3
    server.in_turn(manifest(status=201, **{"Docker-Content-Digest": digest_of(b"other")}))
    with pytest.raises(DamagedImage, match="keeps other bytes for a/b:1"):
        registry.push_manifest("a/b", "1", MANIFEST, OCI_MANIFEST)


def test_a_manifest_that_is_called_something_else_is_refused(server, registry):
    server.in_turn(manifest(media_type=OCI_INDEX))
    with pytest.raises(DamagedImage, match="says of itself that it is something else"):
        registry.pull_manifest("a/b", "1")
    server.in_turn(manifest(media_type="application/vnd.docker.distribution.manifest.v1+prettyjws"))
    with pytest.raises(UnsuitableImage, match="before 2017"):
        registry.pull_manifest("a/b", "1")


@pytest.mark.parametrize("media_type", ["application/json", "text/plain; charset=utf-8", "application/octet-stream"])
def test_a_manifest_that_is_called_nothing_says_itself_what_it_is(server, registry, media_type):
    server.in_turn(manifest(media_type=media_type))
    assert registry.pull_manifest("a/b", "1").media_type == OCI_MANIFEST
    # A HEAD says too little there, and the whole is asked for.
    assert registry.head_manifest("a/b", "1") == NAMED


def test_all_kinds_are_asked_for_as_they_are(server, registry):
    server.in_turn(manifest(media_type=f"{OCI_MANIFEST}; charset=utf-8"))
    assert registry.pull_manifest("a/b", "1").media_type == OCI_MANIFEST
    (asked,) = server.asked
    assert asked.headers["accept"].count("application/vnd.") == 4
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["user-agent"].startswith("aweigh/")


# -- lists -----------------------------------------------------------------------------------------------------------


def test_tags_go_on_page_by_page(server, registry):
    page = lambda tags, link: Answer(200, json.dumps({"name": "a/b", "tags": tags}).encode(), link)  # noqa: E731
    server.in_turn(
        page(["1", "2"], {"Link": '</v2/a/b/tags/list?last=2>; rel="next"'}),
        page(None, {"Link": f"<{server.url}/v2/a/b/tags/list?last=3>; rel=next"}),
        page(["3", "not a tag\n"], {"Link": '</v2/a/b/tags/list?n=9>; rel="prev"'}),
    )
    assert registry.tags("a/b") == ["1", "2", "3"]
    assert [one.path.partition("?")[2] for one in server.asked] == ["", "last=2", "last=3"]


def test_a_list_leads_nowhere_else_and_not_on_for_ever(server, registry, elsewhere):
    body = b'{"tags": ["1"]}'
    server.in_turn(Answer(200, body, {"Link": f'<{elsewhere.url}/v2/a/b/tags/list>; rel="next"'}))
    assert registry.tags("a/b") == ["1"]
    assert elsewhere.asked == []
    server.in_turn(Answer(200, body, {"Link": '</v2/a/b/tags/list>; rel="next"'}))
    with pytest.raises(RemoteError, match="a list without an end"):
        registry.tags("a/b")


def test_referrers_by_the_api(server, registry):
    ours = Descriptor(OCI_MANIFEST, digest_of(b"1"), 1, artifact_type="x/y")
    other = Descriptor(OCI_MANIFEST, digest_of(b"2"), 1, artifact_type="x/z")
    first = Answer(200, encode(index_of([ours])), {"Content-Type": OCI_INDEX, "Link": '<?page=2>; rel="next"'})
    second = Answer(200, encode(index_of([other])), {"Content-Type": OCI_INDEX})
    server.in_turn(first, second)
    assert registry.referrers("a/b", NAMED.digest) == (ours, other)
    server.in_turn(first, second)
    # The registry does not filter, and says so by saying nothing.
    assert registry.referrers("a/b", NAMED.digest, artifact_type="x/z") == (other,)
    assert "artifactType=x%2Fz" in server.asked[2].path
    server.in_turn(Answer(200, b"{}", {"Content-Type": OCI_INDEX}))
    with pytest.raises(DamagedImage):
        registry.referrers("a/b", NAMED.digest)


def test_a_registry_with_the_api_is_left_to_list_them_itself(server, registry):
    content = encode(manifest_of(descriptor_of(EMPTY, OCI_EMPTY), [], artifact_type="x/y", subject=NAMED))
    server.in_turn(Answer(201, headers={"OCI-Subject": NAMED.digest}))
    registry.push_manifest("a/b", "", content, OCI_MANIFEST)
    assert [one.method for one in server.asked] == ["PUT"]


@pytest.mark.parametrize("lost", [1, 99])
def test_a_list_that_somebody_else_writes_too_is_merged_again(server, registry, lost):
    content = encode(manifest_of(descriptor_of(EMPTY, OCI_CONFIG), [], subject=NAMED))
    kept, left = [], [lost]

    def respond(asked):
        if "/manifests/sha256:" in asked.path:
            return Answer(201)
        if asked.method == "PUT":
            left[0] -= 1
            if left[0] < 0:
                kept[:] = [asked.body]
            return Answer(201)
        return manifest(body=kept[0], media_type=OCI_INDEX) if kept else errors(404)

    server.respond = respond
    if lost == 99:
        with pytest.raises(RemoteError, match="could not be listed: somebody else"):
            registry.push_manifest("a/b", "", content, OCI_MANIFEST)
        return
    digest = registry.push_manifest("a/b", "", content, OCI_MANIFEST)
    (listed,) = json.loads(kept[0])["manifests"]
    # What has no kind of its own is of the kind of its config.
    assert (listed["digest"], listed["artifactType"], listed["size"]) == (digest, OCI_CONFIG, len(content))


# -- signing in, and where a password goes ---------------------------------------------------------------------------

PAIR = "Basic " + base64.b64encode(b"anna:hush-hush").decode()


def test_a_password_does_not_go_along_to_another_host(server, registry, elsewhere, tmp_path):
    elsewhere.in_turn(Answer(200, LAYER))

    def respond(asked):
        if "authorization" not in asked.headers:
            return errors(401, **{"WWW-Authenticate": 'Basic realm="a, Bearer b"'})
        return Answer(307, headers={"Location": f"{elsewhere.url}/bucket/x?signature=1"})

    server.respond = respond
    registry.pull_blob("a/b", BLOB, tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == LAYER
    assert server.asked[-1].headers["authorization"] == PAIR
    assert [(one.path, one.headers.get("authorization")) for one in elsewhere.asked] == [
        ("/bucket/x?signature=1", None)
    ]


def test_who_is_elsewhere_cannot_ask_for_a_password(server, registry, elsewhere, tmp_path):
    realm = f"{elsewhere.url}/token"
    elsewhere.in_turn(errors(401, **{"WWW-Authenticate": f'Bearer realm="{realm}", Basic realm="x"'}))
    server.in_turn(Answer(302, headers={"Location": f"{elsewhere.url}/blob"}))
    with pytest.raises(AccessDenied):
        registry.pull_blob("a/b", BLOB, tmp_path / "blob")
    assert [(one.path, one.headers.get("authorization")) for one in elsewhere.asked] == [("/blob", None)]


@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://registry.invalid/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "//anna:x@127.0.0.1/x",
        "http://[::1/x",
        "http://127.0.0.1:99999/x",
        "https://x\u00fc.invalid/",
    ],
)
def test_a_redirect_to_what_is_no_good_is_not_followed(server, registry, location):
    server.in_turn(Answer(307, headers={"Location": location.encode().decode("latin-1")}))
    # What is no address at all is an answer that cannot be read.
    with pytest.raises(RemoteError, match=r"leads to an address that nothing is sent to|The connection to .* broke"):
        registry.pull_manifest("a/b", "1")
    assert {one.path for one in server.asked} == {"/v2/a/b/manifests/1"}


@pytest.mark.parametrize(
    ("host", "location", "place"),
    [
        ("ghcr.io", "/x?a=b", "https://ghcr.io/x?a=b"),
        ("ghcr.io", "https://cdn.example/x", "https://cdn.example/x"),
        # A proxy speaks TLS for the registry, which does not know it.
        ("ghcr.io", "http://ghcr.io/x", "https://ghcr.io/x"),
        ("reg.example:8443", "http://reg.example/x", "https://reg.example:8443/x"),
        ("reg.example:8443", "http://reg.example:8443/x", "https://reg.example:8443/x"),
        ("reg.example:8443", "http://reg.example:9/x", None),
        ("ghcr.io", "http://cdn.example/x", None),
        ("ghcr.io", "http://127.0.0.1/x", None),
        ("ghcr.io", "https://127.0.0.1/x", None),
        ("ghcr.io", "https://localhost:5000/x", None),
        ("ghcr.io", "https://[::1]/x", None),
    ],
)
def test_where_a_registry_that_is_far_away_may_lead(host, location, place):
    with open_registry(host, environ={}) as registry:
        connection = registry.connection
        if place is not None:
            assert connection.follow(f"https://{host}/v2/a/b/blobs/uploads/", location) == place
            return
        with pytest.raises(RemoteError, match="leads to an address that nothing is sent to"):
            connection.follow(f"https://{host}/v2/a/b/blobs/uploads/", location)


def test_redirects_that_lead_round_end(server, registry):
    server.in_turn(Answer(307, headers={"Location": "/v2/a/b/manifests/1"}))
    with pytest.raises(RemoteError, match="leads round in circles"):
        registry.pull_manifest("a/b", "1")
    assert len(server.asked) < 10


@pytest.mark.parametrize(
    ("host", "realm", "fine"),
    [
        ("ghcr.io", "https://ghcr.io/token", True),
        ("registry.gitlab.com", "https://gitlab.com/jwt/auth", True),
        ("ghcr.io", "http://ghcr.io/token", False),
        ("ghcr.io", "http://127.0.0.1:8080/token", False),
        ("ghcr.io", "https://127.0.0.1:8080/token", False),
        ("ghcr.io", "https://localhost/token", False),
        ("ghcr.io", "https://anna@ghcr.io/token", False),
        ("ghcr.io", "/token", False),
        ("ghcr.io", "https:///token", False),
        ("ghcr.io", "https://[::1/token", False),
        ("ghcr.io", "file:///etc/passwd", False),
        ("127.0.0.1:5000", "http://127.0.0.1:5001/token", True),
        ("127.0.0.1:5000", "http://10.0.0.1:5001/token", False),
    ],
)
def test_where_tokens_may_be_fetched(host, realm, fine):
    with open_registry(host, environ={}) as registry:
        if fine:
            registry.connection.authority._check_realm(realm)
            return
        with pytest.raises(RemoteError, match="at an address that no password is sent to"):
            registry.connection.authority.accept([Challenge("bearer", {"realm": realm})], (), again=False)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"{}",
        b"[]",
        b"<html>",
        b'{"token": ""}',
        b'{"token": null}',
        b'{"token": 5}',
        b'{"token": "a\\r\\nX: y"}',
        b'{"token": "\\u00e9"}',
        b'{"token": "' + b"x" * 70_000 + b'"}',
        b'{"token": "x", "expires_in": "soon"}',
    ],
)
def test_a_token_that_is_none_is_told(server, registry, elsewhere, said):
    elsewhere.in_turn(Answer(200, said))
    server.in_turn(errors(401, **{"WWW-Authenticate": f'Bearer realm="{elsewhere.url}/token"'}))
    with pytest.raises(RemoteError, match="does not answer as a registry when it is asked to give a token"):
        registry.pull_manifest("a/b", "1")
    assert "hush" not in json.dumps([one.path for one in elsewhere.asked])


def test_a_token_that_opens_nothing_is_fetched_once_more_and_no_more(server, registry, elsewhere):
    elsewhere.in_turn(Answer(200, b'{"access_token": "x.y.z", "expires_in": 0}'))
    server.in_turn(errors(401, **{"WWW-Authenticate": f'Bearer realm="{elsewhere.url}/token",error="invalid_token"'}))
    with pytest.raises(AccessDenied, match="does not let the account of AWEIGH_REGISTRY_USERNAME"):
        registry.pull_manifest("a/b", "1")
    assert len(elsewhere.asked) == 1
    assert server.asked[-1].headers["authorization"] == "Bearer x.y.z"


def test_a_token_server_that_leads_elsewhere_is_not_followed(server, registry, elsewhere):
    elsewhere.in_turn(Answer(307, headers={"Location": f"{server.url}/stolen"}))
    server.in_turn(errors(401, **{"WWW-Authenticate": f'Bearer realm="{elsewhere.url}/token"'}))
    with pytest.raises(RemoteError, match="307"):
        registry.pull_manifest("a/b", "1")
    assert all(one.path != "/stolen" for one in server.asked)


def test_no_password_goes_without_tls_to_another_machine():
    with pytest.raises(UsageError, match="is not this machine, and is not asked without TLS"):
        open_registry("ghcr.io", insecure=True, environ={})
    with pytest.raises(UsageError, match="no registry's host"):
        open_registry("ghcr.io/x", environ={})


def test_settings_of_the_network_that_are_wrong_are_told(monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match="SSL_CERT_FILE names no file of certificates"):
        open_registry("ghcr.io", environ={"SSL_CERT_FILE": str(tmp_path / "none")})
    monkeypatch.setenv("HTTPS_PROXY", "odd://127.0.0.1:1")
    with pytest.raises(ConfigError, match="The proxy of HTTPS_PROXY"):
        open_registry("ghcr.io", environ={})


# -- downloads -------------------------------------------------------------------------------------------------------


def pull(registry, path):
    registry.pull_blob("a/b", BLOB, path)
    return path.read_bytes()


def test_a_registry_without_ranges_gives_all_of_it_again(server, registry, tmp_path, pauses):
    server.in_turn(Answer(200, LAYER, cut=5000), errors(500), Answer(200, LAYER, cut=9000), Answer(200, LAYER))
    assert pull(registry, tmp_path / "blob") == LAYER
    assert [one.headers.get("range") for one in server.asked] == [None, "bytes=5000-", "bytes=5000-", "bytes=9000-"]
    assert len(pauses) == 3


def test_a_part_may_begin_before_what_is_there(server, registry, tmp_path):
    part = Answer(206, LAYER[4000:], {"Content-Range": f"bytes 4000-{len(LAYER) - 1}/{len(LAYER)}"})
    server.in_turn(Answer(200, LAYER, cut=5000), part)
    assert pull(registry, tmp_path / "blob") == LAYER


@pytest.mark.parametrize(
    "stated", ["", "bytes 6000-9/10240", "bytes */10240", "bytes 5000-10239/9", "bytes 5000-10239/99999", "pages 1-2/3"]
)
def test_another_part_than_was_asked_for_is_refused(server, registry, tmp_path, stated):
    server.in_turn(Answer(200, LAYER, cut=5000), Answer(206, LAYER[5000:], {"Content-Range": stated}))
    with pytest.raises(DamagedImage):
        pull(registry, tmp_path / "blob")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (LAYER[:-1], "fewer bytes than"),
        (LAYER + b"x", "more bytes than"),
        (LAYER[:-1] + b"x", "other bytes than"),
        (b"", "fewer bytes than"),
        (HTML.body, "fewer bytes than"),
    ],
)
def test_a_blob_that_is_another_is_refused(server, registry, tmp_path, body, why):
    server.in_turn(Answer(200, body))
    with pytest.raises(DamagedImage, match=why):
        pull(registry, tmp_path / "blob")
    assert list(tmp_path.iterdir()) == []


def test_a_blob_that_never_gets_further_ends(server, registry, tmp_path, pauses):
    server.in_turn(Answer(200, LAYER, cut=5000))
    with pytest.raises(RegistrySilent, match=r"The connection to .* broke when it was asked to pull a blob of a/b"):
        pull(registry, tmp_path / "blob")
    assert len(pauses) == 4
    server.in_turn(errors(503))
    with pytest.raises(RegistryRefused, match="503"):
        pull(registry, tmp_path / "blob")
    server.in_turn(errors(429, **{"Retry-After": "999"}))
    asked = len(server.asked)
    with pytest.raises(RegistryRefused, match="too often"):
        pull(registry, tmp_path / "blob")
    assert len(server.asked) == asked + 1


def test_a_small_blob_is_not_read_where_it_is_said_to_be_large(registry, server):
    with pytest.raises(DamagedImage, match="more than the 100"):
        registry.pull_bytes("a/b", BLOB, most_bytes=100)
    server.in_turn(Answer(200, LAYER))
    assert registry.pull_bytes("a/b", BLOB) == LAYER
    with pytest.raises(DamagedImage, match="no sha256"):
        registry.pull_bytes("a/b", Descriptor(OCI_LAYER_GZIP, "sha256:../../x", 5))


# -- uploads ---------------------------------------------------------------------------------------------------------

LARGE = bytes(range(251)) * 22_000
LARGE_BLOB = descriptor_of(LARGE, OCI_LAYER_GZIP)


class Uploads:
    """A registry that takes uploads by the book; `odd` answers before it does, where it has anything to say."""

    def __init__(self, server, *, location="/upload/1", chunks=True):
        self.blob, self.done, self.location = b"", False, location
        self.odd = lambda asked: None
        self.chunks = chunks
        self.first = {}
        server.respond = self.respond

    def respond(self, asked):
        found = self.odd(asked)
        if found is not None:
            return found
        if asked.method == "HEAD":
            return Answer(200, headers={"Content-Length": str(len(self.blob))}) if self.done else errors(404)
        if asked.method == "POST":
            self.blob = b""
            return Answer(202, headers={"Location": self.location, **self.first})
        if asked.method == "PATCH":
            self.blob += asked.body
        if asked.method == "PUT":
            self.blob += asked.body
            self.done = digest_of(self.blob) == LARGE_BLOB.digest
            return Answer(201) if self.done else errors(400, "DIGEST_INVALID")
        at = {"Range": f"0-{max(0, len(self.blob) - 1)}", "Location": self.location}
        return Answer(202 if asked.method == "PATCH" else 204, headers=at)


def send(registry, **more):
    return registry.push_blob("a/b", LARGE_BLOB, give(LARGE), chunk_bytes=2 * MIB, **more)


def methods(server):
    return [one.method for one in server.asked]


def test_a_large_blob_goes_in_chunks(server, registry):
    Uploads(server)
    assert send(registry) == "uploaded"
    assert methods(server) == ["HEAD", "POST", "PATCH", "PATCH", "PATCH", "PUT"]
    ranges = [one.headers["content-range"] for one in server.asked if one.method == "PATCH"]
    assert ranges == ["0-2097151", "2097152-4194303", f"4194304-{len(LARGE) - 1}"]
    assert server.asked[-1].path == f"/upload/1?digest={LARGE_BLOB.digest.replace(':', '%3A')}"


def test_a_registry_may_want_larger_chunks(server, registry):
    Uploads(server).first = {"OCI-Chunk-Min-Length": str(3 * MIB)}
    assert send(registry) == "uploaded"
    assert methods(server).count("PATCH") == 2


def test_a_chunk_that_does_not_fit_is_gone_on_from_where_the_registry_is(server, registry, pauses):
    uploads, odd = Uploads(server), []

    def respond(asked):
        if asked.method == "PATCH" and not odd:
            odd.append(asked)
            uploads.blob += asked.body[:1000]
            return errors(416, "BLOB_UPLOAD_INVALID", Location="/upload/1", Range="0-999")
        return None

    uploads.odd = respond
    assert send(registry) == "uploaded"
    assert [one.headers["content-range"] for one in server.asked if one.method == "PATCH"][1] == "1000-2098151"
    assert len(pauses) == 1


def test_a_chunk_that_was_lost_on_the_way_is_gone_on_from_where_the_registry_is(server, registry, pauses):
    uploads, odd = Uploads(server), []

    def respond(asked):
        if asked.method == "PATCH" and len(odd) < 3:
            odd.append(asked)
            # Of the first a part arrived, of the second nothing, of the third everything but the answer.
            uploads.blob += asked.body[: (1000, 0, len(asked.body))[len(odd) - 1]]
            return Answer(202, b"lost", cut=1)
        return None

    uploads.odd = respond
    assert send(registry) == "uploaded"
    starts = [one.headers["content-range"].partition("-")[0] for one in server.asked if one.method == "PATCH"]
    assert starts == ["0", "1000", "1000", "2098152", "4195304"]
    assert len(pauses) == 3


def test_an_upload_that_the_registry_forgets_begins_anew_and_not_for_ever(server, registry, pauses):
    uploads, left = Uploads(server), [2]

    def respond(asked):
        if asked.method == "PATCH" and left[0]:
            left[0] -= 1
            return Answer(202, b"lost", cut=1)
        return errors(404, "BLOB_UPLOAD_UNKNOWN") if asked.method == "GET" else None

    uploads.odd = respond
    assert send(registry) == "uploaded"
    assert methods(server).count("POST") == 3
    left[0], uploads.done = 99, False
    with pytest.raises(RegistrySilent, match="broke when it was asked to push a blob"):
        send(registry)
    assert methods(server).count("POST") == 8


def test_a_chunk_of_which_only_a_part_was_taken_is_seen(server, registry):
    uploads, odd = Uploads(server), []

    def respond(asked):
        if asked.method == "PATCH" and not odd:
            odd.append(asked)
            uploads.blob += asked.body[:1000]
            return Answer(202, headers={"Range": "0-999", "Location": "/upload/1"})
        return None

    uploads.odd = respond
    assert send(registry) == "uploaded"
    starts = [one.headers["content-range"].partition("-")[0] for one in server.asked if one.method == "PATCH"]
    assert starts == ["0", "1000", "2098152", "4195304"]


def test_a_registry_that_takes_no_chunks_gets_the_whole(server, registry):
    uploads = Uploads(server)
    uploads.odd = lambda asked: errors(405) if asked.method == "PATCH" else None
    assert send(registry) == "uploaded"
    assert methods(server) == ["HEAD", "POST", "PATCH", "POST", "PUT"]
    assert server.asked[-1].body == LARGE


def test_an_upload_that_never_gets_further_ends(server, registry, pauses):
    uploads = Uploads(server)
    uploads.odd = lambda asked: errors(503) if asked.method == "PATCH" else None
    with pytest.raises(RegistryRefused, match="failed with the status 503 when it was asked to push a blob to a/b"):
        send(registry)
    assert len(pauses) == 4


def test_a_last_answer_that_is_lost_is_looked_for(server, registry):
    uploads = Uploads(server)

    def respond(asked):
        if asked.method == "PUT":
            uploads.done = True
            return Answer(201, b"lost", cut=1)
        return None

    uploads.odd = respond
    assert send(registry) == "uploaded"
    assert methods(server)[-2:] == ["PUT", "HEAD"]


@pytest.mark.parametrize("location", ["absolute", "relative", "query", "elsewhere"])
def test_an_upload_goes_where_the_registry_says(server, registry, elsewhere, location):
    place = {
        "absolute": f"{server.url}/up/2",
        "relative": "../../../up/2",
        "query": "/up/2?_state=a%2Fb&x=",
        "elsewhere": f"{elsewhere.url}/up/2",
    }[location]
    uploads = Uploads(server, location=place)
    challenge = {"WWW-Authenticate": "Basic"}
    uploads.odd = lambda asked: None if "authorization" in asked.headers else errors(401, **challenge)
    elsewhere.respond = uploads.respond
    if location == "elsewhere":
        uploads.odd = lambda asked: None
    assert send(registry) == "uploaded"
    end = (elsewhere if location == "elsewhere" else server).asked[-1]
    assert end.path.startswith("/up/2?")
    if location == "query":
        assert end.path.startswith("/up/2?_state=a%2Fb&x=&digest=sha256")
    assert all("authorization" not in one.headers for one in elsewhere.asked)


def test_an_upload_without_a_place_is_told(server, registry):
    Uploads(server, location="")
    with pytest.raises(RemoteError, match="leads to an address that nothing is sent to"):
        send(registry)


def test_a_body_that_is_too_large_for_a_proxy_is_told(server, registry):
    uploads = Uploads(server)
    uploads.odd = lambda asked: Answer(413, HTML.body) if asked.method in ("PUT", "PATCH") else None
    with pytest.raises(
        RegistryRefused, match="takes no body of this size, and was asked to push a blob to a/b"
    ) as caught:
        send(registry)
    assert "larger bodies" in caught.value.hint


def test_a_mount_that_is_refused_is_an_upload(server, registry):
    uploads = Uploads(server)
    uploads.odd = lambda asked: errors(403) if "mount=" in asked.path else None
    assert send(registry, mount_from="c/d") == "uploaded"
    mount = next(one for one in server.asked if "mount=" in one.path)
    assert mount.path.endswith("&from=c%2Fd")
