"""An answer in one message and one write: an extension of ASGI that our own protocol offers to our own endpoints.

uvicorn writes the head and the body of an answer by themselves, and looks through every header for what no header may
hold. For a small answer that costs more than making it. Under another server, or a test's client, nothing changes.
"""

from typing import TYPE_CHECKING

from starlette.types import Message, Scope, Send

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

WHOLE = "aweigh.http.response"
EXTENSIONS: dict[str, dict[object, object]] = {WHOLE: {}}
"""What a scope says under ``extensions`` when it takes such a message: that of ``http.response.start`` with a body."""

STARTS = frozenset({"http.response.start", WHOLE})
"""Messages that hold a status and headers."""


async def send_whole(scope: Scope, send: Send, *, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """Sends an answer to anything but HEAD; ``headers`` hold its length."""
    if WHOLE in scope.get("extensions", ()):
        await send({"type": WHOLE, "status": status, "headers": headers, "body": body})
        return
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def write_whole(cycle: "RequestResponseCycle", message: Message, *, status_line: bytes) -> None:
    """What uvicorn's own ``send`` does with the two messages, in one go.

    Raises:
        RuntimeError: a header holds a line break, or the answer has begun.
    """
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected:
        return
    lines = [status_line]
    for name, value in (*cycle.default_headers, *message["headers"]):
        lines += (name, b": ", value, b"\r\n")
    if not cycle.keep_alive:
        lines.append(b"connection: close\r\n")
    lines.append(b"\r\n")
    head = b"".join(lines)
    if head.count(b"\n") != len(lines) // 4 + 2 + (not cycle.keep_alive) or cycle.response_started:
        msg = "a header of the answer holds a line break, or there are two answers"
        raise RuntimeError(msg)
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(head + message["body"])
    cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
