"""What a measured process is asked: pages, sessions over WebSockets, golden rows; and how long each answer takes."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from aweigh.targets.doctor.websocket import BINARY, CLOSE, PING, Refused, WebSocket

SESSIONS = 4
"""People who have the app open at once."""
PAGES = 20
CONNECTIONS = 4
REQUESTS = 25
"""Of golden rows, on each connection."""
STREAMS = ("/_stcore/stream", "/stream")
"""Where Streamlit's session is: today, and before 1.12.1."""
_RERUN = b"\x5a\x00"
"""A BackMsg whose field 11, rerun_script, is empty: run the page."""
_FINISHED = 6
"""The field of a ForwardMsg that says that the script is done."""
_EXCEPTION = (5, 3, 8)
"""Of a ForwardMsg the delta, of that the new element, of that the exception, whose fields are its type and message."""
SERVER_ERROR = 500
READY, NOT_READY = "/health/ready", 503
READY_S, READY_TICK_S = 10.0, 0.1


@dataclass(slots=True)
class Asked:
    """What was asked so far: how often, the slowest answer and to what, answers that were failures, seconds to a ping.

    ``ping_s`` is None where the server said nothing by itself in the time that it was listened to. ``streams`` tells
    whether it speaks Streamlit's WebSocket at all.
    """

    requests: int = 0
    slowest_s: float = 0.0
    slowest: str = ""
    failures: list[str] = field(default_factory=list)
    exception: str = ""
    """What the page itself showed in place of what it should, or nothing."""
    streams: bool = False
    ping_s: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def took(self, what: str, seconds: float) -> None:
        """One more answer."""
        with self.lock:
            self.requests += 1
            if seconds > self.slowest_s:
                self.slowest_s, self.slowest = seconds, what

    def failed(self, what: str) -> None:
        """One that was none."""
        with self.lock:
            if len(self.failures) < 5:
                self.failures.append(what)


def await_ready(port: int, *, seconds: float) -> None:
    """Waits while the server itself says that it is not ready: one of aweigh's listens before its app answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_S)
        try:
            connection.request("GET", READY)
            if connection.getresponse().status != NOT_READY:
                return
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()
        time.sleep(READY_TICK_S)


def ask_pages(port: int, asked: Asked, *, first_byte_s: float, path: str = "/", count: int = PAGES) -> None:
    """The page itself, again and again."""
    for _ in range(count):
        _request(port, "GET", path, asked, timeout_s=first_byte_s * 1.5)


def ask_rows(port: int, asked: Asked, *, rows: Sequence[dict[str, object]], first_byte_s: float) -> None:
    """Golden rows: each alone, and all at once, on several connections together."""
    bodies = [msgspec.json.encode({"rows": [row]}) for row in rows[:REQUESTS]] + [
        msgspec.json.encode({"rows": list(rows)})
    ]

    def send() -> None:
        for body in bodies:
            _request(port, "POST", "/v1/predict", asked, body=body, timeout_s=first_byte_s * 1.5)

    _together([send] * CONNECTIONS)


def open_sessions(port: int, asked: Asked, *, first_byte_s: float, count: int = SESSIONS) -> None:
    """People who open the app at once: each a page and a session, in which the script runs to its end."""

    def visit() -> None:
        ask_pages(port, asked, first_byte_s=first_byte_s, count=1)
        begun = time.monotonic()
        try:
            with _stream(port, timeout_s=first_byte_s * 1.5) as session:
                asked.streams = True
                session.send(_RERUN)
                _until_finished(session, asked, end=begun + first_byte_s * 2)
            asked.took("a session's first run of the script", time.monotonic() - begun)
        except Refused:
            return
        except OSError as error:
            asked.failed(f"a session broke off: {error}")

    _together([visit] * count)


def await_ping(port: int, asked: Asked, *, idle_s: float) -> None:
    """Sits still in a session for as long as the router would, and notes when the server says something by itself."""
    try:
        with _stream(port, timeout_s=idle_s) as session:
            asked.streams = True
            session.send(_RERUN)
            quiet = time.monotonic()
            while time.monotonic() - quiet < idle_s:
                frame = session.receive(until=quiet + idle_s)
                if frame is None:
                    return
                if frame.opcode == PING:
                    asked.ping_s = time.monotonic() - quiet
                    return
                if frame.opcode == CLOSE:
                    return
                quiet = time.monotonic()
    except (Refused, OSError):
        return


def _stream(port: int, *, timeout_s: float) -> WebSocket:
    for path in STREAMS[:-1]:
        with suppress(Refused):
            return WebSocket(port, path, timeout_s=timeout_s)
    return WebSocket(port, STREAMS[-1], timeout_s=timeout_s)


def _until_finished(session: WebSocket, asked: Asked, *, end: float) -> None:
    while time.monotonic() < end:
        frame = session.receive(until=end)
        if frame is None:
            raise TimeoutError("the script did not end in time")
        if frame.opcode == CLOSE:
            raise ConnectionError("the server has ended it")
        if frame.opcode == BINARY:
            asked.exception = asked.exception or exception_in(bytes(frame.data))
            if any(number == _FINISHED for number, _ in fields_of(bytes(frame.data))):
                return


def fields_of(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message in protobuf's wire form, numbers as no bytes; of noise, up to where it breaks."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, content = tag & 7, b""
        if kind == 0:
            _, at = _varint(message, at)
        elif kind == 2:
            size, at = _varint(message, at)
            content, at = message[at : at + size], at + size
        elif kind in {1, 5}:
            at += 8 if kind == 1 else 4
        else:
            return
        yield tag >> 3, content


def exception_in(message: bytes) -> str:
    """The exception that a ForwardMsg shows in the page, as ``KeyError: 'a'``; empty where it shows none."""
    contents = [message]
    for number in _EXCEPTION:
        contents = [content for one in contents for field, content in fields_of(one) if field == number]
    for one in contents:
        told = {number: content.decode("utf-8", "replace") for number, content in fields_of(one)}
        return f"{told.get(1, 'Exception')}: {told.get(2, '')}".splitlines()[0][:200]
    return ""


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 or shift > 63:
            break
    return value, at


def _request(
    port: int, method: str, path: str, asked: Asked, *, body: bytes | None = None, timeout_s: float = 45.0
) -> None:
    """One request; the time to the first byte of its answer is what the router counts."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    begun = time.monotonic()
    try:
        connection.request(method, path, body=body, headers={"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        asked.took(f"{method} {path}", time.monotonic() - begun)
        answer.read()
        if answer.status >= SERVER_ERROR:
            asked.failed(f"{method} {path}: {answer.status}")
    except TimeoutError:
        asked.took(f"{method} {path}", time.monotonic() - begun)
    except (OSError, http.client.HTTPException) as error:
        asked.failed(f"{method} {path}: {type(error).__name__}")
    finally:
        connection.close()


def _together(works: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
