"""``/oauth/start``, ``/oauth/callback`` and ``/oauth/logout``: sign-in with a provider, as a browser goes through it.

What fails ends at the sign-in page, with the reason as one word of ``Reason`` in its query: no text of a provider, nor
of whoever made up the address, is shown to anybody.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

import anyio.to_thread
from starlette.types import Receive, Scope, Send

from aweigh.errors import ConfigError
from aweigh.server.access.cookies import Header, cookie_of, session_cookie_name, set_cookie, written
from aweigh.server.access.next_path import next_path
from aweigh.server.problems import Refused, method_not_allowed, not_found

if TYPE_CHECKING:
    from aweigh.guard.guard import Guard, Refusal, SignedIn
    from aweigh.guard.oidc import Oidc, SignedInAt, SignInFailed

START, CALLBACK, LOGOUT = "/oauth/start", "/oauth/callback", "/oauth/logout"
LOGIN = "/login"
PROBLEM = "problem"
"""The parameter of the sign-in page that says why nobody was signed in."""

TOLD: Mapping[str, str] = {
    "provider_down": "The sign-in provider cannot be reached just now. Try again in a minute.",
    "sign_in_refused": "The sign-in provider's answer was not accepted. Try again, or ask whoever runs this server.",
    "sign_in_stale": "That sign-in was begun in another browser, too long ago, or was used already. Begin again.",
    "sign_in_cancelled": "The sign-in was not finished at the provider.",
    "not_on_the_list": "The provider knows you, but you are not let in here. Ask whoever runs this server.",
}
"""What the sign-in page says for each."""

MOST_PARAMETERS = 20
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_LOG = logging.getLogger(__name__)


class OAuth:
    """An ASGI app for the addresses below ``/oauth``.

    ``knows_hosts``: whoever stands before it lets only requests in that ask for a host of this server's own. Otherwise
    ``AWEIGH_PUBLIC_URL`` must say where the provider is to send browsers back to: anybody can ask for any host.
    """

    def __init__(self, guard: "Guard", oidc: "Oidc", *, secure: Callable[[Scope], bool], knows_hosts: bool) -> None:
        if oidc.settings.public_url is None and not knows_hosts:
            raise ConfigError(
                "Sign-in with a provider needs to know the address of this server.",
                hint="set AWEIGH_PUBLIC_URL to the address that people type, as in https://models.example.org",
            )
        self._guard, self._oidc, self._secure = guard, oidc, secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            Refused: there is nothing at its address (404), or nothing for its method (405).
            StorageDown: people cannot be looked up.
        """
        del receive
        answer = {START: self._start, CALLBACK: self._callback, LOGOUT: self._logout}.get(scope["path"])
        if answer is None:
            raise not_found()
        if scope["method"] != "GET":  # nor HEAD, which would use a sign-in up
            raise method_not_allowed(["GET"])
        location, cookies = await answer(scope)
        headers = [
            (b"location", location.encode("ascii")),
            (b"content-length", b"0"),
            (b"cache-control", b"no-store"),
            # The address of this answer holds a code.
            (b"referrer-policy", b"no-referrer"),
            *cookies,
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _start(self, scope: Scope) -> tuple[str, Iterable[Header]]:
        from aweigh.guard.oidc import SignInFailed

        asked = next_path((_query(scope) or {}).get("next"))
        try:
            started = await self._oidc.start(self._base(scope) + CALLBACK, asked)
        except SignInFailed as error:
            return self._failed(error, asked=asked), ()
        return started.url, [self._cookie(scope, started.cookie, started.max_age_s)]

    async def _callback(self, scope: Scope) -> tuple[str, Iterable[Header]]:
        from aweigh.guard.guard import SignedIn
        from aweigh.guard.oidc import SignInFailed

        forget = self._cookie(scope, "", 0)
        query = _query(scope)
        kept = cookie_of(scope, self._cookie_name(scope))
        try:
            if query is None:
                raise SignInFailed("sign_in_refused", "The provider's answer says something twice, or too much.")
            found = await self._oidc.finish(query, None if kept is None else kept.decode())
        except SignInFailed as error:
            if error.subject:
                await anyio.to_thread.run_sync(self._turn_out, error, scope)
            return self._failed(error), [forget]
        signed_in = await anyio.to_thread.run_sync(self._sign_in, found, scope)
        if not isinstance(signed_in, SignedIn):
            return _told("not_on_the_list", asked=found.next_path), [forget]
        session = set_cookie(scope, signed_in.cookie, signed_in.max_age_s, secure=self._secure(scope))
        return found.next_path, [forget, session]

    async def _logout(self, scope: Scope) -> tuple[str, Iterable[Header]]:
        """Sign out at the provider too; signing out here is ``/logout``'s."""
        url = await self._oidc.sign_out_url(self._base(scope) + LOGIN)
        return url or LOGIN, ()

    def _sign_in(self, found: "SignedInAt", scope: Scope) -> "SignedIn | Refusal":
        from aweigh.guard.guard import Refusal, SignedIn

        client, before = scope.get("aweigh.client", ""), scope.get("aweigh.identity")
        there = None if found.email is None else self._guard.person(found.email)
        if there is not None and there.disabled and there.oidc is None:
            self._guard.audit("session.refused", by=None, what={"why": "disabled", "person": there.id}, client=client)
            return Refusal("wrong")
        for name, is_email in found.names():
            signed_in = self._guard.sign_in_oidc(
                found.issuer, found.subject, name, is_email, role=found.role, client=client
            )
            if isinstance(signed_in, SignedIn):
                break
        if isinstance(signed_in, SignedIn) and before is not None and before.kind == "person":
            self._guard.sign_out(before, client=client)
        return signed_in

    def _turn_out(self, error: "SignInFailed", scope: Scope) -> None:
        """Whom the provider does not list any more has no session here any more."""
        who = (self._oidc.settings.issuer, error.subject)
        for person in self._guard.people():
            if person.oidc == who:
                self._guard.sign_out_everywhere(person.id, by=None)
        what = {"issuer": who[0], "subject": who[1], "why": error.reason}
        self._guard.audit("session.refused", by=None, what=what, client=scope.get("aweigh.client", ""))

    def _failed(self, error: "SignInFailed", *, asked: str = "/") -> str:
        told = f"{error.message} {error.hint or ''}".strip()
        level = logging.WARNING if error.reason in {"provider_down", "sign_in_refused"} else logging.INFO
        _LOG.log(level, "sign-in with %s: %s: %s", self._oidc.name, error.reason, told)
        return _told(error.reason, asked=asked)

    def _base(self, scope: Scope) -> str:
        """This server's address as browsers have it, without a path.

        Raises:
            Refused: the request does not say it.
        """
        if self._oidc.settings.public_url is not None:
            return self._oidc.settings.public_url
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
        if not _HOST.fullmatch(host):
            raise Refused("bad_parameter", "The request does not say which host it asks.")
        return f"{'https' if self._secure(scope) else 'http'}://{host}"

    def _cookie_name(self, scope: Scope) -> str:
        return f"{session_cookie_name(scope, secure=self._secure(scope))}-oauth"

    def _cookie(self, scope: Scope, value: str, max_age_s: int) -> Header:
        return written(scope, self._cookie_name(scope), value, max_age_s, secure=self._secure(scope))


def _query(scope: Scope) -> Mapping[str, str] | None:
    """The parameters of the address, each of which stands there once; None otherwise."""
    try:
        text = scope["query_string"].decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_PARAMETERS, errors="strict")
    except ValueError:
        return None
    found = dict(pairs)
    return found if len(found) == len(pairs) else None


def _told(reason: str, *, asked: str) -> str:
    """The sign-in page, with why it is shown again."""
    more = {} if asked == "/" else {"next": asked}
    return f"{LOGIN}?{urlencode({PROBLEM: reason, **more})}"
