"""``python -m bench.page``: write docs/explanation/performance.md and its pictures from bench/results.

With ``--check`` nothing is written; it fails when the page is not what the results say.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench import chapters, goals, ray_chapter
from bench.chapters import table
from bench.drawing import Bar, bars, figure
from bench.places import IMAGES, PAGE, ROOT
from bench.results import read
from bench.servers import FLOOR, KINDS, OURS

SECTIONS = ("serving", "commands", "rerun", "files", "size", "profile", "growth", "recovery", "soak", "image", "ray")
TITLES = {kind.name: kind.title for kind in (FLOOR, *KINDS.values())}
LETTERS = {"A": "30 numbers, scaler + logistic regression", "B": "30 numbers, histogram boosting",
           "C": "4 texts and 6 numbers, imputers, one-hot, forest of 100"}  # fmt: skip
MET = {True: "yes", False: "**no**", None: ""}

HEAD = """<!-- Made by `make bench-page` from bench/results: a change here is lost. -->
# What it costs

A prediction should cost what parsing its bytes costs. So everything is measured against a floor: a bare Starlette
route on uvicorn, uvloop and httptools that parses the same JSON and answers a constant. CPU is that of the whole
server, all its processes; every figure of requests is the median of three, of ours of nine, each between two short
runs of the floor, and ratios are to their mean. Memory is what it would be on a machine of the server's own: a library
that others here use, too, counts in full. One worker each, the load and the server on the same machine, 64 different
rows sent in turn.
[How to measure it yourself](../how-to/measure-it-yourself.md).

