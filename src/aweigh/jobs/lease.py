"""A worker's hold on a job: renewed while it works, and lost when nobody hears of it or the job is cancelled."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aweigh.errors import StorageDown, StorageFull
from aweigh.jobs.job import Job, Mark, renewed
from aweigh.jobs.store import Store

RENEW_S = 0.5
"""How often the record of a running job learns how far it is, and a worker that its job was cancelled."""

_LOG = logging.getLogger(__name__)


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
        self._rows: tuple[int, int | None, int | None] = (job.rows, job.total, job.bad)
        self._mark = job.mark
        self.lost = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def tell(self, rows: int, total: int | None, bad: int | None) -> None:
        """So many rows are done, of so many, and so many of them have no answer."""
        self._rows = (rows, total, bad)

    def mark(self, mark: Mark) -> bool:
        """Records how much of the job is safely stored; whether the lease was still there for it.

        Raises:
            StorageDown: the store cannot be reached; it may be tried again.
        """
        with self._lock:
            self._mark = mark
            while not self.lost and self._job.mark != mark:
                self._renew()
            return not self.lost

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
        rows, total, bad = self._rows
        until = self._store.records.now() + self._lease_s
        after = renewed(self._job, until=until, rows=rows, total=total, bad=bad, mark=self._mark)
        if self._store.records.replace(after, self._revision):
            self._job, self._revision = after, self._revision + 1
            return
        found = self._store.records.get(self._job.id)
        mine = found is not None and (found[0].owner, found[0].attempts) == (self._job.owner, self._job.attempts)
        if found is None or not mine:
            self.lost = True
        else:
            self._job, self._revision = found  # the last renewal was made, and its answer never came
