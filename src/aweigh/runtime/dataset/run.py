"""A run over a data set: what is to be done, by whom, what came of it, and the record of it beside the answers."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from aweigh.errors import DataError, UsageError
from aweigh.runtime.dataset import lock, record
from aweigh.runtime.dataset.errors import StoreFailed
from aweigh.runtime.dataset.lock import only_run
from aweigh.runtime.dataset.partitions import BAD, DataSet, Partition
from aweigh.runtime.dataset.place import Folder, Found, Place, open_place
from aweigh.runtime.dataset.record import Done, Failed, Ledger, Outcome, Record, check_same, read_record
from aweigh.runtime.dataset.work import Task

HOPELESS = 10
"""So many partitions that failed, and none that did not, now or before: the rest would not fare better."""
OWN = frozenset({record.NAME, lock.NAME})

OnShare = Callable[[str, float], None]
Outcomes = Generator[tuple[str, Outcome], None, None]
Runner = Callable[[Task, Sequence[Partition], OnShare], Outcomes]
"""Scores partitions, wherever that is, and tells of each what came of it, in any order."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: bytes of the input that are done, of how many to do; partitions and rows that are done."""

    bytes_done: int
    bytes_total: int
    partitions: int
    rows: int


@dataclass(frozen=True, slots=True)
class ScoredSet:
    """What came of a data set: of all its partitions, those of earlier runs included.

    ``skipped`` were finished before; ``gone`` are partitions of earlier runs whose input is there no more: their
    answers stay. ``stale`` are files of earlier runs that nothing vouches for, and that go when all is scored. ``rest``
    is how many were not begun, as too many had failed.
    """

    partitions: int
    skipped: int
    done: Mapping[str, Done]
    failed: Mapping[str, Failed]
    gone: tuple[str, ...]
    stale: tuple[str, ...]
    ignored: tuple[str, ...]
    rest: int
    seconds: float

    @property
    def rows(self) -> int:
        """The rows that were read."""
        return sum(one.rows for one in self.done.values())

    @property
    def good(self) -> int:
        """The rows that were answered."""
        return sum(one.good for one in self.done.values())

    @property
    def bad(self) -> int:
        """The rows that were not."""
        return sum(one.bad for one in self.done.values())

    @property
    def flagged(self) -> int:
        """Answered rows that lie outside what the model has seen."""
        return sum(one.flagged for one in self.done.values())

    def counted(self, what: str) -> dict[str, int]:
        """The ``problems`` or ``flags`` of all partitions, by code."""
        found: Counter[str] = Counter()
        for one in self.done.values():
            found.update(getattr(one, what))
        return dict(sorted(found.items()))


@dataclass(slots=True)
class _Meter:
    """Adds up what is told of partitions that are under way."""

    sizes: Mapping[str, int]
    tell: Callable[[Progress], None]
    bytes_done: int = 0
    partitions: int = 0
    rows: int = 0
    _shares: dict[str, float] = field(default_factory=dict)

    def share(self, name: str, share: float) -> None:
        self._shares[name] = share
        under_way = sum(self.sizes[one] * part for one, part in self._shares.items())
        self.tell(Progress(self.bytes_done + int(under_way), sum(self.sizes.values()), self.partitions, self.rows))

    def done(self, name: str, outcome: Outcome) -> None:
        self._shares.pop(name, None)
        self.bytes_done += self.sizes[name]
        self.partitions += 1
        self.rows += outcome.rows if isinstance(outcome, Done) else 0
        self.share("", 0.0)


