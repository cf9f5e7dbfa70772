"""A job's file as a stream, whole or a range of it (RFC 9110, 14)."""

import re
from collections.abc import Callable
from functools import partial

import anyio
import anyio.to_thread
from starlette.types import Scope, Send

from aweigh.errors import AweighError
from aweigh.jobs.store import Store
from aweigh.server.problems import Refused

PIECE_BYTES = 256 * 1024
_RANGE = re.compile(rb"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*")


def asked_range(scope: Scope, size_bytes: int, *, etag: bytes) -> tuple[int, int] | None:
    """The bytes that are asked for, first and one past the last; None for all of them.

    What is no range, or several, is answered with the whole file, as the standard has it.

    Raises:
        Refused: there is no such byte (416).
    """
    headers = [(name, value) for name, value in scope["headers"] if name in {b"range", b"if-range"}]
    found = [_RANGE.fullmatch(value) for name, value in headers if name == b"range"]
    if len(found) != 1 or found[0] is None or any(value != etag for name, value in headers if name == b"if-range"):
        return None
    first, last = found[0].groups()
    if not first and not last:
        return None
    if not first:
        start, end = max(0, size_bytes - int(last)), size_bytes
    else:
        start, end = int(first), min(size_bytes, int(last) + 1 if last else size_bytes)
        if last and int(last) < int(first):
            return None
    if start >= end:
        beyond = f"The file has {size_bytes:,} bytes, and the range lies beyond them."
        raise Refused("unsatisfiable_range", beyond, headers=[(b"content-range", b"bytes */%d" % size_bytes)])
    return start, end


async def send_file(
    read: Callable[[int, int], bytes], *, headers: list[tuple[bytes, bytes]], part: tuple[int, int] | None,
    size_bytes: int, send: Send, body: bool,
) -> None:  # fmt: skip
    """Sends a file, or a part of it, as ``read`` gives its bytes; without ``body`` only what stands before them.

    Raises:
        StorageDown: the store fails; before the first byte it can still be told.
        ConnectionAbortedError: it fails in the middle, or the file is gone: the connection must end with it.
    """
    start, end = part or (0, size_bytes)
    headers = [*headers, (b"accept-ranges", b"bytes"), (b"content-length", b"%d" % (end - start))]
    if part is not None:
        headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size_bytes)))
    piece = await _piece(read, start, end) if body else b""
    await send({"type": "http.response.start", "status": 206 if part is not None else 200, "headers": headers})
    while body and start < end:
        start += len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        try:
            piece = await _piece(read, start, end)
        except AweighError as error:
            raise ConnectionAbortedError("the file broke off") from error
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _piece(read: Callable[[int, int], bytes], start: int, end: int) -> bytes:
    if start >= end:
        return b""
    piece = await anyio.to_thread.run_sync(read, start, min(PIECE_BYTES, end - start))
    if not piece:
        raise Refused("no_result", "The file is gone: the store has lost it.", hint="post the job again")
    return piece


def reader(store: Store, job_id: str, name: str) -> Callable[[int, int], bytes]:
    """What reads a job's file from a place on."""
    return partial(store.files.read, job_id, name)
