"""What comes after ``aweigh deploy ssh``: status, logs, releases, rollback, scale, config, destroy."""

import shlex
import sys
import time
from pathlib import Path

import click

from aweigh.cli.door import json_option
from aweigh.cli.heroku_after import Version
from aweigh.cli.ssh import app_option, document, host_of, host_options, tell_deployed, telling_of
from aweigh.cli.terminal import Steps, aligned, clean, print_document
from aweigh.errors import UsageError


@click.command("ssh")
@app_option
@host_options
@json_option
def status_ssh(app: str, host: str, ssh_config: Path | None, as_json: bool) -> None:
    """Say what runs of an app on a server. Exits with 1 when it is not up."""
    import dataclasses

    from aweigh.targets.ssh import after

    with host_of(host, ssh_config) as there:
        found = after.status(there, app)
    if as_json:
        print_document(dataclasses.asdict(found))
    else:
        steps = Steps()
        steps.line("app", f"{found.name}: {found.state}")
        replicas = ", ".join(f"{kind} {count}" for kind, count in (found.replicas or {}).items())
        for name, text in (
            ("release", found.release), ("bundle", found.bundle), ("replicas", replicas or None), ("address", found.url)
        ):  # fmt: skip
            if text is not None:
                steps.line(name, text)
        for note in found.notes:
            steps.line("note", note)
        if found.state in {"crashed", "down"}:
            steps.next(f"aweigh logs ssh --app {app} --host {shlex.quote(host)}")
    if found.state not in {"up", "starting", "deploying"}:
        raise SystemExit(1)


@click.command("ssh")
@app_option
@host_options
@click.option("--tail", is_flag=True, help="Go on reading, until Ctrl-C.")
@click.option("--lines", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many of the last.")
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
@click.option("--most", type=click.IntRange(1, 200), default=15, show_default=True, help="How many of the newest.")
@json_option
def releases_ssh(app: str, host: str, ssh_config: Path | None, most: int, as_json: bool) -> None:
    """List the newest releases of an app on a server."""
    from aweigh.targets.ssh import after

    with host_of(host, ssh_config) as there:
        found = after.releases(there, app, most=most)
    if as_json:
        listed = [
            {"version": one.number, "release": one.release, "bundle": one.bundle, "created": one.at, "current": i == 0}
            for i, one in enumerate(found)
        ]
        print_document({"releases": listed})
        return
    rows = [("release", "status", "created (UTC)", "files", "bundle")]
    rows += [
        (
            one.label,
            "" if i else "current",
            time.strftime("%Y-%m-%d %H:%M", time.gmtime(one.at)),
            one.release,
            one.bundle or "",
        )
        for i, one in enumerate(found)
    ]
    click.echo("\n".join(aligned(rows)))


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
    if as_json:
        print_document({"to": was.number, **document(deployed)})
        return
    steps.line("rollback", f"to {was.label}, as {deployed.version}")
    tell_deployed(deployed, host, steps=steps)


@click.command("ssh")
@click.argument("quantities", nargs=-1, metavar="[NUMBER|TYPE=NUMBER]...")
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
    from aweigh.targets.heroku.after import parse_quantities
    from aweigh.targets.ssh import after
    from aweigh.targets.ssh.place import Wish, check_wish, read_address

    wish = Wish(app=app, address=read_address(host), replicas=parse_quantities(quantities), memory=memory)
    check_wish(wish)
    steps = Steps(json=as_json)
    with host_of(host, ssh_config) as there:
        place, deployed = after.scale(there, wish, telling=telling_of(steps))
    if as_json:
        print_document({"replicas": place.replicas, "memory": place.memory, "changed": deployed is not None})
        return
    for kind, count in place.replicas.items():
        steps.line(kind, f"{count} x {place.memory}")


@click.command("ssh")
@click.argument("changes", nargs=-1, metavar="[NAME=VALUE]...")
@app_option
@host_options
@click.option("--secret", "hidden", multiple=True, metavar="NAME",
              help="Ask for this one's value at the terminal, or read it from standard input.")  # fmt: skip
@click.option("--unset", multiple=True, metavar="NAME", help="Take a setting away.")
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
    from aweigh.cli.heroku_after import _asked
    from aweigh.secret import Secret
    from aweigh.targets.ssh import after

    wanted: dict[str, Secret | None] = dict.fromkeys(unset)
    for one in changes:
        name, sign, value = one.partition("=")
        if not sign:
            raise UsageError(f"{one[:40]!r} changes nothing.", hint="write NAME=VALUE, or --unset NAME")
        wanted[name] = Secret(value)
    wanted |= {name: _asked(name) for name in hidden}
    steps = Steps(json=as_json)
    with host_of(host, ssh_config) as there:
        if wanted:
            after.set_config(there, app, wanted, telling=telling_of(steps))
        names = after.config(there, app)
    if as_json:
        print_document({"config": names, "changed": sorted(wanted)})
    elif wanted:
        steps.line("config", f"set: {', '.join(sorted(wanted))}")
    else:
        click.echo("\n".join(f"  {clean(name)}" for name in names) if names else "  no settings")


@click.command("ssh")
@app_option
@host_options
@click.option("--yes", is_flag=True, help="Do not ask for the app's name.")
@json_option
def destroy_ssh(app: str, host: str, ssh_config: Path | None, yes: bool, as_json: bool) -> None:
    """Destroy an app on a server, with its settings and its data. Nothing of it can be had back."""
    from aweigh.targets.ssh import after

    if not yes:
        if not sys.stdin.isatty() and as_json:
            raise UsageError("To destroy an app unasked takes --yes.")
        typed = click.prompt(f"type the app's name to destroy it, its data included ({app})", err=True)
        if typed.strip() != app:
            raise UsageError("That is not the app's name: nothing was destroyed.")
    with host_of(host, ssh_config) as there:
        after.destroy(there, app)
    if as_json:
        print_document({"destroyed": app})
    else:
        Steps().line("destroyed", app)
