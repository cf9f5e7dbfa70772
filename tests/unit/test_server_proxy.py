"""The passage to the app's process: what goes in comes out there, and what comes back is what was said."""

import asyncio
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from aweigh.server.app import create_app
from aweigh.server.board import Board
from aweigh.server.proxy import Proxy
from aweigh.server.readiness import Readiness
from aweigh.server.serve import bind, bind_unix, make_server, url_of
from aweigh.server.settings import Settings
from aweigh.server.sticky import Sticky, socket_path


async def echo(request):
    body = await request.body()
    path = request.scope["raw_path"].decode() + "?" + request.url.query
    document = {"method": request.method, "path": path, "headers": dict(request.headers), "size": len(body)}
    return JSONResponse(document, headers={"X-First": body[:5].decode("latin-1"), "Set-Cookie": "a=1"})


async def stream(request):
    async def pieces():
        for i in range(5):
            yield f"piece {i} ".encode() * 10_000
            await asyncio.sleep(0.01)

    return StreamingResponse(pieces())


async def endless(request):
    state = request.app.state

    async def pieces():
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.005)
        finally:
            state.ended.set()

    return StreamingResponse(pieces())


async def early(request):
    """Answers before the body is read."""
    return PlainTextResponse("no", status_code=413)


async def break_off(request):
    async def pieces():
        yield b"half"
        raise RuntimeError

    headers = {"Content-Length": "8"} if "length" in request.query_params else {}
    return StreamingResponse(pieces(), headers=headers)


async def closes(request):
    return PlainTextResponse("closed", headers={"Connection": "close"})


async def nothing(request):
    return Response(status_code=int(request.query_params["status"]))


async def talk(websocket):
    if "refuse" in websocket.query_params:
        await websocket.close()
        return
    offered = websocket.scope["subprotocols"]
    await websocket.accept(subprotocol=offered[-1] if offered else None)
    await websocket.send_json({"host": websocket.headers["host"], "cookie": websocket.headers.get("cookie")})
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            websocket.app.state.ended.set()
            return
        if message.get("text") == "bye":
            await websocket.close(code=4001)
            return
        if message.get("text") is not None:
            await websocket.send_text(message["text"][::-1])
        else:
            await websocket.send_bytes(message["bytes"][::-1])


@contextmanager
def running(app, sock):
    server = make_server(app, settings=Settings(drain_s=2), readiness=Readiness(), websockets=True)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        end = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < end
            time.sleep(0.002)
        yield server
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def backend():
    every = ["GET", "HEAD", "POST", "PUT", "DELETE"]
    routes = [
        Route("/echo/{rest:path}", echo, methods=every),
        Route("/stream", stream),
        Route("/endless", endless),
        Route("/closes", closes),
        Route("/early", early, methods=every),
        Route("/break", break_off),
        Route("/nothing", nothing),
        WebSocketRoute("/talk", talk),
        Mount("/", PlainTextResponse("home")),
    ]
    app = Starlette(routes=routes)
    app.state.ended = threading.Event()
    return app


@pytest.fixture(scope="module")
def url(backend, tmp_path_factory):
    folder = tmp_path_factory.mktemp("s")
    board = Board(places=1)
    board.answers(0, seat=1)
    path = Path(socket_path(folder, seat=1))
    with bind_unix(path) as inner, bind("127.0.0.1", 0) as sock, running(backend, inner) as behind:
        backend.state.server = behind
        front = create_app(None, ui=Proxy(Sticky(board, places=range(1), folder=folder), title="Home"))
        with running(front, sock):
            yield url_of(sock)


@pytest.fixture
def client(url):
    with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        yield client


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_request_arrives_as_it_was(client, method):
    headers = {"Host": "models.example:8443", "Cookie": "_xsrf=1", "X-Odd": "é".encode("latin-1")}
    reply = client.request(method, "/echo/a%20b/%C3%A9?q=1&r=%2F", headers=headers)
    document = reply.json()
    assert document["method"] == method
    assert document["path"] == "/echo/a%20b/%C3%A9?q=1&r=%2F"
    assert document["headers"]["host"] == "models.example:8443"
    assert document["headers"]["cookie"] == "_xsrf=1"
    assert document["headers"]["x-odd"] == "é"
    assert reply.headers["set-cookie"] == "a=1"
    assert len(reply.headers.get_list("date")) == 1


