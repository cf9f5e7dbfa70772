"""The way from an app's address to one of its web dynos.

It is like Heroku's in this: a dyno is chosen by chance, or by the cookie of http-session-affinity; a request waits for
a dyno that boots; the first byte has to come within 30 s (H12, the dyno goes on), and then something every 55 s in
either direction (H15), WebSockets included; ``X-Forwarded-*`` are added; what fails is a 503 and a line of the log.
It is unlike Heroku's in this: each app has a port of its own instead of a name, and each connection carries one
request.
"""

import asyncio
import contextlib
import random
import re
import time
import uuid
from dataclasses import dataclass, field

from tests.heroku.dynos import Dyno
from tests.heroku.options import Options
from tests.heroku.state import App

MOST_HEAD_BYTES = 64 * 1024
COOKIE = "heroku-session-affinity"
WAIT_S = 75.0
PAGE = (
    "<!DOCTYPE html>\n<html><head><title>Application error</title></head><body><h1>Application error</h1>"
    "<p>An error occurred in the application and your page could not be served.</p></body></html>\n"
)
DESCRIPTIONS = {
    "H10": "App crashed",
    "H12": "Request timeout",
    "H13": "Connection closed without response",
    "H14": "No web processes running",
    "H15": "Idle connection",
    "H18": "Server Request Interrupted",
    "H20": "App boot timeout",
    "H21": "Backend connection refused",
    "H80": "Maintenance mode",
    "H99": "Platform error",
}


@dataclass(slots=True)
class _Call:
    """A request on its way, with what its line of the log says."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    peer: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    began: float = field(default_factory=time.monotonic)
    dyno: str = ""
    status: int = 503
    sent_bytes: int = 0

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    def line(self, code: str | None) -> str:
        error = f'at=error code={code} desc="{DESCRIPTIONS[code]}"' if code else "at=info"
        taken_ms = int((time.monotonic() - self.began) * 1000)
        return (
            f'{error} method={self.method} path="{self.target}" host={self.header("host")} request_id={self.id} '
            f'fwd="{self.peer}" dyno={self.dyno} connect=0ms service={taken_ms}ms status={self.status} '
            f"bytes={self.sent_bytes or ''} protocol=http"
        )


class _Refused(Exception):
    """The router's own answer, by its code."""


