"""Elliptic-curve keys (ECDSA, FIPS 186-5) as files, for signatures that other tools make and check.

aweigh's own signatures are Ed25519 (``bundle.keys``); the OpenSSF's are made with keys of these curves. The files are
of the same kinds: PKCS#8 and SubjectPublicKeyInfo, as PEM.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aweigh.bundle.keys import load_private, load_public, read_key
from aweigh.errors import AweighError, MissingExtra, UsageError
from aweigh.secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

CURVES = {"p256": "secp256r1", "p384": "secp384r1"}
"""The kinds of key that are made: what they are called here, and the name of the curve (SEC 2)."""
_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
"""With which hash each curve signs: the one of its own size, as Sigstore has it."""
_HINT = "make one with aweigh keygen NAME --type p256"


@dataclass(frozen=True, slots=True)
class EcPublicKey:
    """The public half; ``file`` are the bytes of its PEM file, as ``cryptography`` writes it."""

    file: bytes

    @property
    def keyid(self) -> str:
        """The sha256 of the PEM file, 64 hex digits: what OpenSSF signatures call the key by."""
        return hashlib.sha256(self.file).hexdigest()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature (DER) is this key's, on this message."""
        from cryptography.exceptions import InvalidSignature

        key = load_public(self.file, name="the key")
        try:
            key.verify(signature, message, _algorithm(key.curve.name))
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """The key as a file."""
        return self.file


class EcPrivateKey:
    """The private half: it signs, and shows nothing of itself."""

    __slots__ = ("_key",)

    def __init__(self, key: "EllipticCurvePrivateKey") -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"EcPrivateKey(of {self.public.keyid[:12]})"

    @property
    def public(self) -> EcPublicKey:
        """The half that may be given away."""
        return _public(self._key.public_key())

    def sign(self, message: bytes) -> bytes:
        """The signature as DER; another one each time."""
        return self._key.sign(message, _algorithm(self._key.curve.name))

    def pem(self, passphrase: Secret | None) -> bytes:
        """The key as a file, encrypted where there is a passphrase."""
        from cryptography.hazmat.primitives import serialization

        hidden: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            hidden = serialization.BestAvailableEncryption(passphrase.reveal().encode())
        return self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)


def make_ec_key(kind: str) -> EcPrivateKey:
    """A new key of one of the ``CURVES``.

    Raises:
        MissingExtra: the package that knows the curves is not installed.
    """
    ec = _ec()
    return EcPrivateKey(ec.generate_private_key({"p256": ec.SECP256R1, "p384": ec.SECP384R1}[kind]()))


def read_ec_private(path: Path, *, passphrase: Secret | None = None) -> EcPrivateKey:
    """The key in a file that nobody but its owner may read.

    Raises:
        UsageError: there is no such file, others may read it, it holds no such key, or the passphrase is not its.
        MissingExtra: the package that knows the curves is not installed.
    """
    ec = _ec()
    key = load_private(path, passphrase=passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise UsageError(f"The key {path} is of another kind than P-256, P-384 and P-521.", hint=_HINT)
    return EcPrivateKey(key)


def read_ec_public(path: Path) -> EcPublicKey:
    """The public key in a PEM file.

    Raises:
        UsageError: there is no such file, or it holds no such key.
        MissingExtra: the package that knows the curves is not installed.
    """
    ec = _ec()
    key = load_public(read_key(path, private=False), name=str(path))
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
        raise UsageError(f"{path} holds a key of another kind than P-256, P-384 and P-521.", hint=_HINT)
    return _public(key)


def _public(key: Any) -> EcPublicKey:
    """The key in the one form that ``cryptography`` writes, however its file was laid out."""
    from cryptography.hazmat.primitives import serialization

    return EcPublicKey(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


def _algorithm(curve: str) -> Any:
    from cryptography.hazmat.primitives import hashes

    return _ec().ECDSA(getattr(hashes, _HASHES[curve])())


def _ec() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ec
    except ModuleNotFoundError as error:
        missing: AweighError = MissingExtra("Signing and checking OpenSSF signatures", extra="openssf")
        raise missing from error
    return ec
