"""The door: decides of every request and every WebSocket whether it may come in, and says behind it who it is.

Behind the door a request's scope holds ``aweigh.identity`` (who asks; None: nobody is asked to say), ``aweigh.client``
(from which address) and ``aweigh.meter`` (what its rows are charged to). Headers that only the door may set are taken
from whoever sends them; the app is told by them who its visitor is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

from aweigh.guard.identity import Identity
from aweigh.guard.rules import PREDICT, READ, Need, is_access_page, need_of
from aweigh.server.access.asked import SAFE_METHODS, SAME_SITE_FETCHES, Place, header
from aweigh.server.access.known import Known, not_signed_in
from aweigh.server.access.meter import Meter, Watch
from aweigh.server.access.watched import watched
from aweigh.server.metrics import route_of
from aweigh.server.problems import Refused, not_found

if TYPE_CHECKING:
    from aweigh.guard.sweep import Verdict

IDENTITY, CLIENT, METER = "aweigh.identity", "aweigh.client", "aweigh.meter"

USER, ROLE, SESSION = b"x-aweigh-user", b"x-aweigh-role", b"x-aweigh-session"
OURS = frozenset({USER, ROLE, SESSION})
"""Headers by which the door tells the app who its visitor is; nobody else may send them."""

UiKind = Literal["none", "pages", "script"]
"""What people find behind the door: nothing, the pages that are made from the model, or a script of somebody's own."""

HEALTH = "/health/"
# Streamlit writes its styles into the page, and runs what it has compiled to WebAssembly.
PAGES_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; worker-src 'self' blob:; "
    "connect-src 'self'; frame-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""What the generated pages may load and do."""

