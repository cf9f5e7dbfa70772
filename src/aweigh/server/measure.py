"""Measures a bundle by serving it: ``aweigh serve`` itself, in processes of its own, is started, asked and stopped."""

import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import msgspec

from aweigh.errors import AweighError
from aweigh.runtime.measured import Call, Measured, Memory, Request
from aweigh.runtime.memory import ProcessMemory, children_of, memory_of, shared_files, together
from aweigh.runtime.pace import Pace
from aweigh.server.serve import THREAD_VARIABLES
from aweigh.server.settings import Settings

if TYPE_CHECKING:
    from aweigh.bundle.verify import VerifiedBundle

START_S = 120.0
STOP_S = 20.0
ENDING_S = 1.0
"""How long a process takes to be gone after it has closed its output."""
ANSWER_S = 120.0
REQUEST_ROWS = (1, 32, 1024)
REQUEST_S = 0.4
"""How long requests of a size are sent: the kernel counts CPU time in hundredths of a second."""

THREADS = (1, 2)
CONNECTIONS = 8
FAMILY = 2
"""API processes of the server that several processes are measured on."""

_URL = re.compile(r"http://127\.0\.0\.1:(\d+)")
_UNSET = (
    "PORT",
    "REDIS_URL",
    "REDIS_URL_FILE",
    "WEB_CONCURRENCY",
    "AWEIGH_WORKERS",
    "AWEIGH_THREADS",
    "AWEIGH_DRAIN_DELAY_S",
    *THREAD_VARIABLES,
)
_SET = {"AWEIGH_DRAIN_DELAY_S": "0", "AWEIGH_CACHE_BYTES": "0"}
"""The golden rows are asked again and again: kept answers would be all that is measured."""

Tell = Callable[[str, str, float], None]
"""Called when something has been measured: what, what came of it, and the seconds that it took."""


@dataclass(frozen=True, slots=True)
class _Served:
    """A server that is up: its processes, where it listens, and what the start took."""

    pid: int
    port: int
    start_s: float
    start_cpu_s: float

    @property
    def pids(self) -> list[int]:
        return [self.pid, *children_of(self.pid)]


def measure(bundle: "VerifiedBundle", *, settings: Settings, tell: Tell) -> Measured:
    """Serves the bundle alone, with the app and in several processes, and times its model; takes some seconds.

    Raises:
        AweighError: it cannot be served here, in the server's own words, or was killed while it was measured.
    """
    has_ui = find_spec("streamlit") is not None
    begun = time.perf_counter()
    with _serving(bundle, "--no-ui", "--workers", "1") as served:
        alone = together(_memory(served))
        requests = tuple(_requests(served, bundle, settings))
        largest = largest_body(
            _golden(bundle), most_rows=settings.rows_for(bundle.schema), most_bytes=settings.max_body_bytes
        )
        peak = _peak(served, largest[1])
    tell("api", f"{served.start_cpu_s:.2f} s of CPU to start", time.perf_counter() - begun)
    both = None
    if has_ui:
        begun = time.perf_counter()
        with _serving(bundle, "--workers", "1") as one:
            both = together(_memory(one))
        tell("app", f"{one.start_cpu_s:.2f} s of CPU to start with it", time.perf_counter() - begun)
    begun = time.perf_counter()
    with _serving(bundle, "--workers", str(FAMILY), *([] if has_ui else ["--no-ui"])) as many:
        family = _memory(many)
    tell("several", f"{len(family)} processes", time.perf_counter() - begun)
    begun = time.perf_counter()
    calls = _calls(bundle)
    tell("model", f"{len(calls)} sizes and numbers of threads", time.perf_counter() - begun)
    parent, *workers = family
    # The app's process answers no API: it is the one without the model, and the last that was started.
    ui = workers.pop() if has_ui else None
    memory = Memory(
        alone=alone,
        both=both,
        parent=parent.own_bytes,
        worker=max(one.own_bytes for one in workers),
        ui=None if ui is None else ui.own_bytes,
        files=sum(shared_files(family).values()),
        peak=peak + (settings.cache_bytes or 0),
    )
    return Measured(
        memory=memory,
        largest_rows=largest[0],
        largest_bytes=len(largest[1]),
        start_cpu_s=served.start_cpu_s,
        start_s=served.start_s,
        requests=requests,
        calls=calls,
    )


