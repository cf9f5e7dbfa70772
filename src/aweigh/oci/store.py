"""Blobs kept on this machine by their digests, so that nothing is built or fetched twice.

The folder is laid as an OCI image layout lays its own. A blob is there whole or not at all; one that is given away
is held against its digest on the way.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from aweigh.errors import ConfigError, DamagedImage, StorageFull, is_full
from aweigh.oci.documents import Descriptor, digest_of

COPY_BYTES = 2**20
PART = ".part-"
NOTE_FORMAT = 2
MAX_NOTE_BYTES = 2**20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Store:
    """Blobs below a folder, and notes of what was made of what."""

    folder: Path

    def path(self, digest: str) -> Path:
        """Where the blob lies, or would."""
        algorithm, _, hexadecimal = digest.partition(":")
        return self.folder / "blobs" / algorithm / hexadecimal

    def has(self, blob: Descriptor) -> bool:
        """Whether the blob is there, by its size; one that is counts as used now."""
        path = self.path(blob.digest)
        try:
            if path.stat().st_size != blob.size:
                return False
        except OSError:
            return False
        _used(path)
        return True

    def read(self, blob: Descriptor) -> bytes:
        """The bytes of a small blob.

        Raises:
            DamagedImage: they are not what the digest says.
        """
        content = self.path(blob.digest).read_bytes()
        if digest_of(content) != blob.digest:
            raise self.dropped(blob)
        return content

    def dropped(self, blob: Descriptor) -> DamagedImage:
        """The error of a blob that is not what its digest says; it is kept no longer, so that another try goes well."""
        self.path(blob.digest).unlink(missing_ok=True)
        return DamagedImage("A blob that was kept on this machine was changed.", hint="try again: it is gone now")

    def keep(self, content: bytes) -> str:
        """Keeps bytes; their digest."""
        digest = digest_of(content)
        with self.written() as file:
            file.write(content)
            file.flush()
            self._take_in(Path(file.name), digest)
        return digest

    def keep_written(self, write: Callable[[IO[bytes]], T], blob_of: Callable[[T], Descriptor]) -> T:
        """Keeps what ``write`` writes, under the digest that it tells of it."""
        with self.written() as file:
            told = write(file.file)
            file.flush()
            self._take_in(Path(file.name), blob_of(told).digest)
        return told

    @contextmanager
    def written(self) -> "Iterator[tempfile._TemporaryFileWrapper[bytes]]":
        """A file beside the blobs to write one into; it is gone when it was not taken in.

        Raises:
            StorageFull: the disk is.
        """
        with _storing(self.folder):
            place = self.folder / "blobs" / "sha256"
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = tempfile.NamedTemporaryFile(dir=place, prefix=PART, delete=False)  # noqa: SIM115  closed below
            try:
                with file:
                    yield file
            finally:
                Path(file.name).unlink(missing_ok=True)

    def _take_in(self, path: Path, digest: str) -> None:
        path.replace(self.path(digest))

    def check(self, blob: Descriptor) -> None:
        """Holds a blob against its digest.

        Raises:
            DamagedImage: it was changed on this machine; then it is kept no longer.
        """
        with self.path(blob.digest).open("rb") as file:
            if f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" != blob.digest:
                raise self.dropped(blob)

    def copy(self, blob: Descriptor, to: IO[bytes]) -> None:
        """Copies a blob, and holds it against its digest on the way.

        Raises:
            DamagedImage: it was changed on this machine; then it is kept no longer.
        """
        taken = hashlib.sha256()
        with self.path(blob.digest).open("rb") as file:
            while part := file.read(COPY_BYTES):
                taken.update(part)
                to.write(part)
        if f"sha256:{taken.hexdigest()}" != blob.digest:
            raise self.dropped(blob)

    # -- notes -------------------------------------------------------------------------------------------------------

    def noted(self, key: str, kind: type[T]) -> T | None:
        """What was noted under a key, where it still reads so."""
        path = self._note(key)
        try:
            with path.open("rb") as file:
                found = msgspec.json.decode(file.read(MAX_NOTE_BYTES), type=kind)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        _used(path)
        return found

    def note(self, key: str, value: object) -> None:
        """Notes a value under a key."""
        content = msgspec.json.encode(value)
        path = self._note(key)
        with _storing(self.folder):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = tempfile.NamedTemporaryFile(dir=path.parent, prefix=PART, delete=False)  # noqa: SIM115  closed below
            try:
                with file:
                    file.write(content)
                Path(file.name).replace(path)
            finally:
                Path(file.name).unlink(missing_ok=True)

    def _note(self, key: str) -> Path:
        return self.folder / "notes" / f"{digest_of(f'{NOTE_FORMAT}:{key}'.encode())[7:]}.json"

    @contextmanager
    def workshop(self) -> Iterator[Path]:
        """A folder beside the blobs to make one in; it is gone afterwards, or at the next run.

        Raises:
            StorageFull: the disk is.
            ConfigError: it cannot be made.
        """
        with _storing(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=PART, dir=self.folder, ignore_cleanup_errors=True) as name:
                yield Path(name)


def _used(path: Path) -> None:
    """Notes by its time that a file was used: what was not for the longest time makes room for others."""
    with suppress(OSError):
        os.utime(path)


@contextmanager
def _storing(folder: Path) -> Iterator[None]:
    """Tells of a disk that is full, and of a folder that cannot be written."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise StorageFull(
                "The disk is full.", hint="make room, or name a cache elsewhere: XDG_CACHE_HOME"
            ) from error
        if error.filename is not None and _is_of(Path(os.fsdecode(error.filename)), folder):
            raise ConfigError(
                f"The cache {folder} cannot be written: {error.strerror}.", hint="name another: XDG_CACHE_HOME"
            ) from error
        raise


def _is_of(path: Path, folder: Path) -> bool:
    """Whether the path is the folder's, above it or below."""
    return path == folder or path in folder.parents or folder in path.parents


def cache_folder(environ: "os._Environ[str] | dict[str, str]") -> Path:
    """Where blobs are kept: ``XDG_CACHE_HOME``, else ``~/.cache``, else the system's folder for what is temporary.

    What is kept there goes into images unseen, so it is this user's alone.

    Raises:
        ConfigError: somebody else made the folder, or may write to it; or it cannot be made.
    """
    named, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME", "")
    if Path(named).is_absolute():
        above = Path(named) / "aweigh"
    elif Path(home).is_absolute() and os.access(home, os.W_OK):
        above = Path(home) / ".cache" / "aweigh"
    else:
        # Anybody may make a folder of this name, so it is never taken as it is found.
        above = _own(Path(tempfile.gettempdir()) / f"aweigh-{os.getuid()}")
    return _own(above / "images")


def _own(folder: Path) -> Path:
    with _storing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    if not is_own:
        raise ConfigError(
            f"The cache {folder} is no folder of this user's alone, and what is in it would go into images.",
            hint=f"remove it, or name a place of your own: XDG_CACHE_HOME (chmod go-w {folder}, if you trust it)",
        )
    return folder
