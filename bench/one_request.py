"""A server in this process without a socket: bytes go into its protocol, and what it writes comes out.

Everything else is the server's own: uvicorn's configuration, uvloop, httptools, our protocol, the app and the model.
So a request can be counted and timed without a kernel, a client or another process between.
"""

import asyncio
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

Pieces = tuple[bytes, ...]
"""A request as it arrives: in one piece, or in several."""

HEAD = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
JSON = b"application/json"


def request(path: str, body: bytes, *, content_type: bytes = JSON) -> bytes:
    """A request as ``wrk`` sends it: head and body in one piece."""
    return HEAD % (path.encode(), content_type, len(body)) + body


def in_two(whole: bytes) -> Pieces:
    """The request as many clients send it: the head, and then the body."""
    head, between, body = whole.partition(b"\r\n\r\n")
    return head + between, body


class Answers(asyncio.Transport):
    """The other end of the connection: it sends the requests in turn, each when the one before it is answered."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.last = b""
        self.closed = False
        self._loop = loop
        self._parts: list[bytes] = []
        self._left_bytes = -1
        self._todo: list[Pieces] = []
        self.protocol: Any = None

    def send(self, requests: Sequence[Pieces]) -> None:
        """Ask all of these, one after another, and return when the last is answered and put away.

        Raises:
            RuntimeError: the server closed the connection.
        """
        self._todo = list(reversed(requests))
        self._next()
        self._loop.run_forever()
        self._loop.call_soon(self._loop.stop)  # what the server still does when an answer is out
        self._loop.run_forever()
        if self.closed:
            msg = f"the server closed the connection after {self.last[:300]!r}"
            raise RuntimeError(msg)

    def _next(self) -> None:
        if self._todo:
            for piece in self._todo.pop():
                self._loop.call_soon(self.protocol.data_received, piece)
        else:
            self._loop.stop()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """A piece of an answer."""
        if self._left_bytes < 0:
            head, _, rest = bytes(data).partition(b"\r\n\r\n")
            self._left_bytes = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            self._parts = [head, b"\r\n\r\n"]
            data = rest
        self._parts.append(bytes(data))
        self._left_bytes -= len(data)
        if self._left_bytes == 0:
            self.last, self._left_bytes = b"".join(self._parts), -1
            self._next()

    def writelines(self, list_of_data: Any) -> None:
        """Several pieces at once."""
        self.write(b"".join(list_of_data))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What a TCP connection of this machine would say."""
        return {"peername": ("127.0.0.1", 40000), "sockname": ("127.0.0.1", 8000)}.get(name, default)

    def is_closing(self) -> bool:
        """Whether the server has ended the connection."""
        return self.closed

    def close(self) -> None:
        """The server ends the connection; nobody waits for more."""
        if not self.closed:
            self.closed = True
            self._loop.stop()

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def pause_reading(self) -> None:
        """Requests come one at a time anyway."""

    def resume_reading(self) -> None:
        """See ``pause_reading``."""


class InProcess:
    """One connection to a server: ``with InProcess.aweigh(path) as one: one.ask([...])``."""

    def __init__(self, server: Any, *, path: str) -> None:
        import uvloop

        self.path = path
        self._loop = uvloop.new_event_loop()
        config = server.config
        config.load()
        self._lifespan = config.lifespan_class(config)
        self._loop.run_until_complete(self._open(server))
        self._answers = Answers(self._loop)
        self.protocol = config.http_protocol_class(
            config=config, server_state=server.server_state, app_state=self._lifespan.state, _loop=self._loop
        )
        self._answers.protocol = self.protocol
        self.protocol.connection_made(self._answers)

    async def _open(self, server: Any) -> None:
        await self._lifespan.startup()
        await server.on_tick(0)  # the header Date

    @classmethod
    def aweigh(cls, bundle: Path) -> Self:
        """The API of a bundle as ``aweigh serve --no-ui --workers 1`` runs it."""
        from aweigh.bundle.verify import verify
        from aweigh.runtime.load import load
        from aweigh.server.app import create_app
        from aweigh.server.readiness import Readiness
        from aweigh.server.serve import make_server
        from aweigh.server.settings import Settings

        settings, readiness = Settings(jobs="off"), Readiness()
        app = create_app(load(verify(bundle)), settings=settings, readiness=readiness, prove_first=True)
        return cls(
            make_server(app, settings=settings, readiness=readiness, websockets=False),
            path="/v1/predict",
        )

    @classmethod
    def floor(cls) -> Self:
        """The floor: see ``floor.py``."""
        import uvicorn

        from bench.floor import app

        config = uvicorn.Config(
            app, http="httptools", log_config=None, access_log=False, proxy_headers=False, lifespan="off"
        )
        return cls(uvicorn.Server(config), path="/predict")

    def ask(self, bodies: Sequence[bytes], *, content_type: bytes = JSON) -> bytes:
        """Send these one after another; the last answer, head and all."""
        return self.send([request(self.path, body, content_type=content_type) for body in bodies])

    def send(self, requests: Sequence[bytes | Pieces]) -> bytes:
        """The same with requests that are made already."""
        self._answers.send([(one,) if isinstance(one, bytes) else one for one in requests])
        return self._answers.last

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.closed = True
        self.protocol.connection_lost(None)
        self._loop.run_until_complete(self._lifespan.shutdown())
        self._loop.close()
        gc.collect()
