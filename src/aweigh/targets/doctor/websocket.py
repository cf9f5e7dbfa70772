"""A WebSocket's client end that tells every frame, pings too: the frames are those of the library ``websockets``."""

import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from aweigh.registry import require

if TYPE_CHECKING:
    from websockets.frames import Frame

BINARY, CLOSE, PING = 2, 8, 9
MOST_FRAME_BYTES = 200_000_000
_PIECE_BYTES = 65_536


class Refused(Exception):  # noqa: N818  what the server did
    """The server speaks no WebSocket there; the message says what it said instead."""


def websockets_client() -> Any:
    """The library's part for clients.

    Raises:
        MissingExtra: it is not installed.
    """
    return require("websockets.client", what="Measuring an app", extra="deploy")


class WebSocket:
    """A connection to ``ws://127.0.0.1:PORT/PATH``.

    Raises:
        Refused: the server answers otherwise.
        OSError: it cannot be reached.
        MissingExtra: the library is not installed.
    """

    def __init__(self, port: int, path: str, *, protocol: str = "streamlit", timeout_s: float = 30.0) -> None:
        client = websockets_client()
        from websockets.uri import parse_uri

        address = f"127.0.0.1:{port}"
        self._protocol = client.ClientProtocol(
            parse_uri(f"ws://{address}{path}"),
            origin=f"http://{address}",
            subprotocols=[protocol],
            max_size=MOST_FRAME_BYTES,
        )
        self._events: deque[Any] = deque()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        try:
            self._protocol.send_request(self._protocol.connect())
            self._flush()
            answer = self._next(until=time.monotonic() + timeout_s)
            if answer is None or self._protocol.handshake_exc is not None:
                raise Refused(str(self._protocol.handshake_exc or "no answer to the WebSocket's greeting"))
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, content: bytes) -> None:
        """Send one message of bytes."""
        self._protocol.send_binary(content)
        self._flush()

    def receive(self, *, until: float) -> "Frame | None":
        """The next frame; None where none has come by the time ``until`` (of ``time.monotonic``). Pings are answered.

        Raises:
            OSError: the other side has gone, or sends what is no frame.
        """
        found: Frame | None = self._next(until=until)
        return found

    def _next(self, *, until: float) -> Any:
        while not self._events:
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                piece = self._socket.recv(_PIECE_BYTES)
            except TimeoutError:
                return None
            if piece:
                self._protocol.receive_data(piece)
            else:
                self._protocol.receive_eof()
            self._events.extend(self._protocol.events_received())
            self._flush()
            if not self._events and (not piece or self._protocol.parser_exc is not None):
                if self._protocol.handshake_exc is not None:
                    return None
                raise ConnectionError("the server has closed the connection, or sends what is no frame")
        return self._events.popleft()

    def _flush(self) -> None:
        for piece in self._protocol.data_to_send():
            if piece:
                self._socket.sendall(piece)
