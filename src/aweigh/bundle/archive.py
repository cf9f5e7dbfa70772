"""A bundle as one file: a zip of which there is exactly one way to write it.

Names are sorted, dates are 1980-01-01, files are stored and not compressed, and nothing else is in it. Not compressed
because compressors differ between machines (zlib, zlib-ng and their versions give different bytes), and because what is
not compressed cannot be a bomb; registries and web servers compress on the way.

As there is one way to write it, reading is strict: every header is rebuilt from what the directory says and must be the
same, byte for byte. What any other program could read differently (data before, between or after, overlaps, second
headers, comments, extra fields) is thereby refused, and so is a zip that was packed again by another program.

The layout is PKWARE's APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory) and 4.3.16 (end).
"""

import os
import stat
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

from aweigh.bundle.atomic import whole_file
from aweigh.bundle.files import Member
from aweigh.bundle.names import MAX_FILES, MAX_NAME_BYTES, check_names
from aweigh.errors import DamagedBundle, TooLarge

MAX_BUNDLE_BYTES = 2**32 - 2
"""What a zip holds without the zip64 extension; the folder form has the same limit."""

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_END_SIGNATURE = b"PK\x05\x06"
_MAX_COMMENT_BYTES = 2**16
_MAX_DIRECTORY_BYTES = MAX_FILES * (_CENTRAL.size + MAX_NAME_BYTES)

_VERSION_NEEDED = 20
_MADE_BY = (3 << 8) | _VERSION_NEEDED  # Unix, so that the mode below is understood
_FLAGS = 0x800  # names are UTF-8
_ENCRYPTED = 0x1
_STORED = 0
_TIME, _DATE = 0, 0x21  # 1980-01-01 00:00:00, the first that a zip can hold
_ATTRIBUTES = (stat.S_IFREG | 0o644) << 16
_ZIP64 = (0xFFFF, 0xFFFFFFFF)

PACKED_AGAIN = "unpack it, and use the folder; or pack the model again"


class _Entry(NamedTuple):
    """One file in the archive: where its local header begins, and what the headers say of it."""

    name: bytes
    crc: int
    size: int
    offset: int

    def local(self) -> bytes:
        head = _LOCAL_SIGNATURE, _VERSION_NEEDED, _FLAGS, _STORED, _TIME, _DATE
        return _LOCAL.pack(*head, self.crc, self.size, self.size, len(self.name), 0) + self.name

    def central(self) -> bytes:
        head = b"PK\x01\x02", _MADE_BY, _VERSION_NEEDED, _FLAGS, _STORED, _TIME, _DATE
        tail = 0, 0, 0, 0, _ATTRIBUTES, self.offset
        return _CENTRAL.pack(*head, self.crc, self.size, self.size, len(self.name), *tail) + self.name

    @property
    def start(self) -> int:
        """Where its content begins."""
        return self.offset + _LOCAL.size + len(self.name)


def write_bundle(files: Mapping[str, bytes], path: Path, *, like: Path | None = None) -> None:
    """Write the files as one archive: the same files give the same bytes, and the file appears whole or not at all.

    With ``like`` it has the mode and the owner of the file that is there.

    Raises:
        DamagedBundle: a name that no file of a bundle may have.
        TooLarge: more than 4 GiB.
        OSError: it cannot be written; nothing is left behind.
    """
    check_names(files)
    names = sorted(files)
    total = sum(len(files[name]) + len(name.encode()) * 2 + _LOCAL.size + _CENTRAL.size for name in names) + _END.size
    if total > MAX_BUNDLE_BYTES:
        raise TooLarge("The bundle would be larger than 4 GiB.", hint="a smaller model serves faster, too")
    with whole_file(path, like=like) as stream:
        entries = []
        offset = 0
        for name in names:
            entry = _Entry(name.encode(), zlib.crc32(files[name]), len(files[name]), offset)
            stream.write(entry.local())
            stream.write(files[name])
            entries.append(entry)
            offset = entry.start + entry.size
        stream.write(_directory(entries, offset))


def _directory(entries: list[_Entry], offset: int) -> bytes:
    """The central directory, which begins at ``offset``, and the end record."""
    central = b"".join(entry.central() for entry in entries)
    return central + _END.pack(_END_SIGNATURE, 0, 0, len(entries), len(entries), len(central), offset, 0)


def list_archive(path: Path) -> dict[str, Member]:
    """The files of an archive by name; every header has been looked at, no content has.

    Raises:
        DamagedBundle: it is no archive of ours, or any byte of its headers is not as we write it.
    """
    try:
        names, entries = _read_headers(path)
    except _OddError as odd:
        raise DamagedBundle(f"{path.name!r} {odd}.", hint=odd.hint) from None
    return {name: Member(path, entry.start, entry.size, entry.crc) for name, entry in zip(names, entries, strict=True)}


