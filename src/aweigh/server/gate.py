"""The gate: the outermost ASGI class, which sees every request and every WebSocket before anything else does.

It takes away what a client must not say, adds the headers that every answer needs, and counts.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aweigh.server.metrics import Counters, route_of

TRUSTED_HEADERS = frozenset({b"x-aweigh-user"})
"""Headers that only the gate itself may set: what they say is believed behind it."""

SAFE = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin"))
API_ONLY = ((b"cache-control", b"no-store"), (b"cross-origin-resource-policy", b"same-origin"))


class Gate:
    """An ASGI app around the app."""

    def __init__(self, app: ASGIApp, *, counters: Counters) -> None:
        self._app = app
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request or WebSocket in."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = scope["headers"]
        for name, _ in headers:
            if name in TRUSTED_HEADERS:
                scope = dict(scope, headers=[one for one in headers if one[0] not in TRUSTED_HEADERS])
                break
        if kind == "http":
            await self._http(scope, receive, send)
        elif route_of(scope["path"]) == "ui":
            await self._app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: answered with 403

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = route_of(scope["path"])
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"] = [*message.get("headers", ()), *SAFE]
                if route != "ui" and not any(name == b"cache-control" for name, _ in headers):
                    headers.extend(API_ONLY)
            await send(message)

        self._counters.begin()
        try:
            await self._app(scope, receive, sent)
        except Exception:
            # Starlette raises again what its handler has answered and logged. Anything else broke off in the middle
            # of an answer, and so must the connection.
            if status != 500:
                raise
        finally:
            self._counters.end(route, status)
