"""One job, run by who has claimed it."""

import logging
import threading

from aweigh.errors import StorageDown, StorageFull
from aweigh.jobs.attempt import NO_LIMITS, Attempt, Limits, Outcome
from aweigh.jobs.job import Job
from aweigh.jobs.lease import Lease
from aweigh.jobs.store import Store
from aweigh.runtime.predictor import Predictor

_LOG = logging.getLogger(__name__)


def run(
    store: Store,
    predictor: Predictor,
    claim: tuple[Job, int],
    *,
    lease_s: float,
    ttl_s: float,
    stop: threading.Event,
    limits: Limits = NO_LIMITS,
) -> Outcome:
    """Runs a claimed job to its end, unless ``stop`` is set or the job is lost on the way."""
    try:
        with Lease(store, *claim, lease_s=lease_s) as lease:
            spool = store.spool()
            try:
                return Attempt(store, predictor, claim[0], lease, stop, ttl_s, spool, limits).make()
            finally:
                store.leave(spool)
    except (StorageDown, StorageFull) as error:
        # Nothing is wrong with the job: when the lease has ended, whoever reaches the store then takes it.
        _LOG.error("job %s is left: %s", claim[0].id[:8], error.message)
        return "lost"
