"""Blobs kept on this machine by their digests, so that nothing is built or fetched twice.

The folder is laid as an OCI image layout lays its own. A blob is there whole or not at all; one that is given away
is held against its digest on the way.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from aweigh.errors import DamagedImage, StorageFull
from aweigh.oci.documents import Descriptor, digest_of

COPY_BYTES = 2**20
NOTE_FORMAT = 1
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
        """Whether the blob is there, by its size."""
        try:
            return self.path(blob.digest).stat().st_size == blob.size
        except OSError:
            return False

    def read(self, blob: Descriptor) -> bytes:
        """The bytes of a small blob.

        Raises:
            DamagedImage: they are not what the digest says.
        """
        content = self.path(blob.digest).read_bytes()
        if digest_of(content) != blob.digest:
            self.path(blob.digest).unlink(missing_ok=True)
            raise DamagedImage("A blob that was kept on this machine was changed.", hint="try again: it is gone now")
        return content

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
        place = self.folder / "blobs" / "sha256"
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = tempfile.NamedTemporaryFile(dir=place, prefix=".part-", delete=False)  # noqa: SIM115  closed below
        try:
            with file:
                yield file
        except OSError as error:
            if error.errno == 28:  # ENOSPC
                raise StorageFull(
                    "The disk is full.", hint="make room, or name a cache elsewhere: XDG_CACHE_HOME"
                ) from error
            raise
        finally:
            Path(file.name).unlink(missing_ok=True)

    def take_in(self, path: Path, digest: str) -> None:
        """Makes a file that was written by ``written`` the blob of that digest."""
        self._take_in(path, digest)

    def _take_in(self, path: Path, digest: str) -> None:
        place = self.path(digest)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.link(path, temporary := place.with_name(f".link-{path.name}"))
        temporary.replace(place)

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
            self.path(blob.digest).unlink(missing_ok=True)
            raise DamagedImage("A blob that was kept on this machine was changed.", hint="try again: it is gone now")

    # -- notes -------------------------------------------------------------------------------------------------------

    def noted(self, key: str, kind: type[T]) -> T | None:
        """What was noted under a key, where it still reads so."""
        try:
            with self._note(key).open("rb") as file:
                return msgspec.json.decode(file.read(MAX_NOTE_BYTES), type=kind)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def note(self, key: str, value: object) -> None:
        """Notes a value under a key."""
        content = msgspec.json.encode(value)
        path = self._note(key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".part-", delete=False) as file:
            file.write(content)
        Path(file.name).replace(path)

    def _note(self, key: str) -> Path:
        return self.folder / "notes" / f"{digest_of(f'{NOTE_FORMAT}:{key}'.encode())[7:]}.json"

    def empty(self) -> None:
        """Throws away all that is kept."""
        shutil.rmtree(self.folder, ignore_errors=True)


def cache_folder(environ: "os._Environ[str] | dict[str, str]") -> Path:
    """Where blobs are kept: ``XDG_CACHE_HOME``, else ``~/.cache``, else the system's folder for what is temporary."""
    named = environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():
        return Path(named) / "aweigh" / "images"
    home = environ.get("HOME", "")
    if Path(home).is_absolute() and os.access(home, os.W_OK):
        return Path(home) / ".cache" / "aweigh" / "images"
    return Path(tempfile.gettempdir()) / f"aweigh-{os.getuid()}" / "images"
