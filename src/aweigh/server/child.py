"""One process of a server: how it is started by fork, what it says, and how it is told to go.

What it says comes as JSON over a pipe: that it is ready or refuses, or why it cannot start.
"""

import ctypes
import gc
import importlib
import json
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from aweigh.errors import AweighError
from aweigh.server.board import Board

LEAVE = signal.SIGUSR1
"""Another has taken over: accept nothing new, finish what is under way."""

HURRY = signal.SIGUSR2
"""Stop without waiting for anybody; the second time without finishing either."""

OWN_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, LEAVE, HURRY)

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seat:
    """What a process is told when it starts: its number in the shared memory, and how it says that it has settled.

    ``alone``: nobody answers yet, so that it must be there even if it can only refuse. ``settled`` is called once, with
    whether the process is ready (True) or refuses to answer (False).
    """

    number: int
    alone: bool
    settled: Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class Work:
    """What a process does until it is told to stop, and what it is called in the log.

    ``preloaded`` names modules that the parent imports before the fork: all that are forked later have and share them.
    They start no thread when they are imported, which a fork would lose.
    """

    name: str
    run: Callable[[Seat], None]
    preloaded: Sequence[str] = ()


class Child:
    """A process that was started, seen from its parent."""

    def __init__(self, process: BaseProcess, said: Connection, *, seat: int) -> None:
        self.seat = seat
        self.born = time.monotonic()
        self.told_to_go: float | None = None
        self.settled: bool | None = None
        self.reason: tuple[str, str | None] | None = None
        self.fresh_bytes = 0
        self._process = process
        self._said = said
        self._beats = 0
        self._silent_s = 0.0

    @property
    def pid(self) -> int | None:
        """Its number in the system."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs; one that has ended is taken off the system's list."""
        return self._process.is_alive()

    @property
    def ended_with(self) -> str:
        """How it ended, in words."""
        code = self._process.exitcode
        return (
            f"signal {-code} ({signal.Signals(-code).name})" if code is not None and code < 0 else f"exit code {code}"
        )

    @property
    def age_s(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.born

    def waited_for(self) -> list[object]:
        """What becomes readable when it says something or ends."""
        return [self._process.sentinel] if self._said.closed else [self._process.sentinel, self._said]

    def hear(self) -> None:
        """Takes in what it has said since: ``settled``, or the ``reason`` why it cannot start."""
        try:
            while not self._said.closed and self._said.poll():
                heard = json.loads(self._said.recv_bytes())
                if isinstance(heard, bool):
                    self.settled = heard
                else:
                    self.reason = (heard[0], heard[1])
        except (EOFError, OSError):
            self._said.close()

    def is_hung(self, board: Board, *, passed_s: float, limit_s: float) -> bool:
        """Whether its event loop has not turned for ``limit_s``; counted only from when it first did.

        ``passed_s`` is the time since the last question as the asker lived it: where all processes stood still
        together (a machine put to sleep), nobody hangs.
        """
        beats = board.beats(self.seat)
        self._silent_s = 0.0 if beats != self._beats or not beats else self._silent_s + passed_s
        self._beats = beats
        return 0 < limit_s <= self._silent_s

    def memory_bytes(self) -> int:
        """Its share of the machine's memory (PSS: what is shared counts in parts); 0 where nobody can say."""
        try:
            text = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            return 0
        return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)

    def tell(self, sent: signal.Signals) -> None:
        """Sends it a signal, if it is still there."""
        self.told_to_go = self.told_to_go or time.monotonic()
        if self._process.pid is not None and self.alive:
            os.kill(self._process.pid, sent)

    def end(self, *, wait_s: float = 0.0) -> None:
        """Waits for its end so long, then kills it; nothing of it is left."""
        self._process.join(wait_s)
        if self._process.is_alive():
            if wait_s:
                _LOG.error("process %s did not stop in time: killed", self.pid)
            self._process.kill()
        self._process.join()
        self._said.close()


def start(work: Work, *, seat: int, alone: bool) -> Child:
    """A new process that does the work; ``alone``: see ``Seat``."""
    preload(work.preloaded)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, seat, alone, theirs, os.getpid()), name=work.name, daemon=False)
    # A signal between the fork and the child's own handlers would be lost: it waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, OWN_SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OWN_SIGNALS)
    theirs.close()
    return Child(process, ours, seat=seat)


def preload(names: Sequence[str]) -> None:
    """Imports these modules, so that a process forked later need not.

    What cannot be imported, for whatever reason, is for that process to say: here it would end the one that watches
    over all.
    """
    missing = [name for name in names if name not in sys.modules]
    for name in missing:
        with suppress(Exception):  # a broken wheel raises what it likes
            importlib.import_module(name)
    if missing:
        gc.freeze()  # what a child's collector does not look at stays shared


def _run(work: Work, seat: int, alone: bool, said: Connection, parent: int) -> None:  # noqa: FBT001  a process's
    """The life of a process. SIGTERM ends it at once until its server is up and takes the signals itself.

    Garbage is collected from when it has settled (``settle_memory``): a start makes hardly any.
    """
    gc.disable()
    for one in OWN_SIGNALS:
        signal.signal(one, signal.SIG_DFL)
    for one in (signal.SIGINT, signal.SIGHUP):  # from the terminal to all at once: the parent's to act upon
        signal.signal(one, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OWN_SIGNALS)
    _stop_with(parent)
    try:
        work.run(Seat(seat, alone, lambda ready: said.send_bytes(json.dumps(ready).encode())))
    except AweighError as error:
        said.send_bytes(json.dumps([error.message, error.hint]).encode())
        os._exit(1)


def _stop_with(parent: int) -> None:
    """Where the kernel can (Linux): a parent that was killed leaves no process behind that keeps the port."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it went in the meantime
            os._exit(1)
