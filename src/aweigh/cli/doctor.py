"""``aweigh doctor``: what would go wrong on a platform, with the fix for each; nothing is sent there."""

import os
import shlex
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aweigh.cli.terminal import Steps, clean, paint, print_document
from aweigh.cli.trusting import trust_option, trusted
from aweigh.errors import UsageError
from aweigh.targets.heroku.dynos import DYNOS

if TYPE_CHECKING:
    from aweigh.targets.doctor.diagnosis import Diagnosis
    from aweigh.targets.doctor.finding import Finding

OPTIONS: Mapping[str, frozenset[str]] = {
    "heroku": frozenset({"size"}),
    "compose": frozenset({"memory", "port", "engine", "base"}),
    "ssh": frozenset({"memory", "host", "ssh_config", "python"}),
}
"""The places, and which options of the command are theirs."""
LEVEL_WIDTH = 6
LEAST_WIDTH, MOST_WIDTH = 60, 110
_COLOURS = {"fail": "red", "warn": "yellow", "pass": "green"}


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=".")
@click.option("--target", type=click.Choice(tuple(OPTIONS)), default="heroku", show_default=True, help="The place.")
@click.option("--size", type=click.Choice(list(DYNOS)), help="Heroku: the dyno to be held to [basic].")
@click.option("--memory", metavar="SIZE", help="compose, ssh: what each process may take [512M, 1G].")
@click.option("--port", type=click.IntRange(1, 65535), help="compose: where it is to answer [8000].")
@click.option("--engine", type=click.Choice(("docker", "podman")), help="compose: what runs the containers.")
@click.option("--base", metavar="REFERENCE", help="compose: what the image is built on.")
@click.option("--host", metavar="USER@HOST[:PORT]", help="ssh: the server, as ssh knows it [AWEIGH_SSH_HOST].")
@click.option("--ssh-config", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
              help="ssh: another configuration than your own (ssh -F).")  # fmt: skip
@click.option("--python", metavar="NAME", help="ssh: the host's interpreter, if it is not found.")
@click.option("--measure/--no-measure", default=True, show_default=True,
              help="Install it, run it within the place's limits, measure what is built; runs its code.")  # fmt: skip
@click.option("--offline", is_flag=True, help="Ask no package index and no registry.")
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(
    path: Path, target: str, measure: bool, offline: bool, trust: Path | None, as_json: bool, **said: Any
) -> None:
    """Say what would go wrong with PATH (a folder, a Streamlit script or a bundle) at a place, and the fix for each.

    Files are read and judged, and the place is looked at as far as that changes nothing there; then it is installed
    into an environment of its own, its web process is started here within the place's limits and asked, and what is
    built is measured, in a temporary folder. Exits with 1 when anything failed.
    """
    from aweigh.targets.doctor.finding import has_failed
    from aweigh.targets.doctor.websocket import websockets_client

    strange = [name for name, value in said.items() if value is not None and name not in OPTIONS[target]]
    if strange:
        option = strange[0].replace("_", "-")
        raise UsageError(f"--{option} does not go with --target {target}.", hint=f"aweigh {target} knows no such thing")
    if measure:
        websockets_client()  # told now, and not by the threads that measure after minutes of building
    steps = Steps(json=as_json)
    if measure:
        steps.line("measure", "it is installed and run here, which takes minutes; --no-measure only reads")
    asked = {name: value for name, value in said.items() if value is not None}
    found = _DIAGNOSE[target](path, asked, measure, not offline, trust, steps)
    if as_json:
        print_document(document(path, target, asked, found))
    else:
        print("\n".join(["", *table(found.findings, width=_width()), ""]))
        steps.line("in short", summary(found.findings))
        if not has_failed(found.findings):
            steps.next(_next(path, target, asked))
    if has_failed(found.findings):
        raise SystemExit(1)


def _heroku(
    path: Path, asked: dict[str, Any], measure: bool, ask: bool, trust: Path | None, steps: Steps
) -> "Diagnosis":
    from aweigh.targets.heroku.doctor import Wishes, diagnose

    wishes = Wishes(measure=measure, ask_index=ask, **asked)
    return diagnose(path, wishes=wishes, tell=steps.line, trust=trusted(trust))


def _compose(
    path: Path, asked: dict[str, Any], measure: bool, ask: bool, trust: Path | None, steps: Steps
) -> "Diagnosis":
    from aweigh.targets.compose.doctor import Asked, diagnose
    from aweigh.targets.doctor.diagnosis import Wishes

    wishes = Wishes(measure=measure, ask_index=ask)
    return diagnose(path, asked=Asked(**asked), wishes=wishes, tell=steps.line, trust=trust)


def _ssh(path: Path, asked: dict[str, Any], measure: bool, ask: bool, trust: Path | None, steps: Steps) -> "Diagnosis":
    from aweigh.targets.doctor.diagnosis import Wishes
    from aweigh.targets.ssh.doctor import Asked, diagnose
    from aweigh.targets.ssh.place import read_address
    from aweigh.targets.ssh.runner import Host

    # As of the other commands; not click's own variables, which would name a host where no server is asked about.
    host = asked.get("host") or os.environ.get("AWEIGH_SSH_HOST")
    config = asked.get("ssh_config") or os.environ.get("AWEIGH_SSH_CONFIG")
    if not host:
        raise UsageError("Which server is to be asked?", hint="name it: --host root@example.org")
    wishes = Wishes(measure=measure, ask_index=ask)
    wanted = Asked(**{name: value for name, value in asked.items() if name in {"memory", "python"}})
    with Host(read_address(host), config=None if not config else Path(config)) as there:
        return diagnose(path, there, asked=wanted, wishes=wishes, tell=steps.line, trust=trust)


_DIAGNOSE = {"heroku": _heroku, "compose": _compose, "ssh": _ssh}


def _next(path: Path, target: str, asked: dict[str, Any]) -> str:
    """What to type when nothing would fail."""
    named = shlex.quote(str(path))
    if target == "heroku":
        return f"aweigh up {named}"
    kept = " ".join(f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in asked.items())
    return f"aweigh deploy {target} {named} --app NAME {kept}".rstrip()


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


def document(path: Path, target: str, asked: Mapping[str, object], found: "Diagnosis") -> dict[str, object]:
    """What ``--json`` prints."""
    run, slug = found.run, found.slug
    return {
        "path": str(path),
        "target": target,
        "size": asked.get("size", "basic") if target == "heroku" else asked.get("memory"),
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
