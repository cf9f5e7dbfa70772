"""From a path to a bundle that may be loaded: ``verify`` looks at every byte, and only it makes a ``VerifiedBundle``.

``open_bundle`` reads what a bundle says of itself and believes none of it: enough to look at one, never to serve it.
"""

from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from pathlib import Path

from aweigh.bundle.archive import MAX_BUNDLE_BYTES, list_archive
from aweigh.bundle.coherence import check_documents, check_graph, check_manifest, read_manifest
from aweigh.bundle.contents import bytes_to_check, check_content, holds_code
from aweigh.bundle.files import Member, list_folder, size_limit
from aweigh.bundle.manifest import Manifest, digest_of, short
from aweigh.bundle.names import MANIFEST, MODEL_FOLDER
from aweigh.errors import BundleError, DamagedBundle, UntrustedBundle
from aweigh.schema.column import Schema

MAX_MANIFEST_BYTES = 8 * 2**20
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
    """A bundle whose every byte is what its manifest says, and whose code, if it has any, the caller vouched for.

    ``digest`` has 64 hex digits. Only ``verify`` makes one.
    """

    path: Path
    manifest: Manifest
    digest: str
    schema: Schema
    members: Mapping[str, Member]
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
        """A file's bytes, held against the manifest's sha256 again, as the file may have changed since.

        Raises:
            KeyError: the manifest names no such file.
            DamagedBundle: the bytes are no longer what was verified.
        """
        return _read(self.members, self.manifest, name)


def open_bundle(path: Path | str) -> Bundle:
    """What the bundle at ``path`` (an archive or a folder) says of itself; to look at, not to serve.

    Raises:
        BundleError: it is no bundle, or its manifest cannot be read.
        DamagedBundle: its names, its headers or its manifest are not as they must be.
    """
    path = Path(path)
    members = _list(path)
    if MANIFEST not in members:
        raise DamagedBundle(
            "There is no manifest.json in it: it is no bundle.",
            hint="a bundle is what `aweigh pack` writes: NAME.aweigh, or a folder",
        )
    if members[MANIFEST].size_bytes > MAX_MANIFEST_BYTES:
        raise DamagedBundle(f"The manifest is larger than {MAX_MANIFEST_BYTES // 2**20} MiB.")
    content = members[MANIFEST].read()
    return Bundle(path, read_manifest(content), digest_of(content), members)


def verify(path: Path | str, *, allow_code: bool = False) -> VerifiedBundle:
    """The bundle at ``path``, every byte of it held against its manifest, and fit to be loaded.

    ``allow_code`` is the caller's word that the owner's own Python in the bundle may run here.

    Raises:
        DamagedBundle: a byte, a name or a size differs, a file is missing or extra, or the parts do not fit.
        UntrustedBundle: it holds code, and ``allow_code`` is false.
    """
    bundle = open_bundle(path)
    _check_names(bundle)
    check_manifest(bundle.manifest)
    schema = check_documents(_check_bytes(bundle))
    check_graph(bundle.manifest, schema)
    if holds_code(bundle.manifest) and not allow_code:
        raise UntrustedBundle(
            f"The bundle {bundle.manifest.name} holds its owner's own Python code, which serving would run.",
            hint="if you trust whoever made it, say so with --allow-code (in Python: allow_code=True)",
        )
    return VerifiedBundle(bundle.path, bundle.manifest, bundle.digest, schema, bundle.members, token=_TOKEN)


def _list(path: Path) -> dict[str, Member]:
    try:
        if path.is_dir():
            return list_folder(path)
        if path.exists() and not path.is_file():
            raise BundleError(f"{path.name!r} is neither a file nor a folder.")
        return list_archive(path)
    except OSError as error:
        raise BundleError(f"{path.name!r} cannot be read: {error.strerror or error}.") from error


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
    extra = sorted(bundle.members.keys() - named.keys() - {MANIFEST})
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


def _check_bytes(bundle: Bundle) -> dict[str, bytes]:
    """Every byte is what the manifest says, and of a kind that a bundle may hold; the documents beside the model."""
    documents = {}
    for name, entry in bundle.manifest.files.items():
        sha256, head = bundle.members[name].look(keep_bytes=bytes_to_check(name, entry.size_bytes))
        if sha256 != entry.sha256:
            raise _differs(name)
        check_content(name, head)
        if not name.startswith(MODEL_FOLDER):
            documents[name] = head
    if bundle.members[MANIFEST].look(keep_bytes=0)[0] != bundle.digest:
        raise _differs(MANIFEST)
    return documents
