"""Jobs in PostgreSQL, for servers and workers that share no disk: records in one table, files in pieces in another."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from aweigh.errors import StorageDown, StorageFull
from aweigh.jobs.pieces import PIECE_BYTES, pieces
from aweigh.jobs.sql import MIGRATIONS, SqlRecords
from aweigh.registry import require
from aweigh.secret import Secret

CONNECTIONS = 4
"""The most that one process opens: a small plan of a hosted PostgreSQL has 20 for everybody."""
PATIENCE_S = 5.0
"""How long a call waits for a connection before it says that there is none."""
LOCK = 0x61776569
"""The advisory lock under which the tables are made: "awei"."""

FILES = (
    (
        (
            "CREATE TABLE aweigh_pieces (job TEXT NOT NULL, name TEXT NOT NULL, place INTEGER NOT NULL, "
            "stored TIMESTAMPTZ NOT NULL DEFAULT now(), bytes BYTEA NOT NULL, PRIMARY KEY (job, name, place))"
        ),
    ),
)
"""As ``MIGRATIONS``, for what only PostgreSQL holds."""


class Postgres:
    """A few connections, opened when they are first needed."""

    def __init__(self, url: Secret) -> None:
        require("psycopg_pool", what="PostgreSQL", extra="jobs")
        self._url = url
        self._lock = threading.Lock()
        self._pool: Any = None

    def records(self) -> SqlRecords:
        """The records in it; the clock is the database's own."""
        return SqlRecords(
            self.run, now=lambda: float(self.run("SELECT extract(epoch FROM clock_timestamp())", ())[0][0])
        )

    def run(self, statement: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Runs one statement; its rows.

        Raises:
            StorageDown: the database cannot be reached, or fails.
            StorageFull: it has no room left.
        """
        from psycopg_pool import PoolTimeout

        with database():
            pool = self._opened()
            try:
                with pool.connection(timeout=PATIENCE_S) as connection:
                    cursor = connection.execute(statement.replace("?", "%s"), arguments)
                    return cursor.fetchall() if cursor.description is not None else []
            except PoolTimeout:
                self._drop(pool)
                raise

    def scrub(self) -> str | None:
        """Writes the tables anew, whose files hold what is deleted until then; what is left to say."""
        for table in ("aweigh_pieces", "aweigh_jobs"):
            try:
                self.run(f"VACUUM FULL {table}", ())
            except StorageDown:
                return "the tables could not be written anew: their files hold what is deleted until VACUUM FULL"
        return "the tables are written anew; PostgreSQL's log (WAL), replicas and backups are its owner's"

    def close(self) -> None:
        """Closes all connections."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None

    def _drop(self, pool: Any) -> None:
        """Gives up a pool that had no connection in time, so that the next call asks anew and is told at once."""
        with self._lock:
            if self._pool is pool:
                self._pool = None
        pool.close(timeout=0)

    def _opened(self) -> Any:
        with self._lock:
            if self._pool is None:
                import psycopg
                from psycopg_pool import ConnectionPool

                # A pool tries again and again for as long as it may: one call says at once that nobody is there.
                patience_s = round(PATIENCE_S)
                first = psycopg.connect(self._url.reveal(), autocommit=True, connect_timeout=patience_s)
                with first, first.transaction():
                    _migrate(first)
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
                self._pool = pool
            return self._pool


def _migrate(connection: Any) -> None:
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
    connection.execute("CREATE TABLE IF NOT EXISTS aweigh_versions (part TEXT PRIMARY KEY, version INTEGER NOT NULL)")
    for part, migrations in (("jobs", MIGRATIONS), ("files", FILES)):
        found = connection.execute("SELECT version FROM aweigh_versions WHERE part = %s", (part,)).fetchone()
        version = found[0] if found else 0
        for statements in migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(
            "INSERT INTO aweigh_versions (part, version) VALUES (%s, %s) ON CONFLICT (part) DO UPDATE "
            "SET version = greatest(aweigh_versions.version, excluded.version)",
            (part, len(migrations)),
        )


@contextmanager
def database() -> Iterator[None]:
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
        raise StorageDown("The database that holds the jobs cannot be used.") from error


class Pieces:
    """A job's files as rows of at most ``PIECE_BYTES``."""

    def __init__(self, postgres: Postgres) -> None:
        self._run = postgres.run

    def adopt(self, job_id: str, name: str, path: Path) -> None:
        """Takes a whole file over, under a name."""
        with path.open("rb") as file:
            self.keep(job_id, name, file)
        path.unlink()

    def grow(self, job_id: str, name: str, folder: Path) -> Path:
        """Where a file that grows is to be written: in a folder of this machine."""
        return folder / f"{job_id}.{name}"

    def keep(self, job_id: str, name: str, file: BinaryIO, *, start: int = 0) -> None:
        """Stores what an open file holds from a place on, all before it having been stored."""
        for place, piece in pieces(file, start=start):
            self._run(
                "INSERT INTO aweigh_pieces (job, name, place, bytes) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (job, name, place) DO UPDATE SET bytes = excluded.bytes",
                (job_id, name, place, piece),
            )

    def fetch(self, job_id: str, name: str, folder: Path) -> Path:
        """A copy of the file in a folder of this machine."""
        path = folder / f"{job_id}.{name}"
        with path.open("wb") as file:
            place = 0
            while piece := self._piece(job_id, name, place):
                file.write(piece)
                place += 1
        return path

    def read(self, job_id: str, name: str, start: int, size: int) -> bytes:
        """Some bytes of a file, perhaps fewer than asked for; none when there is no such file any more."""
        place, within = divmod(start, PIECE_BYTES)
        return self._piece(job_id, name, place)[within : within + size]

    def remove(self, job_id: str, name: str) -> None:
        """Removes a file."""
        self._run("DELETE FROM aweigh_pieces WHERE job = ? AND name = ?", (job_id, name))

    def drop(self, job_id: str) -> None:
        """Removes all files of a job."""
        self._run("DELETE FROM aweigh_pieces WHERE job = ?", (job_id,))

    def orphans(self, older_s: float) -> list[str]:
        """Jobs that have files so old, for somebody to look whether they are known."""
        found = self._run(
            "SELECT DISTINCT job FROM aweigh_pieces WHERE place = 0 AND stored < now() - make_interval(secs => ?) "
            "AND NOT EXISTS (SELECT 1 FROM aweigh_jobs WHERE aweigh_jobs.id = aweigh_pieces.job)",
            (older_s,),
        )
        return [job_id for (job_id,) in found]

    def ids(self) -> list[str]:
        """Every job that has files."""
        return [job_id for (job_id,) in self._run("SELECT DISTINCT job FROM aweigh_pieces", ())]

    def names(self, job_id: str) -> list[str]:
        """The files of a job."""
        found = self._run("SELECT DISTINCT name FROM aweigh_pieces WHERE job = ? ORDER BY name", (job_id,))
        return [name for (name,) in found]

    def _piece(self, job_id: str, name: str, place: int) -> bytes:
        found = self._run(
            "SELECT bytes FROM aweigh_pieces WHERE job = ? AND name = ? AND place = ?", (job_id, name, place)
        )
        return bytes(found[0][0]) if found else b""
