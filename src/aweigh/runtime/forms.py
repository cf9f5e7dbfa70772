"""Which of a bundle's forms answers: measured once at load at a few sizes, or pinned; the quickest for each size.

All forms of a bundle give the same bits (they were held against each other when it was packed), so that who answers is
a matter of time alone. Where a call may take several threads, each form is a candidate on one as well: for a few rows
the others only get in the way. Where there is but one form nothing is measured.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from math import ceil
from typing import Literal

import msgspec
import numpy as np

from aweigh.bundle.manifest import Alternative, Manifest
from aweigh.errors import MissingExtra, UsageError
from aweigh.models.family import Predict
from aweigh.runtime.timing import quickest_s
from aweigh.table import Table, Values

SIZES = (1, 32, 1024)
"""Rows of the calls that are measured."""
BUDGET_S = 0.03
"""After so long no further call of one size begins: three sizes of two forms take a fifth of a second at most."""
LONGEST_S = 0.06
"""A size that would take longer is not measured: what it takes is guessed from the smaller ones."""
SEED = 20_261_123
WORTH = 0.9
"""A form takes over where it needs at most this share of the first form's time."""

AUTO, FASTEST, NATIVE = "auto", "fastest", "native"
LIBRARIES: Mapping[str, str] = {"xgboost": "xgboost", "catboost": "catboost", "lightgbm": "lightgbm"}


Key = tuple[str, int]


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """One form: ``microseconds`` a call took, by its number of rows; ``unused`` says why it may not answer here."""

    runtime: str
    threads: int
    microseconds: dict[int, float] = {}
    unused: str = ""


class Turn(msgspec.Struct, frozen=True):
    """From ``from_rows`` rows a call on, this form answers on so many threads."""

    from_rows: int
    runtime: str
    threads: int = 1


class Forms(msgspec.Struct, frozen=True):
    """Which form answers for how many rows, and how that was found out."""

    how: Literal["only", "pinned", "measured"]
    turns: tuple[Turn, ...]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Open:
    """A form that may be opened: ``make`` reads it and makes it ready to answer."""

    candidate: Candidate
    make: Callable[[], Predict]

    @property
    def key(self) -> Key:
        """What tells it from the others: its runtime and its threads."""
        return self.candidate.runtime, self.candidate.threads


def wanted(manifest: Manifest, form: str) -> tuple[set[str], dict[str, str]]:
    """The runtimes that may answer, and of the others why not.

    ``form`` is ``auto`` (the first form, and those whose library is in the locks), ``fastest`` (all whose library is
    installed), ``native`` (the one that is not ONNX) or a runtime's name.

    Raises:
        UsageError: the bundle has no such form.
        MissingExtra: the library of the one that is asked for is not installed.
    """
    others: dict[str, Alternative] = {one.runtime: one for one in manifest.alternatives}
    known: list[str] = [manifest.runtime, *others]
    if form in {AUTO, FASTEST}:
        unused = {
            name: "its library is not installed here"
            if not _is_installed(name)
            else "the bundle was packed without --with-native: it answers when asked for"
            for name, one in others.items()
            if not _is_installed(name) or (form == AUTO and not one.locked)
        }
        return {*known} - unused.keys(), unused
    pinned = next((name for name in known if name != "onnx"), form) if form == NATIVE else form
    if pinned not in known:
        raise UsageError(f"The bundle has no form {form!r}.", hint=f"it has {', '.join(known)}; or say auto or fastest")
    if pinned in others and not _is_installed(pinned):
        raise MissingExtra(f"the form {pinned!r} of this bundle", extra=pinned)
    return {pinned}, {name: f"{pinned} was asked for" for name in known if name != pinned}


def _is_installed(runtime: str) -> bool:
    return find_spec(LIBRARIES.get(runtime, runtime)) is not None


