"""An image to a registry: blobs that are not there yet, manifests, the index, and what refers to them.

Beside the image lie a bill of materials (CycloneDX) of each platform's, and, where there is a key, a signature in the
form that cosign and skopeo check ("simple signing", by the tag ``sha256-....sig``).
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, Protocol

import msgspec

from aweigh.bundle.keys import PrivateKey
from aweigh.oci.documents import (
    DOCKER_MANIFEST,
    EMPTY,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    descriptor_of,
    digest_of,
    encode,
    manifest_of,
)
from aweigh.oci.layout import blobs_of
from aweigh.oci.store import Store
from aweigh.targets.image.build import Built

CYCLONEDX = "application/vnd.cyclonedx+json"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
COSIGN_SIGNATURE = "dev.cosignproject.cosign/signature"
REVISION = "org.opencontainers.image.created"

Progress = Callable[[int, int], None]


class Pushes(Protocol):
    """What of a registry is needed to send an image (``oci/client.py`` has it)."""

    def head_blob(self, repository: str, digest: str) -> bool:
        """Whether the blob is there."""

    def push_blob(
        self, repository: str, descriptor: Descriptor, open_blob: Callable[[], IO[bytes]], **more: Any
    ) -> bool:
        """Sends a blob that is not there; whether anything was sent."""

    def push_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        """Sends a manifest under a tag or its digest; the digest."""


@dataclass(frozen=True, slots=True)
class Published:
    """What was sent: bytes of blobs, and how many of them the registry had already."""

    digest: str
    sent_bytes: int
    sent_blobs: int
    blobs: int
    bills: tuple[str, ...] = ()
    signature: str = ""


def publish(
    registry: Pushes,
    repository: str,
    tag: str,
    built: Built,
    *,
    store: Store,
    bills: Mapping[str, bytes] | None = None,
    key: PrivateKey | None = None,
    named: str = "",
    tell: Callable[[Descriptor], Progress] | None = None,
) -> Published:
    """Sends images and their index, tagged last, when all that they name is there.

    ``bills`` are bills of materials by platform; ``key`` signs what the tag stands for, as ``named`` (host and
    repository).

    Raises:
        RemoteError: the registry refuses, or cannot be reached; what was sent stays there and is not sent again.
        DamagedImage: a blob was changed on this machine.
    """
    sent_bytes = sent = seen = 0
    for image in built.images:
        for blob in blobs_of(image):
            seen += 1
            if send(registry, repository, blob, store, tell=tell):
                sent, sent_bytes = sent + 1, sent_bytes + blob.size
    for image in built.images:
        registry.push_manifest(repository, image.descriptor.digest, image.content, image.descriptor.media_type)
    for image in built.images:
        bill = (bills or {}).get(str(image.platform))
        if bill is not None:
            attach(registry, repository, image.descriptor, bill, CYCLONEDX, store=store)
    signature = "" if key is None else sign(registry, repository, built.top, key, named=named, store=store)
    if built.index is not None and built.index_descriptor is not None:
        registry.push_manifest(repository, tag, built.index, built.index_descriptor.media_type)
    else:
        image = built.images[0]
        registry.push_manifest(repository, tag, image.content, image.descriptor.media_type)
    return Published(
        built.top.digest, sent_bytes, sent, seen, tuple(digest_of(one) for one in (bills or {}).values()), signature
    )


def send(
    registry: Pushes,
    repository: str,
    blob: Descriptor,
    store: Store,
    *,
    tell: Callable[[Descriptor], Progress] | None = None,
) -> bool:
    """Sends one blob of the store; whether it had to be."""
    more = {} if tell is None else {"progress": tell(blob)}
    return registry.push_blob(repository, blob, lambda: store.path(blob.digest).open("rb"), **more)


def attach(
    registry: Pushes, repository: str, subject: Descriptor, content: bytes, media_type: str, *, store: Store
) -> str:
    """Sends a document that refers to an image, found by the registry's list of referrers; the manifest's digest."""
    layer = descriptor_of(content, media_type)
    empty = descriptor_of(EMPTY, OCI_EMPTY)
    store.keep(content)
    store.keep(EMPTY)
    send(registry, repository, layer, store)
    send(registry, repository, empty, store)
    about = Descriptor(subject.media_type, subject.digest, subject.size)
    manifest = manifest_of(empty, [layer], artifact_type=media_type, subject=about)
    text = encode(manifest)
    return registry.push_manifest(repository, digest_of(text), text, OCI_MANIFEST)


# -- signatures ------------------------------------------------------------------------------------------------------


def payload_of(digest: str, named: str) -> bytes:
    """What is signed: which manifest, under which name ("simple signing" of containers/image)."""
    return msgspec.json.encode(
        {
            "critical": {
                "identity": {"docker-reference": named},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )


def sign(
    registry: Pushes, repository: str, subject: Descriptor, key: PrivateKey, *, named: str, store: Store
) -> str:
    """Signs a manifest by its digest and sends that beside it, under the tag where cosign looks; the tag."""
    payload = payload_of(subject.digest, named)
    signature = base64.b64encode(key.sign(payload)).decode()
    layer = msgspec.structs.replace(
        descriptor_of(payload, SIMPLE_SIGNING), annotations={COSIGN_SIGNATURE: signature}
    )
    config = encode(_SignatureConfig(rootfs={"type": "layers", "diff_ids": [layer.digest]}))
    named_config = descriptor_of(config, OCI_CONFIG)
    store.keep(payload)
    store.keep(config)
    send(registry, repository, layer, store)
    send(registry, repository, named_config, store)
    tag = f"{subject.digest.replace(':', '-')}.sig"
    text = encode(manifest_of(named_config, [layer]))
    registry.push_manifest(repository, tag, text, OCI_MANIFEST)
    return tag


class _SignatureConfig(msgspec.Struct, frozen=True):
    """The config that cosign gives a signature: an image's, of nothing."""

    rootfs: dict[str, Any]
    architecture: str = ""
    os: str = ""
    config: dict[str, Any] = {}


def is_docker(manifest: Manifest) -> bool:
    """Whether a manifest is of Docker's schema 2."""
    return manifest.media_type == DOCKER_MANIFEST
