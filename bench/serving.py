"""Section ``serving``: one row at 32 connections and at one, 1,000 rows, start and memory, for every server in turn.

Each figure is the median of three, of ours of nine, each between two short runs of the floor with the same bodies;
ratios are to their mean. A start is the least of five. The model's own call is measured in this process, with
scikit-learn and with ONNX Runtime on one thread.

What 1,000 rows cost beyond the model's own call is the median of many turns, a tenth of a second of the server between
two of the call: a machine that is shared is slower in one second than in the next, by more than what is left over.
Servers answer on one thread a call, as the call itself is made.
They are asked for by a client of Python's, whose own CPU is not counted. The call is taken as every server meets it,
after the same rows were parsed as the floor parses them (``own_ms``). Repeated with nothing in between
(``own_alone_ms``) it is a tenth quicker, as its branches and its trees are at hand: no server can have that.

They come by one connection. Ours answers many rows otherwise where somebody else asks, too, so that is measured as well
(``_in_company``).
"""

import http.client
import json
import statistics
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from bench.arrow_rows import CONTENT_TYPE, arrow_stream
from bench.goals import IN_COMPANY
from bench.load import Sent, generator, load
from bench.models import Model, ensure
from bench.processes import living_cpu_s
from bench.servers import FLOOR, OURS, Kind, Server

MANY = 1000
CONNECTIONS = 32
FLOOR_S = 1.0
LOADS = 3
"""How often each is loaded: in one of the turns the machine may have had something else to do."""

OURS_MORE = 3
"""So many times as often ours are loaded: near the floor what the machine does to a figure counts for more."""

TURN_S, BEYOND_S, FEWEST_TURNS, WARMING = 0.1, 7.0, 15, 20
RATIOS = ("cpu_ms", "rps", "p50_ms", "p99_ms")


