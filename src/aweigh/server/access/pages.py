"""The door's own pages: which address is answered by what, for whom, and what is said where nothing is.

They are served before any asset of the app. Whoever calls this app has looked at ``Origin`` and ``Host`` and has put
into the scope who asks (``aweigh.identity``) and from where (``aweigh.client``); it is looked at here once more who
may see what.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from aweigh.errors import AweighError, UsageError
from aweigh.guard.guard import Guard
from aweigh.guard.identity import Role
from aweigh.server.access import account, invite, keys, log, people, two_step
from aweigh.server.access.cookies import is_secure
from aweigh.server.access.fields import notice
from aweigh.server.access.frame import Frame, Page, see_other
from aweigh.server.access.markup import Html, tag
from aweigh.server.access.nothing import NotThere
from aweigh.server.access.passwords import sentence
from aweigh.server.access.sign_in import Provider, SignIn
from aweigh.server.access.visit import Visit, read_visit
from aweigh.server.body import ClientGone, Unread, refuse_unread
from aweigh.server.problems import Refused, status_of
from aweigh.server.ulid import ulid

THREADS = 8
"""How many are answered at once of those who are signed in, and of those who are not: passwords take their time."""

_LOG = logging.getLogger(__name__)

Handler = Callable[[Visit, Guard], Page | Response]
For = Literal["anybody", "person", "admin"]


@dataclass(frozen=True, slots=True)
class Address:
    """A path (``*`` is any one part of it), for whom it is, and what answers to which method."""

    path: tuple[str, ...]
    whom: For
    get: Handler | None = None
    post: Handler | None = None

    def fits(self, parts: tuple[str, ...]) -> bool:
        """Whether the path is this one's."""
        return len(parts) == len(self.path) and all(
            mine in {"*", asked} and asked for mine, asked in zip(self.path, parts, strict=True)
        )

    def methods(self) -> list[str]:
        """The methods that it takes."""
        return [*(["GET", "HEAD"] if self.get else []), *(["POST"] if self.post else [])]


class Pages:
    """An ASGI app for ``/login``, ``/logout``, ``/invite``, ``/account`` and ``/admin``.

    ``provider`` is who else may vouch for people; the link to it is shown before the password. ``secure`` says whether
    a browser came over TLS.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        title: str,
        accent: str | None = None,
        secure: Callable[[Scope], bool] = is_secure,
        provider: Provider | None = None,
    ) -> None:
        self._guard = guard
        self._frame = Frame(title=title, accent=accent)
        self._secure = secure
        self._queues: dict[bool, anyio.CapacityLimiter] = {}
        self._oauth = None if provider is None else provider.app
        self._addresses = addresses(SignIn(title=title, provider=provider))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"].startswith("/oauth/") and self._oauth is not None:
            try:
                await self._oauth(scope, receive, send)
            except AweighError as error:  # raised before anything is sent
                await self._frame.answer(_problem(error), identity=None)(scope, receive, send)
            return
        try:
            visit = await read_visit(scope, receive, secure=self._secure(scope))
        except ClientGone:
            return
        except Unread as unread:
            await self._refuse_unread(unread.error, scope, receive, send)
            return
        except AweighError as error:
            response = self._frame.answer(_problem(error), identity=None)
        else:
            page = await anyio.to_thread.run_sync(self._answer, visit, limiter=self._threads(visit))
            response = page if isinstance(page, Response) else self._frame.answer(page, identity=visit.identity)
        if scope["method"] == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    def _threads(self, visit: Visit) -> anyio.CapacityLimiter:
        """Whoever stands at the door waits in a queue of their own, not in that of those who are in or of the app."""
        if not self._queues:
            self._queues = {inside: anyio.CapacityLimiter(THREADS) for inside in (True, False)}
        return self._queues[visit.identity is not None]

    async def _refuse_unread(self, error: AweighError, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses a body that is still on the line, under the same headers as any page."""
        response = self._frame.answer(_problem(error), identity=None)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = message["headers"]
                names = {name for name, _ in told}
                message["headers"] = [*told, *(one for one in response.raw_headers if one[0] not in names)]
            await send(message)

        media, body = b"text/html; charset=utf-8", bytes(response.body)
        await refuse_unread(error, scope, receive, sent, media=media, body=body)

    def _answer(self, visit: Visit) -> Page | Response:
        """What a page's own code says; called in a thread, as that waits for databases and passwords."""
        try:
            address = next((one for one in self._addresses if one.fits(visit.parts)), None)
            refused = _refused(visit, address.whom if address is not None else "anybody")
            if refused is not None:
                return refused
            if address is None:
                raise NotThere
            handler = {"GET": address.get, "POST": address.post}.get(visit.method)
            return _other_method(address.methods()) if handler is None else handler(visit, self._guard)
        except NotThere:
            return _nothing(visit)
        except AweighError as error:
            return _problem(error)
        except Exception:  # noqa: BLE001  told with an id, and all of it in the log
            log_id = ulid()
            _LOG.exception("id %s: %s on a page of the door failed", log_id, visit.method)
            return _failed(log_id)


