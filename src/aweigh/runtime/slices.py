"""A large table cut into slices that are answered at the same time, each by a call on one thread.

For models whose sums come out otherwise when a call itself takes several threads, and which give a row the same bits in
any company.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from aweigh.models.family import Predict
from aweigh.schema.answers import Answers
from aweigh.table import Table

LEAST_ROWS = 256
"""A slice is worth a thread from so many rows on: there a call takes a millisecond."""


def sliced(predict: Predict, *, threads: int) -> Predict:
    """``predict`` on so many threads for tables of many rows; it must let other threads run while it works."""
    pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="aweigh-slice")

    def answer(table: Table) -> Answers:
        count = min(threads, table.rows // LEAST_ROWS)
        if count < 2:
            return predict(table)
        edges = [table.rows * i // count for i in range(count + 1)]
        own, *others = [table.take(slice(start, end)) for start, end in pairwise(edges)]
        waiting = [pool.submit(predict, part) for part in others]
        return joined([predict(own), *(one.result() for one in waiting)])

    return answer


def joined(parts: Sequence[Answers]) -> Answers:
    """Answers for slices of a table as those for the whole."""
    first = parts[0]
    columns = {
        name: None if getattr(first, name) is None else np.concatenate([getattr(one, name) for one in parts])
        for name in ("index", "probabilities", "values", "cluster", "outlier", "scores")
    }
    return Answers(first.output, sum(one.rows for one in parts), **columns)
