"""The lane: requests that are answered where their last byte is read, in one write.

A cycle, a task and its messages cost about 30 microseconds a small request, more than parsing it and asking a model
together; handing a large one to a thread costs ten times that. So the gate names the addresses that have a lane; a
request to one of them is held until it is whole, and then answered with one call. Whatever is not plain (another
method, a slow body, requests sent ahead of a slow one, a server about to stop) and whatever the lane itself declines
goes the ordinary way, to the same answer. So do large requests, unless nobody else asks the process for anything: then
nobody waits while they are answered.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from aweigh.server.pace import ALONE_AFTER_S, ALONE_BYTES
from aweigh.server.protocol import BoundedProtocol

Lane = Callable[[Mapping[bytes, bytes], bytes], tuple[int, bytes] | None]
"""From a request's headers, none of them there twice, and its whole body to its answer: the status, and header lines,
an empty line, the body. None: the ordinary way is to answer, or to say what is wrong. It raises nothing."""

INLINE_BYTES = 16 * 1024
"""Bodies up to here are answered on the event loop: a few dozen rows, well under a millisecond of parsing."""

HOLD_S = 0.1
"""A request that is not whole so long after its head goes the ordinary way, which has clocks for slow bodies. Most
clients write head and body one after the other: the body arrives within microseconds, or, from those that leave
Nagle's algorithm on, with the acknowledgement that is delayed by 40 ms."""

MOST_HEADS, LONGEST_HEAD_BYTES = 512, 2048
"""So many heads that were parsed before are kept, of at most so many bytes: a client's differ in the body's length."""

_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Known:
    """What the parser made of a head: whoever sends the same bytes, followed by as long a body, has said the same."""

    lane: Lane
    headers: Mapping[bytes, bytes]
    body_bytes: int


