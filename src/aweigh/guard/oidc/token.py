"""The ID token: what a provider has signed about somebody (OpenID Connect Core 1.0, section 3.1.3.7), checked.

Which algorithm is taken is ours to say, not the token's: only signatures of a public key, and only the kind of key that
goes with them. Keys or addresses of keys inside a token are not looked at.
"""

import base64
import hashlib
import hmac
import math
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry

from aweigh.guard.oidc.failures import refused
from aweigh.guard.oidc.provider import ALGORITHMS, Provider, PublicKey
from aweigh.guard.oidc.roles import Claims

LEEWAY_S = 60.0
"""How far two clocks may be apart."""

MOST_AGE_S = 600.0
"""A token was made for this sign-in, just now."""

MOST_CHARACTERS = 100_000
MOST_SUBJECT_CHARACTERS = 255


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str | None = None
    crit: object = msgspec.UNSET


class _Lenient(JWSRegistry):
    """joserfc's own bounds are for small tokens: groups make large ones, and some providers send a certificate too."""

    max_header_length = 16_384
    max_payload_length = MOST_CHARACTERS

    def get_alg(self, name: str) -> Any:
        """The algorithm, without a word about its age: providers sign with what they sign with."""
        if not self.allowed or name not in self.allowed:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say: who has made it, for whom, and for which sign-in."""

    issuer: str
    client_id: str
    nonce: str
    access_token: str


async def claims_of(token: str, provider: Provider, expected: Expected, *, now: float) -> Claims:
    """What the token says of somebody.

    Raises:
        SignInFailed: it is not signed by the provider, or not for this sign-in.
    """
    if len(token) > MOST_CHARACTERS or token.count(".") != 2 or not token.isascii():
        raise refused("The ID token is no signed token.")
    header = _header(token)
    described = await provider.described()
    if header.alg not in described.algorithms:
        raise refused(f"The ID token is signed in a way that is not accepted: {header.alg[:20]!r}.")
    if header.crit is not msgspec.UNSET:
        raise refused("The ID token has a header that must be understood, and is not.")
    keys = await provider.keys_for(header.alg, header.kid)
    claims = _decoded(_payload(token, keys, header.alg))
    _check(claims, expected, now=now)
    _check_access_token(claims, expected.access_token, header.alg)
    return claims


def _header(token: str) -> _Header:
    part = token.partition(".")[0]
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=_Header)
    except (ValueError, RecursionError) as error:
        raise refused("The ID token has no header that can be read.") from error
    if found.alg not in ALGORITHMS:
        raise refused(f"The ID token is signed in a way that is not accepted: {found.alg[:20]!r}.")
    return found


def _payload(token: str, keys: list[PublicKey], algorithm: str) -> bytes:
    registry = _Lenient(algorithms=[algorithm], strict_check_header=False)
    for key in keys:
        try:
            found = jws.deserialize_compact(token.encode(), key, registry=registry)
        except (JoseError, ValueError, RecursionError):
            continue
        if found.payload is not None:
            return found.payload
    raise refused("The ID token is not signed by the provider.")


def _decoded(payload: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(payload, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused("The ID token holds no claims.") from error


def _check(claims: Claims, expected: Expected, *, now: float) -> None:
    if claims.get("iss") != expected.issuer:
        raise refused("The ID token was made by another provider.")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MOST_SUBJECT_CHARACTERS:
        raise refused("The ID token does not say whom it is about.")
    audience, party = claims.get("aud"), claims.get("azp")
    audiences = audience if isinstance(audience, list) else [audience]
    if expected.client_id not in audiences:
        raise refused("The ID token was made for another application.")
    if (party is not None or len(audiences) > 1) and party != expected.client_id:
        raise refused("The ID token was given to another application (azp).")
    expires, made = _time(claims, "exp"), _time(claims, "iat")
    if expires <= now - LEEWAY_S:
        raise refused("The ID token has expired.")
    if not now - MOST_AGE_S - LEEWAY_S <= made <= now + LEEWAY_S:
        raise refused("The ID token was not made just now.", hint="see whether this machine's clock is right")
    if "nbf" in claims and _time(claims, "nbf") > now + LEEWAY_S:
        raise refused("The ID token is not valid yet.", hint="see whether this machine's clock is right")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode("utf-8", "replace"), expected.nonce.encode()):
        raise refused("The ID token was made for another sign-in (nonce).")


def _time(claims: Claims, name: str) -> float:
    value = claims.get(name)
    try:
        found = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:  # a whole number that is larger than any of them
        found = math.inf
    if not math.isfinite(found):
        raise refused(f"The ID token has no time {name}.")
    return found


def _check_access_token(claims: Claims, access_token: str, algorithm: str) -> None:
    """``at_hash``, where it is there, ties the access token to this one."""
    said = claims.get("at_hash")
    if said is None:
        return
    bits = algorithm[2:] if algorithm[2:].isdecimal() else "512"
    digest = hashlib.new(f"sha{bits}", access_token.encode()).digest()
    found = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not isinstance(said, str) or not hmac.compare_digest(found, said.encode("utf-8", "replace")):
        raise refused("The ID token belongs to another access token.")
