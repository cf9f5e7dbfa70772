"""The image that a cluster runs: pushed to a registry under the name that was said, and called by its digest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aweigh.errors import UsageError
from aweigh.oci.client import Registry, open_registry
from aweigh.oci.documents import INDEXES, Platform, read_index, read_manifest
from aweigh.oci.reference import Reference, is_loopback, parse_reference
from aweigh.oci.store import Store
from aweigh.targets.image.base import USUAL, Base, Tell, fetch_base
from aweigh.targets.image.bill import image_bill
from aweigh.targets.image.build import Built, build
from aweigh.targets.image.packages import Making, find_compiler
from aweigh.targets.image.publish import Beside, Published, publish
from aweigh.targets.release import Release

PLATFORMS = ("linux/amd64", "linux/arm64")
NO_DIGEST = "sha256:" + "0" * 64
"""Stands for the digest of an image where nothing is built."""
VERSION = "org.opencontainers.image.version"


@dataclass(frozen=True, slots=True)
class Source:
    """``image`` is what it is called in a registry; by a digest it is there, else it is built and pushed."""

    image: str
    base: str | None = None
    platforms: tuple[str, ...] = PLATFORMS[:1]
    insecure: bool = False
    created_s: int = 0


@dataclass(frozen=True, slots=True)
class Pushed:
    """What is in the registry now, by its digest; ``published`` is None where nothing was sent."""

    name: str
    built: Built | None = None
    published: Published | None = None


def check_source(source: Source) -> Reference:
    """The image's name, if it can be one in a registry that a cluster reaches.

    Raises:
        UsageError: it cannot.
    """
    found = parse_reference(source.image)
    for one in source.platforms:
        if one not in PLATFORMS:
            raise UsageError(f"No image is built for {one[:40]!r}.", hint=f"choose of {', '.join(PLATFORMS)}")
    return found


def unbuilt(source: Source) -> str:
    """What the image would be called; without a digest of its own it gets one that no image has."""
    found = check_source(source)
    return str(replace(found, tag="", digest=found.digest or NO_DIGEST))


def pushed_image(
    release: Release, source: Source, *, store: Store, environ: Mapping[str, str], tell: Tell | None = None
) -> Pushed:
    """Sees that the registry has the release's image, and says by which digest.

    Raises:
        UsageError: the image of that digest is another bundle's.
        UnsuitableImage: nothing can be built on that base.
        RemoteError: a registry refuses, or cannot be reached.
    """
    to = check_source(source)
    if to.digest:
        with _open(to, source, environ) as registry:
            _check(registry, to, release)
        return Pushed(str(replace(to, tag="")))
    built, bases = _built(release, source, store=store, environ=environ, tell=tell)
    name = str(replace(to, tag="", digest=built.top.digest))
    with _open(to, source, environ) as registry:
        there = registry.head_manifest(to.repository, to.wanted)
        if there is not None and there.digest == built.top.digest:
            return Pushed(name, built)
        below = parse_reference(bases[0].reference)
        bills = {
            str(one.platform): image_bill(release, base, one) for one, base in zip(built.images, bases, strict=True)
        }
        beside = Beside(bills, None, below.repository if below.host == to.host else None)
        return Pushed(name, built, publish(registry, to, built, store=store, beside=beside, tell=tell))


def _built(
    release: Release, source: Source, *, store: Store, environ: Mapping[str, str], tell: Tell | None
) -> tuple[Built, Sequence[Base]]:
    python = ".".join(release.python.split(".")[:2])
    reference = parse_reference(source.base or USUAL.format(python=python))
    bases = []
    with _open(reference, source, environ) as registry:
        for one in dict.fromkeys(source.platforms):
            system, _, architecture = one.partition("/")
            platform = Platform(architecture, system)
            bases.append(fetch_base(registry, reference, platform=platform, python=python, store=store, tell=tell))
    return build(release, bases, Making(store, source.created_s, find_compiler(python))), bases


def _open(reference: Reference, source: Source, environ: Mapping[str, str]) -> Registry:
    return open_registry(reference.host, insecure=source.insecure and is_loopback(reference.host), environ=environ)


def _check(registry: Registry, reference: Reference, release: Release) -> None:
    """Whether the image says that it holds the bundle that is to be deployed; of a folder nothing is said."""
    if release.bundle is None:
        return
    from aweigh.targets.live import golden_of

    version = golden_of(release.files[release.bundle]).version
    pulled = registry.pull_manifest(reference.repository, reference.digest)
    if pulled.media_type in INDEXES:
        first = read_index(pulled.content).manifests[0]
        pulled = registry.pull_manifest(reference.repository, first.digest)
    said = read_manifest(pulled.content).annotations.get(VERSION, "")
    if said != version:
        raise UsageError(
            f"The image holds the bundle {said[:40]!a}, and {release.bundle} is {version}.",
            hint="name the image of this bundle, or one by a tag, and it is built and pushed",
        )
