"""The UI of another process as an ASGI app: HTTP and WebSocket, passed on over a unix socket.

Streamlit's sessions, uploads and media live in one process. Where several processes share the port, each answers the
API itself and passes everything else on to the one that has the UI, with the client's own Host and subprotocols.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httptools
from starlette.types import Receive, Scope, Send

from aweigh.errors import NotReady

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers that belong to one connection (RFC 9110, 7.6.1)."""

READ_BYTES = 64 * 1024
OPEN_TIMEOUT_S = 10.0
_HOST = re.compile(rb"[A-Za-z0-9.:\[\]_-]{1,255}")


class Proxy:
    """Whatever listens on the unix socket at ``path``."""

    def __init__(self, path: str) -> None:
        self._path = path

    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        """Nothing to start: the other process starts itself."""
        return _nothing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request or one WebSocket.

        Raises:
            NotReady: nobody listens there.
        """
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._websocket(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise NotReady("The app is starting.", hint="ask again in a moment") from error
        sizes = [value for name, value in scope["headers"] if name == b"content-length"]
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        writer.write(_head(scope, chunked=chunked))
        pump = asyncio.create_task(_pump(receive, writer, chunked=chunked, has_body=chunked or bool(sizes)))
        reply = _Reply(send, bodiless=scope["method"] == "HEAD")
        try:
            await reply.relay(reader)
        finally:
            pump.cancel()
            writer.close()
        if not reply.started:
            raise NotReady("The app did not answer.", hint="ask again in a moment")
        if not reply.done and not pump.done():
            msg = "the app broke off in the middle of its answer"
            raise ConnectionResetError(msg)  # and so must the connection to the client: half is not whole

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        from websockets.asyncio.client import unix_connect
        from websockets.exceptions import WebSocketException

        await receive()  # websocket.connect
        try:
            upstream = await unix_connect(
                self._path,
                uri=_uri(scope),
                subprotocols=scope.get("subprotocols") or None,
                additional_headers=_websocket_headers(scope),
                user_agent_header=None,
                compression=None,
                max_size=None,
                ping_interval=None,
                open_timeout=OPEN_TIMEOUT_S,
                proxy=None,
            )
        except (OSError, TimeoutError, WebSocketException):
            await send({"type": "websocket.close", "code": 1013})
            return
        async with upstream:
            await send({"type": "websocket.accept", "subprotocol": upstream.subprotocol})
            upward = asyncio.create_task(_upward(receive, upstream))
            try:
                async for message in upstream:
                    kind = "text" if isinstance(message, str) else "bytes"
                    await send({"type": "websocket.send", kind: message})
            except WebSocketException:
                pass  # closed with a code of its own, which is handed on below, or broken off
            finally:
                hung_up = upward.done()
                upward.cancel()
            if not hung_up:
                await send({"type": "websocket.close", "code": _close_code(upstream.close_code)})


@asynccontextmanager
async def _nothing(app: object) -> AsyncIterator[None]:
    del app
    yield


def _target(scope: Scope) -> bytes:
    query: bytes = scope.get("query_string", b"")
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path + (b"?" + query if query else b"")


def _head(scope: Scope, *, chunked: bool) -> bytes:
    lines = [scope["method"].encode() + b" " + _target(scope) + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in scope["headers"] if name not in HOP_BY_HOP and name != b"expect"]
    lines.append(b"connection: close")
    if chunked:
        lines.append(b"transfer-encoding: chunked")
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def _pump(receive: Receive, writer: asyncio.StreamWriter, *, chunked: bool, has_body: bool) -> None:
    """The request's body to the other process; then waits for the client to hang up, and hangs up there too."""
    more = has_body
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            writer.transport.abort()
            return
        if not more:
            continue
        body = message.get("body", b"")
        more = message.get("more_body", False)
        if chunked:
            writer.write(b"%x\r\n%b\r\n" % (len(body), body) if body else b"")
            if not more:
                writer.write(b"0\r\n\r\n")
        else:
            writer.write(body)
        await writer.drain()


class _Reply:
    """The other process's answer, handed on piece by piece as it comes."""

    def __init__(self, send: Send, *, bodiless: bool) -> None:
        self._send = send
        self._bodiless = bodiless
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._head_done = False
        self.done = False
        self.started = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._head_done = True
        self.done = self._bodiless

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self.done = True

    async def relay(self, reader: asyncio.StreamReader) -> None:
        while not self.done:
            try:
                data = await reader.read(READ_BYTES)
                if not data:
                    break
                self._parser.feed_data(data)
            except (OSError, httptools.HttpParserError):
                break
            await self._forward()
        if self.started and self.done:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _forward(self) -> None:
        if self._head_done and not self.started:
            self.started = True
            kept = [one for one in self._headers if one[0] not in HOP_BY_HOP and one[0] != b"date"]
            status = self._parser.get_status_code()
            await self._send({"type": "http.response.start", "status": status, "headers": kept})
        if self._pieces and not self._bodiless:
            body = b"".join(self._pieces)
            self._pieces.clear()
            await self._send({"type": "http.response.body", "body": body, "more_body": True})


def _uri(scope: Scope) -> str:
    host = next((value for name, value in scope["headers"] if name == b"host"), b"localhost")
    safe = host if _HOST.fullmatch(host) else b"localhost"
    return (b"ws://" + safe + _target(scope)).decode("latin-1")


def _websocket_headers(scope: Scope) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in scope["headers"]
        if name not in HOP_BY_HOP and name != b"host" and not name.startswith(b"sec-websocket-")
    ]


def _close_code(code: int | None) -> int:
    """The code to close with: those that only stand for "none was said" are never sent (RFC 6455, 7.4.1)."""
    return 1011 if code in {None, 1005, 1006, 1015} else int(code or 1011)


async def _upward(receive: Receive, upstream: Any) -> None:
    """The client's messages to the other process, until it hangs up."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await upstream.close(code=1000)
            return
        text = message.get("text")
        await upstream.send(message["bytes"] if text is None else text)
