"""Who asks, by what a request brings: a key, a session's cookie, or what the app says in the name of its visitor.

Requests that bring the same at the same time are one look-up in the store. Who goes on asking is looked up again before
what is remembered of them is forgotten, beside the requests: none of them waits for it.
"""

import asyncio
import hmac
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

import anyio
import anyio.to_thread
from starlette.types import Scope

from aweigh.errors import AweighError
from aweigh.guard import deploy_key
from aweigh.guard.budget import Budget
from aweigh.guard.disclosure import Disclosure
from aweigh.guard.identity import UNKNOWN, Identity, Role
from aweigh.secret import Secret
from aweigh.server.access.cookies import session_of
from aweigh.server.access.meter import Meter, Watch
from aweigh.server.problems import Refused

if TYPE_CHECKING:
    from aweigh.guard.guard import Guard
    from aweigh.guard.sweep import Verdict

BEARER, OF_A_SESSION = b"bearer ", b"aweigh-session "
"""Schemes of ``Authorization``: a key's, and that of the pages, which ask in the name of their visitor."""

KEY_BEGINS = b"aw_"
Kind = Literal["session", "key", "page"]
THREADS = 8
SEAL_CHARACTERS = 32
T = TypeVar("T")
MOST_METERS = 10_000
SERVER = Identity("nobody", "server", "this server", Role.PREDICTOR, frozenset({"read", "predict"}))
"""The app's own processes, when they ask before anybody has come."""

METRICS = Identity("key", "metrics", "the metrics token", Role.OPERATOR, frozenset({"operate"}))


