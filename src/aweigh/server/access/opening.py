"""How a server's entrance is opened: with nobody asked, or with those who are known to it and the pages to sign in."""

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aweigh.errors import ConfigError
from aweigh.guard.budget import Budget, budget_of
from aweigh.guard.deploy_key import check_secret
from aweigh.guard.disclosure import Disclosure, by_role
from aweigh.guard.identity import NOBODY, Role
from aweigh.registry import require
from aweigh.server.access.asked import place_of
from aweigh.server.access.door import OWN_SCRIPT_POLICY, PAGES_POLICY, Door, UiKind
from aweigh.server.access.entrance import Entrance
from aweigh.server.access.meter import Meter
from aweigh.server.settings import Settings

if TYPE_CHECKING:
    from aweigh.guard.guard import Guard
    from aweigh.server.access.sign_in import Provider


def open_entrance(  # noqa: PLR0913  what the process that serves hands in, each by its name
    settings: Settings,
    *,
    auth: str,
    url: str,
    loopback: bool,
    ui: UiKind,
    title: str,
    accent: str | None,
    ui_token: str,
) -> Entrance:
    """The entrance of a process that answers; ``auth`` is none, password or oidc.

    Raises:
        ConfigError: a setting cannot be.
        MissingExtra: what checks passwords is not installed.
        StorageDown: those who are known cannot be looked up.
    """
    place = place_of(
        hosts=settings.hosts,
        origins=settings.origins,
        proxies=settings.proxies,
        loopback=loopback,
        own=urlsplit(url).netloc,
    )
    policy = settings.csp or (OWN_SCRIPT_POLICY if ui == "script" else PAGES_POLICY)
    disclosure = by_role(settings.disclosure) if settings.disclosure else {}
    if auth == "none":
        if budget_of(os.environ) != Budget():
            raise ConfigError(
                "AWEIGH_ROWS_... bound people and keys that are known, and --auth none knows nobody.",
                hint="unset them, or ask who comes: --auth password",
            )
        told = disclosure.get(Role.PREDICTOR, Disclosure())
        return Entrance(
            Door(place, policy=policy, everybody=None if told == Disclosure() else Meter(None, NOBODY, told))
        )
    _require_extra()
    from aweigh.guard.guard import open_guard
    from aweigh.server.access.known import Known
    from aweigh.server.access.pages import Pages

    guard = open_guard(os.environ, state_dir=settings.state_dir)
    token = settings.metrics_token
    known = Known(
        guard,
        ui_token=ui_token.encode(),
        metrics_token=None if token is None else token.reveal(),
        deploy_secret=check_secret(settings.deploy_secret),
        disclosure=disclosure,
    )
    door = Door(place, known=known, policy=policy, ui=ui)
    provider = None if auth != "oidc" else _provider(settings, guard, door=door, knows_hosts=bool(place.hosts))
    pages = Pages(guard, title=title, accent=accent, secure=door.is_secure, provider=provider)
    return Entrance(door, pages, guard.close)


def _provider(settings: Settings, guard: "Guard", *, door: Door, knows_hosts: bool) -> "Provider":
    """Who else may vouch for people, as the environment names it.

    Raises:
        ConfigError: it names nobody, or what cannot be.
    """
    from aweigh.guard.oidc import open_oidc
    from aweigh.server.access.oauth import TOLD, OAuth
    from aweigh.server.access.sign_in import Provider

    oidc = open_oidc(os.environ, state_dir=settings.state_dir)
    if oidc is None:
        raise ConfigError(
            "No provider is named to sign in with.", hint="set AWEIGH_OIDC_ISSUER and AWEIGH_OIDC_CLIENT_ID"
        )
    oauth = OAuth(guard, oidc, secure=door.is_secure, knows_hosts=knows_hosts)
    return Provider(oidc.settings.name, oauth, TOLD)


def first_link(settings: Settings, *, url: str) -> tuple[str | None, bool]:
    """Where nobody can sign in yet, the address at which the first person chooses a password; it works once.

    Behind a proxy it is the first of the names that people ask by: what this process listens on, nobody can reach. And
    whether nobody can: the address may have been told by an earlier start, and is not told again while it is good.

    Raises:
        MissingExtra, StorageDown: as ``open_entrance``.
    """
    _require_extra()
    from aweigh.guard.guard import open_guard

    guard = open_guard(os.environ, state_dir=settings.state_dir)
    try:
        token = guard.first_run()
        awaited = all(not one.has_password and one.oidc is None for one in guard.people())
    finally:
        guard.close()
    host = (settings.hosts or "").split(",")[0].strip() if settings.proxies else ""
    origin = f"https://{host}" if host and host != "*" else url
    return None if token is None else f"{origin}/invite/{token}", awaited


def _require_extra() -> None:
    require("argon2", what="Sign-in", extra="auth")