{machine}
"""


Writer = Callable[[Mapping[str, Any]], tuple[str, dict[str, str]]]
"""What makes a section of its results: the text, and pictures by name."""


def write_page(*, check: bool = False) -> str:
    """Write the page and the pictures; returns the page's path in the repository.

    Raises:
        SystemExit: with ``check``, a file is not what it would be.
    """
    results = {name: found for name in SECTIONS if (found := read(name))}
    files: dict[Path, str] = {}
    parts = [HEAD.format(machine=_machine(results)), _goals(results)]
    writers: list[tuple[str, Writer]] = [
        ("serving", _serving),
        ("profile", chapters.profile),
        ("growth", chapters.growth),
        ("soak", chapters.soak),
        ("recovery", chapters.recovery),
        ("size", _size),
        ("image", _image),
        ("ray", ray_chapter.ray),
    ]
    for name, writer in writers:
        if name in results:
            text, pictures = writer(results[name])
            parts.append(text)
            files |= {IMAGES / f"{picture}.svg": svg for picture, svg in pictures.items()}
    files[PAGE] = "\n".join(parts).rstrip() + "\n"
    for path, text in files.items():
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            msg = f"{path.relative_to(ROOT)} is not what bench/results says: make bench-page"
            raise SystemExit(msg)
    return str(PAGE.relative_to(ROOT))


GENERATORS = {
    "wrk": " Load by wrk on one thread.",
    "asyncio": " Load by a small client of our own, which is slower than the floor: requests a second are too low.",
}


def _machine(results: Mapping[str, Mapping[str, Any]]) -> str:
    machines = {name: found["machine"] for name, found in results.items()}
    if not machines:
        return ""
    one = machines.get("serving") or next(iter(machines.values()))
    versions = ", ".join(f"{name} {version}" for name, version in one["versions"].items())
    dates = ", ".join(f"{name} {found['date']} (load {found['load_before']})" for name, found in machines.items())
    load = str(results.get("serving", {}).get("generator"))
    return (
        f"Measured on {one['cores']} cores of {one['processor']}, {one['memory_gb']} GB, Linux {one['kernel']}, "
        f"Python {one['python']}, {versions}.{GENERATORS.get(load, '')} "
        f"When, and how busy the machine was before: {dates}."
    )


def _goals(results: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [[one.goal, one.asked, one.measured, one.peer, MET[one.met]] for one in goals.lines(results)]
    head = ["", "goal, at most", "measured", "best peer here", "met"]
    return f"## The goals\n\n{table(head, rows, right=5)}\n"


def _serving(serving: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    servers = serving["servers"]
    order = [name for name in TITLES if name in servers]
    parts = ["## Beside the floor and the peers\n", "![CPU of a one-row request](../images/performance.svg)\n"]
    panels = []
    for letter, what in LETTERS.items():
        rows, some = _servers(serving, letter)
        if not rows:
            continue
        panels.append((f"Model {letter}: {what}", some))
        parts.append(f"### Model {letter}: {what}\n\n{table(HEADINGS, rows)}\n\n{_own(serving, letter)}\n")
    wrong = [name for name in order for one in servers[name].values() if one.get("agrees") is False]
    parts.append(
        "After the load every server was asked 20 rows again and gave the original model's probabilities to 1e-5"
        + (f", but for {', '.join(wrong)}." if wrong else ".")
        + " *Beyond the model* is the CPU of 1,000 rows less that of the model's own call on them."
    )
    return "\n".join(parts) + "\n", {"performance": bars("CPU of a one-row request", panels, unit="milliseconds")}


HEADINGS = [
    "one row, 32 connections", "CPU ms", "to the floor", "req/s", "p50 ms", "p99 ms", "alone: p50 to the floor",
    "1,000 rows: CPU ms", "beyond the model", "start: CPU s", "memory, MB",
]  # fmt: skip


def _servers(serving: Mapping[str, Any], letter: str) -> tuple[list[list[str]], list[Bar]]:
    """The rows of one model's table, and its bars."""
    servers = serving["servers"]
    floors = [one[letter]["c32"]["floor"] for one in servers.values() if "c32" in one.get(letter, {})]
    if not floors:
        return [], []
    least, idle = min(floors, key=lambda one: one["cpu_ms"]), servers[FLOOR.name][letter]
    rates = [f"{least['rps']:,.0f}", figure(least["p50_ms"]), figure(least["p99_ms"])]
    start = [figure(idle["start_cpu_s"]), figure(idle["memory_mb"])]
    rows = [[TITLES[FLOOR.name], figure(least["cpu_ms"]), "1 x", *rates, "1 x", "", "", *start]]
    some = [Bar(TITLES[FLOOR.name], least["cpu_ms"], "base")]
    for name, title in TITLES.items():
        figures = servers.get(name, {}).get(letter, {})
        if "c32" not in figures:
            continue
        busy, left = figures["c32"], goals.beyond(serving, name, letter)
        times = f"{figure(busy['ratio']['cpu_ms'])} x"
        some.append(Bar(title, busy["cpu_ms"], "ours" if name in OURS else "bar", times))
        rates = [f"{busy['rps']:,.0f}", figure(busy["p50_ms"]), figure(busy["p99_ms"])]
        alone = f"{figure(figures['c1']['ratio']['p50_ms'])} x"
        many = [figure(figures["many_json"]["cpu_ms"]), "" if left is None else figure(left)]
        start = [figure(figures["start_cpu_s"]), figure(figures["memory_mb"])]
        rows.append([title, figure(busy["cpu_ms"]), times, *rates, alone, *many, *start])
    return rows, some


