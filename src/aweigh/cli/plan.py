"""``aweigh plan``: what a bundle takes and gives, measured, and what that means for a machine."""

import dataclasses
import os
import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.cli.plan_words import MEGA, memory_words, needed_bytes, sentence
from aweigh.cli.terminal import TEXT_WIDTH, Steps, human_size, print_document
from aweigh.cli.trusting import trust_option, trusted
from aweigh.runtime.machine import Machine, parse_size, read_machine, with_wishes
from aweigh.runtime.measured import Measured, cache_folder, keep_measured, key_of, read_measured
from aweigh.runtime.plan import Plan, Wishes, make_plan

if TYPE_CHECKING:
    from aweigh.bundle.verify import VerifiedBundle
    from aweigh.server.settings import Settings

Row = tuple[str, str, str]
"""What is told in a line: its name, its text, and the figure behind it."""


@click.command("plan")
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--memory", metavar="SIZE", help="Plan for so much memory (512M, 1G, 512Mi) instead of what there is here."
)
@click.option("--cpus", type=click.FloatRange(0.01, 1024), help="Plan for so many CPUs; 0.5 is half of one.")
@click.option("--no-ui", is_flag=True, help="Plan for the API alone.")
@click.option("--fresh", is_flag=True, help="Measure anew, even where a measurement is kept.")
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def plan_bundle(
    path: Path, memory: str | None, cpus: float | None, no_ui: bool, fresh: bool, trust: Path | None, as_json: bool
) -> None:
    """Measure what a BUNDLE takes and gives, and say what a machine holds of it: processes, threads, memory.

    It is served here for some seconds, on ports of its own. What was measured is kept, so that the next plan, and
    'aweigh serve', need not measure again. Exits with 1 when the bundle does not fit.
    """
    from aweigh.bundle.verify import verify
    from aweigh.server.serve import limit_threads
    from aweigh.server.settings import read_settings

    machine = with_wishes(read_machine(), memory_bytes=None if memory is None else parse_size(memory), cpus=cpus)
    limit_threads(1)
    steps = Steps(json=as_json)
    settings = read_settings(os.environ)
    bundle = verify(path, trust=trusted(trust))
    measured = _measured(bundle, settings=settings, fresh=fresh, steps=steps)
    plan = make_plan(measured, machine, wishes=Wishes(ui=not no_ui))
    said = sentence(plan, measured, machine)
    if as_json:
        print_document(document(bundle, measured, machine, plan, said))
    else:
        for name, text, figure in (*measured_rows(measured), *machine_rows(machine), *plan_rows(plan)):
            steps.line(name, text, figure=figure)
        for i, one in enumerate(textwrap.wrap(said, TEXT_WIDTH + 10)):
            steps.line("" if i else "in short", one)
        named = memory is not None or cpus is not None
        steps.next(next_command(path, plan, measured, machine, named=named))
    if plan.fit == "short":
        raise SystemExit(1)


def _measured(bundle: "VerifiedBundle", *, settings: "Settings", fresh: bool, steps: Steps) -> Measured:
    """What is kept of an earlier measurement, else a new one."""
    from aweigh.server.measure import measure

    key = key_of(
        bundle.digest,
        max_rows=settings.max_rows,
        max_body_bytes=settings.max_body_bytes,
        cache_bytes=settings.cache_bytes or 0,
    )
    folder = cache_folder()
    kept = None if fresh else read_measured(key, folder=folder)
    if kept is not None:
        steps.line("measured", "earlier, and kept; --fresh measures anew")
        return kept
    steps.line("measuring", f"{bundle.manifest.name} {bundle.version}, served here for some seconds")
    measured = measure(
        bundle, settings=settings, tell=lambda name, text, seconds: steps.line(name, text, seconds=seconds)
    )
    keep_measured(measured, key, folder=folder)
    return measured


def measured_rows(measured: Measured) -> list[Row]:
    """What the bundle takes and gives."""
    memory = measured.memory
    rows = [("takes", "the API alone, in one process", human_size(memory.alone))]
    if memory.both is not None:
        rows.append(("", "the API and the app, in one process", human_size(memory.both)))
    rows.append(("", "several processes, what they share", human_size(memory.files + memory.parent)))
    rows.append(("", "several processes, each for the API", human_size(memory.worker)))
    if memory.ui is not None:
        rows.append(("", "several processes, each for the app", human_size(memory.ui)))
    largest = f"{measured.largest_rows:,} rows, {human_size(measured.largest_bytes)}"
    rows.append(("", f"on top for the largest request ({largest})", human_size(memory.peak)))
    rows.append(("costs", "CPU to start, the API alone", f"{measured.start_cpu_s:.2f} s"))
    for request in measured.requests:
        of = "1 row" if request.rows == 1 else f"{request.rows:,} rows"
        rows.append(("", f"CPU for a request of {of}", f"{request.cpu_us / 1000:.3g} ms"))
    return rows


def machine_rows(machine: Machine) -> list[Row]:
    """What there is, and who says so."""
    size = "?" if machine.memory_bytes is None else memory_words(machine.memory_bytes)
    rows = [
        ("machine", f"memory: {machine.memory_source}", size),
        ("", f"CPUs: {machine.cpus_source}", f"{machine.cpus:g}"),
    ]
    if machine.process_bytes is not None:
        rows.append(("", f"of one process: {machine.process_source}", memory_words(machine.process_bytes)))
    return rows


def plan_rows(plan: Plan) -> list[Row]:
    """What is planned, and why."""
    why = plan.reasons
    rows = [("plan", f"processes for the API: {why['workers']}", str(plan.workers))]
    rows.append(("", f"processes for the app alone: {why['ui_processes']}", str(plan.ui_processes)))
    rows.append(("", f"threads: {why['threads']}", str(plan.threads)))
    rows.append(("", f"rows at once: {why['batch_rows']}", f"{plan.batch_rows:,}"))
    rows.append(("", "memory, after the start", human_size(plan.memory_bytes)))
    rows.append(("", "memory, each with the largest request", human_size(plan.peak_bytes)))
    if plan.ceiling_bytes is not None and plan.processes > 1:
        rows.append(("", "memory of one process at which another follows it", human_size(plan.ceiling_bytes)))
    return rows


def next_command(path: Path, plan: Plan, measured: Measured, machine: Machine, *, named: bool) -> str:
    """What to type next: to serve it, for a machine that was only named with all that the plan says.

    Where not even the API alone fits, the plan for a machine on which it does.
    """
    if plan.fit == "short":
        alone = needed_bytes(measured, machine, ui=False)
        if plan.ui and alone <= (machine.memory_bytes or 0):
            return f"aweigh serve {shlex.quote(str(path))} --no-ui"
        return f"aweigh plan {shlex.quote(str(path))} --memory {needed_bytes(measured, machine, ui=plan.ui) // MEGA}M"
    words = ["aweigh", "serve", shlex.quote(str(path))]
    if not plan.ui and measured.memory.both is not None:
        words.append("--no-ui")
    if named:
        words += ["--workers", str(plan.workers)]
        words += ["--threads", str(plan.threads)] if plan.threads > 1 else []
    return " ".join(words)


def document(
    bundle: "VerifiedBundle", measured: Measured, machine: Machine, plan: Plan, said: str
) -> dict[str, object]:
    """What ``--json`` prints."""
    return {
        "name": bundle.manifest.name,
        "digest": bundle.digest,
        "version": bundle.version,
        "measured": measured,
        "machine": dataclasses.asdict(machine),
        "plan": dataclasses.asdict(plan),
        "sentence": said,
    }
