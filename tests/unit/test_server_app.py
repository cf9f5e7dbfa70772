"""The app in this process, around models that misbehave: what no real bundle would do for a test."""

import io
import json
import logging
import re
import socket
import threading
import time
from contextlib import contextmanager
from functools import partial

import httpx
import numpy as np
import pyarrow as pa
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from aweigh.bundle.examples import Examples
from aweigh.bundle.manifest import FORMAT, Manifest, Proof
from aweigh.errors import UsageError
from aweigh.runtime.predictor import Predictor
from aweigh.schema import Answers, Column, Output, Schema
from aweigh.secret import Secret
from aweigh.server import pace, protocol
from aweigh.server.access.meter import OverBudget
from aweigh.server.app import create_app
from aweigh.server.metrics import Counters, may_read
from aweigh.server.pace import NotHere
from aweigh.server.readiness import Readiness
from aweigh.server.serve import bind, make_server, url_of
from aweigh.server.service import Asked, Service
from aweigh.server.settings import Settings

SCHEMA = Schema(columns=(Column(name="x", type="number", dtype="float64"),), output=Output(task="number", name="y"))
PROOF = Proof(
    rows=1, probe_rows=0, single_rows=1, absolute_tolerance=0, relative_tolerance=0, largest_difference=0, attempts=()
)


def doubled(table):
    return Answers(SCHEMA.output, table.rows, values=table["x"].data.reshape(-1, 1) * 2)


def predictor_of(answer, *, said=2.0):
    manifest = Manifest(
        format=FORMAT,
        name="doubler",
        family="python",
        model="a function",
        runtime="python",
        runtime_reason="it is one",
        model_file="model/model.py",
        python="3.11",
        made_with={},
        proof=PROOF,
        files={},
    )
    examples = Examples(rows=[{"x": 1.0}], predictions=[{"value": said}], titles=[""])
    return Predictor(
        manifest=manifest,
        digest="ab" * 32,
        schema=SCHEMA,
        examples=examples,
        profile_json=b"{}",
        card="# Doubler",
        answer=answer,
    )


class FakeUi:
    """An app that answers 200 to every path, as Streamlit does."""

    def __init__(self):
        self.seen = []

        async def everything(request):
            self.seen.append(dict(request.headers))
            return PlainTextResponse("the app")

        async def socket(websocket):
            self.seen.append(dict(websocket.headers))
            await websocket.accept()
            await websocket.send_text("hello")
            await websocket.close()

        every = ["GET", "POST", "PUT", "DELETE"]
        routes = [WebSocketRoute("/{p:path}", socket), Route("/{p:path}", everything, methods=every)]
        self.app = Starlette(routes=routes)

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)

    def lifespan(self):
        return self.app.router.lifespan_context


@contextmanager
def serving(app):
    """Serve the app from a thread, as the command does from a process."""
    with bind("127.0.0.1", 0) as sock:
        server = make_server(app, settings=Settings(drain_s=5), readiness=Readiness(), websockets=True)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        url = url_of(sock)
        thread.start()
        try:
            with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
                end = time.monotonic() + 20
                while not server.started:
                    assert time.monotonic() < end
                    time.sleep(0.002)
                yield client
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


def client_of(answer=doubled, *, said=2.0, **more):
    return serving(create_app(predictor_of(answer, said=said), **more))


def wait_until_ready(client):
    end = time.monotonic() + 10
    while client.get("/health/ready").status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture(scope="module")
def shared():
    """One server beside an app for all tests that change nothing."""
    ui = FakeUi()
    with client_of(ui=ui) as client:
        wait_until_ready(client)
        yield client, ui


@pytest.fixture
def beside(shared):
    client, ui = shared
    ui.seen.clear()
    return client, ui


def ask(client, x):
    return client.post("/v1/predict", json={"rows": [{"x": x}]})


def test_a_model_is_served_once_its_golden_rows_agree():
    with client_of() as client:
        wait_until_ready(client)
        assert client.get("/health/ready").json()["golden_rows"] == 1
        assert ask(client, 4).json()["predictions"] == [{"value": 8.0}]