def addresses(sign_in: SignIn) -> list[Address]:
    """Every address of the pages, and for whom it is."""
    found = [
        Address(("login",), "anybody", sign_in.show, sign_in.send),
        Address(("logout",), "anybody", sign_in.ask_out, sign_in.out),
        Address(("invite", "*"), "anybody", invite.show, invite.accept),
        Address(("account",), "person", account.show),
        Address(("account", "password"), "person", None, account.change_password),
        Address(("account", "sessions", "end"), "person", None, account.end_sessions),
        Address(("account", "two-step"), "person", two_step.show, two_step.confirm),
        Address(("account", "two-step", "codes"), "person", two_step.codes),
        Address(("account", "two-step", "off"), "person", two_step.ask_off, two_step.off),
        Address(("admin",), "admin", people.show, people.add),
        Address(("admin", "people", "*"), "admin", people.one),
        Address(("admin", "people", "*", "role"), "admin", None, people.set_role),
        Address(("admin", "people", "*", "invite"), "admin", None, people.invite),
        Address(("admin", "people", "*", "enable"), "admin", None, people.enable),
        Address(("admin", "log"), "admin", log.show),
    ]
    found += [Address(("admin", "people", "*", deed), "admin", people.ask, people.act) for deed in people.DEEDS]
    return [*found, *_of_keys("account", "person", keys.OWN), *_of_keys("admin", "admin", keys.ALL)]


def _of_keys(first: str, whom: For, shelf: keys.Shelf) -> list[Address]:
    ask, act = partial(keys.ask, shelf=shelf), partial(keys.act, shelf=shelf)
    return [
        Address((first, "keys"), whom, partial(keys.show, shelf=shelf), partial(keys.add, shelf=shelf)),
        Address((first, "keys", "*"), whom, partial(keys.one, shelf=shelf)),
        *[Address((first, "keys", "*", what), whom, ask, act) for what in ("rotate", "revoke")],
    ]


def _refused(visit: Visit, whom: For) -> Page | Response | None:
    """What those get who may not see an address; below ``/account`` and ``/admin`` also where there is none."""
    if visit.parts[0] == "admin":
        whom = "admin"
    elif visit.parts[0] == "account":
        whom = "person"
    identity = visit.identity
    if whom == "anybody":
        return None
    if identity is None:
        path = visit.scope["path"] if visit.method == "GET" else f"/{visit.parts[0]}"
        return see_other("/login?next=" + quote(path, safe=""))
    if identity.kind != "person":
        return _forbidden("This page is for people", "A key is for programs. Sign in with your name.")
    if not identity.scopes and visit.parts[:2] == ("account", "keys"):
        return _forbidden("Set up two-step sign-in first", "Your role asks for it: your account has the way.")
    if whom == "admin" and identity.role != Role.ADMIN:
        return _forbidden("This page is for admins", "Ask one of them for what you need here.")
    return None


def _forbidden(title: str, lead: str) -> Page:
    return Page(title=title, lead=lead, body=_back(), width="narrow", status=403)


def _nothing(visit: Visit) -> Page:
    lead = "The address may have been cut short, or what it named is gone. Nothing was lost."
    at = visit.parts[0] if visit.parts[0] in {"account", "admin"} and visit.identity is not None else ""
    return Page(title="There is no page here", lead=lead, body=_back(f"/{at}"), width="narrow", status=404)


def _other_method(allowed: list[str]) -> Page:
    headers = [(b"allow", ", ".join(allowed).encode())]
    lead = "This address takes what a form sends, and nothing was changed. Open the page and use its form."
    return Page(title="Not in this way", lead=lead, body=_back(), width="narrow", status=405, headers=headers)


def _problem(error: AweighError) -> Page:
    """An error of the tree as people read it; what no client brought about is told without its particulars."""
    status = 422 if isinstance(error, UsageError) else status_of(error)
    said = sentence(error) if status != 500 else "Something failed inside. Try again in a moment."
    headers = error.headers if isinstance(error, Refused) else ()
    return Page(title="That did not work", lead=said, body=_back(), width="narrow", status=status, headers=headers)


def _failed(log_id: str) -> Page:
    lead = "Something failed inside. Try again in a moment. If it stays, tell whoever runs this server the id below."
    return Page(
        title="That did not work", lead=lead, body=[notice(tag("code", log_id)), _back()], width="narrow", status=500
    )


def _back(href: str = "/") -> Html:
    return tag("p", tag("a", "Go on", href=href), class_="act")