def score_set(
    data: DataSet,
    task: Task,
    *,
    name: str,
    runner: Runner,
    force: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> ScoredSet:
    """Scores what of a data set is not scored yet; ``name`` is the bundle's, ``task.out`` where the answers go.

    Raises:
        UsageError: another run is at it, the place holds something else, or answers of another bundle, of other data or
            with other options, and ``force`` is not set.
        DataError: the record of an earlier run cannot be read.
        StoreFailed, OSError: the places cannot be used. What is finished by then is so in the next run.
    """
    out = open_place(task.out)
    check_apart(data.place, out)
    started = time.perf_counter()
    with only_run(out) as still:
        there = {one: found for one, found in out.files().items() if one not in OWN}
        ledger = Ledger(out, still, name, task.digest, told(data.place, data.data), task.options)
        todo = _open(ledger, data, there, out, force=force)
        skipped = len(data.partitions) - len(todo)
        gone = tuple(sorted(ledger.done.keys() - {one.name for one in data.partitions}))
        ledger.write()
        meter = _Meter({"": 0} | {one.name: one.size_bytes for one in todo}, on_progress)
        try:
            rest = len(todo) - _run(ledger, meter, runner(task, todo, meter.share))
        except BaseException:
            with suppress(OSError, StoreFailed, UsageError):  # what ended the run is what is told
                ledger.write()
            raise
        finished = not rest and not ledger.failed
        if finished:
            still()
            for one in ledger.stale:
                out.remove(one)
            ledger.stale = set()
        ledger.write(finished=finished)
    return ScoredSet(
        partitions=len(data.partitions),
        skipped=skipped,
        done={one: done for one, done in ledger.done.items() if one not in gone},
        failed=ledger.failed,
        gone=gone,
        stale=tuple(sorted(ledger.stale)),
        ignored=data.ignored,
        rest=rest,
        seconds=time.perf_counter() - started,
    )


def told(place: Place, data: str) -> str:
    """The data as it is written down: a folder by its whole path, so that a run from elsewhere is the same."""
    return str(Path(data).resolve()) if isinstance(place, Folder) and "://" not in data else data


def check_apart(data: Place, out: Place) -> None:
    """The answers do not go among the data, where the next run would take them for some.

    Raises:
        UsageError: they would.
    """
    one, other = (f"{place.address.rstrip('/')}/" for place in (data, out))
    if one.startswith(other) or other.startswith(one):
        raise UsageError("The answers cannot go into the folder of the data, nor around it.",
                         hint="name a folder beside it with -o")  # fmt: skip


def _open(ledger: Ledger, data: DataSet, there: Mapping[str, Found], out: Place, *, force: bool) -> list[Partition]:
    """Takes over what an earlier run has finished; the partitions that are to be scored."""
    before = _readable(out) if force else read_record(out)
    if before is None:
        if there and not force:
            raise UsageError(
                f"{out.address} holds files already, and none of them says that they are answers.",
                hint="name an empty folder with -o; --force writes beside and over them",
            )
        return list(data.partitions)
    if not force:
        check_same(before, bundle=ledger.bundle, digest=ledger.digest, data=ledger.data, options=ledger.options)
        names = {one.name: one for one in data.partitions}
        ledger.done = {
            name: done
            for name, done in before.partitions.items()
            if name not in names or done.still_holds(names[name], there)
        }
    ledger.stale = _stale(before, ledger.done, there)
    return [one for one in data.partitions if one.name not in ledger.done]


def _readable(out: Place) -> Record | None:
    try:
        return read_record(out)
    except DataError:
        return None


def _stale(before: Record, done: Mapping[str, Done], there: Mapping[str, Found]) -> set[str]:
    """What earlier runs have written of which nothing that is done speaks; no more than is there, whatever is said."""
    kept = {one.output for one in done.values()}
    written = {*before.stale, *(one.output for one in before.partitions.values())}
    left = {name for one in written for name in (one, one + BAD)} - {name for one in kept for name in (one, one + BAD)}
    return left & there.keys()


def _run(ledger: Ledger, meter: _Meter, outcomes: Outcomes) -> int:
    """Takes down what comes; how many partitions that were."""
    count = 0
    with closing(outcomes):
        for name, outcome in outcomes:
            ledger.put(name, outcome)
            meter.done(name, outcome)
            count += 1
            if not ledger.done and count >= HOPELESS:
                break
    return count
