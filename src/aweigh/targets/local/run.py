"""Runs the processes of a Procfile until the first of them ends, by a dyno's rules: boot, memory, signals, exit codes.

honcho starts each in a session of its own, reads what it prints and prefixes it. Its own loop is not used: it waits
five seconds before SIGKILL, and never sends one to a process that outlives Ctrl-C.
"""

import queue
import shlex
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from aweigh.registry import require
from aweigh.targets.local.cgroup import make_group, remove_group, was_killed
from aweigh.targets.local.tree import has_ended, kill_tree, signal_tree, tree_bytes

if TYPE_CHECKING:
    from honcho.printer import Message

MB = 2**20
TICK_S = 0.1
MOST_LINES = 200
"""Of what is printed, at once: one that floods keeps nobody from looking at its memory."""
WATCH_EVERY_S = 0.5
"""How often memory is looked at."""
TOLD_EVERY_S = 20.0
"""How often a process over its quota is told of."""
PLATFORM = "heroku"
"""What lines are prefixed with that the platform itself would write."""
_COLOURS = ("36", "33", "32", "35", "34")
_SIGNALLED = 128
NOT_STARTED = 126
"""As a shell counts what it cannot run."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the platform holds processes to. ``quota_bytes`` and ``kill_bytes`` are each process's; None: no limit."""

    boot_s: float
    stop_s: float
    quota_bytes: int | None = None
    kill_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A process to be run: its name in the prefix (``web.1``), its line, where, and its variables.

    ``port`` is set for the one that has to listen there within the boot limit.
    """

    name: str
    line: str
    folder: Path
    environ: Mapping[str, str]
    port: int | None = None


@dataclass(slots=True)
class _Running:
    command: Command
    pid: int | None = None
    code: int | None = None
    started: float = 0.0
    booted: bool = False
    told: float = 0.0
    killed: bool = False
    group: Path | None = None
    thread: threading.Thread | None = None


@dataclass(slots=True)
class _State:
    running: dict[str, _Running]
    rules: Rules
    say: Callable[[str], None]
    first: int | None = None
    """The exit code of the whole: that of the first that ended, or that of the signal that ended it."""
    stopping: float | None = None
    signals: list[int] = field(default_factory=list)


def run_commands(commands: Sequence[Command], *, rules: Rules, output: TextIO, colour: bool) -> int:
    """Run them together until all have ended; the exit code of the first that did, as a shell counts it.

    The first that ends ends the others: SIGTERM, and after ``stop_s`` SIGKILL. SIGINT and SIGTERM to this do, too.

    Raises:
        MissingExtra: honcho is not installed.
    """
    require("honcho", what="Running a Procfile", extra="up")
    from honcho.printer import Message, Printer

    printer = Printer(output, colour=colour)
    printer.width = max(len(PLATFORM), *(len(one.name) for one in commands))
    events: queue.Queue[Message] = queue.Queue()

    def say(text: str) -> None:
        printer.write(Message("line", text, datetime.now(), PLATFORM, None))  # noqa: DTZ005  as the others' clock

    state = _State({one.name: _Running(one) for one in commands}, rules, say)
    with _signals(state.signals):
        for position, one in enumerate(state.running.values()):
            _start(one, events, colour=_COLOURS[position % len(_COLOURS)], rules=rules)
        try:
            _loop(state, events, printer)
        finally:
            for one in state.running.values():
                _clear(one)
    return state.first or 0


@contextmanager
def _signals(into: list[int]) -> Iterator[None]:
    """SIGINT and SIGTERM are noted, for the loop; elsewhere than in the main thread nobody sends them."""

    def note(number: int, _: FrameType | None) -> None:
        into.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, note) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _start(one: _Running, events: "queue.Queue[Message]", *, colour: str, rules: Rules) -> None:
    from honcho.process import Process

    line = f"exec {shell()} -c {shlex.quote(one.command.line)}"
    if rules.kill_bytes is not None:
        one.group = make_group(f"aweigh-up-{id(one)}-{one.command.name}", most_bytes=rules.kill_bytes)
        if one.group is not None:
            line = f"echo $$ > {shlex.quote(str(one.group / 'cgroup.procs'))} && {line}"
    process: Any = Process(
        line, name=one.command.name, colour=colour, env=dict(one.command.environ), cwd=str(one.command.folder)
    )
    one.started = time.monotonic()
    one.thread = threading.Thread(target=_read, args=(process, one.command.name, events), daemon=True)
    one.thread.start()


def _read(process: Any, name: str, events: "queue.Queue[Message]") -> None:
    """Start it and hand on what it prints, until it has ended; one that cannot be started has ended."""
    from honcho.printer import Message

    try:
        process.run(events)
    except OSError as error:
        events.put(Message("line", f"it cannot be started: {error.strerror}", datetime.now(), name, None))  # noqa: DTZ005
        events.put(Message("stop", {"returncode": NOT_STARTED}, datetime.now(), name, None))  # noqa: DTZ005


def shell() -> str:
    """The shell of a dyno is bash; where there is none, the system's own."""
    return shutil.which("bash") or "/bin/sh"


