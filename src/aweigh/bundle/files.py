"""The files of a bundle where they lie on the disk, in its one-file form or as a folder; nothing is believed here."""

import hashlib
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aweigh.bundle.atomic import whole_folder
from aweigh.bundle.names import MAX_FILES, MODEL_FOLDER, check_names
from aweigh.errors import DamagedBundle

CHUNK_BYTES = 2**20
MAX_DOCUMENT_BYTES = 64 * 2**20
"""What any file but the model may have: they are read whole."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a bundle: ``size_bytes`` from ``offset`` on in the file at ``path``.

    ``crc`` is the CRC-32 that an archive's headers tell; None in a folder.
    """

    path: Path
    offset: int
    size_bytes: int
    crc: int | None = None

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, a megabyte at a time.

        Raises:
            DamagedBundle: it has become shorter, or something else than a file.
        """
        with self._open() as stream:
            left = self.size_bytes
            while left:
                chunk = stream.read(min(left, CHUNK_BYTES))
                if not chunk:
                    raise self._shorter()
                left -= len(chunk)
                yield chunk

    def read(self) -> bytes:
        """All its bytes, which are in memory once and at no moment twice.

        Raises:
            DamagedBundle: as of ``chunks``.
        """
        with self._open() as stream:
            content = stream.read(self.size_bytes)
        if len(content) < self.size_bytes:
            raise self._shorter()
        return content

    def look(self, *, keep_bytes: int) -> tuple[str, bytes]:
        """The sha256 of its bytes (64 hex digits) and the first ``keep_bytes`` of them, from one and the same reading.

        Raises:
            DamagedBundle: an archive says another CRC-32 than the bytes have; and as of ``chunks``.
        """
        if keep_bytes >= self.size_bytes:
            content = self.read()
            self._check_crc(zlib.crc32(content))
            return hashlib.sha256(content).hexdigest(), content
        digest = hashlib.sha256()
        crc = 0
        kept = bytearray()
        for chunk in self.chunks():
            digest.update(chunk)
            crc = zlib.crc32(chunk, crc)
            kept += chunk[: keep_bytes - len(kept)]
        self._check_crc(crc)
        return digest.hexdigest(), bytes(kept)

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        # No link is followed, and a pipe that took the file's place does not make us wait.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            number = os.open(self.path, flags if self.crc is None else os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DamagedBundle(f"{self.path.name!r} cannot be read any more: {error.strerror}.") from error
        with os.fdopen(number, "rb") as stream:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise DamagedBundle(f"{self.path.name!r} is no longer a file.")
            stream.seek(self.offset)
            yield stream

    def _shorter(self) -> DamagedBundle:
        return DamagedBundle(f"{self.path.name!r} is shorter than it was.")

    def _check_crc(self, crc: int) -> None:
        if self.crc is not None and crc != self.crc:
            raise DamagedBundle(
                "The archive's checksum of a file is not that of its bytes.",
                hint="it was changed or damaged since it was packed: copy it again from where it came",
            )


def size_limit(name: str, *, bundle_bytes: int) -> int:
    """How large a file of that name may be."""
    return bundle_bytes if name.startswith(MODEL_FOLDER) else MAX_DOCUMENT_BYTES


def write_folder(files: Mapping[str, bytes], path: Path) -> None:
    """Write the files as a folder, which appears whole or not at all.

    Raises:
        DamagedBundle: a name that no file of a bundle may have.
        UsageError: something is there already.
        OSError: it cannot be written; nothing is left behind.
    """
    check_names(files)
    whole_folder(files, path)


def list_folder(path: Path) -> dict[str, Member]:
    """The files of a folder by their relative POSIX names, in order.

    Raises:
        DamagedBundle: a link, a socket, a pipe or a device is among them, an empty folder, or a name no file may have.
    """
    found: dict[str, Member] = {}
    _walk(path, "", found)
    check_names(found)
    return dict(sorted(found.items()))


def _walk(folder: Path, prefix: str, found: dict[str, Member]) -> None:
    with os.scandir(folder) as entries:
        listed = list(entries)
    if not listed and prefix:
        raise DamagedBundle(f"The bundle holds an empty folder, {prefix!a}.", hint="remove it")
    for entry in listed:
        name = prefix + entry.name
        if len(found) > MAX_FILES:
            raise DamagedBundle(f"The bundle holds more than {MAX_FILES:,} files.")
        if entry.is_symlink():
            raise DamagedBundle(f"The bundle holds a link, {name!a}.")
        if entry.is_dir(follow_symlinks=False):
            # Checked on the way down, or folders within folders would lead on without end.
            check_names([f"{name}/x"])
            _walk(Path(entry.path), f"{name}/", found)
        elif entry.is_file(follow_symlinks=False):
            found[name] = Member(Path(entry.path), 0, entry.stat(follow_symlinks=False).st_size)
        else:
            raise DamagedBundle(f"The bundle holds something that is no file, {name!a}.")
