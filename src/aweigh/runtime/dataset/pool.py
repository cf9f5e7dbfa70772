"""All cores of this machine: processes that score one partition each, and are replaced when they die."""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from aweigh.errors import AweighError
from aweigh.runtime.dataset.errors import WorkerFailed
from aweigh.runtime.dataset.partitions import Partition
from aweigh.runtime.dataset.record import Failed, Outcome
from aweigh.runtime.dataset.work import ATTEMPTS, Cannot, Task, open_predictor, score_partition
from aweigh.runtime.machine import read_machine
from aweigh.runtime.predictor import Predictor

TOLD_EVERY_S = 0.2
WORKER_BYTES = 300 * 2**20
"""What a process takes beside the model: the libraries, and a part of a file as it is read, answered and written."""
MODEL_TIMES = 3
"""What a model takes in memory, in sizes of its bundle: read, parsed, and as the runtime keeps it."""
END_S = 5.0
_CONTEXT = get_context("spawn")

OnShare = Callable[[str, float], None]
"""Is told of a partition, by its name, which part of it is done."""


def workers_for(partitions: int, *, bundle_bytes: int) -> int:
    """How many processes this machine holds: one for each core and partition, as far as the memory goes."""
    machine = read_machine()
    held = int((machine.memory_bytes or WORKER_BYTES) * 0.8) // (WORKER_BYTES + MODEL_TIMES * bundle_bytes)
    return max(1, min(int(machine.cpus), partitions, held))


def score_inline(
    predictor: Predictor, task: Task, partitions: Sequence[Partition], *, on_share: OnShare
) -> Generator[tuple[str, Outcome], None, None]:
    """Scores the partitions in this process, one behind the other; each is told with what came of it."""
    for one in partitions:
        yield one.name, score_partition(predictor, task, one, on_share=partial(on_share, one.name))


@dataclass(slots=True, eq=False)
class _Worker:
    process: SpawnProcess
    line: Connection
    partition: Partition | None = None


class _Crew:
    """Processes, the partitions that wait for one, and how often each has been tried; ``scratch`` is for copies."""

    def __init__(self, task: Task, partitions: Sequence[Partition], on_share: OnShare, scratch: str) -> None:
        self._task = task
        self._scratch = scratch
        self._on_share = on_share
        self._waiting = deque(sorted(partitions, key=lambda one: -one.size_bytes))
        self._deaths: Counter[str] = Counter()
        self.workers: list[_Worker] = []

    def hire(self, count: int) -> None:
        """Starts processes until there are so many, and no more than there is work for."""
        while len(self.workers) < count and sum(one.partition is None for one in self.workers) < len(self._waiting):
            line, other = _CONTEXT.Pipe()
            process = _CONTEXT.Process(target=_work, args=(self._task, other, self._scratch), daemon=True)
            process.start()
            other.close()
            self.workers.append(_Worker(process, line))

    def outcomes(self) -> Iterator[tuple[str, Outcome]]:
        """What has come of partitions by the time that some process says something."""
        ready = connection.wait([one.line for one in self.workers])
        for worker in [one for one in self.workers if one.line in ready]:
            try:
                said = worker.line.recv()
            except (EOFError, OSError):
                yield from self._died(worker)
                continue
            if isinstance(said, float):
                if worker.partition is not None:
                    self._on_share(worker.partition.name, said)
                continue
            if isinstance(said, Cannot):
                raise said.error()
            done, worker.partition = worker.partition, None
            self._give(worker)
            if done is not None:
                yield done.name, said

    def _give(self, worker: _Worker) -> None:
        """The next partition for a process that has none; it ends when there is none left."""
        worker.partition = self._waiting.popleft() if self._waiting else None
        with suppress(OSError):  # it has died: its line says so next
            worker.line.send(worker.partition)
        if worker.partition is None:
            worker.process.join(END_S)
            self.workers.remove(worker)

    def _died(self, worker: _Worker) -> Iterator[tuple[str, Outcome]]:
        self.workers.remove(worker)
        worker.process.join(END_S)
        done = worker.partition
        name = "" if done is None else done.name
        self._deaths[name] += 1
        if self._deaths[name] < ATTEMPTS:
            self._waiting.extendleft([] if done is None else [done])
            return
        failed = _death(worker.process.exitcode)
        if done is None:
            raise WorkerFailed(failed.message, hint=failed.hint)
        yield name, failed

    def end(self) -> None:
        """Ends every process at once; what it was writing leaves nothing behind."""
        for one in self.workers:
            one.process.kill()
        for one in self.workers:
            one.process.join(END_S)


def score_pool(
    task: Task, partitions: Sequence[Partition], *, workers: int, on_share: OnShare
) -> Generator[tuple[str, Outcome], None, None]:
    """Scores the partitions in so many processes, the largest first; each is told with what came of it.

    A process that dies is replaced, and its partition tried again. When the caller goes on no more they are all ended.

    Raises:
        WorkerFailed: a process cannot open the bundle.
    """
    # One folder for all copies, as a process that is killed clears nothing away.
    with tempfile.TemporaryDirectory(prefix="aweigh-set-") as scratch:
        crew = _Crew(task, partitions, on_share, scratch)
        try:
            crew.hire(workers)
            while crew.workers:
                yield from crew.outcomes()
                crew.hire(workers)
        finally:
            crew.end()


def _death(code: int | None) -> Failed:
    told = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return Failed(
        "worker_died",
        f"The process that scored it ended three times ({told}).",
        "signal 9 is most often the system's, for want of memory: --workers 1, or smaller files",
    )


def _work(task: Task, line: Connection, scratch: str) -> None:
    """What a process does: partitions as they come, until there are none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the first one ends us
    threading.Thread(target=_end_with_parent, args=(scratch,), daemon=True).start()
    tempfile.tempdir = scratch
    try:
        predictor = open_predictor(task)
    except (AweighError, OSError) as error:
        line.send(Cannot.of(error, task))
        return
    told_at = time.monotonic()

    def on_share(share: float) -> None:
        nonlocal told_at
        if time.monotonic() - told_at > TOLD_EVERY_S:
            told_at = time.monotonic()
            line.send(share)

    line.send(None)
    try:
        while (partition := line.recv()) is not None:
            line.send(score_partition(predictor, task, partition, on_share=on_share))
    except (EOFError, BrokenPipeError):
        return
    except OSError as error:
        line.send(Cannot.of(error, task))


def _end_with_parent(scratch: str) -> None:
    """Nobody writes where another run may write by then, and no copy is left."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        try:
            shutil.rmtree(scratch, ignore_errors=True)
        finally:
            os._exit(1)
