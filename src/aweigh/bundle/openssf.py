"""Signatures of the OpenSSF's model signing, version 1.0: made and checked as its own tool (model_signing 1.1) does.

Such a signature is a file beside the model: a Sigstore bundle (JSON, media type of version 0.3) whose DSSE envelope
holds an in-toto statement, and that names each file of the model with its sha256. It is made with an elliptic-curve
key, and there is neither a certificate nor an entry of a transparency log in it.

A model is a path: a bundle's one file is one resource by the name ``.``, a folder's files are a resource each. Here
every file must be among them, and none may be left out: the paths that a signature says are to be passed over
(``ignore_paths``) are not. What is refused is told in a few constant sentences, in which nothing of the signature
stands.
"""

import base64
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from aweigh.bundle.archive import MAX_BUNDLE_BYTES
from aweigh.bundle.dsse import from_base64, pae, read_document
from aweigh.bundle.ec import EcPrivateKey, EcPublicKey
from aweigh.bundle.files import Member, list_folder
from aweigh.errors import BundleError, DamagedBundle, UntrustedBundle, UsageError

MAX_OPENSSF_BYTES = 10 * 2**20
"""What the signature of 4,096 files with the longest names takes, in base64."""
MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
WHOLE = "."
"""What a model that is one file is called in its own signature."""

_Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class _Exact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part in which nothing else may stand."""


class _Hint(_Exact, frozen=True):
    """Which key has signed: the sha256 of its PEM file."""

    hint: _Digest


class _Material(_Exact, frozen=True, rename="camel"):
    """What the signature is checked with: a key that one has, and no entry of a log."""

    public_key: _Hint
    tlog_entries: Annotated[list[str], msgspec.Meta(max_length=0)]


class _Signed(_Exact, frozen=True):
    """The signature, in base64."""

    sig: str
    keyid: Literal[""]


class _Envelope(_Exact, frozen=True, rename="camel"):
    """The DSSE envelope; ``payload`` is in base64."""

    payload: str
    payload_type: Literal["application/vnd.in-toto+json"]
    signatures: Annotated[list[_Signed], msgspec.Meta(min_length=1, max_length=1)]


class _SigstoreBundle(_Exact, frozen=True, rename="camel"):
    """The whole file."""

    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verification_material: _Material
    dsse_envelope: _Envelope


class _Sha256(_Exact, frozen=True):
    """A digest by its algorithm."""

    sha256: _Digest


class _Subject(_Exact, frozen=True):
    """The model: a name that binds nobody, and the digest over the digests of its files in their order."""

    name: str
    digest: _Sha256


class _Resource(_Exact, frozen=True):
    """One file."""

    name: str
    algorithm: Literal["sha256"]
    digest: _Digest


class _Serialization(_Exact, frozen=True, omit_defaults=True):
    """How the files were hashed."""

    method: Literal["files"]
    hash_type: Literal["sha256"]
    allow_symlinks: bool
    ignore_paths: tuple[str, ...] = ()


class _Predicate(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of the model; version 1.0 asks readers to pass over what else stands here."""

    serialization: _Serialization
    resources: tuple[_Resource, ...]


class _Statement(_Exact, frozen=True, rename={"kind": "_type", "predicate_type": "predicateType"}):
    """The in-toto statement that is signed."""

    kind: Literal["https://in-toto.io/Statement/v1"]
    subject: Annotated[list[_Subject], msgspec.Meta(min_length=1, max_length=1)]
    predicate_type: Literal["https://model_signing/signature/v1.0"]
    predicate: _Predicate


def sign_files(name: str, digests: Mapping[str, str], key: EcPrivateKey) -> bytes:
    """The signature of a model of that name, over the sha256 of each of its files (``file_digests``)."""
    ordered = sorted(digests, key=lambda one: one.split("/"))  # as the tool orders paths: part by part
    statement = _Statement(
        kind=STATEMENT_TYPE,
        subject=[_Subject(name=name, digest=_Sha256(sha256=_digest_of_all(digests[one] for one in ordered)))],
        predicate_type=PREDICATE_TYPE,
        predicate=_Predicate(
            serialization=_Serialization(method="files", hash_type="sha256", allow_symlinks=False),
            resources=tuple(_Resource(name=one, algorithm="sha256", digest=digests[one]) for one in ordered),
        ),
    )
    payload = json.dumps(msgspec.to_builtins(statement), indent=2).encode()
    signature = key.sign(pae(PAYLOAD_TYPE, payload))
    made = _SigstoreBundle(
        media_type=MEDIA_TYPE,
        verification_material=_Material(public_key=_Hint(hint=key.public.keyid), tlog_entries=[]),
        dsse_envelope=_Envelope(
            payload=base64.b64encode(payload).decode(),
            payload_type=PAYLOAD_TYPE,
            signatures=[_Signed(sig=base64.b64encode(signature).decode(), keyid="")],
        ),
    )
    content = msgspec.json.encode(made)
    check_files(content, digests, key.public)  # what would be refused afterwards is never written
    return content


