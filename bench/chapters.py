"""The chapters of the page on where the time goes, how costs grow, and the soak: each of its results alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.drawing import Bar, Curve, Panel, bars, curves, figure, timeline
from bench.stages import FEED, KERNEL, LETTERS, MODEL, OUT, READ, STAGES, WARN

Chapter = tuple[str, dict[str, str]]
"""The text, and pictures by name."""

MODELS = {"A": "30 numbers, logistic regression", "C": "4 texts, 6 numbers, a forest of 100"}


def table(head: list[str], rows: list[list[str]], *, right: int = 1) -> str:
    """A table whose columns from ``right`` on are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * right + "---:|" * (len(head) - right)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


# -- where the time goes ---------------------------------------------------------------------------------------------

OWN = (READ, FEED, MODEL, OUT, WARN)
"""What is about the rows, and none of it HTTP's: both ways of looking can tell it from the rest."""


def profile(found: Mapping[str, Any]) -> Chapter:
    """Where each microsecond of a one-row request goes."""
    stages: Mapping[str, Mapping[str, float]] = found["stages"]
    rows, base = [], stages["floor"]
    for stage in STAGES:
        row = [stage, _us(base.get(stage))]
        for letter in LETTERS:
            own = stages[letter].get(stage)
            row += [_us(own), _above((own or 0) - base.get(stage, 0))]
        rows.append(row)
    sums = {name: sum(one.values()) for name, one in stages.items()}
    last = ["**all**", f"**{figure(sums['floor'])}**"]
    for letter in LETTERS:
        last += [f"**{figure(sums[letter])}**", f"**{_above(sums[letter] - sums['floor'])}**"]
    head = ["microseconds of CPU", "the floor", "A", "above the floor", "C", "above the floor"]
    ratios = " and ".join(f"{letter} {figure(found['in_process'][letter]['ratio'])}" for letter in LETTERS)
    text = (
        "## Where each microsecond goes\n\n"
        "![Where the CPU of a one-row request goes](../images/profile.svg)\n\n"
        f"{table(head, [*rows, last])}\n\n"
        "All but the last line is measured in one process without sockets: the CPU of a request over many, split by "
        "what is under way when one looks, two thousand times a second. The kernel's is what the system counts as its "
        f"own for a real server under 32 connections. Without it, requests cost {ratios} times the floor."
        f"{_spied(found)}\n"
    )
    panels = [
        (
            f"Model {letter}: {figure(sums[letter])} µs, the floor {figure(sums['floor'])}",
            [Bar(stage, own, _kind(stage)) for stage in STAGES if (own := stages[letter].get(stage))],
        )
        for letter in LETTERS
    ]
    title = "Where the CPU of a one-row request goes"
    svg = bars(title, panels, unit="microseconds", short="µs", names=260, logarithmic=False)
    return text, {"profile": svg}


def _us(value: float | None) -> str:
    return figure(value) if value else ""


