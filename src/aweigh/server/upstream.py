"""HTTP to another process over its unix socket: connections that are kept, and the answer as it comes."""

import asyncio
import contextlib
import select
import time
from dataclasses import dataclass

import httptools
from starlette.types import Receive, Scope, Send

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

TURNS = 5
"""Turns of the event loop in which an answer is taken from the socket, read and handed on."""

READ_BYTES = 64 * 1024
MOST_KEPT = 16
KEPT_S = 30.0
"""Well under the 65 s after which the other side closes an idle connection."""


@dataclass(slots=True)
class Link:
    """A connection; ``used`` before or new."""

    path: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False
    idle_since: float = 0.0


class Links:
    """Connections to the processes of the app, kept for the next request."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Link]] = {}

    async def open(self, path: str, *, fresh: bool) -> Link:
        """A connection to whoever listens at the path; ``fresh``: one that nobody has used.

        Raises:
            OSError: nobody does.
        """
        kept = self._kept.get(path, [])
        while kept and not fresh:
            link = kept.pop()
            if link.reader.at_eof() or link.writer.is_closing() or time.monotonic() - link.idle_since > KEPT_S:
                link.writer.close()
                continue
            return link
        reader, writer = await asyncio.open_unix_connection(path)
        return Link(path, reader, writer)

    def keep(self, link: Link) -> None:
        """Keep the connection for another request."""
        kept = self._kept.setdefault(link.path, [])
        if len(kept) >= MOST_KEPT:
            link.writer.close()
            return
        link.used, link.idle_since = True, time.monotonic()
        kept.append(link)

    async def close(self) -> None:
        """Close all that are kept."""
        for link in [link for kept in self._kept.values() for link in kept]:
            link.writer.close()
            with contextlib.suppress(OSError):
                await link.writer.wait_closed()
        self._kept.clear()


def target_of(scope: Scope) -> bytes:
    """Path and query as the client wrote them."""
    query: bytes = scope.get("query_string", b"")
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path + (b"?" + query if query else b"")


def request_head(scope: Scope, *, keep: bool, chunked: bool) -> bytes:
    """The head of the request for the other process."""
    lines = [scope["method"].encode() + b" " + target_of(scope) + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in scope["headers"] if name not in HOP_BY_HOP and name != b"expect"]
    if not keep:
        lines.append(b"connection: close")
    if chunked:
        lines.append(b"transfer-encoding: chunked")
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def pump(receive: Receive, writer: asyncio.StreamWriter, *, chunked: bool, has_body: bool) -> None:
    """The request's body to the other process; then waits for the client to hang up, and hangs up there too.

    Raises:
        OSError: the other process takes no more of it: it may well have answered already.
    """
    more = has_body
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            writer.transport.abort()
            return
        if not more:
            continue
        if _has_answered(writer):
            for _ in range(TURNS):  # to be read first: writing to who has left would lose it
                await asyncio.sleep(0)
        body = message.get("body", b"")
        more = message.get("more_body", False)
        if chunked:
            writer.write(b"%x\r\n%b\r\n" % (len(body), body) if body else b"")
            if not more:
                writer.write(b"0\r\n\r\n")
        else:
            writer.write(body)
        await writer.drain()


def _has_answered(writer: asyncio.StreamWriter) -> bool:
    """Whether something has come from the other side that the event loop has not taken yet."""
    poller = select.poll()
    poller.register(writer.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poller.poll(0))


def has_hung_up(body: "asyncio.Task[None]") -> bool:
    """Whether the client has, by what became of the task that sends its body."""
    return body.done() and not body.cancelled() and body.exception() is None


class Reply:
    """The other process's answer, handed on piece by piece as it comes.

    ``dropped`` are headers that are added to every answer on the way out anyway; ``cookie`` is one more to set, unless
    the answer may be kept for others. ``started`` and ``done`` say how far it has come, ``may_go_on`` whether the
    connection can take another request when it is done.
    """

    def __init__(
        self, send: Send, *, bodiless: bool, dropped: frozenset[tuple[bytes, bytes]], cookie: bytes | None
    ) -> None:
        self._send = send
        self._bodiless = bodiless
        self._dropped = dropped
        self._cookie = cookie
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._head_done = False
        self.done = False
        self.started = False
        self.may_go_on = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools read a header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """httptools read the whole head."""
        self._head_done = True
        self.may_go_on = self._parser.should_keep_alive()
        self.done = self._bodiless

    def on_body(self, body: bytes) -> None:
        """httptools read a piece of the body."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """httptools read the end."""
        self.done = True

    async def relay(self, reader: asyncio.StreamReader) -> None:
        """Read the answer and hand it on, until it is done or breaks off."""
        while not self.done:
            broken = False
            try:
                data = await reader.read(READ_BYTES)
            except OSError:
                # A write that failed ends the connection in asyncio's eyes; what had been read before is still there.
                data, broken = bytes(getattr(reader, "_buffer", b"")), True
            try:
                if data:
                    self._parser.feed_data(data)
            except httptools.HttpParserError:
                break
            await self._forward()
            if broken or not data:
                break

    async def _forward(self) -> None:
        if not self._head_done:
            return
        if not self.started:
            self.started = True
            headers = [
                one
                for one in self._headers
                if one[0] not in HOP_BY_HOP and one[0] != b"date" and one not in self._dropped
            ]
            if self._cookie is not None and not _is_for_all(headers):
                headers.append((b"set-cookie", self._cookie))
            status = self._parser.get_status_code()
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if self._bodiless else b"".join(self._pieces)
        self._pieces.clear()
        if body or self.done:
            await self._send({"type": "http.response.body", "body": body, "more_body": not self.done})


def _is_for_all(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether somebody on the way may keep the answer and give it to other clients."""
    return any(name == b"cache-control" and b"public" in value for name, value in headers)
