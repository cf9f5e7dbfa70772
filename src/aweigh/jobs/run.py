"""One job, run by who has claimed it: the file answered part by part, and its result recorded once."""

import errno
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

from aweigh.errors import AweighError, DataError, MissingExtra, StorageDown, StorageFull, UsageError
from aweigh.jobs.job import Failure, Job, ended, failure_of, given_back, renewed
from aweigh.jobs.store import Store
from aweigh.runtime.predictor import Predictor
from aweigh.runtime.score import Scored, ScoreOptions, score

RENEW_S = 0.5
"""How often the record of a running job learns how far it is, and a worker that its job was cancelled."""
RETRY_S = 1.0
HTTP_HINTS = (
    ("--encoding windows-1252", "Content-Type: text/csv; charset=windows-1252"),
    ("--ignore-extra", "?ignore_extra=true"),
    ("--answers-only", "?answers_only=true"),
    ("--keep", "?keep="),
    ("-o OUT.jsonl", "?output=jsonl"),
)
"""What the command line says of its options, in the words of an address."""

Outcome = Literal["done", "failed", "cancelled", "given back", "lost"]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class Stopping(Exception):  # noqa: N818  control flow: the worker is to end
    """The worker was told to stop, and the part under way is finished."""


class Lost(Exception):  # noqa: N818  control flow: the job is nobody's here any more
    """The job was cancelled, or another worker has it."""


class Lease:
    """A claimed job while it is run: a thread renews the lease, tells how far it is, and hears when it is lost."""

    def __init__(self, store: Store, job: Job, revision: int, *, lease_s: float) -> None:
        self._store = store
        self._job = job
        self._revision = revision
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{job.id[:8]}", daemon=True)
        self._rows: tuple[int, int | None] = (0, None)
        self.lost = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def tell(self, rows: int, total: int | None) -> None:
        """So many rows are done, of so many."""
        self._rows = (rows, total)

    def settle(self, step: Callable[[Job], Job]) -> bool:
        """Makes the last step from this lease; whether it was still there to be made.

        Raises:
            StorageDown: the store cannot be reached; whether the step was made is not known, and it may be tried again.
        """
        with self._lock:
            if self.lost:
                return False
            after = step(self._job)
            if self._store.records.replace(after, self._revision) or self._is_recorded(after):
                self.lost = True
                return True
            self.lost = True
            return False

    def _is_recorded(self, after: Job) -> bool:
        """Whether the step is there all the same: made by a call whose answer never came."""
        found = self._store.records.get(after.id)
        return found is not None and (found[0].state, found[0].result, found[0].finished) == (
            after.state, after.result, after.finished,
        )  # fmt: skip

    def _keep(self) -> None:
        while not self._over.wait(min(RENEW_S, self._lease_s / 3)):
            with self._lock:
                if self.lost:
                    return
                try:
                    self._renew()
                except (StorageDown, StorageFull) as error:
                    _LOG.warning("job %s: %s", self._job.id[:8], error.message)

    def _renew(self) -> None:
        rows, total = self._rows
        after = renewed(self._job, until=self._store.records.now() + self._lease_s, rows=rows, total=total)
        if self._store.records.replace(after, self._revision):
            self._job, self._revision = after, self._revision + 1
            return
        found = self._store.records.get(self._job.id)
        mine = found is not None and (found[0].owner, found[0].attempts) == (self._job.owner, self._job.attempts)
        if found is None or not mine:
            self.lost = True
        else:
            self._job, self._revision = found  # the last renewal was made, and its answer never came


