"""How long a model takes for a table."""

import time

from aweigh.models.family import Predict
from aweigh.table import Table


def quickest_s(
    predict: Predict, table: Table, *, repeats: int, budget_s: float = float("inf"), threads: int = 1
) -> float:
    """Seconds of the quickest of so many calls: what a machine does beside only ever adds.

    On one thread it is that thread's own CPU time, which others hardly change; on several it is what the clock says, as
    threads that wait for a CPU make a call no quicker. No call begins once ``budget_s`` seconds were spent; the first
    always does.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    quickest = float("inf")
    begun = clock()
    for _ in range(repeats):
        at = clock()
        predict(table)
        now = clock()
        quickest = min(quickest, now - at)
        if now - begun > budget_s:
            break
    return quickest
