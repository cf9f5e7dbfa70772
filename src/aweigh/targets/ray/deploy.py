"""From a bundle to a live, checked release on Ray Serve: beside the one that runs, asked, switched to, or taken away.

Each release is an application of its own. The candidate stands at a prefix that nobody knows until its golden rows were
answered through Ray's proxy; then one configuration gives it the app's prefix, and the earlier one another, so that
every proxy hears of both in one message. The earlier one is taken away when the new one was seen to answer there.
"""

import secrets as random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from aweigh.errors import AweighError, RemoteError, UsageError
from aweigh.guard.deploy_key import VARIABLE as DEPLOY_SECRET
from aweigh.targets.errors import NotUp, Occupied
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
    """What every step needs. ``ready_s`` is how long a release may take until all its replicas run.

    ``still`` passes while nobody else changes the app; what it raises is ``Occupied``.
    """

    serve: Serve
    store: Store
    url: str
    telling: Telling = field(default_factory=Telling)
    ready_s: float = 240.0
    still: Callable[[], None] = lambda: None


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
    with alone(going.store, app) as still:
        going = replace(going, still=still)
        written = read_app(going.store, app) or App(name=app)
        kept = as_it_runs(going.serve, written)
        check_route(going.serve, app, wanted.route)
        live = kept.live
        if live is not None and keep_replicas and not wanted.most and not live.most:
            wanted = msgspec.structs.replace(wanted, replicas=live.replicas)
        known = {} if live is None else read_secrets(going.store, app, live.number)
        settled = settle(known, secrets)
        if live is not None and live.same_as(wanted) and settled == known and _runs(going.serve, app, live):
            rows = _agreed(going, app, live, golden, path=live.route)
            if kept != written:
                write_app(going.store, kept)
            _end_others(going, app, live)  # of a deployment that was killed
            return _told(going, app, live, created=False, changed=False, rows=rows)
        return go_live(going, kept, wanted, golden=golden, content=content, secrets=settled)


def go_live(
    going: Going, kept: App, wanted: Release, *, golden: Golden, content: bytes | None, secrets: Mapping[str, str]
) -> Deployed:
    """Starts a release beside the one that is live, asks it, and sends people to it.

    Raises:
        Occupied: somebody else has taken over; what runs is theirs.
        RemoteError: as of ``deploy``.
    """
    app, live = kept.name, kept.live
    release = wanted.with_number(kept.next_number, at_s=time.time())
    kept = write_app(going.store, msgspec.structs.replace(kept, releases=(*kept.releases, release)))
    try:
        write_secrets(going.store, app, release.number, secrets)
        if content is not None:
            _send(going, content)
        rows = _switched(going, app, release, live, golden)
    except Occupied:
        raise
    except BaseException as error:
        _give_up(going, app, live, error)
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
    rows = _agreed(going, app, release, golden, path=aside)
    started = time.monotonic()
    away = [] if live is None else [application_of(app, live, route=f"/-aweigh-{random.token_hex(12)}")]
    going.still()
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
    answered: set[str] = set()
    while True:
        proxies = set(going.serve.proxies())
        for node in sorted(proxies - answered):
            try:
                _ask_at(going, app, release, golden, path=release.route, node=node)
                answered.add(node)
            except RemoteError:
                if time.monotonic() > until:
                    raise
        if proxies and proxies <= answered:
            return
        if not proxies and time.monotonic() > until:
            raise _no_proxy()
        time.sleep(0.5)


def _agreed(going: Going, app: str, release: Release, golden: Golden, *, path: str) -> int:
    """Asks the golden rows, and says how many agreed.

    Raises:
        RemoteError: as of ``_asked``.
    """
    started = time.monotonic()
    rows = _asked(going, app, release, golden, path=path)
    going.telling.line("answers", f"{rows} golden rows agree with the original", _since(started))
    return rows


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
                raise _no_proxy()
            return _ask_at(going, app, release, golden, path=path, node=proxies[0])
        except RemoteError as error:
            if time.monotonic() > until or isinstance(error, _settled_errors()):
                raise
            time.sleep(0.5)


def _no_proxy() -> NotUp:
    return NotUp("No proxy of Ray Serve is well.", hint="serve status says how they are")


def _settled_errors() -> tuple[type[RemoteError], ...]:
    """What asking again would not change."""
    from aweigh.targets.errors import AnswersDiffer

    return (AnswersDiffer,)


def _ask_at(going: Going, app: str, release: Release, golden: Golden, *, path: str, node: str) -> int:
    host, port = going.serve.listens
    door = None if release.auth == "none" else (app, release.number)
    found = replayed(golden, node=node, host=host, port=port, path=path, door=door)
    found.check("The new release")
    return found.rows - found.skipped


def _give_up(going: Going, app: str, live: Release | None, error: BaseException) -> None:
    """What was live, at its prefix, and nothing else of the app; the error says so, or that this failed, too."""
    before = [] if live is None else [application_of(app, live, route=live.route)]
    told = "" if live is None else STILL
    try:
        going.still()
        going.serve.apply(before, without=is_of(app))
    except Exception as other:  # noqa: BLE001  Ray raises whatever its parts do, and the first error is the one that is told
        what = "what it began could not be taken away" if live is None else "what ran before could not be put back"
        told = f"and {what}: {other}"
        if isinstance(error, AweighError):
            error.hint = "serve status says what runs; once the cluster is well, type the same again"
    if isinstance(error, RemoteError) and told:
        error.message = f"{error.message.rstrip('.')}; {told.rstrip('.')}."
        error.args = (error.message,)
    elif not isinstance(error, Exception):
        going.telling.line("stopped", told or "nothing of it runs", 0.0)


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


def settle(known: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The secrets of the next release: those that are known, those that are given, and those that nobody gives."""
    return {name: random.token_hex(32) for name in MADE_UP} | dict(known) | dict(given)


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
