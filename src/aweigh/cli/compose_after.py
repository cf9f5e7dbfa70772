"""What comes after ``aweigh deploy compose``: status, logs, releases, rollback, scale, config, open, destroy."""

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.cli.compose import app_option, place_options, project_named, telling_of
from aweigh.cli.door import json_option
from aweigh.cli.terminal import Steps, aligned, clean, print_document
from aweigh.cli.typed import Version, changes_of
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.targets.compose.deploy import Going

WITHHELD = "(withheld; --reveal shows it)"


@contextmanager
def changing(app: str, folder: Path | None, engine: str | None, steps: Steps) -> "Iterator[Going]":
    """What a change needs, while nobody else changes the app.

    Raises:
        UsageError: there is no such app here.
    """
    from aweigh.targets.compose.after import live_of
    from aweigh.targets.compose.deploy import Going
    from aweigh.targets.compose.program import find_programs

    project = project_named(app, folder)
    live_of(project)
    going = Going(project, find_programs(engine), telling_of(steps))
    with project.locked():
        yield going


@click.command("compose")
@app_option
@json_option
@place_options
def status_compose(app: str, as_json: bool, engine: str | None, folder: Path | None) -> None:
    """Say what runs of an app in containers here. Exits with 1 when it is not up."""
    import dataclasses

    from aweigh.targets.compose import after
    from aweigh.targets.compose.program import find_programs

    found = after.status(project_named(app, folder), find_programs(engine))
    if as_json:
        print_document(dataclasses.asdict(found))
    else:
        steps = Steps()
        steps.line("app", f"{found.name}: {found.state}")
        replicas = ", ".join(f"{kind} {count}" for kind, count in (found.replicas or {}).items())
        for name, text in (
            ("release", found.release), ("bundle", found.bundle), ("running", replicas or None), ("address", found.url)
        ):  # fmt: skip
            if text is not None:
                steps.line(name, text)
        for note in found.notes:
            steps.line("note", note)
        if found.state in {"crashed", "down"}:
            steps.next(f"aweigh logs compose --app {shlex.quote(app)}")
    if found.state not in {"up", "starting"}:
        raise SystemExit(1)


@click.command("compose")
@app_option
@click.option("--tail", is_flag=True, help="Go on reading, until Ctrl-C.")
@click.option("--lines", type=click.IntRange(1, 10_000), default=100, show_default=True,
              help="How many of the last of each container.")  # fmt: skip
@click.option("--process", metavar="NAME", help="Only of one: web, worker, migrate, postgres, valkey, proxy.")
@place_options
def logs_compose(
    app: str, tail: bool, lines: int, process: str | None, engine: str | None, folder: Path | None
) -> None:
    """Print the last lines of an app's containers. Invitations in them are withheld."""
    from aweigh.targets.compose.after import log_command, read_log
    from aweigh.targets.compose.program import find_programs
    from aweigh.targets.invitations import discreet

    project = project_named(app, folder)
    words = log_command(project, find_programs(engine), lines=lines, tail=tail, process=process)
    for line in read_log(words, project):
        click.echo(clean(discreet(line)))


@click.command("compose")
@app_option
@click.option("--most", type=click.IntRange(1, 50), default=15, show_default=True, help="How many of the newest.")
@json_option
@place_options
def releases_compose(app: str, most: int, as_json: bool, engine: str | None, folder: Path | None) -> None:  # noqa: ARG001
    """List the newest releases of an app here."""
    project = project_named(app, folder)
    found, current = project.records()[:most], project.current()
    if as_json:
        print_document(
            {
                "releases": [
                    {
                        "version": one.number,
                        "status": one.state or "unfinished",
                        "current": current is not None and one.number == current.number,
                        "created_s": one.created_s,
                        "why": one.why,
                        "bundle": one.plan.bundle,
                        "image": one.plan.digest,
                    }
                    for one in found
                ]
            }
        )
        return
    rows = [("release", "status", "created", "bundle", "")]
    for one in found:
        is_current = current is not None and one.number == current.number
        created = time.strftime("%Y-%m-%d %H:%M", time.gmtime(one.created_s))
        state = "current" if is_current else one.state or "unfinished"
        rows.append((one.label, state, created, one.plan.bundle or one.plan.digest[7:19], one.why))
    click.echo("\n".join(aligned(rows)) if found else f"  there is no app {clean(app)} here")


