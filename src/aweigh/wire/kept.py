"""A body that is the same for everybody, as HTTP would have it: compressed once, revalidated by its ``ETag``."""

import hashlib
import re
from collections.abc import Iterable
from functools import partial

import anyio.to_thread
from starlette.types import Scope, Send

from aweigh.wire.coding import WORTH_BYTES, Coding, coding_for, compress

REVALIDATED = b"private, no-cache"
"""Kept by the browser alone, and asked for again each time: 304 when nothing has changed."""
FOR_EVER = b"public, max-age=31536000, immutable"
"""For an address that changes with its bytes."""

INLINE_BYTES = 16 * 1024
"""Bodies up to here are compressed on the event loop: 1 ms at most."""

_TAG = re.compile(rb'"([^"]*)"')


class Kept:
    """A body and what goes with it, ready to be sent as often as it is asked for."""

    def __init__(
        self,
        body: bytes,
        *,
        media: bytes,
        cache: bytes = REVALIDATED,
        headers: Iterable[tuple[bytes, bytes]] = (),
        compressible: bool = True,
    ) -> None:
        self.body = body
        self._tag = hashlib.sha256(body).hexdigest()[:32].encode()
        self._headers = [(b"cache-control", cache), *headers]
        self._media = media
        self._worth = compressible and len(body) >= WORTH_BYTES
        self._compressible = compressible
        self._made: dict[Coding, bytes] = {"identity": body}

    async def send(self, scope: Scope, send: Send) -> None:
        """Answers one GET or HEAD."""
        accepted, asked = _asked(scope)
        coding: Coding = coding_for(accepted, worth=self._worth) if self._compressible else "identity"
        tag = b'"%b"' % self._tag if coding == "identity" else b'"%b-%b"' % (self._tag, coding.encode())
        headers = [*self._headers, (b"etag", tag)]
        if self._compressible:
            headers.append((b"vary", b"accept-encoding"))
        if asked is not None and (asked.strip() == b"*" or tag[1:-1] in _TAG.findall(asked)):
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        body = await self._in(coding)
        headers += [(b"content-type", self._media), (b"content-length", b"%d" % len(body))]
        if coding != "identity":
            headers.append((b"content-encoding", coding.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _in(self, coding: Coding) -> bytes:
        if coding not in self._made:
            make = partial(compress, self.body, coding, kept=True)
            self._made[coding] = make() if len(self.body) <= INLINE_BYTES else await anyio.to_thread.run_sync(make)
        return self._made[coding]


def _asked(scope: Scope) -> tuple[bytes, bytes | None]:
    """The headers ``Accept-Encoding`` and ``If-None-Match``, each joined where it came several times."""
    accepted, asked = [], []
    for name, value in scope["headers"]:
        if name == b"accept-encoding":
            accepted.append(value)
        elif name == b"if-none-match":
            asked.append(value)
    return b",".join(accepted), b",".join(asked) if asked else None