def test_until_then_it_lives_and_predicts_nothing():
    proceed = threading.Event()

    def slow(table):
        proceed.wait(10)
        return doubled(table)

    with client_of(slow) as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/v2/health/live").status_code == 200
        for reply in (client.get("/health/ready"), ask(client, 1)):
            assert reply.status_code == 503
            assert reply.json()["code"] == "not_ready"
            assert reply.headers["retry-after"] == "1"
        assert client.get("/v2/health/ready").json() == {
            "error": "The model is still being loaded and checked. (ask again in a moment)"
        }
        assert client.get("/v2/models/doubler/ready").status_code == 503
        proceed.set()
        wait_until_ready(client)
        assert client.get("/v2/models/doubler/ready").status_code == 200


def settle(client):
    end = time.monotonic() + 10
    while "still being loaded" in client.get("/health/ready").text:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_model_whose_golden_rows_differ_never_predicts(caplog):
    with client_of(said=2.5) as client:
        settle(client)
        reply = ask(client, 1)
    assert reply.status_code == 503
    assert reply.json()["code"] == "model_differs"
    assert reply.json()["detail"].startswith("The model does not give the answers")
    assert "2.5" not in reply.text
    assert "golden row 0" in caplog.text


def test_a_model_that_fails_on_its_golden_rows_never_predicts(caplog):
    def broken(table):
        raise RuntimeError("secret")

    with client_of(broken) as client:
        settle(client)
        reply = ask(client, 1)
    assert reply.status_code == 503
    assert "secret" not in reply.text
    assert "secret" in caplog.text


def test_rows_that_only_the_model_refuses_are_named():
    def picky(table):
        if (table["x"].data > 100).any():
            raise ValueError("/srv/secret/model.py")
        return doubled(table)

    with client_of(picky) as client:
        wait_until_ready(client)
        reply = client.post("/v1/predict", json={"rows": [{"x": 1}, {"x": 101}, {"x": 3}]})
    assert reply.status_code == 422
    assert reply.json()["code"] == "no_answer"
    assert [one["row"] for one in reply.json()["problems"]] == [1]
    assert "secret" not in reply.text


def test_bad_rows_cost_one_replay_of_the_golden_rows_in_a_while():
    replays = 0

    def picky(table):
        nonlocal replays
        replays += (table["x"].data == 1.0).any()
        if (table["x"].data > 100).any():
            raise ValueError
        return doubled(table)

    with client_of(picky) as client:
        wait_until_ready(client)
        before = replays
        codes = [ask(client, 101).json()["code"] for _ in range(10)]
    assert codes == ["no_answer"] * 10
    assert replays - before == 2, "the one golden row, together and alone"


def test_a_model_that_breaks_later_is_a_500_that_says_nothing(caplog):
    state = {"broken": False}

    def breaking(table):
        if state["broken"]:
            raise RuntimeError("/srv/secret")
        return doubled(table)

    with client_of(breaking) as client:
        wait_until_ready(client)
        state["broken"] = True
        with caplog.at_level(logging.ERROR):
            reply = ask(client, 1)
            tensor = {"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}
            other = client.post("/v2/models/doubler/infer", json={"inputs": [tensor]})
        state["broken"] = False
        assert ask(client, 1).status_code == 200
    document = reply.json()
    assert reply.status_code == 500
    assert reply.headers["content-type"] == "application/problem+json"
    assert document["code"] == "internal"
    assert "secret" not in reply.text
    assert document["id"] in caplog.text
    assert "/srv/secret" in caplog.text
    assert (other.status_code, other.headers["content-type"]) == (500, "application/json")
    said = re.fullmatch(r"The server failed, and has written down why\. \(id (\w+)\)", other.json()["error"])
    assert said is not None
    assert said[1] in caplog.text


def test_a_slow_model_does_not_keep_others_waiting():
    """A model that takes long for one row answers in a thread, so that health is told meanwhile."""
    hold = threading.Event()

    def slow(table):
        if table["x"].data[0] == 9:
            hold.wait(10)
        else:
            time.sleep(0.01)
        return doubled(table)

    with client_of(slow) as client:
        wait_until_ready(client)
        asked = threading.Thread(target=ask, args=(client, 9))
        asked.start()
        assert client.get("/health/live").status_code == 200
        hold.set()
        asked.join(10)
        assert not asked.is_alive()


ARROW = "application/vnd.apache.arrow.stream"


def many_rows(media, values):
    """Return these rows as a body of that type."""
    if media != ARROW:
        return json.dumps({"rows": [{"x": x} for x in values]}).encode()
    table = pa.table({"x": values})
    with io.BytesIO() as stream:
        with pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)
        return stream.getvalue()


