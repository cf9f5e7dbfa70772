"""Ed25519 keys (RFC 8032) as files: the private one for its owner alone, the public one for whoever checks.

Both are PEM, as ``openssl pkey`` reads and writes them: PKCS#8 (encrypted where a passphrase is given) and
SubjectPublicKeyInfo (RFC 8410).
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aweigh.bundle.atomic import whole_file
from aweigh.errors import AweighError, MissingExtra, UsageError
from aweigh.secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIVATE_MODE = 0o600
MAX_KEY_BYTES = 16 * 1024
OWN_KEY = "own.key"
OWN_PUBLIC = "own.pub"
PASSPHRASE_VARIABLE = "AWEIGH_KEY_PASSPHRASE"  # noqa: S105  the variable's name
"""Where the passphrase of an encrypted key is looked for, where nobody can be asked."""
_PRIME = 2**255 - 19
_ORDER_8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
_SMALL_ORDER = frozenset({0, 1, _PRIME - 1, _ORDER_8, _PRIME - _ORDER_8})
"""The y of the eight points whose order divides 8: under such a key anybody can sign, without a private one."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half; ``raw`` are its 32 bytes."""

    raw: bytes

    @property
    def keyid(self) -> str:
        """The sha256 of the raw key, 64 hex digits: what it is called in signatures and policies."""
        return hashlib.sha256(self.raw).hexdigest()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature is this key's, on this message."""
        ed25519 = _ed25519()
        from cryptography.exceptions import InvalidSignature

        try:
            ed25519.Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """The key as a file."""
        from cryptography.hazmat.primitives import serialization

        key = _ed25519().Ed25519PublicKey.from_public_bytes(self.raw)
        made: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return made


class PrivateKey:
    """The private half: it signs, and shows nothing of itself."""

    __slots__ = ("_key",)

    def __init__(self, key: "Ed25519PrivateKey") -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"PrivateKey(of {self.public.keyid[:12]})"

    @property
    def public(self) -> PublicKey:
        """The half that may be given away."""
        return PublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes; the same for the same message."""
        return self._key.sign(message)

    def pem(self, passphrase: Secret | None) -> bytes:
        """The key as a file, encrypted where there is a passphrase."""
        from cryptography.hazmat.primitives import serialization

        hidden: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            hidden = serialization.BestAvailableEncryption(passphrase.reveal().encode())
        return self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)


class Pem(Protocol):
    """A private key of any kind, as a file."""

    def pem(self, passphrase: Secret | None) -> bytes:
        """The key as a file, encrypted where there is a passphrase."""
        ...


def make_key() -> PrivateKey:
    """A new key.

    Raises:
        MissingExtra: the package that knows Ed25519 is not installed.
    """
    return PrivateKey(_ed25519().Ed25519PrivateKey.generate())


def write_private(key: Pem, path: Path, *, passphrase: Secret | None = None) -> None:
    """Writes a new file that only its owner may read; one that is there is never written over.

    It takes its name with all its content, or not at all: no reader finds half a key, nor does a killed process leave
    one under that name.

    Raises:
        UsageError: there is such a file, or it cannot be written.
    """
    content = key.pem(passphrase)
    part = path.with_name(f".{path.name[:80]}.{secrets.token_hex(6)}.part")
    try:
        number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_MODE)
        try:
            with os.fdopen(number, "wb") as stream:
                if os.name == "posix" and os.fstat(number).st_mode & 0o077:
                    raise UsageError(
                        f"{path} cannot be kept from others: its file system does not hold the mode of a file.",
                        hint="keep keys on another one (-o of aweigh keygen, or AWEIGH_CONFIG_DIR)",
                    )
                stream.write(content)
                stream.flush()
                os.fsync(number)
            os.link(part, path)  # unlike a rename it never takes the place of another file
        finally:
            part.unlink(missing_ok=True)
    except FileExistsError as error:
        raise UsageError(
            f"{path} is there already.", hint="choose another name: a key is never written over"
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error


def read_private(path: Path, *, passphrase: Secret | None = None) -> PrivateKey:
    """The key in a file that nobody but its owner may read.

    Raises:
        UsageError: there is no such file, others may read it, it holds no Ed25519 key, or the passphrase is not its.
    """
    ed25519 = _ed25519()
    key = load_private(path, passphrase=passphrase)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise UsageError(f"The key {path} is of another kind than Ed25519.", hint="make one with aweigh keygen NAME")
    return PrivateKey(key)


def load_private(path: Path, *, passphrase: Secret | None) -> Any:
    """The key of whatever kind, as ``cryptography`` has it, in a file that nobody but its owner may read.

    Raises:
        UsageError: there is no such file, others may read it, it holds no key, or the passphrase is not its.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    content = read_key(path, private=True)
    try:
        return serialization.load_pem_private_key(content, passphrase.reveal().encode() if passphrase else None)
    except TypeError as error:
        hint = f"set {PASSPHRASE_VARIABLE}, or type it when you are asked" if passphrase is None else None
        wrong = "is encrypted" if passphrase is None else "is not encrypted, and a passphrase was given"
        raise UsageError(f"The key {path} {wrong}.", hint=hint) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        wrong = "holds no private key, or its passphrase is another"
        raise UsageError(f"{path} {wrong}.", hint="make one with aweigh keygen NAME") from error


