"""The one archive that a platform builds from: a gzipped tar of a release's files, the same bytes for the same files.

Names are in order, times are 1980-01-01 (a wheel cannot be built of older files), owners are nobody's, modes are 644,
or 755 where a file of the disk may be run. The compressor is zlib at a fixed level: machines whose zlib differs may
give other bytes for the same tar.
"""

import gzip
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aweigh.bundle.atomic import whole_file
from aweigh.bundle.names import what_is_wrong
from aweigh.errors import DataError
from aweigh.targets.folder import is_lfs_pointer, is_never_deployed

TIME = 315_532_800
"""1980-01-01 00:00:00 UTC, in seconds since 1970."""
LEVEL = 6
_RUNS, _READS = 0o755, 0o644


@dataclass(frozen=True, slots=True)
class Tarball:
    """A tarball that was written: ``sha256`` has 64 hex digits."""

    size_bytes: int
    sha256: str


def tarball(files: Mapping[str, bytes | Path]) -> bytes:
    """The tarball of files by their names, in memory.

    Raises:
        DataError: as of ``write_tarball``.
    """
    into = io.BytesIO()
    _write(files, into)
    return into.getvalue()


def write_tarball(files: Mapping[str, bytes | Path], path: Path) -> Tarball:
    """Write it; large files pass through a piece at a time, and ``path`` is there whole or not at all.

    Raises:
        DataError: a name that leads elsewhere, or a file that is gone, or becomes shorter while it is read.
        OSError: it cannot be written (a full disk); nothing is left behind.
    """
    with whole_file(path) as stream:
        counted = _Counted(stream)
        _write(files, counted)
    return Tarball(counted.size_bytes, counted.digest.hexdigest())


class _Counted(io.RawIOBase):
    """What is written, passed on and counted."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self.size_bytes = 0
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]  # bytes are all that gzip writes
        self._stream.write(content)
        self.digest.update(content)
        self.size_bytes += len(content)
        return len(content)


def _write(files: Mapping[str, bytes | Path], into: "BinaryIO | _Counted") -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=into, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(files):
            if not is_never_deployed(name):
                _add(archive, name, files[name])


def _add(archive: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    parts = name.split("/")
    if not name or "\\" in name or "\0" in name or {"", ".", ".."} & set(parts):
        raise DataError(f"No file of a release can be named {name[:80]!a}: {what_is_wrong(name) or 'an odd name'}.")
    entry = tarfile.TarInfo(name)
    entry.mtime, entry.mode = TIME, _READS
    if isinstance(content, bytes):
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
        return
    with _opened(name, content) as stream:
        if stream is not None:
            found = os.fstat(stream.fileno())
            entry.size = found.st_size
            entry.mode = _RUNS if found.st_mode & stat.S_IXUSR else _READS
            archive.addfile(entry, _Reading(stream, name))  # type: ignore[arg-type]  # it only reads


@contextmanager
def _opened(name: str, path: Path) -> Iterator[BinaryIO | None]:
    """The file, open to read; None: it is a pointer to content that is not here."""
    try:
        # A pipe that took the file's place does not make us wait.
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(name, error) from error
    with os.fdopen(number, "rb") as stream:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise DataError(f"{name!r} is no file.")
        yield None if is_lfs_pointer(path) else stream


def _unreadable(name: str, error: OSError) -> DataError:
    return DataError(f"{name!r} cannot be read: {error.strerror or error}.")


class _Reading:
    """A file's bytes; that it ends too early, or cannot be read, is told of the file and not of the archive."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name

    def read(self, size: int) -> bytes:
        try:
            piece = self._stream.read(size)
        except OSError as error:
            raise _unreadable(self._name, error) from error
        if len(piece) < size:
            raise DataError(f"{self._name!r} became shorter while it was read.", hint="try again when it is written")
        return piece