def ask_many(client, media, accept, body):
    """Return what the reply says of the rows, and whether they waited for a thread."""
    reply = client.post("/v1/predict", content=body, headers={"content-type": media, "accept": accept})
    said = reply.content if reply.headers["content-type"] == ARROW else reply.json()["predictions"]
    return said, "queue;" in reply.headers["server-timing"]


@pytest.mark.parametrize("accept", ["application/json", ARROW])
@pytest.mark.parametrize("media", ["application/json", ARROW])
def test_many_rows_are_answered_at_once_when_nobody_else_asks(media, accept, monkeypatch):
    monkeypatch.setattr(pace, "ALONE_S", 60.0)  # whatever else this machine has to do
    body = many_rows(media, [float(i) for i in range(3000)])
    with client_of() as client, httpx.Client(base_url=client.base_url, trust_env=False) as other:
        wait_until_ready(client)
        time.sleep(1.5 * pace.ALONE_AFTER_S)
        found = [ask_many(client, media, accept, body) for _ in range(4)]
        # The first two of a kind go to a thread, to learn what such take.
        assert [waited for _, waited in found] == [True, True, False, False]
        other.get("/health/live")
        found.append(ask_many(client, media, accept, body))
        assert found[-1][1]
        assert all(said == found[0][0] for said, _ in found)
        monkeypatch.setattr(pace, "ALONE_S", 0.0)
        time.sleep(1.5 * pace.ALONE_AFTER_S)
        assert ask_many(client, media, accept, body)[1]


def test_what_is_wrong_with_many_rows_is_told_alike_whoever_is_alone(monkeypatch):
    monkeypatch.setattr(pace, "ALONE_S", 60.0)
    good, bad = [3.0] * 3000, json.dumps({"rows": [{"x": 3.0}] * 2999 + [{"x": "three"}]})
    asked = {"content": bad, "headers": {"content-type": "application/json"}}
    with client_of() as client, httpx.Client(base_url=client.base_url, trust_env=False) as other:
        wait_until_ready(client)
        time.sleep(1.5 * pace.ALONE_AFTER_S)
        for _ in range(3):
            _, waited = ask_many(client, "application/json", "*/*", many_rows("application/json", good))
        assert not waited
        alone = client.post("/v1/predict", **asked)
        other.get("/health/live")
        in_company = client.post("/v1/predict", **asked)
        assert alone.status_code == in_company.status_code == 422
        assert alone.json() == in_company.json()


class Meter:
    """Notes what is charged, and refuses it where there is no budget."""

    def __init__(self, *, refuses=False):
        self.charged, self._refuses = [], refuses

    def __call__(self, table, size_bytes):
        if self._refuses:
            raise OverBudget("somebody", retry_after_s=1.0)
        self.charged.append((table.rows, size_bytes))

    def told(self, answers):
        return answers


def test_rows_that_would_take_too_long_here_are_not_charged_and_who_is_over_budget_costs_no_call(monkeypatch):
    calls = []
    service = Service(
        predictor_of(lambda table: calls.append(table.rows) or doubled(table)), settings=Settings(), counters=Counters()
    )
    body = many_rows("application/json", [1.0] * 3000)
    asked = partial(Asked, "json", None, "json", body, here=True)
    few = Meter()
    with pytest.raises(NotHere):  # nobody knows yet what rows take
        service.reply_here(asked(meter=few))
    monkeypatch.setattr(pace.Pace, "require_quick", lambda *_: None)
    with pytest.raises(OverBudget):
        service.reply_here(asked(meter=Meter(refuses=True)))
    assert (few.charged, calls) == ([], [])
    lines, text = service.reply_here(asked(meter=few))
    assert (few.charged, calls) == ([(3000, len(body))], [3000])
    assert b"content-length: %d\r\n" % len(text) in lines
    assert json.loads(text)["predictions"] == [{"value": 2.0}] * 3000


