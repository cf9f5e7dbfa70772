"""The documents of an image: descriptors, manifests and indexes, as values and as the bytes that a digest is taken of.

Fields have the names of the image specification. What is written is canonical: the same values are the same bytes on
any machine. What is read may hold more than is known here, as the specification allows.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar

import msgspec

from aweigh.errors import DamagedImage

T = TypeVar("T", "Manifest", "Index")

Flavour = Literal["oci", "docker"]
"""Whose media types a manifest has: the OCI's, or Docker's schema 2, which some registries take alone."""

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

MAX_DOCUMENT_BYTES = 4 * 2**20
"""What a registry must take of a manifest at least (distribution-spec), and what is read of one at most."""

EMPTY = b"{}"
"""The config of what is no image, and the blob that its descriptor ``OCI_EMPTY`` names."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a machine must be: ``amd64`` or ``arm64``, and its kernel."""

    architecture: str
    os: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(one for one in (self.os, self.architecture, self.variant) if one)


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A blob by its digest and its size in bytes, and what it is."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = {}
    artifact_type: str = ""

    def check(self) -> None:
        """Refuse one that names no blob.

        Raises:
            DamagedImage: the digest is no sha256, or the size is below zero.
        """
        if _DIGEST.match(self.digest) is None or self.size < 0:
            raise DamagedImage(f"The image names a blob by {self.digest[:90]!r}, which is no sha256 digest.")


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One image, or what else lies in a registry: a config, layers, and perhaps what it is about (``subject``)."""

    schema_version: int
    media_type: str = ""
    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = {}


class Index(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Images of several platforms under one name; also the answer to who refers to a digest."""

    schema_version: int
    media_type: str = ""
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = {}


def digest_of(content: bytes) -> str:
    """The digest that names these bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def encode(document: object) -> bytes:
    """A document's bytes: fields in their order, names of annotations sorted."""
    return msgspec.json.encode(document, order="deterministic")


def descriptor_of(content: bytes, media_type: str, *, platform: Platform | None = None) -> Descriptor:
    """The descriptor of these bytes."""
    return Descriptor(media_type, digest_of(content), len(content), platform)


def manifest_of(
    config: Descriptor,
    layers: Iterable[Descriptor],
    *,
    flavour: Flavour = "oci",
    annotations: Mapping[str, str] | None = None,
    artifact_type: str = "",
    subject: Descriptor | None = None,
) -> Manifest:
    """The manifest of an image, or of something else (``artifact_type``), which only the OCI's can be."""
    media_type = OCI_MANIFEST if flavour == "oci" else DOCKER_MANIFEST
    return Manifest(
        schema_version=2,
        media_type=media_type,
        config=config,
        layers=tuple(layers),
        artifact_type=artifact_type,
        subject=subject,
        annotations=annotations or {},
    )


def index_of(manifests: Iterable[Descriptor], *, flavour: Flavour = "oci") -> Index:
    """The index of several images."""
    media_type = OCI_INDEX if flavour == "oci" else DOCKER_INDEX
    return Index(schema_version=2, media_type=media_type, manifests=tuple(manifests))


def read_manifest(content: bytes) -> Manifest:
    """A manifest's bytes as a value.

    Raises:
        DamagedImage: it is none, or names what is no blob.
    """
    manifest = _decode(content, Manifest)
    for one in (manifest.config, *manifest.layers):
        one.check()
    return manifest


def read_index(content: bytes) -> Index:
    """An index's bytes as a value.

    Raises:
        DamagedImage: it is none, or names what is no blob.
    """
    index = _decode(content, Index)
    for one in index.manifests:
        one.check()
    return index


def _decode(content: bytes, kind: type[T]) -> T:
    if len(content) > MAX_DOCUMENT_BYTES:
        raise DamagedImage(f"A manifest of {len(content):,} bytes is larger than a registry would take.")
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedImage("What the registry gave for a manifest is none.") from error