class LaneProtocol(BoundedProtocol):
    """One connection, with the lanes that the app has (``app.lanes``, by the address as it stands in the request)."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._lanes: Mapping[bytes, Lane] = getattr(self.app, "lanes", {})
        self._heads: dict[bytes, Known] = self.server_state.heads  # type: ignore[attr-defined]  # it is a Connections
        self._lane: Lane | None = None
        self._held: bytes | list[bytes] = b""
        self._hold_timer: asyncio.TimerHandle | None = None
        self._between = True
        self._arrived = b""
        self._used_s = 0.0
        self._dated: tuple[object, bytes] = (None, b"")

    # -- what the parser says ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins; what ASGI is to be told of it is written down when it goes the ordinary way."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._between = False
        self.begin_head()

    def on_headers_complete(self) -> None:
        """Its head is whole: hold it, or begin."""
        lane = self._lanes.get(self.url)
        if lane is None or not self._may_hold():
            self._begin()
            return
        self.end_head()
        self._lane = lane
        self._held = b""

    def on_body(self, body: bytes) -> None:
        """A part of its body came."""
        if self._lane is None:
            super().on_body(body)
            return
        self._body_bytes += len(body)
        held = self._held
        if not held:
            self._held = body
        elif isinstance(held, list):
            held.append(body)
        else:  # a body in many pieces is not copied with each of them
            self._held = [held, body]
        if self._body_bytes > INLINE_BYTES and (self._body_bytes > ALONE_BYTES or not self._is_alone()):
            self.release()

    def on_message_complete(self) -> None:
        """It is whole: answer it, when it was held until now."""
        self._between = True
        lane = self._lane
        if lane is None:
            super().on_message_complete()
            return
        headers, body = dict(self.headers), _whole(self._held)
        answer = lane(headers, body) if len(headers) == len(self.headers) else None
        if answer is None:
            self.release()
            super().on_message_complete()
            return
        self._lane = None
        self._held = b""
        self._write(answer)
        if self._body_bytes > INLINE_BYTES:
            return
        head, _, rest = self._arrived.partition(_END)
        if rest == body and len(head) <= LONGEST_HEAD_BYTES:
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            self._heads[head] = Known(lane, headers, len(body))

    def _write(self, answer: tuple[int, bytes]) -> None:
        status, rest = answer
        self.transport.write(b"%b%b%b" % (STATUS_LINE[status], self._default_lines(), rest))
        self.server_state.total_requests += 1
        self._used_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._await_next(self.timeout_keep_alive)

    def _answer_known(self, data: bytes) -> bool:
        """Answers a request that came in one piece with a head that was parsed before; False: it is none, or not plain.

        The parser stands between two requests and is told nothing of this one.
        """
        head, _, body = data.partition(_END)
        known = self._heads.get(head)
        if known is None or known.body_bytes != len(body) or not self._is_free():
            return False
        answer = known.lane(known.headers, body)
        if answer is None:
            return False
        if self._in_head:  # the connection is new
            self.end_head()
        self._write(answer)
        return True

    # -- holding -----------------------------------------------------------------------------------------------------

    def _may_hold(self) -> bool:
        """Whether the request is a plain one that nothing stands in front of."""
        parser = self.parser
        return (
            self._is_free()
            and not self.expect_100_continue
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
        )

    def _is_alone(self) -> bool:
        """Whether nobody else has asked for anything lately, nor has a page of the app open."""
        state = self.server_state
        return (
            self.loop.time() - state.alone_since_s > ALONE_AFTER_S  # type: ignore[attr-defined]  # it is a Connections
            and all(isinstance(one, LaneProtocol) for one in self.connections)
        )

    def _is_free(self) -> bool:
        """Whether an answer may be written now: no other is under way, and the client reads what it is sent."""
        cycle = self.cycle
        return (
            (cycle is None or cycle.response_complete)
            and not self.pipeline
            and not self.flow.write_paused
            and not self.server_state.closing  # type: ignore[attr-defined]  # it is a Connections
            and not self._refused
            and not self.transport.is_closing()
        )

    def _begin(self) -> None:
        """The ordinary way: what uvicorn does with a request from its first byte on."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)  # the list that the scope holds
        self._unset_keepalive_if_required()
        super().on_headers_complete()

    def release(self) -> None:
        """Sends a request that is held on the ordinary way."""
        if self._lane is None:
            return
        held, self._lane, self._held = _whole(self._held), None, b""
        self._begin()
        if held:
            super().on_body(held)

    def _release_late(self) -> None:
        self._hold_timer = None
        self.release()

    def _default_lines(self) -> bytes:
        """The headers of every answer, the date for one; uvicorn makes a new list of them every second."""
        headers = self.server_state.default_headers
        if self._dated[0] is not headers:
            self._dated = (headers, b"".join([b"%b: %b\r\n" % one for one in headers]))
        return self._dated[1]

    # -- the connection ----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        state = self.server_state
        if state.speaker is not self:  # type: ignore[attr-defined]  # it is a Connections
            state.speaker = self  # type: ignore[attr-defined]
            state.alone_since_s = self.loop.time()  # type: ignore[attr-defined]
        if self._between and self._answer_known(data):
            return
        self._arrived = data if self._between else b""
        super().data_received(data)
        self._arrived = b""
        if self._lane is not None:
            if self._hold_timer is None:
                self._hold_timer = self.loop.call_later(HOLD_S, self._release_late)
        elif self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None
        self._await_request()

    def _await_request(self) -> None:
        """Bytes that begin no request (empty lines, a body that nobody reads any more) keep no connection open."""
        if (
            self._used_s
            and self.timeout_keep_alive_task is None
            and self._lane is None
            and not self._in_head
            and self.is_idle
            and self in self.connections
        ):
            self._await_next(max(0.0, self._used_s + self.timeout_keep_alive - self.loop.time()))

    def on_response_complete(self) -> None:
        """An answer is written; the next request is waited for."""
        self._used_s = self.loop.time()
        super().on_response_complete()

    def _await_next(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that is not used any more; a timer for each answer would cost more than looking once."""
        self.timeout_keep_alive_task = None
        left_s = self._used_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._await_next(left_s)
        elif self.is_idle and self in self.connections:  # it is no WebSocket by now
            super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is left who could be answered."""
        if self.server_state.speaker is self:  # type: ignore[attr-defined]  # it is a Connections
            self.server_state.speaker = None
        self._lane = None
        if self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server is to stop: what is held is under way."""
        self.release()
        super().shutdown()

    def close_if_idle(self) -> None:
        """Close, unless a request is under way or has begun to arrive."""
        self.release()
        super().close_if_idle()

    def _refuse(self, error: Any) -> None:
        """Refuse what came; a request that is broken in its body has begun."""
        self.release()
        super()._refuse(error)


def _whole(held: bytes | list[bytes]) -> bytes:
    return b"".join(held) if isinstance(held, list) else held
