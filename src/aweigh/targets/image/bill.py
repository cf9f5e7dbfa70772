"""The bill of materials of an image: its base, its packages, aweigh and the bundle, in CycloneDX 1.6 as JSON.

It is written from what was put into the image, and nothing in it tells when or where.
"""

import hashlib
from pathlib import Path
from typing import Any

from aweigh._version import __version__
from aweigh.bundle.requirements import Pinned, read_lock
from aweigh.bundle.sbom import bill_of, purl_of
from aweigh.oci.image import Image
from aweigh.targets.image.base import Base
from aweigh.targets.image.packages import split_own
from aweigh.targets.release import Release
from aweigh.targets.requirements import WHEELS

IMAGE = "image"
HASHED_BYTES = 2**20


def image_bill(release: Release, base: Base, image: Image) -> bytes:
    """The bill of one platform's image."""
    others, wheel = split_own(release.requirements or "")
    components = [_base(base)]
    components += [_package(one) for one in read_lock(others)]
    if wheel is not None:
        components.append(_own(wheel, release.files[f"{WHEELS}{wheel}"]))
    if release.bundle is not None:
        components.append(_file(release.bundle, release.files[release.bundle]))
    made = {
        "type": "container",
        "bom-ref": IMAGE,
        "name": release.name,
        "version": image.descriptor.digest,
        "properties": [{"name": "aweigh:platform", "value": str(image.platform)}],
    }
    return bill_of(made, components)


def _base(base: Base) -> dict[str, Any]:
    name = base.reference.partition("@")[0]
    return {"type": "container", "bom-ref": f"base:{base.digest}", "name": name, "version": base.digest}


def _package(one: Pinned) -> dict[str, Any]:
    purl = purl_of(one.name, one.version)
    hashes = [{"alg": "SHA-256", "content": value} for value in sorted(one.hashes)]
    return {"type": "library", "bom-ref": purl, "name": one.name, "version": one.version, "purl": purl} | (
        {"hashes": hashes} if hashes else {}
    )


def _own(wheel: str, content: bytes | Path) -> dict[str, Any]:
    purl = purl_of("aweigh", __version__)
    hashes = [{"alg": "SHA-256", "content": _sha256(content)}]
    return {
        "type": "library",
        "bom-ref": wheel,
        "name": "aweigh",
        "version": __version__,
        "purl": purl,
        "hashes": hashes,
    }


def _file(name: str, content: bytes | Path) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": _sha256(content)}]
    return {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": hashes}


def _sha256(content: bytes | Path) -> str:
    taken = hashlib.sha256()
    if isinstance(content, bytes):
        taken.update(content)
    else:
        with content.open("rb") as file:
            while part := file.read(HASHED_BYTES):
                taken.update(part)
    return taken.hexdigest()
