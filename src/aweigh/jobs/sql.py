"""Records of jobs in a table, the same in SQLite and in PostgreSQL; each change names the revision that it changes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from aweigh.database.part import Part, Run
from aweigh.jobs.job import Job

JOBS = Part(
    "jobs",
    (
        (
            # Where there is one already: it is of the time when this file counted its versions otherwise.
            (
                "CREATE TABLE IF NOT EXISTS aweigh_jobs (id TEXT PRIMARY KEY, revision INTEGER NOT NULL, "
                "state TEXT NOT NULL, digest TEXT NOT NULL, created DOUBLE PRECISION NOT NULL, "
                "expires DOUBLE PRECISION, key TEXT UNIQUE, document TEXT NOT NULL)"
            ),
            (
                "CREATE INDEX IF NOT EXISTS aweigh_jobs_open ON aweigh_jobs (digest, created) "
                "WHERE state IN ('queued', 'running')"
            ),
            "CREATE INDEX IF NOT EXISTS aweigh_jobs_expires ON aweigh_jobs (expires)",
            "CREATE TABLE IF NOT EXISTS aweigh_tallies (name TEXT PRIMARY KEY, amount DOUBLE PRECISION NOT NULL)",
        ),
    ),
)

_FIELDS = "id = ?, revision = ?, state = ?, digest = ?, created = ?, expires = ?, key = ?, document = ?"


def _row(job: Job, revision: int) -> tuple[Any, ...]:
    document = msgspec.json.encode(job).decode()
    return job.id, revision, job.state, job.digest, job.created, job.expires, job.key, document


def _job(document: str) -> Job:
    return msgspec.json.decode(document, type=Job)


class SqlRecords:
    """Jobs in a table; ``now`` asks the clock that all who use it share."""

    def __init__(self, run: Run, *, now: Callable[[], float]) -> None:
        self._run = run
        self.now = now

    def add(self, job: Job) -> Job:
        """Records a job, or finds the one that has its key already."""
        made = self._run(
            "INSERT INTO aweigh_jobs (id, revision, state, digest, created, expires, key, document) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING RETURNING id",
            _row(job, 1),
        )
        if made:
            return job
        found = self._run("SELECT document FROM aweigh_jobs WHERE key = ?", (job.key,))
        # Removed between the two: then the key is free again.
        return _job(found[0][0]) if found else self.add(job)

    def get(self, job_id: str) -> tuple[Job, int] | None:
        """A job and its revision."""
        found = self._run("SELECT document, revision FROM aweigh_jobs WHERE id = ?", (job_id,))
        return (_job(found[0][0]), found[0][1]) if found else None

    def replace(self, job: Job, revision: int) -> bool:
        """Records what became of a job, if it is still at that revision; whether it was."""
        return bool(
            self._run(
                f"UPDATE aweigh_jobs SET {_FIELDS} WHERE id = ? AND revision = ? RETURNING id",  # noqa: S608  ours
                (*_row(job, revision + 1), job.id, revision),
            )
        )

    def remove(self, job_id: str) -> None:
        """Forgets a job."""
        self._run("DELETE FROM aweigh_jobs WHERE id = ? RETURNING id", (job_id,))

    def to_do(self, digest: str) -> Iterator[tuple[Job, int]]:
        """The bundle's jobs that are queued or running, the oldest first."""
        found = self._run(
            "SELECT document, revision FROM aweigh_jobs WHERE state IN ('queued', 'running') AND digest = ? "
            "ORDER BY created",
            (digest,),
        )
        return ((_job(document), revision) for document, revision in found)

    def all(self) -> list[tuple[Job, int]]:
        """Every job."""
        found = self._run("SELECT document, revision FROM aweigh_jobs ORDER BY created", ())
        return [(_job(document), revision) for document, revision in found]

    def overdue(self, now: float) -> list[tuple[Job, int]]:
        """Jobs whose time is up."""
        found = self._run("SELECT document, revision FROM aweigh_jobs WHERE expires <= ?", (now,))
        return [(_job(document), revision) for document, revision in found]

    def known(self, ids: Sequence[str]) -> set[str]:
        """Which of these ids are recorded."""
        return {one for one in ids if self._run("SELECT id FROM aweigh_jobs WHERE id = ?", (one,))}

    def counts(self) -> dict[str, int]:
        """How many jobs there are in each state."""
        return dict(self._run("SELECT state, count(*) FROM aweigh_jobs GROUP BY state", ()))

    def tally(self, name: str, amount: float) -> None:
        """Adds to a sum that outlives the jobs."""
        self._run(
            "INSERT INTO aweigh_tallies (name, amount) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET amount = aweigh_tallies.amount + excluded.amount RETURNING name",
            (name, amount),
        )

    def tallies(self) -> dict[str, float]:
        """The sums."""
        return dict(self._run("SELECT name, amount FROM aweigh_tallies", ()))
