"""The door of the assembled app: every route, mount and WebSocket, for every role and every method.

The addresses are taken from the app itself, so that one that is added tomorrow is asked, too: without credentials it
must answer 401 or 403, or stand on the list below.
"""

import itertools
import socket

import pytest
from starlette.routing import Mount, Route
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from aweigh.guard.identity import SCOPES_OF, Role
from aweigh.guard.rules import ADMIN, is_access_page, need_of

OPEN = {"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/login", "/logout"}
"""What anybody may ask. Whoever adds to it says why in the commit."""

OPEN_BELOW = ("/invite", "/oauth")

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
MORE = [
    *("/", "/batch", "/model", "/predict", "/_stcore/upload_file/x", "/_stcore/health", "/media/x", "/static/x.js"),
    *("/v3", "/account", "/admin", "/admin/people", "/v1/feedback", "/v1/explain", "/v1/jobs/x/result"),
    *(
        "/v2//models/penguins/infer",
        "/v2/models//penguins/infer",
        "/v1/predict/",
        "/V1/PREDICT",
        "/v1%2fpredict",
        "/v1/./predict",
        "/health/",
        "/login/../v1/model",
    ),
    *("/health/live/../../v1/model", "/login/x/../../model", "/logout%2f..%2fmodel", "/invite/../v1/model"),
    *("/v2/models/penguins/infer", "/v2/models/penguins/versions/x/infer", "/v2/repository/index", "/v1/release"),
    *("/app/anything", "/docs", "/openapi.json", "/.git/config", "/metrics/x"),
]


def addresses(app):
    """Return an address for every route and mount that the app has, parameters filled in."""
    found = set()

    def walk(routes, before):
        for route in routes:
            if isinstance(route, Mount):
                found.add(before + route.path + "/x")
                walk(route.routes or [], before + route.path)
            elif isinstance(route, Route):
                path = before + route.path
                found.add(path.replace("{path:path}", "x").replace("{rest:path}", "x").replace("{id}", "x"))

    walk(app._app.routes, "")
    return sorted(found | set(app._directly) | {lane.decode() for lane in app.lanes} | set(MORE))


def is_open(path):
    return path in OPEN or any(path == one or path.startswith(one + "/") for one in OPEN_BELOW)


def test_the_list_of_the_open_is_that_of_the_rules(house):
    assert [path for path in addresses(house.app) if (need_of(path).kind == "open") != is_open(path)] == []
    assert {path for path in OPEN if need_of(path).kind != "open"} == set()


def test_without_credentials_nothing_answers_but_what_is_open(house):
    paths = addresses(house.app)
    assert {"/v1/predict", "/v1/schema", "/metrics", "/v1/docs", "/v2", "/v1/me"} <= set(paths)
    let_in = []
    before = len(house.ui.seen)
    with house.client() as client:
        for path, method in itertools.product(paths, METHODS):
            status = client.request(method, path).status_code
            asked = client.build_request(method, path).url.path  # a client takes dots out of an address
            if status not in {401, 403} and not is_open(asked):
                let_in.append((method, path, status))
    assert let_in == []
    assert len(house.ui.seen) == before, "nothing came as far as the app"


@pytest.mark.parametrize("said", ["Bearer aw_", "Bearer x", "Basic YWRtaW46YWRtaW4=", "Bearer " + "a" * 9000, "bearer"])
def test_what_is_no_key_opens_nothing_not_even_beside_a_good_cookie(house, said):
    with house.client(role="admin", Authorization=said) as client:
        for path in ("/v1/schema", "/", "/metrics", "/admin"):
            assert client.get(path).status_code in {401, 431}, path
        assert client.post("/v1/predict", json={"rows": [house.row]}).status_code in {401, 431}


ROLES = [role.name.lower() for role in Role]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_as_far_as_it_may_and_no_further(house, role):
    scopes = SCOPES_OF[Role[role.upper()]]
    wrong = []
    with house.client(role=role) as client:
        for path, method in itertools.product(addresses(house.app), METHODS):
            if is_open(path) or "/." in path or "%2f" in path:
                continue
            need = need_of(path)
            may = need.kind != "scope" or need.scope in scopes
            answer = client.request(method, path, headers={"Accept": "application/json"})
            told = b"This page is for admins." if need == ADMIN and is_access_page(path) else b"may not do this"
            refused = answer.status_code == 403 and (method == "HEAD" or told in answer.content)
            if refused == may:
                wrong.append((method, path, answer.status_code))
    assert wrong == []


