"""An image to a registry: blobs that are not there yet, manifests, the index, and what refers to them.

Beside the image lie a bill of materials (CycloneDX) of each platform's, and, where there is a key, a signature in the
form that cosign and skopeo check ("simple signing", by the tag ``sha256-....sig``).
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from aweigh.bundle.keys import PrivateKey
from aweigh.errors import DamagedImage
from aweigh.oci.client import Registry
from aweigh.oci.documents import (
    EMPTY,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_MANIFEST,
    Descriptor,
    descriptor_of,
    digest_of,
    encode,
    manifest_of,
    read_manifest,
)
from aweigh.oci.layout import blobs_of
from aweigh.oci.reference import Reference
from aweigh.oci.store import Store
from aweigh.targets.image.base import Tell
from aweigh.targets.image.build import Built

CYCLONEDX = "application/vnd.cyclonedx+json"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
COSIGN_SIGNATURE = "dev.cosignproject.cosign/signature"


@dataclass(frozen=True, slots=True)
class Published:
    """What was sent: bytes of blobs, and how many of them the registry had already."""

    digest: str
    sent_bytes: int
    sent_blobs: int
    blobs: int
    bills: int = 0
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Beside:
    """What lies beside an image: bills of materials by platform, and a signature of ``key``'s, where there is one.

    ``base`` is the base's repository, where that is in the same registry: its layers need not be sent.
    """

    bills: Mapping[str, bytes] = field(default_factory=dict)
    key: PrivateKey | None = None
    base: str | None = None


def publish(
    registry: Registry,
    to: Reference,
    built: Built,
    *,
    store: Store,
    beside: Beside,
    tell: Tell | None = None,
) -> Published:
    """Sends images and their index, tagged last, when all that they name is there.

    Raises:
        RemoteError: the registry refuses, or cannot be reached; what was sent stays there and is not sent again.
        DamagedImage: a blob was changed on this machine.
    """
    repository, sent_bytes, sent, seen = to.repository, 0, 0, 0
    for image in built.images:
        for blob in blobs_of(image):
            seen += 1
            if send(registry, repository, blob, store, tell=tell, mount_from=beside.base):
                sent, sent_bytes = sent + 1, sent_bytes + blob.size
    for image in built.images:
        registry.push_manifest(repository, image.descriptor.digest, image.content, image.descriptor.media_type)
    for image in built.images:
        bill = beside.bills.get(str(image.platform))
        if bill is not None:
            attach(registry, repository, image.descriptor, bill, CYCLONEDX, store=store)
    content = built.images[0].content if built.index is None else built.index
    if beside.key is not None and built.index is not None:
        registry.push_manifest(repository, built.top.digest, content, built.top.media_type)
    signature = "" if beside.key is None else sign(registry, to, built.top, beside.key, store=store)
    registry.push_manifest(repository, to.wanted, content, built.top.media_type)
    return Published(built.top.digest, sent_bytes, sent, seen, len(beside.bills), signature)


def send(
    registry: Registry,
    repository: str,
    blob: Descriptor,
    store: Store,
    *,
    tell: Tell | None = None,
    mount_from: str | None = None,
) -> bool:
    """Sees to it that a repository has a blob of the store; whether it had to be sent."""
    progress = None if tell is None else tell(blob)
    try:
        arrival = registry.push_blob(
            repository, blob, lambda: store.path(blob.digest).open("rb"), progress=progress, mount_from=mount_from
        )
    except DamagedImage:
        store.check(blob)
        raise
    return arrival == "uploaded"


def attach(
    registry: Registry, repository: str, subject: Descriptor, content: bytes, media_type: str, *, store: Store
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


def payload_of(digest: str, named: Reference) -> bytes:
    """What is signed: which manifest, under which name ("simple signing" of containers/image)."""
    return msgspec.json.encode(
        {
            "critical": {
                "identity": {"docker-reference": str(named)},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )


def sign(registry: Registry, to: Reference, subject: Descriptor, key: PrivateKey, *, store: Store) -> str:
    """Signs a manifest by its digest, beside what signatures there are, under the tag where cosign looks; the tag."""
    payload, repository = payload_of(subject.digest, replace(to, tag="", digest="")), to.repository
    signature = base64.b64encode(key.sign(payload)).decode()
    layer = msgspec.structs.replace(descriptor_of(payload, SIMPLE_SIGNING), annotations={COSIGN_SIGNATURE: signature})
    tag = f"{subject.digest.replace(':', '-')}.sig"
    layers = _signatures(registry, repository, tag)
    layers += [] if layer in layers else [layer]
    config = encode(_SignatureConfig(rootfs={"type": "layers", "diff_ids": [one.digest for one in layers]}))
    named_config = descriptor_of(config, OCI_CONFIG)
    store.keep(payload)
    store.keep(config)
    send(registry, repository, layer, store)
    send(registry, repository, named_config, store)
    text = encode(manifest_of(named_config, layers))
    registry.push_manifest(repository, tag, text, OCI_MANIFEST)
    return tag


def _signatures(registry: Registry, repository: str, tag: str) -> list[Descriptor]:
    """Those that are there already, of other keys' too: they stay."""
    if registry.head_manifest(repository, tag) is None:
        return []
    there = read_manifest(registry.pull_manifest(repository, tag).content)
    return [one for one in there.layers if one.media_type == SIMPLE_SIGNING]


class _SignatureConfig(msgspec.Struct, frozen=True):
    """The config that cosign gives a signature: an image's, of nothing."""

    rootfs: dict[str, Any]
    architecture: str = ""
    os: str = ""
    config: dict[str, Any] = {}