@pytest.mark.parametrize("size", [0, 1, 100_000, 5_000_000])
@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_body_arrives_whole(client, size, in_pieces):
    def pieces():
        for i in range(0, size, 70_000):
            yield b"abcde"[: size - i] + b"x" * (min(70_000, size - i) - 5)

    content = pieces() if in_pieces else b"".join(pieces())
    assert client.post("/echo/x", content=content).json()["size"] == size


def test_what_streams_comes_back_whole(client):
    assert client.get("/stream").content == b"".join(f"piece {i} ".encode() * 10_000 for i in range(5))


def test_head_has_no_body(client):
    reply = client.head("/echo/x")
    assert (reply.status_code, reply.content) == (200, b"")
    assert client.get("/").text == "home"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_ends(client, status):
    assert client.get("/nothing", params={"status": status}).status_code == status
    assert client.get("/").text == "home"


def test_an_answer_before_the_body_was_read_is_handed_on(client):
    reply = client.post("/early", content=b"x" * 3_000_000)
    assert (reply.status_code, reply.text) == (413, "no")


@pytest.mark.parametrize("query", ["?length", ""])
def test_half_an_answer_is_no_answer(client, query):
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/break" + query)
    assert client.get("/").text == "home"


def test_a_client_that_hangs_up_is_hung_up_on_behind(client, backend):
    backend.state.ended.clear()
    with client.stream("GET", "/endless") as reply:
        next(reply.iter_raw())
    assert backend.state.ended.wait(10)


def test_messages_go_both_ways(url):
    with connect(url.replace("http", "ws") + "/talk", additional_headers={"Cookie": "k=v"}) as socket:
        assert socket.recv() == '{"host":"' + url.removeprefix("http://") + '","cookie":"k=v"}'
        for message in ("hello", b"\x00\x01\xff", "é" * 100_000, b""):
            socket.send(message)
            assert socket.recv() == message[::-1]


def test_subprotocols_are_offered_and_chosen(url):
    with connect(url.replace("http", "ws") + "/talk", subprotocols=["streamlit", "token", "session"]) as socket:
        assert socket.subprotocol == "session"


def test_a_close_code_is_handed_on(url):
    with connect(url.replace("http", "ws") + "/talk") as socket:
        socket.recv()
        socket.send("bye")
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv()
    assert caught.value.rcvd.code == 4001


def test_a_closed_socket_is_closed_behind(url, backend):
    backend.state.ended.clear()
    with connect(url.replace("http", "ws") + "/talk") as socket:
        socket.recv()
    assert backend.state.ended.wait(10)


def test_a_refused_socket_is_refused(url):
    with pytest.raises(InvalidStatus):
        connect(url.replace("http", "ws") + "/talk?refuse=1")


@pytest.mark.parametrize("seat", [None, 1])
def test_an_app_that_is_not_there_is_not_ready(tmp_path, seat):
    """Nobody is known to answer, or the one that is known has just died."""
    board = Board(places=1)
    board.answers(0, seat=seat)
    proxy = Proxy(Sticky(board, places=range(1), folder=tmp_path), title="Pens & <ink>")
    with bind("127.0.0.1", 0) as sock, running(create_app(None, ui=proxy), sock):
        reply = httpx.get(url_of(sock), trust_env=False)
        assert (reply.status_code, reply.json()["code"]) == (503, "not_ready")
        page = httpx.get(url_of(sock), trust_env=False, headers={"Accept": "text/html,*/*;q=0.8"})
        assert (page.status_code, page.headers["retry-after"]) == (503, "2")
        assert "Pens &amp; &lt;ink&gt;" in page.text
        assert 'http-equiv="refresh"' in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        with pytest.raises(InvalidStatus):
            connect(url_of(sock).replace("http", "ws"))


def test_a_header_that_the_gate_adds_stands_there_once(client):
    for path in ("/echo/x", "/stream"):
        reply = client.get(path)
        assert reply.headers.get_list("x-content-type-options") == ["nosniff"]
        assert reply.headers.get_list("referrer-policy") == ["same-origin"]


def test_a_connection_to_the_app_is_kept(client, backend):
    """The second request finds the first one's; one that was closed meanwhile harms nobody."""
    connections = backend.state.server.server_state.connections
    client.get("/echo/x")
    before = set(connections)
    for _ in range(5):
        assert client.get("/echo/x").status_code == 200
    assert set(connections) == before
    for one in before:
        one.loop.call_soon_threadsafe(one.close_if_idle)
    for _ in range(3):
        assert client.get("/echo/x").status_code == 200
    assert client.get("/closes").text == "closed"
    assert client.get("/echo/x").status_code == 200
    assert not set(connections) & before
