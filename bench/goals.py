"""The goals, what was measured for each, and whether it is met: the first table of the page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.drawing import figure
from bench.servers import GUARDED, OURS

FLOOR_THEN_MS = 10.6
"""What reading 1,000 rows of A took the floor on the machine that the goals in milliseconds come from."""
MANY = ("many_json", "many_arrow", "many_arrow_both")
IN_COMPANY = "_in_company"
"""Behind a kind of request: measured while somebody else asks, too, as many rows are then handed to a thread."""

Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line: ``met`` is None where it was not measured."""

    goal: str
    asked: str
    measured: str
    peer: str
    met: bool | None


def lines(results: Results) -> list[Line]:
    """A line for each goal."""
    found = [*_serving(results.get("serving", {})), *_files(results.get("files", {})), *_others(results)]
    return [*found, _soak(results.get("soak", {})), _recovery(results.get("recovery", {}))]


def _line(goal: str, asked: str, pairs: list[tuple[float | None, float]], said: str, peer: str = "-") -> Line:
    """A line of figures that must each be at most their limit."""
    known = [(value, limit) for value, limit in pairs if value is not None]
    if len(known) < len(pairs):
        return Line(goal, asked, "not measured", peer, None)
    values = [figure(value) for value, _ in known]
    return Line(goal, asked, said.format(*values), peer, all(value <= limit for value, limit in known))


def _at(figures: Any, *path: str) -> Any:
    """What lies at the end of a path of keys, or None."""
    for name in path:
        figures = figures.get(name) if isinstance(figures, Mapping) else None
    return figures


def _best(serving: Mapping[str, Any], *path: str, least: bool = True) -> float | None:
    """The best peer's figure at a path such as ``A, c32, cpu_ms``."""
    servers = _at(serving, "servers") or {}
    found = [_at(one, *path) for name, one in servers.items() if name not in {*OURS, "floor"}]
    known = [value for value in found if value is not None]
    return (min if least else max)(known) if known else None


def _both(serving: Mapping[str, Any], form: str, *path: str, least: bool = True) -> str:
    values = [_best(serving, letter, *path, least=least) for letter in "AC"]
    known = [value for value in values if value is not None]
    return form.format(*map(figure, known)) if len(known) == len(values) else "-"


def _floor_of_many(serving: Any) -> str:
    """What reading the same rows takes the floor: how quick the machine is, which milliseconds alone do not say."""
    found = [_at(serving, "servers", "aweigh", letter, "many_json", "floor", "cpu_ms") for letter in "AC"]
    said = f"; the floor reads them in {{}} and {{}} ms, and A's in {FLOOR_THEN_MS} where the goal was set"
    return "" if None in found else said.format(*map(figure, found))


def _in_company(serving: Any) -> str:
    found = [beyond(serving, "aweigh", letter, kind + IN_COMPANY) for kind in MANY[:2] for letter in "AC"]
    said = "; while somebody else asks, too, JSON {} and {}, Arrow {} and {} ms"
    return "" if None in found else said.format(*map(figure, found))  # type: ignore[arg-type]


def beyond(serving: Mapping[str, Any], server: str, letter: str, kind: str = "many_json") -> float | None:
    """CPU ms of 1,000 rows beyond the model's own call: ONNX Runtime's for us, scikit-learn's for the peers."""
    found: float | None = _at(serving, "servers", server, letter, kind, "beyond_ms")
    if found is None:  # a peer that was measured before they were measured side by side
        whole = _at(serving, "servers", server, letter, kind, "cpu_ms")
        own = None if server in OURS else _at(serving, "own", letter, "sklearn_many")
        found = None if whole is None or own is None else whole - own
    return None if found is None else max(0.0, found)


