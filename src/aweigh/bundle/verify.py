"""From a path to a bundle that may be loaded: ``verify`` looks at every byte, and only it makes a ``VerifiedBundle``.

``open_bundle`` reads what a bundle says of itself and believes none of it: enough to look at one, never to serve it.
"""

import os
from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from pathlib import Path

from aweigh.bundle.archive import MAX_BUNDLE_BYTES, list_archive
from aweigh.bundle.coherence import check_documents, check_graph, check_manifest, read_manifest
from aweigh.bundle.contents import bytes_to_check, check_content, holds_code, holds_pickle, needs_signature
from aweigh.bundle.dsse import MAX_ENVELOPE_BYTES
from aweigh.bundle.files import Member, list_folder, size_limit
from aweigh.bundle.manifest import Manifest, digest_of, short
from aweigh.bundle.names import MANIFEST, MODEL_FOLDER, SIGNATURE, UNNAMED
from aweigh.bundle.signature import Signer, check_payload, check_signature
from aweigh.bundle.trust import Trust, own_trust
from aweigh.errors import BundleError, DamagedBundle, UntrustedBundle
from aweigh.schema.column import Schema

MAX_MANIFEST_BYTES = 8 * 2**20
BUNDLE_HINT = "a bundle is what `aweigh pack` writes: NAME.aweigh, or a folder"
ABSENT_HINT = f"check its name; {BUNDLE_HINT}"
_TOKEN = object()


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """What a bundle says of itself; nothing but the manifest has been read, and nothing is believed."""

    path: Path
    manifest: Manifest
    digest: str
    members: Mapping[str, Member]

    def read(self, name: str) -> bytes:
        """A file's bytes, held against the manifest's sha256.

        Raises:
            KeyError: the manifest names no such file.
            DamagedBundle: the bytes are not what the manifest says.
        """
        return _read(self.members, self.manifest, name)


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedBundle:
    """A bundle whose every byte is what its manifest says, and that those have signed whom the caller trusts.

    ``digest`` has 64 hex digits. ``signers`` are those whose signatures counted, none where nobody was asked for. Only
    ``verify`` makes one. ``held`` are files that were kept when they were verified, for the one who reads them first.
    """

    path: Path
    manifest: Manifest
    digest: str
    schema: Schema
    members: Mapping[str, Member]
    signers: tuple[Signer, ...]
    held: dict[str, bytes]
    token: InitVar[object]

    def __post_init__(self, token: object) -> None:
        if token is not _TOKEN:
            msg = "only aweigh.bundle.verify.verify() makes a VerifiedBundle"
            raise TypeError(msg)

    @property
    def names(self) -> tuple[str, ...]:
        """The files that the manifest names, in order."""
        return tuple(sorted(self.manifest.files))

    @property
    def version(self) -> str:
        """The digest as people see it: 12 hex digits."""
        return short(self.digest)

    def read(self, name: str) -> bytes:
        """A file's bytes: those that were verified, or, where they are read anew, held against the sha256 again.

        Raises:
            KeyError: the manifest names no such file.
            DamagedBundle: the bytes are no longer what was verified.
        """
        held = self.held.pop(name, None)
        return _read(self.members, self.manifest, name) if held is None else held

    def let_go(self) -> None:
        """Forgets the files that are held."""
        self.held.clear()


def open_bundle(path: os.PathLike[str] | str) -> Bundle:
    """What the bundle at ``path`` (an archive or a folder) says of itself; to look at, not to serve.

    Raises:
        BundleError: it is no bundle, or its manifest cannot be read.
        DamagedBundle: its names, its headers or its manifest are not as they must be.
    """
    path = Path(path)
    members = _list(path)
    if MANIFEST not in members:
        raise DamagedBundle(
            f"There is no manifest.json in {path.name!r}: it is no bundle.",
            hint=BUNDLE_HINT,
        )
    if members[MANIFEST].size_bytes > MAX_MANIFEST_BYTES:
        raise DamagedBundle(f"The manifest is larger than {MAX_MANIFEST_BYTES // 2**20} MiB.")
    content = members[MANIFEST].read()
    return Bundle(path, read_manifest(content), digest_of(content), members)


def verify(path: os.PathLike[str] | str, *, trust: Trust | None = None, to_load: bool = False) -> VerifiedBundle:
    """The bundle at ``path``, every byte of it held against its manifest, and fit to be loaded.

    With ``trust`` it must be signed by those whom that policy names. One that would run its owner's own Python, or
    whose model is a pickle, must be signed in any case: where no policy is given, by this user. No file of one with a
    pickle is opened before that is known. ``to_load``: the model's bytes are held until they are read, so that who
    loads it at once reads and hashes them once.

    Raises:
        DamagedBundle: a byte, a name or a size differs, a file is missing or extra, or the parts do not fit.
        UntrustedBundle: the signatures that are needed are not there.
        UsageError: this user's own key cannot be read.
    """
    bundle = open_bundle(path)
    guarded = holds_pickle(bundle.manifest)
    signers = _signers(bundle, trust) if guarded else ()
    schema, held = _checked(bundle, holding=frozenset({bundle.manifest.model_file} if to_load else ()))
    if not guarded:
        signers = _signers(bundle, trust)
    said = bundle.path, bundle.manifest, bundle.digest
    return VerifiedBundle(*said, schema, bundle.members, signers, held, token=_TOKEN)


