"""Signing in to a registry: Basic, or a token that is fetched where the registry says (distribution's token protocol).

Who asks for it decides where a credential may go: only a registry that was asked itself, over TLS or on this machine,
is believed when it names the address of its tokens, and that address has to be over TLS, too. (The registry could have
asked for the password itself; what is elsewhere on the way, such as the target of a redirect, can ask for nothing.)
"""

import base64
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import msgspec

from aweigh.errors import RemoteError
from aweigh.oci.challenges import Challenge
from aweigh.oci.credentials import Credential
from aweigh.oci.errors import AccessDenied, RegistryRefused, name_of, no_registry, sign_in
from aweigh.oci.line import Line, Request
from aweigh.oci.reference import is_loopback
from aweigh.secret import Secret

if TYPE_CHECKING:
    import httpx

CLIENT_ID = "aweigh"
LEAST_S = 60.0
"""How long a token is good that does not say (the protocol's own figure)."""
MARGIN_S = 10.0
"""So long before its end a token is not used any more."""
MOST_TOKEN_CHARACTERS = 64 * 1024


class _Token(msgspec.Struct, frozen=True):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    token: Secret
    ends: float


def pulling(repository: str) -> tuple[str, ...]:
    """The scope of reading a repository."""
    return (f"repository:{repository}:pull",)


def pushing(repository: str, *, mount_from: str | None = None) -> tuple[str, ...]:
    """The scope of writing to a repository, and of reading the one that a blob is taken over from."""
    own = f"repository:{repository}:pull,push"
    return (own,) if mount_from is None else (own, *pulling(mount_from))


def deleting(repository: str) -> tuple[str, ...]:
    """The scope of removing from a repository."""
    return (f"repository:{repository}:delete,pull,push",)


