"""How many dynos of which process, and which of them a visitor comes back to."""

import time
from collections.abc import Mapping, Sequence

from aweigh.errors import UsageError
from aweigh.targets.heroku import requests as ask
from aweigh.targets.heroku.api import Api
from aweigh.targets.heroku.documents import Feature, Formation
from aweigh.targets.heroku.dynos import DYNOS
from aweigh.targets.heroku.errors import HerokuRefused
from aweigh.targets.heroku.wish import Going, Wish
from aweigh.targets.release import Release
from aweigh.targets.telling import Telling


def formation_updates(
    release: Release, there: Sequence[Formation], wish: Wish, *, first: bool
) -> tuple[list[dict[str, object]], int]:
    """What of the formation is to be changed, and how many web dynos there are then."""
    known = {one.type: one for one in there}
    updates: list[dict[str, object]] = []
    web = 0
    for kind in (one for one in release.processes if one != "release"):
        now = known.get(kind, Formation(type=kind))
        quantity = now.quantity or (1 if kind == "web" or first else 0)
        if kind == "web":
            quantity = web = wish.replicas if wish.replicas is not None else quantity
        size = wish.size if wish.size is not None and wish.size.lower() != now.size_name else None
        _check_most(kind, quantity, size=(size or now.size_name or "").lower())
        if quantity != now.quantity or size is not None:
            updates.append(ask.of_type(kind, quantity=quantity, size=size))
    return updates, web


def _check_most(kind: str, quantity: int, *, size: str) -> None:
    """Refuse what Heroku would refuse when all else is done.

    Raises:
        UsageError: there can be one dyno of that size only.
    """
    known = DYNOS.get(size)
    if known is not None and known.most is not None and quantity > known.most:
        raise UsageError(
            f"There can be {known.most} {kind} dyno of the size {known.name}, and no more.",
            hint="take --size standard-1x for several",
        )


def apply_formation(going: Going, *, first: bool) -> tuple[int, list[dict[str, object]]]:
    """Scales as was asked for, with affinity where several web dynos show pages.

    How many web dynos there are, and what would undo it.
    """
    api, app = going.api, going.app
    started = time.monotonic()
    before = {one.type: one for one in api.ask(ask.list_formation(app), list[Formation])}
    updates, web = formation_updates(going.release, tuple(before.values()), going.wish, first=first)
    if web > 1 and going.release.has_ui:
        ensure_affinity(api, app, telling=going.telling)
    there = api.ask(ask.scale(app, updates), list[Formation]) if updates else list(before.values())
    told = ", ".join(f"{one.type} {one.quantity} x {one.size_name or '?'}" for one in there)
    going.telling.line("dynos", told or "none", time.monotonic() - started)
    changed = [before[str(one["type"])] for one in updates if one["type"] in before]
    return web, [ask.of_type(one.type, quantity=one.quantity, size=one.size_name or None) for one in changed]


def undo_formation(going: Going, undo: Sequence[Mapping[str, object]]) -> None:
    """As many dynos as before, of the same sizes, of those process types that there still are."""
    if undo:
        known = {one.type for one in going.api.ask(ask.list_formation(going.app), list[Formation])}
        updates = [one for one in undo if one["type"] in known]
        if updates:
            going.api.send(ask.scale(going.app, updates))


def ensure_affinity(api: Api, app: str, *, telling: Telling, needed: bool = True) -> None:
    """Switches on that a visitor's requests go to the dyno that they came to first.

    Raises:
        UsageError: Heroku has no such thing for this app, and it is ``needed``.
    """
    try:
        if not api.ask(ask.get_feature(app), Feature).enabled:
            api.send(ask.set_feature(app))
            telling.line("affinity", "on: a page's session lives in one dyno", 0.0)
    except HerokuRefused as error:
        if error.status not in {404, 422}:
            raise
        if not needed:
            telling.line("affinity", "is not to be had for this app: pages need one replica, the API does not", 0.0)
            return
        raise UsageError(
            "Heroku has no session affinity for this app, and its pages need it with more than one replica.",
            hint="take one replica, or an app of the Common Runtime",
        ) from error