def _serving(serving: Mapping[str, Any]) -> list[Line]:
    ours = _at(serving, "servers", "aweigh") or {}

    def at(letter: str, *path: str) -> Any:
        return _at(ours, letter, *path)

    def ratio(connections: str, name: str, letter: str) -> Any:
        return at(letter, connections, "ratio", name)

    def all_on(letter: str, *path: str) -> Any:
        return _at(serving, "servers", GUARDED.name, letter, "c32", *path, "cpu_ms")

    rps = [ratio("c32", "rps", letter) for letter in "AC"]
    many = [beyond(serving, "aweigh", letter, kind) for kind in MANY for letter in "AC"]
    peers = [name for name in _at(serving, "servers") or {} if name not in {*OURS, "floor"}]
    left = [
        min((value for name in peers if (value := beyond(serving, name, letter)) is not None), default=None)
        for letter in "AC"
    ]
    left_said = "{} / {} ms".format(*map(figure, left)) if None not in left else "-"  # type: ignore[arg-type]
    return [
        _line(
            "CPU of a one-row request, 32 connections, against the floor",
            "A 1.3 x, C 1.9 x",
            [(ratio("c32", "cpu_ms", "A"), 1.3), (ratio("c32", "cpu_ms", "C"), 1.9)],
            "A {} x, C {} x",
            _both(serving, "{} x / {} x", "c32", "ratio", "cpu_ms"),
        ),
        _line(
            "the same with a key, a budget, domain check and counters on",
            "3 x, 0.25 ms",
            [(all_on("A", "ratio"), 3), (all_on("C", "ratio"), 3), (all_on("A"), 0.25), (all_on("C"), 0.25)],
            "A {0} x, C {1} x; {2} and {3} ms",
            "none does",
        ),
        Line(
            "requests/s, 32 connections, one worker, against the floor's",
            "at least half",
            "A {:.0%}, C {:.0%}".format(*rps) if None not in rps else "not measured",
            _percent(serving),
            None if None in rps else min(rps) >= 0.5,
        ),
        _line(
            "p99 latency, 32 connections, against the floor's",
            "3 x",
            [(ratio("c32", "p99_ms", letter), 3) for letter in "AC"],
            "A {} x, C {} x",
            _both(serving, "{} x / {} x", "c32", "ratio", "p99_ms"),
        ),
        _line(
            "one connection, p50 against the floor's",
            "2 x",
            [(ratio("c1", "p50_ms", letter), 2) for letter in "AC"],
            "A {} x, C {} x",
            _both(serving, "{} x / {} x", "c1", "ratio", "p50_ms"),
        ),
        _line(
            "1,000 rows in one request, CPU beyond the model's own call",
            "JSON 6 ms, Arrow 2 ms",
            [(many[0], 6), (many[1], 6), (many[2], 2), (many[3], 2), (many[4], 2), (many[5], 2)],
            "JSON: A {}, C {} ms; Arrow: A {}, C {} ms, answered in Arrow {} and {} ms"
            + _in_company(serving)
            + _floor_of_many(serving),
            left_said,
        ),
        _line(
            "start to the first correct answer, API alone, CPU",
            "A 0.5 s, C 0.65 s",
            [(at("A", "start_cpu_s"), 0.5), (at("C", "start_cpu_s"), 0.65)],
            "A {} s, C {} s",
            _both(serving, "{} / {} s", "start_cpu_s"),
        ),
        _line(
            "memory after load, API alone",
            "A 75 MB, C 120 MB",
            [(at("A", "memory_mb"), 75), (at("C", "memory_mb"), 120)],
            "A {} MB, C {} MB",
            _both(serving, "{} / {} MB", "memory_mb"),
        ),
    ]


def _percent(serving: Mapping[str, Any]) -> str:
    found = [_best(serving, letter, "c32", "ratio", "rps", least=False) for letter in "AC"]
    return "-" if None in found else "{:.1%} / {:.1%}".format(*found)


