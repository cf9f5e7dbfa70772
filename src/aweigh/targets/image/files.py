"""What the files of a base say of it: its Pythons and its C library, read from layers that anybody may have written.

Archives are read as a stream, and nothing of them is unpacked or kept but a few names. However large they make
themselves, memory is bounded and so is the time.
"""

import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from gzip import GzipFile
from pathlib import PurePosixPath
from typing import IO

import msgspec

from aweigh.errors import DamagedImage
from aweigh.oci.documents import Descriptor
from aweigh.oci.store import Store

BLOCK = 512
READ_BYTES = 2**20
MAX_LIBRARY_BYTES = 16 * 2**20
MAX_HEADER_BYTES = 2**20
"""Of a name or of extended headers: more than any file system has."""
MAX_UNPACKED_BYTES = 64 * 2**30
"""Of all layers together: several times the largest images that there are."""
MAX_FOUND = 200

_GLIBC = re.compile(rb"GNU C Library [^\n]{0,80}(?:stable|development) release version (\d{1,2}\.\d{1,2})")
_LIBC = re.compile(r"(?:usr/)?lib(?:64)?/(?:[a-z0-9_]+-linux-gnu/)?(?:libc\.so\.6|libc-[0-9]+\.[0-9]+\.so)")
_MUSL = re.compile(r"(?:usr/)?lib/ld-musl-[a-z0-9_]+\.so\.1")
_PYTHON = re.compile(r"(?:usr/local/|opt/[A-Za-z0-9_.-]+/|usr/)bin/python(3\.[0-9]{1,2})")
_PREFERRED = ("usr/local/", "opt/", "usr/")
_NAMES = {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
_PAX = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}
_HIDES, _HIDES_ALL = ".wh.", ".wh..wh..opq"
MUSL = "musl"


class Facts(msgspec.Struct, frozen=True):
    """What was found in a base's files: ``pythons`` by version, and a glibc's version (``musl`` where it is musl)."""

    pythons: dict[str, str]
    libc: str


def look(layers: tuple[Descriptor, ...], store: Store) -> Facts:
    """Reads the archives of all layers, the lowest first: what lies higher up covers or removes what is below.

    Raises:
        DamagedImage: a layer is no compressed archive, is none that anybody would unpack, or was changed on this
            machine; then it is kept no longer.
    """
    found: dict[str, str] = {}
    left = MAX_UNPACKED_BYTES
    for layer in layers:
        with store.path(layer.digest).open("rb") as file:
            hashed = _Hashed(file)
            error: Exception | None = None
            try:
                with GzipFile(fileobj=hashed) as unpacked:
                    limited = _Limited(unpacked, left)
                    found = _over(found, limited)
                    left = limited.left
            except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as wrong:
                error = wrong
            while hashed.read(READ_BYTES):
                pass
        if hashed.digest != layer.digest:
            raise store.dropped(layer) from error
        if error is not None:
            raise DamagedImage(f"A layer of the base ({layer.digest[:19]}) cannot be unpacked.") from error
    return _facts(found)


def _facts(found: dict[str, str]) -> Facts:
    pythons: dict[str, str] = {}
    for start in _PREFERRED:
        for name in sorted(found):
            if name.startswith(start) and _PYTHON.fullmatch(name) is not None:
                pythons.setdefault(found[name], f"/{name}")
    libraries = {found[name] for name in found if _PYTHON.fullmatch(name) is None}
    # Of several the oldest: what is built for it runs on the others.
    glibc = sorted(libraries - {MUSL}, key=lambda one: [int(part) for part in one.split(".")])
    return Facts(pythons, glibc[0] if glibc else MUSL if libraries else "")


