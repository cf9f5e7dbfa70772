"""What comes after ``aweigh deploy ray``: status, logs, releases, rollback, scale, destroy."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from aweigh.cli.after import (
    Listed,
    ask_to_destroy,
    lines_option,
    moment,
    most_option,
    quantities_argument,
    tell_destroyed,
    tell_releases,
    tell_rollback,
    tell_scale,
    tell_status,
    yes_option,
)
from aweigh.cli.door import json_option
from aweigh.cli.ray import cluster_options, is_near, known_as, serving, url_of
from aweigh.cli.terminal import Steps, clean
from aweigh.cli.typed import Version
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.targets.ray.serving import Serve


@contextmanager
def _asked(address: str) -> "Iterator[Serve | None]":
    """The cluster, and Ray Serve as it runs there; None: it does not.

    Raises:
        ClusterSilent: nobody answers there.
    """
    from aweigh.targets.ray.cluster import connected
    from aweigh.targets.ray.serving import running_serve

    with connected(address):
        yield running_serve()


def _there(serve: "Serve | None") -> "Serve":
    if serve is None:
        raise UsageError("Ray Serve does not run on that cluster.", hint="aweigh deploy ray starts it")
    return serve


@click.command("ray")
@cluster_options
@json_option
def status_ray(app: str, address: str, as_json: bool) -> None:
    """Say what runs of an app on a Ray cluster. Exits with 1 when it is not up."""
    from aweigh.targets.ray import after
    from aweigh.targets.ray.kept import RayStore

    with _asked(address) as serve:
        found = after.status(serve, RayStore(), app, url="" if serve is None else url_of(serve))
    tell_status(known_as(app, address), found, as_json=as_json)


@click.command("ray")
@cluster_options
@lines_option(100_000, of=" of all replicas that there are")
def logs_ray(app: str, address: str, lines: int) -> None:
    """Print the last lines of the logs of an app's replicas, by time. Invitations in them are withheld."""
    from aweigh.targets.ray import after
    from aweigh.targets.ray.kept import RayStore

    with _asked(address) as serve:
        for line in after.log(serve, RayStore(), app, lines=lines):
            click.echo(clean(line))


@click.command("ray")
@cluster_options
@most_option(20)
@json_option
def releases_ray(app: str, address: str, most: int, as_json: bool) -> None:
    """List the newest releases of an app that the cluster keeps."""
    from aweigh.targets.ray import after
    from aweigh.targets.ray.kept import RayStore

    with _asked(address):
        found = after.releases(RayStore(), app, most=most)
    listed = [
        Listed(
            version=one.number,
            status="live" if one.served else "failed",
            current=current,
            created=moment(one.at_s),
            bundle=one.bundle,
            source=one.sha256,
            description="",
            eligible_for_rollback=one.served and not current,
        )
        for one, current in found
    ]
    tell_releases(listed, as_json=as_json)


@click.command("ray")
@click.argument("version", type=Version(), required=False, metavar="[VERSION]")
@cluster_options
@json_option
def rollback_ray(version: int | None, app: str, address: str, as_json: bool) -> None:
    """Take live what VERSION (v3) was, by default the last that was something else; without a failed request.

    It starts beside what runs and is asked its golden rows, as at a deployment. Secrets stay as they are now.
    """
    from aweigh.targets.ray import after

    steps = Steps(json=as_json)
    with serving(address, steps=steps, app=app) as going:
        was, now = after.rollback(going, app, version, loopback=is_near(going.serve))
    tell_rollback(known_as(app, address), steps, to=was, now=now)


@click.command("ray")
@quantities_argument
@cluster_options
@json_option
def scale_ray(quantities: tuple[str, ...], app: str, address: str, as_json: bool) -> None:
    """Scale an app on a Ray cluster: a number is that of its replicas. With nothing it says how many there are.

    What Ray scales by itself is left to it.
    """
    from aweigh.targets.quantities import parse_quantities
    from aweigh.targets.ray import after
    from aweigh.targets.ray.kept import RayStore

    wanted = parse_quantities(quantities)
    with _asked(address) as serve:
        after.there(RayStore(), app)
        replicas, changed = after.scale(_there(serve), RayStore(), app, wanted)
    tell_scale(Steps(json=as_json), replicas, changed=changed)


@click.command("ray")
@cluster_options
@yes_option
@json_option
def destroy_ray(app: str, address: str, yes: bool, as_json: bool) -> None:
    """Destroy an app on a Ray cluster: its replicas, and what the cluster keeps of it. Ray Serve itself is left."""
    from aweigh.targets.ray import after
    from aweigh.targets.ray.kept import RayStore

    known = known_as(app, address)
    ask_to_destroy(known, yes=yes, included="its releases and secrets")
    with _asked(address) as serve:
        after.destroy(serve, RayStore(), app)
    tell_destroyed(known, Steps(json=as_json))