@click.command("compose")
@click.argument("version", type=Version(), required=False, metavar="[VERSION]")
@app_option
@json_option
@place_options
def rollback_compose(version: int | None, app: str, as_json: bool, engine: str | None, folder: Path | None) -> None:
    """Release once more what VERSION (v12) was, by default the last that ran something else, and check it."""
    from aweigh.targets.compose import after

    steps = Steps(json=as_json)
    with changing(app, folder, engine, steps) as going:
        was, now = after.rollback(going, version)
    if as_json:
        print_document({"to": was.number, "as": now.number})
    else:
        steps.line("rollback", f"to {was.label}, as {now.label}: up")
        steps.next(f"aweigh status compose --app {shlex.quote(app)}")


@click.command("compose")
@click.argument("quantities", nargs=-1, metavar="[NUMBER|TYPE=NUMBER]...")
@app_option
@json_option
@place_options
def scale_compose(
    quantities: tuple[str, ...], app: str, as_json: bool, engine: str | None, folder: Path | None
) -> None:
    """Scale an app here: a number is that of its web containers. With nothing it says how many there are.

    With several web containers a Caddy stands in front of them, and whoever has a page open stays with one.
    """
    from aweigh.targets.compose import after
    from aweigh.targets.quantities import parse_quantities

    wanted = parse_quantities(quantities)
    steps = Steps(json=as_json)
    if wanted:
        with changing(app, folder, engine, steps) as going:
            record = after.scale(going, wanted)
    else:
        record = after.live_of(project_named(app, folder))
    if as_json:
        print_document({"replicas": record.plan.replicas, "release": record.number})
        return
    for name, count in record.plan.replicas.items():
        steps.line(name, str(count))


@click.command("compose")
@click.argument("changes", nargs=-1, metavar="[NAME=VALUE]...")
@app_option
@click.option("--secret", "hidden", multiple=True, metavar="NAME",
              help="Ask for this one's value at the terminal, or read it from standard input.")  # fmt: skip
@click.option("--unset", multiple=True, metavar="NAME", help="Take a setting away.")
@click.option("--reveal", is_flag=True, help="Show the values of secrets, too.")
@json_option
@place_options
def config_compose(
    changes: tuple[str, ...],
    app: str,
    hidden: tuple[str, ...],
    unset: tuple[str, ...],
    reveal: bool,
    as_json: bool,
    engine: str | None,
    folder: Path | None,
) -> None:
    """Show the settings of an app here, or change them: all changes in one release, and the app starts anew.

    Values of secrets are not shown, and neither are those of settings that aweigh does not know. What stands on a
    command line is everybody's on the machine to see: give secrets by --secret NAME.
    """
    from aweigh.targets.compose import after

    wanted = changes_of(changes, unset=unset, hidden=hidden)
    steps = Steps(json=as_json)
    changed: tuple[str, ...] = ()
    if wanted:
        with changing(app, folder, engine, steps) as going:
            changed = after.set_config(going, wanted)
    there = after.config(project_named(app, folder))
    shown = {
        key: value if isinstance(value, str) else value.reveal() if reveal else None for key, value in there.items()
    }
    if as_json:
        print_document({"config": shown, "changed": list(changed)})
        return
    if wanted:
        steps.line("config", f"set: {', '.join(changed)}" if changed else "as it was")
        return
    rows = [(key, WITHHELD if value is None else value) for key, value in shown.items()]
    click.echo("\n".join(aligned(rows)) if rows else "  no settings")


@click.command("compose")
@app_option
@click.option("--print", "only_print", is_flag=True, help="Print the address, and open nothing.")
@place_options
def open_compose(app: str, only_print: bool, engine: str | None, folder: Path | None) -> None:  # noqa: ARG001
    """Open an app here in the browser."""
    from aweigh.targets.compose.after import live_of

    url = live_of(project_named(app, folder)).plan.url
    click.echo(url)
    if not only_print:
        click.launch(url)


@click.command("compose")
@app_option
@click.option("--yes", is_flag=True, help="Do not ask for the app's name.")
@json_option
@place_options
def destroy_compose(app: str, yes: bool, as_json: bool, engine: str | None, folder: Path | None) -> None:
    """Destroy an app here: its containers, its volumes with all data, its secrets and releases. Nothing comes back."""
    from aweigh.targets.compose import after
    from aweigh.targets.compose.deploy import Going
    from aweigh.targets.compose.program import find_programs

    project = project_named(app, folder)
    if not yes:
        if not sys.stdin.isatty() and as_json:
            raise UsageError("To destroy an app unasked takes --yes.")
        told = f"type the app's name to destroy it, its volumes (database, cache, state) included ({app})"
        if click.prompt(told, err=True).strip() != app:
            raise UsageError("That is not the app's name: nothing was destroyed.")
    steps = Steps(json=as_json)
    after.destroy(Going(project, find_programs(engine), telling_of(steps)))
    if as_json:
        print_document({"destroyed": app})
    else:
        steps.line("destroyed", f"{app}, with its volumes")
