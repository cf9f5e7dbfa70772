"""The first page, shown to nobody: a session of Streamlit's own in this process, before the first visitor has one.

What a page needs is imported, built and asked for when it is first shown: 0.2 s of CPU, against 0.02 for every page
after it. So the server is its own first visitor, over the same WebSocket that a browser opens, without the network.
"""

import asyncio
import logging
from typing import Any

from starlette.types import ASGIApp, Message

WARM_S = 10.0
"""How long the first page may take. It waits for the API, which may be another process that is starting."""

STREAM = "/_stcore/stream"

_LOG = logging.getLogger(__name__)


async def show_first_page(app: ASGIApp, *, token: str | None = None) -> bool:
    """Opens a session, waits until its page is whole, hangs up; tells whether it came to that.

    ``token`` is what the API takes from the server's own first visitor, where not everybody may ask it.

    Nothing depends on it: a page that fails here is one that its first visitor would have seen fail.
    """
    visitor = _Visitor()
    try:
        async with asyncio.timeout(WARM_S):
            await app(_scope(token), visitor.receive, visitor.send)
    except TimeoutError:
        _LOG.warning("the first page was not whole after %g s", WARM_S)
    except Exception:  # noqa: BLE001  what is raised here would be raised for a visitor as well, and told there
        _LOG.exception("the first page failed")
    return visitor.seen


class _Visitor:
    """A browser's side of the WebSocket: asks for the page once, leaves when it has seen it."""

    def __init__(self) -> None:
        self.seen = False
        self._says: asyncio.Queue[Message] = asyncio.Queue()
        self._says.put_nowait({"type": "websocket.connect"})

    async def receive(self) -> Message:
        """The next thing that the visitor says."""
        return await self._says.get()

    async def send(self, message: Message) -> None:
        """Hear what the app says."""
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        if message["type"] == "websocket.accept":
            asked = BackMsg()
            asked.rerun_script.query_string = ""
            self._says.put_nowait({"type": "websocket.receive", "bytes": asked.SerializeToString()})
        elif message["type"] == "websocket.send" and not self.seen:
            told = ForwardMsg()
            told.ParseFromString(message.get("bytes") or b"")
            if told.WhichOneof("type") == "script_finished":
                self.seen = True
                self._says.put_nowait({"type": "websocket.disconnect", "code": 1001})


def _scope(token: str | None) -> dict[str, Any]:
    said = [] if token is None else [(b"x-aweigh-session", token.encode())]
    return {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": STREAM,
        "raw_path": STREAM.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), *said],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
        "subprotocols": ["streamlit"],
    }
