"""Sign-in with a provider, from the link on the sign-in page until it is known who has come.

Authorization code with PKCE (S256), state and nonce; OpenID Connect Core 1.0, RFC 9207 and RFC 9700.
"""

import base64
import hashlib
import hmac
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import anyio
import anyio.to_thread
import msgspec

from aweigh.guard.identity import Role
from aweigh.guard.oidc.failures import SignInFailed, down, refused, stale
from aweigh.guard.oidc.fetch import Web
from aweigh.guard.oidc.kept import KeptSignIns, open_kept
from aweigh.guard.oidc.pending import LASTS_S, Pending, Sealer, begin
from aweigh.guard.oidc.provider import Described, Provider
from aweigh.guard.oidc.roles import Claims, domain_of, has_claim, verified_email
from aweigh.guard.oidc.settings import OidcSettings, is_on_this_machine, read_oidc
from aweigh.guard.oidc.token import Expected, claims_of

TOTAL_S = 15.0
"""For all that a sign-in asks of a provider, together."""

AT_ONCE = 8
"""Sign-ins that one process finishes at the same time; the others wait, no longer than ``TOTAL_S``."""

MOST_CODE_CHARACTERS = 4096
_CANCELLED = frozenset({"access_denied", "login_required", "interaction_required", "consent_required"})
_NAMES = ("name", "preferred_username", "email")
_NAME_CHARACTERS = 128
_MARK = 8


class _Tokens(msgspec.Struct, frozen=True):
    access_token: str
    id_token: str = ""
    token_type: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """Where to send the browser, and what it must keep until it comes back."""

    url: str
    cookie: str
    max_age_s: int


@dataclass(frozen=True, slots=True)
class SignedInAt:
    """Whom the provider vouches for, what they are here, and where they wanted to go.

    Only issuer and subject together say who it is: names and e-mail addresses change hands.
    """

    issuer: str
    subject: str
    name: str
    email: str | None
    role: Role
    next_path: str

    def names(self) -> Iterator[tuple[str, bool]]:
        """What they may be called here, the best first, and whether it is a verified e-mail address.

        Names are nobody's own: whoever comes second has a mark behind theirs, which is always the same.
        """
        shown = [(self.email, True)] if self.email is not None else []
        if "@" not in self.name:  # what looks like an address is nobody's until it is verified
            shown.append((self.name, False))
        mark = hashlib.sha256(f"{self.issuer} {self.subject}".encode("utf-8", "replace")).hexdigest()[:_MARK]
        shown.append((f"{self.name[: _NAME_CHARACTERS - _MARK - 3].strip()} ({mark})", False))
        for name, is_email in shown:
            if len(name) <= _NAME_CHARACTERS:
                yield name, is_email


