"""A server that closes without failing a request: uvicorn's own drops every connection that is idle at that moment.

A client may be sending on such a connection just then. So from the first signal on every answer says
``Connection: close``, and what stays idle is closed a little later, or when time is up.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

import uvicorn

from aweigh.server.board import Board
from aweigh.server.child import HURRY, LEAVE
from aweigh.server.protocol import BoundedProtocol, Connections
from aweigh.server.readiness import Readiness
from aweigh.server.settings import Settings

LINGER_S = 5.0
"""How long idle connections are kept by a process whose successor already answers."""

SHORT_LINGER_S = 0.5
"""The same where the whole server stops: for the client who has connected and is about to speak."""

POLL_S = 0.05
SPARE_S = 10
"""A process with a parent that died ends at the latest so many seconds after its time to finish."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seated:
    """The place of a process among others: the board, and its seat there."""

    board: Board
    seat: int


class Server(uvicorn.Server):
    """uvicorn, which on SIGTERM and SIGINT first says that it is not ready, then closes, then ends with 0.

    A process among others (``seated``) tells the others that it lives, leaves SIGINT to its parent, and knows two
    signals more: ``LEAVE`` (another has taken over) and ``HURRY``.
    """

    def __init__(
        self, config: uvicorn.Config, *, readiness: Readiness, settings: Settings, seated: Seated | None
    ) -> None:
        super().__init__(config)
        self._connections = Connections()
        self.server_state = self._connections
        self._readiness = readiness
        self._settings = settings
        self._seated = seated
        self._linger_s = 0.0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals while the server runs; one more SIGTERM while the process ends is not to kill it.

        They come to the main thread, and only there they are to be had.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signal.signal(signal.SIGTERM, self.handle_exit)
        if self._seated is None:
            before = signal.signal(signal.SIGINT, self.handle_exit)
        else:
            signal.signal(LEAVE, self._leave)
            signal.signal(HURRY, self._hurry)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if self._seated is None:
                signal.signal(signal.SIGINT, before)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came. A second Ctrl-C waits for nothing any more."""
        del frame
        if self._readiness.draining:
            # A platform signals all processes at once, and the parent passes it on: two that mean one.
            if self._seated is None:
                self.should_exit = True
                self.force_exit = self.force_exit or sig == signal.SIGINT
            return
        self._readiness.drain()
        self._connections.closing = True
        self._limit_life()
        if sig == signal.SIGTERM:
            self._linger_s = SHORT_LINGER_S
        if sig == signal.SIGTERM and self._settings.drain_delay_s:
            asyncio.get_running_loop().call_later(self._settings.drain_delay_s, self._close)
        else:
            self._close()

    def _leave(self, *_: object) -> None:
        self._connections.closing = True
        self._linger_s = LINGER_S
        self._limit_life()
        self._close()

    def _hurry(self, *_: object) -> None:
        self.force_exit = self.should_exit
        self._linger_s = 0.0
        self._readiness.drain()
        self._connections.closing = True
        self._limit_life()
        self._close()

    def _close(self) -> None:
        self.should_exit = True

    def _limit_life(self) -> None:
        """Nobody is left to kill a process that hangs at its end when its parent was killed: the kernel does it."""
        if self._seated is not None:
            signal.alarm(round(self._settings.drain_delay_s + self._settings.drain_s + LINGER_S) + SPARE_S)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: say that the loop turns; uvicorn keeps the date here."""
        if self._seated is not None:
            self._seated.board.beat(self._seated.seat)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, finish what is under way, close what is idle, then stop the app."""
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        self._connections.closing = True
        for connection in list(self._connections.connections):
            connection.shutdown()
        await self._finish()
        for task in self._connections.tasks:
            task.cancel()
        if not self.force_exit:
            await self.lifespan.shutdown()

    async def _finish(self) -> None:
        loop = asyncio.get_running_loop()
        begun, ticks = loop.time(), 0
        while (self._connections.connections or self._connections.tasks) and not self.force_exit:
            passed_s = loop.time() - begun
            if passed_s >= self._settings.drain_s:
                _LOG.warning("%d requests were not finished in time", len(self._connections.tasks))
                return
            if passed_s >= self._linger_s:
                for connection in list(self._connections.connections):
                    if isinstance(connection, BoundedProtocol):
                        connection.close_if_idle()
            await asyncio.sleep(POLL_S)
            ticks += 1
            await self.on_tick(ticks)
