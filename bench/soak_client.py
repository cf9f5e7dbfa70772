"""A client that keeps a rate, looks at every answer, and counts what went wrong and when.

Requests fall due evenly over time and wait for a free connection where all are busy; a connection that breaks is opened
again. So a server that answers slowly or dies is asked no less for it. As clients do, each connection ends after a
while and another takes its place: those that were opened while one process was away would stay with the other.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

TICK_S = 0.005
REOPEN_S = 0.02
LIFE = 200
"""Requests of one connection."""
PREDICTIONS = b'"predictions":'
WARNINGS = b',"warnings":'


@dataclass(slots=True)
class Seen:
    """What was seen so far; times are seconds since the beginning."""

    answered: int = 0
    wrong: list[bytes] = field(default_factory=list)
    refused: list[tuple[float, bytes]] = field(default_factory=list)
    broken: list[float] = field(default_factory=list)
    """Requests that were under way when their connection broke."""
    not_let_in: list[float] = field(default_factory=list)
    """Attempts to connect that failed."""
    latencies_ms: list[float] = field(default_factory=list)
    """From when a request fell due to when it was answered."""


def said(answer: bytes) -> bytes:
    """The predictions of an answer, as they are written."""
    return answer.partition(PREDICTIONS)[2].rpartition(WARNINGS)[0]


class Client:
    """Connections to one server; ``asked`` are requests and the predictions that are right for each."""

    def __init__(self, port: int, asked: list[tuple[bytes, bytes]], *, connections: int) -> None:
        self.seen = Seen()
        self.begun = time.perf_counter()
        self._port, self._asked, self._count = port, asked, connections
        self._place = 0
        self._due: deque[float] = deque()
        self._idle: list[_Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._over = False

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self.begun

    async def open(self) -> None:
        """Connect."""
        for _ in range(self._count):
            await self.connect()

    async def connect(self) -> None:
        """One more connection, tried until it is there or all is over."""
        loop = asyncio.get_running_loop()
        while not self._over:
            try:
                await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
            except OSError:
                self.seen.not_let_in.append(self.now())
                await asyncio.sleep(REOPEN_S)
            else:
                return

    async def keep(self, rate: float, *, seconds: float) -> None:
        """Ask so many requests a second for so long; rate 0: each connection as fast as it is answered."""
        begun, asked = time.perf_counter(), 0
        while (passed := time.perf_counter() - begun) < seconds:
            if rate:
                for _ in range(int(passed * rate) - asked):
                    asked += 1
                    self._due.append(time.perf_counter())
            else:
                self._due.extend([time.perf_counter()] * max(0, 2 * self._count - len(self._due)))
            self._give()
            await asyncio.sleep(TICK_S)
        self._due.clear()

    async def close(self) -> None:
        """Wait for what is under way, then hang up."""
        for _ in range(400):
            if len(self._idle) == self._count:
                break
            await asyncio.sleep(TICK_S)
        self._over = True
        for one in self._idle:
            one.transport.close()
        await asyncio.sleep(TICK_S)

    def free(self, connection: "_Connection") -> None:
        """It has nothing to do: the next request that is due is its own."""
        self._idle.append(connection)
        self._give()

    def answered(self, connection: "_Connection") -> None:
        """It has been answered: it is free, or has done enough and makes room for another."""
        if connection.asked < LIFE or self._over:
            self.free(connection)
        else:
            connection.leaving = True
            connection.transport.close()
            self._replace()

    def lost(self, connection: "_Connection") -> None:
        """It broke, busy or idle; or it has left."""
        if self._over or connection.leaving:
            return
        if connection in self._idle:
            self._idle.remove(connection)
        else:
            self.seen.broken.append(self.now())
        self._replace()

    def _replace(self) -> None:
        task = asyncio.get_running_loop().create_task(self.connect())
        self._opening.add(task)  # held, or it might be forgotten before it is done
        task.add_done_callback(self._opening.discard)

    def judge(self, head: bytes, body: bytes, right: bytes, due: float) -> None:
        """Look at an answer."""
        self.seen.latencies_ms.append((time.perf_counter() - due) * 1000)
        if head[9:12] != b"200":
            self.seen.refused.append((self.now(), head[9:12] + b" " + body[:200]))
        elif said(body) != right:
            self.seen.wrong.append(body)
        self.seen.answered += 1

    def _give(self) -> None:
        while self._due and self._idle:
            self._place = (self._place + 1) % len(self._asked)
            request, right = self._asked[self._place]
            self._idle.pop().ask(request, right, self._due.popleft())


class _Connection(asyncio.Protocol):
    """One connection that stays."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._buffer = b""
        self._right, self._due_at = b"", 0.0
        self.asked = 0
        self.leaving = False

    def connection_made(self, transport: Any) -> None:
        """It is there."""
        self.transport = transport
        self._client.free(self)

    def ask(self, request: bytes, right: bytes, due: float) -> None:
        """Send one request."""
        self._right, self._due_at = right, due
        self.asked += 1
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Read on until the answer is whole."""
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(rest) < length:
            return
        self._buffer = b""
        self._client.judge(head, rest[:length], self._right, self._due_at)
        self._client.answered(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the client; a request that was under way has failed."""
        del error
        self._client.lost(self)