def _read_headers(path: Path) -> tuple[list[str], list[_Entry]]:
    """The names, in order, and the entries of an archive.

    Raises:
        _OddError: it is no archive of ours.
    """
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        directory, offset = _read_directory(stream, size)
        entries = _entries(directory, offset)
        names = [_decoded(entry.name) for entry in entries]
        check_names(names)
        if names != sorted(names):
            _refuse("its files are not in order")
        for entry in entries:
            stream.seek(entry.offset)
            if stream.read(_LOCAL.size + len(entry.name)) != entry.local():
                _refuse(f"the header of {_decoded(entry.name)!r} differs from the directory")
        if _directory(entries, offset) != directory:
            _refuse("its directory is not as aweigh writes it")
    return names, entries


COPY_AGAIN = "copy it again from where it came"
CHANGED = "it was changed or damaged since it was packed: copy it again from where it came, or pack it anew"


class _OddError(Exception):
    """What ends the sentence that begins with the file's name, which only ``list_archive`` knows."""

    def __init__(self, what: str, *, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


def _refuse(why: str, *, hint: str = CHANGED) -> NoReturn:
    raise _OddError(f"is not a bundle as aweigh writes it: {why}", hint=hint)


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        _refuse(f"a file's name is not UTF-8: {name[:80]!r}")


def _read_directory(stream: BinaryIO, size: int) -> tuple[bytes, int]:
    """The central directory with the end record, and where it begins."""
    if size > MAX_BUNDLE_BYTES:
        _refuse("it is larger than 4 GiB")
    stream.seek(max(0, size - _END.size))
    end = stream.read(_END.size)
    if len(end) < _END.size or not end.startswith(_END_SIGNATURE):
        _refuse_end(stream, size)
    _, disk, first_disk, here, count, length, offset, comment = _END.unpack(end)
    if count in _ZIP64 or length in _ZIP64 or offset in _ZIP64:
        _refuse("it uses the zip64 extension")
    if disk or first_disk or here != count or comment:
        _refuse("its end record is odd")
    if count > MAX_FILES or length > _MAX_DIRECTORY_BYTES:
        _refuse(f"it lists more than {MAX_FILES:,} files")
    if offset + length + _END.size < size:
        _refuse("there is data before the archive, or between its parts")
    if offset + length + _END.size > size:
        _refuse("its directory lies outside the file")
    stream.seek(offset)
    return stream.read(length + _END.size), offset


def _refuse_end(stream: BinaryIO, size: int) -> NoReturn:
    """Say what stands where the end record should."""
    stream.seek(max(0, size - _END.size - _MAX_COMMENT_BYTES))
    tail = stream.read(_END.size + _MAX_COMMENT_BYTES)
    at = tail.rfind(_END_SIGNATURE)
    stream.seek(0)
    if at < 0:
        if stream.read(len(_LOCAL_SIGNATURE)) == _LOCAL_SIGNATURE:
            _refuse("it is cut short, or data follows it", hint=COPY_AGAIN)
        raise _OddError("is no bundle", hint="a bundle is what comes of a model: aweigh pack MODEL --data SAMPLE")
    if len(tail) - at < _END.size:
        _refuse("it is cut short", hint=COPY_AGAIN)
    if _END.unpack_from(tail, at)[-1] == len(tail) - at - _END.size:
        _refuse("it carries a comment")
    _refuse("data follows it")


def _entries(directory: bytes, offset: int) -> list[_Entry]:
    """The directory's entries, each where the one before ended."""
    entries = []
    at = expected = 0
    end = len(directory) - _END.size
    while at < end:
        if end - at < _CENTRAL.size:
            _refuse("its directory is cut short")
        fields: tuple[int, ...] = _CENTRAL.unpack_from(directory, at)
        length = fields[10]
        name = directory[at + _CENTRAL.size : min(at + _CENTRAL.size + length, end)]
        entry = _Entry(name, crc=fields[7], size=fields[9], offset=fields[16])
        _check_entry(fields, _decoded(name))
        if entry.offset != expected:
            where = "overlaps the file before it" if entry.offset < expected else "does not follow the file before it"
            _refuse(f"{_decoded(name)!r} {where}")
        expected = entry.start + entry.size
        entries.append(entry)
        at += _CENTRAL.size + length
    if expected != offset:
        _refuse("its last file does not end where the directory begins")
    return entries


def _check_entry(fields: tuple[int, ...], name: str) -> None:
    """Refuse what an entry must not be, each by its name; what is merely odd is found when the header is rebuilt."""
    flags, method, packed, size, extra, comment = (fields[i] for i in (3, 4, 8, 9, 11, 12))
    kind = stat.S_IFMT(fields[15] >> 16)
    if flags & _ENCRYPTED:
        _refuse(f"{name!r} is encrypted")
    if stat.S_ISLNK(kind):
        _refuse(f"{name!r} is a link")
    if stat.S_ISDIR(kind) or name.endswith("/"):
        _refuse(f"{name!r} is a folder", hint=PACKED_AGAIN)
    if method != _STORED:
        _refuse(f"{name!r} is compressed", hint=PACKED_AGAIN)
    if packed != size:
        _refuse(f"{name!r} has two sizes")
    if size in _ZIP64:
        _refuse("it uses the zip64 extension")
    if extra or comment:
        _refuse(f"{name!r} carries an extra field or a comment", hint=PACKED_AGAIN)
