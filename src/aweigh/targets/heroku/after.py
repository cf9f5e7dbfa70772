"""What comes after a deployment: what runs, its releases, back, more or less of it, settings, onward, and the end."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from aweigh.errors import UsageError
from aweigh.secret import Secret
from aweigh.targets.heroku import requests as ask
from aweigh.targets.heroku.api import Api
from aweigh.targets.heroku.boot import Patience, log_of, watch_boot
from aweigh.targets.heroku.building import code_before, current_of, is_live, wait_for_release
from aweigh.targets.heroku.codes import codes_in, since_release
from aweigh.targets.heroku.documents import (
    App,
    Build,
    DynoDocument,
    Formation,
    HerokuRelease,
)
from aweigh.targets.heroku.dynos import DYNOS, SIZES_OF_FIR, is_fir_size
from aweigh.targets.heroku.formation import ensure_affinity
from aweigh.targets.heroku.settings import find_app, url_of
from aweigh.targets.live import get
from aweigh.targets.target import Status
from aweigh.targets.telling import Telling

DESCRIBED = re.compile(r"aweigh: \S+ ([0-9a-f]{12})\b")
"""How a build says which bundle is in it."""

_PLAIN = re.compile(r"(?:AWEIGH_[A-Z_]+|WEB_CONCURRENCY|PORT|TZ|LANG|LOG_LEVEL|PYTHON[A-Z_]*|STREAMLIT_[A-Z_]+)\Z")
_HIDDEN = re.compile(r"SECRET|TOKEN|KEY|PASS|CREDENTIAL|_URL\Z|_URI\Z|_DSN\Z")

State = Literal["absent", "deploying", "up", "starting", "down", "crashed"]


def status(api: Api, app: str) -> Status:
    """What runs of an app.

    Raises:
        RemoteError: Heroku cannot be asked, or refuses.
    """
    found = find_app(api, app)
    if found is None:
        return Status(name=app, state="absent")
    current = current_of(releases(api, app))
    dynos = api.ask(ask.list_dynos(app), list[DynoDocument])
    formation = api.ask(ask.list_formation(app), list[Formation])
    url = url_of(api, found)
    state = state_of(current, dynos)
    if state == "up" and any(one.state == "up" for one in dynos if one.type == "web"):  # one that sleeps is let sleep
        reply = get(url, "/health/ready")
        state = "starting" if reply is not None and reply.status >= 500 else "up"
    return Status(
        name=found.name,
        state=state,
        url=url,
        release=None if current is None else current.label,
        bundle=None if current is None else bundles_of(api, app, [current]).get(current.version),
        replicas={one.type: one.quantity for one in formation},
        notes=notes_of(api, app, current),
    )


def address_of(api: Api, app: str) -> str | None:
    """An app's address; None: there is no such app.

    Raises:
        RemoteError: Heroku cannot be asked, or refuses.
    """
    found = find_app(api, app)
    return None if found is None else url_of(api, found)


def notes_of(api: Api, app: str, current: HerokuRelease | None) -> tuple[str, ...]:
    """What Heroku's own lines of the log warn of since the current release, each a sentence with its fix."""
    lines = log_of(api, app)
    lines = lines if current is None else since_release(lines, current.version)
    return tuple(one.sentence(app) for one in codes_in(lines))


def state_of(current: HerokuRelease | None, dynos: Sequence[DynoDocument]) -> State:
    """What an app does, by its release and its web dynos."""
    if current is not None and current.status == "pending":
        return "deploying"
    states = {one.state for one in dynos if one.type == "web"}
    found: tuple[State, ...] = ("crashed", "starting")
    first = next((one for one in found if one in states), None)
    return first or ("up" if states & {"up", "idle"} else "down")


def bundles_of(api: Api, app: str, listed: Sequence[HerokuRelease]) -> dict[int, str]:
    """The bundle that each of these releases runs, by its version, where a build of aweigh's says which.

    Raises:
        RemoteError: Heroku cannot be asked, or refuses.
    """
    known = releases(api, app, most=50)
    found: dict[int, str] = {}
    for build in api.ask(ask.list_builds(app), list[Build]):
        said = DESCRIBED.match(build.source_blob.version_description or "")
        if said is not None and build.status == "succeeded":
            for one in listed:
                if one.version not in found and is_live(build, one, known):
                    found[one.version] = said[1]
    return found


def releases(api: Api, app: str, *, most: int = 15) -> list[HerokuRelease]:
    """The newest releases, the newest first."""
    found = api.ask(ask.list_releases(app, most=most), list[HerokuRelease])
    return sorted(found, key=lambda one: one.version, reverse=True)


