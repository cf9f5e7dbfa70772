"""uvicorn's WebSocket protocol with bounds on the handshake, and with an end that no client can put off.

uvicorn itself leaves a handshake that it cannot read without an answer, waits for one that nobody settles for ever, and
keeps a connection that it has closed until its client has read all that was written.
"""

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from aweigh.server import protocol

LINGER_S = 15.0
"""How long a connection that is to end is kept for a client that has not read all of it."""


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket, from the request that asks for it to the end of its connection."""

    _settling: asyncio.TimerHandle | None = None
    _leaving: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock of the handshake."""
        super().connection_made(transport)
        self._settling = self.loop.call_later(protocol.HEAD_TIMEOUT_S, self._settle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        for timer in (self._settling, self._leaving):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came; a handshake that is none is refused."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
        if self.transport.is_closing():
            self._leave()

    async def run_asgi(self) -> None:
        """Serve the app; the connection ends with it."""
        try:
            await super().run_asgi()
        finally:
            self._leave()

    def keepalive_timeout(self) -> None:
        """The client does not answer a ping."""
        super().keepalive_timeout()
        self._leave()

    def _settle(self) -> None:
        """Refuse a handshake that has not been answered in time."""
        self._settling = None
        if not self.handshake_complete:
            self.send_500_response()
            self.transport.close()
            self._leave()

    def _leave(self) -> None:
        """See to it that the connection ends: a client that does not read is not waited for."""
        if self._leaving is None and not self.disconnected:
            self._leaving = self.loop.call_later(LINGER_S, self._abort)

    def _abort(self) -> None:
        self._leaving = None
        self.transport.abort()