@pytest.mark.parametrize("tail", ["%0A", "%0D", "%00", "%09", "%7F", "%C2%85", "%E2%80%A8"])
def test_no_address_has_a_control_character(house, tail):
    """A route's pattern ends before a line feed at the end, and the rule about the address does not."""
    with house.client(role="admin") as client:
        for path in ("/metrics", "/v1/jobs", "/v1/model", "/", "/health/live"):
            assert client.get(path + tail).status_code == 404, path
            assert client.post(path + tail, content=b"a\n1\n").status_code == 404, path


def test_whoever_may_only_look_uploads_nothing_and_reads_no_counters(house):
    with house.client(role="viewer") as client:
        assert client.put("/_stcore/upload_file/a/b", content=b"x").status_code == 403
        assert client.get("/_stcore/metrics").status_code == 403
    with house.client(role="predictor") as client:
        assert client.put("/_stcore/upload_file/a/b", content=b"x").status_code != 403
        assert client.get("/_stcore/metrics").status_code == 403


@pytest.mark.parametrize("scope", sorted(SCOPES_OF[Role.ADMIN]))
def test_each_key_gets_as_far_as_its_scope(house, scope):
    wrong = []
    with house.client(key=scope) as client:
        for path in addresses(house.app):
            if is_open(path) or "/." in path or "%2f" in path:
                continue
            need = need_of(path)
            pages = path.startswith(("/account", "/admin"))
            may = need.kind == "scope" and need.scope == scope and not pages
            status = client.get(path, headers={"Accept": "application/json"}).status_code
            if (status in {401, 403}) == may:
                wrong.append((path, status))
        answer = client.post("/v1/predict", json={"rows": [house.row]})
        assert (answer.status_code == 200) == (scope == "predict")
    assert wrong == []


def test_the_metrics_token_opens_the_counters_and_nothing_else(house):
    with house.client(Authorization="Bearer scraper") as client:
        assert client.get("/metrics").status_code == 200
        assert {client.get(path).status_code for path in ("/v1/schema", "/v1/me", "/", "/admin", "/v1/jobs")} == {401}


@pytest.mark.parametrize(
    "path", ["/_stcore/stream", "/", "/v1/predict", "/v1/anything", "/health/live", "/login", "/admin"]
)
@pytest.mark.parametrize("origin", [None, "http://evil.example", "null"])
def test_no_websocket_opens_without_a_session(house, path, origin):
    with pytest.raises(InvalidStatus) as refused:
        connect(house.url.replace("http", "ws") + path, origin=origin, proxy=None)
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "path", ["/v1/predict", "/v1/x", "/v2/x", "/health/live", "/metrics", "/login", "/admin", "/account"]
)
def test_no_websocket_opens_where_there_is_none_for_an_administrator_either(house, path):
    with pytest.raises(InvalidStatus) as refused:
        opened(house, path)
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1", "file://"]
)
def test_another_sites_page_opens_no_websocket_with_our_cookie(house, origin):
    with pytest.raises(InvalidStatus) as refused:
        opened(house, "/_stcore/stream", origin=origin)
    assert refused.value.response.status_code == 403


def opened(house, path, *, role="admin", origin=None):
    cookie = "; ".join(f"{name}={value}" for name, value in house.cookies[role].items())
    url = house.url.replace("http", "ws") + path
    return connect(url, origin=origin, additional_headers={"Cookie": cookie}, proxy=None)


def test_the_app_is_told_who_its_visitor_is_and_not_by_the_visitor(house):
    cookie = "; ".join(f"{name}={value}" for name, value in house.cookies["predictor"].items())
    lies = {"X-Aweigh-User": "root", "X-Aweigh-Role": "admin", "X-Aweigh-Session": "x", "Cookie": cookie + "; other=1"}
    with house.client(**lies) as client:
        assert client.get("/").text == "the app"
    seen = house.ui.seen[-1]
    assert (seen["x-aweigh-user"], seen["x-aweigh-role"]) == ("predictor", "predictor")
    (session,) = house.cookies["predictor"].values()
    assert seen["cookie"] == "other=1"
    assert session not in str(seen), "what opens the door is not handed to the page's own script"
    token = seen["x-aweigh-session"]
    with house.client(Authorization=f"Aweigh-Session {token}") as client:
        assert client.get("/v1/me").json()["name"] == "predictor"
        for path in ("/account", "/account/keys", "/admin"):
            assert client.get(path, headers={"Accept": "application/json"}).status_code == 401, path
    for made_up in (
        token[:-1] + ("1" if token.endswith("0") else "0"),
        token.partition(".")[0],
        f".{token.partition('.')[2]}",
        session,
    ):
        with house.client(Authorization=f"Aweigh-Session {made_up}") as client:
            assert client.get("/v1/me").status_code == 401, made_up
    with house.client(Cookie=f"aweigh_{house.url.rpartition(':')[2]}={token}") as client:
        assert client.get("/v1/me").status_code == 401, "it is no cookie"
    with opened(house, "/_stcore/stream", role="viewer") as socket:
        socket.send("hello")
        assert socket.recv() == "hello"
    assert house.ui.seen[-1]["x-aweigh-role"] == "viewer"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_cookie_that_another_sites_page_sends_along_does_nothing(house, method, headers):
    with house.client(role="admin", **headers) as client:
        for path in (
            "/v1/predict",
            "/v1/jobs",
            "/admin/people",
            "/account",
            "/_stcore/upload_file/x",
            "/logout",
            "/login",
        ):
            answer = client.request(method, path, json={"rows": [house.row]})
            assert (answer.status_code, answer.json()["code"]) == (403, "cross_site"), path
    assert house.guard.identify(next(iter(house.cookies["admin"].values())).encode(), "session") is not None


