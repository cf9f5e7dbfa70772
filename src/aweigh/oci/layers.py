"""Layers: files as a compressed tar archive whose bytes depend on nothing but the files.

Names are sorted, owners are numbers, times are one and the same, folders are named before what is in them, and gzip's
head tells neither time nor system. They are compressed by zlib, of which another build may make other bytes of
the same archive, whose own digest (``diff_id``) is the same everywhere.
"""

import gzip
import hashlib
import io
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from aweigh.errors import DataError
from aweigh.oci.documents import OCI_LAYER_GZIP, Descriptor

LEVEL = 6
"""Of gzip: from here on a layer takes twice the time for a hundredth less."""
COPY_BYTES = 2**20
FILE_MODE, PROGRAM_MODE, FOLDER_MODE = 0o644, 0o755, 0o755


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a layer: its ``content``, bytes or a path to read them from; or a link to ``target``, or a folder.

    ``owner`` is a user's and a group's number.
    """

    content: bytes | Path | None = None
    mode: int = FILE_MODE
    target: str = ""
    owner: int = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that was written: its descriptor, the digest of the archive as it unpacks, and how it came about."""

    descriptor: Descriptor
    diff_id: str
    history: str


def write_layer(entries: Mapping[str, Entry], file: IO[bytes], *, created_s: int, history: str) -> Layer:
    """Writes the layer of these files, by their paths from the root with ``/``, and tells what was written.

    ``created_s`` is the time of every file, in seconds since 1970.

    Raises:
        DataError: a path leads out of the root, or a file cannot be read.
    """
    compressed = _Counting(file)
    # The constructor of gzip's own writer takes a name and a time; both would be in the bytes.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=compressed, mtime=0) as packed:
        plain = _Counting(packed)
        # PAX is what every reader of images knows; of short names and small numbers it is plain ustar.
        with tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT, bufsize=COPY_BYTES) as archive:
            for name, entry in _with_folders(entries):
                _add(archive, name, entry, created_s=created_s)
    descriptor = Descriptor(OCI_LAYER_GZIP, compressed.digest, compressed.size_bytes)
    return Layer(descriptor, plain.digest, history)


def _with_folders(entries: Mapping[str, Entry]) -> Iterator[tuple[str, Entry]]:
    """All that is to be written in order, each folder before what is in it."""
    told: set[str] = set()
    for name in sorted(entries):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or "\0" in name:
            raise DataError(f"No layer can hold a file called {name[:90]!r}.")
        for parent in reversed(path.parents[:-1]):
            if str(parent) not in told:
                told.add(str(parent))
                if str(parent) not in entries:
                    yield str(parent), Entry(mode=FOLDER_MODE)
        told.add(name)
        yield name, entries[name]


def _add(archive: tarfile.TarFile, name: str, entry: Entry, *, created_s: int) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = entry.mode, created_s
    info.uid = info.gid = entry.owner
    if entry.target:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.target, 0o777
        archive.addfile(info)
    elif entry.content is None:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    elif isinstance(entry.content, bytes):
        info.size = len(entry.content)
        archive.addfile(info, io.BytesIO(entry.content))
    else:
        try:
            with entry.content.open("rb") as file:
                info.size = entry.content.stat().st_size
                archive.addfile(info, file)
        except OSError as error:
            raise DataError(f"The file {name!r} of the image cannot be read.") from error


def entries_of(folder: Path, *, below: str, owner: int = 0) -> dict[str, Entry]:
    """All files and links of a folder, by their paths below ``below``; programs stay programs.

    Raises:
        DataError: something in it is neither file nor link nor folder.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = f"{below}/{path.relative_to(folder).as_posix()}"
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            found[name] = Entry(target=str(path.readlink()), owner=owner)
        elif stat.S_ISREG(mode):
            found[name] = Entry(path, PROGRAM_MODE if mode & stat.S_IXUSR else FILE_MODE, owner=owner)
        elif not stat.S_ISDIR(mode):
            raise DataError(f"{name!r} is neither a file nor a folder: no image holds it.")
    return found


class _Counting(io.RawIOBase):
    """Writes through to another file, and knows what it was: digest and size in bytes."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]  # what tarfile gives
        """Hand the bytes on."""
        self._hash.update(data)
        self.size_bytes += len(data)
        self._file.write(data)
        return len(data)

    @property
    def digest(self) -> str:
        """Of all that was written."""
        return f"sha256:{self._hash.hexdigest()}"
