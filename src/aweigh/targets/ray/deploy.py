"""From a bundle to a live, checked release on Ray Serve: beside the one that runs, asked, switched to, or taken away.

Each release is an application of its own. The candidate stands at a prefix that nobody knows until its golden rows were
answered through Ray's proxy; then one configuration gives it the app's prefix, and the earlier one another, so that
every proxy hears of both in one message. The earlier one is taken away when the new one was seen to answer there.
"""

import secrets as random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from aweigh.errors import AweighError, RemoteError, UsageError
from aweigh.guard.deploy_key import VARIABLE as DEPLOY_SECRET
from aweigh.targets.errors import NotUp
from aweigh.targets.live import Golden
from aweigh.targets.ray.asking import replayed
from aweigh.targets.ray.errors import STILL
from aweigh.targets.ray.kept import (
    App,
    Release,
    Store,
    alone,
    put_bundle,
    read_app,
    read_secrets,
    write_app,
    write_secrets,
)
from aweigh.targets.ray.plan import application_of, serve_name
from aweigh.targets.ray.serving import Serve
from aweigh.targets.ssh.telling import Telling

METRICS_TOKEN = "AWEIGH_METRICS_TOKEN"  # noqa: S105  a name
MADE_UP = (DEPLOY_SECRET, METRICS_TOKEN)
SWITCH_S = 30.0
"""How long the proxies have to send people to the new release."""
GONE_S = 60.0


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is live; ``url`` is that of the head node's proxy."""

    app: str
    url: str
    version: str
    bundle: str
    created: bool
    changed: bool
    golden_rows: int
    replicas: Mapping[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Going:
    """What every step needs. ``ready_s`` is how long a release may take until all its replicas run."""

    serve: Serve
    store: Store
    url: str
    telling: Telling = field(default_factory=Telling)
    ready_s: float = 240.0


def deploy(
    going: Going,
    app: str,
    wanted: Release,
    *,
    content: bytes,
    golden: Golden,
    secrets: Mapping[str, str],
    keep_replicas: bool,
) -> Deployed:
    """Takes a bundle live; with nothing new it is only asked its golden rows.

    ``keep_replicas``: as many as there are, where there are some.

    Raises:
        UsageError: the prefix is another app's.
        Occupied: somebody else changes the app.
        RemoteError: it does not come up, or not agree; then what ran before still serves.
    """
    with alone(going.store, app):
        kept = as_it_runs(going.serve, read_app(going.store, app) or App(name=app))
        check_route(going.serve, app, wanted.route)
        live = kept.live
        if live is not None and keep_replicas and not wanted.most and not live.most:
            wanted = msgspec.structs.replace(wanted, replicas=live.replicas)
        settled = _settle(going.store, app, secrets)
        if live is not None and live.same_as(wanted) and not settled and _runs(going.serve, app, live):
            rows = _asked(going, app, live, golden, path=live.route)
            return _told(going, app, live, created=False, changed=False, rows=rows)
        return go_live(going, kept, wanted, golden=golden, content=content)


def go_live(going: Going, kept: App, wanted: Release, *, golden: Golden, content: bytes | None) -> Deployed:
    """Starts a release beside the one that is live, asks it, and sends people to it.

    Raises:
        RemoteError: as of ``deploy``.
    """
    app, live = kept.name, kept.live
    release = wanted.with_number(kept.next_number, at_s=time.time())
    kept = write_app(going.store, msgspec.structs.replace(kept, releases=(*kept.releases, release)))
    try:
        if content is not None:
            _send(going, content)
        rows = _switched(going, app, release, live, golden)
    except (AweighError, KeyboardInterrupt) as error:
        _put_back(going, app, live)
        if isinstance(error, RemoteError) and live is not None:
            error.message = f"{error.message.rstrip('.')}; {STILL}."
            error.args = (error.message,)
        raise
    write_app(going.store, now_live(kept, release.number))
    _end_others(going, app, release)
    return _told(going, app, release, created=live is None, changed=True, rows=rows)


def _send(going: Going, content: bytes) -> None:
    started = time.monotonic()
    digest, sent = put_bundle(going.store, content)
    told = f"{digest[:12]}, {sent / 10**6:.1f} MB sent" if sent else f"{digest[:12]}, is there already"
    going.telling.line("bundle", told, _since(started))


def _switched(going: Going, app: str, release: Release, live: Release | None, golden: Golden) -> int:
    """Has the release run at a prefix of its own, asks it there, and gives it the app's; how many rows agreed.

    Raises:
        RemoteError: it does not come up or agree, here or there.
    """
    started = time.monotonic()
    aside = f"/-aweigh-{random.token_hex(12)}"
    before = [] if live is None else [application_of(app, live, route=live.route)]
    candidate = application_of(app, release, route=aside)
    going.serve.apply([candidate, *before], without=is_of(app))
    until = time.monotonic() + going.ready_s
    with going.telling.doing("the new release starts"):
        found = going.serve.wait_for(str(candidate["name"]), until=until)
    count = f"{found.replicas} replica{'' if found.replicas == 1 else 's'}"
    going.telling.line("ready", f"{release.version}: {count}, beside what serves", _since(started))
    started = time.monotonic()
    rows = _asked(going, app, release, golden, path=aside)
    going.telling.line("answers", f"{rows} golden rows agree with the original", _since(started))
    started = time.monotonic()
    away = [] if live is None else [application_of(app, live, route=f"/-aweigh-{random.token_hex(12)}")]
    going.serve.apply([application_of(app, release, route=release.route), *away], without=is_of(app))
    _wait_for_proxies(going, app, release, golden)
    going.telling.line("switched", f"all proxies send {release.route} to {release.version}", _since(started))
    return rows


def _wait_for_proxies(going: Going, app: str, release: Release, golden: Golden) -> None:
    """Passes when every node's proxy answers for the release at its prefix.

    Raises:
        RemoteError: one does not in time, or answers otherwise.
    """
    until = time.monotonic() + SWITCH_S
    waiting = set(going.serve.proxies())
    while waiting:
        for node in sorted(waiting):
            try:
                _ask_at(going, app, release, golden, path=release.route, node=node)
                waiting.discard(node)
            except RemoteError:
                if time.monotonic() > until:
                    raise
        waiting &= set(going.serve.proxies())
        if waiting:
            time.sleep(0.5)


def _asked(going: Going, app: str, release: Release, golden: Golden, *, path: str) -> int:
    """Asks the golden rows of a proxy, more than once where it has not heard of the prefix yet.

    Raises:
        RemoteError: they are not answered as they should be.
    """
    until = time.monotonic() + SWITCH_S
    while True:
        proxies = going.serve.proxies()
        try:
            if not proxies:
                raise NotUp("No proxy of Ray Serve is well.", hint="serve status says how they are")
            return _ask_at(going, app, release, golden, path=path, node=proxies[0])
        except RemoteError as error:
            if time.monotonic() > until or isinstance(error, _settled_errors()):
                raise
            time.sleep(0.5)


def _settled_errors() -> tuple[type[RemoteError], ...]:
    """What asking again would not change."""
    from aweigh.targets.errors import AnswersDiffer

    return (AnswersDiffer,)


def _ask_at(going: Going, app: str, release: Release, golden: Golden, *, path: str, node: str) -> int:
    host, port = going.serve.listens
    behind = None if release.auth == "none" else app
    found = replayed(golden, node=node, host=host, port=port, path=path, app=behind)
    found.check("The new release")
    return found.rows - found.skipped


def _put_back(going: Going, app: str, live: Release | None) -> None:
    """What was live, at its prefix, and nothing else of the app."""
    before = [] if live is None else [application_of(app, live, route=live.route)]
    going.serve.apply(before, without=is_of(app))


def _end_others(going: Going, app: str, release: Release) -> None:
    """Takes earlier releases away; what they have under way is finished first."""
    started = time.monotonic()
    own = serve_name(app, release.number)
    others = [one for one in going.serve.applications() if is_of(app)(one) and one != own]
    if not others:
        return
    going.serve.apply([application_of(app, release, route=release.route)], without=is_of(app))
    until = time.monotonic() + GONE_S
    gone = all(going.serve.wait_until_gone(one, until=until) for one in others)
    told = "have ended" if gone else "are still ending"
    going.telling.line("earlier", f"{', '.join(one.rpartition('.')[2] for one in others)} {told}", _since(started))


def as_it_runs(serve: Serve, kept: App) -> App:
    """What is kept of an app, with that release as its live one to which Ray Serve sends people.

    A deployment that was killed after the switch has not written down that it was.
    """
    found = serve.applications()
    for one in reversed(kept.releases):
        runs = found.get(serve_name(kept.name, one.number))
        if runs is not None and runs.route == one.route and runs.state != "DELETING":
            return now_live(kept, one.number)
    return kept


def now_live(kept: App, number: int) -> App:
    """The app with that release as its live one."""
    releases = tuple(
        msgspec.structs.replace(one, served=True) if one.number == number else one for one in kept.releases
    )
    return msgspec.structs.replace(kept, releases=releases, current=number)


def check_route(serve: Serve, app: str, route: str) -> None:
    """Passes where the prefix is nobody else's.

    Raises:
        UsageError: another application of the cluster has it.
    """
    for name, one in serve.applications().items():
        if one.route == route and not is_of(app)(name) and one.state != "DELETING":
            raise UsageError(
                f"The application {name[:60]} of this cluster answers at {route} already.",
                hint="choose another prefix: --route-prefix /" + app,
            )


def is_of(app: str) -> Callable[[str], bool]:
    """Whether a name of an application of Ray Serve is that of a release of this app."""
    return lambda name: name.rpartition(".v")[0] == app and name.rpartition(".v")[2].isdigit()


def _runs(serve: Serve, app: str, release: Release) -> bool:
    found = serve.applications().get(serve_name(app, release.number))
    return found is not None and found.state == "RUNNING"


def _settle(store: Store, app: str, given: Mapping[str, str]) -> bool:
    """Keeps the secrets that were given, and makes up those that nobody gives; whether one of the given is new."""
    there = read_secrets(store, app)
    made = {name: there.get(name) or random.token_hex(32) for name in MADE_UP}
    wanted = there | made | dict(given)
    if wanted != there:
        write_secrets(store, app, wanted)
    return any(there.get(name) != value for name, value in given.items())


def _told(going: Going, app: str, release: Release, *, created: bool, changed: bool, rows: int) -> Deployed:
    found = going.serve.applications().get(serve_name(app, release.number))
    count = release.replicas if found is None else found.wanted
    return Deployed(
        app=app,
        url=f"{going.url}{release.route.rstrip('/')}",
        version=release.version,
        bundle=release.bundle,
        created=created,
        changed=changed,
        golden_rows=rows,
        replicas={"web": count},
    )


def _since(started: float) -> float:
    return time.monotonic() - started
