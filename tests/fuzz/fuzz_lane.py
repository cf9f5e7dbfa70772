"""The HTTP lane and its protocol: any bytes in any pieces, and the answers of the ordinary way."""

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Any

import uvicorn
from fuzz_bounds import Found, Run

from aweigh.server.access.asked import Place
from aweigh.server.access.door import Door
from aweigh.server.body import ClientGone, Unread, read_body, refuse_unread
from aweigh.server.gate import Gate
from aweigh.server.lane import LaneProtocol
from aweigh.server.metrics import Counters
from aweigh.server.protocol import Connections
from aweigh.server.settings import Settings
from aweigh.server.whole import send_whole

PATH = "/v1/predict"
SETTINGS = Settings(max_body_bytes=2000)


def _reply(who: bytes, body: bytes) -> tuple[int, bytes]:
    """What the endpoint answers, either way: what it was told, so that nothing of it can be mixed up."""
    return 200, b"%b said %b" % (who, body)


def _at_once(headers: Mapping[bytes, bytes], body: bytes, meter: object) -> tuple[int, bytes, bytes] | None:
    del meter
    if len(body) > SETTINGS.max_body_bytes or body.startswith(b"no") or b"expect" in headers:
        return None
    status, said = _reply(headers.get(b"x-who", b"?"), body)
    return status, b"content-length: %d\r\n" % len(said), said


async def _endpoint(scope: Any, receive: Any, send: Any) -> None:
    try:
        body = await read_body(scope, receive, settings=SETTINGS)
    except ClientGone:
        return
    except Unread as unread:
        await refuse_unread(unread.error, scope, receive, send)
        return
    status, said = _reply(dict(scope["headers"]).get(b"x-who", b"?"), body)
    await send_whole(scope, send, status=status, headers=[(b"content-length", b"%d" % len(said))], body=said)


class Wire(asyncio.Transport):
    """The server's end of a connection to somebody who reads all that is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data):
        if not self.closed:  # as a socket's transport has it
            self.sent += bytes(data)

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def get_extra_info(self, name, default=None):
        return {"peername": ("192.0.2.1", 4000), "sockname": ("192.0.2.2", 80)}.get(name, default)

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


class _Loud(logging.Handler):
    """What a server writes into its log as an error is one here."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record)


def lane() -> Run:
    """The first two bytes choose the cuts; the rest is what a client sends."""
    loop = asyncio.new_event_loop()
    loud = _Loud()
    logging.getLogger("uvicorn.error").addHandler(loud)
    logging.getLogger("asyncio").addHandler(loud)
    logging.getLogger("aweigh").addHandler(loud)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    def served(*, quick: bool) -> tuple[uvicorn.Config, Connections]:
        gate = Gate(
            app,
            counters=Counters(),
            door=Door(Place()),
            directly={PATH: _endpoint},
            at_once={PATH: _at_once} if quick else None,
        )
        config = uvicorn.Config(
            gate, http=LaneProtocol, ws="none", lifespan="off", log_config=None, access_log=False, proxy_headers=False
        )
        config.load()
        return config, Connections()

    both = served(quick=True), served(quick=False)

    async def talk(config: uvicorn.Config, state: Connections, pieces: list[bytes]) -> tuple[bytes, bool]:
        """What the client has got in the end, and whether the connection was closed.

        Not when: a body that is too large is refused by its head on the ordinary way, and by its end in the lane.
        """
        state.default_headers = [(b"date", b"today")]
        wire, protocol = Wire(), LaneProtocol(config, state, {}, asyncio.get_running_loop())
        protocol.connection_made(wire)
        for piece in pieces:
            if not wire.closed:
                protocol.data_received(piece)
            for _ in range(12):
                await asyncio.sleep(0)
        protocol.release()  # as its clock does with what is held too long
        for _ in range(12):
            await asyncio.sleep(0)
        got = wire.sent, wire.closed
        protocol.connection_lost(None)
        for _ in range(100):
            if not state.tasks:
                break
            await asyncio.sleep(0)
        if state.tasks or state.connections:
            raise Found("a connection that is lost is not forgotten")
        return got

    def run(data: bytes) -> None:
        chance = random.Random(data[:2])
        body = data[2:]
        cuts = sorted(chance.randrange(len(body) + 1) for _ in range(chance.choice((0, 0, 1, 2, 5))))
        pieces = [piece for piece in (body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)) if piece]
        quick, ordinary = (loop.run_until_complete(talk(*one, pieces)) for one in both)
        if loud.heard:
            record = loud.heard.pop()
            loud.heard.clear()
            raise Found(f"the server logs an error: {record.getMessage()}") from (record.exc_info or (None, None))[1]
        if quick != ordinary:
            raise Found(f"the lane answers {quick!r}, the ordinary way {ordinary!r}, to {pieces!r}")

    return run


TARGETS = {"lane": lane}
