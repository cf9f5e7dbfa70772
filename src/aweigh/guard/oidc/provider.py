"""What a provider says of itself, and its keys: asked when somebody signs in, and remembered for an hour.

A provider that is away costs one request every few seconds, whoever comes. A key that nobody knows makes the keys be
asked for anew, at most once in half a minute: providers change their keys, and anybody can name one in a token.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
import msgspec
from joserfc.jwk import ECKey, OKPKey, RSAKey

from aweigh.guard.oidc.failures import SignInFailed, down, refused
from aweigh.guard.oidc.fetch import Web
from aweigh.guard.oidc.settings import is_endpoint

T = TypeVar("T")
PublicKey = RSAKey | ECKey | OKPKey

LASTS_S = 3600.0
PAUSE_S = 5.0
ROTATION_S = 30.0
MOST_KEYS = 100
LEAST_RSA_BITS, MOST_RSA_BITS = 2048, 16_384
_KEPT = ("kty", "crv", "x", "y", "n", "e", "kid", "alg")

ALGORITHMS: dict[str, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
"""How a token may be signed, and by which kind of key and curve. Never by a secret that two know, never not at all."""


class Described(msgspec.Struct, frozen=True):
    """The provider's own description (OpenID Connect Discovery 1.0, section 3); what else it says is not read."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    id_token_signing_alg_values_supported: list[str] | None = None
    authorization_response_iss_parameter_supported: bool = False

    @property
    def algorithms(self) -> frozenset[str]:
        """How its tokens may be signed."""
        said = self.id_token_signing_alg_values_supported
        return frozenset(ALGORITHMS) if said is None else frozenset(ALGORITHMS).intersection(said)


class _KeySet(msgspec.Struct, frozen=True):
    keys: list[dict[str, object]]


class Remembered(Generic[T]):
    """What was loaded, for a while; a failure too, for a shorter one. One loads, and the others wait for it."""

    def __init__(self, load: Callable[[], Awaitable[T]], *, clock: Callable[[], float]) -> None:
        self._load, self._clock = load, clock
        self._lock = anyio.Lock()
        self._found: tuple[T, float] | None = None
        self._failed: tuple[SignInFailed, float] | None = None

    async def get(self, *, at_most_s: float = LASTS_S) -> T:
        """The value, loaded at most so long ago.

        Raises:
            SignInFailed: it cannot be loaded, or could not a moment ago.
        """
        if self._found is not None and self._clock() - self._found[1] < at_most_s:
            return self._found[0]
        async with self._lock:
            if self._found is not None and self._clock() - self._found[1] < at_most_s:
                return self._found[0]
            if self._failed is not None and self._clock() - self._failed[1] < PAUSE_S:
                failure = self._failed[0]
                raise SignInFailed(failure.reason, failure.message, hint=failure.hint)
            try:
                value = await self._load()
            except SignInFailed as error:
                self._failed = (error, self._clock())
                raise
            self._found, self._failed = (value, self._clock()), None
            return value


class Provider:
    """A provider by its issuer's address."""

    def __init__(self, issuer: str, web: Web, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.issuer = issuer
        self._web = web
        self._described = Remembered(self._describe, clock=clock)
        self._keys = Remembered(self._load_keys, clock=clock)

    async def described(self) -> Described:
        """What it says of itself.

        Raises:
            SignInFailed: it cannot be asked, or says what cannot be.
        """
        return await self._described.get()

    async def keys_for(self, algorithm: str, kid: str | None) -> list[PublicKey]:
        """Its keys that a token of that algorithm can be signed with; of several, those that the token names.

        Raises:
            SignInFailed: it has none such, or cannot be asked.
        """
        found = _fitting(await self._keys.get(), algorithm, kid)
        if not found:
            found = _fitting(await self._keys.get(at_most_s=ROTATION_S), algorithm, kid)
        if not found:
            raise refused("The token is signed with a key that the provider does not have.")
        return found

    async def _describe(self) -> Described:
        url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = await self._web.get(url, Described)
        if found.issuer != self.issuer:
            hint = f"set AWEIGH_OIDC_ISSUER to what it calls itself, if that is who is meant: {found.issuer[:120]!r}"
            raise refused("The provider at AWEIGH_OIDC_ISSUER calls itself otherwise.", hint=hint)
        for endpoint in (
            found.authorization_endpoint,
            found.token_endpoint,
            found.jwks_uri,
            found.userinfo_endpoint,
            found.end_session_endpoint,
        ):
            if endpoint is not None and not is_endpoint(endpoint, loopback=self._web.loopback):
                raise refused(f"The provider names an address that is not to be asked: {endpoint[:120]!r}.")
        if not found.algorithms:
            raise refused("The provider signs its tokens in no way that is accepted here.")
        return found

    async def _load_keys(self) -> list[PublicKey]:
        described = await self.described()
        document = await self._web.get(described.jwks_uri, _KeySet)
        keys = [key for one in document.keys[:MOST_KEYS] if (key := _key(one)) is not None]
        if not keys:
            raise down("The provider shows no key that a token could be checked with.")
        return keys


def _key(one: dict[str, object]) -> PublicKey | None:
    """A key of the set; None for what is no public key to check signatures with."""
    kinds: dict[object, type[PublicKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    kty = one.get("kty")
    kind = kinds.get(kty) if isinstance(kty, str) else None
    if kind is None or one.get("use", "sig") != "sig" or "d" in one:
        return None
    operations = one.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    if kind is RSAKey and not _is_long_enough(one.get("n")):
        return None
    # Certificates and what else stands beside a key say nothing here, and may be malformed.
    kept = {name: value for name in _KEPT if isinstance(value := one.get(name), str)}
    try:
        key = kind.import_key(kept)  # type: ignore[arg-type]  # texts, as was looked at above
        key.public_key  # noqa: B018  it is made when it is first asked for, and says then what is wrong with it
    except Exception:  # noqa: BLE001  whatever a library makes of bytes of a stranger: it is no key
        return None
    return key


def _is_long_enough(modulus: object) -> bool:
    return isinstance(modulus, str) and LEAST_RSA_BITS <= len(modulus) * 6 <= MOST_RSA_BITS + 8


def _fitting(keys: list[PublicKey], algorithm: str, kid: str | None) -> list[PublicKey]:
    kty, curve = ALGORITHMS[algorithm]
    found = []
    for key in keys:
        facts = key.as_dict(private=False)
        if facts.get("kty") != kty or (curve is not None and facts.get("crv") != curve):
            continue
        if facts.get("alg", algorithm) not in {algorithm, "EdDSA" if algorithm == "Ed25519" else algorithm}:
            continue
        if kid is None or facts.get("kid") == kid:
            found.append(key)
    return found
