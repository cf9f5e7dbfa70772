"""One attempt at one job: the file answered part by part, now and then a mark, and its result recorded once.

A mark says how many rows are done and how many bytes of the files are what those rows gave. The bytes are stored
before the mark is recorded, and whoever goes on takes so many of them and no more: a worker that is killed between the
two, or in the middle of a write, loses the work since the last mark, and no row is lost or written twice.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from aweigh._version import __version__
from aweigh.bundle.atomic import whole_file
from aweigh.errors import StorageDown, StorageFull, TooLarge
from aweigh.jobs.failing import failure_for
from aweigh.jobs.growing import Growing
from aweigh.jobs.job import Job, Mark, ended, given_back
from aweigh.jobs.lease import Lease
from aweigh.jobs.store import Store
from aweigh.runtime.predictor import Predictor
from aweigh.runtime.score import CHUNK_ROWS, ScoreOptions
from aweigh.runtime.score_on import HAS_FOOTER, NotTheSame, Sofar, Streams, score_on

RETRY_S = 1.0
MARK_S = 2.0
"""How much work a killed worker may lose, where a mark costs little..."""
MARK_SHARE = 0.05
"""...and of how much of the time marks may take where it does not."""
BY = f"{__version__}, {CHUNK_ROWS} rows"
"""Who may go on behind a mark: another version may cut a file into other parts, or write it otherwise."""

Outcome = Literal["done", "failed", "cancelled", "given back", "lost"]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class Stopping(Exception):  # noqa: N818  control flow: the worker is to end
    """The worker was told to stop, and the part under way is finished and stored."""


class Lost(Exception):  # noqa: N818  control flow: the job is nobody's here any more
    """The job was cancelled, or another worker has it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may be, however little of it was sent: bytes unpacked, rows, seconds of work, bytes written."""

    unpacked_bytes: int | None = None
    rows: int | None = None
    seconds: float | None = None
    result_bytes: int | None = None

    def require(self, rows: int, seconds: float) -> None:
        """Passes while it is neither.

        Raises:
            TooLarge: it is.
        """
        if self.rows is not None and rows > self.rows:
            raise TooLarge(f"The file has more than {self.rows:,} rows.", hint="send it in parts")
        if self.seconds is not None and seconds > self.seconds:
            raise TooLarge(f"The job takes more than {self.seconds:,.0f} seconds.", hint="send the file in parts")

    def require_room(self, written_bytes: int) -> None:
        """Passes while what was written of the result is not too much.

        Raises:
            TooLarge: it is.
        """
        if self.result_bytes is not None and written_bytes > self.result_bytes:
            raise TooLarge(
                f"The result has more than {self.result_bytes:,} bytes.",
                hint="send the file in parts, or carry fewer columns along (?answers_only=true)",
            )


NO_LIMITS = Limits()


@dataclass(slots=True)
class Attempt:
    """One attempt at one job, from the file, or the last mark, to the record of its result."""

    store: Store
    predictor: Predictor
    job: Job
    lease: Lease
    stop: threading.Event
    ttl_s: float
    spool: Path
    limits: Limits = NO_LIMITS
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    """Part of the names of this attempt's own files: two attempts never write the same one."""
    begun: float = field(default_factory=time.perf_counter)
    waited_s: float = 0.0
    """How long the store could not be reached: that is no work."""
    behind: Mark | None = field(init=False)
    """What the attempt before has left, until something that is recorded takes its place."""
    next_mark: float = field(default_factory=lambda: time.monotonic() + MARK_S)

    def __post_init__(self) -> None:
        self.behind = self.job.mark

    def make(self) -> Outcome:
        """Scores the file and records what came of it.

        Raises:
            StorageDown: the store cannot be reached.
        """
        mark = self.job.mark if self.job.mark is not None and self.job.mark.by == BY else None
        try:
            source = self._patiently(lambda: self.store.files.fetch(self.job.id, self.job.source, self.spool))
            try:
                return self._score(source, mark)
            except NotTheSame:
                _LOG.warning("job %s begins anew: what is stored of it does not fit", self.job.id[:8])
                return self._score(source, None)
        except Stopping:
            now = self.store.records.now()
            self.lease.settle(lambda job: given_back(job, now=now, ttl_s=self.ttl_s))
            return "given back"
        except Lost:
            return self._forget()
        except StorageDown:
            raise
        except Exception as error:  # noqa: BLE001  whatever a model raises must not end the worker
            return self._failed(error)

    def _score(self, source: Path, mark: Mark | None) -> Outcome:
        wish = self.job.wish
        has_footer = wish.output in HAS_FOOTER
        out = self.spool / f"{self.token}.out"
        options = ScoreOptions(
            keep=wish.keep, ignore_extra=wish.ignore_extra, kind=wish.output, charset=wish.charset,
            delimiter=wish.delimiter, most_bytes=self.limits.unpacked_bytes,
        )  # fmt: skip
        done, before_s = Sofar(), 0.0
        with self._growing("log" if has_footer else "result") as kept, self._growing("bad") as told:
            if mark is not None:
                kept.begin_with(mark.kept, mark.kept_bytes)
                told.begin_with(mark.told, mark.told_bytes)
                done, before_s = Sofar(mark.rows, mark.bad, mark.problems), mark.seconds
                _LOG.warning("job %s was begun by another: it goes on behind row %d", self.job.id[:8], mark.rows)

            try:
                with whole_file(out) if has_footer else nullcontext(kept.stream) as stream:
                    streams = Streams(stream, told.stream, kept.stream if has_footer else None)

                    def on_part(sofar: Sofar, total: int | None) -> None:
                        # What has a footer is written twice for a while, of which only the longer counts.
                        self.limits.require_room(max(stream.tell(), kept.stream.tell()) + told.stream.tell())
                        self._between(sofar, total, kept=kept, told=told, before_s=before_s)

                    last = score_on(self.predictor, source, streams, options=options, done=done, on_part=on_part)
                return self._done(last, out if has_footer else kept, told, before_s=before_s)
            finally:
                out.unlink(missing_ok=True)

    def _growing(self, what: str) -> Growing:
        return Growing(self.store.files, self.job.id, f"{what}-{self.token}", spool=self.spool)

    def _between(self, sofar: Sofar, total: int | None, *, kept: Growing, told: Growing, before_s: float) -> None:
        """What is to be done between two parts.

        Raises:
            Lost: the job is not ours any more.
            Stopping: the worker is to end, and may.
            TooLarge: it has more rows than may be, or takes longer.
        """
        self.lease.tell(sofar.rows, total, sofar.bad)
        self.limits.require(sofar.rows, self._seconds(before_s))
        if self.lease.lost:
            raise Lost
        stopping = self.stop.is_set()
        if not sofar.rows:  # a file without rows: nothing is worth keeping but a head that would be written again
            if stopping:
                raise Stopping
            return
        if not stopping and time.monotonic() < self.next_mark:
            return
        begun = time.monotonic()
        mark = Mark(
            by=BY, attempt=self.job.attempts, seconds=self._seconds(before_s),
            rows=sofar.rows, bad=sofar.bad, problems=sofar.problems,
            kept=kept.name, kept_bytes=self._patiently(kept.keep),
            told=told.name, told_bytes=self._patiently(told.keep),
        )  # fmt: skip
        if not self._patiently(lambda: self.lease.mark(mark)):
            raise Lost
        if stopping:
            raise Stopping
        self._leave_behind()
        now = time.monotonic()
        self.next_mark = now + max(MARK_S, (now - begun) / MARK_SHARE)

    def _seconds(self, before_s: float) -> float:
        return before_s + time.perf_counter() - self.begun - self.waited_s

    def _done(self, last: Sofar, out: Path | Growing, told: Growing, *, before_s: float) -> Outcome:
        """Stores the result under a name of this attempt's own, then records it in one step."""
        result = f"result-{self.token}"
        if isinstance(out, Growing):
            result_bytes = self._patiently(out.keep)
        else:
            result_bytes = out.stat().st_size
            self._adopt(out, result)
        told_bytes = self._patiently(told.keep)
        seconds = self._seconds(before_s)
        now = self._patiently(self.store.records.now)

        def step(job: Job) -> Job:
            return ended(
                job,
                "done",
                now=now,
                ttl_s=self.ttl_s,
                seconds=seconds,
                rows=last.rows,
                total=last.rows,
                bad=last.bad,
                problems=last.problems,
                result=result,
                result_bytes=result_bytes,
                told=told.name if last.bad else None,
                told_bytes=told_bytes,
            )

        if not self._patiently(lambda: self.lease.settle(step)):
            raise Lost
        sums = {"done": 1.0, "rows": last.rows, "bad_rows": last.bad, "seconds": seconds}
        self._end(sums, needless=[f"log-{self.token}"] if last.bad else [f"log-{self.token}", told.name])
        return "done"

    def _adopt(self, path: Path, name: str) -> None:
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
            begun = time.perf_counter()
            try:
                return act()
            except StorageDown:
                if self.lease.lost:
                    raise Lost from None
                stopping = self.stop.wait(RETRY_S)
                self.waited_s += time.perf_counter() - begun
                if stopping:
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
        self._end({"failed": 1.0}, needless=self._own())
        return "failed"

    def _end(self, amounts: Mapping[str, float], *, needless: list[str]) -> None:
        """Adds to the sums and removes files that nobody needs any more; neither is worth more than a try."""
        with suppress(StorageDown, StorageFull, OSError):
            for name, amount in amounts.items():
                self.store.records.tally(name, amount)
            for name in (self.job.source, *needless):
                self.store.files.remove(self.job.id, name)
        self._leave_behind()

    def _own(self) -> list[str]:
        return [f"{what}-{self.token}" for what in ("result", "log", "bad")]

    def _leave_behind(self) -> None:
        if self.behind is not None:
            with suppress(StorageDown, StorageFull, OSError):
                self.store.files.remove(self.job.id, self.behind.kept)
                self.store.files.remove(self.job.id, self.behind.told)
                self.behind = None

    def _forget(self) -> Outcome:
        """Removes the files of a job that was cancelled or removed; those that another worker goes on with stay."""
        found = self.store.records.get(self.job.id)
        if found is None or found[0].state == "cancelled":
            self.store.files.drop(self.job.id)
            return "cancelled"
        after = found[0]
        named = {after.result, after.told} | ({after.mark.kept, after.mark.told} if after.mark else set())
        for name in self._own():
            if name not in named:
                self.store.files.remove(self.job.id, name)
        return "lost"