def _above(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{figure(abs(value))}"


def _kind(stage: str) -> str:
    """The model's and the kernel's own are not ours to make quicker."""
    return "bar" if stage in {MODEL, KERNEL} else "ours"


def _spied(found: Mapping[str, Any]) -> str:
    pairs = []
    for letter in LETTERS:
        shares = found["spied"].get(letter)
        if not shares:
            return ""
        stages = found["stages"][letter]
        here = sum(stages.get(stage, 0) for stage in OWN) / sum(stages.values())
        there = sum(shares.get(stage, 0) for stage in OWN)
        pairs.append(f"{letter} {there:.0%} (here {here:.0%})")
    return (
        " As a check py-spy looked at the real server from outside, under load: from the JSON to the warnings, the "
        f"model's call included, it saw {', '.join(pairs)} of the time."
    )


# -- growth ----------------------------------------------------------------------------------------------------------

Points = Sequence[Sequence[float]]


def _curve(name: str, points: Points, *, ours: bool = False) -> Curve:
    return Curve(name, tuple((x, y) for x, y in points), ours)


def growth(found: Mapping[str, Any]) -> Chapter:
    """How costs grow with rows, columns, connections and the model's bytes."""
    sizes = found["sizes"]
    memory = [(one["model_bytes"], one["memory_mb"]) for one in sizes]
    start = [(one["model_bytes"], one["start_cpu_s"]) for one in sizes]
    panels = [
        Panel(
            f"Model {letter}: rows of a request",
            "rows",
            "CPU ms a request",
            (_curve("JSON", one["JSON"], ours=True), _curve("Arrow", one["Arrow"])),
        )
        for letter, one in found["rows"].items()
    ]
    panels += [
        Panel("Columns, one row", "columns", "CPU ms a request", _lines(found["columns"], "aweigh")),
        Panel("Connections, one row", "connections", "CPU ms a request", _lines(found["connections"], "A", "C")),
        Panel(
            "Memory of the server",
            "bytes of the model",
            "MB",
            (_curve("aweigh", memory, ours=True), _curve("its bytes", [(x, x / 2**20) for x, _ in memory if x >= 1e6])),
        ),
        Panel("Start to the first answer", "bytes of the model", "CPU seconds", (_curve("aweigh", start, ours=True),)),
    ]
    lines = [*_rows_said(found["rows"]), _columns_said(found["columns"]), _connections_said(found["connections"])]
    lines.append(_sizes_said(sizes))
    text = (
        "## How it grows\n\n![How costs grow](../images/growth.svg)\n\n"
        + "\n".join(f"- {line}" for line in lines)
        + "\n\nThe models of many columns and of many bytes are ONNX files made for this, and packed as users pack "
        "theirs; the large ones look a row of a table up, so that their call costs the same at any size.\n"
    )
    return text, {"growth": curves("How costs grow", panels)}


def _lines(found: Mapping[str, Points], *ours: str) -> tuple[Curve, ...]:
    return tuple(_curve(name, points, ours=name in ours) for name, points in found.items())


def _rows_said(found: Mapping[str, Mapping[str, Points]]) -> list[str]:
    lines = []
    for letter, one in found.items():
        said = []
        for kind, points in one.items():
            (low, first), (high, last) = points[0], points[-1]
            each = (last - first) / (high - low) * 1000
            said.append(f"as {kind} {figure(first)} ms and {figure(each)} µs for each row more")
        lines.append(f"**Rows**, model {letter} ({MODELS[letter]}): {', '.join(said)}, up to {high:,.0f} rows.")
    return lines


def _columns_said(found: Mapping[str, Points]) -> str:
    ours, floor = found["aweigh"], found["the floor"]
    (few, first), (many, last) = ours[0], ours[-1]
    return (
        f"**Columns**: {figure(first)} ms at {few:,.0f}, {figure(last)} at {many:,.0f}; to the floor, which parses the "
        f"same bytes, {figure(first / floor[0][1])} and {figure(last / floor[-1][1])} times."
    )


def _connections_said(found: Mapping[str, Points]) -> str:
    said = []
    for name, points in found.items():
        costs = [y for _, y in points]
        said.append(f"{name} {figure(min(costs))} to {figure(max(costs))} ms")
    first, *_, last = (x for x, _ in next(iter(found.values())))
    return f"**Connections**, from {first:,.0f} to {last:,.0f}, a request costs: {', '.join(said)}."


def _sizes_said(sizes: Sequence[Mapping[str, float]]) -> str:
    small, large = sizes[0], sizes[-1]
    grown = (large["memory_mb"] - small["memory_mb"]) / ((large["model_bytes"] - small["model_bytes"]) / 2**20)
    return (
        f"**The model's bytes**, {_bytes(small['model_bytes'])} to {_bytes(large['model_bytes'])}: memory from "
        f"{figure(small['memory_mb'])} to {figure(large['memory_mb'])} MB, {figure(grown)} for each MB of the model; "
        f"start from {figure(small['start_cpu_s'])} to {figure(large['start_cpu_s'])} CPU s; a request "
        f"{figure(small['cpu_ms'])} and {figure(large['cpu_ms'])} ms. Packing the largest took "
        f"{figure(large['pack_s'])} s and {figure(large['pack_mb'])} MB."
    )


def _bytes(size: float) -> str:
    return f"{size / 1e6:g} MB" if size >= 1e6 else f"{size / 1e3:g} kB"


# -- the soak --------------------------------------------------------------------------------------------------------


def soak(found: Mapping[str, Any]) -> Chapter:
    """Minutes at 80 % of the capacity while processes are killed."""
    minutes, kills, back = found["seconds"] / 60, found["kills"], found["back_s"]
    apart = kills[1] - kills[0] if len(kills) > 1 else found["seconds"]
    at_kills = sum(found["broken_at_kills"])
    refused = sum(found["refused"].values())
    rows = [
        ["answers", f"{found['answered']:,}"],
        ["of them wrong", f"{found['wrong']:,}"],
        ["refused (any other status than 200)", f"{refused:,}"],
        ["requests that broke, under way at a process when it was killed", f"{at_kills:,}"],
        ["requests that broke at any other time", f"{found['broken'] - at_kills:,}"],
        ["connections that were not let in", f"{found['not_let_in']:,}"],
        ["until all processes were up again, median and most", f"{_median(back)} s, {figure(max(back, default=0))} s"],
        [
            "latency p50, p99, most",
            f"{figure(found['p50_ms'])}, {figure(found['p99_ms'])}, {figure(found['max_ms'])} ms",
        ],
        ["CPU of a request, starting anew included", f"{figure(found['cpu_ms'])} ms"],
        [
            f"memory of all, median from {minutes / 4:g} to {minutes / 2:g} minutes, and of the last {minutes / 4:g}",
            f"{_median(_between(found['memory'], 0.25, 0.5))}, {_median(_between(found['memory'], 0.75, 1))} MB",
        ],
        [
            "of the process that is never killed, slope after the first quarter",
            f"{_above(found['oldest_slope_mb_per_hour'])} MB an hour",
        ],
        ["of the parent", f"{_above(found['parent_slope_mb_per_hour'])} MB an hour"],
    ]
    text = (
        f"## {minutes:g} minutes, and a kill every {apart:.0f} seconds\n\n"
        f"Model {found['model']} behind {found['processes']} processes and one port, asked {found['rate_rps']:,} times "
        f"a second: 80 % of the {found['capacity_rps']:,} that they and the client do together on this machine. Of the "
        f"processes the youngest is killed (`kill -9`), {len(kills)} times in all; the oldest lives through it. Every "
        "answer is compared, byte by byte, with the one that was held against the original model's before.\n\n"
        f"{table(['', 'measured'], rows)}\n\n"
        "![Memory over time](../images/soak-memory.svg)\n\n![Answers a second](../images/soak-answers.svg)\n"
    )
    memory = [_curve("all processes", found["memory"], ours=True), _curve("never killed", found["oldest_memory"])]
    memory.append(_curve("parent", found["parent_memory"]))
    rates = [_curve("answered", found["rates"], ours=True)]
    mark = "a process killed"
    return text, {
        "soak-memory": timeline(
            "Memory", memory, unit="MB: of all together, of two by themselves", marks=kills, mark_name=mark
        ),
        "soak-answers": timeline("Answers", rates, unit="a second", marks=kills, mark_name=mark),
    }


def _between(points: Points, first: float, last: float) -> list[float]:
    """The values in these shares of the time."""
    end = points[-1][0]
    return [y for x, y in points if first * end <= x <= last * end]


def _median(values: Sequence[float]) -> str:
    return figure(sorted(values)[len(values) // 2]) if values else "-"


def recovery(found: Mapping[str, Any]) -> Chapter:
    """Each process killed in turn, with nothing else on."""
    rows = [
        [name, str(len(back)), f"{_median(back)} s", f"{figure(max(back))} s"]
        for name, back in (("of the API", found["back_s"]["api"]), ("of the app", found["back_s"]["app"]))
    ]
    text = (
        "## A process is killed, and another is there\n\n"
        f"Model {found['model']} behind {found['workers']} processes for the API and {found['ui_processes']} for the "
        "app, nothing else on: `kill -9` of each in turn, and the time until `/health/ready` says that all are up. All "
        f"of them take {figure(found['memory_mb'])} MB before and {figure(found['memory_after_mb'])} MB after.\n\n"
        f"{table(['a process', 'killed', 'back, median', 'at most'], rows)}\n"
    )
    return text, {}