def test_while_draining_what_comes_is_answered_and_nobody_new_is_welcome():
    readiness = Readiness()
    with client_of(readiness=readiness) as client:
        wait_until_ready(client)
        readiness.drain()
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/ready").json()["detail"] == "The server is shutting down."
        assert client.get("/health/live").status_code == 200
        assert ask(client, 1).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v1/typo",
        "/v1/predict/",
        "/v1//predict",
        "/v2/typo",
        "/health",
        "/health/",
        "/metrics/",
        "/metrics/x",
    ],
)
def test_nothing_of_ours_falls_through_to_the_app(beside, method, path):
    client, ui = beside
    assert client.request(method, path).status_code == 404
    assert ui.seen == []


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/schema", "GET, HEAD"),
        ("/v1/model", "GET, HEAD"),
        ("/v1/openapi.json", "GET, HEAD"),
        ("/v1/docs", "GET, HEAD"),
        ("/health/live", "GET, HEAD"),
        ("/health/ready", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/v2", "GET, HEAD"),
        ("/v2/models/doubler", "GET, HEAD"),
    ],
)
def test_another_method_is_refused_and_says_which(beside, path, allow):
    client, ui = beside
    assert client.get(path).status_code == 200
    assert client.head(path).status_code == 200
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        reply = client.request(method, path)
        assert (reply.status_code, reply.headers["allow"]) == (405, allow)
    assert ui.seen == []


@pytest.mark.parametrize("path", ["/", "/batch", "/v1x", "/healthy", "/metrics_of_ours", "/_stcore/health"])
def test_the_app_gets_everything_else(beside, path):
    client, _ = beside
    reply = client.get(path)
    assert reply.text == "the app"
    assert reply.headers["x-content-type-options"] == "nosniff"


def ws_of(client):
    return str(client.base_url).replace("http:", "ws:").rstrip("/")


def test_nobody_can_say_who_they_are(beside):
    """The header by which the gate tells the app its user is taken from clients, sockets included."""
    client, ui = beside
    client.get("/", headers={"X-Aweigh-User": "admin", "X-Other": "kept"})
    with connect(ws_of(client) + "/_stcore/stream", additional_headers={"x-aweigh-user": "admin"}) as socket:
        assert socket.recv() == "hello"
    assert len(ui.seen) == 2
    assert not any("x-aweigh-user" in headers for headers in ui.seen)
    assert ui.seen[0]["x-other"] == "kept"


@pytest.mark.parametrize("path", ["/v1/predict", "/v2/x", "/health/live", "/metrics"])
def test_no_socket_is_opened_under_the_api(beside, path):
    client, _ = beside
    with pytest.raises(InvalidStatus, match="403"):
        connect(ws_of(client) + path)


def test_without_a_ui_the_front_page_leads_to_the_docs():
    with client_of() as client:
        page = client.get("/")
        assert page.status_code == 200
        assert 'href="v1/docs"' in page.text
        assert client.get("/anything").json()["code"] == "not_found"


def test_a_script_without_a_model_has_health_and_no_api():
    with serving(create_app(None, ui=FakeUi())) as client:
        wait_until_ready(client)
        assert client.get("/").text == "the app"
        assert client.get("/v1/predict").status_code == 404
        assert client.get("/v1/docs").status_code == 200
        assert client.get("/v2/models/x").status_code == 404
        assert client.get("/v1/openapi.json").json()["paths"].keys() >= {"/health/live"}