@dataclass(slots=True)
class Authority:
    """What one registry is told of who asks. ``credential`` is looked up when it is first asked for."""

    line: Line
    credential: Callable[[], Credential | None]
    _challenge: Challenge | None = None
    _kept: dict[tuple[str, ...], _Kept] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def header(self, scope: tuple[str, ...]) -> str | None:
        """The ``Authorization`` of a request; None until the registry has said what it wants."""
        with self._lock:
            if self._challenge is None:
                return None
            if self._challenge.scheme == "basic":
                return self._basic()
            kept = self._kept.get(scope)
            if kept is None or kept.ends <= time.monotonic():
                kept = self._fetch(self._challenge, scope)
            return f"Bearer {kept.token.reveal()}"

    def accept(self, challenges: Sequence[Challenge], scope: tuple[str, ...], *, again: bool) -> bool:
        """Takes in what the registry wants, which a 401 said; whether there is anything else to try than was sent.

        ``again`` says that what it wanted before was sent already.

        Raises:
            AccessDenied: nobody can sign in here, or the registry's tokens are not to be had.
            RemoteError: it names an address that no credential goes to.
        """
        with self._lock:
            by_scheme = {one.scheme: one for one in reversed(challenges)}
            bearer, basic = by_scheme.get("bearer"), by_scheme.get("basic")
            if bearer is not None and bearer.parameters.get("realm"):
                if again:
                    return False
                self._challenge = bearer
                self._kept.pop(scope, None)
                self._fetch(bearer, scope)
                return True
            if basic is not None and self.credential() is not None:
                if again or (self._challenge is not None and self._challenge.scheme == "basic"):
                    raise self._denied(401, self.credential())
                self._challenge = basic
                return True
            return False

    def _known(self) -> Credential | None:
        known = self.credential()
        self.line.account = "" if known is None else known.source
        return known

    def _basic(self) -> str | None:
        known = self._known()
        return None if known is None else basic(known)

    def _fetch(self, challenge: Challenge, scope: tuple[str, ...]) -> _Kept:
        realm = challenge.parameters["realm"]
        self._check_realm(realm)
        asked = scope + tuple(one for one in challenge.parameters.get("scope", "").split() if not _holds(scope, one))
        known = self._known()
        request = _token_request(challenge, asked, known)
        try:
            reply = self.line.ask(request, lambda one: self._opened(one, known))
        except RegistryRefused as error:
            if error.status not in (400, 401, 403):
                raise
            raise self._denied(error.status, known) from error
        try:
            said = msgspec.json.decode(reply.body, type=_Token)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise no_registry(host=self.line.host, what=request.what) from error
        token = said.token or said.access_token or ""
        # What is no visible ASCII would be a second header, or none at all.
        if not 0 < len(token) <= MOST_TOKEN_CHARACTERS or not all("!" <= one <= "~" for one in token):
            raise no_registry(host=self.line.host, what=request.what)
        lasts = said.expires_in if said.expires_in is not None and said.expires_in > 0 else LEAST_S
        kept = _Kept(Secret(token), time.monotonic() + max(lasts - MARGIN_S, 1.0))
        self._kept[scope] = kept
        return kept

    def _check_realm(self, realm: str) -> None:
        try:
            parts = urlsplit(realm)
            place = parts.netloc
        except ValueError:
            parts, place = urlsplit(""), ""
        near = is_loopback(place)
        fine = parts.scheme == "https" or (parts.scheme == "http" and near)
        # What is far away has no business on this machine.
        if not fine or not place or "@" in place or (near and not is_loopback(self.line.host)):
            raise self._no_realm()

    def _no_realm(self) -> RemoteError:
        return RemoteError(
            f"{name_of(self.line.host)} wants its tokens fetched at an address that no password is sent to.",
            hint="the registry's settings have to name an address over TLS (its 'realm')",
        )

    def _denied(self, status: int, known: Credential | None) -> AccessDenied:
        host = name_of(self.line.host)
        how = "wants somebody signed in" if known is None else f"does not accept the account of {known.source}"
        return AccessDenied(f"{host} {how}.", status=status, hint=sign_in(self.line.host))

    @contextmanager
    def _opened(self, request: Request, known: Credential | None) -> "Iterator[httpx.Response]":
        # A redirect is not followed: it would take the password along.
        import httpx

        headers, content = dict(request.headers), None
        if known is not None and known.identity_token is not None:
            private = urlencode({"refresh_token": known.identity_token.reveal()})
            public = request.content if isinstance(request.content, bytes) else b""
            content = public + b"&" + private.encode()
        elif known is not None:
            headers["Authorization"] = basic(known)
        try:
            sent = self.line.client.build_request(request.method, request.url, content=content, headers=headers)
        except httpx.InvalidURL:
            raise self._no_realm() from None
        found = self.line.client.send(sent, stream=True)
        try:
            yield found
        finally:
            found.close()


def basic(known: Credential) -> str:
    """The ``Authorization`` of a name and a password (RFC 7617)."""
    pair = f"{known.username}:{known.password.reveal()}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def _holds(scope: tuple[str, ...], one: str) -> bool:
    """Whether a scope lets do what another one does."""
    thing, _, actions = one.rpartition(":")
    return any(
        thing == ours.rpartition(":")[0] and set(actions.split(",")) <= set(ours.rpartition(":")[2].split(","))
        for ours in scope
    )


def _token_request(challenge: Challenge, scope: tuple[str, ...], known: Credential | None) -> Request:
    """What is asked for, without who asks: that is added where it is sent, and stands in no value that is printed."""
    realm, service = challenge.parameters["realm"], challenge.parameters.get("service", "")
    what, thing = "give a token", "tokens"
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if known is not None and known.identity_token is not None:
        form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "service": service, "scope": " ".join(scope)}
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return Request("POST", realm, what, thing, headers=headers, content=urlencode(form).encode())
    asked = [("service", service)] if service else []
    asked += [("scope", one) for one in scope]
    asked += [] if known is None else [("account", known.username)]
    parts = urlsplit(realm)
    query = "&".join(one for one in (parts.query, urlencode(asked)) if one)
    return Request("GET", parts._replace(query=query, fragment="").geturl(), what, thing, headers=headers)