def measure(
    kinds: Sequence[Kind], models: Sequence[Model], *, seconds: float, starts: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Every server with every model: ``{"generator", "own": {letter: ...}, "servers": {name: {letter: ...}}}``."""
    ensure(*models, tell=tell)
    found: dict[str, Any] = {"generator": generator(), "own": {}, "servers": {}}
    for model in models:
        calls = own_calls(model)
        found["own"][model.letter] = {name: cpu_ms(call) for name, call in calls.items()}
        tell(f"own call, {model.letter}, {MANY} rows, CPU ms: {found['own'][model.letter]}")
        with Server(FLOOR, model) as floor:
            _warm(floor)
            for kind in kinds:
                if not kind.installed:
                    tell(f"{kind.title} is not installed here (make bench-peers)")
                    continue
                try:
                    figures = one_server(kind, model, floor, calls, seconds=seconds, starts=starts)
                except RuntimeError as error:
                    tell(f"{kind.title}, {model.letter}: {error}")
                    figures = {"failed": str(error).splitlines()[0]}
                found["servers"].setdefault(kind.name, {})[model.letter] = figures
                tell(f"{kind.title}, {model.letter}: {_said(figures)}")
            found["servers"].setdefault(FLOOR.name, {})[model.letter] = {
                "start_cpu_s": floor.start_cpu_s,
                "memory_mb": round(floor.memory_mb(), 1),
            }
    return found


def one_server(
    kind: Kind, model: Model, floor: Server, calls: "Calls", *, seconds: float, starts: int
) -> dict[str, Any]:
    """All figures of one server with one model."""
    own = calls["onnx_many" if kind.name in OURS else "sklearn_many"]
    more = OURS_MORE if kind.name in OURS else 1
    drive = partial(_bracketed, loads=LOADS * more)
    left_over = partial(beyond, seconds=BEYOND_S * more)
    started = []
    for _ in range(starts - 1):
        with Server(kind, model) as server:
            started.append(server.start_cpu_s)
    with Server(kind, model) as server:
        started.append(server.start_cpu_s)
        before_mb = server.memory_mb()
        _warm(server)
        short = max(2.0, seconds / 2)
        figures = {
            "start_cpu_s": round(min(started), 3),
            "c32": drive(server, floor, Server.one_row_bodies, connections=CONNECTIONS, seconds=seconds),
            "c1": drive(server, floor, Server.one_row_bodies, connections=1, seconds=short),
            "many_json": drive(server, floor, _many, connections=1, seconds=short),
        }
        text = server.encoded(model.data["rows"][:MANY])
        figures["many_json"] |= left_over(server, _many(server), own, between=partial(json.loads, text))
        if kind.name in OURS:
            stream = arrow_stream(model.data["rows"][:MANY])
            for name, accept in (("many_arrow", "*/*"), ("many_arrow_both", CONTENT_TYPE)):
                sent = server.sent(stream, content_type=CONTENT_TYPE, accept=accept)
                figures[name] = _rounded(load(server.url, sent, pid=server.pid, connections=1, seconds=short))
                figures[name] |= left_over(server, sent, own, between=partial(json.loads, text))
            arrow = server.sent(stream, content_type=CONTENT_TYPE)
            with in_company(server):
                for name, sent in (("many_json", _many(server)), ("many_arrow", arrow)):
                    figures[name + IN_COMPANY] = left_over(server, sent, own, between=partial(json.loads, text))
        figures |= {
            "memory_start_mb": round(before_mb, 1),
            "memory_mb": round(server.memory_mb(), 1),
            "agrees": server.check(),
        }
    return figures


def beyond(
    server: Server, sent: Sent, own: Callable[[], object], *, between: Callable[[], object], seconds: float
) -> dict[str, float]:
    """CPU ms of the model's own call, alone and with ``between`` before each, and of a request beyond the latter."""
    alone: list[float] = []
    calls: list[float] = []
    left: list[float] = []
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        for _ in range(WARMING):
            _post(connection, server, sent)
        begun, call = time.perf_counter(), mean_ms(own, TURN_S, before_each=between)
        while time.perf_counter() - begun < seconds or len(left) < FEWEST_TURNS:
            before, whole = call, _server_ms(connection, server, sent)
            call = mean_ms(own, TURN_S, before_each=between)
            calls.append(call)
            left.append(whole - (before + call) / 2)
            alone.append(mean_ms(own, TURN_S))
    medians = {"own_alone_ms": alone, "own_ms": calls, "beyond_ms": left}
    return {name: round(statistics.median(some), 4) for name, some in medians.items()}


def _server_ms(connection: http.client.HTTPConnection, server: Server, sent: Sent) -> float:
    """CPU milliseconds of the server's whole tree for a request, the mean of as many as a turn holds."""
    count, used, end = 0, -living_cpu_s(server.pid), time.perf_counter() + TURN_S
    while time.perf_counter() < end or not count:
        _post(connection, server, sent)
        count += 1
    return (used + living_cpu_s(server.pid)) / count * 1000


def _post(connection: http.client.HTTPConnection, server: Server, sent: Sent) -> None:
    headers = {"Content-Type": sent.content_type, "Accept": sent.accept}
    headers |= {"Authorization": sent.authorization} if sent.authorization else {}
    connection.request("POST", server.kind.path, sent.bodies[0], headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        msg = f"{server.kind.name} answered {answer.status} to {MANY} rows"
        raise RuntimeError(msg)


@contextmanager
def in_company(server: Server) -> Iterator[None]:
    """Somebody else asks the server whether it is ready, twenty times a second."""
    over = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        while not over.wait(0.05):
            connection.request("GET", "/health/ready")
            connection.getresponse().read()
        connection.close()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()


def _many(server: Server) -> Sent:
    return server.many_rows_body(MANY)


def _warm(server: Server) -> None:
    load(server.url, server.one_row_bodies(), pid=server.pid, connections=8, seconds=1)


def _bracketed(
    server: Server, floor: Server, bodies: Callable[[Server], Sent], *, connections: int, seconds: float, loads: int
) -> dict[str, Any]:
    """The server's figures, the floor's before and after it, and the ratios between them: the medians of some turns.

    A turn is a third of ``seconds``.
    """

    def drive(one: Server, for_s: float) -> dict[str, Any]:
        return load(one.url, bodies(one), pid=one.pid, connections=connections, seconds=for_s)

    figures, base, ratios, before = [], [], [], drive(floor, FLOOR_S)
    for _ in range(loads):
        figures.append(drive(server, seconds / LOADS))
        after = drive(floor, FLOOR_S)
        base.append({name: (before[name] + after[name]) / 2 for name in RATIOS})
        ratios.append({name: figures[-1][name] / value for name, value in base[-1].items() if value})
        before = after
    sums = {name: sum(turn[name] for turn in figures) for name in ("requests", "bad")}
    return _medians(figures) | sums | {"floor": _medians(base), "ratio": _medians(ratios)}


def _medians(turns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return _rounded({name: statistics.median(turn[name] for turn in turns) for name in turns[0]})


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}


def _said(figures: dict[str, Any]) -> str:
    if "failed" in figures:
        return str(figures["failed"])
    busy, one, many = figures["c32"], figures["c1"], figures["many_json"]
    left = [f"{name[5:]} {one['beyond_ms']:.2f}" for name, one in figures.items() if name.startswith("many")]
    return (
        f"{busy['cpu_ms']:.3f} CPU ms ({busy['ratio']['cpu_ms']:.2f} x the floor), {busy['rps']:,.0f}/s, "
        f"p99 {busy['ratio']['p99_ms']:.1f} x; alone p50 {one['ratio']['p50_ms']:.2f} x; "
        f"{MANY} rows {many['cpu_ms']:.2f} CPU ms, beyond the own call {', '.join(left)}; "
        f"start {figures['start_cpu_s']:.2f} CPU s; {figures['memory_mb']:.0f} MB; agrees: {figures['agrees']}"
    )


# -- the model alone -------------------------------------------------------------------------------------------------


Calls = Mapping[str, Callable[[], object]]


def own_calls(model: Model) -> Calls:
    """The model's own calls, in this process: scikit-learn on a DataFrame, ONNX Runtime on what it is fed."""
    import joblib
    import pandas as pd

    estimator, frame = joblib.load(model.joblib), pd.DataFrame(model.data["rows"])[model.data["columns"]]
    run = _onnx_call(model)
    return {
        "sklearn_1": lambda: estimator.predict_proba(frame[:1]),
        "sklearn_many": lambda: estimator.predict_proba(frame[:MANY]),
        "onnx_1": lambda: run(1),
        "onnx_many": lambda: run(MANY),
    }


def cpu_ms(call: Callable[[], object], *, rounds: int = 7, round_s: float = 0.1) -> float:
    """CPU milliseconds of a call: the best of several rounds' means."""
    call()
    return round(min(mean_ms(call, round_s) for _ in range(rounds)), 4)


def mean_ms(call: Callable[[], object], seconds: float, *, before_each: Callable[[], object] | None = None) -> float:
    """CPU milliseconds of a call, the mean of as many as so many seconds hold, without what comes before each."""
    count, used, end = 0, 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end or not count:
        if before_each is not None:
            before_each()
        begun = time.process_time()
        call()
        used += time.process_time() - begun
        count += 1
    return used / count * 1000


def _onnx_call(model: Model) -> Callable[[int], object]:
    """ONNX Runtime's run of the bundle's graph, and nothing else, on the first so many rows."""
    import numpy as np
    import onnxruntime as ort

    with zipfile.ZipFile(model.bundle) as archive:
        graph = json.loads(archive.read("manifest.json"))["graph"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(archive.read("model/model.onnx"), options, providers=["CPUExecutionProvider"])
    kinds = {"float": np.float32, "double": np.float64, "int64": np.int64, "bool": np.bool_}
    rows, shapes = model.data["rows"], {one.name: len(one.shape) for one in session.get_inputs()}
    feeds = {}
    for given in graph["inputs"]:
        cells = [[row[name] for name in given["columns"]] for row in rows]
        block = np.array(cells, dtype=kinds.get(given.get("element", "double"), object))
        feeds[given["name"]] = block if shapes[given["name"]] == len(("rows", "columns")) else block.reshape(-1)
    names = [one.name for one in session.get_outputs()]
    return lambda count: session.run(names, {name: block[:count] for name, block in feeds.items()})
