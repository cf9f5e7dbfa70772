"""The gate: the outermost ASGI class, which sees every request and every WebSocket before anything else does.

It asks the door who may come in, adds the headers that every answer needs, and counts. Endpoints that are asked
all the time are asked by the gate itself: a router and its middleware cost more than a small model.
"""

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aweigh.errors import AweighError
from aweigh.guard.rules import is_access_page
from aweigh.server.access.asked import Place
from aweigh.server.access.door import Door
from aweigh.server.access.meter import Meter
from aweigh.server.access.turned import turned_away
from aweigh.server.endpoints import fail
from aweigh.server.lane import Lane
from aweigh.server.media import BINARY_HEADER
from aweigh.server.metrics import Counters, route_of
from aweigh.server.problems import not_found
from aweigh.server.whole import STARTS

AtOnce = Callable[[Mapping[bytes, bytes], bytes, Meter | None], tuple[int, bytes, bytes] | None]
"""From headers, body and what rows are charged to, to the reply's status, header lines and body. None, or what it
raises: ask the endpoint."""

SAFE = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin"))
API_ONLY = ((b"cache-control", b"no-store"), (b"cross-origin-resource-policy", b"same-origin"))


PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, content-encoding, accept, idempotency-key, x-aweigh-release, x-aweigh-sticky, "
        + BINARY_HEADER,
    ),
    (b"access-control-max-age", b"600"),
)
"""What another site's pages may send, where they may ask: a key of their own, and no cookie."""

SHOWN = b"retry-after, x-aweigh-id, x-aweigh-model, x-aweigh-warnings, " + BINARY_HEADER
"""What they may read of an answer's headers, beside those that any page may."""


class Gate:
    """An ASGI app around the app; ``directly`` are the endpoints of paths that need not go through it.

    ``door`` says who may come in, and ``pages`` are its own: where people sign in.

    ``at_once`` are functions that answer small requests to such a path without a task; ``lanes`` offers them to the
    server, behind all that the gate does.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        counters: Counters,
        door: Door | None = None,
        pages: ASGIApp | None = None,
        directly: Mapping[str, ASGIApp] | None = None,
        at_once: Mapping[str, AtOnce] | None = None,
    ) -> None:
        self._app = app
        self._door = door or Door(Place())
        self._pages = pages
        self._directly = directly or {}
        self._counters = counters
        self.lanes = {path.encode(): self._lane(path, answer) for path, answer in (at_once or {}).items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request or WebSocket in."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        if kind == "http":
            await self._http(scope, receive, send)
        else:
            await self._websocket(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if route_of(scope["path"]) != "ui" or is_access_page(scope["path"]):
                raise not_found()
            await self._door.enter(scope)
        except AweighError:
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: answered with 403
            return
        await self._door.websocket(self._app, scope, receive, send)

    def _lane(self, path: str, answer: AtOnce) -> Lane:
        """What ``_http`` does, for requests that need no task."""
        route = route_of(path)
        ours = b"".join([b"%b: %b\r\n" % one for one in (*SAFE, *API_ONLY)]) + b"\r\n"

        def lane(headers: Mapping[bytes, bytes], body: bytes) -> tuple[int, bytes] | None:
            try:
                passed = self._door.at_once(headers)
                if passed is None:
                    return None
                reply = answer(headers, body, passed.meter)
            except Exception:  # noqa: BLE001  the ordinary way meets it again, and says it
                return None
            if reply is None:
                return None
            status, lines, found = reply
            self._counters.answered(route, status)
            return status, b"%b%b%b" % (lines, ours, found)

        return lane

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        route = route_of(path)
        direct = self._directly.get(path)
        status = 0
        origin = self._door.lets_read(scope)

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] in STARTS:
                status = message["status"]
                headers = message["headers"] = [*message.get("headers", ())]
                said = {name for name, _ in headers}
                headers += [one for one in SAFE if one[0] not in said]
                if origin is not None:
                    headers += [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
                    headers.append((b"access-control-expose-headers", SHOWN))
                if route == "ui":
                    self._door.dress(scope, headers)
                    if self._door.is_closed and b"cache-control" not in said:
                        headers.append((b"cache-control", b"private, no-store"))
                elif b"cache-control" not in said:
                    headers.extend(API_ONLY)
            await send(message)

        self._counters.begin()
        try:
            if origin is not None and scope["method"] == "OPTIONS":
                await sent({"type": "http.response.start", "status": 204, "headers": list(PREFLIGHT)})
                await sent({"type": "http.response.body", "body": b""})
                return
            try:
                await self._door.enter(scope)
            except AweighError as error:
                await turned_away(error, scope, receive, sent)
                return
            if self._pages is not None and is_access_page(path):
                direct = self._pages
            await (direct or self._app)(scope, receive, sent)
        except Exception as error:
            if direct is not None and not status:
                # What Starlette does for the others: all of it for the log, and for the client the id to find it by.
                response = await fail(Request(scope), error)
                await response(scope, receive, sent)
            elif status != 500:
                # Starlette raises again what its handler has answered and logged. Anything else broke off in the
                # middle of an answer, and so must the connection.
                raise
        finally:
            self._counters.end(route, status)
