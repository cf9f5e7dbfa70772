"""Where the files of a data set are: a folder that this machine sees, or a store of objects at an address.

Both say the same: which files there are, a path to read one from, a path to write one to. What is written has its
final name only when it is whole: a folder's files by ``bundle.atomic``, a store's because an object appears whole.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from aweigh.bundle.atomic import whole_file
from aweigh.errors import MissingExtra, UsageError, is_full
from aweigh.registry import require
from aweigh.runtime.dataset.errors import StoreFailed

FILE = "file://"
STORES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "memory": "fsspec"}
"""Addresses by their scheme, and the package that opens them. ``memory`` is this process's own, for trials."""
SAME = {"s3a": "s3", "gcs": "gs"}
"""Schemes that are another name for one: a place has one address, by which two are seen to be the same."""
MARKS = ("ETag", "etag", "md5Hash", "generation", "created")
"""What a store says of an object that changes with its content, the surest first."""
WILD = re.compile(r"[*?\[]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there: its size, and a ``mark`` that is another one when its content is."""

    size_bytes: int
    mark: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of this machine, or of a disk that it shares with others."""

    root: Path

    @property
    def address(self) -> str:
        """How it is told of."""
        return str(self.root)

    @property
    def is_shared(self) -> bool:
        """Whether other processes of this machine see the same."""
        return True

    def files(self, *, depth: int | None = None) -> dict[str, Found]:
        """Every file below it by its relative name, no deeper than so many names; links to folders are not followed.

        A link to nothing is among them, and cannot be read; what goes meanwhile is not.

        Raises:
            OSError: the folder, or a file in it, cannot be looked at.
        """
        found = {}
        for name, folders, files in os.walk(self.root, onerror=_raise):
            below = Path(name).relative_to(self.root)
            if depth is not None and len(below.parts) + 1 >= depth:
                folders.clear()
            for file in files:
                path = Path(name) / file
                try:
                    told = path.stat()
                except FileNotFoundError:
                    if path.is_symlink():
                        found[(below / file).as_posix()] = Found(0, "")
                    continue
                if stat.S_ISREG(told.st_mode):
                    found[(below / file).as_posix()] = Found(told.st_size, str(told.st_mtime_ns))
        return found

    def one(self, name: str) -> Found | None:
        """One file of it; None when there is none of that name."""
        path = self.root / name
        if not path.is_file():
            return None
        told = path.stat()
        return Found(told.st_size, str(told.st_mtime_ns))

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """A path that the file can be read from."""
        yield self.root / name

    @contextmanager
    def writing(self, name: str, beside: str) -> Iterator[Path]:  # noqa: ARG002  a store has to be told of both
        """A path to write the file to, each in one step, and one of the name ``beside`` in the same folder."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path

    def read(self, name: str) -> bytes | None:
        """A small file's bytes; None when there is none."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file, whole or not at all."""
        self.root.mkdir(parents=True, exist_ok=True)
        with whole_file(self.root / name) as stream:
            stream.write(content)

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        (self.root / name).unlink(missing_ok=True)


def _raise(error: OSError) -> None:
    raise error


@dataclass(frozen=True, slots=True)
class Store:
    """A store of objects: S3, Google Cloud Storage, and what speaks as they do."""

    address: str
    files_system: Any = field(compare=False, repr=False)
    root: str = field(compare=False)

    @property
    def is_shared(self) -> bool:
        """Whether other processes see the same."""
        return not self.address.startswith("memory://")

    def files(self, *, depth: int | None = None) -> dict[str, Found]:
        """Every object below it by its relative name, no deeper than so many names.

        Raises:
            StoreFailed: the store cannot be asked.
        """
        with self._told():
            self.files_system.invalidate_cache()
            listed = self.files_system.find(self.root, maxdepth=depth, detail=True)
        found = {}
        for path, told in listed.items():
            below = path.startswith(f"{self.root}/")  # and no neighbour whose name begins alike
            name = path.removeprefix(self.root).lstrip("/")
            if below and name and told.get("type") == "file":
                found[name] = _found(told)
        return found

    def one(self, name: str) -> Found | None:
        """One object of it; None when there is none of that name."""
        with self._told():
            try:
                self.files_system.invalidate_cache()
                told = self.files_system.info(self._path(name))
            except FileNotFoundError:
                return None
        return _found(told) if told.get("type") == "file" else None

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """A copy of the object on this machine's disk, gone behind the block."""
        with TemporaryDirectory(prefix="aweigh-set-") as folder:
            path = Path(folder) / PurePosixPath(name).name
            with self._told():
                self.files_system.get_file(self._path(name), str(path))
            yield path

    @contextmanager
    def writing(self, name: str, beside: str) -> Iterator[Path]:
        """A path to write to, and one of the name ``beside`` in the same folder; the store gets both at the end."""
        with TemporaryDirectory(prefix="aweigh-set-") as folder:
            path = Path(folder) / PurePosixPath(name).name
            yield path
            with self._told():
                second = path.with_name(PurePosixPath(beside).name)
                if second.exists():
                    self.files_system.put_file(str(second), self._path(beside))
                else:
                    self.remove(beside)
                self.files_system.put_file(str(path), self._path(name))

    def read(self, name: str) -> bytes | None:
        """A small object's bytes; None when there is none."""
        with self._told():
            try:
                self.files_system.invalidate_cache()
                content: bytes = self.files_system.cat_file(self._path(name))
            except FileNotFoundError:
                return None
        return content

    def write(self, name: str, content: bytes) -> None:
        """Writes a small object."""
        with self._told():
            self.files_system.pipe_file(self._path(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Writes a small object where there is none of that name; whether there was none."""
        with self._told():
            try:
                self.files_system.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
        return True

    def remove(self, name: str) -> None:
        """Removes an object, if it is there."""
        with self._told(), suppress(FileNotFoundError):
            self.files_system.invalidate_cache()
            if self.files_system.exists(self._path(name)):
                self.files_system.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except StoreFailed:
            raise
        except Exception as error:
            if isinstance(error, OSError) and is_full(error):  # this machine's disk, where the copies are
                raise
            # Every store has errors of its own, few of which are an OSError.
            text = " ".join(str(error).split())[:300] or type(error).__name__
            raise StoreFailed(
                f"{self.address} cannot be used: {text}",
                hint="its rights and its endpoint come from the environment, as for other programs of that store",
            ) from error


def _found(told: Any) -> Found:
    mark = next((str(told[key]) for key in MARKS if told.get(key)), "")
    return Found(int(told["size"]), mark.strip('"'))


Place = Folder | Store


def is_address(text: str) -> bool:
    """Whether the text names a place by a scheme: ``s3://...``."""
    return _SCHEME.match(text) is not None


def open_place(text: str) -> Place:
    """The folder, or the store of objects, that the text names; nothing is made, and nothing is asked.

    Raises:
        UsageError: an address of a kind that is not read, or one with a password in it.
        MissingExtra: what opens such addresses is not installed.
    """
    scheme = _SCHEME.match(text)
    if scheme is None:
        return Folder(Path(text).resolve())
    name = scheme[1].lower()
    if name == "file":
        return Folder(Path(text[len(FILE) :] or "/").resolve())
    if name not in STORES:
        known = ", ".join(f"{one}://" for one in ("file", *STORES))
        raise UsageError(f"No address begins with {name}:// here.", hint=f"known: {known}")
    if "@" in text[scheme.end() :].partition("/")[0]:
        raise UsageError(
            "An address with a name and a password in it is written down in too many places.",
            hint="give them by the environment, as to other programs of that store",
        )
    what = f"data at {name}://"
    fsspec = require("fsspec", what=what, extra="stores")
    require(STORES[name], what=what, extra="stores")
    address = f"{SAME.get(name, name)}{text[len(name) :]}"
    try:
        system, root = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise MissingExtra(what[:1].upper() + what[1:], extra="stores") from error
    return Store(address.rstrip("/"), system, root.rstrip("/"))
