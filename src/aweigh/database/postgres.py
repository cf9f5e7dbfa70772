"""SQL in PostgreSQL, for processes that share no disk."""

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aweigh.database.part import Part, Run, migrate
from aweigh.errors import ConfigError, StorageDown, StorageFull
from aweigh.registry import require
from aweigh.secret import Secret

CONNECTIONS = 4
"""The most that one process opens: a small plan of a hosted PostgreSQL has 20 for everybody."""
PAUSE_S = 1.0
"""After a connection that could not be had nobody else waits for one for so long: all are told at once."""
PATIENCE_S = 5.0
"""How long a call waits for a connection before it says that there is none."""
READABLE = "postgresql://USER:PASSWORD@HOST/NAME, with signs other than letters and digits as %XX"
LOCK = 0x61776569
"""The advisory lock under which tables are made: "awei"."""


@contextmanager
def _told() -> Iterator[None]:
    """Turns what PostgreSQL says into our own words.

    Raises:
        StorageFull: there is no room left.
        StorageDown: anything else.
    """
    import psycopg
    from psycopg_pool import PoolTimeout

    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise StorageFull("The database has no room left.") from error
    except (psycopg.Error, PoolTimeout) as error:
        raise StorageDown("The database cannot be reached, or fails.") from error


class Postgres:
    """A few connections, opened when they are first needed."""

    place = "postgresql"

    def __init__(self, url: Secret, *, parts: Sequence[Part]) -> None:
        require("psycopg_pool", what="PostgreSQL", extra="jobs")
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        try:
            conninfo_to_dict(url.reveal())
        except ProgrammingError:
            # What psycopg says quotes what it cannot read, which may be the password.
            raise ConfigError("DATABASE_URL cannot be read.", hint=READABLE) from None
        self._url = url
        self._parts = tuple(parts)
        self._lock = threading.Lock()
        self._pool: Any = None
        self._failed = -PAUSE_S
        self._process = 0

    def __repr__(self) -> str:
        return "Postgres()"

    def run(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs one statement; its rows.

        Raises:
            StorageDown: the database cannot be reached, or fails.
            StorageFull: it has no room left.
        """
        with self._connection() as connection:
            return _run(connection, statement, arguments)

    @contextmanager
    def together(self) -> Iterator[Run]:
        """Several statements that happen all or not at all; who must not cross another takes a lock on a row first.

        Within it, only what it gives is to be used, and nothing that waits for anything else.
        """
        with self._connection() as connection, connection.transaction():
            yield lambda statement, arguments: _run(connection, statement, arguments)

    def close(self) -> None:
        """Closes all connections."""
        with self._lock:
            if self._pool is not None and self._process == os.getpid():
                self._pool.close()
            self._pool = None

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        from psycopg_pool import PoolTimeout

        with _told():
            pool = self._opened()
            try:
                connection = pool.getconn(timeout=PATIENCE_S)
            except PoolTimeout:
                self._drop(pool)
                raise
            try:
                yield connection
            finally:
                pool.putconn(connection)

    def _drop(self, pool: Any) -> None:
        """Gives up a pool that had no connection in time, so that the next call asks anew and is told at once."""
        with self._lock:
            if self._pool is pool:
                self._pool = None
        pool.close(timeout=0)

    def _opened(self) -> Any:
        with self._lock:
            # Connections must not be used by a child of the process that opened them.
            if self._pool is None or self._process != os.getpid():
                if time.monotonic() - self._failed < PAUSE_S:  # those who waited behind who has just tried
                    raise StorageDown("The database cannot be reached, or fails.")
                try:
                    self._pool = self._open()
                except Exception:  # whatever it is, it goes on to who asked: those who wait are told at once
                    self._failed = time.monotonic()
                    raise
                self._process = os.getpid()
            return self._pool

    def _open(self) -> Any:
        import psycopg
        from psycopg_pool import ConnectionPool

        # A pool tries again and again for as long as it may: one call says at once that nobody is there.
        patience_s = round(PATIENCE_S)
        first = psycopg.connect(self._url.reveal(), autocommit=True, connect_timeout=patience_s)
        with first, first.transaction():
            first.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            migrate(self._parts, lambda statement, arguments: _run(first, statement, arguments))
        pool = ConnectionPool(
            self._url.reveal(),
            min_size=0,
            max_size=CONNECTIONS,
            max_idle=60.0,
            open=False,
            # A connection that a restart of the database has cut is noticed before it is used.
            check=ConnectionPool.check_connection,
            kwargs={"autocommit": True, "connect_timeout": patience_s},
        )
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # whoever asks is told, once
        pool.open()
        return pool


def _run(connection: Any, statement: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
    cursor = connection.execute(statement.replace("?", "%s"), arguments)
    return cursor.fetchall() if cursor.description is not None else []
