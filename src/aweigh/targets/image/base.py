"""What an image is built on: its layers, the Python in it, and the C library that wheels are chosen for.

A base is any image with a Python of the release's version, from any registry, named by its digest or looked up by its
tag once. What it is good for is read from its files, not from what it says of itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aweigh.errors import DamagedImage, UnsuitableImage
from aweigh.oci.client import Registry
from aweigh.oci.documents import INDEXES, MANIFESTS, Descriptor, Manifest, Platform, read_index, read_manifest
from aweigh.oci.download import Progress, check_room
from aweigh.oci.errors import RegistrySilent
from aweigh.oci.image import Config, check_base, environment_of, read_config
from aweigh.oci.manifests import Pulled
from aweigh.oci.reference import HUB, Reference
from aweigh.oci.store import Store
from aweigh.targets.image.files import MUSL, Facts, look

USUAL = "docker.io/library/python:{python}-slim"
"""What is built on where nothing else is said: the official Python, slim."""

Tell = Callable[[Descriptor], Progress]

MAX_CONFIG_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Base:
    """A base for one platform. ``python`` is the path of its interpreter, ``libc`` the version of its glibc."""

    reference: str
    digest: str
    platform: Platform
    config: Config
    layers: tuple[Descriptor, ...]
    python: str
    libc: str

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that it sets."""
        return environment_of(self.config)


def fetch_base(
    registry: Registry,
    reference: Reference,
    *,
    platform: Platform,
    python: str,
    store: Store,
    tell: Tell | None = None,
) -> Base:
    """The base of that name for that platform, its blobs kept in the store, looked at.

    ``python`` is the version that it must have, as ``3.12``; ``tell`` gives for a blob what hears of its bytes.

    Raises:
        UnsuitableImage: there is none for the platform, no such Python is in it, or its C library has no wheels.
        DamagedImage: what the registry gives is not what its digests say.
        RemoteError: it cannot be fetched.
    """
    pulled = named = _named(registry, reference)
    if pulled.media_type in INDEXES:
        chosen = _of_platform(pulled.content, platform, reference)
        pulled = registry.pull_manifest(reference.repository, chosen.digest)
    if pulled.media_type not in MANIFESTS:
        raise UnsuitableImage(
            f"{reference} is no image, but {pulled.media_type[:90]!r}.", hint="name an image with --base"
        )
    manifest = read_manifest(pulled.content)
    config = _config_of(registry, reference, manifest, store)
    if (config.os, config.architecture) != (platform.os, platform.architecture):
        raise UnsuitableImage(
            f"{reference} is for {config.os}/{config.architecture}, and {platform} is asked for.",
            hint="name a base for that platform with --base",
        )
    check_base(config, manifest.layers)
    for layer in manifest.layers:
        _fetch(registry, reference, layer, store, tell)
    facts = _facts_of(manifest, store)
    return Base(
        reference=str(reference),
        digest=named.digest,
        platform=platform,
        config=config,
        layers=manifest.layers,
        python=_python_of(facts, python, reference),
        libc=_glibc_of(facts, reference),
    )


def _named(registry: Registry, reference: Reference) -> Pulled:
    """The manifest or index that is named; who cannot reach Docker Hub is told that there are other ways."""
    try:
        return registry.pull_manifest(reference.repository, reference.wanted)
    except RegistrySilent as error:
        if reference.host != HUB:
            raise
        raise RegistrySilent(
            error.message,
            hint=f"{error.hint}; without Docker Hub, name a base in a registry that is reached: --base HOST/NAME:TAG",
        ) from error


def _of_platform(content: bytes, platform: Platform, reference: Reference) -> Descriptor:
    index = read_index(content)
    known = []
    for one in index.manifests:
        if one.platform is not None and one.platform.os != "unknown":
            known.append(str(one.platform))
            if (one.platform.os, one.platform.architecture) == (platform.os, platform.architecture):
                return one
    raise UnsuitableImage(
        f"{reference} has no image for {platform}, only for {', '.join(known)[:200] or 'nothing'}.",
        hint="choose another --platform or another --base",
    )


def _config_of(registry: Registry, reference: Reference, manifest: Manifest, store: Store) -> Config:
    blob = manifest.config
    if blob.size > MAX_CONFIG_BYTES:
        raise DamagedImage(f"The config of {reference} has {blob.size:,} bytes, which none needs.")
    _fetch(registry, reference, blob, store, None)
    return read_config(store.read(blob))


def _fetch(registry: Registry, reference: Reference, blob: Descriptor, store: Store, tell: Tell | None) -> None:
    """Sees to it that the store has a blob."""
    if not store.has(blob):
        check_room(blob, next(one for one in (store.folder, *store.folder.parents) if one.exists()))
        store.keep_written(
            lambda file: registry.read_blob(
                reference.repository, blob, file.write, progress=None if tell is None else tell(blob)
            ),
            lambda _: blob,
        )


# -- what is in it ---------------------------------------------------------------------------------------------------


def _facts_of(manifest: Manifest, store: Store) -> Facts:
    key = f"base files {' '.join(one.digest for one in manifest.layers)}"
    known = store.noted(key, Facts)
    if known is None:
        known = look(manifest.layers, store)
        store.note(key, known)
    return known


def _python_of(facts: Facts, python: str, reference: Reference) -> str:
    if python not in facts.pythons:
        there = ", ".join(sorted(facts.pythons)) or "none"
        raise UnsuitableImage(
            f"The release runs on Python {python}, and {reference} has {there}.",
            hint=f"name a base with Python {python}: --base {USUAL.format(python=python)}",
        )
    return facts.pythons[python]


def _glibc_of(facts: Facts, reference: Reference) -> str:
    if facts.libc == MUSL:
        raise UnsuitableImage(
            f"{reference} is built on musl, and ONNX Runtime has no wheels for it.",
            hint="name a base on glibc, such as a slim Debian, with --base",
        )
    if not facts.libc:
        raise UnsuitableImage(
            f"No C library is to be found in {reference}, so no wheel can be chosen for it.",
            hint="name a base on glibc, such as a slim Debian, with --base",
        )
    return facts.libc
