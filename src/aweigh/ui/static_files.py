"""Streamlit's scripts and stylesheets, compressed once and kept.

Streamlit sends them as they are, 2.1 MB for a first page, since its own middleware would compress them anew for each
visitor. Here each is compressed when it is first asked for, and what is kept is the smaller form alone.
"""

import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from aweigh.wire.coding import WORTH_BYTES, Coding, coding_for, compress
from aweigh.wire.kept import FOR_EVER

PREFIX = "/static/"
"""Under it every name holds a hash of its bytes."""

_MEDIA = {".js": b"text/javascript; charset=utf-8", ".css": b"text/css; charset=utf-8", ".svg": b"image/svg+xml"}


class StaticFiles:
    """Streamlit's ASGI app; of what it would send as it is, the texts are sent compressed to who takes them so."""

    def __init__(self, app: ASGIApp) -> None:
        import streamlit

        self._app = app
        root = Path(streamlit.__file__).with_name("static")
        # Only what is there by name is ever opened: no path of a client's is.
        self._files = {
            "/" + file.relative_to(root).as_posix(): file
            for file in root.joinpath("static").rglob("*")
            if file.suffix in _MEDIA and file.stat().st_size >= WORTH_BYTES
        }
        self._made: dict[tuple[str, Coding], tuple[bytes, bytes]] = {}
        self._one_at_a_time: anyio.CapacityLimiter | None = None

    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        """What starts and stops Streamlit's runtime."""
        inner: Callable[[Any], AbstractAsyncContextManager[None]] = self._app.lifespan()  # type: ignore[attr-defined]
        return inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or pass it on."""
        if scope["type"] != "http" or scope["path"] not in self._files or scope["method"] not in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        accepted, partly = [], False
        for name, value in scope["headers"]:
            if name == b"accept-encoding":
                accepted.append(value)
            elif name == b"range":
                partly = True
        coding = coding_for(b",".join(accepted))
        if coding == "identity" or partly:
            await self._app(scope, receive, send)
            return
        body, tag = await self._compressed(scope["path"], coding)
        headers = [
            (b"content-type", _MEDIA[self._files[scope["path"]].suffix]),
            (b"content-encoding", coding.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", FOR_EVER),
            (b"vary", b"accept-encoding"),
            (b"etag", tag),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _compressed(self, path: str, coding: Coding) -> tuple[bytes, bytes]:
        found = self._made.get((path, coding))
        if found is None:
            if self._one_at_a_time is None:
                self._one_at_a_time = anyio.CapacityLimiter(1)
            found = await anyio.to_thread.run_sync(self._make, path, coding, limiter=self._one_at_a_time)
        return found

    def _make(self, path: str, coding: Coding) -> tuple[bytes, bytes]:
        """The file's bytes in that coding and their tag; made once, however many ask for it at the same time."""
        if (path, coding) not in self._made:
            body = compress(self._files[path].read_bytes(), coding, kept=True)
            self._made[path, coding] = body, b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()
        return self._made[path, coding]
