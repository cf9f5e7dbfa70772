"""How long work takes that is done again and again."""

import time
from collections.abc import Callable

FEWEST, MOST = 5, 200
WARM_S = 0.02
"""The first dozens of calls of a model take up to three times as long as those to come: five would know only these."""


def quickest_s(
    work: Callable[[], object], *, clock: Callable[[], float] = time.perf_counter, budget_s: float = 0.05
) -> float:
    """Seconds of the quickest of some times that the work is done: what a machine does beside only ever adds.

    Five times, and quick work until ``WARM_S`` has gone; none begins once ``budget_s`` was spent, but for the first.
    """
    quickest, begun = float("inf"), clock()
    for count in range(1, MOST + 1):
        before = clock()
        work()
        now = clock()
        quickest = min(quickest, now - before)
        if now - begun > budget_s or (count >= FEWEST and now - begun > WARM_S):
            break
    return quickest
