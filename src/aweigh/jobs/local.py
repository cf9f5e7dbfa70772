"""Jobs of this machine alone: records in an SQLite file, files in a folder beside it, both for this user only."""

import errno
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from aweigh.database.place import PRIVATE_FILE, PRIVATE_FOLDER, private_folder
from aweigh.database.sqlite import Sqlite
from aweigh.errors import StorageDown, StorageFull
from aweigh.jobs.sql import SqlRecords


@contextmanager
def storage() -> Iterator[None]:
    """Turns what the disk says into our own words.

    Raises:
        StorageFull: there is no room left.
        StorageDown: anything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise StorageFull("There is no room left for another file.") from error
        raise StorageDown("The folder that jobs are kept in cannot be used.") from error


class Folder:
    """A job's files: ``JOB/NAME`` below a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.spool = path / "incoming"

    def open(self) -> None:
        """Makes the folders.

        Raises:
            StorageDown: they cannot be made.
            ConfigError: they are not this user's.
        """
        for path in (self._path.parent, self._path, self.spool):
            private_folder(path)

    def adopt(self, job_id: str, name: str, path: Path) -> None:
        """Takes a whole file over, under a name."""
        with storage():
            (self._path / job_id).mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
            path.chmod(PRIVATE_FILE)
            path.replace(self._path / job_id / name)

    def grow(self, job_id: str, name: str, folder: Path) -> Path:
        """Where a file that grows is to be written: in its own place."""
        del folder
        with storage():
            (self._path / job_id).mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        return self._path / job_id / name

    def keep(self, job_id: str, name: str, file: BinaryIO, *, start: int = 0) -> None:
        """Makes what is written of a growing file outlive a power cut."""
        del name
        with storage():
            os.fsync(file.fileno())
            if not start:
                folder = os.open(self._path / job_id, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)

    def fetch(self, job_id: str, name: str, folder: Path) -> Path:
        """The file where it can be opened: it lies here anyway."""
        del folder
        return self._path / job_id / name

    def read(self, job_id: str, name: str, start: int, size: int) -> bytes:
        """Some bytes of a file; none when there is no such file any more."""
        with storage():
            try:
                with (self._path / job_id / name).open("rb") as file:
                    file.seek(start)
                    return file.read(size)
            except FileNotFoundError:
                return b""

    def remove(self, job_id: str, name: str) -> None:
        """Removes a file."""
        (self._path / job_id / name).unlink(missing_ok=True)

    def drop(self, job_id: str) -> None:
        """Removes all files of a job."""
        shutil.rmtree(self._path / job_id, ignore_errors=True)

    def ids(self) -> list[str]:
        """Every job that has files."""
        return [one.name for one in self._path.iterdir() if one != self.spool] if self._path.is_dir() else []

    def names(self, job_id: str) -> list[str]:
        """The files of a job."""
        folder = self._path / job_id
        return sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []

    def size_bytes(self) -> int:
        """The bytes of all files, uploads on their way among them; what goes meanwhile does not count."""
        total = 0
        for folder, _, names in os.walk(self._path):
            for name in names:
                with suppress(FileNotFoundError):
                    total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118  a thousand at a time
        return total

    def orphans(self, older_s: float) -> list[str]:
        """Jobs that have files so old, for somebody to look whether they are known; old uploads are removed."""
        if not self._path.is_dir():
            return []
        before = time.time() - older_s
        for path in self.spool.iterdir():
            if path.lstat().st_mtime < before:
                path.unlink(missing_ok=True)
        return [one.name for one in self._path.iterdir() if one != self.spool and one.lstat().st_mtime < before]


def records_of(database: Sqlite) -> SqlRecords:
    """The records in a file. What is removed is at once in its log no more, either: a record may quote a cell."""

    def run(statement: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        found = database.run(statement, arguments)
        if statement.startswith("DELETE"):
            database.clear_log()
        return found

    return SqlRecords(run, now=time.time)


def scrub(database: Sqlite) -> str | None:
    """Writes the file anew, so that nothing deleted is left in it; what is to be said where that cannot be now.

    Raises:
        StorageDown: the file cannot be used.
    """
    database.run("VACUUM")
    busy = database.run("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]
    return "the write-ahead log is being read and holds what is deleted a little longer" if busy else None
