"""The body of a request as a file: taken in as it comes, in constant memory, and there whole or not at all."""

import asyncio
import hashlib
import os
import secrets
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.types import Receive, Scope

from aweigh.database.place import PRIVATE_FILE
from aweigh.errors import StorageDown, StorageFull, TooLarge
from aweigh.jobs.local import storage
from aweigh.server.body import ClientGone, Unread
from aweigh.server.problems import Refused

WRITE_BYTES = 2**20
"""How much is gathered for one write, which is made in a thread."""
LEAST_RATE = 16 * 1024
"""Bytes a second that a sender must keep up, beyond the patience for a small body."""


class Upload:
    """A body on its way into a file of the spool; ``digest`` is that of its bytes, if somebody wants it."""

    def __init__(self, path: Path, *, limit: int, patience_s: float, hashed: bool) -> None:
        self.path = path
        self.size_bytes = 0
        self.digest = hashlib.sha256() if hashed else None
        self._limit = limit
        self._patience_s = patience_s

    async def receive(self, scope: Scope, receive: Receive) -> None:
        """Takes the whole body; nothing is left of it after an error.

        Raises:
            Unread: it is too large, or comes too slowly, or there is no room for it.
            ClientGone: the client hung up.
        """
        for name, value in scope["headers"]:
            # The server in front has parsed the header: it is a whole number.
            if name == b"content-length" and int(value) > self._limit:
                raise Unread(self._too_large())
        try:
            with storage():
                file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, PRIVATE_FILE)
            try:
                await self._take(receive, file)
            finally:
                os.close(file)
        except BaseException as error:
            self.path.unlink(missing_ok=True)
            if isinstance(error, StorageDown | StorageFull):
                raise Unread(error) from error
            raise

    async def _take(self, receive: Receive, file: int) -> None:
        deadline = asyncio.get_running_loop().time() + self._patience_s
        buffer = bytearray()
        more = True
        while more:
            try:
                async with asyncio.timeout_at(deadline + self.size_bytes / LEAST_RATE):
                    message = await receive()
            except TimeoutError as error:
                raise Unread(Refused("slow_body", "The body came too slowly to wait for its end.")) from error
            if message["type"] == "http.disconnect":
                raise ClientGone
            buffer += message.get("body", b"")
            self.size_bytes += len(message.get("body", b""))
            if self.size_bytes > self._limit:
                raise Unread(self._too_large())
            more = message.get("more_body", False)
            if len(buffer) >= WRITE_BYTES or not more:
                await anyio.to_thread.run_sync(self._write, file, bytes(buffer), not more)
                buffer.clear()

    def _write(self, file: int, piece: bytes, last: bool) -> None:  # noqa: FBT001  called by position in a thread
        if self.digest is not None:
            self.digest.update(piece)
        with storage():
            left = memoryview(piece)
            while left:
                left = left[os.write(file, left) :]
            if last:
                os.fsync(file)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"The file is larger than {self._limit:,} bytes.", hint="pack it with gzip, or send it in parts"
        )


def spool_name(suffix: str) -> str:
    """A name for a file on its way in, with the suffix that says what it is."""
    return f"in-{secrets.token_hex(8)}{suffix}"