def rollback(
    api: Api, app: str, version: int | None = None, *, telling: Telling | None = None, patience: Patience | None = None
) -> tuple[HerokuRelease, HerokuRelease]:
    """Goes back to a release (by default the last that ran something else); what it was, and what it is now.

    Raises:
        UsageError: there is none to go back to, or Heroku keeps it no longer.
        RemoteError: it is refused, or does not come up.
    """
    telling, patience = telling or Telling(), patience or Patience()
    known = releases(api, app, most=100)
    current = current_of(known)
    if version is None:
        wanted = code_before([one for one in known if not one.current], but="" if current is None else current.code)
    else:
        wanted = next((one for one in known if one.version == version), None)
    if wanted is None or not wanted.code:
        named = (
            "earlier release that ran something else" if version is None else f"release v{version} that ran something"
        )
        raise UsageError(f"There is no {named}.", hint=f"aweigh releases heroku --app {app}")
    if wanted.eligible_for_rollback is False or wanted.status == "expired":
        raise UsageError(
            f"Heroku keeps {wanted.label} no longer.", hint="deploy its bundle again: aweigh deploy heroku PATH"
        )
    back = api.ask(ask.roll_back(app, wanted.id), HerokuRelease)
    back = wait_for_release(api, app, back, telling=telling, patience=patience)
    _watch(api, app, back, patience=patience)
    return wanted, back


def _watch(api: Api, app: str, release: HerokuRelease, *, patience: Patience) -> None:
    found = api.ask(ask.find_app(app), App)
    formation = api.ask(ask.list_formation(app), list[Formation])
    web = next((one.quantity for one in formation if one.type == "web"), 0)
    url = url_of(api, found)

    def ready() -> bool:
        reply = get(url, "/health/ready")
        return reply is not None and (reply.status < 400 or reply.status == 404)

    if web:
        watch_boot(api, app, release, web=web, ready=ready, patience=patience)


def scale(
    api: Api, app: str, quantities: Mapping[str, int], *, size: str | None = None, telling: Telling | None = None
) -> list[Formation]:
    """Changes how many dynos there are, and of which size; all process types as they then are.

    Where there are several web dynos, a visitor's requests go to the one that they came to first.

    Raises:
        UsageError: there is no such process type or size, or not so many of that size.
        RemoteError: Heroku refuses.
    """
    telling = telling or Telling()
    known = {one.type: one for one in api.ask(ask.list_formation(app), list[Formation])}
    unknown = sorted(quantities.keys() - known.keys())
    if unknown:
        raise UsageError(
            f"The app has no process {unknown[0]!r}.", hint=f"it has {', '.join(sorted(known)) or 'none yet'}"
        )
    kinds = list(known) if size is not None and not quantities else list(quantities)
    is_fir = any(is_fir_size(one.size_name) for one in known.values())
    if size is not None and is_fir != is_fir_size(size) and (is_fir or is_fir_size(size)):
        raise UsageError(
            f"{app} is of the generation {'Fir' if is_fir else 'Cedar'}, which has no dynos of the size {size[:40]}.",
            hint=f"one of {', '.join(SIZES_OF_FIR if is_fir else DYNOS)}",
        )
    for kind in kinds:
        _check_most(kind, quantities.get(kind, known[kind].quantity), size or known[kind].size_name)
    if quantities.get("web", 0) > 1:
        ensure_affinity(api, app, telling=telling, needed=False)
    updates = [ask.of_type(kind, quantity=quantities.get(kind), size=size) for kind in kinds]
    if updates:
        api.send(ask.scale(app, updates))
    return api.ask(ask.list_formation(app), list[Formation])


def _check_most(kind: str, quantity: int, size: str) -> None:
    dyno = DYNOS.get(size.lower())
    if dyno is None and size and not is_fir_size(size) and not size.lower().startswith(("private-", "shield-")):
        raise UsageError(f"Heroku has no dynos of the size {size[:40]!r}.", hint=f"one of {', '.join(DYNOS)}")
    if dyno is not None and dyno.most is not None and quantity > dyno.most:
        raise UsageError(
            f"There can be {dyno.most} {kind} dyno of the size {dyno.name}, and no more.",
            hint="take --size standard-1x for several",
        )


def config(api: Api, app: str) -> dict[str, Secret | str]:
    """All settings: those that may be shown as text, all others as secrets."""
    there = api.ask(ask.get_config(app), dict[str, str])
    return {key: value if is_plain(key) else Secret(value) for key, value in sorted(there.items())}


def config_names(api: Api, app: str) -> dict[str, str]:
    """The settings that there are, their values left out: ``set`` where one has any."""
    there = api.ask(ask.get_config(app), dict[str, str])
    return {key: "set" for key, value in there.items() if value}


def is_plain(name: str) -> bool:
    """Whether a setting is known to be no secret: what nobody knows counts as one."""
    return _PLAIN.match(name) is not None and _HIDDEN.search(name) is None


def set_config(api: Api, app: str, changes: Mapping[str, str | Secret | None]) -> tuple[str, ...]:
    """Changes settings in one release, those that differ; their names. None takes one away.

    Raises:
        UsageError: a name that no setting can have.
        RemoteError: Heroku refuses.
    """
    for name in changes:
        if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) is None:
            raise UsageError(f"No setting can be named {name[:40]!r}.", hint="write NAME=VALUE")
    there = api.ask(ask.get_config(app), dict[str, str])
    shown = {key: value.reveal() if isinstance(value, Secret) else value for key, value in changes.items()}
    differing = {key: value for key, value in changes.items() if there.get(key) != shown[key]}
    if differing:
        api.send(ask.set_config(app, differing))
    return tuple(sorted(differing))


def destroy(api: Api, app: str) -> None:
    """Destroys an app, with its add-ons and their data.

    Raises:
        RemoteError: there is none, or Heroku refuses.
    """
    api.send(ask.destroy_app(app))
