"""Jobs, as something that keeps people's rows: their files lose a subject's rows, or the job goes as a whole.

A job that waits or is done is edited: its file, its result and the list of its bad rows. One that is being worked on,
whose files cannot be edited (packed with gzip, a log of a result on its way) or that failed on such a row is removed.
"""

import contextlib
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from aweigh.errors import DataError, MissingExtra
from aweigh.jobs.edit import Theirs, find_bad, find_rows, holds_bytes, without_bad, without_rows
from aweigh.jobs.job import Job, Wish
from aweigh.jobs.place import RECORDS
from aweigh.jobs.spool import last_written, leave, make, spools
from aweigh.jobs.store import Store, cancel, open_store, remove
from aweigh.runtime.subject import Held, Keeper, Subject

LET_GO_S = 15.0
"""How long a worker may take to notice that its job is gone, and to drop its files."""
OLD_UPLOAD_S = 600.0
"""An upload or a copy that is younger may be on its way; an older one was given up."""
SUFFIX = {"csv": ".csv", "jsonl": ".jsonl", "parquet": ".parquet", "arrow": ".arrow"}
ROWS_IN = frozenset({*SUFFIX.values(), ".json"})
_CANNOT = (DataError, OSError, MissingExtra, EOFError)


def open_keepers(environ: Mapping[str, str], *, state: Path) -> Iterator[Keeper]:
    """The jobs of every store that the environment names, those of this machine's disk, and copies that are left there.

    Raises:
        MissingExtra: what is named needs packages that are not installed.
    """
    for name, own in (
        ("jobs in PostgreSQL", ("DATABASE_URL", "DATABASE_URL_FILE")),
        ("jobs in Redis", ("REDIS_URL", "REDIS_URL_FILE")),
    ):
        some = {key: value for key, value in environ.items() if key in own}
        store = open_store(some, state_dir=str(state))
        if store.news_url is not None:
            yield Jobs(name, store)
    if (state / RECORDS).exists():
        yield Jobs("jobs on this machine", open_store({}, state_dir=str(state)))
    if spools(state):  # behind the jobs: who works on one that is gone lets go of its copy
        yield Copies(state)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a job holds of a subject: rows by the name of their file, and whether the job can be edited."""

    rows: Mapping[str, Theirs] = field(default_factory=dict)
    bad: tuple[int, ...] = ()
    raw: tuple[str, ...] = ()
    """Files that hold the value somewhere and are read by nobody row by row; the record itself is called ''."""
    blind: bool = False
    """Whether its result does not carry the subject's column."""

    @property
    def count(self) -> int:
        """How many rows and pieces."""
        return sum(len(one.places) for one in self.rows.values()) + len(self.bad) + len(self.raw)


