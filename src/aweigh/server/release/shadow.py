"""The shadow: asks the candidate what the current model has answered, and counts how they differ.

It works in a thread of its own, behind the answers, at most half of the time: what waits is bounded, and what is more
is left out and counted.
Rows are held until they were compared, and no longer.
"""

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aweigh.runtime.release.compare import Compare
from aweigh.runtime.release.tally import Shadow as Counts
from aweigh.schema.answers import Answers
from aweigh.server.service import Service
from aweigh.table import Table

MOST_WAITING, MOST_BYTES = 256, 8 * 2**20
"""So many requests, of bodies of so many bytes together, wait at most."""

MOST_ROWS = 100
"""Of a request with more rows so many are compared, from all of it. No more of the answers wait than these."""

SWITCH_S = 0.0005
"""A candidate that is Python holds the interpreter for so long at most while a request waits for it, where there is a
shadow; five milliseconds is what Python would take."""

JOIN_S = 5.0

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was answered: ``read`` makes its table anew; ``counts`` are those of the trial that it is in.

    ``rows`` is how many ``answers`` were taken from.
    """

    read: Callable[[Service], Table]
    answers: Answers
    size_bytes: int
    counts: Counts
    rows: int = 0


class Shadow:
    """The candidate of one process, asked behind the answers; ``show`` never waits."""

    def __init__(self, candidate: Service, compare: Compare) -> None:
        self._candidate = candidate
        self._compare = compare
        self._waiting: deque[Answered] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._there = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._told = False

    def show(self, answered: Answered) -> None:
        """Puts an answered request behind those that wait, or counts it as left out."""
        if not answered.answers.rows:
            return
        with self._lock:
            if self._closed.is_set():
                return
            if len(self._waiting) >= MOST_WAITING or self._bytes + answered.size_bytes > MOST_BYTES:
                answered.counts.dropped += 1
                return
            rows = answered.answers.rows
            if rows > MOST_ROWS:
                answered = replace(answered, answers=answered.answers.take(_some(rows)), rows=rows)
            self._waiting.append(answered)
            self._bytes += answered.size_bytes
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
                self._thread.start()
        self._there.set()

    def close(self) -> None:
        """Ends; what still waits is let go."""
        with self._lock:
            self._closed.set()
            self._waiting.clear()
        self._there.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def _run(self) -> None:
        sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
        while not self._closed.is_set():
            self._there.wait()
            self._there.clear()
            while (answered := self._next()) is not None:
                begun = time.perf_counter()
                self._look(answered)
                del answered
                self._closed.wait(time.perf_counter() - begun)

    def _next(self) -> Answered | None:
        with self._lock:
            if not self._waiting:
                return None
            found = self._waiting.popleft()
            self._bytes -= found.size_bytes
            return found

    def _look(self, answered: Answered) -> None:
        counts, answers = answered.counts, answered.answers
        begun = time.perf_counter()
        try:
            table = answered.read(self._candidate)
            if answered.rows:
                table = table.take(_some(answered.rows))
            found = self._compare(answers, self._candidate.predictor.predict(table))
        except Exception as error:  # noqa: BLE001  whatever the candidate raises, nobody asked it
            counts.requests += 1
            counts.errors += 1
            if not self._told:  # once: whoever can make it fail is not to fill the log
                _LOG.warning(
                    "the candidate fails on a request that the current model answers: %s", type(error).__name__
                )
            self._told = True
            return
        counts.seconds += time.perf_counter() - begun
        counts.rows += answers.rows
        counts.differing += int(found.differs.sum())
        counts.labels += found.labels
        counts.largest = max(counts.largest, found.largest)
        counts.drawn += 1
        counts.drawn_differing += bool(found.differs[counts.requests % answers.rows])
        counts.requests += 1


def _some(rows: int) -> NDArray[np.int64]:
    return np.linspace(0, rows - 1, MOST_ROWS).astype(np.int64)
