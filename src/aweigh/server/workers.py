"""Several processes behind one port: started by fork, started again when one dies, stopped together.

The parent stays small: it holds the socket and the counters, imports no numeric library, and only watches.
"""

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from aweigh.errors import AweighError

Work = Callable[[Callable[[bool], None]], None]
"""What a process does until SIGTERM; it calls its argument once, with whether it is ready (True) or refuses (False)."""

WATCH_S = 0.2
YOUNG_S = 5.0
"""A process that dies younger than this, twice, dies of something that a new one would die of as well."""

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Place:
    """One process and what is known of it."""

    work: Work
    process: BaseProcess
    said: Connection
    born: float
    settled: bool = False
    early_deaths: int = 0


def supervise(works: Sequence[Work], *, on_ready: Callable[[bool], None], grace_s: float) -> None:
    """Runs each work in a process of its own until SIGTERM or SIGINT, then stops them all.

    ``on_ready`` is called once, when all have settled, with whether all of them are ready. ``grace_s``: how long they
    have to stop before they are killed.

    Raises:
        AweighError: a process could not start, or dies again and again.
    """
    stopping: list[int] = []
    before = {one: signal.signal(one, lambda sig, _: stopping.append(sig)) for one in (signal.SIGTERM, signal.SIGINT)}
    places: list[_Place] = []
    try:
        places.extend(_start(work) for work in works)
        verdicts: dict[int, bool] = {}
        while not stopping:
            told = len(verdicts)
            _watch(places, verdicts)
            if told < len(verdicts) == len(places):
                on_ready(all(verdicts.values()))
    finally:
        _stop(places, grace_s=grace_s)
        for one, handler in before.items():
            signal.signal(one, handler)


def _start(work: Work) -> _Place:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, theirs), daemon=False)
    process.start()
    theirs.close()
    return _Place(work, process, ours, time.monotonic())


def _run(work: Work, said: Connection) -> None:
    """The life of a process. The signals are its own again: uvicorn takes them when it is up."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _stop_with_parent()
    try:
        work(said.send)
    except AweighError as error:
        said.send((error.message, error.hint))
        os._exit(1)


def _stop_with_parent() -> None:
    """Where the kernel can (Linux): a parent that was killed leaves no process behind that keeps the port."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _watch(places: list[_Place], verdicts: dict[int, bool]) -> None:
    """Waits a moment; hears what the processes say; puts a new one in the place of one that died.

    Raises:
        AweighError: what a process said of why it cannot start, or that it dies again and again.
    """
    waited: list[object] = [place.process.sentinel for place in places]
    waited += [place.said for place in places if not place.said.closed]
    wait(waited, timeout=WATCH_S)  # type: ignore[arg-type]
    for i, place in enumerate(places):
        _hear(i, place, verdicts)
        if place.process.is_alive():
            continue
        place.process.join()
        young = time.monotonic() - place.born < YOUNG_S
        deaths = place.early_deaths + 1 if young or not place.settled else 0
        if deaths > 1:
            raise AweighError(f"A process of the server ended with {place.process.exitcode}, again and again.")
        _LOG.error("process %s ended with %s: starting another", place.process.pid, place.process.exitcode)
        place.said.close()
        places[i] = _start(place.work)
        places[i].early_deaths = deaths


def _hear(i: int, place: _Place, verdicts: dict[int, bool]) -> None:
    try:
        while not place.said.closed and place.said.poll():
            heard = place.said.recv()
            if isinstance(heard, tuple):
                raise AweighError(heard[0], hint=heard[1])
            place.settled = True
            verdicts.setdefault(i, heard)
    except EOFError:
        place.said.close()


def _stop(places: list[_Place], *, grace_s: float) -> None:
    for place in places:
        if place.process.is_alive():
            place.process.terminate()
    end = time.monotonic() + grace_s
    for place in places:
        place.process.join(max(0.0, end - time.monotonic()))
        if place.process.is_alive():
            _LOG.error("process %s did not stop in %g s: killed", place.process.pid, grace_s)
            place.process.kill()
            place.process.join()
        place.said.close()
