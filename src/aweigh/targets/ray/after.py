"""What comes after a deployment to Ray Serve: status, log, releases, rollback, scale, destroy."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import msgspec

from aweigh.errors import UsageError
from aweigh.targets.invitations import discreet
from aweigh.targets.live import golden_of
from aweigh.targets.ray.deploy import Going, as_it_runs, go_live, is_of, settle
from aweigh.targets.ray.errors import ServeRefused
from aweigh.targets.ray.kept import (
    App,
    Release,
    Store,
    alone,
    forget_app,
    get_bundle,
    read_app,
    read_secrets,
    write_app,
)
from aweigh.targets.ray.plan import application_of, check_replicas, serve_name
from aweigh.targets.ray.serving import Running, Serve, reason
from aweigh.targets.target import Status

State = Literal["absent", "deploying", "up", "starting", "down", "crashed"]
_STATES: Mapping[str, State] = {
    "RUNNING": "up",
    "DEPLOYING": "starting",
    "NOT_STARTED": "starting",
    "UNHEALTHY": "crashed",
    "DEPLOY_FAILED": "crashed",
    "DELETING": "down",
}
LOG_S = 60.0


def status(serve: Serve | None, store: Store, app: str, *, url: str) -> Status:
    """What runs of an app."""
    kept = read_app(store, app)
    if kept is not None and serve is not None:
        kept = as_it_runs(serve, kept)
    if kept is None or kept.live is None:
        return Status(app, "absent")
    live = kept.live
    found = None if serve is None else serve.applications().get(serve_name(app, live.number))
    state: State = "down" if found is None else _STATES.get(found.state, "down")
    if found is not None and state == "up" and not found.replicas and found.wanted:
        state = "starting"
    return Status(
        name=app,
        state=state,
        url=f"{url}{live.route.rstrip('/')}",
        release=live.version,
        bundle=live.bundle,
        replicas={"web": 0 if found is None else found.replicas},
        notes=_notes(found),
    )


def _notes(found: Running | None) -> tuple[str, ...]:
    if found is None:
        return ("Ray Serve runs nothing of it: the cluster was started anew, or somebody took it away",)
    missing = found.wanted - found.replicas
    notes = [f"{missing} of {found.wanted} replicas do not answer at this moment"] if missing > 0 else []
    if found.state != "RUNNING" and found.message:
        notes.append(reason(found.message))
    return tuple(notes)


def releases(store: Store, app: str, *, most: int) -> list[tuple[Release, bool]]:
    """The newest releases that are kept, the newest first, and whether each is the one that is live.

    Raises:
        UsageError: there is none.
    """
    kept = there(store, app)
    return [(one, one.number == kept.current) for one in reversed(kept.releases)][:most]


def rollback(going: Going, app: str, number: int | None, *, loopback: bool) -> tuple[int, int]:
    """Takes live what an earlier release was, as a new one: the numbers of both. The way is that of a deployment.

    ``loopback`` is how the proxies listen now, whatever they did then.

    Raises:
        UsageError: there is no such app or release, or none before.
        RemoteError: it does not come up or agree; then what ran before still serves.
    """
    with alone(going.store, app) as still:
        going = replace(going, still=still)
        kept = as_it_runs(going.serve, there(going.store, app))
        was = _earlier(kept, number)
        content = get_bundle(going.store, was.sha256)
        count = was.replicas if kept.live is None or kept.live.most else kept.live.replicas
        wanted = msgspec.structs.replace(was, replicas=count, loopback=loopback)
        secrets = settle(read_secrets(going.store, app, (kept.live or was).number), {})
        go_live(going, kept, wanted, golden=golden_of(content), content=None, secrets=secrets)
        return was.number, there(going.store, app).current or 0


def _earlier(kept: App, number: int | None) -> Release:
    """The release that is meant: by its number, else the last that is another and did not fail.

    Raises:
        UsageError: there is none.
    """
    if number is not None:
        found = kept.release(number)
        if found is None:
            raise UsageError(f"The cluster keeps no release v{number}.", hint=f"aweigh releases ray --app {kept.name}")
        return found
    live = kept.live
    others = [one for one in kept.releases if one.served and (live is None or not one.same_as(live))]
    before = [one for one in others if live is None or one.number < live.number]
    if not before:
        raise UsageError("There is no earlier release to go back to.", hint=f"aweigh releases ray --app {kept.name}")
    return before[-1]


def scale(serve: Serve, store: Store, app: str, wanted: Mapping[str, int]) -> tuple[dict[str, int], bool]:
    """How many replicas there are to be, after what was asked for; and whether that changed anything.

    Raises:
        UsageError: there is no such app or process, or its replicas are scaled by Ray.
    """
    for kind, count in wanted.items():
        if kind != "web":
            raise UsageError(f"The app has no process {kind[:40]!a}.", hint="it has web")
        check_replicas(count)
    if not wanted:
        return {"web": _counted(serve, app, _live(serve, store, app)[1])}, False
    with alone(store, app):
        kept, live = _live(serve, store, app)
        if live.most:
            raise UsageError(
                "Ray scales the replicas by itself.", hint="deploy with --replicas, or with other --max-replicas"
            )
        count = wanted["web"]
        if count == live.replicas:
            return {"web": count}, False
        changed = msgspec.structs.replace(live, replicas=count)
        others = tuple(changed if one.number == live.number else one for one in kept.releases)
        write_app(store, msgspec.structs.replace(kept, releases=others))
        serve.apply([application_of(app, changed, route=live.route)], without=is_of(app))
    return {"web": count}, True


def _live(serve: Serve, store: Store, app: str) -> tuple[App, Release]:
    kept = as_it_runs(serve, there(store, app))
    if kept.live is None:
        raise _absent(app)
    return kept, kept.live


def _counted(serve: Serve, app: str, live: Release) -> int:
    """How many replicas are wanted: by Ray where it changes their number, else by whoever said it."""
    found = serve.applications().get(serve_name(app, live.number)) if live.most else None
    return live.replicas if found is None else found.wanted


def destroy(serve: Serve | None, store: Store, app: str) -> None:
    """Takes an app away: its replicas, its releases with their bundles, its secrets. Ray Serve itself is left.

    Raises:
        UsageError: there is no such app.
    """
    names = [] if serve is None else [one for one in serve.applications() if is_of(app)(one)]
    if not names and store.get(f"app:{app}") is None:
        raise _absent(app)
    with alone(store, app):
        if serve is not None and names:
            serve.apply([], without=is_of(app))
            until = time.monotonic() + LOG_S
            left = [one for one in names if not serve.wait_until_gone(one, until=until)]
            if left:
                raise ServeRefused(f"{left[0]} does not end.", hint="serve status says why; then type the same again")
        forget_app(store, app)


def log(serve: Serve | None, store: Store, app: str, *, lines: int) -> Iterator[str]:
    """The last lines of the logs of all replicas that there are, by time; invitations in them are withheld.

    Raises:
        UsageError: there is no such app.
        ServeRefused: a node does not give them.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there(store, app)
    found = {} if serve is None else serve.applications()
    places = [place for name, one in found.items() if is_of(app)(name) for place in one.logs]
    asked = []
    for node in sorted({node for node, _ in places}):
        where = NodeAffinitySchedulingStrategy(node, soft=False)
        task: Any = ray.remote(read_here).options(num_cpus=0, scheduling_strategy=where, max_retries=2)
        asked.append(task.remote([path for one, path in places if one == node], lines))
    try:
        told: list[list[str]] = ray.get(asked, timeout=LOG_S)
    except Exception as error:
        raise ServeRefused(
            f"A node does not give its logs ({type(error).__name__}).", hint="ray status says how the nodes are"
        ) from error
    every = sorted(line for each in told for line in each)
    yield from (discreet(line) for line in every[-lines:])