def run(
    store: Store, predictor: Predictor, claim: tuple[Job, int], *, lease_s: float, ttl_s: float, stop: threading.Event
) -> Outcome:
    """Runs a claimed job to its end, unless ``stop`` is set or the job is lost on the way."""
    try:
        with Lease(store, *claim, lease_s=lease_s) as lease:
            spool = store.spool()
            try:
                return _Attempt(store, predictor, claim[0], lease, stop, ttl_s, spool).make()
            finally:
                store.leave(spool)
    except (StorageDown, StorageFull) as error:
        # Nothing is wrong with the job: when the lease has ended, whoever reaches the store then takes it.
        _LOG.error("job %s is left: %s", claim[0].id[:8], error.message)
        return "lost"


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One attempt at one job, from the file to the record of its result."""

    store: Store
    predictor: Predictor
    job: Job
    lease: Lease
    stop: threading.Event
    ttl_s: float
    spool: Path
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    """Part of the names of this attempt's own files: two attempts never write the same one."""

    def make(self) -> Outcome:
        """Scores the file and records what came of it.

        Raises:
            StorageDown: the store cannot be reached.
        """
        out, told = self.spool / f"{self.token}.out", self.spool / f"{self.token}.bad"
        try:
            return self._done(self._score(out, told), out, told)
        except Stopping:
            now = self.store.records.now()
            self.lease.settle(lambda job: given_back(job, now=now, ttl_s=self.ttl_s))
            return "given back"
        except Lost:
            return _forget(self.store, self.job)
        except StorageDown:
            raise
        except Exception as error:  # noqa: BLE001  whatever a model raises must not end the worker
            return self._failed(error)
        finally:
            out.unlink(missing_ok=True)
            told.unlink(missing_ok=True)

    def _score(self, out: Path, told: Path) -> Scored:
        wish = self.job.wish
        options = ScoreOptions(
            keep=wish.keep,
            ignore_extra=wish.ignore_extra,
            force=True,
            kind=wish.output,
            bad_path=told,
            charset=wish.charset,
            delimiter=wish.delimiter,
        )
        source = self._patiently(lambda: self.store.files.fetch(self.job.id, self.job.source, self.spool))
        return score(self.predictor, source, out, options=options, on_progress=self._progress)

    def _progress(self, rows: int, total: int | None) -> None:
        self.lease.tell(rows, total)
        if self.lease.lost:
            raise Lost
        if self.stop.is_set():
            raise Stopping

    def _done(self, scored: Scored, out: Path, told: Path) -> Outcome:
        """Stores the result under a name of this attempt's own, then records it in one step."""
        result, bad = f"result-{self.token}", f"bad-{self.token}" if scored.bad_path is not None else None
        result_bytes, told_bytes = out.stat().st_size, told.stat().st_size if bad else 0
        self._keep(out, result)
        if bad is not None:
            self._keep(told, bad)
        now = self._patiently(self.store.records.now)

        def step(job: Job) -> Job:
            return ended(
                job,
                "done",
                now=now,
                ttl_s=self.ttl_s,
                seconds=scored.seconds,
                rows=scored.rows,
                total=scored.rows,
                bad=scored.bad,
                problems=scored.problems,
                result=result,
                result_bytes=result_bytes,
                told=bad,
                told_bytes=told_bytes,
            )

        if not self._patiently(lambda: self.lease.settle(step)):
            raise Lost
        sums = {"done": 1.0, "rows": scored.rows, "bad_rows": scored.bad, "seconds": scored.seconds}
        self._end(sums)
        return "done"

    def _keep(self, path: Path, name: str) -> None:
        """Stores a file; what an earlier try had stored of it is written anew."""
        self._patiently(lambda: self.store.files.adopt(self.job.id, name, path) if path.exists() else None)

    def _patiently(self, act: Callable[[], T]) -> T:
        """Acts, again and again while the store cannot be reached: hours of work outlive a restart of it.

        Raises:
            Lost: the job is another's by now.
            StorageDown: it cannot be reached, and the worker is to stop.
            StorageFull: there is no room for the result.
        """
        while True:
            try:
                return act()
            except StorageDown:
                if self.lease.lost:
                    raise Lost from None
                if self.stop.wait(RETRY_S):
                    raise

    def _failed(self, error: Exception) -> Outcome:
        """Records why a job failed: the file's fault in full, anything else as the server would tell it."""
        failure = failure_for(self.predictor, error)
        now = self._patiently(self.store.records.now)
        if not self._patiently(
            lambda: self.lease.settle(lambda job: ended(job, "failed", now=now, ttl_s=self.ttl_s, failure=failure))
        ):
            return "lost"
        if failure.code == "internal":
            _LOG.error("job %s failed", self.job.id[:8], exc_info=error)
        self._end({"failed": 1.0})
        return "failed"

    def _end(self, amounts: Mapping[str, float]) -> None:
        """Adds to the sums and removes the file, which nobody needs any more; neither is worth more than a try."""
        with suppress(StorageDown, StorageFull, OSError):
            for name, amount in amounts.items():
                self.store.records.tally(name, amount)
            self.store.files.remove(self.job.id, self.job.source)


def failure_for(predictor: Predictor, error: Exception) -> Failure:
    """What is told of an error: of one that is nobody's but the program's only that there was one."""
    if isinstance(error, AweighError):
        error.hint = in_http(error.hint)
    if isinstance(error, DataError | StorageFull):
        return failure_of(error)
    if isinstance(error, UsageError):
        return Failure(code="data", message=error.message, hint=error.hint)
    if isinstance(error, MissingExtra):
        return Failure(
            code="unsupported_media", message="Parquet is neither read nor written here.", hint="use CSV or JSON lines"
        )
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return Failure(code="storage_full", message="The worker has no room left for the result.")
    if not isinstance(error, MemoryError | OSError) and _is_well(predictor):
        return Failure(code="no_answer", message="The model has no answer for some of the rows, and fails on them.")
    return Failure(code="internal", message="The worker failed, and has written down why.")


def _is_well(predictor: Predictor) -> bool:
    try:
        return predictor.replay().ok
    except Exception:  # noqa: BLE001  a model that fails on its golden rows is not well
        return False


def in_http(hint: str | None) -> str | None:
    """A hint for the command line, in the words of an address."""
    if hint is not None:
        for option, said in HTTP_HINTS:
            hint = hint.replace(option, said)
    return hint


def _forget(store: Store, job: Job) -> Outcome:
    """Removes the files of a job that was cancelled or removed; those of one that another worker has stay."""
    found = store.records.get(job.id)
    if found is not None and found[0].state != "cancelled":
        return "lost"
    store.files.drop(job.id)
    return "cancelled"
