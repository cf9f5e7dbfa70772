"""Jobs in PostgreSQL, for servers and workers that share no disk: records in one table, files in pieces in another."""

from functools import partial
from pathlib import Path
from typing import BinaryIO

from aweigh.database.part import Part
from aweigh.database.postgres import Postgres
from aweigh.errors import StorageDown
from aweigh.jobs.pieces import gather, pieces, within
from aweigh.jobs.sql import SqlRecords

FILES = Part(
    "files",
    (
        (
            (
                "CREATE TABLE aweigh_pieces (job TEXT NOT NULL, name TEXT NOT NULL, place INTEGER NOT NULL, "
                "stored TIMESTAMPTZ NOT NULL DEFAULT now(), bytes BYTEA NOT NULL, PRIMARY KEY (job, name, place))"
            ),
        ),
    ),
)
"""What only PostgreSQL holds: on a machine's own disk files are files."""


def records_of(database: Postgres) -> SqlRecords:
    """The records in it; the clock is the database's own."""
    return SqlRecords(
        database.run, now=lambda: float(database.run("SELECT extract(epoch FROM clock_timestamp())")[0][0])
    )


def scrub(database: Postgres) -> str | None:
    """Writes the tables anew, whose files hold what is deleted until then; what is left to say."""
    for table in ("aweigh_pieces", "aweigh_jobs"):
        try:
            database.run(f"VACUUM FULL {table}")
        except StorageDown:
            return "the tables could not be written anew: their files hold what is deleted until VACUUM FULL"
    return "the tables are written anew; PostgreSQL's log (WAL), replicas and backups are its owner's"


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
        return gather(partial(self._piece, job_id, name), folder / f"{job_id}.{name}")

    def read(self, job_id: str, name: str, start: int, size: int) -> bytes:
        """Some bytes of a file, perhaps fewer than asked for; none when there is no such file any more."""
        return within(partial(self._piece, job_id, name), start, size)

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
