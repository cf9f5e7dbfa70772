"""The app alone, as a process behind a unix socket serves it: what stands in front has the gate and the API."""

from collections.abc import Callable
from functools import partial

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from aweigh.server.closing import Seated
from aweigh.server.endpoints import fail
from aweigh.server.lifespan import UI, lifespan
from aweigh.server.readiness import Readiness


class CountedSessions:
    """An app around the app that tells the board how many WebSockets are open, by which new clients are spread."""

    def __init__(self, app: ASGIApp, *, seated: Seated) -> None:
        self._app = app
        self._seated = seated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request or one WebSocket."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        self._seated.board.count_session(self._seated.seat, 1)
        try:
            await self._app(scope, receive, send)
        finally:
            self._seated.board.count_session(self._seated.seat, -1)


def inner_app(ui: UI, *, seated: Seated, readiness: Readiness, on_settled: Callable[[], None]) -> ASGIApp:
    """The ASGI app of a UI and nothing else."""
    app = Starlette(
        routes=[Mount("/", CountedSessions(ui, seated=seated))],
        exception_handlers={Exception: fail},
        lifespan=partial(lifespan, service=None, ui=ui, readiness=readiness, on_settled=on_settled, prove_first=True),
    )
    app.router.redirect_slashes = False
    return app
