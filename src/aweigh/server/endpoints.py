"""The endpoints that are asked now and then, and the answers of the app where no endpoint has one."""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from aweigh._version import __version__
from aweigh.errors import AweighError
from aweigh.runtime.predictor import Predictor
from aweigh.server.access.door import IDENTITY
from aweigh.server.media import JSON
from aweigh.server.metrics import CONTENT_TYPE, Counters, may_read, route_of
from aweigh.server.problems import (
    FAILED,
    PROBLEM_JSON,
    Refused,
    document_of,
    encode,
    headers_of,
    internal_document,
    method_not_allowed,
    not_found,
    status_of,
)
from aweigh.server.readiness import Readiness
from aweigh.server.settings import Settings
from aweigh.server.ulid import ulid
from aweigh.wire.kept import Kept

if TYPE_CHECKING:
    from aweigh.server.docs import Page
    from aweigh.server.jobs.door import Door

MOST_ORIGINS = 8
"""Addresses that pages are kept for: whoever asks chooses the header Host."""

_LOG = logging.getLogger(__name__)


class Get:
    """A function of a request as an endpoint that takes GET and HEAD.

    It refuses other methods itself: to Starlette's router a route with other methods is a lesser match than the UI,
    which is mounted at everything.
    """

    def __init__(self, answer: Callable[[Request], Awaitable[Response]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        _require_get(scope)
        response = await self._answer(Request(scope))
        await response(scope, receive, send)


def _require_get(scope: Scope) -> None:
    if scope["method"] not in {"GET", "HEAD"}:
        raise method_not_allowed(["GET", "HEAD"])


class Nothing:
    """Every address under a prefix of ours that no endpoint has."""

    async def __call__(self, *_: object) -> None:
        """Answer one request: there is nothing.

        Raises:
            Refused: always (404).
        """
        raise not_found()


class Document:
    """An endpoint that answers a body of its own, made when it is first asked for."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._kept: Kept | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del receive
        _require_get(scope)
        if self._kept is None:
            self._kept = Kept(await anyio.to_thread.run_sync(self._make), media=JSON.encode())
        await self._kept.send(scope, send)


def document(make: Callable[[], object]) -> ASGIApp:
    """An endpoint that always answers the same JSON document, which is made when it is first asked for."""
    return Document(lambda: encode(make()))


class Pages:
    """An endpoint that answers a page of HTML under its own content security policy.

    The page says under which address it was asked for: one is kept for each, for a few.
    """

    def __init__(self, make: "Callable[[], Page]") -> None:
        self._make = make
        self._page: Page | None = None
        self._kept: dict[str, Kept] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del receive
        _require_get(scope)
        request = Request(scope)
        origin = f"{request.url.scheme}://{request.headers.get('host', '')}"
        kept = self._kept.get(origin)
        if kept is None:
            kept = await anyio.to_thread.run_sync(self._made, origin)
            if len(self._kept) >= MOST_ORIGINS:
                self._kept.pop(next(iter(self._kept)))
            self._kept[origin] = kept
        await kept.send(scope, send)

    def _made(self, origin: str) -> Kept:
        if self._page is None:
            self._page = self._make()
        headers = [(b"content-security-policy", self._page.policy.encode()), (b"x-frame-options", b"DENY")]
        return Kept(self._page.html(origin).encode(), media=b"text/html; charset=utf-8", headers=headers)


async def live(request: Request) -> Response:
    """``/health/live``: the event loop turns, or nobody would answer."""
    del request
    return Response(b'{"status":"live"}', media_type="application/json")


Stands = Callable[[], Predictor | None]
"""Whose answers everybody gets who is in no trial; None: there is no model."""


async def ready(request: Request, *, readiness: Readiness, stands: Stands) -> Response:
    """``/health/ready``: the golden rows agree and the process is not about to stop.

    Raises:
        NotReady: otherwise.
    """
    readiness.require_ready()
    if request.scope.get(IDENTITY, request) is None:  # behind a closed door, and nobody is signed in
        return Response(b'{"status":"ready"}', media_type="application/json")
    found: dict[str, object] = {"status": "ready", "golden_rows": readiness.golden_rows}
    predictor = stands()
    if predictor is not None:
        found["model"] = {"name": predictor.manifest.name, "version": predictor.version}
    if readiness.board is not None:
        found["processes"] = {"wanted": readiness.board.places, "up": readiness.board.up()}
    return Response(encode(found), media_type="application/json")


async def me(request: Request) -> Response:
    """``/v1/me``: who the server takes the caller for, and what they may."""
    identity = request.scope.get(IDENTITY)
    if identity is None:
        return Response(b'{"kind":"nobody"}', media_type="application/json")
    found = {
        "kind": identity.kind,
        "name": identity.name,
        "role": identity.role.name.lower(),
        "scopes": sorted(identity.scopes),
    }
    return Response(encode(found), media_type="application/json")


async def metrics(
    request: Request,
    *,
    counters: Counters,
    stands: Stands,
    settings: Settings,
    jobs: "Door | None",
    more: Callable[[], str] = lambda: "",
) -> Response:
    """``/metrics``, for whoever may read them.

    Raises:
        Refused: somebody else (403).
    """
    if IDENTITY not in request.scope and not may_read(request.scope, token=settings.metrics_token):
        hint = "ask from the machine itself, or send AWEIGH_METRICS_TOKEN as a bearer token"
        raise Refused("forbidden", "The counters are not for everybody.", hint=hint)
    info = {"aweigh_version": __version__}
    predictor = stands()
    if predictor is not None:
        info |= {"name": predictor.manifest.name, "version": predictor.version, "digest": predictor.digest}
        info["signer"] = ", ".join(one.name for one in predictor.signers)
    text = counters.text(info=info) + more() + ("" if jobs is None else await jobs.counters())
    return Response(text, headers={"content-type": CONTENT_TYPE.decode()})


async def refuse(request: Request, error: Exception) -> Response:
    """Any error of the tree as its problem document."""
    del request
    if not isinstance(error, AweighError):
        raise error
    body = encode(document_of(error))
    headers = {name.decode(): value.decode() for name, value in headers_of(error, size_bytes=len(body))}
    return Response(body, status_code=status_of(error), headers=headers)


async def fail(request: Request, error: Exception) -> Response:
    """An error that nobody foresaw: all of it for the log, and for the client the id to find it by."""
    log_id = ulid()
    route = route_of(request.url.path)
    # The route and not the address: who knows a job's may see the job, and anything may stand in a query.
    _LOG.error("id %s: %s of route %s failed", log_id, request.method, route, exc_info=error)
    if route == "oip":
        return Response(encode({"error": f"{FAILED} (id {log_id})"}), status_code=500, media_type=JSON)
    return Response(encode(internal_document(log_id)), status_code=500, media_type=PROBLEM_JSON.decode())


async def refuse_unknown(request: Request, error: Exception) -> Response:
    """What Starlette itself does not find, which is only the 404 of a server without UI."""
    del error
    return await refuse(request, not_found())
