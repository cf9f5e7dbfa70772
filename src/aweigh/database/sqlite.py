"""SQL in a file of this machine, for this user only."""

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aweigh.database.part import Part, Run, migrate
from aweigh.database.place import PRIVATE_FILE, private_folder
from aweigh.errors import StorageDown, StorageFull

AGAIN_S = 0.01
CLEAR_MS = 500
BUSY_S = 10.0
"""How long a process waits for another one's change: each takes a few milliseconds."""


@contextmanager
def _told() -> Iterator[None]:
    """Turns what SQLite and the disk say into our own words.

    Raises:
        StorageFull: there is no room left.
        StorageDown: anything else.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        if "full" in str(error) or getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise StorageFull("The disk that the database is on has no room left.") from error
        raise StorageDown("The database file cannot be read or written.") from error


class Sqlite:
    """One connection, opened when it is first needed, for all threads of the process in turn."""

    place = "sqlite"

    def __init__(self, path: Path, *, parts: Sequence[Part]) -> None:
        self._path = path
        self._parts = tuple(parts)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def run(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs one statement; its rows.

        Raises:
            StorageDown: the file cannot be used.
            StorageFull: the disk is full.
        """
        with self._lock, _told():
            return self._opened().execute(statement, arguments).fetchall()

    @contextmanager
    def together(self) -> Iterator[Run]:
        """Several statements that happen all or not at all, and one after the other with those of everybody else.

        Within it, only what it gives is to be used, and nothing that waits for anything else.
        """
        with self._lock, _told():
            connection = self._opened()
            with _transaction(connection):
                yield lambda statement, arguments: connection.execute(statement, arguments).fetchall()

    def clear_log(self) -> None:
        """Lets go of what the write-ahead log still holds of what was deleted; who reads just now prevents it."""
        with self._lock, _told():
            connection = self._opened()
            connection.execute(f"PRAGMA busy_timeout = {CLEAR_MS}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            connection.execute(f"PRAGMA busy_timeout = {round(BUSY_S * 1000)}")

    def close(self) -> None:
        """Closes the connection, if there is one."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        # A connection must not be used by a child of the process that opened it.
        if self._connection is None or self._process != os.getpid():
            self._connection = self._open()
            self._process = os.getpid()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        private_folder(self._path.parent)
        # Only where there is none: to close a file gives up all locks that this process has on it, another connection's
        # too, and another process would then take the log that this one is writing away as nobody's.
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, PRIVATE_FILE))
        self._path.chmod(PRIVATE_FILE)  # also where somebody has copied it here
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _use_log(connection)
            connection.execute("PRAGMA synchronous = FULL")  # what was answered survives a power cut
            connection.execute("PRAGMA secure_delete = ON")  # what was removed is not left in the file's free pages
            with _transaction(connection):
                migrate(self._parts, lambda statement, arguments: connection.execute(statement, arguments).fetchall())
        except BaseException:  # whatever it is, Ctrl-C too: nobody else would close what is not handed on
            connection.close()
            raise
        return connection


def _use_log(connection: sqlite3.Connection) -> None:
    """Switches to the write-ahead log; as this waits for nobody who opens the file, too, it is tried again.

    Raises:
        sqlite3.OperationalError: the file cannot be had in time.
    """
    end = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(AGAIN_S)
        else:
            return


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:  # of who changes as well: of what was left in the middle nothing is kept
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
