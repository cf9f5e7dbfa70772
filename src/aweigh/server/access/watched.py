"""A WebSocket that lasts no longer than its session: who signs out, or is signed out, leaves every open page."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

EVERY_S = 2.0
"""How soon a WebSocket is closed after its session has ended."""

UNTOLD_S = 60.0
"""How long a WebSocket stays open while nobody can tell whether its session lasts: its store is down."""

SIGNED_OUT = 4401
"""The code to close with: of those that applications may choose (RFC 6455, 7.4.2)."""

Lasts = Callable[[bool], Awaitable[bool | None]]
"""Whether the session lasts, None if that cannot be told; hears whether anything was said since it was asked last."""


async def watched(app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, lasts: Lasts) -> None:
    """Serve a WebSocket for as long as its session lasts."""
    watch = _Watch(receive, send)
    serving = asyncio.ensure_future(app(scope, watch.receive, watch.send))
    told = time.monotonic()
    try:
        while not serving.done():
            await asyncio.wait({serving}, timeout=EVERY_S)
            does_last = None if serving.done() else await lasts(watch.heard())
            if does_last:
                told = time.monotonic()
            if serving.done() or does_last or (does_last is None and time.monotonic() - told < UNTOLD_S):
                continue
            with contextlib.suppress(OSError, RuntimeError, TimeoutError):  # who does not read is not waited for
                async with asyncio.timeout(EVERY_S):
                    await watch.close()
            await asyncio.wait({serving}, timeout=EVERY_S)
            break
    finally:
        if not serving.done():
            serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


class _Watch:
    """A WebSocket whose app can be told that its client has gone, while the client is told why."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._closed = asyncio.Event()
        self._heard = False

    def heard(self) -> bool:
        """Whether the client has said anything since this was asked last."""
        heard, self._heard = self._heard, False
        return heard

    async def receive(self) -> Message:
        """What the client says next, or that it has gone."""
        coming = asyncio.ensure_future(self._receive())
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({coming, closed}, return_when=asyncio.FIRST_COMPLETED)
            if self._closed.is_set():
                return {"type": "websocket.disconnect", "code": SIGNED_OUT}
            message = coming.result()
            self._heard = self._heard or message["type"] == "websocket.receive"
            return message
        finally:
            coming.cancel()
            closed.cancel()

    async def send(self, message: Message) -> None:
        """Pass on what the app says, as long as there is somebody to hear it."""
        if not self._closed.is_set():
            await self._send(message)

    async def close(self) -> None:
        """The session has ended."""
        self._closed.set()
        await self._send({"type": "websocket.close", "code": SIGNED_OUT, "reason": "signed out"})
