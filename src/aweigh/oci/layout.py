"""An OCI image layout: images as a folder of blobs, or as one tar archive that Docker, podman and skopeo read.

The archive holds what ``docker load`` of any age looks for as well, a ``manifest.json`` of Docker's own form.
"""

import glob
import io
import secrets
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from aweigh.errors import StorageFull, UsageError, is_full
from aweigh.oci.documents import Descriptor, Index, encode, index_of
from aweigh.oci.image import Image
from aweigh.oci.leftovers import clear, held
from aweigh.oci.store import Store

LAYOUT, INDEX = "oci-layout", "index.json"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
NAMED = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"


@dataclass(frozen=True, slots=True)
class Named:
    """What a layout holds: images, where there are several platforms their index, and a name as people type it."""

    images: Sequence[Image]
    name: str
    tag: str
    index: bytes | None = None
    index_descriptor: Descriptor | None = None

    @property
    def top(self) -> Descriptor:
        """What the name stands for: the index, or the one image."""
        return self.index_descriptor or self.images[0].descriptor


def blobs_of(image: Image) -> Iterator[Descriptor]:
    """The blobs of an image beside its manifest: config and layers, each once."""
    seen = set()
    for one in (image.manifest.config, *image.manifest.layers):
        if one.digest not in seen:
            seen.add(one.digest)
            yield one


def check_layout(folder: Path) -> None:
    """Sees to it that a layout may be written there.

    Raises:
        UsageError: something is there.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{str(folder)!r} is a file.", hint="name a new folder, or a file that ends with .tar")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(
            f"{str(folder)!r} is not empty.",
            hint="name a new folder, or empty it: nothing half written is gone on with",
        )


def write_layout(named: Named, store: Store, folder: Path) -> None:
    """Writes a layout into a folder that is new or empty.

    Raises:
        UsageError: something is there.
        StorageFull: the disk is full; what was written is gone again.
    """
    check_layout(folder)
    place = folder / "blobs" / "sha256"
    place.mkdir(parents=True, exist_ok=True)
    try:
        for descriptor, content in _documents(named):
            (place / descriptor.digest[7:]).write_bytes(content)
        for blob in _blobs(named):
            with (place / blob.digest[7:]).open("wb") as file:
                store.copy(blob, file)
        (folder / INDEX).write_bytes(encode(_top(named)))
        (folder / LAYOUT).write_bytes(_LAYOUT)
    except BaseException as error:
        _unwrite(folder)
        if isinstance(error, OSError) and is_full(error):
            raise StorageFull(
                "The disk is full: nothing was written.", hint="make room, or name a place elsewhere"
            ) from error
        raise


def _unwrite(folder: Path) -> None:
    import shutil

    for name in ("blobs", INDEX, LAYOUT):
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_archive(named: Named, store: Store, path: Path, *, created_s: int) -> None:
    """Writes a layout as one tar archive, for ``docker load``, ``podman load`` and ``skopeo copy oci-archive:``.

    Raises:
        StorageFull: the disk is full; nothing is left of it.
        UsageError: nothing can be written there.
        DamagedImage: a blob was changed on this machine.
    """
    start = f".{path.name[:64]}-"
    clear(path.parent, f"{glob.escape(start)}{'[0-9a-f]' * 16}.part")
    temporary = path.with_name(f"{start}{secrets.token_hex(8)}.part")
    try:
        with (
            temporary.open("xb") as file,
            held(temporary),
            tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            small = {f"blobs/sha256/{one.digest[7:]}": content for one, content in _documents(named)}
            small |= {INDEX: encode(_top(named)), LAYOUT: _LAYOUT, "manifest.json": _for_docker(named)}
            sizes = {f"blobs/sha256/{one.digest[7:]}": one for one in _blobs(named)}
            for name in ("blobs", "blobs/sha256"):
                folder = tarfile.TarInfo(name)
                folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, created_s
                archive.addfile(folder)
            for name in sorted(small.keys() | sizes.keys()):
                info = tarfile.TarInfo(name)
                info.mtime = created_s
                if name in small:
                    info.size = len(small[name])
                    archive.addfile(info, io.BytesIO(small[name]))
                else:
                    info.size = sizes[name].size
                    store.check(sizes[name])
                    with store.path(sizes[name].digest).open("rb") as blob:
                        archive.addfile(info, blob)
        temporary.replace(path)
    except OSError as error:
        if is_full(error):
            raise StorageFull(
                "The disk is full: nothing was written.", hint="make room, or name a place elsewhere"
            ) from error
        raise UsageError(
            f"{path.name!r} cannot be written: {error.strerror or error}.", hint="name another place with -o"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _documents(named: Named) -> Iterator[tuple[Descriptor, bytes]]:
    """Manifests, configs and the index, with their bytes."""
    for image in named.images:
        yield image.descriptor, image.content
        yield image.manifest.config, image.config
    if named.index is not None and named.index_descriptor is not None:
        yield named.index_descriptor, named.index


def _blobs(named: Named) -> Iterable[Descriptor]:
    """The layers of all images, each once."""
    return {one.digest: one for image in named.images for one in image.manifest.layers}.values()


def _top(named: Named) -> Index:
    annotations = {NAMED: named.tag} | ({FULL_NAME: f"{named.name}:{named.tag}"} if named.name else {})
    return index_of([msgspec.structs.replace(named.top, annotations=annotations)])


def _for_docker(named: Named) -> bytes:
    """What ``docker load`` reads where it knows no layouts: the first image alone."""
    image = named.images[0]
    document: list[dict[str, Any]] = [
        {
            "Config": f"blobs/sha256/{image.manifest.config.digest[7:]}",
            "RepoTags": [f"{named.name}:{named.tag}"] if named.name else [],
            "Layers": [f"blobs/sha256/{one.digest[7:]}" for one in image.manifest.layers],
        }
    ]
    return msgspec.json.encode(document)