def _loop(state: _State, events: "queue.Queue[Message]", printer: Any) -> None:
    watched = 0.0
    while True:
        with suppress(queue.Empty):
            for _ in range(MOST_LINES):
                _take(state, events.get(timeout=TICK_S), printer)
        if all(one.code is not None for one in state.running.values()) and events.empty():
            return
        now = time.monotonic()
        if state.signals and state.stopping is None:
            state.first = _SIGNALLED + state.signals[0] if state.first is None else state.first
            _stop(state, now)
        if state.stopping is None and now - watched >= WATCH_EVERY_S:
            watched = now
            for one in state.running.values():
                _watch(state, one, now)
        if state.stopping is not None and now - state.stopping > state.rules.stop_s:
            _kill_the_rest(state)


def _take(state: _State, message: "Message", printer: Any) -> None:
    if message.type == "line":
        printer.write(message)
        return
    one = state.running[message.name]
    if message.type == "start":
        one.pid = message.data["pid"]
        state.say(f"{one.command.name} started: {one.command.line}")
        if state.stopping is not None:
            signal_tree(message.data["pid"], signal.SIGTERM)
        return
    code = message.data["returncode"]
    one.code = _SIGNALLED - code if code < 0 else code
    if one.group is not None and was_killed(one.group) and not one.killed:
        state.say(f"{one.command.name} Error R15 (Memory quota vastly exceeded)")
    if one.pid is not None:
        kill_tree(one.pid)  # what the shell left behind
    state.say(f"{one.command.name} exited with status {one.code}")
    if state.first is None:
        state.first = one.code
    if state.stopping is None:
        _stop(state, time.monotonic())


def _stop(state: _State, now: float) -> None:
    """SIGTERM to all that run."""
    state.stopping = now
    for one in state.running.values():
        if one.code is None and one.pid is not None:
            state.say(f"stopping {one.command.name} with SIGTERM")
            signal_tree(one.pid, signal.SIGTERM)


def _kill_the_rest(state: _State) -> None:
    for one in state.running.values():
        if one.code is None and one.pid is not None and not one.killed:
            state.say(f"{one.command.name} Error R12 (Exit timeout): it runs {state.rules.stop_s:g} s after SIGTERM")
            _kill(state, one)


def _kill(state: _State, one: _Running) -> None:
    if one.pid is not None:
        one.killed = True
        state.say(f"stopping {one.command.name} with SIGKILL")
        kill_tree(one.pid)


def _watch(state: _State, one: _Running, now: float) -> None:
    """The boot limit, and the memory, of one process."""
    if one.code is not None or one.pid is None or one.killed:
        return
    if has_ended(one.pid):
        kill_tree(one.pid)  # what it left in the background holds its output open
        return
    if one.command.port is not None and not one.booted:
        one.booted = listens(one.command.port)
        if one.booted:
            state.say(f"{one.command.name} listens on port {one.command.port} after {now - one.started:.1f} s")
        elif now - one.started > state.rules.boot_s:
            state.say(
                f"{one.command.name} Error R10 (Boot timeout): nothing listens on $PORT ({one.command.port}) "
                f"within {state.rules.boot_s:g} s"
            )
            _kill(state, one)
            return
    if state.rules.quota_bytes is None or state.rules.kill_bytes is None:
        return
    taken = tree_bytes(one.pid)
    if taken <= state.rules.quota_bytes:
        return
    part = f"{taken / MB:.0f} MB ({taken / state.rules.quota_bytes:.0%})"
    if taken >= state.rules.kill_bytes:
        state.say(f"{one.command.name} Error R15 (Memory quota vastly exceeded): it takes {part}")
        _kill(state, one)
    elif not one.told or now - one.told >= TOLD_EVERY_S:
        one.told = now
        state.say(f"{one.command.name} Error R14 (Memory quota exceeded): it takes {part}")


def listens(port: int) -> bool:
    """Whether anything takes connections on a port of this machine."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _clear(one: _Running) -> None:
    """Nothing is left behind, whatever has happened."""
    if one.code is None and one.pid is not None:
        kill_tree(one.pid)
    if one.thread is not None:
        one.thread.join(2)
    if one.group is not None:
        remove_group(one.group)
