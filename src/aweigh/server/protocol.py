"""uvicorn's HTTP protocol with bounds on a request's head, and with an end that no client notices.

uvicorn itself takes headers of any size, for any time, and drops idle connections when it is to stop.
"""

import asyncio
from functools import partial
from typing import Any

from uvicorn._types import ASGI3Application, ASGISendCallable
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from aweigh.server.problems import PROBLEM_JSON, Refused, document_of, encode, headers_of, status_of
from aweigh.server.whole import EXTENSIONS, WHOLE, write_whole

MAX_HEAD_BYTES = 64 * 1024
"""The request line and the headers together; a chunk of the body that came with them counts as well."""

HEAD_TIMEOUT_S = 15.0
"""How long a connection may take to say what it wants, from its first byte or from when it was opened."""


class Connections(ServerState):
    """All connections of a server; ``closing``: every answer is the last on its connection.

    ``heads`` is what the lane knows of heads that were parsed before, whichever connection they came by. ``speaker`` is
    the connection that something came by last, and by it alone since ``alone_since_s``, of the event loop's time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.closing = False
        self.heads: dict[bytes, Any] = {}
        self.speaker: object = None
        self.alone_since_s = 0.0


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _parting: RequestResponseCycle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock: a connection that says nothing is closed."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows it itself
        self._in_head = True
        self._begun = False
        self._head_bytes = self._body_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(HEAD_TIMEOUT_S, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = EXTENSIONS
        self.begin_head()

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self.end_head()
        super().on_headers_complete()
        if self.server_state.closing:  # type: ignore[attr-defined]  # it is a Connections
            self._part()

    def begin_head(self) -> None:
        """The bytes that come now are a head's."""
        self._in_head = self._begun = True
        self._head_bytes = 0

    def end_head(self) -> None:
        """They are a body's."""
        self._in_head = False
        self._body_bytes = 0
        self._stop_clock()

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way; one may have begun to arrive."""
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    def shutdown(self) -> None:
        """The server is to stop: the answer under way is the last one."""
        self._part()

    def close_if_idle(self) -> None:
        """Close, unless a request is under way or has begun to arrive."""
        if self.is_idle and not (self._in_head and self._head_bytes):
            self.transport.close()

    def _part(self) -> None:
        """Ask the client with the next answer to come by another connection, after what it has sent ahead."""
        cycle = self.cycle
        if cycle is None or cycle.response_started or not cycle.keep_alive:
            return
        if self._parting is not None and not self._parting.response_started:
            self._parting.keep_alive = True
        self._parting = cycle
        cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Begin with a request; its answer may come in one message."""
        cycle.send = partial(_send, cycle)  # type: ignore[method-assign]
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """Bytes came; those of a head that is not whole yet are counted and timed."""
        if self._refused:
            return
        self._begun = False
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head_bytes += self._behind_others(data) if self._begun else len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(_too_large())
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._too_slow)

    def _behind_others(self, data: bytes) -> int:
        """How much of what came belongs to the head that began in it: all that is behind the request before it."""
        at = data.rfind(b"\r\n\r\n")
        return len(data) if at < 0 else max(0, len(data) - at - 4 - self._body_bytes)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection on to the WebSocket's protocol, if its head can be that of one."""
        fault = self._fault_of_upgrade()
        if fault is None:
            super().handle_websocket_upgrade()
        else:
            self._refuse(fault)

    def _fault_of_upgrade(self) -> Refused | None:
        if not self.is_idle:
            return Refused("malformed_request", "A WebSocket is asked for when what was asked before is answered.")
        if self.scope["method"] != "GET":
            return Refused("malformed_request", "A WebSocket is asked for with GET.")
        if any(name in {b"content-length", b"transfer-encoding"} for name, _ in self.headers):
            return Refused("malformed_request", "A request for a WebSocket has no body.")
        lines_bytes = [len(name) + len(value) + len(b": \r\n") for name, value in self.headers]
        if len(self.url) + sum(lines_bytes) > MAX_HEAD_BYTES:
            return _too_large()
        return None

    def _unsupported_upgrade_warning(self) -> None:
        """Another protocol is asked for: the answer is HTTP's, and the last one, as nothing more is parsed."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of a body came."""
        self._body_bytes += len(body)
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP."""
        self._refuse(Refused("malformed_request", msg))

    def _stop_clock(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self._head_bytes:
            self.transport.close()
        else:
            self._refuse(Refused("slow_body", "The request's headers did not arrive in time."))

    def _refuse(self, error: Refused) -> None:
        """Refuse what came, and close; after the answers to what came before, or it would be taken for one of them."""
        self._stop_clock()
        if self.transport.is_closing() or self._refused:
            return
        self._refused = True
        cycle = self.cycle
        if self.pipeline and cycle.more_body:  # broken in its body, before anybody has begun with it
            self.pipeline[0] = (cycle, _refusing(error))
        elif cycle is not None and not cycle.response_complete and not cycle.more_body:
            self.pipeline.appendleft((self._nobodys_cycle(), _refusing(error)))
        else:
            self._write_refusal(error)

    def _nobodys_cycle(self) -> RequestResponseCycle:
        """The answer to what is no request."""
        return RequestResponseCycle(
            scope={"type": "http", "method": "GET"},  # type: ignore[typeddict-item]  # all that is looked at
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )

    def _write_refusal(self, error: Refused) -> None:
        body = encode(document_of(error))
        headers = [*headers_of(error, size_bytes=len(body), media=PROBLEM_JSON), (b"connection", b"close")]
        # The date, too: it must not show which way the request was going.
        lines = [name + b": " + value + b"\r\n" for name, value in (*self.server_state.default_headers, *headers)]
        self.transport.write(b"".join([STATUS_LINE[status_of(error)], *lines, b"\r\n", body]))
        self.transport.close()


def _too_large() -> Refused:
    return Refused("head_too_large", "The address and headers are too large.")


async def _send(cycle: RequestResponseCycle, message: Any) -> None:
    if message["type"] == WHOLE:
        await write_whole(cycle, message, status_line=STATUS_LINE[message["status"]])
    else:
        await RequestResponseCycle.send(cycle, message)


def _refusing(error: Refused) -> ASGI3Application:
    """An app that refuses, for the place in line of a request that could not be read."""

    async def app(scope: object, receive: object, send: ASGISendCallable) -> None:
        del scope, receive
        body = encode(document_of(error))
        headers = [*headers_of(error, size_bytes=len(body), media=PROBLEM_JSON), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status_of(error), "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return app
