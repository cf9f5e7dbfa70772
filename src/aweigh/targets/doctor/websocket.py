"""A WebSocket's client end, as small as it can be: says hello, sends one message, and tells every frame that comes."""

import base64
import os
import socket
import struct
import time
from dataclasses import dataclass
from typing import Self

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MOST_FRAME_BYTES = 200_000_000
_HEAD_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its kind (``opcode``), and its content."""

    opcode: int
    content: bytes


class Refused(Exception):  # noqa: N818  what the server did
    """The server speaks no WebSocket there; the message is its status line."""


class WebSocket:
    """A connection to ``ws://127.0.0.1:PORT/PATH``.

    Raises:
        Refused: the server answers otherwise.
        OSError: it cannot be reached.
    """

    def __init__(self, port: int, path: str, *, protocol: str = "streamlit", timeout_s: float = 30.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._held = b""
        try:
            self._greet(port, path, protocol)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, opcode: int, content: bytes) -> None:
        """Send one frame, masked as a client's have to be."""
        mask = os.urandom(4)
        size = len(content)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 2**16:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        self._socket.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(content)))

    def receive(self, *, until: float) -> Frame | None:
        """The next frame; None where none has begun by the time ``until`` (of ``time.monotonic``). Pings are answered.

        Raises:
            OSError: the other side has gone, or sends what is no frame.
        """
        head = self._read(2, until=until)
        if head is None:
            return None
        opcode, size = head[0] & 0x0F, head[1] & 0x7F
        end = time.monotonic() + 30
        if size == 126:
            size = struct.unpack("!H", self._read(2, until=end) or b"\0\0")[0]
        elif size == 127:
            size = struct.unpack("!Q", self._read(8, until=end) or bytes(8))[0]
        if size > MOST_FRAME_BYTES:
            raise ConnectionError("a frame that is too large")
        content = self._read(size, until=end)
        if content is None:
            raise ConnectionError("a frame that does not end")
        if opcode == PING:
            self.send(PONG, content)
        return Frame(opcode, content)

    def _read(self, count: int, *, until: float) -> bytes | None:
        while len(self._held) < count:
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                piece = self._socket.recv(65_536)
            except TimeoutError:
                return None
            if not piece:
                raise ConnectionError("the server has closed the connection")
            self._held += piece
        found, self._held = self._held[:count], self._held[count:]
        return found

    def _greet(self, port: int, path: str, protocol: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Origin: http://127.0.0.1:{port}\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._held:
            piece = self._socket.recv(4096)
            if not piece or len(self._held) > _HEAD_BYTES:
                raise Refused("no answer to the WebSocket's greeting")
            self._held += piece
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        status = head.split(b"\r\n", 1)[0].decode("latin-1")
        if " 101" not in status:
            raise Refused(status)