class Oidc:
    """Sign-in with one provider. Nothing is asked of it before somebody signs in."""

    def __init__(
        self,
        settings: OidcSettings,
        kept: KeptSignIns,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        web: Web | None = None,
    ) -> None:
        self.settings = settings
        self._kept = kept
        self._clock = clock
        self._web = web or Web(loopback=is_on_this_machine(settings.issuer))
        self._provider = Provider(settings.issuer, self._web, clock=steady)
        self._sealer = Sealer(kept.key)
        self._room = anyio.Semaphore(AT_ONCE)

    @property
    def name(self) -> str:
        """What the provider is called on the sign-in page."""
        return self.settings.name

    def close(self) -> None:
        """Close what is kept."""
        self._kept.close()

    async def start(self, redirect_uri: str, next_path: str) -> Started:
        """Begin a sign-in; ``next_path`` is a path of this site, which is the caller's to see to.

        Raises:
            SignInFailed: the provider cannot be asked who it is.
            StorageDown: the database cannot be used.
        """
        described = await self._provider.described()
        pending = begin(self.settings.issuer, redirect_uri, next_path, now=self._clock())
        cookie = await anyio.to_thread.run_sync(self._sealer.sealed, pending)
        digest = hashlib.sha256(pending.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return Started(_with_query(described.authorization_endpoint, asked), cookie, LASTS_S)

    async def finish(self, query: Mapping[str, str], cookie: str | None) -> SignedInAt:
        """Who has come back, by what the provider's answer holds and what this browser has kept.

        A sign-in can be finished once, whatever comes of it.

        Raises:
            SignInFailed: nobody can be let in by it.
            StorageDown: the database cannot be used.
        """
        try:
            with anyio.fail_after(TOTAL_S):
                async with self._room:
                    return await self._finish(query, cookie)
        except TimeoutError as error:
            raise down(f"The provider did not answer within {TOTAL_S:g} s, or too many sign in at once.") from error

    async def sign_out_url(self, back: str) -> str | None:
        """Where the provider signs people out, and sends them ``back`` from; None where it has no such page.

        OpenID Connect RP-Initiated Logout 1.0. ID tokens are not kept, so it may ask people whether they mean it.
        """
        try:
            described = await self._provider.described()
        except SignInFailed:
            return None
        if described.end_session_endpoint is None:
            return None
        asked = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back}
        return _with_query(described.end_session_endpoint, asked)

    async def _finish(self, query: Mapping[str, str], cookie: str | None) -> SignedInAt:
        pending = await anyio.to_thread.run_sync(lambda: self._sealer.opened(cookie, now=self._clock()))
        if not hmac.compare_digest(query.get("state", "").encode("utf-8", "replace"), pending.state.encode()):
            raise stale("The answer belongs to another sign-in than this browser has begun (state).")
        if pending.issuer != self.settings.issuer:
            raise stale("The sign-in was begun with another provider.")
        if not await anyio.to_thread.run_sync(self._use, pending):
            raise stale("The sign-in was used before.")
        described = await self._provider.described()
        self._check_sender(query, described)
        code = _code_of(query)
        tokens = await self._exchange(described, code, pending)
        expected = Expected(self.settings.issuer, self.settings.client_id, pending.nonce, tokens.access_token)
        claims = await claims_of(tokens.id_token, self._provider, expected, now=self._clock())
        claims = await self._completed(claims, described, tokens.access_token)
        return self._let_in(claims, pending)

    def _use(self, pending: Pending) -> bool:
        now = self._clock()
        return self._kept.use(pending.state, now=now, until=now + 2 * LASTS_S)

    def _check_sender(self, query: Mapping[str, str], described: Described) -> None:
        """RFC 9207: an answer that another provider has sent is not taken to this one."""
        sender = query.get("iss")
        if sender is None and not described.authorization_response_iss_parameter_supported:
            return
        if sender != self.settings.issuer:
            raise refused("The answer does not come from the provider that was asked (iss).")

    async def _exchange(self, described: Described, code: str, pending: Pending) -> _Tokens:
        secret, client_id = self.settings.client_secret, self.settings.client_id
        methods = described.token_endpoint_auth_methods_supported or ["client_secret_basic"]
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": pending.redirect_uri,
            "code_verifier": pending.verifier,
        }
        basic = None
        if secret is None:
            form["client_id"] = client_id
        elif "client_secret_basic" in methods:
            basic = (client_id, secret)
        else:
            form |= {"client_id": client_id, "client_secret": secret.reveal()}
        return await self._web.post(described.token_endpoint, _Tokens, form, basic=basic)

    async def _completed(self, claims: Claims, described: Described, access_token: str) -> Claims:
        """The claims, with those that the provider tells only when asked for them, if any of them is needed."""
        needed = set(self.settings.roles.claims) | ({"email"} if self.settings.domains else set())
        if "email" in needed:
            needed.add("email_verified")
        missing = [claim for claim in needed if not has_claim(claims, claim)]
        if described.userinfo_endpoint is None or not (missing or not any(claims.get(name) for name in _NAMES)):
            return claims
        more = await self._web.get(described.userinfo_endpoint, dict[str, object], bearer=access_token)
        if more.get("sub") != claims["sub"]:
            raise refused("The provider tells of another person than it has signed in (userinfo).")
        return {**more, **claims}

    def _let_in(self, claims: Claims, pending: Pending) -> SignedInAt:
        email, subject = verified_email(claims), str(claims["sub"])
        domains = self.settings.domains
        if domains and (email is None or domain_of(email) not in domains):
            raise _unlisted("Their e-mail address is not verified, or of none of AWEIGH_OIDC_DOMAINS.", subject)
        role = self.settings.roles.role_of(claims)
        if role is None:
            raise _unlisted("None of the rules in AWEIGH_OIDC_ROLES lets them in.", subject)
        return SignedInAt(self.settings.issuer, subject, _name_of(claims), email, role, pending.next_path)


def open_oidc(
    environ: Mapping[str, str], *, state_dir: str | None = None, clock: Callable[[], float] = time.time
) -> Oidc | None:
    """The provider that the environment names; None where it names none. It is not asked anything yet.

    Raises:
        ConfigError: the settings cannot be.
    """
    settings = read_oidc(environ)
    if settings is None:
        return None
    folder = state_dir or environ.get("AWEIGH_STATE_DIR", "").strip() or None
    return Oidc(settings, open_kept(environ, state_dir=folder), clock=clock)


def _unlisted(message: str, subject: str) -> SignInFailed:
    return SignInFailed("not_on_the_list", message, subject=subject)


def _code_of(query: Mapping[str, str]) -> str:
    error = query.get("error")
    if error is not None:
        if error in _CANCELLED:
            raise SignInFailed("sign_in_cancelled", f"The provider says {error}.")
        word = error[:40] if error.isascii() and error.isprintable() else "what is no word"
        raise refused(f"The provider says {word!r}.")
    code = query.get("code", "")
    if not 0 < len(code) <= MOST_CODE_CHARACTERS:
        raise refused("The provider's answer holds no code.")
    return code


def _with_query(url: str, asked: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}"


def _name_of(claims: Claims) -> str:
    """The name to show, which nobody is known by."""
    for claim in (*_NAMES, "sub"):
        value = claims.get(claim)
        text = unicodedata.normalize("NFKC", value) if isinstance(value, str) else ""
        text = "".join(one for one in text if unicodedata.category(one)[0] != "C")
        text = " ".join(text.split())[:_NAME_CHARACTERS].strip()
        if text:
            return text
    return "somebody"