def _files(files: Mapping[str, Any]) -> list[Line]:
    rows, columns = files.get("rows", 1_000_000), files.get("columns", 20)
    ratios = [_at(files, kind, "ratio") for kind in ("csv", "parquet")]
    ways: dict[str, Callable[[str], Any]] = {
        "all": lambda kind: _at(files, kind, "aweigh", "peak_mb"),
        "tenth": lambda kind: _at(files, kind, "aweigh_tenth", "peak_mb"),
    }
    peaks = [ways[size](kind) for kind in ("csv", "parquet") for size in ("tenth", "all")]
    said = f"`aweigh predict`, {rows:,} rows of {columns} columns, CPU against the fastest way by hand"
    grown = [
        _at(files, kind, "aweigh", "peak_mb") / peak if peak else None
        for kind, peak in (("csv", peaks[0]), ("parquet", peaks[2]))
    ]
    memory = "not measured"
    if None not in peaks:
        memory = "CSV {} MB (a tenth of the rows: {}), Parquet {} ({})".format(
            *map(figure, (peaks[1], peaks[0], peaks[3], peaks[2]))
        )
    met = None if None in grown else max(one for one in grown if one is not None) <= CONSTANT
    return [
        _line(said, "1.3 x", [(one, 1.3) for one in ratios], "CSV {} x, Parquet {} x", "1 x"),
        Line("its memory", "constant", memory, _by_hand_memory(files), met),
    ]


CONSTANT = 1.5
"""Memory is called constant when ten times the rows take at most half as much again."""


def _by_hand_memory(files: Mapping[str, Any]) -> str:
    found = [_at(files, kind, "by_hand_pyarrow", "peak_mb") for kind in ("csv", "parquet")]
    return "-" if None in found else "{} / {} MB".format(*map(figure, found))


def _smallest(size: Mapping[str, Any]) -> str:
    sizes = _at(size, "peers") or {}
    return f"{min(sizes.values()):.0f} MB" if sizes else "-"


def _others(results: Results) -> list[Line]:
    commands, rerun, size = (results.get(name, {}) for name in ("commands", "rerun", "size"))
    steps = len(_at(commands, "pack", "steps") or [])
    ui, once = _at(size, "ui", "mb"), _at(size, "api", "started_mb")
    beside = [f"{once:.0f} MB once served"] if once else []
    beside += [f"with the app {ui:.0f} MB"] if ui else []
    return [
        _line(
            "site-packages of the serving environment, API alone",
            "170 MB",
            [(_at(size, "api", "mb"), 170)],
            "{} MB" + (f" ({'; '.join(beside)})" if beside else ""),
            _smallest(size),
        ),
        _line(
            "a change in the generated page, CPU of the whole server",
            "15 ms",
            [(_at(rerun, letter, "cpu_ms"), 15) for letter in "AC"],
            "A {} ms, C {} ms",
        ),
        _line(
            "`aweigh --help`, `aweigh inspect`, CPU",
            "0.12 s, 0.25 s",
            [(_at(commands, "help", "cpu_s"), 0.12), (_at(commands, "inspect", "cpu_s"), 0.25)],
            "{} s, {} s",
        ),
        _line(
            f"`aweigh pack` of model C, warm cache, {steps} steps told as they are done",
            "10 s",
            [(_at(commands, "pack", "seconds"), 10)],
            "{} s",
        ),
    ]


def _soak(soak: Mapping[str, Any]) -> Line:
    goal = (
        "minutes at 80 % of the capacity, a process killed every 20 s: wrong answers, failures beyond those under way"
    )
    if not soak:
        return Line(goal, "0, 0", "not measured", "-", None)
    beyond_kills = soak["broken"] - sum(soak["broken_at_kills"]) + sum(soak["refused"].values()) + soak["not_let_in"]
    said = f"{soak['wrong']:,} of {soak['answered']:,}, {beyond_kills:,}; {len(soak['kills'])} kills"
    return Line(f"{soak['seconds'] / 60:g} {goal}", "0, 0", said, "-", not soak["wrong"] and not beyond_kills)


def _recovery(recovery: Mapping[str, Any]) -> Line:
    back = [max(_at(recovery, "back_s", kind) or [], default=None) for kind in ("api", "app")]
    kills = len(_at(recovery, "back_s", "api") or ())
    return _line(
        "kill -9 of any process, until all are up again",
        "1 s",
        [(one, 1.0) for one in back],
        f"of the API {{}} s, of the app {{}} s, the longest of {kills} each",
    )