def check(bundle: Bundle) -> Schema:
    """Every byte of it is what the manifest says, and the parts fit; it may still be anybody's. Its schema.

    Raises:
        DamagedBundle: they do not.
    """
    return _checked(bundle, holding=frozenset())[0]


def _checked(bundle: Bundle, *, holding: frozenset[str]) -> tuple[Schema, dict[str, bytes]]:
    _check_names(bundle)
    check_manifest(bundle.manifest)
    documents, held = _check_bytes(bundle, holding=holding)
    schema = check_documents(documents, bundle.manifest)
    check_graph(bundle.manifest, schema)
    return schema, held


def _signers(bundle: Bundle, trust: Trust | None) -> tuple[Signer, ...]:
    """Whose signatures count; a signature that nobody asked for must still be one of this bundle.

    Raises:
        UntrustedBundle: too few.
        DamagedBundle: the signature is none, or another bundle's.
    """
    name, has_code = bundle.manifest.name, holds_code(bundle.manifest)
    content = read_signature(bundle)
    if trust is None and needs_signature(bundle.manifest):
        trust = own_trust(os.environ)
        if trust is None or content is None:
            raise _unsigned(name, pickled=holds_pickle(bundle.manifest) and not has_code)
    if trust is None:
        return ()
    return check_signature(content, name=name, digest=bundle.digest, has_code=has_code, trust=trust)


def _unsigned(name: str, *, pickled: bool) -> UntrustedBundle:
    if pickled:
        return UntrustedBundle(
            f"The model of the bundle {name} is a pickle, and you have not signed it.",
            hint="say whose signature counts with --trust; or, when you know where it comes from: aweigh sign BUNDLE",
        )
    return UntrustedBundle(
        f"The bundle {name} holds its owner's own Python, which serving would run, and you have not signed it.",
        hint="say who may sign code with --trust (a policy with code = true); or, when you have read it: "
        "aweigh sign BUNDLE",
    )


def read_signature(bundle: Bundle) -> bytes | None:
    """The bundle's signature, which is of this bundle and not looked at further; None where there is none.

    Raises:
        DamagedBundle: it is none, or another bundle's.
    """
    member = bundle.members.get(SIGNATURE)
    if member is None:
        return None
    if member.size_bytes > MAX_ENVELOPE_BYTES:
        raise DamagedBundle(f"The signature is larger than {MAX_ENVELOPE_BYTES // 1024} KiB.")
    _, content = member.look(keep_bytes=member.size_bytes)
    check_payload(content, name=bundle.manifest.name, digest=bundle.digest)
    return content


def _list(path: Path) -> dict[str, Member]:
    try:
        if path.is_dir():
            return list_folder(path)
        if path.exists() and not path.is_file():
            raise BundleError(f"{path.name!r} is neither a file nor a folder.")
        return list_archive(path)
    except OSError as error:
        hint = ABSENT_HINT if isinstance(error, FileNotFoundError) else None
        raise BundleError(f"{path.name!r} cannot be read: {error.strerror or error}.", hint=hint) from None


def _read(members: Mapping[str, Member], manifest: Manifest, name: str) -> bytes:
    entry = manifest.files[name]
    if name not in members or members[name].size_bytes != entry.size_bytes:
        raise _differs(name)
    if entry.size_bytes > size_limit(name, bundle_bytes=MAX_BUNDLE_BYTES):
        raise DamagedBundle(f"{name!r} is larger than it may be.")
    content = members[name].read()
    if digest_of(content) != entry.sha256:
        raise _differs(name)
    return content


def _differs(name: str) -> DamagedBundle:
    return DamagedBundle(
        f"{name!r} is not what the manifest says: the bundle was damaged or changed.",
        hint="copy it again from its source",
    )


def _check_names(bundle: Bundle) -> None:
    """The files are those that the manifest names, and none is too large."""
    named = bundle.manifest.files
    extra = sorted(bundle.members.keys() - named.keys() - UNNAMED)
    if extra:
        raise DamagedBundle(f"The bundle holds {extra[0]!a}, which its manifest does not name.")
    missing = sorted(named.keys() - bundle.members.keys())
    if missing:
        raise DamagedBundle(f"The bundle lacks {missing[0]!a}, which its manifest names.")
    if sum(member.size_bytes for member in bundle.members.values()) > MAX_BUNDLE_BYTES:
        raise DamagedBundle("The bundle is larger than 4 GiB.")
    for name, entry in named.items():
        if entry.size_bytes > size_limit(name, bundle_bytes=MAX_BUNDLE_BYTES):
            raise DamagedBundle(f"{name!r} is larger than it may be.")
        if bundle.members[name].size_bytes != entry.size_bytes:
            raise _differs(name)


def _check_bytes(bundle: Bundle, *, holding: frozenset[str]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Every byte is what the manifest says, and of a kind that a bundle may hold.

    The documents beside the model, and those of the model's files that are to be held.
    """
    documents, held = {}, {}
    for name, entry in bundle.manifest.files.items():
        keep_bytes = entry.size_bytes if name in holding else bytes_to_check(name, entry.size_bytes)
        sha256, head = bundle.members[name].look(keep_bytes=keep_bytes)
        if sha256 != entry.sha256:
            raise _differs(name)
        check_content(name, head)
        if not name.startswith(MODEL_FOLDER):
            documents[name] = head
        elif name in holding:
            held[name] = head
    if bundle.members[MANIFEST].look(keep_bytes=0)[0] != bundle.digest:
        raise _differs(MANIFEST)
    return documents, held
