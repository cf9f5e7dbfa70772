"""A program run with its output bounded: a host that never stops talking fills no memory here."""

import os
import selectors
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from aweigh.errors import RemoteError

MOST_BYTES = 16 * 2**20
"""Of each of the two that a program prints; what is more ends it."""
MOST_LINE_BYTES = 64 * 1024
_PIECE = 65536


def run(
    argv: Sequence[str],
    *,
    stdin: int | IO[bytes],
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    most_bytes: int = MOST_BYTES,
) -> subprocess.CompletedProcess[bytes]:
    """Runs it to its end; ``stdin`` is a file or ``subprocess.DEVNULL``.

    Raises:
        subprocess.TimeoutExpired: it did not end in time.
        RemoteError: it printed more.
    """
    with subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        try:
            out, err = _taken(process, until=time.monotonic() + timeout_s, timeout_s=timeout_s, most_bytes=most_bytes)
            code = process.wait(timeout_s)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(argv, code, out, err)


def _taken(process: subprocess.Popen[bytes], *, until: float, timeout_s: float, most_bytes: int) -> tuple[bytes, bytes]:
    assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018  they were asked for
    found = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    with selectors.DefaultSelector() as waiting:
        for number in found:
            waiting.register(number, selectors.EVENT_READ)
        while waiting.get_map():
            ready = waiting.select(max(0.0, until - time.monotonic()))
            if not ready:
                raise subprocess.TimeoutExpired(process.args, timeout_s)
            for key, _ in ready:
                piece = os.read(key.fd, _PIECE)
                if not piece:
                    waiting.unregister(key.fd)
                found[key.fd] += piece
                if len(found[key.fd]) > most_bytes:
                    raise RemoteError("The host does not stop talking.", hint="look at what it is doing there")
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(process.args, timeout_s)
    out, err = found.values()
    return bytes(out), bytes(err)


def lines(argv: Sequence[str]) -> Iterator[str]:
    """The lines that it prints, as they come, until it ends or nobody reads on; a very long one comes in parts."""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None  # noqa: S101  it was asked for
        try:
            while line := process.stdout.readline(MOST_LINE_BYTES):
                yield line.decode(errors="replace").rstrip("\r\n")
        finally:
            process.terminate()
