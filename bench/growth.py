"""Section ``growth``: what a request costs as it, the model or the crowd grows, and what a model's bytes cost.

Rows of a request from 1 to 10,000, as JSON and as Arrow; columns from 1 to 1,000; connections from 1 to 500; and models
from 1 KB to 500 MB: memory and start. CPU is that of the whole server; points lie a power of ten apart.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.arrow_rows import CONTENT_TYPE, arrow_stream
from bench.growth_models import Grown, heavy, wide
from bench.load import Sent, load
from bench.models import A, C, Model, ensure
from bench.servers import AWEIGH, FLOOR, Kind, Server

ROWS = (1, 10, 100, 1000, 10_000)
COLUMNS = (1, 10, 100, 1000)
CONNECTIONS = (1, 10, 100, 500)
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 500_000_000)
SECONDS = 2.0
STARTS = 3
SLOW_BYTES = 100_000_000
"""From here on a model is started once: it takes seconds, of which the kernel's steps of 10 ms are no part."""

VALUES = replace(AWEIGH, answers=lambda document: [row["value"] for row in document["predictions"]])
"""Ours, for models that answer with a number."""

Tell = Callable[[str], None]
Points = list[tuple[float, float]]


def measure(*, tell: Tell) -> dict[str, Any]:
    """``rows``, ``columns``, ``connections``, each by line and then points; ``sizes``: a list of figures."""
    ensure(A, C, tell=tell)
    return {
        "rows": {model.letter: _rows(model, tell) for model in (A, C)},
        "columns": _columns(tell),
        "connections": _connections(tell),
        "sizes": _sizes(tell),
    }


def _cpu_ms(server: Server, sent: Sent, *, connections: int) -> float:
    figures = load(server.url, sent, pid=server.pid, connections=connections, seconds=SECONDS)
    if figures["bad"]:
        msg = f"{server.kind.name}: {figures['bad']} requests failed at {connections} connections"
        raise RuntimeError(msg)
    return round(figures["cpu_ms"], 4)


def _warm(server: Server) -> None:
    load(server.url, server.one_row_bodies(), pid=server.pid, connections=8, seconds=1)


def _rows(model: Model, tell: Tell) -> dict[str, Points]:
    found: dict[str, Points] = {"JSON": [], "Arrow": []}
    with Server(AWEIGH, model) as server:
        _warm(server)
        for count in ROWS:
            rows = [model.data["rows"][i % len(model.data["rows"])] for i in range(count)]
            arrow = Sent((arrow_stream(rows),), content_type=CONTENT_TYPE)
            found["JSON"].append((count, _cpu_ms(server, server.many_rows_body(count), connections=1)))
            found["Arrow"].append((count, _cpu_ms(server, arrow, connections=1)))
            tell(f"{model.letter}, {count:,} rows: JSON {found['JSON'][-1][1]}, Arrow {found['Arrow'][-1][1]} CPU ms")
    return found


def _columns(tell: Tell) -> dict[str, Points]:
    found: dict[str, Points] = {"aweigh": [], "the floor": []}
    for count in COLUMNS:
        model = wide(count, tell=tell)
        kinds: tuple[tuple[str, Kind], ...] = (("aweigh", VALUES), ("the floor", FLOOR))
        for name, kind in kinds:
            with Server(kind, model) as server:
                _warm(server)
                found[name].append((count, _cpu_ms(server, server.one_row_bodies(), connections=32)))
        tell(f"{count:,} columns: {found['aweigh'][-1][1]} CPU ms, the floor {found['the floor'][-1][1]}")
    return found


def _connections(tell: Tell) -> dict[str, Points]:
    found: dict[str, Points] = {}
    lines: tuple[tuple[str, Kind, Model], ...] = (("A", AWEIGH, A), ("C", AWEIGH, C), ("the floor", FLOOR, A))
    for name, kind, model in lines:
        with Server(kind, model) as server:
            _warm(server)
            found[name] = [(n, _cpu_ms(server, server.one_row_bodies(), connections=n)) for n in CONNECTIONS]
        tell(f"{name}, connections: {found[name]}")
    return found


def _sizes(tell: Tell) -> list[dict[str, float]]:
    found: list[dict[str, float]] = []
    for size in SIZES:
        model = heavy(size, tell=tell)
        found.append({"model_bytes": size} | _size(model, STARTS if size < SLOW_BYTES else 1))
        tell(f"a model of {size:,} bytes: {found[-1]}")
    return found


def _size(model: Grown, starts: int) -> dict[str, float]:
    started = []
    for _ in range(starts - 1):
        with Server(VALUES, model) as server:
            started.append((server.start_cpu_s, server.start_seconds))
    with Server(VALUES, model) as server:
        started.append((server.start_cpu_s, server.start_seconds))
        _warm(server)
        cpu_ms, memory_mb = _cpu_ms(server, server.one_row_bodies(), connections=32), round(server.memory_mb(), 1)
    return {
        "bundle_bytes": model.bundle.stat().st_size,
        "start_cpu_s": round(min(cpu for cpu, _ in started), 3),
        "start_s": round(min(seconds for _, seconds in started), 3),
        "memory_mb": memory_mb,
        "cpu_ms": cpu_ms,
        "pack_s": model.packing["seconds"],
        "pack_mb": model.packing["peak_mb"],
    }
