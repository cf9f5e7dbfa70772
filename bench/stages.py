"""Section ``profile``: where each microsecond of a one-row request goes, and what is left above the floor.

In this process, without sockets (``one_request.py``): the CPU of a request, the floor and each model asked in turn
many times; then what is under way is looked at two thousand times a second, and counted by the module that called it.
The kernel's share, sockets, waiting and waking, is what the system counts as its own for a real server under load.
Where ``py-spy`` is installed, it looks at that server from outside meanwhile, as a check.
"""

import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from bench.load import Sent, load
from bench.models import ALL, A, Model, ensure
from bench.one_request import InProcess, request
from bench.processes import kernel_s
from bench.servers import AWEIGH, DISTINCT, FLOOR, Server

TURNS, TURN_S = 15, 0.1
LOOK_S, LOOK_EVERY_S = 8.0, 0.0005
LIVE_S = 4.0
LETTERS = "AC"

HTTP, ROAD, READ, FEED, MODEL, OUT, WARN, WRITE = (
    "HTTP: request, event loop",
    "gate, endpoint, counters, clock",
    "JSON to table",
    "table to the model's inputs",
    "the model's own call",
    "outputs to answers",
    "looking for unusual values",
    "reply: JSON, headers, write",
)
KERNEL = "kernel: sockets, waking"
FRAMEWORK = "framework: routing, objects"
STAGES = (HTTP, FRAMEWORK, ROAD, READ, FEED, MODEL, OUT, WARN, WRITE, KERNEL)
PLACES: tuple[tuple[str, str], ...] = (
    ("bench/one_request.py", ""),
    ("aweigh/schema/decode", READ),
    ("aweigh/schema/domain", WARN),
    ("aweigh/schema/combination", WARN),
    ("aweigh/schema/answers", OUT),
    ("aweigh/models/onnx_read", OUT),
    ("aweigh/models/onnx_feed", FEED),
    ("aweigh/models/", MODEL),
    ("aweigh/runtime/", MODEL),
    ("aweigh/table/", READ),
    ("aweigh/server/reply", WRITE),
    ("aweigh/server/finish", WRITE),
    ("aweigh/server/ulid", WRITE),
    ("aweigh/server/whole", WRITE),
    ("aweigh/server/protocol", HTTP),
    ("aweigh/server/lane", HTTP),
    ("aweigh/server/", ROAD),
    ("uvicorn/", HTTP),
    ("onnxruntime/", MODEL),
    ("bench/floor.py", FRAMEWORK),
    ("starlette/responses", WRITE),
    ("starlette/", FRAMEWORK),
    ("json/decoder", READ),
    ("json/__init__.py", READ),
    ("json/encoder", WRITE),
)
"""Which stage a file's time belongs to, the first that fits; of other files, that of whoever called them."""


def stage_of(filenames: Sequence[str]) -> str | None:
    """The stage of a stack, innermost file first; empty: it is the asker's own; None: nobody's that is known."""
    for filename in filenames:
        for part, stage in PLACES:
            if part in filename:
                return stage
    return None


def measure(*, tell: Callable[[str], None]) -> dict[str, Any]:
    """``in_process``: CPU microseconds and ratios; ``stages``: microseconds of each; ``live``: of a real server."""
    models = [ALL[letter] for letter in LETTERS]
    ensure(*models, tell=tell)
    found: dict[str, Any] = {"in_process": ratios(), "stages": {}, "live": {}, "spied": {}}
    tell(f"in process: {found['in_process']}")
    for name in ("floor", *LETTERS):
        whole = found["in_process"][name]["us"]
        with opened(name) as one:
            shares = looked_at(one, requests_of(name))
        found["stages"][name] = {stage: round(share * whole, 2) for stage, share in shares.items()}
        live, spied = _live(name)
        found["live"][name] = live
        if spied:
            found["spied"][name] = spied
        found["stages"][name][KERNEL] = live["kernel_us"]
        tell(f"{name}: {found['stages'][name]}; live {live}; py-spy {spied or 'is not installed'}")
    return found


# -- in this process -------------------------------------------------------------------------------------------------


def opened(name: str) -> InProcess:
    """The floor, or the API of a model."""
    return InProcess.floor() if name == "floor" else InProcess.aweigh(ALL[name].bundle)


def requests_of(name: str, *, body_of: str | None = None) -> list[bytes]:
    """One-row requests to the floor (with the rows of ``body_of``, or of model A) or to a model."""
    model = ALL[body_of or (name if name in ALL else "A")]
    bodies = [AWEIGH.body([row]) for row in model.data["rows"][:DISTINCT]]
    path = FLOOR.path if name == "floor" else AWEIGH.path
    return [request(path, _encoded(body)) for body in bodies]


def _encoded(body: object) -> bytes:
    import json

    return json.dumps(body).encode()