OWN_SCRIPT_POLICY = (
    "default-src 'self' https: data: blob: 'unsafe-inline' 'unsafe-eval'; connect-src 'self' https: wss:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""The same for a script of somebody's own, whose charts and components compile code and ask other hosts."""

PAGE_HEADERS = (
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
# No address has one. Patterns of routes overlook a line feed at the end, and rules about addresses do not.
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]")
_OPENS = re.compile(rb"(?:__Host-)?aweigh(?:-[a-z]+)?(?:_[0-9]{1,5})?(?:-[a-z]+)?")
"""The door's cookies; that of the app's processes, ``aweigh_app``, is none of them."""


@dataclass(frozen=True, slots=True)
class Passed:
    """What was let in at once: what its rows are charged to, if to anything."""

    meter: Meter | None


class Door:
    """What stands before the app.

    ``known`` are those who may come in; None: nobody is asked who they are, and ``everybody`` may have so much.
    ``ui`` is what people find at ``/``. With a ``script`` of somebody's own whoever opens it may do all that it does:
    all of it takes who may predict. Where there is ``none``, ``/`` does no more than name the API's addresses.
    """

    def __init__(
        self,
        place: Place,
        *,
        known: Known | None = None,
        policy: str = PAGES_POLICY,
        everybody: Meter | None = None,
        ui: UiKind = "pages",
    ) -> None:
        self._ui = ui
        self._everybody = Passed(everybody)
        self._policy = policy.encode()
        self._place = place
        self._known = known

    @property
    def is_closed(self) -> bool:
        """Whether people and programs must say who they are."""
        return self._known is not None

    def watch(self, watch: Watch) -> None:
        """From now on the rows of those who are known are shown to this."""
        if self._known is not None:
            self._known.watch(watch)

    def suspect(self, identity: Identity, verdict: "Verdict") -> bool:
        """Writes down that the rows of one who is known look made up; see ``Known.suspect``."""
        return self._known is not None and self._known.suspect(identity, verdict)

    def is_secure(self, scope: Scope) -> bool:
        """Whether the browser came by TLS."""
        return self._place.is_secure(scope)

    def dress(self, scope: Scope, headers: list[tuple[bytes, bytes]]) -> None:
        """Add to a page's headers what a browser is to hold it to; a page that has a policy of its own keeps it."""
        names = {name.lower(): value for name, value in headers}
        if not names.get(b"content-type", b"").startswith(b"text/html"):
            return
        if b"content-security-policy" not in names:
            headers.append((b"content-security-policy", self._policy))
        headers.extend(one for one in PAGE_HEADERS if one[0] not in names)
        if self._place.is_secure(scope):
            headers.append((b"strict-transport-security", b"max-age=31536000"))

    def lets_read(self, scope: Scope) -> bytes | None:
        """The other site whose page asks the API and may read its answer; None: none."""
        return None if route_of(scope["path"]) == "ui" else self._place.lets_read(scope)

    async def enter(self, scope: Scope) -> None:
        """Let a request or a WebSocket in: its scope becomes what is behind the door may see.

        Raises:
            Refused: whoever asks may not come in (401, 403), asks for another host (421), or for no address (404).
        """
        path, place = scope["path"], self._place
        if _CONTROL.search(path):
            raise not_found()
        _take_ours(scope)
        if not path.startswith(HEALTH) and not place.knows_host(header(scope, b"host")):
            raise unknown_host()
        scope[CLIENT] = place.client_of(scope)
        is_websocket = scope["type"] == "websocket"
        changes = is_websocket or scope["method"] not in SAFE_METHODS
        if self._known is None:
            if changes and not place.is_same_site(scope):
                raise cross_site()
            if self._everybody.meter is not None:
                scope[METER] = self._everybody.meter
            return
        if place.is_secure(scope):
            scope["scheme"] = "wss" if is_websocket else "https"
        identity, by_cookie = await self._known.identify(scope)
        if not by_cookie and is_access_page(path):
            identity = None  # these pages are for a browser in which somebody has signed in
        scope[IDENTITY] = identity
        # A key is sent on purpose. A cookie goes along with whatever a browser is made to send.
        if changes and (by_cookie or identity is None) and not place.is_same_site(scope):
            raise cross_site()
        _require(self._need_of(path), identity, path)
        if identity is None:
            return
        if is_websocket and not identity.session:
            raise not_allowed("This page is for people who have signed in.")
        scope[METER] = self._known.meter(identity)
        if route_of(path) == "ui" and not is_access_page(path):
            _tell(scope, identity, token=self._known.token_of(identity) if identity.session else None)

    def _need_of(self, path: str) -> Need:
        need = need_of(path)
        if self._ui == "script" and need == READ and route_of(path) == "ui":
            return PREDICT
        return READ if self._ui == "none" and path == "/" else need

    def at_once(self, headers: Mapping[bytes, bytes]) -> Passed | None:
        """What a plain request with these headers, to predict, is let in with; None: ``enter`` is to look at it."""
        get = headers.get
        if not self._place.knows_host(get(b"host", b"")) or b"origin" in headers:
            return None
        if get(b"sec-fetch-site", b"") not in SAME_SITE_FETCHES or not OURS.isdisjoint(headers):
            return None
        if self._known is None:
            return self._everybody
        said = get(b"authorization")
        identity = None if said is None else self._known.remembered(said)
        if identity is None or "predict" not in identity.scopes:
            return None
        return Passed(self._known.meter(identity))

    def asker(self, headers: Mapping[bytes, bytes]) -> Identity | None:
        """Who asks by a plain request with these headers, as far as it is remembered."""
        said = headers.get(b"authorization")
        return None if said is None or self._known is None else self._known.remembered(said)

    def audit(self, event: str, *, by: Identity | None, what: Mapping[str, str], client: str = "") -> None:
        """Adds to the audit log, where those who come in are known; see ``Guard.audit``. Asks the database."""
        if self._known is not None:
            self._known.audit(event, by=by, what=what, client=client)

    async def websocket(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket that was let in, for as long as its session lasts."""
        identity = scope.get(IDENTITY)
        if self._known is None or identity is None or not identity.session:
            await app(scope, receive, send)
        else:
            await watched(app, scope, receive, send, lasts=partial(self._known.lasts, identity))


def _tell(scope: Scope, identity: Identity, *, token: bytes | None) -> None:
    """Tell the app who its visitor is, and with what it may ask the API; nothing that opens the door stays."""
    told = [(USER, quote(identity.name).encode()), (ROLE, identity.role.name.lower().encode())]
    if token is not None:
        told.append((SESSION, token))
    scope["headers"] = [*_without_ways_in(scope["headers"]), *told]


def _require(need: Need, identity: Identity | None, path: str) -> None:
    if need.kind == "open":
        return
    if identity is None:
        raise not_signed_in("Nobody is signed in.")
    if (need.kind == "person" or is_access_page(path)) and identity.kind != "person":
        raise not_allowed("This page is for people who have signed in.")
    if need.scope is not None and need.scope not in identity.scopes:
        if identity.kind == "person" and not identity.scopes:
            raise not_allowed(
                "Set up two-step sign-in first: your role asks for it.",
                hint="your account, /account/two-step, has the way",
            )
        raise not_allowed(
            "This page is for admins."
            if is_access_page(path)
            else f"{identity.name} may not do this: it takes the scope '{need.scope}'."
        )


def _take_ours(scope: Scope) -> None:
    """Take away what only the door may say."""
    headers = scope["headers"]
    for name, _ in headers:
        if name in OURS:
            scope["headers"] = [one for one in headers if one[0] not in OURS]
            return


def _without_ways_in(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers less all that opens the door: what is behind it need not hold that."""
    found = []
    for key, value in headers:
        if key == b"authorization":
            continue
        if key == b"cookie":
            kept = [one for one in value.split(b";") if not _OPENS.fullmatch(one.strip().partition(b"=")[0])]
            value = b";".join(kept).strip()  # noqa: PLW2901
            if not value:
                continue
        found.append((key, value))
    return found


def not_allowed(message: str, *, hint: str = "ask whoever runs this server for a role or a key that may") -> Refused:
    """403: known, and not allowed."""
    return Refused("not_allowed", message, hint=hint)


def cross_site() -> Refused:
    """403: another site's page has sent the browser here."""
    return Refused(
        "cross_site",
        "The request comes from a page of another site.",
        hint="if that site is yours, name it in AWEIGH_ORIGINS; behind proxies say how many in AWEIGH_PROXIES",
    )


def unknown_host() -> Refused:
    """421: this server is not asked by that name."""
    return Refused(
        "unknown_host",
        "This server has another name than the request asks for.",
        hint="name every host that it is reached by in AWEIGH_HOSTS",
    )