class Jobs:
    """The jobs of one store."""

    def __init__(self, name: str, store: Store) -> None:
        self.name = name
        self._store = store

    def find(self, subject: Subject) -> Held:
        """The subject's rows in the files of all jobs, and in files of no job.

        Raises:
            StorageDown: the store cannot be reached.
        """
        count, blind = 0, 0
        with self._folder() as folder:
            for job, _ in self._store.records.all():
                found = self._look(job, subject, folder)
                count += found.count
                blind += found.blind
            count += len(list(self._strays(subject, folder)))
        notes = (f"{blind} results do not have the column: whose their rows are is known to nobody",) if blind else ()
        return Held(count, notes)

    def erase(self, subject: Subject) -> Held:
        """Edits or removes every job that holds anything of the subject, then clears what the store keeps of it.

        Raises:
            StorageDown: the store cannot be reached.
        """
        count, removed = 0, 0
        with self._folder() as folder:
            for job, revision in list(self._store.records.all()):
                found = self._look(job, subject, folder)
                if not found.count:
                    continue
                count += found.count
                if not self._edited(job, revision, found, subject, folder):
                    self._remove(job)
                    removed += 1
            for stray in list(self._strays(subject, folder)):
                count += 1
                self._drop(stray)
        notes = [f"{removed} jobs were removed as a whole: their files cannot be edited"] if removed else []
        said = self._store.scrub() if count else None
        return Held(count, tuple(notes + ([said] if said else [])))

    def close(self) -> None:
        """Closes the store."""
        self._store.close()

    # -- looking -----------------------------------------------------------------------------------------------------

    def _look(self, job: Job, subject: Subject, folder: Path) -> _Found:
        rows: dict[str, Theirs] = {}
        bad: tuple[int, ...] = ()
        raw: list[str] = []
        blind = False
        for name in self._store.files.names(job.id):
            path = self._fetched(job, name, folder)
            try:
                if name == job.told:
                    bad = tuple(find_bad(path, subject))
                elif name in {job.source, job.result}:
                    found = find_rows(path, subject, wish=_wish_of(job, name))
                    blind = blind or (name == job.result and not found.has_column)
                    if found.places:
                        rows[name] = found
                elif holds_bytes(path, subject):
                    raw.append(name)
            except FileNotFoundError:
                continue  # removed by who works on it, in this very moment
            except _CANNOT:
                if holds_bytes(path, subject):
                    raw.append(name)
            finally:
                path.unlink(missing_ok=True)
        if job.failure is not None and subject.in_text(msgspec.json.encode(job.failure).decode()):
            raw.append("")
        return _Found(rows, bad, tuple(raw), blind)

    def _fetched(self, job: Job, name: str, folder: Path) -> Path:
        """The file under a name that says what it is; a link to it where it lies on this disk."""
        there = self._store.files.fetch(job.id, name, folder)
        suffix = Path(job.source).suffix if name == job.source else SUFFIX.get(job.wish.output, "")
        link = folder / f"{secrets.token_hex(8)}{suffix}"
        if there.parent == folder:
            there.rename(link)
        else:
            link.symlink_to(there)
        return link

    def _strays(self, subject: Subject, folder: Path) -> Iterator[str | Path]:
        """Files of no job that hold the value: left by a worker that died, or on their way in."""
        ids = self._store.files.ids()
        for job_id in set(ids) - self._store.records.known(ids):
            for name in self._store.files.names(job_id):
                path = self._store.files.fetch(job_id, name, folder)
                with contextlib.suppress(FileNotFoundError):
                    if holds_bytes(path, subject):
                        yield job_id
                        break
        for path in self._store.incoming():
            with contextlib.suppress(FileNotFoundError):
                if holds_bytes(path, subject):
                    yield path

    # -- erasing -----------------------------------------------------------------------------------------------------

    def _edited(self, job: Job, revision: int, found: _Found, subject: Subject, folder: Path) -> bool:
        """Whether the job goes on without those rows: nobody works on it, and each of its files could be edited."""
        if found.raw or job.state not in {"queued", "done"} or job.mark is not None:
            return False
        token = secrets.token_hex(8)
        after = msgspec.structs.replace(job, key=None)  # who posts the same file again means the whole of it
        fresh: dict[str, str] = {}
        for name, theirs in found.rows.items():
            is_source = name == job.source
            suffix = Path(job.source).suffix if is_source else SUFFIX.get(job.wish.output, "")
            out, path = folder / f"{token}-out{suffix}", self._fetched(job, name, folder)
            done = without_rows(path, out, theirs, subject, wish=_wish_of(job, name))
            path.unlink(missing_ok=True)
            if not done:
                out.unlink(missing_ok=True)
                self._take_back(job, fresh.values())
                return False
            fresh[name] = f"input-{token}{suffix}" if is_source else f"result-{token}"
            after = _renamed(after, fresh[name], out.stat().st_size, gone=len(theirs.places), is_source=is_source)
            self._store.files.adopt(job.id, fresh[name], out)
        if found.bad and job.told is not None:
            path, out = self._fetched(job, job.told, folder), folder / f"{token}-bad"
            without_bad(path, out, found.bad)
            path.unlink(missing_ok=True)
            fresh[job.told] = f"bad-{token}"
            bad = (job.bad or 0) - len(found.bad)
            after = msgspec.structs.replace(after, told=fresh[job.told], told_bytes=out.stat().st_size, bad=bad)
            self._store.files.adopt(job.id, fresh[job.told], out)
        if not self._store.records.replace(after, revision):
            self._take_back(job, fresh.values())  # somebody has taken it up meanwhile
            return False
        self._take_back(job, fresh)
        return True

    def _take_back(self, job: Job, names: Iterable[str]) -> None:
        for name in names:
            self._store.files.remove(job.id, name)

    def _remove(self, job: Job) -> None:
        """Removes a job; from under a worker first by cancelling it, so that it drops what it has."""
        if job.state in {"queued", "running"}:
            cancel(self._store, job.id, ttl_s=OLD_UPLOAD_S)
            end = time.monotonic() + LET_GO_S
            while job.state == "running" and time.monotonic() < end:
                time.sleep(0.5)
                if not self._store.files.names(job.id):
                    break
                self._store.files.drop(job.id)
        remove(self._store, job.id)

    def _drop(self, stray: str | Path) -> None:
        if isinstance(stray, str):
            self._store.files.drop(stray)
        elif time.time() - stray.stat().st_mtime > OLD_UPLOAD_S:
            stray.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        folder = make(self._store.state)
        try:
            yield folder
        finally:
            leave(folder)


