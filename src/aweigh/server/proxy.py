"""The UI of other processes as an ASGI app: HTTP and WebSocket, passed on over unix sockets.

Streamlit's sessions, uploads and media live in one process. Where several processes share the port, each answers the
API itself and passes everything else on to the one that has the client's session, with the client's own Host and
subprotocols.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.types import Receive, Scope, Send

from aweigh.errors import NotReady
from aweigh.server.gate import SAFE
from aweigh.server.starting import starting_page
from aweigh.server.sticky import Choice, Sticky, wants_html
from aweigh.server.upstream import HOP_BY_HOP, Links, Reply, has_hung_up, pump, request_head, target_of

OPEN_TIMEOUT_S = 10.0
GONE = 1012
"""The WebSocket's "service restart": what a session is told whose process ended without a word."""

_HOST = re.compile(rb"[A-Za-z0-9.:\[\]_-]{1,255}")
_ADDED = frozenset(SAFE)


class Proxy:
    """The processes of the app that ``sticky`` knows; ``title`` is shown while there is none."""

    def __init__(self, sticky: Sticky, *, title: str) -> None:
        self._sticky = sticky
        self._links = Links()
        self._starting = starting_page(title)

    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        """The other processes start themselves; in the end the connections to them are closed."""

        @asynccontextmanager
        async def entered(_: object) -> AsyncIterator[None]:
            yield
            await self._links.close()

        return entered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request or one WebSocket.

        Raises:
            NotReady: there is no process to pass it to.
        """
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._websocket(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        has_body = chunked or any(name == b"content-length" for name, _ in scope["headers"])
        # What is asked again elsewhere must change nothing, and all of it must still be there.
        again = not has_body and scope["method"] in {"GET", "HEAD"}
        tried: frozenset[int] = frozenset()
        while (choice := self._sticky.choose(scope, without=tried)) is not None:
            try:
                link = await self._links.open(choice.path, fresh=not again)
            except OSError:  # nobody listens there: nothing was sent
                tried |= {choice.place}
                continue
            link.writer.write(request_head(scope, keep=again, chunked=chunked))
            reply = Reply(send, bodiless=scope["method"] == "HEAD", dropped=_ADDED, cookie=choice.cookie)
            body = asyncio.create_task(pump(receive, link.writer, chunked=chunked, has_body=has_body))
            try:
                await reply.relay(link.reader)
            finally:
                hung_up = has_hung_up(body)
                body.cancel()
                if again and reply.done and reply.may_go_on and not hung_up:
                    self._links.keep(link)
                else:
                    link.writer.close()
            if reply.done or hung_up:
                return
            if reply.started:
                msg = "the app broke off in the middle of its answer"
                raise ConnectionResetError(msg)  # and so must the connection to the client: half is not whole
            if not again:
                raise NotReady("The app did not answer.", hint="ask again in a moment")
            if not link.used:
                tried |= {choice.place}
        await self._say_starting(scope, receive, send)

    async def _say_starting(self, scope: Scope, receive: Receive, send: Send) -> None:
        """There is no process: a page for people, which tries again by itself, and a problem document for programs."""
        if not wants_html(scope):
            raise NotReady("The app is starting.", hint="ask again in a moment")
        await self._starting(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        from websockets.exceptions import WebSocketException

        await receive()  # websocket.connect
        tried: frozenset[int] = frozenset()
        upstream = None
        while upstream is None and (choice := self._sticky.choose(scope, without=tried)) is not None:
            try:
                upstream = await _open_websocket(choice, scope)
            except OSError:
                tried |= {choice.place}
            except (TimeoutError, WebSocketException):
                break
        if upstream is None or choice is None:
            await send({"type": "websocket.close", "code": 1013})
            return
        async with upstream:
            headers = [] if choice.cookie is None else [(b"set-cookie", choice.cookie)]
            await send({"type": "websocket.accept", "subprotocol": upstream.subprotocol, "headers": headers})
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


async def _open_websocket(choice: Choice, scope: Scope) -> Any:
    from websockets.asyncio.client import unix_connect

    return await unix_connect(
        choice.path,
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


def _uri(scope: Scope) -> str:
    host = next((value for name, value in scope["headers"] if name == b"host"), b"localhost")
    safe = host if _HOST.fullmatch(host) else b"localhost"
    return (b"ws://" + safe + target_of(scope)).decode("latin-1")


def _websocket_headers(scope: Scope) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in scope["headers"]
        if name not in HOP_BY_HOP and name != b"host" and not name.startswith(b"sec-websocket-")
    ]


def _close_code(code: int | None) -> int:
    """The code to close with: those that only stand for "none was said" are never sent (RFC 6455, 7.4.1)."""
    return GONE if code in {None, 1005, 1006, 1015} else int(code or GONE)


async def _upward(receive: Receive, upstream: Any) -> None:
    """The client's messages to the other process, until it hangs up."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await upstream.close(code=1000)
            return
        text = message.get("text")
        await upstream.send(message["bytes"] if text is None else text)
