"""How long a model takes for a table."""

import time

from aweigh.models.family import Predict
from aweigh.table import Table


def quickest_s(predict: Predict, table: Table, *, repeats: int, budget_s: float = float("inf")) -> float:
    """Seconds of the quickest of so many calls: what a machine does beside only ever adds.

    No call begins once ``budget_s`` seconds were spent; the first always does.
    """
    quickest = float("inf")
    begun = time.perf_counter()
    for _ in range(repeats):
        at = time.perf_counter()
        predict(table)
        now = time.perf_counter()
        quickest = min(quickest, now - at)
        if now - begun > budget_s:
            break
    return quickest
