"""A sign-in that was begun: what must be known when the browser comes back, kept in a cookie of that browser alone.

The cookie is sealed (AES-256-GCM) with a key that only the servers know: whoever can set a cookie in another's browser
cannot begin a sign-in there, and nobody reads the verifier in it. Nothing is stored until somebody comes back.
"""

import base64
import os
import secrets
from collections.abc import Callable

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from aweigh.guard.oidc.failures import stale

LASTS_S = 600
"""How long somebody may take at the provider."""

MOST_NEXT_CHARACTERS = 512
_NONCE_BYTES = 12
_PURPOSE = b"aweigh sign-in with a provider, 1"


class Pending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One sign-in under way."""

    issuer: str
    redirect_uri: str
    state: str
    nonce: str
    verifier: str
    next_path: str
    begun: float


def begin(issuer: str, redirect_uri: str, next_path: str, *, now: float) -> Pending:
    """A new one, with 256 bits of chance each for its state, its nonce and its verifier."""
    kept = next_path if len(next_path) <= MOST_NEXT_CHARACTERS else "/"
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return Pending(issuer, redirect_uri, state, nonce, verifier, kept, now)


class Sealer:
    """Seals and opens what is kept in the browser; ``key`` gives 32 bytes, the same in every server."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key
        self._cipher: AESGCM | None = None

    def sealed(self, pending: Pending) -> str:
        """The cookie's value. It may ask the store for the key."""
        nonce = os.urandom(_NONCE_BYTES)
        content = self._known().encrypt(nonce, msgspec.json.encode(pending), _PURPOSE)
        return base64.urlsafe_b64encode(nonce + content).rstrip(b"=").decode()

    def opened(self, value: str | None, *, now: float) -> Pending:
        """The sign-in that a cookie holds.

        Raises:
            SignInFailed: there is none, it is not ours, or it was begun too long ago.
        """
        if not value:
            raise stale("This browser has begun no sign-in.")
        try:
            content = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
            found = self._known().decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], _PURPOSE)
            pending = msgspec.json.decode(found, type=Pending)
        except (ValueError, InvalidTag) as error:
            raise stale("The sign-in that this browser has begun cannot be read.") from error
        if not now - LASTS_S <= pending.begun <= now + LASTS_S:
            raise stale("The sign-in was begun too long ago.")
        return pending

    def _known(self) -> AESGCM:
        if self._cipher is None:
            self._cipher = AESGCM(self._key())
        return self._cipher
