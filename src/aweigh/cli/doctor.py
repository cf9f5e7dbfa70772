"""``aweigh doctor``: what would go wrong on a platform, with the fix for each; nothing is sent there."""

import shlex
import shutil
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.cli.terminal import Steps, clean, paint, print_document
from aweigh.cli.trusting import trust_option, trusted
from aweigh.targets.heroku.dynos import DYNOS

if TYPE_CHECKING:
    from aweigh.targets.doctor.finding import Finding
    from aweigh.targets.heroku.doctor import Diagnosis

TARGETS = ("heroku",)
LEVEL_WIDTH = 6
LEAST_WIDTH, MOST_WIDTH = 60, 110
_COLOURS = {"fail": "red", "warn": "yellow", "pass": "green"}


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=".")
@click.option("--target", type=click.Choice(TARGETS), default="heroku", show_default=True, help="The platform.")
@click.option(
    "--size", type=click.Choice(list(DYNOS)), default="basic", show_default=True, help="The dyno to be held to."
)
@click.option("--measure/--no-measure", default=True, show_default=True,
              help="Install it, run it within the dyno's limits and build the slug; that runs its code.")  # fmt: skip
@click.option("--offline", is_flag=True, help="Ask no package index whether there are wheels.")
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(path: Path, target: str, size: str, measure: bool, offline: bool, trust: Path | None, as_json: bool) -> None:
    """Say what would go wrong with PATH (a folder, a Streamlit script or a bundle) on Heroku, and the fix for each.

    Files are read and judged; then it is installed into an environment of its own, its web process is started here
    within a dyno's limits and asked, and the slug is built, in a temporary folder. Exits with 1 when anything failed.
    """
    from aweigh.targets.doctor.finding import has_failed
    from aweigh.targets.heroku.doctor import Wishes, diagnose

    steps = Steps(json=as_json)
    wishes = Wishes(size=size, measure=measure, ask_index=not offline)
    found = diagnose(path, wishes=wishes, tell=steps.line, trust=trusted(trust))
    if as_json:
        print_document(document(path, target, size, found))
    else:
        print("\n".join(["", *table(found.findings, width=_width()), ""]))
        steps.line("in short", summary(found.findings))
        if not has_failed(found.findings):
            steps.next(f"aweigh up {shlex.quote(str(path))}")
    if has_failed(found.findings):
        raise SystemExit(1)


def _width() -> int:
    return min(MOST_WIDTH, max(LEAST_WIDTH, shutil.get_terminal_size().columns))


def table(findings: "tuple[Finding, ...]", *, width: int) -> list[str]:
    """A line or more for each: its level, what was found and where, and the fix under it."""
    lines: list[str] = []
    room = width - LEVEL_WIDTH - 2
    for one in findings:
        where = f"{one.where}: " if one.where else ""
        texts = textwrap.wrap(clean(f"{where}{one.what}"), room, break_long_words=False, break_on_hyphens=False)
        if one.fix:
            texts += textwrap.wrap(
                clean(f"fix: {one.fix}"),
                room,
                subsequent_indent="     ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        for position, text in enumerate(texts):
            level = paint(one.level, _COLOURS[one.level], stream=sys.stdout) if position == 0 else " " * len(one.level)
            lines.append(f"  {level}{' ' * (LEVEL_WIDTH - len(one.level))}{text}".rstrip())
    return lines


def summary(findings: "tuple[Finding, ...]") -> str:
    """How many of each."""
    counts = Counter(one.level for one in findings)
    return f"{counts['fail']} would fail, {counts['warn']} to think about, {counts['pass']} as they should be"


def document(path: Path, target: str, size: str, found: "Diagnosis") -> dict[str, object]:
    """What ``--json`` prints."""
    run, slug = found.run, found.slug
    return {
        "path": str(path),
        "target": target,
        "size": size,
        "findings": [
            {"code": one.code, "level": one.level, "what": one.what, "fix": one.fix, "where": one.where}
            for one in found.findings
        ],
        "measured": {
            "slug_bytes": None if slug is None else slug.size_bytes,
            "boot_s": None if run is None else run.boot_s,
            "rest_bytes": None if run is None else run.rest_bytes,
            "peak_bytes": None if run is None else run.peak_bytes,
            "slowest_s": None if run is None else run.asked.slowest_s,
            "ping_s": None if run is None else run.asked.ping_s,
        },
        "dynos": [
            {"name": one.name, "fits": one.fits, "dollars_a_month": one.dollars_a_month} for one in found.choices
        ],
    }