class Known:
    """Those whom a guard knows.

    ``ui_token`` is what the app's own processes say before anybody has come; ``metrics_token`` opens ``/metrics`` only,
    and keys made of ``deploy_secret`` (``guard/deploy_key.py``) what a deployment asks the golden rows with.
    """

    def __init__(
        self,
        guard: "Guard",
        *,
        ui_token: bytes | None = None,
        metrics_token: str | None = None,
        deploy_secret: Secret | None = None,
        disclosure: Mapping[Role, Disclosure] | None = None,
    ) -> None:
        self._guard = guard
        self._deploy_secret = deploy_secret
        self._ui_token = ui_token or secrets.token_bytes(32)
        self._threads: anyio.CapacityLimiter | None = None
        self._metrics = None if metrics_token is None else b"Bearer " + metrics_token.encode()
        self._has_budgets = guard.limits.budget != Budget()
        self._disclosure = {role: one for role, one in (disclosure or {}).items() if one != Disclosure()}
        self._meters: dict[str, Meter] = {}
        self._watch: Watch | None = None
        self._looking: dict[tuple[bytes, Kind, int], asyncio.Future[Identity | None]] = {}

    def watch(self, watch: Watch) -> None:
        """From now on all rows of people and keys are shown to this."""
        self._watch = watch
        self._meters.clear()

    def suspect(self, identity: Identity, verdict: "Verdict") -> bool:
        """Writes down that somebody's rows look made up, once a day; whether it was done now. Asks the database."""
        return self._guard.suspect(identity, verdict)

    def audit(self, event: str, *, by: Identity | None, what: Mapping[str, str], client: str = "") -> None:
        """Adds to the audit log; see ``Guard.audit``."""
        self._guard.audit(event, by=by, what=what, client=client)

    async def identify(self, scope: Scope) -> tuple[Identity | None, bool]:
        """Who asks, and whether a cookie or nothing at all says so.

        Raises:
            Refused: what is said is not, or no longer, true (401).
            StorageDown: those who are known cannot be looked up.
        """
        said = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(said) > 1:
            raise not_signed_in("There is more than one Authorization header.")
        if said:
            token = self._metrics if scope["path"] == "/metrics" else None
            if token is not None and hmac.compare_digest(said[0], token):
                return METRICS, False
            credential, kind = _credential(said[0])
            if scope["path"] == deploy_key.PATH and self._is_deployment(credential, kind):
                return deploy_key.DEPLOYMENT, False
            identity = None if credential is None else await self._look(credential, kind)
            if identity is None:
                raise not_signed_in("The key or the session is not valid, or not any more.")
            return identity, False
        credential = session_of(scope)
        return (None if credential is None else await self._look(credential, "session")), True

    def remembered(self, said: bytes) -> Identity | None:
        """Whom an ``Authorization`` header names, if that is remembered: nothing is waited for."""
        credential, kind = _credential(said)
        if credential is None or not self._may_be(credential, kind):
            return None
        found = self._guard.known(credential)
        if found is UNKNOWN or found is None:
            return None
        if self._guard.is_due(credential):
            self._renew(credential, kind)
        return found

    def meter(self, identity: Identity) -> Meter | None:
        """What the identity may have of the model; None: all that it asks for, and all of each answer."""
        if identity is deploy_key.DEPLOYMENT:
            return None
        disclosure = self._disclosure.get(identity.role)
        watch = None if identity.kind == "nobody" else self._watch
        if watch is None and not self._has_budgets and disclosure is None:
            return None
        meter = self._meters.get(f"{identity.id} {identity.role}")
        if meter is None:
            if len(self._meters) >= MOST_METERS:
                self._meters.clear()
            meter = self._meters[f"{identity.id} {identity.role}"] = Meter(
                self._guard.limits if self._has_budgets else None, identity, disclosure, watch
            )
        return meter

    async def lasts(self, identity: Identity, heard: bool) -> bool | None:  # noqa: FBT001  as ``watched.Lasts`` has it
        """Whether the session lasts, None if it cannot be looked up; one in which something was ``heard`` is in use."""
        try:
            return await self._run(partial(self._guard.is_current, identity.session, touch=heard))
        except AweighError:
            return None

    async def _look(self, credential: bytes, kind: Kind) -> Identity | None:
        if not self._may_be(credential, kind):
            return None
        found = self._guard.known(credential)
        if found is not UNKNOWN:
            if self._guard.is_due(credential):
                self._renew(credential, kind)
            return found
        if kind == "page" and hmac.compare_digest(credential, self._ui_token):
            return SERVER
        # Who is cancelled meanwhile leaves it to the others.
        return await asyncio.shield(self._look_up(credential, kind))

    def _look_up(self, credential: bytes, kind: Kind) -> "asyncio.Future[Identity | None]":
        """Asks the store, or joins who is at it, unless something has been forgotten since they began."""
        asked = (credential, kind, self._guard.turn)
        under_way = self._looking.get(asked)
        if under_way is None:
            under_way = self._looking[asked] = asyncio.ensure_future(self._ask_store(credential, kind))
            under_way.add_done_callback(partial(self._looked_up, asked))
        return under_way

    def _looked_up(self, asked: tuple[bytes, Kind, int], done: "asyncio.Future[Identity | None]") -> None:
        del self._looking[asked]
        if not done.cancelled():
            done.exception()  # whoever waits for it raises it; it may be that nobody does

    async def _ask_store(self, credential: bytes, kind: Kind) -> Identity | None:
        if kind != "page":
            return await self._run(partial(self._guard.identify, credential, kind))
        digest = self._digest_of(credential)
        return None if digest is None else await self._run(partial(self._guard.identify_page, credential, digest))

    def _renew(self, credential: bytes, kind: Kind) -> None:
        """Looks up anew who is known, beside their request; if that fails, a request does it that must wait for it."""
        self._look_up(credential, kind)

    def _is_deployment(self, credential: bytes | None, kind: Kind) -> bool:
        secret = self._deploy_secret
        return secret is not None and credential is not None and kind == "key" and deploy_key.opens(credential, secret)

    def _may_be(self, credential: bytes, kind: Kind) -> bool:
        """Whether it has the form of its kind: what is remembered of one must open nothing that is another's."""
        if kind == "key":
            return credential.startswith(KEY_BEGINS)
        is_token = b"." in credential or hmac.compare_digest(credential, self._ui_token)
        return is_token if kind == "page" else not is_token and not credential.startswith(KEY_BEGINS)

    async def _run(self, work: Callable[[], T]) -> T:
        """Asks the store in one of a few threads: where it does not answer, nobody else waits behind the door."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(THREADS)
        return await anyio.to_thread.run_sync(work, limiter=self._threads)

    def token_of(self, identity: Identity) -> bytes:
        """What the app asks the API with in the name of a session: good for the API, of this server, while it lasts."""
        return identity.session.encode() + b"." + self._seal(identity.session.encode())

    def _digest_of(self, token: bytes) -> str | None:
        digest, _, seal = token.partition(b".")
        return digest.decode("ascii", "replace") if hmac.compare_digest(seal, self._seal(digest)) else None

    def _seal(self, digest: bytes) -> bytes:
        return hmac.digest(self._ui_token, digest, "sha256").hex()[:SEAL_CHARACTERS].encode()


def _credential(said: bytes) -> tuple[bytes | None, Kind]:
    """What an ``Authorization`` header holds, and of which kind it is."""
    begins = said[: len(OF_A_SESSION)].lower()
    if begins == OF_A_SESSION:
        return said[len(OF_A_SESSION) :].strip() or None, "page"
    if begins.startswith(BEARER):
        credential = said[len(BEARER) :].strip()
        return (credential if credential.startswith(KEY_BEGINS) else None), "key"
    return None, "key"


def not_signed_in(message: str) -> Refused:
    """401: say who you are."""
    return Refused(
        "not_signed_in",
        message,
        hint="send a key (Authorization: Bearer aw_...), or sign in at /login",
        headers=[(b"www-authenticate", b'Bearer realm="aweigh"')],
    )
