"""What comes after ``aweigh deploy compose``: status, logs, releases, rollback, scale, config, open, destroy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.cli.after import (
    App,
    Listed,
    ask_to_destroy,
    change_options,
    lines_option,
    moment,
    most_option,
    quantities_argument,
    tail_option,
    tell_config,
    tell_destroyed,
    tell_releases,
    tell_rollback,
    tell_scale,
    tell_status,
    telling_of,
    yes_option,
)
from aweigh.cli.compose import app_option, place_options, project_named
from aweigh.cli.door import json_option
from aweigh.cli.terminal import Steps, clean
from aweigh.cli.typed import Version, changes_of

if TYPE_CHECKING:
    from aweigh.targets.compose.deploy import Going


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
    from aweigh.targets.compose import after
    from aweigh.targets.compose.program import find_programs

    found = after.status(project_named(app, folder), find_programs(engine))
    tell_status(App("compose", app), found, as_json=as_json)


@click.command("compose")
@app_option
@tail_option
@lines_option(10_000, of=" of each container")
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
@most_option(50)
@json_option
@place_options
def releases_compose(app: str, most: int, as_json: bool, engine: str | None, folder: Path | None) -> None:  # noqa: ARG001
    """List the newest releases of an app here."""
    from aweigh.targets.compose.after import live_of

    project = project_named(app, folder)
    found = project.records()[:most]
    current = project.current() if found else live_of(project)
    listed = [
        Listed(
            version=one.number,
            status=one.state or "pending",
            current=current is not None and one.number == current.number,
            created=moment(one.created_s),
            bundle=one.plan.bundle,
            source=one.plan.digest,
            description=one.why,
            eligible_for_rollback=one.state == "live",
        )
        for one in found
    ]
    tell_releases(listed, as_json=as_json)


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
    tell_rollback(App("compose", app), steps, to=was.number, now=now.number)


@click.command("compose")
@quantities_argument
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
    record = before = after.live_of(project_named(app, folder))
    if wanted:
        with changing(app, folder, engine, steps) as going:
            record = after.scale(going, wanted)
    plan = record.plan
    tell_scale(steps, plan.replicas, size=dict.fromkeys(plan.replicas, plan.memory), changed=record != before)


@click.command("compose")
@change_options
@app_option
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
    changed = None
    if wanted:
        with changing(app, folder, engine, steps) as going:
            changed = after.set_config(going, wanted)
    tell_config(steps, after.config(project_named(app, folder)), changed, reveal=reveal)


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
@yes_option
@json_option
@place_options
def destroy_compose(app: str, yes: bool, as_json: bool, engine: str | None, folder: Path | None) -> None:
    """Destroy an app here: its containers, its volumes with all data, its secrets and releases. Nothing comes back."""
    from aweigh.targets.compose import after
    from aweigh.targets.compose.deploy import Going
    from aweigh.targets.compose.program import find_programs

    project, there = project_named(app, folder), App("compose", app)
    ask_to_destroy(there, yes=yes, included="its volumes (database, cache, state)")
    steps = Steps(json=as_json)
    after.destroy(Going(project, find_programs(engine), telling_of(steps)))
    tell_destroyed(there, steps)