@contextmanager
def _serving(bundle: "VerifiedBundle", *options: str) -> Iterator[_Served]:
    """The server of this package, from its first prediction's readiness until the block ends."""
    arguments = ["serve", str(bundle.path), "--host", "127.0.0.1", "--port", "0", *options]
    begun = time.perf_counter()
    with _child("aweigh", *arguments) as (process, errors):
        port = _port_of(process, errors)
        _wait_until_ready(process, port, errors)
        served = _Served(process.pid, port, time.perf_counter() - begun, 0.0)
        cpu = sum(_cpu_s(pid) for pid in served.pids)
        yield _Served(process.pid, port, served.start_s, cpu)


@contextmanager
def _child(module: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], IO[bytes]]]:
    """A process of this Python that runs a module; stopped at the end, whatever happens."""
    environ = {name: value for name, value in os.environ.items() if name not in _UNSET} | _SET
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environ,
        )
        watchdog = threading.Timer(START_S + ANSWER_S, process.kill)
        watchdog.start()
        try:
            yield process, errors
        finally:
            watchdog.cancel()
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _port_of(process: subprocess.Popen[str], errors: IO[bytes]) -> int:
    """The port that the server says it listens on, which it does once it is ready."""
    for line in process.stdout or ():
        if line.split()[:1] == ["refused"]:
            raise AweighError(
                "The golden rows are not answered as when the model was packed: there is nothing to plan."
            )
        found = _URL.search(line)
        if found is not None:
            threading.Thread(target=_drain, args=(process.stdout,), daemon=True).start()
            return int(found[1])
    raise died(process, errors)


def _drain(stream: IO[str]) -> None:
    """Reads on what nobody needs, so that the process never waits for its reader."""
    with suppress(ValueError):  # closed, as the block has ended
        for _ in stream:
            pass


