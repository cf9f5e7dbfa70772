"""DSSE envelopes (Dead Simple Signing Envelope, version 1.0.2 of its specification): a payload and who signed it.

What is signed is not the payload but its pre-authentication encoding, which says its type and both lengths, so that
bytes signed as one thing are never taken for another.
"""

import base64
import json
import re
from typing import Any, TypeVar

import msgspec

from aweigh.bundle.manifest import to_json
from aweigh.errors import DamagedBundle

MAX_ENVELOPE_BYTES = 64 * 1024
MAX_SIGNATURES = 16
SIGNATURE_BYTES = 64
_STANDARD = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_KEYID = re.compile(r"[0-9a-f]{64}", re.ASCII)

T = TypeVar("T")


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One signature: ``keyid`` only says which key to try, and is believed by nobody."""

    keyid: str
    sig: str


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """The envelope as JSON; ``payload`` is in base64."""

    payload_type: str
    payload: str
    signatures: tuple[Signed, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(payload_type: str, payload: bytes, signatures: dict[str, bytes]) -> bytes:
    """The envelope of a payload with signatures (64 bytes each) by the key's id; the same bytes for the same input."""
    made = Envelope(
        payload_type=payload_type,
        payload=base64.b64encode(payload).decode(),
        signatures=tuple(
            Signed(keyid=keyid, sig=base64.b64encode(signature).decode())
            for keyid, signature in sorted(signatures.items())
        ),
    )
    return to_json(made)


def unseal(content: bytes, *, payload_type: str) -> tuple[bytes, dict[str, bytes]]:
    """The payload and the signatures by key id, none of them looked at yet.

    Raises:
        DamagedBundle: it is no such envelope.
    """
    if len(content) > MAX_ENVELOPE_BYTES:
        raise DamagedBundle(f"The signature is larger than {MAX_ENVELOPE_BYTES // 1024} KiB.")
    try:
        found = read_document(content, Envelope)
        payload = from_base64(found.payload)
        signatures = {one.keyid: from_base64(one.sig) for one in found.signatures}
    except ValueError as error:
        raise DamagedBundle("The signature is no DSSE envelope as aweigh writes it.") from error
    if found.payload_type != payload_type:
        raise DamagedBundle(f"The signature is of something else than a bundle: {found.payload_type[:80]!r}.")
    if not 0 < len(found.signatures) == len(signatures) <= MAX_SIGNATURES:
        raise DamagedBundle(f"The signature holds no signature, one twice, or more than {MAX_SIGNATURES}.")
    for keyid, signature in signatures.items():
        if not _KEYID.fullmatch(keyid) or len(signature) != SIGNATURE_BYTES:
            raise DamagedBundle("A signature is not of 64 bytes, or its key is not called by 64 hex digits.")
    return payload, signatures


def read_document(content: bytes, kind: type[T]) -> T:
    """JSON bytes as that type, when every reader would take them for the same.

    Raises:
        ValueError: they are no such document, or a key stands twice.
    """
    try:
        found = msgspec.json.decode(content, type=kind)
        json.loads(content, object_pairs_hook=_once)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return found


def _once(pairs: list[tuple[str, Any]]) -> None:
    """Refuse a key that stands twice: one reader would take the first, another the last."""
    if len(pairs) != len({name for name, _ in pairs}):
        msg = "a key stands twice"
        raise ValueError(msg)


def from_base64(text: str) -> bytes:
    """The bytes that a text is the base64 of: the standard alphabet, padded, and nothing between.

    Raises:
        ValueError: it is no base64.
    """
    if not _STANDARD.fullmatch(text):
        msg = "not base64"
        raise ValueError(msg)
    return base64.b64decode(text, validate=True)