def test_counters_count():
    with client_of() as client:
        wait_until_ready(client)
        ask(client, 1)
        client.post("/v1/predict", json={"rows": [{"x": 1}, {"x": 2}]})
        ask(client, "text")
        text = client.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['aweigh_requests_total{route="predict",status="200"}'] == "2"
    assert lines['aweigh_requests_total{route="predict",status="422"}'] == "1"
    assert lines["aweigh_requests_in_flight"] == "1", "the scrape itself"
    assert int(lines["aweigh_rows_total"]) == 3 + 2, "two of them warmed the way"
    assert lines['aweigh_predict_seconds_bucket{le="+Inf"}'] == lines["aweigh_predict_seconds_count"] == "4"
    assert f'digest="{"ab" * 32}"' in text


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        (("127.0.0.1", 1), {}, 200),
        (("::1", 1), {}, 200),
        (("::ffff:127.0.0.1", 1), {}, 200),
        (("10.0.0.9", 1), {}, 403),
        (("127.0.0.1", 1), {"X-Forwarded-For": "10.0.0.9"}, 403),
        (("10.0.0.9", 1), {"Authorization": "Bearer let me in"}, 200),
        (("10.0.0.9", 1), {"Authorization": "Bearer let me"}, 403),
        (("127.0.0.1", 1), {"X-Forwarded-For": "10.0.0.9", "Authorization": "Bearer let me in"}, 200),
        (("a unix socket", 1), {}, 403),
        (None, {}, 403),
    ],
)
def test_counters_are_for_this_machine_or_the_token(client, headers, status):
    scope = {"client": client, "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()]}
    assert may_read(scope, token=Secret("let me in")) == (status == 200)


@pytest.mark.parametrize("said", ["Bearer None", "Bearer ", "Bearer", ""])
def test_without_a_token_none_is_right(said):
    scope = {"client": ("10.0.0.9", 1), "headers": [(b"authorization", said.encode())]}
    assert not may_read(scope, token=None)


@pytest.mark.parametrize("media", ["application/json", "application/json; charset=utf-8"], ids=["at once", "later"])
def test_the_least_limit_of_a_body_holds_whichever_way_it_comes(media):
    with client_of(settings=Settings(max_body_bytes=1024)) as client:
        wait_until_ready(client)
        body = json.dumps({"rows": [{"x": 1.5}] * 200})
        for _ in range(2):
            assert client.post("/v1/predict", content=body, headers={"content-type": media}).status_code == 413
        assert ask(client, 1).status_code == 200


def test_what_the_settings_limit_is_limited():
    settings = Settings(max_body_bytes=1024, max_rows=3)
    with client_of(settings=settings) as client:
        wait_until_ready(client)
        many = client.post("/v1/predict", json={"rows": [{"x": 1}] * 4})
        large = client.post("/v1/predict", json={"rows": [{"x": 1}], "_": "a" * 2000})
    assert (many.status_code, many.json()["detail"]) == (413, "More than 3 rows.")
    assert (large.status_code, large.json()["detail"]) == (413, "The body is larger than 1,024 bytes.")


def test_a_number_that_is_none_is_null():
    with client_of(
        lambda table: Answers(SCHEMA.output, table.rows, values=np.full((table.rows, 1), np.nan)), said=None
    ) as client:
        wait_until_ready(client)
        assert ask(client, 1).json()["predictions"] == [{"value": None}]
        body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
        assert client.post("/v2/models/doubler/infer", json=body).json()["outputs"][0]["data"] == [None]


@pytest.fixture
def hurried(monkeypatch):
    """A server that waits for the head of a request for a moment only; a function that connects to it."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.3)
    with client_of() as client:
        wait_until_ready(client)
        yield lambda: socket.create_connection((client.base_url.host, client.base_url.port), timeout=10)


def test_a_connection_that_says_nothing_is_closed(hurried):
    with hurried() as silent:
        assert silent.recv(100) == b""


def test_a_head_in_drops_is_refused(hurried):
    with hurried() as slow:
        slow.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n")
        for _ in range(2):
            time.sleep(0.1)
            slow.sendall(b"X-Drop: 1\r\n")
        assert slow.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_second_head_in_drops_is_refused_too(hurried):
    with hurried() as slow:
        slow.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health/live HT")
        assert slow.recv(10_000).startswith(b"HTTP/1.1 200 ")
        assert slow.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_kept_connection_may_be_silent_between_requests(hurried):
    ask_live = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with hurried() as kept:
        for _ in range(2):
            kept.sendall(ask_live)
            assert kept.recv(10_000).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.5)


def test_a_port_is_taken_from_the_moment_it_is_bound():
    """Two servers that start at the same time must not both believe that they have the port."""
    first = bind("127.0.0.1", 0)
    try:
        with pytest.raises(UsageError, match="is taken"):
            bind("127.0.0.1", first.getsockname()[1])
    finally:
        first.close()
