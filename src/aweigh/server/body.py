"""The body of a request, read within limits of size and time; and the farewell to a body that is not read."""

import asyncio
from collections.abc import Awaitable, Generator
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from starlette.types import Message, Receive, Scope, Send

from aweigh.errors import AweighError, Busy, MalformedBody, TooLarge
from aweigh.server.problems import PROBLEM_JSON, Refused, document_of, encode, headers_of, status_of
from aweigh.server.settings import Settings
from aweigh.wire.coding import Packing, decompress

LINGER_S = 5.0
LINGER_BYTES = 64 * 2**20
"""How much of a refused body is still taken off the line, unlooked at, so that its sender gets to read the refusal."""

UNPACKING_THREADS = 2
"""How many compressed bodies are unpacked at once: 16 MB take 30 to 50 ms each."""

MOST_PACKED = 64
"""How many compressed bodies may be there for that: they wait a second and a half, whatever they hold."""


class ClientGone(Exception):  # noqa: N818  control flow: nobody is left to be told
    """The client hung up before the body was whole."""


class Unread(AweighError):  # noqa: N818  named as those of errors.py
    """A refusal while the body is still on the line: the connection must end with it. ``error`` is what to tell."""

    def __init__(self, error: AweighError) -> None:
        super().__init__(error.message, hint=error.hint)
        self.error = error


async def read_body(scope: Scope, receive: Receive, *, settings: Settings) -> bytes:
    """The whole body.

    Raises:
        Unread: it is larger than the limit (said so beforehand, or found so while counting), or it came too slowly.
        ClientGone: the client hung up.
    """
    limit = settings.max_body_bytes
    for name, value in scope["headers"]:
        # The server in front has parsed the header: it is a whole number.
        if name == b"content-length" and int(value) > limit:
            raise Unread(_too_large(limit))
    first = begin(receive())
    if not isinstance(first, Begun) and first["type"] == "http.request" and not first.get("more_body", False):
        body: bytes = first.get("body", b"")  # all of it was there: no clock is needed
        if len(body) > limit:
            raise Unread(_too_large(limit))
        return body
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            message = await first if isinstance(first, Begun) else first
            return await _read_rest(message, receive, limit=limit)
    except TimeoutError as error:
        raise Unread(
            Refused("slow_body", f"The body was not whole after {settings.body_timeout_s:g} seconds.")
        ) from error


class Begun:
    """What was awaited, has taken its first step and waits; awaiting this takes the others."""

    def __init__(self, steps: Generator[object, Any, Message], waiting: object) -> None:
        self._steps = steps
        self._waiting = waiting

    def __await__(self) -> Generator[object, Any, Message]:
        """Hands on what is waited for, and gives back what comes of that."""
        waiting = self._waiting
        while True:
            try:
                came = yield waiting
            except BaseException as error:  # noqa: BLE001  a cancellation, too, is for who waits
                step = partial(self._steps.throw, error)
            else:
                step = partial(self._steps.send, came)
            try:
                waiting = step()
            except StopIteration as stop:
                message: Message = stop.value
                return message


def begin(awaited: Awaitable[Message]) -> Message | Begun:
    """Takes the first step of what would be awaited: its result when that was all, as it is of most bodies."""
    steps = awaited.__await__()
    try:
        return Begun(steps, steps.send(None))
    except StopIteration as stop:
        message: Message = stop.value
        return message


async def _read_rest(message: Message, receive: Receive, *, limit: int) -> bytes:
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        size_bytes += len(parts[-1])
        if size_bytes > limit:
            raise Unread(_too_large(limit))
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit:,} bytes.", hint="send fewer rows at a time")


async def refuse_unread(
    error: AweighError, scope: Scope, receive: Receive, send: Send, *, media: bytes = PROBLEM_JSON, body: bytes = b""
) -> None:
    """Tells the error, then ends the connection.

    Closing at once with bytes unread would reset the connection, and the client would lose the answer: so a little
    more is taken off the line first, and thrown away. A client that waits for ``100 Continue`` has sent nothing yet.
    """
    body = body or encode(document_of(error))
    headers = headers_of(error, size_bytes=len(body), media=media)
    waits = any(name == b"expect" for name, _ in scope["headers"])
    await send(
        {"type": "http.response.start", "status": status_of(error), "headers": [*headers, (b"connection", b"close")]}
    )
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if not waits:
        await _linger(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _linger(receive: Receive) -> None:
    left = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_S):
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return


def refuse_encoding(scope: Scope) -> None:
    """Refuses a compressed body: what it holds could be any size.

    Raises:
        Refused: the body is encoded.
    """
    if encoding_of(scope):
        raise Refused(
            "unsupported_media", "A compressed body is not read here.", hint="send it without Content-Encoding"
        )


def encoding_of(scope: Scope) -> bytes:
    """What the body is encoded in, in lower case: nothing where it is sent as it is."""
    said = [value.strip().lower() for name, value in scope["headers"] if name == b"content-encoding"]
    return b", ".join(one for one in said if one not in {b"", b"identity"})


_PACKINGS: dict[bytes, Packing] = {b"gzip": "gzip", b"x-gzip": "gzip", b"deflate": "deflate"}


def packing_of(scope: Scope) -> Packing | None:
    """The coding that the body comes in, where it comes in one that can be unpacked.

    Raises:
        Refused: it comes in another.
    """
    encoding = encoding_of(scope)
    if encoding and encoding not in _PACKINGS:
        raise Refused(
            "unsupported_media", "A body is read here as it is, or in gzip or deflate.", hint="send it in one of these"
        )
    return _PACKINGS.get(encoding)


class Unpacking:
    """Unpacks bodies in a few threads, each no further than the limit for one that is sent as it is."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._threads: anyio.CapacityLimiter | None = None
        self._held = 0

    async def __call__(self, body: bytes, packing: Packing) -> bytes:
        """The body as it was before.

        Raises:
            TooLarge: it is larger than the limit.
            MalformedBody: it is not in that coding.
            Busy: too many wait already.
        """
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(UNPACKING_THREADS)
        if self._held >= MOST_PACKED:
            raise Busy(retry_after_s=2)
        work = partial(decompress, body, packing, most_bytes=self._limit)
        self._held += 1
        try:
            found = await anyio.to_thread.run_sync(work, limiter=self._threads)
        except ValueError as error:
            raise MalformedBody(
                f"The body is not whole, or not in {packing}, as its Content-Encoding says.",
                hint=f"send one {packing} stream and nothing behind it, or the body as it is",
            ) from error
        finally:
            self._held -= 1
        if found is None:
            raise _too_large(self._limit)
        return found
