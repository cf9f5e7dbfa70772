"""Where jobs are kept, and what may be done with one: each step is made only if nobody made another in between."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from aweigh.database.place import state_folder
from aweigh.database.postgres import Postgres
from aweigh.database.redis import connect
from aweigh.database.sqlite import Sqlite
from aweigh.errors import StorageFull
from aweigh.jobs.job import Job, State, claimed, ended, expired, given_back, worn_out
from aweigh.jobs.local import Folder
from aweigh.jobs.local import records_of as records_in_file
from aweigh.jobs.local import scrub as scrub_file
from aweigh.jobs.place import RECORDS, database_of
from aweigh.jobs.postgres import FILES, Pieces
from aweigh.jobs.postgres import records_of as records_in_postgres
from aweigh.jobs.postgres import scrub as scrub_postgres
from aweigh.jobs.redis import RedisFiles, RedisRecords
from aweigh.jobs.redis import scrub as scrub_redis
from aweigh.jobs.spool import leave, make, sweep_spools
from aweigh.jobs.sql import JOBS, SqlRecords
from aweigh.secret import Secret

ORPHAN_S = 6 * 3600.0
"""Files without a job are left alone for so long: an upload may be on its way."""


@dataclass(frozen=True, slots=True)
class Store:
    """Records and files of jobs. ``news_url`` is where news of them travel, None when this machine is all there is.

    ``state`` is this machine's own folder; ``close`` ends what is open.
    """

    records: SqlRecords | RedisRecords
    files: Folder | Pieces | RedisFiles
    news_url: Secret | None
    state: Path
    close: Callable[[], None]
    scrub: Callable[[], str | None]
    """Clears what the store's own files still hold of what is deleted; what is left to say of that."""

    def spool(self) -> Path:
        """A folder of this machine for files on their way in or out."""
        if isinstance(self.files, Folder):
            self.files.open()
            return self.files.spool
        return make(self.state)

    def incoming(self) -> list[Path]:
        """Uploads that are on their way to this machine's disk, or were given up there; others are in a spool."""
        if not isinstance(self.files, Folder) or not self.files.spool.is_dir():
            return []
        return [path for path in self.files.spool.iterdir() if path.is_file()]

    def require_room(self, most_bytes: int) -> None:
        """Passes unless what is kept on this machine's disk takes as much room as it may.

        Raises:
            StorageFull: it does. Of a database that is known by nobody here.
        """
        if isinstance(self.files, Folder) and self.files.size_bytes() > most_bytes:
            raise StorageFull(
                "The jobs that are kept here take as much room as they may.",
                hint="delete those whose results are fetched, or try again when some have expired",
            )

    def is_blank(self) -> bool:
        """Whether nothing was ever kept on this machine, so that there is nothing to look for and nothing to make."""
        return isinstance(self.files, Folder) and not (self.state / RECORDS).exists()

    def leave(self, spool: Path) -> None:
        """Removes such a folder, if it was made for the occasion."""
        if not isinstance(self.files, Folder):
            leave(spool)


def open_store(environ: Mapping[str, str], *, state_dir: str | None = None, inline: bool = False) -> Store:
    """The store that the environment names: PostgreSQL, Redis, or this machine's disk. Nothing is connected to yet.

    ``inline``: for jobs that are run beside the server (see ``database_of``).

    Raises:
        MissingExtra: what is named needs packages that are not installed.
    """
    state = state_folder(environ, named=state_dir)
    url = database_of(environ, inline=inline)
    if url is not None and url.reveal().startswith("postgres"):
        postgres = Postgres(url, parts=(JOBS, FILES))
        records, clean = records_in_postgres(postgres), partial(scrub_postgres, postgres)
        return Store(records, Pieces(postgres), url, state, postgres.close, clean)
    if url is not None:
        client = connect(url, extra="jobs")
        return Store(RedisRecords(client), RedisFiles(client), url, state, client.close, partial(scrub_redis, client))
    sqlite = Sqlite(state / RECORDS, parts=(JOBS,))
    records, clean = records_in_file(sqlite), partial(scrub_file, sqlite)
    return Store(records, Folder(state / "jobs"), None, state, sqlite.close, clean)


def owner_name(pid: int | None = None) -> str:
    """How a worker signs its leases: machine and process."""
    return f"{socket.gethostname()}:{os.getpid() if pid is None else pid}"


# -- what may be done with a job -------------------------------------------------------------------------------------


def change(store: Store, job_id: str, step: Callable[[Job], Job | None]) -> Job | None:
    """Makes a step from whatever the job is by then; None when there is no such job, or no such step from there."""
    while True:
        found = store.records.get(job_id)
        if found is None:
            return None
        after = step(found[0])
        if after is None:
            return None
        if store.records.replace(after, found[1]):
            return after


def claim(store: Store, digest: str, *, owner: str, lease_s: float, ttl_s: float) -> tuple[Job, int] | None:
    """Takes the oldest job of a bundle that nobody is at work on; the job and its revision.

    A job that has taken too many workers with it is failed on the way.
    """
    now = store.records.now()
    for job, revision in store.records.to_do(digest):
        if not job.claimable(now):
            continue
        if job.worn:
            if store.records.replace(worn_out(job, now=now, ttl_s=ttl_s), revision):
                store.records.tally("failed", 1)
            continue
        taken = claimed(job, owner=owner, now=now, lease_s=lease_s)
        if store.records.replace(taken, revision):
            return taken, revision + 1
    return None


def has_work(store: Store, digest: str) -> bool:
    """Whether a worker of the bundle would find something to do; looks without making anything."""
    if store.is_blank():
        return False
    now = store.records.now()
    return any(job.claimable(now) for job, _ in store.records.to_do(digest))


def let_go(store: Store, digest: str, *, owner: str, ttl_s: float, blame: bool) -> None:
    """Takes what a worker had that is known to be gone, so that it need not be waited for.

    ``blame``: that it is gone may be the job's fault, and counts as an attempt.
    """
    now = store.records.now()
    for job, revision in store.records.to_do(digest):
        if job.state == "running" and job.owner == owner:
            after = msgspec.structs.replace(job, until=0.0) if blame else given_back(job, now=now, ttl_s=ttl_s)
            store.records.replace(after, revision)


def cancel(store: Store, job_id: str, *, ttl_s: float) -> Job | None:
    """Cancels a job that is not finished; None when there is none such. Who runs it stops after the part under way."""
    now = store.records.now()
    cancelled: State = "cancelled"
    after = change(
        store, job_id, lambda job: ended(job, cancelled, now=now, ttl_s=ttl_s, key=None) if job.open else None
    )
    if after is not None:
        store.records.tally("cancelled", 1)
        store.files.drop(job_id)
    return after


def remove(store: Store, job_id: str) -> None:
    """Forgets a job and its files: the record first, so that it never leads to files that are gone."""
    store.records.remove(job_id)
    store.files.drop(job_id)


def sweep(store: Store, *, ttl_s: float) -> None:
    """Removes what has run out: the files of jobs whose time is up, the traces of those long gone, files of nobody."""
    sweep_spools(store.state, older_s=ORPHAN_S)
    if store.is_blank():
        return
    now = store.records.now()
    for job, revision in store.records.overdue(now):
        if job.state == "running":
            continue
        if job.state == "expired":
            remove(store, job.id)
        elif store.records.replace(expired(job, now=now, ttl_s=ttl_s), revision):
            store.files.drop(job.id)
    ids = store.files.orphans(ORPHAN_S)
    for job_id in set(ids) - store.records.known(ids):
        store.files.drop(job_id)