def read_here(paths: Sequence[str], lines: int) -> list[str]:
    """On a node: the last lines of logs below Ray's own folder of them, each with its time before all else."""
    import os
    from collections import deque
    from pathlib import Path

    import ray

    folder = Path(ray._private.worker.global_worker.node.get_logs_dir_path())  # noqa: SLF001  where Serve puts them
    found: list[str] = []
    for name in paths:
        path = (folder / name.lstrip("/")).resolve()
        if folder.resolve() not in path.parents or not os.path.isfile(path):  # noqa: PTH113
            continue
        with path.open(encoding="utf-8", errors="replace") as stream:
            last = ""
            for line in deque((one.rstrip("\n") for one in stream), maxlen=lines):
                words = line.split(" ", 3)
                is_new = len(words) > 3 and words[0].isupper() and words[1][:2] == "20"
                last = f"{words[1]} {words[2]}" if is_new else last
                found.append(f"{last} {words[0]} {words[3]}" if is_new else f"{last} {line}")
    return found


def there(store: Store, app: str) -> App:
    """What is kept of an app.

    Raises:
        UsageError: nothing is.
    """
    found = read_app(store, app)
    if found is None:
        raise _absent(app)
    return found


def _absent(app: str) -> UsageError:
    return UsageError(f"There is no app {app!r} in the cluster.", hint=f"aweigh deploy ray PATH --app {app} makes one")
