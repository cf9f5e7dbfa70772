"""Bundles in a registry of images: one blob each, under a name and a tag, checked byte by byte when they arrive.

What lies there is an OCI manifest of aweigh's own kind (``ARTIFACT``): its config is the bundle's ``manifest.json``,
its only layer the bundle as one file. A registry needs to know nothing of bundles to keep them.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from aweigh.bundle.archive import write_bundle
from aweigh.bundle.manifest import digest_of as digest_of_manifest
from aweigh.bundle.names import MANIFEST
from aweigh.bundle.trust import Trust
from aweigh.bundle.verify import VerifiedBundle, check, open_bundle, verify
from aweigh.errors import DamagedBundle, DamagedImage, UsageError
from aweigh.oci.client import Registry
from aweigh.oci.documents import OCI_MANIFEST, Descriptor, descriptor_of, encode, manifest_of, read_manifest
from aweigh.oci.download import Progress
from aweigh.oci.reference import Reference

ARTIFACT = "application/vnd.aweigh.bundle.v1"
CONFIG = "application/vnd.aweigh.bundle.manifest.v1+json"
LAYER = "application/vnd.aweigh.bundle.v1+zip"
TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"
HASHED_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Pushed:
    """A bundle that lies in a registry: the digest of what names it there, its size, and whether it had to be sent."""

    digest: str
    size_bytes: int
    sent: bool


def push_bundle(registry: Registry, path: Path, to: Reference, *, progress: Progress | None = None) -> Pushed:
    """Puts a bundle under a tag; one that is a folder travels as the one file that it would be.

    Raises:
        BundleError: it is none, or is damaged.
        RemoteError: the registry refuses, or cannot be reached.
    """
    with _as_file(path) as (file, name, manifest):
        layer = Descriptor(LAYER, _digest(file), file.stat().st_size, annotations={TITLE: f"{name}.aweigh"})
        config = descriptor_of(manifest, CONFIG)
        registry.push_blob(to.repository, config, lambda: BytesIO(manifest))
        arrival = registry.push_blob(to.repository, layer, lambda: file.open("rb"), progress=progress)
        version = digest_of_manifest(manifest)[:12]
        document = manifest_of(config, [layer], artifact_type=ARTIFACT, annotations={TITLE: name, VERSION: version})
        digest = registry.push_manifest(to.repository, to.wanted, encode(document), OCI_MANIFEST)
    return Pushed(digest, layer.size, arrival == "uploaded")


def pull_bundle(
    registry: Registry, named: Reference, folder: Path, *, trust: Trust | None, progress: Progress | None = None
) -> tuple[VerifiedBundle, Path]:
    """Fetches a bundle into a folder and verifies it there: the bundle, and a file that is gone with the folder.

    Raises:
        DamagedImage: what the name stands for is no bundle, or other bytes than it says.
        BundleError: it is damaged, or signed by nobody that counts.
        RemoteError: the registry refuses, or cannot be reached.
    """
    pulled = registry.pull_manifest(named.repository, named.wanted)
    if pulled.media_type != OCI_MANIFEST:
        raise _no_bundle(named)
    document = read_manifest(pulled.content)
    if document.artifact_type != ARTIFACT or len(document.layers) != 1 or document.layers[0].media_type != LAYER:
        raise _no_bundle(named)
    (layer,) = document.layers
    path = folder / "pulled.aweigh"
    registry.pull_blob(named.repository, layer, path, progress=progress)
    bundle = verify(path, trust=trust)
    if descriptor_of(bundle.members[MANIFEST].read(), CONFIG).digest != document.config.digest:
        raise DamagedBundle(
            f"{named} names another bundle than it holds.", hint="push it again from where it was packed"
        )
    return bundle, path


def _no_bundle(named: Reference) -> DamagedImage:
    return DamagedImage(
        f"{named} is no bundle of aweigh's.", hint="aweigh push puts one there; an image is run with docker or podman"
    )


@contextmanager
def _as_file(path: Path) -> Iterator[tuple[Path, str, bytes]]:
    """The bundle as one file, its name, and the bytes of its manifest; whole, or refused."""
    if not path.exists():
        raise UsageError(f"There is no {path.name!r}.", hint="name a bundle")
    if path.is_dir() and not (path / MANIFEST).is_file():
        raise DamagedBundle("The folder is no bundle.", hint="name the .aweigh file that aweigh pack wrote")
    bundle = open_bundle(path)
    check(bundle)
    name, manifest = bundle.manifest.name, bundle.members[MANIFEST].read()
    if path.is_file():
        yield path, name, manifest
        return
    with tempfile.TemporaryDirectory(prefix="aweigh-push-") as folder:
        file = Path(folder) / f"{name}.aweigh"
        write_bundle({one: member.read() for one, member in bundle.members.items()}, file)
        yield file, name, manifest


def _digest(path: Path) -> str:
    taken = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(HASHED_BYTES):
            taken.update(part)
    return f"sha256:{taken.hexdigest()}"