def is_encrypted(path: Path) -> bool:
    """Whether a private key asks for a passphrase."""
    content = read_key(path, private=True)
    return b"ENCRYPTED PRIVATE KEY" in content or b"Proc-Type: 4,ENCRYPTED" in content


def read_public(content: bytes, *, name: str) -> PublicKey:
    """The key in a PEM file's bytes; ``name`` is what it is called in an error.

    Raises:
        UsageError: it holds no public Ed25519 key.
    """
    ed25519 = _ed25519()
    key = load_public(content, name=name)
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise UsageError(
            f"{name} holds a key of another kind than Ed25519.",
            hint="keys of OpenSSF signatures are for aweigh verify --format openssf, and lie elsewhere",
        )
    raw = key.public_bytes_raw()
    if int.from_bytes(raw, "little") % 2**255 % _PRIME in _SMALL_ORDER:  # the 256th bit is the sign of x
        raise UsageError(
            f"{name} holds a key that anybody can sign for (a point of small order).",
            hint="whoever gave it to you made no key: ask for another",
        )
    return PublicKey(raw)


def load_public(content: bytes, *, name: str) -> Any:
    """The key of whatever kind, as ``cryptography`` has it, in a PEM file's bytes.

    Raises:
        UsageError: it holds no public key, or a private one.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    if b"PRIVATE KEY" in content:
        raise UsageError(
            f"{name} is a private key, which must not lie among the trusted ones.",
            hint="put the file that ends in .pub there, and take this one away",
        )
    try:
        return serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{name} holds no public key.", hint="aweigh keygen NAME writes NAME.pub") from error


def own_folder(environ: Mapping[str, str]) -> Path:
    """Where this user's own keys lie: ``AWEIGH_CONFIG_DIR``, else ``aweigh`` in the folder for settings.

    Raises:
        UsageError: nobody says where that would be.
    """
    if said := environ.get("AWEIGH_CONFIG_DIR", "").strip():
        return Path(said)
    folder = Path(environ.get("XDG_CONFIG_HOME", "").strip())
    if folder.is_absolute():  # the XDG Base Directory Specification: any other is to be ignored
        return folder / "aweigh"
    try:
        return Path.home() / ".config" / "aweigh"
    except RuntimeError as error:
        raise UsageError(
            "There is no place for a key of your own: this user has no home folder.", hint="set AWEIGH_CONFIG_DIR"
        ) from error


def own_key(environ: Mapping[str, str]) -> PrivateKey:
    """This user's own key, made when it is first asked for: what they pack themselves is signed with it.

    Its public half lies beside it, as ``own.pub``, to be given to whoever checks.

    Raises:
        UsageError: it cannot be read or written.
        MissingExtra: the package that knows Ed25519 is not installed.
    """
    folder = own_folder(environ)
    path = folder / OWN_KEY
    if _missing(path):
        key = make_key()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"There is no place for a key of your own: {folder} cannot be made ({error.strerror}).",
                hint="sign with a key from elsewhere (--key), or set AWEIGH_CONFIG_DIR",
            ) from error
        try:
            write_private(key, path)
        except UsageError:
            if _missing(path):  # if it is there, another process was quicker, and its key is the one
                raise
    key = read_private(path)
    _write_own_public(key.public, folder / OWN_PUBLIC)
    return key


def _write_own_public(key: PublicKey, path: Path) -> None:
    """``own.pub``, where it is not there yet or is of a key that is gone."""
    content = key.pem()
    with suppress(OSError):  # it is for people: a folder that may only be read has a key that signs all the same
        if _missing(path) or path.read_bytes() != content:
            with whole_file(path) as stream:
                stream.write(content)


def _missing(path: Path) -> bool:
    """Whether nothing is there; what cannot be told is no "no", or a key that is there would be passed over.

    Raises:
        UsageError: the folder cannot be looked into.
    """
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError as error:
        raise UsageError(
            f"The key {path} cannot be read: {error.strerror}.", hint="AWEIGH_CONFIG_DIR names another folder"
        ) from error
    return False


def own_public(environ: Mapping[str, str]) -> PublicKey | None:
    """The public half of this user's own key; None where there is none yet.

    Raises:
        UsageError: it cannot be read.
    """
    path = own_folder(environ) / OWN_KEY
    return None if _missing(path) else read_private(path).public


def read_key(path: Path, *, private: bool) -> bytes:
    """The bytes of a key's file; a private one may be read by nobody but its owner.

    Raises:
        UsageError: it cannot be read, is no file, or is open to others.
    """
    try:
        with path.open("rb") as stream:
            facts = os.fstat(stream.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise UsageError(f"{path} is no file.")
            if private and _open_to_others(facts):
                raise UsageError(f"Others than you may read the key {path}.", hint=f"chmod 600 {path}")
            return stream.read(MAX_KEY_BYTES)
    except OSError as error:
        raise UsageError(f"The key {path} cannot be read: {error.strerror}.") from error


def _open_to_others(facts: os.stat_result) -> bool:
    """Whether others may read this user's file.

    As OpenSSH has it, only the owner is held to it: who reads another's file (one that root mounts for a group, say)
    did not choose its mode.
    """
    return os.name == "posix" and facts.st_uid == os.geteuid() and bool(facts.st_mode & 0o077)


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        missing: AweighError = MissingExtra("Signing and checking signatures", extra="trust")
        raise missing from error
    return ed25519