class Router:
    """The router of one app."""

    def __init__(self, app: App, options: Options) -> None:
        self._app = app
        self._options = options

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one request."""
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self._options.idle_s)
            call = _read(head, writer.get_extra_info("peername")[0])
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError, OSError):
            writer.close()
            return
        code = None
        try:
            await self._carry(call, reader, writer)
        except _Refused as refused:
            code = str(refused)
            if code != "H15":
                with contextlib.suppress(OSError):
                    writer.write(_page(call))
                    await writer.drain()
        except OSError:
            pass
        finally:
            self._app.log.add("heroku", "router", call.line(code))
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _carry(self, call: _Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dyno, sticky = await self._choose(call)
        call.dyno = dyno.name
        try:
            back, out = await asyncio.open_connection("127.0.0.1", dyno.port, limit=MOST_HEAD_BYTES)
        except OSError:
            raise _Refused("H21") from None
        moved = [time.monotonic()]
        upward = asyncio.create_task(_pipe(reader, out, moved, call=None))
        try:
            out.write(self._forward(call))
            head = await self._first(back, upward, moved)
            call.status = int(head.split(b" ", 2)[1])
            while call.status == 100:
                writer.write(head)
                head = await self._first(back, upward, moved)
                call.status = int(head.split(b" ", 2)[1])
            if sticky:
                head = head[:-2] + f"Set-Cookie: {COOKIE}={dyno.id}; Path=/; HttpOnly\r\n\r\n".encode()
            head = head[:-2] + b"Via: 1.1 heroku-router\r\n\r\n"
            writer.write(head)
            await self._both(asyncio.create_task(_pipe(back, writer, moved, call=call)), upward, moved, call)
        finally:
            upward.cancel()
            out.close()

    async def _first(self, back: asyncio.StreamReader, upward: "asyncio.Task[None]", moved: list[float]) -> bytes:
        reading = asyncio.create_task(back.readuntil(b"\r\n\r\n"))
        try:
            while not reading.done():
                left_s = moved[0] + self._options.first_byte_s - time.monotonic()
                if left_s <= 0:
                    raise _Refused("H12")
                await asyncio.wait(
                    [reading] if upward.done() else [reading, upward],
                    timeout=min(left_s, 1.0),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if upward.done() and not reading.done():
                    raise OSError("the client went away")
            return reading.result()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise _Refused("H13") from None
        finally:
            reading.cancel()

    async def _both(
        self, downward: "asyncio.Task[None]", upward: "asyncio.Task[None]", moved: list[float], call: _Call
    ) -> None:
        try:
            while not downward.done() and not upward.done():
                left_s = moved[0] + self._options.idle_s - time.monotonic()
                if left_s <= 0:
                    call.status = call.status if call.status != 503 else 504
                    raise _Refused("H15")
                await asyncio.wait([downward, upward], timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            downward.cancel()

    async def _choose(self, call: _Call) -> tuple[Dyno, bool]:
        if self._app.maintenance:
            raise _Refused("H80")
        end = time.monotonic() + WAIT_S
        while True:
            web = [dyno for dyno in self._app.dynos if dyno.type == "web"]
            up = [dyno for dyno in web if dyno.state == "up"]
            if not web:
                raise _Refused("H14")
            if up:
                break
            if not any(dyno.state == "starting" for dyno in web):
                raise _Refused("H10")
            if time.monotonic() > end:
                raise _Refused("H20")
            await asyncio.sleep(0.02)
        if not self._app.features.get("http-session-affinity"):
            return random.choice(up), False
        wanted = re.search(rf"(?:^|;\s*){COOKIE}=([^;]+)", call.header("cookie"))
        for dyno in up:
            if wanted is not None and dyno.id == wanted[1]:
                return dyno, False
        return random.choice(up), True

    def _forward(self, call: _Call) -> bytes:
        upgrade = "upgrade" in call.header("connection").lower()
        dropped = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-request-id", "x-request-start", "via"}
        if not upgrade:
            dropped |= {"connection", "keep-alive"}
        before = call.header("x-forwarded-for")
        port = "443" if self._options.proto == "https" else str(self._app.port)
        headers = [(name, value) for name, value in call.headers if name.lower() not in dropped]
        headers += [
            ("X-Forwarded-For", f"{before}, {call.peer}" if before else call.peer),
            ("X-Forwarded-Proto", self._options.proto),
            ("X-Forwarded-Port", port),
            ("X-Request-Id", call.id),
            ("X-Request-Start", str(int(time.time() * 1000))),
            ("Via", "1.1 heroku-router"),
        ]
        if not upgrade:
            headers.append(("Connection", "close"))
        lines = [f"{call.method} {call.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
        return "\r\n".join(lines).encode("latin-1")


def _read(head: bytes, peer: str) -> _Call:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines if line)]
    call = _Call(method, target, headers, peer)
    given = call.header("x-request-id")
    call.id = given if re.fullmatch(r"[\w-]{20,200}", given) else call.id
    return call


def _page(call: _Call) -> bytes:
    body = PAGE.encode()
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nServer: heroku-router\r\n"
        f"Cache-Control: no-cache, no-store\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + (b"" if call.method == "HEAD" else body)


async def _pipe(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moved: list[float], *, call: _Call | None
) -> None:
    """Carry bytes one way until that side ends."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            moved[0] = time.monotonic()
            writer.write(chunk)
            await writer.drain()
            if call is not None:
                call.sent_bytes += len(chunk)
