"""Starts the web process for real, within a dyno's limits, and measures it: boot, memory, answers, keep-alive."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from aweigh.secret import REDACTED
from aweigh.secret.scan import own_secrets
from aweigh.targets.doctor.load import Asked, ask_pages, ask_rows, await_ping, await_ready, open_sessions
from aweigh.targets.local.run import listens, shell
from aweigh.targets.local.tree import kill_tree, signal_tree, tree_bytes

SETTLE_S = 0.5
"""Between listening and the look at what it takes at rest."""
TICK_S = 0.1
STOP_S = 10.0
MOST_TOLD = 6
_RAISED = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception): .*")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the platform holds a web process to."""

    quota_bytes: int
    kill_bytes: int
    boot_s: float
    first_byte_s: float
    idle_s: float


@dataclass(frozen=True, slots=True)
class Web:
    """A web process to be measured: its line, where, with which variables; ``rows`` are golden rows to be asked."""

    line: str
    folder: Path
    environ: Mapping[str, str]
    rows: Sequence[dict[str, object]] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured. ``boot_s`` is None where it never listened; ``end`` says how it ended where nobody ended it.

    Memory is what all its processes would take on a machine of their own. ``told`` are the last lines that say why.
    """

    boot_s: float | None
    rest_bytes: int
    peak_bytes: int
    asked: Asked
    end: str = ""
    told: tuple[str, ...] = ()
    exception: str = ""
    """The last line of an exception that the app raised, or nothing."""


@dataclass(slots=True)
class _Watch:
    """Looks at the memory of a process until it is told to stop."""

    pid: int
    kill_bytes: int
    peak_bytes: int = 0
    killed: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        while not self.done.wait(TICK_S):
            taken = tree_bytes(self.pid)
            self.peak_bytes = max(self.peak_bytes, taken)
            if taken >= self.kill_bytes:
                self.killed = True
                kill_tree(self.pid)
                return


def measure_web(web: Web, *, limits: Limits) -> Run:
    """Starts it on a free port, asks it, and ends it; takes until the first ping, at most ``idle_s``, beside the rest.

    Raises:
        OSError: it cannot be started at all.
    """
    port = free_port()
    environ = {**web.environ, "PORT": str(port)}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [shell(), "-c", web.line],
            cwd=web.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        begun = time.monotonic()
        watch = _Watch(process.pid, limits.kill_bytes)
        looking = threading.Thread(target=watch.look, daemon=True)
        looking.start()
        asked = Asked()
        rest = 0
        try:
            boot_s = _boot(process, port, begun, limits)
            if boot_s is not None:
                rest = _ask(web, port, process, asked, limits)
            end = _how(process, watch, limits, boot_s)
        finally:
            watch.done.set()
            _end(process)
            looking.join()
        lines = [without_secrets(line, environ) for line in _last_lines(output)]
    raised = without_secrets(asked.exception, environ) or exception_of(lines)
    return Run(
        boot_s=boot_s,
        rest_bytes=rest,
        peak_bytes=max(watch.peak_bytes, rest),
        asked=asked,
        end=end,
        told=tuple(line for line in lines if line.strip())[-MOST_TOLD:],
        exception=raised,
    )


def exception_of(lines: Sequence[str]) -> str:
    """The last line of a traceback among what a process has printed; empty where there is none."""
    if not any("Traceback (most recent call last)" in line for line in lines):
        return ""
    return next((line[:200] for line in reversed(lines) if _RAISED.fullmatch(line)), "")


def without_secrets(text: str, environ: Mapping[str, str]) -> str:
    """Text that a process has printed, without the secrets among its variables."""
    for value in own_secrets(environ):
        text = text.replace(value, REDACTED)
    return text


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _boot(process: "subprocess.Popen[bytes]", port: int, begun: float, limits: Limits) -> float | None:
    while time.monotonic() - begun < limits.boot_s:
        if process.poll() is not None:
            return None
        if listens(port):
            return time.monotonic() - begun
        time.sleep(0.05)
    return None


def _ask(web: Web, port: int, process: "subprocess.Popen[bytes]", asked: Asked, limits: Limits) -> int:
    """All that is asked, after the look at rest; what it took at rest."""
    idle = Asked()
    time.sleep(SETTLE_S)
    await_ready(port, seconds=limits.boot_s)
    ask_pages(port, asked, first_byte_s=limits.first_byte_s, count=1)
    rest = tree_bytes(process.pid)
    waiting = threading.Thread(target=await_ping, args=(port, idle), kwargs={"idle_s": limits.idle_s}, daemon=True)
    waiting.start()
    ask_pages(port, asked, first_byte_s=limits.first_byte_s)
    if web.rows:
        ask_rows(port, asked, rows=web.rows, first_byte_s=limits.first_byte_s)
    open_sessions(port, asked, first_byte_s=limits.first_byte_s)
    while waiting.is_alive() and process.poll() is None:
        waiting.join(TICK_S)
    asked.streams = asked.streams or idle.streams
    asked.ping_s = idle.ping_s
    return rest


def _how(process: "subprocess.Popen[bytes]", watch: _Watch, limits: Limits, boot_s: float | None) -> str:
    code = process.poll()
    if watch.killed:
        return "memory"
    if code is not None:
        return f"status {128 - code if code < 0 else code}"
    return "boot" if boot_s is None and limits.boot_s else ""


def _end(process: "subprocess.Popen[bytes]") -> None:
    signal_tree(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        kill_tree(process.pid)
        process.wait()


def _last_lines(output: IO[bytes]) -> list[str]:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - 20_000))
    return [line.strip() for line in output.read().decode("utf-8", "replace").splitlines()]