def check_files(content: bytes, digests: Mapping[str, str], key: EcPublicKey) -> None:
    """Whether this is the key's signature over exactly these files (``file_digests``).

    Raises:
        UntrustedBundle: it is no such signature, another key's, or of other files.
    """
    if signed_files(content, key) != digests:
        raise UntrustedBundle(
            "The OpenSSF signature is of other files than these: one was changed, added, removed or passed over.",
            hint="copy bundle and signature again from their source",
        )


def signed_files(content: bytes, key: EcPublicKey) -> dict[str, str]:
    """What the key has signed: the files' names, each with its sha256. Nothing of it is read before that is known.

    Raises:
        UntrustedBundle: it is no such signature, or another key's.
        MissingExtra: the package that knows the curves is not installed.
    """
    if len(content) > MAX_OPENSSF_BYTES:
        raise UntrustedBundle(f"The OpenSSF signature is larger than {MAX_OPENSSF_BYTES // 2**20} MiB.")
    try:
        found = read_document(content, _SigstoreBundle)
        envelope = found.dsse_envelope
        payload, signature = from_base64(envelope.payload), from_base64(envelope.signatures[0].sig)
    except ValueError as error:
        raise _unreadable() from error
    hint = found.verification_material.public_key.hint
    if hint != key.keyid or not key.verifies(signature, pae(envelope.payload_type, payload)):
        raise UntrustedBundle(
            "The OpenSSF signature is not of this key.", hint="--key names the public key of the one who has signed"
        )
    try:
        statement = read_document(payload, _Statement)
    except ValueError as error:
        raise _unreadable() from error
    resources = statement.predicate.resources
    files = {one.name: one.digest for one in resources}
    whole = _digest_of_all(one.digest for one in resources)
    if len(files) != len(resources) or whole != statement.subject[0].digest.sha256:
        raise _unreadable()
    return files


def file_digests(path: Path) -> dict[str, str]:
    """The sha256 of each file of the model at a path, as signatures name them; nothing is looked at further.

    Raises:
        BundleError: it is neither a file nor a folder, or cannot be read.
        DamagedBundle: a link, a device or a name that no file of a bundle may have is in it; or it is too large.
    """
    try:
        if path.is_dir():
            members = list_folder(path)
        else:
            facts = path.stat()
            if not stat.S_ISREG(facts.st_mode):
                raise BundleError(f"{path.name!r} is neither a file nor a folder.")
            members = {WHOLE: Member(path.resolve(), 0, facts.st_size)}
    except OSError as error:
        raise BundleError(f"{path.name!r} cannot be read: {error.strerror or error}.") from error
    if sum(member.size_bytes for member in members.values()) > MAX_BUNDLE_BYTES:
        raise DamagedBundle("The bundle is larger than 4 GiB.")
    return {name: member.look(keep_bytes=0)[0] for name, member in members.items()}


def name_of(path: Path) -> str:
    """What a model is called in its signature: the last part of its path."""
    return path.name if path.name not in {"", ".."} else path.resolve().name


def signature_beside(path: Path) -> Path:
    """Where the signature of a bundle lies: beside it, as it must not change it."""
    if not path.is_dir():
        return path.with_name(f"{path.name}.sig")
    folder = path.resolve() if path.name in {"", ".."} else path
    return folder.with_name("model.sig")


def read_openssf(path: Path) -> bytes:
    """The bytes of a signature's file, and of one that is too large no more than shows it.

    Raises:
        UsageError: it is no file, or cannot be read.
    """
    try:
        # O_NONBLOCK: a pipe of that name must not make us wait.
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(number, "rb") as stream:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise UsageError(f"The signature {path} is no file.")
            return stream.read(MAX_OPENSSF_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"The signature {path} cannot be read: {error.strerror}.", hint="--signature says where it lies"
        ) from error


def _unreadable() -> UntrustedBundle:
    return UntrustedBundle(
        "The file is no OpenSSF signature of version 1.0, made with a key, over the sha256 of each file.",
        hint="signatures of certificates, of Sigstore's service, and over parts of files are not read here",
    )


def _digest_of_all(digests: Iterable[str]) -> str:
    """The sha256 over the files' own, in their order."""
    whole = hashlib.sha256()
    for one in digests:
        whole.update(bytes.fromhex(one))
    return whole.hexdigest()
