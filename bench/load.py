"""Load on a server of this machine: by ``wrk`` where it is installed, else by a small client of our own.

Whichever it is, it says so in the result: ours is slower than the servers that it measures, so its requests a second
and latencies are bounds; CPU per request is right with both.
"""

import asyncio
import functools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.places import BENCH
from bench.processes import cpu_s

MAX_SECONDS = 60
MAX_CONNECTIONS = 1000


@dataclass(frozen=True, slots=True)
class Sent:
    """Bodies of one kind that are sent in turn; what is taken in answer; an ``Authorization`` where there is one."""

    bodies: tuple[bytes, ...]
    content_type: str = "application/json"
    authorization: str = ""
    accept: str = "*/*"


@functools.cache
def generator() -> str:
    """The load generator that is used here."""
    return "wrk" if shutil.which("wrk") else "asyncio"


def load(url: str, sent: Sent, *, pid: int, connections: int, seconds: float) -> dict[str, Any]:
    """What the server with this ``pid`` did under so many connections, each of which sends as fast as it is answered.

    ``cpu_ms`` is that of the whole tree for each request answered with 2xx; latencies in milliseconds.

    Raises:
        ValueError: it is more than a test on one machine should do.
    """
    if seconds > MAX_SECONDS or connections > MAX_CONNECTIONS or urlsplit(url).hostname != "127.0.0.1":
        msg = f"at most {MAX_CONNECTIONS} connections, {MAX_SECONDS} seconds, and 127.0.0.1 alone"
        raise ValueError(msg)
    before = cpu_s(pid)
    drive = _wrk if generator() == "wrk" else _own
    told = drive(url, sent, connections, seconds)
    used = cpu_s(pid) - before
    good = told["requests"] - told["refused"]
    return {
        "cpu_ms": used * 1000 / max(good, 1),
        "rps": good / told["us"] * 1e6,
        "p50_ms": told["p50_us"] / 1000,
        "p99_ms": told["p99_us"] / 1000,
        "requests": good,
        "bad": told["refused"] + told["broken"],
    }


def _wrk(url: str, sent: Sent, connections: int, seconds: float) -> dict[str, int]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        files = []
        for i, body in enumerate(sent.bodies):
            files.append(f"{folder}/{i}")
            Path(files[-1]).write_bytes(body)
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s"]
        command += ["-s", str(BENCH / "wrk.lua"), url, "--", sent.content_type, sent.accept]
        command += [sent.authorization, *files]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60)
    told: dict[str, int] = json.loads(done.stdout.partition("RESULT ")[2])
    return told


# -- a client of our own ---------------------------------------------------------------------------------------------


class _Connection(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it is answered."""

    def __init__(self, requests: Sequence[bytes], place: int, seen: "_Seen") -> None:
        self._requests, self._place, self._seen = requests, place, seen
        self._buffer = b""
        self._begun = 0.0

    def connection_made(self, transport: Any) -> None:
        """Ask for the first time."""
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._place = (self._place + 1) % len(self._requests)
        self._begun = time.perf_counter()
        self._transport.write(self._requests[self._place])

    def data_received(self, data: bytes) -> None:
        """Read on until the answer is whole, then ask again."""
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._seen.latencies.append(time.perf_counter() - self._begun)
        self._seen.refused += head[9:10] != b"2"
        if not self._seen.over:
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        """Count a connection that ended before the time was over."""
        del error
        self._seen.broken += not self._seen.over


class _Seen:
    """What all connections have seen."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.refused = 0
        self.broken = 0
        self.over = False


def _own(url: str, sent: Sent, connections: int, seconds: float) -> dict[str, int]:
    try:
        import uvloop as loops
    except ModuleNotFoundError:  # Windows, where it is slower still
        loops = asyncio
    return loops.run(_drive(url, sent, connections, seconds))


async def _drive(url: str, sent: Sent, connections: int, seconds: float) -> dict[str, int]:
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {sent.content_type}\r\n"
    head += f"Accept: {sent.accept}\r\n"
    head += f"Authorization: {sent.authorization}\r\n" if sent.authorization else ""
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in sent.bodies]
    seen, loop = _Seen(), asyncio.get_running_loop()
    begun = time.perf_counter()
    made = [
        await loop.create_connection(functools.partial(_Connection, requests, i, seen), parts.hostname, parts.port)
        for i in range(connections)
    ]
    await asyncio.sleep(seconds)
    seen.over = True
    elapsed = time.perf_counter() - begun
    for transport, _ in made:
        transport.close()
    await asyncio.sleep(0)
    ordered = sorted(seen.latencies) or [0.0]
    return {
        "requests": len(seen.latencies),
        "us": round(elapsed * 1e6),
        "p50_us": round(ordered[len(ordered) // 2] * 1e6),
        "p99_us": round(ordered[int(len(ordered) * 0.99)] * 1e6),
        "refused": seen.refused,
        "broken": seen.broken,
    }
