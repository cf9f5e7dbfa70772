"""What comes after ``aweigh deploy kubernetes``: status, logs, releases, rollback, scale, config, destroy."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

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
from aweigh.cli.ssh import telling_of
from aweigh.cli.terminal import Steps, clean, print_document
from aweigh.cli.typed import Version, changes_of

if TYPE_CHECKING:
    from aweigh.targets.kubernetes.apply import Difference
    from aweigh.targets.kubernetes.client import Client

F = TypeVar("F", bound=Callable[..., Any])

WITHHELD = "(in the cluster alone)"
MOST_SHOWN = 80
"""Characters of a field's value."""


def _app(_: click.Context, __: click.Parameter, name: str) -> str:
    """The app's name, refused here if there can be none such, before a cluster is asked."""
    from aweigh.targets.app_name import check_app

    return check_app(name)


def cluster_options(command: F) -> F:
    """Which app, and in which cluster and namespace."""
    for option in (
        click.option("--context", metavar="NAME", help="Which cluster of the kubeconfig; by default its own."),
        click.option("--namespace", metavar="NAME", help="Where it is; by default the context's, or default."),
        click.option("--app", required=True, metavar="NAME", callback=_app, help="What the app is called there."),
    ):
        command = option(command)
    return command


def tell_differences(found: "Sequence[Difference]", steps: Steps) -> None:
    """Says what a deployment would change, as the cluster's own dry run tells it."""
    if steps.json:
        print_document({"objects": [asdict(one) for one in found]})
        return
    for one in found:
        if one.does != "nothing":
            steps.line(one.does, one.object)
        for change in one.changes:
            steps.more(f"{change.field}: {_shown(change.before)} -> {_shown(change.after)}")
    if all(one.does == "nothing" for one in found):
        steps.line("nothing", "would change")


def _shown(value: object) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


def client_of(namespace: str | None, context: str | None) -> "Client":
    """The cluster that the kubeconfig and the options name; it is closed by ``with``.

    Raises:
        ConfigError: there is none.
    """
    import os

    from aweigh.targets.kubernetes.client import open_client
    from aweigh.targets.kubernetes.kubeconfig import find_connection

    return open_client(find_connection(os.environ, context=context, namespace=namespace))


def known_as(app: str, namespace: str | None, context: str | None) -> App:
    """The app, and how it is typed."""
    typed = (("--namespace", namespace), ("--context", context))
    return App("kubernetes", app, more=tuple(word for name, value in typed if value for word in (name, value)))


@click.command("kubernetes")
@cluster_options
@json_option
def status_kubernetes(app: str, namespace: str | None, context: str | None, as_json: bool) -> None:
    """Say what runs of an app in a cluster, and what keeps it from running. Exits with 1 when it is not up."""
    from aweigh.targets.kubernetes import after

    with client_of(namespace, context) as client:
        found = after.status(client, app)
    tell_status(known_as(app, namespace, context), found, as_json=as_json)


@click.command("kubernetes")
@cluster_options
@tail_option
@lines_option(100_000)
@click.option("--process", metavar="TYPE", help="Only of one process type: web, worker.")
def logs_kubernetes(
    app: str, namespace: str | None, context: str | None, tail: bool, lines: int, process: str | None
) -> None:
    """Print the last lines of an app's log, of all its pods by time. Invitations in it are withheld."""
    from aweigh.targets.kubernetes.log import log

    with client_of(namespace, context) as client:
        for line in log(client, app, lines=lines, tail=tail, process=process):
            click.echo(clean(line))


@click.command("kubernetes")
@cluster_options
@most_option(200)
@json_option
def releases_kubernetes(app: str, namespace: str | None, context: str | None, most: int, as_json: bool) -> None:
    """List the newest releases of an app that the cluster keeps, as its ReplicaSets."""
    from aweigh.targets.kubernetes import history

    with client_of(namespace, context) as client:
        found = history.releases(client, app, most=most)
    listed = [
        Listed(
            version=one.number,
            status="failed" if one.failed else "live",
            current=one.current,
            created=moment(one.at),
            bundle=one.bundle,
            source=one.release or "",
            description="",
            eligible_for_rollback=not one.current,
        )
        for one in found
    ]
    tell_releases(listed, as_json=as_json)


@click.command("kubernetes")
@click.argument("version", type=Version(), required=False, metavar="[VERSION]")
@cluster_options
@json_option
def rollback_kubernetes(
    version: int | None, app: str, namespace: str | None, context: str | None, as_json: bool
) -> None:
    """Take live what VERSION (v3) was, by default the last that was something else; without a failed request.

    Settings and secrets stay as they are now.
    """
    from aweigh.targets.kubernetes import history

    steps = Steps(json=as_json)
    with client_of(namespace, context) as client:
        was, now = history.rollback(client, app, version, telling=telling_of(steps))
    tell_rollback(known_as(app, namespace, context), steps, to=was.number, now=now.number)


@click.command("kubernetes")
@quantities_argument
@cluster_options
@json_option
def scale_kubernetes(
    quantities: tuple[str, ...], app: str, namespace: str | None, context: str | None, as_json: bool
) -> None:
    """Scale an app in a cluster: a number is that of its web replicas. With nothing it says how many there are.

    What an autoscaler scales is left to it.
    """
    from aweigh.targets.kubernetes import after
    from aweigh.targets.quantities import parse_quantities

    wanted = parse_quantities(quantities)
    steps = Steps(json=as_json)
    with client_of(namespace, context) as client:
        replicas, changed = after.scale(client, app, wanted, telling=telling_of(steps))
    tell_scale(steps, replicas, changed=changed)


@click.command("kubernetes")
@change_options
@cluster_options
@json_option
def config_kubernetes(
    changes: tuple[str, ...],
    app: str,
    namespace: str | None,
    context: str | None,
    hidden: tuple[str, ...],
    unset: tuple[str, ...],
    as_json: bool,
) -> None:
    """List the names of an app's settings in a cluster, or change some: its pods start anew with them, one by one.

    Values stay in the cluster, in a Secret, and are never shown. What stands on a command line is everybody's on the
    machine to see: give secrets by --secret NAME.
    """
    from aweigh.secret import Secret
    from aweigh.targets.kubernetes import after

    asked = changes_of(changes, unset=unset, hidden=hidden)
    wanted = {name: Secret(value) if isinstance(value, str) else value for name, value in asked.items()}
    steps = Steps(json=as_json)
    with client_of(namespace, context) as client:
        if wanted and not after.set_config(client, app, wanted, telling=telling_of(steps)):
            steps.line("ready", "nothing runs yet: the first deployment takes them")
        names = after.config(client, app)
    tell_config(steps, dict.fromkeys(names), sorted(wanted) if wanted else None, withheld=WITHHELD)


@click.command("kubernetes")
@cluster_options
@yes_option
@click.option("--keep-data", is_flag=True, help="Leave its volumes, its database and the secrets that open them.")
@json_option
def destroy_kubernetes(
    app: str, namespace: str | None, context: str | None, yes: bool, keep_data: bool, as_json: bool
) -> None:
    """Destroy an app in a cluster: all that carries its labels. What was left is named."""
    from aweigh.targets.kubernetes.destroy import destroy

    known = known_as(app, namespace, context)
    ask_to_destroy(known, yes=yes, included="its settings" if keep_data else "its volumes and its database")
    steps = Steps(json=as_json)
    with client_of(namespace, context) as client:
        done = destroy(client, app, data=not keep_data)
    for one in done.left:
        steps.line("left", one)
    tell_destroyed(known, steps)