def test_a_key_works_from_anywhere_as_it_is_sent_on_purpose(house):
    with house.client(key="predict", Origin="https://notebook.example") as client:
        assert client.post("/v1/predict", json={"rows": [house.row]}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v2//models/penguins/infer", "/v2/models//penguins/infer", "/v2/models/penguins//infer"]
)
def test_no_spelling_of_an_address_asks_for_less_than_another(house, path):
    """A router that drops empty parts would lead there, and the door would have read another address."""
    inputs = [
        {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}
        for name, value in house.row.items()
    ]
    with house.client(key="read") as client:
        assert client.post(path, json={"inputs": inputs}).status_code in {403, 404}
    with house.client(role="viewer") as client:
        assert client.post(path, json={"inputs": inputs}).status_code in {403, 404}


@pytest.mark.parametrize("host", ["a:" + "9" * 5000, "[::1]:" + "9" * 5000, "a" * 5000, "", ":", "[", "a:b:c", "\xff"])
def test_no_host_is_answered_with_a_failure_of_the_server(house, host):
    for headers in ({}, {"Origin": "http://evil.example"}, {"Authorization": f"Bearer {house.keys['predict']}"}):
        head = f"POST /v1/predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        answer = raw(house, head.encode("latin-1") + b"\r\n{}")
        assert b" 500 " not in answer.split(b"\r\n")[0], answer[:300]


def raw(house, sent):
    address, port = house.url.removeprefix("http://").split(":")
    with socket.create_connection((address, int(port)), timeout=10) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_what_people_see_is_kept_by_no_shared_cache(house):
    with house.client(role="predictor") as client:
        assert client.get("/media/results.csv").headers["cache-control"] == "private, no-store"


def test_a_keys_websocket_is_refused_since_nothing_would_end_it(house):
    with pytest.raises(InvalidStatus) as refused:
        headers = {"Authorization": f"Bearer {house.keys['read']}"}
        connect(house.url.replace("http", "ws") + "/_stcore/stream", additional_headers=headers, proxy=None)
    assert refused.value.response.status_code == 403


def test_whoever_is_not_signed_in_is_shown_the_way(house):
    with house.client(Accept="text/html") as client:
        answer = client.get("/batch?x=1&y=%2F")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fbatch%3Fx%3D1%26y%3D%252F")
    with house.client(role="viewer", Accept="text/html") as client:
        answer = client.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/model")
        answer = client.get("/admin")
        assert answer.status_code == 403
        assert "You may not open this page" in answer.text
        assert "<p>This page is for admins.</p><p>Ask whoever" in answer.text


def test_the_quick_lane_and_the_ordinary_way_let_in_the_same(house):
    body = {"rows": [house.row]}
    with house.client(key="predict") as client:
        first = client.post("/v1/predict", json=body)  # looked up
        quick = client.post("/v1/predict", json=body)
        slow = client.post("/v1/predict", json=body, headers={"Accept": "application/json, text/plain"})
    assert {one.status_code for one in (first, quick, slow)} == {200}
    assert first.json()["predictions"] == quick.json()["predictions"] == slow.json()["predictions"]
    with house.client(key="read") as client:
        assert [client.post("/v1/predict", json=body).status_code for _ in range(3)] == [403] * 3
    with house.client() as client:
        assert [client.post("/v1/predict", json=body).status_code for _ in range(3)] == [401] * 3


def test_health_says_no_more_than_it_must_to_those_who_are_not_known(house):
    with house.client() as client:
        assert client.get("/health/ready").json() == {"status": "ready"}
    with house.client(role="viewer") as client:
        assert client.get("/health/ready").json()["model"]["name"] == "penguins"
        assert client.get("/v1/me").json() == {
            "kind": "person",
            "name": "viewer",
            "role": "viewer",
            "scopes": ["read"],
        }