def _wait_until_ready(process: subprocess.Popen[str], port: int, errors: IO[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError):
            if _status(port, "/health/ready") == HTTPStatus.OK:
                return
        time.sleep(0.02)
    raise died(process, errors)


def died(process: subprocess.Popen[str], errors: IO[bytes]) -> AweighError:
    """Why there is no server: its own words, or that the system killed it."""
    try:
        code = process.wait(ENDING_S)
    except subprocess.TimeoutExpired:
        code = 0  # it lives, and is not ready: the block that started it stops it
    errors.seek(0)
    said = errors.read().decode(errors="replace").splitlines()
    told = {name: text for name, _, text in (line.partition(": ") for line in said) if name in {"error", "hint"}}
    if "error" in told:
        return AweighError(told["error"], hint=told.get("hint"))
    if code < 0:
        return AweighError(
            "The server was killed while it was measured: most likely there was not enough memory.",
            hint="measure on a larger machine, and name the small one: --memory 512M --cpus 1",
        )
    return AweighError("The server did not become ready while it was measured.", hint="look at 'aweigh serve' itself")


def _memory(served: _Served) -> list[ProcessMemory]:
    """What each process takes, the parent first.

    Raises:
        AweighError: this system does not tell.
    """
    found = [one for one in map(memory_of, served.pids) if one is not None]
    if not found:
        raise AweighError("This system does not tell how much memory a process takes.")
    return found


def _cpu_s(pid: int) -> float:
    """CPU seconds that a process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return _cpu_by_ps(pid)


def _cpu_by_ps(pid: int) -> float:
    """Where there is no ``/proc``: ``ps`` says ``minutes:seconds.hundredths``."""
    done = subprocess.run(["/bin/ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=False)
    seconds = 0.0
    for part in done.stdout.strip().split(":"):
        seconds = seconds * 60 + float(part or 0)
    return seconds


def _golden(bundle: "VerifiedBundle") -> list[dict[str, object]]:
    from aweigh.bundle.examples import load_examples

    rows = load_examples(bundle.read("examples.json")).rows
    if not rows:
        raise AweighError("The bundle holds no golden rows to measure it with.", hint="pack it again")
    return rows


def largest_body(rows: Sequence[dict[str, object]], *, most_rows: int, most_bytes: int) -> tuple[int, bytes]:
    """The golden rows as the body of one request, again and again until a limit is reached; and how many they are."""
    cells = [msgspec.json.encode(row) for row in rows]
    size, parts = len(b'{"rows":[]}'), []
    for i in range(most_rows):
        size += len(cells[i % len(cells)]) + 1
        if size > most_bytes:
            break
        parts.append(cells[i % len(cells)])
    return len(parts), b'{"rows":[' + b",".join(parts) + b"]}"


def _requests(served: _Served, bundle: "VerifiedBundle", settings: Settings) -> Iterator[Request]:
    """CPU microseconds of one request, of as many rows as it may have up to each of ``REQUEST_ROWS``."""
    told: set[int] = set()
    for wanted in REQUEST_ROWS:
        most = min(wanted, settings.rows_for(bundle.schema))
        rows, body = largest_body(_golden(bundle), most_rows=most, most_bytes=settings.max_body_bytes)
        if rows in told or not rows:
            continue
        told.add(rows)
        with ExitStack() as stack:
            lines = [stack.enter_context(_Line(served.port)) for _ in range(CONNECTIONS)]
            for line in lines:
                line.ask(body)
                line.read_reply()
            spent, count = _spent(served.pid, lines, body)
        yield Request(rows=rows, cpu_us=max(spent, 0.5 / os.sysconf("SC_CLK_TCK")) / count * 1e6)


def _spent(pid: int, lines: "Sequence[_Line]", body: bytes) -> tuple[float, int]:
    """CPU seconds that a process spends while all lines ask it again and again, and how many requests those were."""
    before, begun, count = _cpu_s(pid), time.perf_counter(), 0
    while not count or time.perf_counter() - begun < REQUEST_S:
        for line in lines:
            line.ask(body)
        for line in lines:
            line.read_reply()
        count += len(lines)
    return _cpu_s(pid) - before, count


class _Line:
    """A connection to the server that sends a request in one piece, as a client under load does."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S)
        self._stream = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._socket.close()

    def ask(self, body: bytes) -> None:
        """Send one request for predictions."""
        head = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        self._socket.sendall(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))

    def read_reply(self) -> None:
        """Read one reply to its end.

        Raises:
            AweighError: it is no answer.
        """
        status, size = self._stream.readline().split(b" ")[1:2], 0
        for line in iter(self._stream.readline, b"\r\n"):
            if not line:
                raise AweighError("The server hung up while it was measured.")
            if line.lower().startswith(b"content-length:"):
                size = int(line.partition(b":")[2])
        text = self._stream.read(size)
        if status != [b"200"]:
            said = text[:200].decode(errors="replace")
            raise AweighError(f"The server refused a golden row while it was measured: {said}")


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def _peak(served: _Served, body: bytes) -> int:
    """How much more the process holds at most while it answers the body than it held before."""
    before = _resident(served.pid, "VmRSS")
    with suppress(OSError):
        Path(f"/proc/{served.pid}/clear_refs").write_text("5")  # forget the peak of the start: proc_pid_clear_refs(5)
    highest = before
    asking = threading.Thread(target=_send_once, args=(served.port, body))
    asking.start()
    while asking.is_alive():
        asking.join(0.02)
        highest = max(highest, _resident(served.pid, "VmRSS"))
    return max(0, highest, _resident(served.pid, "VmHWM")) - before


def _send_once(port: int, body: bytes) -> None:
    try:
        with _Line(port) as line:
            line.ask(body)
            line.read_reply()
    except (OSError, AweighError):
        return  # a model that cannot answer so many at once has shown what it takes to try


def _resident(pid: int, name: str) -> int:
    """Bytes of a field of ``/proc/PID/status``; where there is none, what the process takes."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        found = memory_of(pid)
        return 0 if found is None else found.own_bytes
    line = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return 0 if line is None else int(line[1]) * 1024


def _calls(bundle: "VerifiedBundle") -> tuple[Call, ...]:
    """The model timed on each number of threads, in a process each."""
    calls: list[Call] = []
    first: tuple[str, ...] = ()
    for threads in THREADS:
        found = _pace(bundle, threads)
        first = first or found.answers
        pairs = zip(found.calls, found.answers, first, strict=True)
        calls += [msgspec.structs.replace(call, same=ours == theirs) for call, ours, theirs in pairs]
    return tuple(calls)


def _pace(bundle: "VerifiedBundle", threads: int) -> Pace:
    limits = {name: str(threads) for name in THREAD_VARIABLES}
    arguments = [sys.executable, "-P", "-m", "aweigh.runtime.pace", str(bundle.path), "--threads", str(threads)]
    done = subprocess.run(arguments, capture_output=True, env=os.environ | limits, check=False, timeout=ANSWER_S)
    if done.returncode:
        raise AweighError("The model could not be timed.", hint="look at 'aweigh serve' itself")
    return msgspec.json.decode(done.stdout, type=Pace)
