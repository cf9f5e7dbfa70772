"""Signatures of bundles: Ed25519 over the manifest's digest, in a DSSE envelope beside the manifest.

The manifest names every other file with its sha256, so its digest stands for every byte. The signature is the one file
that no manifest names: it can be added, and taken away, without the bundle becoming another.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from aweigh.bundle.dsse import MAX_SIGNATURES, pae, seal, unseal
from aweigh.bundle.keys import PrivateKey
from aweigh.bundle.manifest import to_json
from aweigh.bundle.trust import Trust
from aweigh.errors import DamagedBundle, UntrustedBundle, UsageError

PAYLOAD_TYPE = "application/vnd.aweigh.bundle.v1+json"
FORMAT = 1


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is signed: the format of this statement, the bundle's name, and the sha256 of its manifest."""

    format: int
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signature counted: what the policy calls them, and the id of their key (64 hex digits)."""

    name: str
    keyid: str


def sign(name: str, digest: str, key: PrivateKey, *, before: bytes | None = None) -> bytes:
    """``signature.json`` for a bundle, with the signatures that it has already (``before``) and the key's.

    Raises:
        DamagedBundle: what is there already is no signature of this bundle.
        UsageError: with one more nobody could read them.
    """
    payload = _payload(name, digest)
    signatures = {} if before is None else dict(check_payload(before, name=name, digest=digest))
    signatures[key.public.keyid] = key.sign(pae(PAYLOAD_TYPE, payload))
    content = seal(PAYLOAD_TYPE, payload, signatures)
    try:
        unseal(content, payload_type=PAYLOAD_TYPE)  # what is refused afterwards must never be written over a good one
    except DamagedBundle as error:
        raise UsageError(
            f"The bundle {name} cannot bear one more signature: it has {len(signatures) - 1} of {MAX_SIGNATURES}.",
            hint="take the old ones away first: aweigh sign BUNDLE --remove",
        ) from error
    return content


def check_signature(
    content: bytes | None, *, name: str, digest: str, has_code: bool, trust: Trust, now: dt.datetime | None = None
) -> tuple[Signer, ...]:
    """Those of the trusted who have signed the bundle with this digest, at least as many as the policy wants.

    Raises:
        UntrustedBundle: fewer did; it says why those that there are do not count.
        DamagedBundle: the signature is none, or of another bundle.
    """
    now = now or dt.datetime.now(dt.UTC)
    if content is None:
        raise UntrustedBundle(f"The bundle {name} is not signed.", hint=_HINT)
    payload, signatures = unseal(content, payload_type=PAYLOAD_TYPE)
    if payload != _payload(name, digest):
        raise DamagedBundle(
            "The signature is of another bundle than this one.", hint="sign this one: aweigh sign BUNDLE"
        )
    message = pae(PAYLOAD_TYPE, payload)
    signers, refusals = _counted(signatures, message, trust, (name, has_code, now))
    if len(signers) < trust.signatures:
        known = "" if refusals else "nobody trusted here has signed it"
        wanted = f"{len(signers)} of {trust.signatures} signatures that are needed: " if trust.signatures > 1 else ""
        only_code = len(_counted(signatures, message, trust, (name, False, now))[0]) >= trust.signatures
        raise UntrustedBundle(
            f"The bundle {name} is not trusted: {wanted}{known or '; '.join(refusals)}.",
            hint=_CODE_HINT if only_code else _HINT,
        )
    return signers


_HINT = "who may sign is said by --trust; to sign it yourself: aweigh sign BUNDLE --key KEY"
_CODE_HINT = (
    "a key alone never counts for code: when you have read it, write a policy (--trust FILE.toml) with, "
    'on a line each, [[keys]], signer = "NAME", file = "NAME.pub" and code = true'
)


def _counted(
    signatures: Mapping[str, bytes], message: bytes, trust: Trust, bundle: tuple[str, bool, dt.datetime]
) -> tuple[tuple[Signer, ...], list[str]]:
    """The signers that count, one for each key, and of the others that are known here why not."""
    name, has_code, now = bundle
    signers: list[Signer] = []
    refusals: list[str] = []
    for keyid, signature in signatures.items():
        entries = list(trust.with_id(keyid))
        if entries and not entries[0].key.verifies(signature, message):
            raise DamagedBundle(f"The signature that claims to be {entries[0].signer}'s is not.")
        # Revoked in one entry is revoked in all: a key that is lost is lost.
        wrong = [one.refusal(name, has_code=has_code, now=now) for one in entries]
        if any(one.revoked for one in entries):
            refusals += [why for one, why in zip(entries, wrong, strict=True) if one.revoked]
        elif "" in wrong:
            signers.append(Signer(entries[wrong.index("")].signer, keyid))
        else:
            refusals += wrong
    return tuple(signers), refusals


def check_payload(content: bytes, *, name: str, digest: str) -> Mapping[str, bytes]:
    """The signatures by key id, none of them looked at, of an envelope whose payload is this bundle's.

    Raises:
        DamagedBundle: it is no signature, or another bundle's.
    """
    payload, signatures = unseal(content, payload_type=PAYLOAD_TYPE)
    if payload != _payload(name, digest):
        raise DamagedBundle(
            "The signature is of another bundle than this one.", hint="take it away with aweigh sign BUNDLE --remove"
        )
    return signatures


def _payload(name: str, digest: str) -> bytes:
    return to_json(Payload(format=FORMAT, name=name, sha256=digest))
