"""What comes after ``aweigh deploy ssh``: status, logs, releases, rollback, scale, config, destroy."""

from pathlib import Path

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
    yes_option,
)
from aweigh.cli.door import json_option
from aweigh.cli.ssh import app_option, host_of, host_options, telling_of
from aweigh.cli.terminal import Steps, clean
from aweigh.cli.typed import Version, changes_of
from aweigh.errors import UsageError

WITHHELD = "(on the host alone)"


@click.command("ssh")
@app_option
@host_options
@json_option
def status_ssh(app: str, host: str, ssh_config: Path | None, as_json: bool) -> None:
    """Say what runs of an app on a server. Exits with 1 when it is not up."""
    from aweigh.targets.ssh import after

    with host_of(host, ssh_config) as there:
        found = after.status(there, app)
    tell_status(App("ssh", app, host), found, as_json=as_json)


@click.command("ssh")
@app_option
@host_options
@tail_option
@lines_option(100_000)
@click.option("--process", metavar="TYPE", help="Only of one process type: web, worker, release.")
def logs_ssh(app: str, host: str, ssh_config: Path | None, tail: bool, lines: int, process: str | None) -> None:
    """Print the last lines of an app's log, from the host's journal. Invitations in it are withheld."""
    import re

    from aweigh.targets.ssh.after import log

    if process is not None and re.fullmatch(r"[a-z0-9-]{1,32}", process) is None:
        raise UsageError(f"{process[:40]!a} is no process type.", hint="web, worker or release")
    with host_of(host, ssh_config) as there:
        for line in log(there, app, lines=lines, tail=tail, process=process):
            click.echo(clean(line))


@click.command("ssh")
@app_option
@host_options
@most_option(200)
@json_option
def releases_ssh(app: str, host: str, ssh_config: Path | None, most: int, as_json: bool) -> None:
    """List the newest releases of an app on a server."""
    from aweigh.targets.ssh import after

    with host_of(host, ssh_config) as there:
        found = after.releases(there, app, most=most)
    listed = [
        Listed(
            version=one.number,
            status="live",
            current=place == 0,
            created=moment(one.at),
            bundle=one.bundle,
            source=one.release,
            description="",
            eligible_for_rollback=None,
        )
        for place, one in enumerate(found)
    ]
    tell_releases(listed, as_json=as_json)


@click.command("ssh")
@click.argument("version", type=Version(), required=False, metavar="[VERSION]")
@app_option
@host_options
@json_option
def rollback_ssh(version: int | None, app: str, host: str, ssh_config: Path | None, as_json: bool) -> None:
    """Take live what VERSION (v3) was, by default the last that was something else; without a failed request."""
    from aweigh.targets.ssh import after

    steps = Steps(json=as_json)
    with host_of(host, ssh_config) as there:
        was, deployed = after.rollback(there, app, version, telling=telling_of(steps))
    for note in deployed.notes:
        steps.line("note", note)
    tell_rollback(App("ssh", app, host), steps, to=was.number, now=int(deployed.version.removeprefix("v")))


@click.command("ssh")
@quantities_argument
@app_option
@host_options
@click.option("--memory", metavar="SIZE", help="What each process may take: 512M, 2G.")
@json_option
def scale_ssh(
    quantities: tuple[str, ...], app: str, host: str, ssh_config: Path | None, memory: str | None, as_json: bool
) -> None:
    """Scale an app on a server: a number is that of its web replicas. With nothing it says how many there are.

    The same release starts beside itself in its new size, and takes over when it is ready.
    """
    from aweigh.targets.quantities import parse_quantities
    from aweigh.targets.ssh import after
    from aweigh.targets.ssh.place import Wish, check_wish, read_address

    wish = Wish(app=app, address=read_address(host), replicas=parse_quantities(quantities), memory=memory)
    check_wish(wish)
    steps = Steps(json=as_json)
    with host_of(host, ssh_config) as there:
        place, deployed = after.scale(there, wish, telling=telling_of(steps))
    size = dict.fromkeys(place.replicas, str(place.memory))
    tell_scale(steps, place.replicas, size=size, changed=deployed is not None)


@click.command("ssh")
@change_options
@app_option
@host_options
@json_option
def config_ssh(
    changes: tuple[str, ...],
    app: str,
    host: str,
    ssh_config: Path | None,
    hidden: tuple[str, ...],
    unset: tuple[str, ...],
    as_json: bool,
) -> None:
    """List the names of an app's settings on a server, or change some: the app starts anew with them, beside itself.

    Values stay on the host and are never shown. What stands on a command line is everybody's on the machine to see:
    give secrets by --secret NAME.
    """
    from aweigh.secret import Secret
    from aweigh.targets.ssh import after

    asked = changes_of(changes, unset=unset, hidden=hidden)
    wanted = {name: Secret(value) if isinstance(value, str) else value for name, value in asked.items()}
    steps = Steps(json=as_json)
    with host_of(host, ssh_config) as there:
        if wanted:
            after.set_config(there, app, wanted, telling=telling_of(steps))
        names = after.config(there, app)
    tell_config(steps, dict.fromkeys(names), sorted(wanted) if wanted else None, withheld=WITHHELD)


@click.command("ssh")
@app_option
@host_options
@yes_option
@json_option
def destroy_ssh(app: str, host: str, ssh_config: Path | None, yes: bool, as_json: bool) -> None:
    """Destroy an app on a server, with its settings and its data. Nothing of it can be had back."""
    from aweigh.targets.ssh import after

    known = App("ssh", app, host)
    ask_to_destroy(known, yes=yes, included="its data")
    with host_of(host, ssh_config) as there:
        after.destroy(there, app)
    tell_destroyed(known, Steps(json=as_json))