def _over(below: dict[str, str], archive: "_Limited") -> dict[str, str]:
    """What there is of note with one more layer on top: versions by their files' names."""
    below, own = dict(below), dict[str, str]()
    for name, member in _members(archive):
        folder, _, last = name.rpartition("/")
        start = f"{folder}/" if folder else ""
        python = _PYTHON.fullmatch(name)
        if last == _HIDES_ALL:
            below = {one: version for one, version in below.items() if not one.startswith(start)}
        elif last.startswith(_HIDES):
            hidden = start + last.removeprefix(_HIDES)
            below = {one: version for one, version in below.items() if not f"{one}/".startswith(f"{hidden}/")}
        elif python is not None and (member.isfile() or member.issym() or member.islnk()):
            own[name] = python[1]
        elif _MUSL.fullmatch(name) is not None:
            own[name] = MUSL
        elif _LIBC.fullmatch(name) is not None and member.isfile():
            version = _GLIBC.search(archive.content(min(member.size, MAX_LIBRARY_BYTES)))
            if version is not None:
                own[name] = version[1].decode()
        if len(own) > MAX_FOUND:
            raise ValueError("more Pythons than anybody has")
    return below | own


def _members(archive: "_Limited") -> Iterator[tuple[str, tarfile.TarInfo]]:
    """The files of an archive, their names without ``./``; who asks for the next one may have read of the content.

    ``tarfile`` itself keeps all of them, and reads names and extended headers of any size into memory.
    """
    long_name, more = "", dict[bytes, bytes]()
    while block := archive.read(BLOCK):
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # two blocks of nothing end an archive
            return
        if member.type in _NAMES | _PAX:
            if not 0 <= member.size <= MAX_HEADER_BYTES:
                raise ValueError("a name longer than any file system has")
            content = archive.read(_whole(member.size))[: member.size]
            if member.type in _PAX:
                more = _records(content) if member.type != tarfile.XGLTYPE else more
            elif member.type == tarfile.GNUTYPE_LONGNAME:
                long_name = content.partition(b"\0")[0].decode("utf-8", "surrogateescape")
            continue
        name = more.get(b"GNU.sparse.name") or more.get(b"path")
        member.size = int(more.get(b"size", member.size))
        if member.size < 0:
            raise ValueError("a file of less than nothing")
        is_more = member.type == tarfile.GNUTYPE_SPARSE and block[482] != 0
        while is_more:
            is_more = archive.read(BLOCK).ljust(BLOCK, b"\0")[504] != 0
        has_content = member.isreg() or member.type not in tarfile.SUPPORTED_TYPES
        archive.ahead = _whole(member.size) if has_content else 0
        told = name.decode("utf-8", "surrogateescape") if name else long_name or member.name
        yield str(PurePosixPath(told.lstrip("/"))), member
        archive.skip()
        long_name, more = "", {}


def _whole(size_bytes: int) -> int:
    return -(-size_bytes // BLOCK) * BLOCK


def _records(content: bytes) -> dict[bytes, bytes]:
    """Extended headers (POSIX pax): ``LENGTH KEY=VALUE`` and the end of a line, each."""
    found = {}
    while content.strip(b"\0"):
        length, _, _ = content.partition(b" ")
        size = int(length)
        if not len(length) < size <= len(content):
            raise ValueError("a header that does not fit")
        key, _, value = content[len(length) + 1 : size - 1].partition(b"=")
        found[key], content = value, content[size:]
    return found


class _Limited:
    """An archive that is being read: how much may come yet, and how much of the present file is ahead."""

    def __init__(self, file: GzipFile, left: int) -> None:
        self._file, self.left, self.ahead = file, left, 0

    def read(self, size: int) -> bytes:
        """So many bytes, or what there is."""
        content = self._file.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise ValueError("more than anybody would unpack")
        return content

    def content(self, size: int) -> bytes:
        """The first bytes of the present file."""
        content = self.read(size)
        self.ahead -= len(content)
        return content

    def skip(self) -> None:
        """Goes to the end of the present file."""
        while self.ahead > 0:
            content = self.read(min(self.ahead, READ_BYTES))
            if not content:
                raise EOFError
            self.ahead -= len(content)


class _Hashed(io.RawIOBase):
    """A file that is being read, and the digest of what was."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, or what there is."""
        content = self._file.read(size)
        self._hash.update(content)
        return content

    @property
    def digest(self) -> str:
        """Of all that was read."""
        return f"sha256:{self._hash.hexdigest()}"