def choose(
    usable: Sequence[Open], idle: Sequence[Candidate], golden: Callable[[], Table], *, pinned: bool = False
) -> tuple[Predict, Forms]:
    """What answers, and the account of it; ``usable`` holds at least one form, the first one first.

    ``golden`` gives the rows that the calls are made of; it is not asked where there is nothing to choose.
    """
    if len(usable) == 1:
        only = usable[0]
        alone = (Turn(1, only.candidate.runtime, only.candidate.threads),)
        return only.make(), Forms("pinned" if pinned else "only", alone, (only.candidate, *idle))
    made = {one.key: one.make() for one in usable}
    taken = measure(made, golden())
    turns = turns_of(taken)
    measured = [msgspec.structs.replace(one.candidate, microseconds=taken[one.key]) for one in usable]
    answer = by_size([(one.from_rows, made[one.runtime, one.threads]) for one in turns])
    return answer, Forms("measured", turns, (*measured, *idle))


def measure(forms: Mapping[Key, Predict], rows: Table) -> dict[Key, dict[int, float]]:
    """Microseconds of a call by its number of rows, for each form, on rows made of ``rows``."""
    made = mixed(rows, SIZES[-1])
    taken: dict[Key, dict[int, float]] = {key: {} for key in forms}
    for size in SIZES:
        if any(_guess(one, size) > LONGEST_S * 1e6 for one in taken.values()):
            break
        table = made.take(slice(0, size))
        for key, predict in forms.items():
            if size == SIZES[0]:
                predict(table)  # what a first call does once
            # On one thread its own CPU time, which others hardly change; several that wait for a CPU are no quicker.
            clock = time.thread_time if key[1] == 1 else time.perf_counter
            seconds = quickest_s(partial(predict, table), clock=clock, budget_s=BUDGET_S)
            taken[key][size] = round(seconds * 1e6, 1)
    return taken


def mixed(rows: Table, count: int) -> Table:
    """So many rows of which no two are alike: each column is drawn by itself, a number from between two of its own.

    The same few rows again and again would flatter trees: a processor learns by heart which way they go.
    """
    generator = np.random.default_rng(SEED)
    columns = {}
    for name, values in rows.columns.items():
        drawn = values.take(generator.integers(0, rows.rows, count))
        if drawn.data.dtype.kind == "f":
            here, there = drawn.data.astype(np.float64), values.data.astype(np.float64)
            between = here + generator.random(count) * (there[generator.integers(0, rows.rows, count)] - here)
            drawn = Values(between.astype(drawn.data.dtype), drawn.missing, drawn.dtype, drawn.categories)
        columns[name] = drawn
    return Table(columns, count)


def _guess(taken: Mapping[int, float], size: int) -> float:
    """Microseconds at a size that was not measured: on the line through the two largest that were."""
    if len(taken) < 2:
        return 0.0
    (few, low), (many, high) = list(taken.items())[-2:]
    return high + (high - low) / (many - few) * (size - many)


def turns_of(taken: Mapping[Key, Mapping[int, float]]) -> tuple[Turn, ...]:
    """Who answers from how many rows on: the quickest at each size, and between two sizes where their lines cross."""
    first = next(iter(taken))
    last = SIZES[-1]
    curves = {key: dict(one) if last in one else {**one, last: _guess(one, last)} for key, one in taken.items()}
    sizes = list(curves[first])
    found: list[tuple[int, Key]] = []
    for few, size in pairwise([0, *sizes]):
        best = min(curves, key=lambda key: curves[key][size])
        if curves[best][size] > WORTH * curves[first][size]:
            best = first
        if not found:
            found.append((size, best))
        elif found[-1][1] != best:
            found.append((_crossing(curves[found[-1][1]], curves[best], few, size), best))
    return tuple(Turn(rows, *key) for rows, key in found)


def _crossing(before: Mapping[int, float], after: Mapping[int, float], few: int, many: int) -> int:
    """The number of rows between two sizes at which the line of one that was slower falls below the other's."""
    lead, lag = max(0.0, after[few] - before[few]), max(0.0, before[many] - after[many])
    rows = few + lead / ((lead + lag) or 1.0) * (many - few)
    return min(max(ceil(rows), few + 1), many)


def by_size(turns: Sequence[tuple[int, Predict]]) -> Predict:
    """One that answers a call by its number of rows: a comparison for the fewest, one more for each further form."""
    (_, few), *rest = turns
    if not rest:
        return few
    switch, many = rest[0][0], by_size(rest)
    return lambda table: few(table) if table.rows < switch else many(table)
