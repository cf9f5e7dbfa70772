"""The image that is to run: built here without Docker and loaded, or a registry's, by its digest."""

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aweigh.errors import UnsuitableImage, UsageError
from aweigh.oci.client import open_registry
from aweigh.oci.documents import Platform
from aweigh.oci.layout import Named, write_archive
from aweigh.oci.reference import is_loopback, parse_reference
from aweigh.oci.store import Store
from aweigh.targets.compose.errors import ComposeRefused
from aweigh.targets.compose.files import unwritable
from aweigh.targets.compose.kept import IMAGE
from aweigh.targets.compose.plan import Chosen
from aweigh.targets.compose.program import Programs, ask, carry_out, documents, said_anywhere, succeeds
from aweigh.targets.image.base import USUAL, Tell, fetch_base
from aweigh.targets.image.build import Built, build
from aweigh.targets.image.packages import Making, find_compiler
from aweigh.targets.release import Release

NAMES = "localhost/aweigh-"
"""What images are called that were built here: the app's name behind it, and the digest as the tag."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an image comes from: ``image`` is one that a registry has; else it is built on ``base``."""

    base: str | None = None
    image: str | None = None
    insecure: bool = False
    created_s: int = 0


def named(app: str, digest: str) -> str:
    """What the engine knows an image of an app by: another content is another name."""
    return f"{NAMES}{app}:{digest.removeprefix('sha256:')}"


def built_image(
    release: Release,
    source: Source,
    *,
    platform: str,
    store: Store,
    environ: Mapping[str, str],
    tell: Tell | None = None,
    doing: Callable[[str], None] = lambda _: None,
) -> Built:
    """The image of a release for a platform; what was built before is not built again. ``doing`` hears what it is at.

    Raises:
        UnsuitableImage: nothing can be built on that base.
        RemoteError: the base cannot be fetched.
    """
    python = ".".join(release.python.split(".")[:2])
    reference = parse_reference(source.base or USUAL.format(python=python))
    system, _, architecture = platform.partition("/")
    insecure = source.insecure and is_loopback(reference.host)
    with open_registry(reference.host, insecure=insecure, environ=environ) as registry:
        base = fetch_base(
            registry, reference, platform=Platform(architecture, system), python=python, store=store, tell=tell
        )
    return build(release, [base], Making(store, source.created_s, find_compiler(python), doing))


def load(
    programs: Programs,
    app: str,
    built: Built,
    *,
    store: Store,
    created_s: int,
    folder: Path,
    hear: Callable[[str], None],
) -> tuple[Chosen, bool]:
    """Gives the engine an image that was built, unless it has it; how it is found there, and whether it was new.

    Raises:
        ComposeRefused: the engine does not take it.
        StorageFull: the disk is full.
    """
    digest = built.top.digest
    name = named(app, digest)
    if succeeds(programs.engine("image", "inspect", name)):
        return Chosen(name, digest), False
    repository, _, tag = name.rpartition(":")
    held = Named(built.images, repository, tag, built.index, built.index_descriptor)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=IMAGE) as place:
            path = Path(place) / "image.tar"
            write_archive(held, store, path, created_s=created_s)
            carry_out(programs.engine("load", "-i", str(path)), what="to load the image", folder=folder, hear=hear)
    except OSError as error:
        raise unwritable(error) from error
    if not succeeds(programs.engine("image", "inspect", name)):
        raise ComposeRefused("The image was loaded, and is not found there.", hint="run the same command again")
    return Chosen(name, digest), True


def forget_images(programs: Programs, app: str, *, but: Collection[str]) -> None:
    """Takes away the images of an app that were built here, but these; the engine keeps those that still run."""
    for name in said_anywhere(programs.engine("images", "--format", "{{.Repository}}:{{.Tag}}", f"{NAMES}{app}")):
        if name.startswith(f"{NAMES}{app}:") and name not in but:
            succeeds(programs.engine("image", "rm", name))


def pulled(
    programs: Programs,
    release: Release,
    source: Source,
    *,
    version: str | None,
    environ: Mapping[str, str],
    folder: Path,
    hear: Callable[[str], None],
) -> Chosen:
    """A registry's image, by its digest: what a tag names now is what will run, whatever it names later.

    Raises:
        UsageError: it is another bundle's.
        UnsuitableImage: it is for another architecture.
        RemoteError: it cannot be fetched.
    """
    reference = parse_reference(source.image or "")
    insecure = source.insecure and is_loopback(reference.host)
    if not reference.digest:
        with open_registry(reference.host, insecure=insecure, environ=environ) as registry:
            reference = reference.at(registry.pull_manifest(reference.repository, reference.wanted).digest)
    tag = f":{reference.tag}" if reference.tag else ""
    name = str(reference).replace(f"{tag}@", "@")  # podman takes no name with both
    if not succeeds(programs.engine("image", "inspect", name)):
        carry_out(programs.engine("pull", name), what="to fetch the image", folder=folder, hear=hear)
    told = documents(ask(programs.engine("image", "inspect", name), what="to look at the image"))
    _check(told[0] if told else {}, programs, release, version)
    return Chosen(name, reference.digest, pulled=True)


def _check(told: dict[str, Any], programs: Programs, release: Release, version: str | None) -> None:
    platform = f"{told.get('Os')}/{told.get('Architecture')}"
    if platform != programs.platform:
        raise UnsuitableImage(
            f"The image is for {platform[:40]}, and containers here are for {programs.platform}.",
            hint="leave --image out, and it is built for this machine; or push one for both",
        )
    config = told.get("Config")
    labels = config.get("Labels") if isinstance(config, dict) else None
    said = labels.get("org.opencontainers.image.version") if isinstance(labels, dict) else None
    if version is not None and said != version:
        raise UsageError(
            f"The image holds the bundle {str(said)[:40]!a}, and {release.bundle} is {version}.",
            hint="push one of this bundle (aweigh image --push), or leave --image out",
        )