def _own(serving: Mapping[str, Any], letter: str) -> str:
    own = serving["own"][letter]
    ours = serving["servers"].get("aweigh", {}).get(letter, {})
    arrow = ours.get("many_arrow")
    text = (
        f"The model's own call, in process, CPU ms: scikit-learn {figure(own['sklearn_1'])} for one row and "
        f"{figure(own['sklearn_many'])} for 1,000; ONNX Runtime {figure(own['onnx_1'])} and {figure(own['onnx_many'])}."
    )
    if not arrow or "own_ms" not in arrow:
        return text
    if f"many_json{goals.IN_COMPANY}" in ours:
        text += (
            " The 1,000 rows come by one connection, and while nobody else asks are answered on the event loop; while "
            "somebody does (whether it is ready, twenty times a second), aweigh hands them to a thread, which costs "
            "what the first table says."
        )
    return (
        f"{text} As an Arrow stream, aweigh's 1,000 rows cost {figure(arrow['cpu_ms'])} ms. Called after the same rows "
        f"were parsed, as in a server, ONNX Runtime takes {figure(arrow['own_ms'])} ms for 1,000 (with nothing in "
        f"between, measured in the same minute, {figure(arrow['own_alone_ms'])}): that is what is taken off."
    )


# -- what the serving environment holds ------------------------------------------------------------------------------

WORTH_MB = {"api": 1.0, "ui": 5.0}
"""Packages of less go into one line together."""


def _size(size: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    if "packages" not in size["api"]:  # measured before it was said whose the megabytes are
        return "", {}
    api, ui = size["api"], size["ui"]
    head = ["", "asked for by", "MB", "compiled: MB more"]
    more = {name: one for name, one in ui["packages"].items() if name not in api["packages"]}
    said = [", ".join(_sizes(one)) for one in (api, ui)]
    text = (
        "## What the serving environment holds\n\n"
        f"Installed from the locks of an ONNX bundle, model A's. The API alone: {said[0]}; pip compiles all that it "
        "installs, uv nothing.\n\n"
        f"{table(head, _packages(api['packages'], WORTH_MB['api']), right=2)}\n\n"
        f"With the app: {said[1]}. Streamlit asks for what comes on top:\n\n"
        f"{table(head, _packages(more, WORTH_MB['ui']), right=2)}\n"
    )
    return text, {}


def _sizes(one: Mapping[str, Any]) -> list[str]:
    return [
        f"{figure(one['mb'])} MB as installed",
        f"{figure(one['started_mb'])} MB once Python has compiled what it served with",
        f"{figure(one['compiled_mb'])} MB where everything is compiled",
    ]


def _packages(packages: Mapping[str, Mapping[str, Any]], worth_mb: float) -> list[list[str]]:
    """A line for each package that is worth one, and one for the others."""
    large = {name: one for name, one in packages.items() if one["mb"] >= worth_mb}
    rows = [[name, ", ".join(one["by"]), f"{one['mb']:.1f}", f"{one['pyc_mb']:.1f}"] for name, one in large.items()]
    rest = [one for name, one in packages.items() if name not in large]
    if rest:
        sums = [f"{sum(one[key] for one in rest):.1f}" for key in ("mb", "pyc_mb")]
        rows.append([f"{len(rest)} smaller ones", "", *sums])
    return rows


# -- images ----------------------------------------------------------------------------------------------------------

STAGES = {"full_s": "built and pushed, nothing kept from before, s", "model_s": "the same for a new model, s",
          "own_mb": "pushed on top of the base, MB", "start_s": "started, to the first answer, s"}  # fmt: skip


def _image(image: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    ours, theirs = image["aweigh"], image["docker"]
    rows = [
        [told, figure(ours[name]), figure(theirs[name]), f"{figure(ours[name] / theirs[name])} x"]
        for name, told in STAGES.items()
    ]
    text = (
        "## A container image\n\n"
        "Model A's bundle, the API alone, by `aweigh image` and by `docker build` of a Dockerfile that installs the "
        "same lock with pip; one base, one registry on the machine, by wall time "
        f"(Docker {image.get('docker_version', '20.10')}).\n\n"
        f"{table(['', 'aweigh image', 'docker build', 'ratio'], rows)}\n\n"
        "Of a new model either builds one layer; ours starts Python and looks at the base again, Docker's daemon is "
        "running already.\n"
    )
    return text, {}


if __name__ == "__main__":
    sys.stdout.write(write_page(check="--check" in sys.argv[1:]) + "\n")
