"""An app's outside: that it is there, its add-ons, and its settings."""

import re
import secrets
import time
from collections.abc import Mapping, Sequence

from aweigh.errors import AweighError, RemoteError, UsageError
from aweigh.secret import Secret
from aweigh.targets.errors import AGAIN, quote
from aweigh.targets.heroku import requests as ask
from aweigh.targets.heroku.api import Api
from aweigh.targets.heroku.documents import AddOn, App
from aweigh.targets.heroku.errors import HerokuRefused, HerokuSilent
from aweigh.targets.heroku.render import PLANS, config_of, secrets_of
from aweigh.targets.heroku.wish import Going, Wish
from aweigh.targets.release import Release

MADE_UP_BYTES = 32
VARIABLES = {"postgresql": "DATABASE_URL", "redis": "REDIS_URL"}
"""The setting by which each kind of store is told."""


def url_of(api: Api, app: App) -> str:
    """An app's address, over TLS where Heroku serves it."""
    url = (app.web_url or f"https://{app.name}.herokuapp.com/").rstrip("/")
    return url if api.is_local else re.sub(r"^http:", "https:", url)


def find_or_create(going: Going) -> tuple[App, bool]:
    """The app, and whether it was created now.

    Raises:
        RemoteError: it can neither be found nor created.
    """
    api, wish = going.api, going.wish
    started = time.monotonic()
    found = find_app(api, wish.app)
    created = found is None
    if found is None:
        try:
            wanted = {"region": wish.region, "stack": wish.stack, "team": wish.team, "space": wish.space}
            found = api.ask(ask.create_app(wish.app, **wanted), App)
        except HerokuSilent:
            found = find_app(api, wish.app)  # the answer was lost, and perhaps only the answer
            if found is None:
                raise
    where = "" if found.region is None else f", region {found.region.name}"
    going.telling.line("app", f"{found.name}, {'created' if created else 'found'}{where}", time.monotonic() - started)
    return found, created


def change_stack(going: Going, app: App) -> str | None:
    """Has an app that is there built on the stack that was asked for; the one before, where that is another."""
    wanted, now = going.wish.stack, None if app.stack is None else app.stack.name
    if wanted is None or now is None or now == wanted:
        return None
    going.api.send(ask.change_stack(going.app, wanted))
    return now


def find_app(api: Api, app: str) -> App | None:
    """The app of that name; None: there is none."""
    try:
        return api.ask(ask.find_app(app), App)
    except HerokuRefused as error:
        if error.status == 404:
            return None
        raise


def add_addons(going: Going) -> None:
    """Adds those that were asked for, or that the release needs, and waits until each is provisioned."""
    api, app = going.api, going.app
    plans = plans_of(going.release, going.wish, api.ask(ask.get_config(app), dict[str, str]))
    if not plans:
        return
    there = api.ask(ask.list_addons(app), list[AddOn])
    for plan in plans:
        started = time.monotonic()
        found = _of_plan(there, plan)
        if found is None:
            try:
                found = api.ask(ask.add_addon(app, plan), AddOn)
            except HerokuSilent:
                found = _of_plan(api.ask(ask.list_addons(app), list[AddOn]), plan)
                if found is None:
                    raise
        _wait_for_addon(going, found)
        going.telling.line("add-on", f"{found.plan.name or plan} is there", time.monotonic() - started)


def plans_of(release: Release, wish: Wish, there: Mapping[str, str]) -> tuple[str, ...]:
    """The add-ons of a deployment: those asked for, and the smallest for each store that no setting names."""
    asked = {plan.partition(":")[0] for plan in wish.addons}
    needed = [one for one in release.stores if not there.get(VARIABLES[one])]
    stores = [one for one in needed if PLANS[one].partition(":")[0] not in asked]
    return (*wish.addons, *(PLANS[one] for one in stores))


def _of_plan(there: Sequence[AddOn], plan: str) -> AddOn | None:
    """An add-on of the same service, whatever its plan: an app has one database."""
    service = plan.partition(":")[0]
    return next((one for one in there if one.plan.name.partition(":")[0] == service), None)


def _wait_for_addon(going: Going, addon: AddOn) -> None:
    until = time.monotonic() + going.patience.addon_s
    while addon.state != "provisioned":
        if addon.state == "deprovisioned":
            why = quote(addon.provision_message or "it does not say why")
            raise RemoteError(
                f"Heroku could not provide {addon.plan.name}: {why}.",
                hint="try another plan, or later",
            )
        if time.monotonic() > until:
            raise RemoteError(f"{addon.plan.name} is still being provided.", hint=AGAIN)
        going.api.pause(going.patience.poll_s)
        addon = going.api.ask(ask.get_addon(going.app, addon.id), AddOn)


def config_changes(release: Release, there: Mapping[str, str]) -> dict[str, str | Secret]:
    """The settings that are not as the release has them, and secrets made up where there are none."""
    wanted = config_of(release)
    changes: dict[str, str | Secret] = {key: value for key, value in wanted.items() if there.get(key) != value}
    return changes | {name: made_up() for name in secrets_of(release) if not there.get(name) and name not in wanted}


def made_up() -> Secret:
    """A new secret of 256 bits."""
    return Secret(secrets.token_urlsafe(MADE_UP_BYTES))


def settings_of(going: Going) -> dict[str, str]:
    """All settings of the app."""
    return going.api.ask(ask.get_config(going.app), dict[str, str])


def apply_config(going: Going, there: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Secret | None]]:
    """Changes what is to be changed, in one release.

    All settings as they then are, and what the changed ones were before (None: there was none of that name).
    """
    started = time.monotonic()
    changes = config_changes(going.release, there)
    if not changes:
        going.telling.line("config", "as it is", time.monotonic() - started)
        return dict(there), {}
    was = {name: Secret(there[name]) if name in there else None for name in changes}
    now = going.api.ask(ask.set_config(going.app, changes), dict[str, str])
    going.telling.line("config", f"set: {', '.join(sorted(changes))}", time.monotonic() - started)
    return now, was


def set_back(going: Going, was: Mapping[str, Secret | None], *, stack: str | None = None) -> None:
    """Settings as they were before, in one release, and the stack; says so, and raises nothing: a failure is told."""
    try:
        if stack is not None:
            going.api.send(ask.change_stack(going.app, stack))
        if was:
            going.api.send(ask.set_config(going.app, was))
            going.telling.line("config", f"as it was before: {', '.join(sorted(was))}", 0.0)
    except AweighError as error:
        going.telling.line("config", f"could not be set back: {error.message}", 0.0)


def check_people(going: Going, there: Mapping[str, str]) -> None:
    """Without a database people are kept on a dyno's own disk, and one dyno knows nothing of another's.

    Raises:
        UsageError: several replicas are asked for.
    """
    auth = there.get("AWEIGH_AUTH") or next(
        iter(re.findall(r"--auth[ =](\w+)", going.release.processes.get("web", ""))), ""
    )
    if auth in {"", "none"} or there.get("DATABASE_URL"):
        return
    if (going.wish.replicas or 1) > 1:
        raise UsageError(
            "Several replicas share nobody who signs in: without a database each knows its own people.",
            hint="add one: --addon heroku-postgresql:essential-0",
        )
    going.telling.line("people", "are lost whenever the dyno restarts, at least daily: there is no database", 0.0)
