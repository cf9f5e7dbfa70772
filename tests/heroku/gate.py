"""What every request passes: the record, faults on demand, the token, rate limits, the schema; then what answers it.

The API is under ``/``; pre-signed addresses, output streams and log sessions are under ``/_``, and open to whoever
knows them, as Heroku's are.
"""

import asyncio
import base64
import fnmatch
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from tests.heroku.errors import ApiError
from tests.heroku.options import Options
from tests.heroku.outside import outside
from tests.heroku.platform import Platform
from tests.heroku.routes import answer
from tests.heroku.schema import NO_LINK, published
from uvicorn.protocols.http.h11_impl import H11Protocol

TOKENS_A_SECOND = 75 / 60
MOST_BODY_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came: ``headers`` in small letters, ``body`` decoded where it was JSON, else its length.

    ``signed`` says that it came with an Authorization header, which is left out here.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    status: int | None
    signed: bool


@dataclass(slots=True)
class Fault:
    """An answer that was ordered."""

    method: str
    path: str
    status: int
    body: dict[str, str]
    headers: dict[str, str]
    times: int = 1
    drop: bool = False
    lose: bool = False

    def takes(self, method: str, path: str) -> bool:
        """Whether it is for this request."""
        return self.times > 0 and self.method in ("*", method) and fnmatch.fnmatchcase(path, self.path)


class Gate:
    """The ASGI application."""

    def __init__(self, platform: Platform, options: Options) -> None:
        self.platform = platform
        self.options = options
        self.violations: list[str] = []
        self.off_schema: list[str] = []
        self.requests: list[Asked] = []
        self.faults: list[Fault] = []
        self.cuts: list[int] = []
        self._tokens = float(options.hourly_calls)
        self._counted = time.monotonic()
        transports: dict[tuple[str, int], asyncio.Transport] = {}
        self._transports = transports

        class Protocol(H11Protocol):
            """Remembers its connection, so that it can be cut."""

            def connection_made(self, transport: Any) -> None:
                transports[transport.get_extra_info("peername")[:2]] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self.transport.get_extra_info("peername")[:2], None)
                super().connection_lost(exc)

        self.protocol = Protocol

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        path = request.url.path
        asked = {"body": None, "status": None}

        def record(status: int | None) -> None:
            headers = {name: value for name, value in request.headers.items() if name != "authorization"}
            signed = "authorization" in request.headers
            self.requests.append(Asked(request.method, path, headers, asked["body"], status, signed))

        # Before the answer leaves: who has it may look for it here.
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                asked["status"] = message["status"]
                record(message["status"])
            await send(message)

        fault = next((one for one in self.faults if one.takes(request.method, path)), None)
        if fault is not None:
            fault.times -= 1
        try:
            if path.startswith("/_"):
                await self._outside(request, fault, asked, sending)
            else:
                await self._inside(request, fault, asked, sending)
        finally:
            if asked["status"] is None:
                record(None)

    def cut(self, request: Request) -> None:
        """End a request's connection at once."""
        transport = self._transports.get(tuple(request.scope["client"]))
        if transport is not None:
            transport.abort()

    async def _outside(self, request: Request, fault: Fault | None, asked: Any, send: Any) -> None:
        if fault is not None and not fault.lose:
            return await self._break(request, fault, send)
        response = await outside(self, request, asked)
        if fault is not None:
            return self.cut(request)
        return await response(request.scope, request.receive, send)

    async def _inside(self, request: Request, fault: Fault | None, asked: Any, send: Any) -> None:
        raw = await request.body()
        asked["body"] = _decoded(raw)
        if fault is not None and not fault.lose:
            return await self._break(request, fault, send)
        try:
            self._admit(request)
            self._check(request, raw, asked["body"])
            response = await answer(self.platform, request, asked["body"])
        except ApiError as error:
            response = JSONResponse(error.body, error.status, headers=error.headers)
        self._check_answer(request, response)
        response.headers["Request-Id"] = str(uuid.uuid4())
        response.headers["RateLimit-Remaining"] = str(int(self._tokens))
        if fault is not None:
            return self.cut(request)
        return await response(request.scope, request.receive, send)

    async def _break(self, request: Request, fault: Fault, send: Any) -> None:
        if fault.drop:
            return self.cut(request)
        response = JSONResponse(fault.body, fault.status, headers=fault.headers)
        return await response(request.scope, request.receive, send)

    def _admit(self, request: Request) -> None:
        accept = request.headers.get("accept", "")
        if "application/vnd.heroku+json; version=3" not in accept.replace(";version", "; version"):
            raise ApiError(
                404,
                "not_found",
                "The requested API endpoint was not found. Are you using the right HTTP "
                "verb (i.e. `GET` vs. `POST`), and did you specify your intended version with the `Accept` header?",
            )
        if _token(request.headers.get("authorization", "")) != self.options.token:
            raise ApiError(401, "unauthorized", "Invalid credentials provided.")
        code = self.options.two_factor
        if code is not None and request.headers.get("heroku-two-factor-code") != code:
            raise ApiError(
                403, "two_factor", "A second authentication factor or pre-authorization is required for this request."
            )
        passed = time.monotonic() - self._counted
        self._counted += passed
        self._tokens = min(float(self.options.hourly_calls), self._tokens + passed * TOKENS_A_SECOND)
        if request.url.path == "/account/rate-limits":
            return
        if self._tokens < 1:
            wait_s = str(int((1 - self._tokens) / TOKENS_A_SECOND) + 1)
            raise ApiError(
                429, "rate_limit", "Your account reached the API rate limit", headers={"Retry-After": wait_s}
            )
        self._tokens -= 1
        self.platform.calls_left = int(self._tokens)

    def _check(self, request: Request, raw: bytes, body: Any) -> None:
        method, path = request.method, request.url.path
        if raw and isinstance(body, int) and not raw.strip().isdigit():
            wrong = "the body is not JSON"
        elif raw and "application/json" not in request.headers.get("content-type", ""):
            wrong = "a body without Content-Type: application/json"
        else:
            wrong = published().check_request(method, path, _without_images(request, body))
        if wrong is None:
            return
        self.violations.append(f"{method} {path}: {wrong}")
        if self.options.strict and wrong != NO_LINK:
            if wrong == "the body is not JSON":
                raise ApiError(400, "bad_request", "Unable to parse the JSON request.")
            raise ApiError(422, "invalid_params", f"Invalid parameters: {wrong}")

    def _check_answer(self, request: Request, response: Response) -> None:
        if not 200 <= response.status_code < 300 or not published().links(request.method, request.url.path):
            return
        wrong = published().check_answer(request.method, request.url.path, json.loads(response.body or b"{}"))
        if wrong is not None:
            self.off_schema.append(f"{request.method} {request.url.path}: {wrong}")


def _decoded(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return len(raw)


def _without_images(request: Request, body: Any) -> Any:
    """The body as the schema knows it: images of a formation are in a variant of the API that was never published."""
    if ".docker-releases" not in request.headers.get("accept", "") or not isinstance(body, dict):
        return body
    updates = body.get("updates")
    if not isinstance(updates, list):
        return body
    plain = [{k: v for k, v in one.items() if k != "docker_image"} if isinstance(one, dict) else one for one in updates]
    return {**body, "updates": plain}


def _token(header: str) -> str | None:
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[2]
        except ValueError:
            return None
    return None
