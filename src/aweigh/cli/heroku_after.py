"""What comes after ``aweigh deploy heroku``: status, logs, releases, rollback, scale, config, promote, destroy."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import click

from aweigh.cli.after import (
    App,
    Listed,
    ask_to_destroy,
    change_options,
    lines_option,
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
from aweigh.cli.door import json_option
from aweigh.cli.heroku import app_option, at_heroku, endpoint_option
from aweigh.cli.terminal import Steps, clean, print_document
from aweigh.cli.typed import Version, changes_of
from aweigh.errors import RemoteError

if TYPE_CHECKING:
    from aweigh.targets.heroku.api import Api
    from aweigh.targets.heroku.documents import HerokuRelease

WHERE = "at Heroku"


@contextmanager
def app_at_heroku(app: str, endpoint: str | None) -> "Iterator[Api]":
    """The Platform API, for an app that has to be there.

    Raises:
        UsageError: there is no such app.
    """
    from aweigh.targets.heroku.errors import HerokuRefused
    from aweigh.targets.heroku.settings import find_app

    with at_heroku(endpoint) as api:
        try:
            yield api
        except HerokuRefused as error:
            if error.status != 404 or find_app(api, app) is not None:
                raise
            raise App("heroku", app).absent(WHERE) from error


@click.command("heroku")
@app_option
@json_option
@endpoint_option
def status_heroku(app: str, as_json: bool, endpoint: str | None) -> None:
    """Say what runs of an app at Heroku. Exits with 1 when it is not up."""
    from aweigh.targets.heroku import after

    with at_heroku(endpoint) as api:
        found = after.status(api, app)
    tell_status(App("heroku", app), found, as_json=as_json)


@click.command("heroku")
@app_option
@tail_option
@lines_option(1500)
@click.option("--process", metavar="TYPE", help="Only of one process type (web), or one dyno (web.1).")
@endpoint_option
def logs_heroku(app: str, tail: bool, lines: int, process: str | None, endpoint: str | None) -> None:
    """Print the last lines of an app's log; Heroku keeps 1500. Invitations in it are withheld."""
    from aweigh.targets.heroku.stream import read_log, tail_log
    from aweigh.targets.invitations import discreet

    with app_at_heroku(app, endpoint) as api:
        told = (tail_log if tail else read_log)(api, app, lines=lines, process=process)
        count = 0
        for count, line in enumerate(told, 1):  # noqa: B007
            click.echo(clean(discreet(line)))
    if count == 0:
        click.echo("  no lines; an app of the generation Fir keeps none: --tail tells those that come", err=True)


@click.command("heroku")
@app_option
@most_option(200)
@json_option
@endpoint_option
def releases_heroku(app: str, most: int, as_json: bool, endpoint: str | None) -> None:
    """List the newest releases of an app at Heroku."""
    from aweigh.targets.heroku import after

    with app_at_heroku(app, endpoint) as api:
        found = after.releases(api, app, most=most)
        bundles = after.bundles_of(api, app, found)
    tell_releases([_listed(one, bundles.get(one.version)) for one in found], as_json=as_json)


_STATUS: dict[str, Literal["live", "failed", "pending", "expired"]] = {
    "succeeded": "live", "failed": "failed", "pending": "pending", "expired": "expired",
}  # fmt: skip


def _listed(one: "HerokuRelease", bundle: str | None) -> Listed:
    return Listed(
        version=one.version,
        status=_STATUS.get(one.status, "pending"),
        current=one.current,
        created=one.created_at,
        bundle=bundle,
        source=one.code,
        description=one.description,
        eligible_for_rollback=one.eligible_for_rollback,
    )


@click.command("heroku")
@click.argument("version", type=Version(), required=False, metavar="[VERSION]")
@app_option
@json_option
@endpoint_option
def rollback_heroku(version: int | None, app: str, as_json: bool, endpoint: str | None) -> None:
    """Release once more what VERSION (v12) was, by default the last that ran something else, with its settings."""
    from aweigh.targets.heroku import after

    steps = Steps(json=as_json)
    with app_at_heroku(app, endpoint) as api:
        was, now = after.rollback(api, app, version, telling=telling_of(steps))
    tell_rollback(App("heroku", app), steps, to=was.version, now=now.version)


@click.command("heroku")
@quantities_argument
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
    with app_at_heroku(app, endpoint) as api:
        found = before = after.scale(api, app, {})
        if wanted or size is not None:
            found = after.scale(api, app, wanted, size=size, telling=telling_of(steps))
    tell_scale(
        steps,
        {one.type: one.quantity for one in found},
        size={one.type: one.size_name for one in found if one.size_name},
        changed=found != before,
    )


@click.command("heroku")
@change_options
@app_option
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
    with app_at_heroku(app, endpoint) as api:
        changed = after.set_config(api, app, wanted) if wanted else None
        there = after.config(api, app)
    tell_config(Steps(json=as_json), there, changed, reveal=reveal)


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
        raise App("heroku", app).absent(WHERE)
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
@yes_option
@json_option
@endpoint_option
def destroy_heroku(app: str, yes: bool, as_json: bool, endpoint: str | None) -> None:
    """Destroy an app at Heroku, with its add-ons and all that they hold. Nothing of it can be had back."""
    from aweigh.targets.heroku import after

    there = App("heroku", app)
    ask_to_destroy(there, yes=yes, included="its database")
    with app_at_heroku(app, endpoint) as api:
        after.destroy(api, app)
    tell_destroyed(there, Steps(json=as_json))