class Copies:
    """Copies of files on this machine, of whatever store: left by a worker or a server that was killed, or in use."""

    name = "copies of files of jobs on this machine"

    def __init__(self, state: Path) -> None:
        self._state = state

    def find(self, subject: Subject) -> Held:
        """How many files hold the value somewhere."""
        return Held(len(list(self._theirs(subject))))

    def erase(self, subject: Subject) -> Held:
        """Removes those beside which nothing was written for a while; for the others it is waited a little."""
        count, end = 0, time.monotonic() + LET_GO_S
        left = {folder for folder in spools(self._state) if last_written(folder) < time.time() - OLD_UPLOAD_S}
        while theirs := list(self._theirs(subject)):
            for path in theirs:
                if path.parent in left:
                    path.unlink(missing_ok=True)
                    count += 1
            if time.monotonic() > end or all(path.parent in left for path in theirs):
                break
            time.sleep(0.5)
        return Held(count)

    def close(self) -> None:
        """Nothing is open."""

    def _theirs(self, subject: Subject) -> Iterator[Path]:
        for folder in spools(self._state):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                for path in sorted(folder.iterdir()):
                    if path.is_file() and not path.is_symlink() and _holds(path, subject):
                        yield path


def _holds(path: Path, subject: Subject) -> bool:
    """Whether a file holds a row of theirs; where it cannot be read by rows, whether the value stands in it."""
    if path.suffix in ROWS_IN:
        with contextlib.suppress(*_CANNOT):
            return bool(find_rows(path, subject, wish=Wish(output="csv")).places)
    with contextlib.suppress(FileNotFoundError):
        return holds_bytes(path, subject)
    return False


def _renamed(job: Job, name: str, size_bytes: int, *, gone: int, is_source: bool) -> Job:
    """The job with another file in the place of its own, which has so many rows fewer."""
    if is_source:
        return msgspec.structs.replace(job, source=name, size_bytes=size_bytes)
    rows = job.rows - gone
    return msgspec.structs.replace(job, result=name, result_bytes=size_bytes, rows=rows, total=rows)


def _wish_of(job: Job, name: str) -> Wish:
    """How a file is read: a job's own by its wish, its result as it is always written, in UTF-8."""
    return job.wish if name == job.source else msgspec.structs.replace(job.wish, charset=None)
