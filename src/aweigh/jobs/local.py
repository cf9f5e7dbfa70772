"""Jobs of this machine alone: records in an SQLite file, files in a folder beside it, both for this user only."""

import errno
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from aweigh.database.place import PRIVATE_FILE, PRIVATE_FOLDER, private_folder
from aweigh.database.sqlite import use_log
from aweigh.errors import StorageDown, StorageFull
from aweigh.jobs.sql import MIGRATIONS, SqlRecords

BUSY_S = 10.0
"""How long a process waits for another one's change: each takes a few milliseconds."""
CLEAR_MS = 500


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
    except sqlite3.Error as error:
        if "full" in str(error):
            raise StorageFull("There is no room left for another job.") from error
        raise StorageDown("The records of jobs cannot be read or written.") from error


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

    def orphans(self, older_s: float) -> list[str]:
        """Jobs that have files so old, for somebody to look whether they are known; old uploads are removed."""
        if not self._path.is_dir():
            return []
        before = time.time() - older_s
        for path in self.spool.iterdir():
            if path.lstat().st_mtime < before:
                path.unlink(missing_ok=True)
        return [one.name for one in self._path.iterdir() if one != self.spool and one.lstat().st_mtime < before]


class Sqlite:
    """One connection, opened when it is first needed, for all threads of the process in turn."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def records(self) -> SqlRecords:
        """The records in it."""
        return SqlRecords(self.run, now=time.time)

    def run(self, statement: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Runs one statement; its rows.

        Raises:
            StorageDown: the file cannot be used.
            StorageFull: the disk is full.
        """
        with self._lock, storage():
            if self._connection is None:
                self._connection = self._open()
            found = self._connection.execute(statement, arguments).fetchall()
            if statement.startswith("DELETE"):
                self._clear_log(self._connection)
            return found

    @staticmethod
    def _clear_log(connection: sqlite3.Connection) -> None:
        """Lets go of what the write-ahead log still holds of a deleted record; who reads just now prevents it."""
        connection.execute(f"PRAGMA busy_timeout = {CLEAR_MS}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute(f"PRAGMA busy_timeout = {round(BUSY_S * 1000)}")

    def scrub(self) -> str | None:
        """Writes the file anew, so that nothing deleted is left in it; what is to be said where that cannot be now.

        Raises:
            StorageDown: the file cannot be used.
        """
        self.run("VACUUM", ())
        busy = self.run("PRAGMA wal_checkpoint(TRUNCATE)", ())[0][0]
        return "the write-ahead log is being read and holds what is deleted a little longer" if busy else None

    def close(self) -> None:
        """Closes the connection, if there is one."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        private_folder(self._path.parent)
        # Only where there is none: to close a file gives up all locks that this process has on it, whoever took them.
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, PRIVATE_FILE))
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(connection: sqlite3.Connection) -> None:
    use_log(connection)
    connection.execute("PRAGMA secure_delete = ON")  # what is deleted is written over: a record may quote a cell
    connection.execute("PRAGMA synchronous = FULL")  # what was answered with 202 survives a power cut
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {max(version, len(MIGRATIONS))}")
    connection.execute("COMMIT")
