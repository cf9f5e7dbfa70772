"""What comes after ``aweigh deploy heroku``: status, logs, releases, rollback, scale, config, promote, destroy."""

import sys
from typing import TYPE_CHECKING, Any

import click

from aweigh.cli.door import json_option
from aweigh.cli.heroku import app_option, at_heroku, endpoint_option, telling_of
from aweigh.cli.terminal import Steps, aligned, clean, print_document
from aweigh.cli.typed import Version, changes_of
from aweigh.errors import RemoteError, UsageError

if TYPE_CHECKING:
    from aweigh.targets.heroku.documents import Formation, HerokuRelease

WITHHELD = "(withheld; --reveal shows it)"


@click.command("heroku")
@app_option
@json_option
@endpoint_option
def status_heroku(app: str, as_json: bool, endpoint: str | None) -> None:
    """Say what runs of an app at Heroku. Exits with 1 when it is not up."""
    import dataclasses

    from aweigh.targets.heroku import after

    with at_heroku(endpoint) as api:
        found = after.status(api, app)
    if as_json:
        print_document(dataclasses.asdict(found))
    else:
        steps = Steps()
        steps.line("app", f"{found.name}: {found.state}")
        replicas = ", ".join(f"{kind} {count}" for kind, count in (found.replicas or {}).items())
        for name, text in (
            ("release", found.release), ("bundle", found.bundle), ("dynos", replicas or None), ("address", found.url)
        ):  # fmt: skip
            if text is not None:
                steps.line(name, text)
        for note in found.notes:
            steps.line("log", note)
        if found.state in {"crashed", "down"}:
            steps.next(f"aweigh logs heroku --app {app}")
    if found.state not in {"up", "starting", "deploying"}:
        raise SystemExit(1)


@click.command("heroku")
@app_option
@click.option("--tail", is_flag=True, help="Go on reading, until Ctrl-C.")
@click.option("--lines", type=click.IntRange(1, 1500), default=100, show_default=True, help="How many of the last.")
@click.option("--process", metavar="TYPE", help="Only of one process type (web), or one dyno (web.1).")
@endpoint_option
def logs_heroku(app: str, tail: bool, lines: int, process: str | None, endpoint: str | None) -> None:
    """Print the last lines of an app's log; Heroku keeps 1500. Invitations in it are withheld."""
    from aweigh.targets.heroku.stream import read_log, tail_log
    from aweigh.targets.invitations import discreet

    with at_heroku(endpoint) as api:
        told = (tail_log if tail else read_log)(api, app, lines=lines, process=process)
        count = 0
        for count, line in enumerate(told, 1):  # noqa: B007
            click.echo(clean(discreet(line)))
    if count == 0:
        click.echo("  no lines; an app of the generation Fir keeps none: --tail tells those that come", err=True)


@click.command("heroku")
@app_option
@click.option("--most", type=click.IntRange(1, 200), default=15, show_default=True, help="How many of the newest.")
@json_option
@endpoint_option
def releases_heroku(app: str, most: int, as_json: bool, endpoint: str | None) -> None:
    """List the newest releases of an app at Heroku."""
    from aweigh.targets.heroku import after

    with at_heroku(endpoint) as api:
        found = after.releases(api, app, most=most)
    if as_json:
        print_document({"releases": [_release_document(one) for one in found]})
        return
    rows = [("release", "status", "created", "")]
    rows += [
        (one.label, "current" if one.current else one.status, one.created_at[:16].replace("T", " "), one.description)
        for one in found
    ]
    click.echo("\n".join(aligned(rows)))


def _release_document(one: "HerokuRelease") -> dict[str, Any]:
    return {
        "version": one.version,
        "status": one.status,
        "current": one.current,
        "created": one.created_at,
        "description": one.description,
        "eligible_for_rollback": one.eligible_for_rollback,
    }


@click.command("heroku")
@click.argument("version", type=Version(), required=False, metavar="[VERSION]")
@app_option
@json_option
@endpoint_option
def rollback_heroku(version: int | None, app: str, as_json: bool, endpoint: str | None) -> None:
    """Release once more what VERSION (v12) was, by default the last that ran something else, with its settings."""
    from aweigh.targets.heroku import after

    steps = Steps(json=as_json)
    with at_heroku(endpoint) as api, steps.step("rollback") as step:
        was, now = after.rollback(api, app, version, telling=telling_of(steps))
        step.says(f"to {was.label}, as {now.label}: up")
    if as_json:
        print_document({"to": was.version, "as": now.version})
    else:
        steps.next(f"aweigh status heroku --app {app}")