def ratios() -> dict[str, Any]:
    """CPU microseconds of a one-row request to the floor and to each model, and ``ratio`` to the floor with its rows.

    They are asked in turn, in short runs: a machine that is busy for a while is so for all of them. Medians.
    """
    found: dict[str, Any] = {}
    for letter in LETTERS:
        with InProcess.floor() as floor, InProcess.aweigh(ALL[letter].bundle) as ours:
            base, mine = requests_of("floor", body_of=letter), requests_of(letter)
            pairs = [(_cpu_us(floor, base), _cpu_us(ours, mine)) for _ in range(TURNS)]
        floors, own = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        found.setdefault("floor", {"us": round(statistics.median(floors), 2)})
        ratio = statistics.median(mine / base for base, mine in pairs)
        found[letter] = {"us": round(statistics.median(own), 2), "ratio": round(ratio, 3)}
    return found


def _cpu_us(server: InProcess, requests: Sequence[bytes]) -> float:
    """CPU of a request, the asker's own share of some 3 microseconds included, over a short run."""
    server.send(requests)
    count, begun, end = 0, time.process_time(), time.perf_counter() + TURN_S
    while time.perf_counter() < end:
        server.send(requests)
        count += len(requests)
    return (time.process_time() - begun) / count * 1e6


def looked_at(server: InProcess, requests: Sequence[bytes]) -> dict[str, float]:
    """The share of each stage in the time of these requests; the asker's own is left out.

    A signal is acted upon between two steps of the interpreter: time in C is seen as its caller's.
    """
    seen: Counter[str] = Counter()

    def look(number: int, frame: FrameType | None) -> None:
        del number
        stage = stage_of([one.f_code.co_filename for one in _stack(frame)])
        if stage:
            seen[stage] += 1

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, LOOK_EVERY_S, LOOK_EVERY_S)
    try:
        end = time.perf_counter() + LOOK_S
        while time.perf_counter() < end:
            server.send(requests)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return {stage: seen[stage] / seen.total() for stage in STAGES if seen[stage]}


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


# -- a running server ------------------------------------------------------------------------------------------------


def _live(name: str) -> tuple[dict[str, float], dict[str, float]]:
    """CPU of a request to a real server at 32 connections; and what py-spy sees meanwhile, as shares."""
    model = A if name == "floor" else ALL[name]
    with Server(FLOOR if name == "floor" else AWEIGH, model) as server:
        sent = server.one_row_bodies()
        load(server.url, sent, pid=server.pid, connections=8, seconds=1)
        before = kernel_s(server.pid)
        figures = load(server.url, sent, pid=server.pid, connections=32, seconds=LIVE_S)
        kernel_us = (kernel_s(server.pid) - before) / figures["requests"] * 1e6
        spied = _spied(server, sent)
    whole_us = figures["cpu_ms"] * 1000
    return {"us": round(whole_us, 2), "kernel_us": round(kernel_us, 2), "rps": round(figures["rps"])}, spied


def py_spy() -> str | None:
    """The program, where it is installed beside this Python or on the path."""
    return shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")


def _spied(server: Server, sent: Sent) -> dict[str, float]:
    program = py_spy()
    if program is None:
        return {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        out = Path(folder) / "stacks"
        command = [program, "record", "--pid", str(server.pid), "--subprocesses", "--format", "raw", "--full-filenames"]
        command += ["--rate", "500", "--duration", str(round(LIVE_S)), "--output", str(out), "--nonblocking"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as spy:
            load(server.url, sent, pid=server.pid, connections=32, seconds=LIVE_S + 1)
            spy.wait(30)
        return read_stacks(out.read_text(encoding="utf-8")) if out.exists() else {}


def read_stacks(text: str) -> dict[str, float]:
    """Shares of the stages in what ``py-spy record --format raw`` wrote: outermost first, ``;`` between, a count."""
    seen: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, times = line.rpartition(" ")
        # The loop itself, when nobody is called: waiting on sockets and writing to them are in C.
        seen[stage_of(list(reversed(stack.split(";")))) or KERNEL] += int(times)
    return {stage: round(seen[stage] / seen.total(), 4) for stage in STAGES if seen[stage]}


def changed(before: dict[str, Any], now: dict[str, Any], *, tolerance: float) -> list[str]:
    """A sentence for each model whose ratio to the floor has grown by more than that since it was last written down."""
    return [
        f"model {letter}: {now[letter]['ratio']:.2f} x the floor's CPU, {now[letter]['ratio'] / old - 1:+.0%} to the "
        f"{old:.2f} x of bench/results/profile.json ({tolerance:.0%} are let pass)"
        for letter in LETTERS
        if now[letter]["ratio"] > (old := before[letter]["ratio"]) * (1 + tolerance)
    ]


CHECK_TOLERANCE = 0.25


def main() -> int:
    """``python -m bench.stages``: fails when a one-row request costs more, against the floor, than was written down."""
    from bench.results import read

    models: list[Model] = [ALL[letter] for letter in LETTERS]
    ensure(*models)
    before, now = read("profile").get("in_process"), ratios()
    told = changed(before, now, tolerance=CHECK_TOLERANCE) if before else ["nothing was written down yet"]
    for letter in LETTERS:
        sys.stdout.write(f"model {letter}: {now[letter]['us']:.1f} CPU us, {now[letter]['ratio']:.2f} x the floor\n")
    sys.stdout.write("".join(f"{line}; if that is meant: make profile\n" for line in told))
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
