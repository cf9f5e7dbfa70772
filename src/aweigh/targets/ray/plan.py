"""What somebody asks of Ray Serve, and what a measured bundle makes of it: replicas, what each takes, how they grow.

Ray Serve scales by the requests under way in a replica. How many that should be follows from what one costs: as many
as the replica answers in the time that a request may wait, so that it is busy and nobody waits much longer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aweigh.errors import UsageError
from aweigh.runtime.measured import Measured
from aweigh.targets.app_name import check_app
from aweigh.targets.ray.kept import Release
from aweigh.targets.replica import CALM_S, QUEUE_WAIT_S, check_count, resources_of

FEWEST_IN_FLIGHT, MOST_IN_FLIGHT = 8, 256
"""Requests that are given to a replica at a time. More than these wait in Ray's proxy, where they cost less."""
MOST_QUEUED = 10_000
"""Requests that wait in each proxy: beyond that it answers 503, as the server itself does."""
BUSY = 0.5
"""Beyond this share of what a replica is given at most, there is to be another."""
STOP_S = 30.0
HEALTH_PERIOD_S, HEALTH_TIMEOUT_S = 5.0, 15.0
WEB = "web"
IMPORT_PATH = "aweigh.targets.ray.app:build"
_ROUTE = re.compile(r"/|(?:/[A-Za-z0-9][A-Za-z0-9._~-]{0,62}){1,4}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for. ``replicas``: None is as many as there are, at first one; ``most``: they change by load.

    ``memory`` and ``cpus`` are what a replica may take; without ``memory`` it is what was measured of the bundle.
    ``host`` and ``port`` are where Ray's proxies listen, if they have to be started.
    """

    app: str
    route: str = "/"
    replicas: int | None = None
    least: int = 1
    most: int = 0
    memory: str | None = None
    cpus: str = "1"
    host: str = "127.0.0.1"
    port: int = 8000


def check_replicas(count: int) -> int:
    """How many replicas, if so many can be.

    Raises:
        UsageError: not so many, or none.
    """
    if count == 0:
        raise UsageError("Ray Serve has one replica of an app at least.", hint="aweigh destroy ray takes it away")
    return check_count(count)


def check_wish(wish: Wish) -> None:
    """What can be said without asking anybody.

    Raises:
        UsageError: a name, a size or a number that cannot be.
    """
    check_app(wish.app)
    if _ROUTE.fullmatch(wish.route) is None or wish.route.startswith("/-"):
        raise UsageError(f"{wish.route[:60]!a} is no prefix of addresses.", hint="--route-prefix /penguins, or /")
    if wish.replicas is not None:
        check_replicas(wish.replicas)
        if wish.most:
            raise UsageError(
                "Their number is said, and is to change by itself.",
                hint="--replicas, or --min-replicas and --max-replicas",
            )
    if wish.most and not 1 <= wish.least <= wish.most:
        raise UsageError(
            f"From {wish.least} to {wish.most} replicas is no range.",
            hint="--min-replicas 1 at least, and --max-replicas no fewer",
        )


@dataclass(frozen=True, slots=True)
class Sized:
    """What a replica takes, and how many requests it is given: at most, and before there is to be another."""

    cpus: float
    memory_bytes: int
    in_flight: int
    target: float
    is_estimated: bool


def sized(wish: Wish, measured: Measured) -> Sized:
    """What a replica of the measured bundle takes, as far as the wish leaves it open.

    Raises:
        UsageError: a size or a number that cannot be.
    """
    takes = resources_of(wish.memory, wish.cpus, measured, has_ui=False)
    in_flight = in_flight_of(measured, cpus=takes.cpu_m / 1000)
    return Sized(
        takes.cpu_m / 1000,
        takes.memory_mi * 2**20,
        in_flight,
        max(1.0, in_flight * BUSY),
        measured.estimated or not measured.requests,
    )


def in_flight_of(measured: Measured, *, cpus: float) -> int:
    """How many requests of one row a replica answers in the time that they may wait, within bounds.

    >>> from aweigh.runtime.measured import Memory, Request
    >>> memory = Memory(alone=1, both=None, parent=0, worker=1, ui=None, files=0, peak=0)
    >>> one = Measured(memory=memory, largest_rows=1, largest_bytes=1, requests=(Request(rows=1, cpu_us=1000.0),))
    >>> in_flight_of(one, cpus=1.0)
    50
    """
    smallest = min(measured.requests, key=lambda one: one.rows, default=None)
    if smallest is None:
        return FEWEST_IN_FLIGHT * 4
    answered = QUEUE_WAIT_S * 1e6 * cpus / smallest.cpu_us
    return max(FEWEST_IN_FLIGHT, min(MOST_IN_FLIGHT, round(answered)))


# -- as Ray Serve's configuration has it -----------------------------------------------------------------------------


def serve_name(app: str, number: int) -> str:
    """What a release is called among the applications of Ray Serve: each is one of its own.

    >>> serve_name("penguins", 3)
    'penguins.v3'
    """
    return f"{app}.v{number}"


def deployment_of(release: Release) -> dict[str, Any]:
    """The one deployment of a release: how many replicas, what each takes, how it is asked whether it is well."""
    if release.most:
        count: dict[str, Any] = {
            "autoscaling_config": {
                "min_replicas": release.least,
                "max_replicas": release.most,
                "initial_replicas": release.least,
                "target_ongoing_requests": release.target,
                "upscale_delay_s": 5.0,
                "downscale_delay_s": float(CALM_S),
            }
        }
    else:
        count = {"num_replicas": release.replicas}
    return {
        "name": WEB,
        **count,
        "max_ongoing_requests": release.in_flight,
        "max_queued_requests": MOST_QUEUED,
        "graceful_shutdown_wait_loop_s": 1.0,
        "graceful_shutdown_timeout_s": STOP_S,
        "health_check_period_s": HEALTH_PERIOD_S,
        "health_check_timeout_s": HEALTH_TIMEOUT_S,
        "ray_actor_options": {"num_cpus": release.cpus, "memory": release.memory_bytes},
    }


def application_of(app: str, release: Release, *, route: str, args: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The application of a release at a prefix, as a configuration of Ray Serve has it. No secret is in it."""
    return {
        "name": serve_name(app, release.number),
        "route_prefix": route,
        "import_path": IMPORT_PATH,
        # What the server itself does not write down, a line of the log for each request, Ray is not to write either.
        "logging_config": {"enable_access_log": False},
        "args": {"app": app, "release": release.number} if args is None else dict(args),
        "deployments": [deployment_of(release)],
    }