@click.command("heroku")
@click.argument("quantities", nargs=-1, metavar="[NUMBER|TYPE=NUMBER]...")
@app_option
@click.option("--size", metavar="NAME", help="Of these dynos, or without a number of all: basic, standard-1x, ...")
@json_option
@endpoint_option
def scale_heroku(quantities: tuple[str, ...], app: str, size: str | None, as_json: bool, endpoint: str | None) -> None:
    """Scale an app at Heroku: a number is that of its web dynos. With nothing it says how many there are.

    With several web dynos a visitor's requests go to the one that they came to first (http-session-affinity).
    """
    from aweigh.targets.heroku import after
    from aweigh.targets.quantities import parse_quantities

    wanted = parse_quantities(quantities)
    steps = Steps(json=as_json)
    with at_heroku(endpoint) as api:
        found = after.scale(api, app, wanted, size=size, telling=telling_of(steps))
    if as_json:
        print_document({"formation": [_formation_document(one) for one in found]})
        return
    for one in found:
        steps.line(one.type, f"{one.quantity} x {one.size_name or '?'}")


def _formation_document(one: "Formation") -> dict[str, Any]:
    return {"type": one.type, "quantity": one.quantity, "size": one.size_name}


@click.command("heroku")
@click.argument("changes", nargs=-1, metavar="[NAME=VALUE]...")
@app_option
@click.option("--secret", "hidden", multiple=True, metavar="NAME",
              help="Ask for this one's value at the terminal, or read it from standard input.")  # fmt: skip
@click.option("--unset", multiple=True, metavar="NAME", help="Take a setting away.")
@click.option("--reveal", is_flag=True, help="Show the values of secrets, too.")
@json_option
@endpoint_option
def config_heroku(
    changes: tuple[str, ...],
    app: str,
    hidden: tuple[str, ...],
    unset: tuple[str, ...],
    reveal: bool,
    as_json: bool,
    endpoint: str | None,
) -> None:
    """Show the settings of an app at Heroku, or change them: all changes in one release, and the app restarts.

    Values of secrets are not shown, and neither are those of settings that aweigh does not know. What stands on a
    command line is everybody's on the machine to see: give secrets by --secret NAME.
    """
    from aweigh.targets.heroku import after

    wanted = changes_of(changes, unset=unset, hidden=hidden)
    steps = Steps(json=as_json)
    with at_heroku(endpoint) as api:
        changed = after.set_config(api, app, wanted) if wanted else ()
        there = after.config(api, app)
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


@click.command("heroku")
@app_option
@click.option("--print", "only_print", is_flag=True, help="Print the address, and open nothing.")
@endpoint_option
def open_heroku(app: str, only_print: bool, endpoint: str | None) -> None:
    """Open an app at Heroku in the browser."""
    from aweigh.targets.heroku import after

    with at_heroku(endpoint) as api:
        url = after.address_of(api, app)
    if url is None:
        raise UsageError(f"There is no app {app!r}.", hint="aweigh deploy heroku PATH --app NAME makes one")
    click.echo(clean(url))
    if not only_print:
        click.launch(url)


@click.command("heroku")
@app_option
@click.option("--to", multiple=True, metavar="NAME", help="An app to promote to; unset: all of the next stage.")
@json_option
@endpoint_option
def promote_heroku(app: str, to: tuple[str, ...], as_json: bool, endpoint: str | None) -> None:
    """Promote what is live in an app at Heroku along its pipeline."""
    from aweigh.targets.heroku import pipelines

    with at_heroku(endpoint) as api:
        found = pipelines.promote(api, app, to)
    if as_json:
        print_document({"promoted": [{"app": one.app, "why": one.why or None} for one in found]})
    else:
        steps = Steps()
        for one in found:
            steps.line("promoted" if not one.why else "failed", f"{one.app}{': ' if one.why else ''}{one.why}")
    if any(one.why for one in found):
        raise RemoteError("The promotion failed.", hint="what ran before runs on there")


@click.command("heroku")
@app_option
@click.option("--yes", is_flag=True, help="Do not ask for the app's name.")
@json_option
@endpoint_option
def destroy_heroku(app: str, yes: bool, as_json: bool, endpoint: str | None) -> None:
    """Destroy an app at Heroku, with its add-ons and all that they hold. Nothing of it can be had back."""
    from aweigh.targets.heroku import after

    if not yes:
        if not sys.stdin.isatty() and as_json:
            raise UsageError("To destroy an app unasked takes --yes.")
        typed = click.prompt(f"type the app's name to destroy it, its database included ({app})", err=True)
        if typed.strip() != app:
            raise UsageError("That is not the app's name: nothing was destroyed.")
    with at_heroku(endpoint) as api:
        after.destroy(api, app)
    if as_json:
        print_document({"destroyed": app})
    else:
        Steps().line("destroyed", app)
