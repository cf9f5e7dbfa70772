"""How robust a model is: its portable form attacked when it is packed, and what came of it, for the card.

Numbers are moved within their observed ranges, in interquartile ranges of their columns; choices are swapped for
others, one column at a time. Times, text, and what is missing stay as they are.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.bundle.findings import Robustness, Share
from aweigh.errors import UsageError
from aweigh.models.family import Predict
from aweigh.packing.boundary import CLIMBS, ROUNDS, Points, Room, farthest, nearest_flips
from aweigh.schema.answers import Answers
from aweigh.schema.column import Column, Schema
from aweigh.table import Table, Values

ROWS = 100
SIZES = (0.1, 0.25, 0.5, 1.0)
MOST_S = 120.0
"""The search ends after so long, whatever it has found by then: only for models of milliseconds a row."""
ASKED_AT_ONCE = 20_000
STARTS = 6
"""Rows of the sample with another answer, the nearest first, that a search begins from."""
GUESSES = 40
MOST_CHOICES = 8
SHOWN_COLUMNS = 5
DIGITS = 4
SEED = 20_261_130

Watch = Callable[[int, int], None]
"""Told how much of the search is done, and of how much."""


def robustness(
    predict: Predict, schema: Schema, table: Table, *, watch: Watch, most_s: float = MOST_S, rows: int = ROWS
) -> Robustness:
    """What an attack on a model finds, beginning from ``rows`` of a sample; the same sample gives the same figures.

    Raises:
        UsageError: the model answers neither one of several nor a number, or no column can be changed.
    """
    attack = Attack(predict, schema, table, most_s=most_s, rows=rows, watch=watch)
    if not attack.numbers and not attack.choices:
        raise UsageError("--robustness has nothing to change: no column is a number or a choice.")
    return attack.run()


def not_attackable(task: str) -> UsageError:
    """What is said where the model answers neither one of several nor a number."""
    return UsageError(
        f"--robustness is for models that answer one of several or a number, not {task!r}.", hint="leave it out"
    )


def _code(answers: Answers) -> NDArray[np.int64] | None:
    """The answer as one of several; None where it is none."""
    for one in (answers.index, answers.cluster, answers.outlier):
        if one is not None:
            return one.astype(np.int64)
    return None


def _number(answers: Answers) -> NDArray[np.float64] | None:
    """The answer as one number; None where it is none."""
    if answers.values is None or answers.output.task != "number":
        return None
    return answers.values[:, 0]


def _nobody(_done: int, _total: int) -> None:
    """Watches nothing."""


@dataclass(slots=True, eq=False)
class Attack:
    """One attack: the rows that it begins from are ``own``, the ``distances`` those of the flips that it found.

    Points are rows of the columns in ``numbers``, each in its ``unit``.
    """

    predict: Predict
    schema: Schema
    table: Table
    most_s: float
    rows: int
    watch: Watch = _nobody
    queries: int = 0
    begun_s: float = field(default_factory=time.monotonic)
    cut_short: bool = False
    chosen: NDArray[np.int64] = field(init=False)
    own: Table = field(init=False)
    numbers: list[Column] = field(init=False)
    choices: list[Column] = field(init=False)
    unit: Points = field(init=False)
    distances: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        table = self.table
        self.chosen = np.unique(np.linspace(0, table.rows - 1, min(self.rows, table.rows)).round().astype(np.int64))
        self.own = table.take(self.chosen)
        units = {column.name: _unit(table[column.name]) for column in self.schema.columns if _moves(column)}
        self.numbers = [column for column in self.schema.columns if units.get(column.name, 0.0) > 0]
        self.choices = [column for column in self.schema.columns if len(self._kinds(column)) > 1]
        self.unit = np.array([units[column.name] for column in self.numbers])
        self.distances = np.full(len(self.chosen), np.inf)

    def run(self) -> Robustness:
        """Searches, and says what came of it."""
        answers = self._ask(self.table)
        codes, values = _code(answers), _number(answers)
        if codes is not None:
            return self._flips(codes)
        if values is not None:
            return self._moves(values)
        raise not_attackable(self.schema.output.task)

    # -- asking ------------------------------------------------------------------------------------------------------

    def _ask(self, table: Table) -> Answers:
        self.queries += table.rows
        return self.predict(table)

    def _changed(self, rows: NDArray[np.int64], points: Points) -> Table:
        """The rows with these numbers; what is missing stays so."""
        base = self.own.take(rows)
        columns = dict(base.columns)
        for place, column in enumerate(self.numbers):
            given = columns[column.name]
            cells = points[:, place] * self.unit[place]
            cells = np.clip(cells, float(column.minimum or 0), float(column.maximum or 0))
            if column.type == "integer":
                data: NDArray[np.generic] = np.rint(cells).astype(np.int64)
            elif column.dtype == "float32":
                data = cells.astype(np.float32).astype(np.float64)
            else:
                data = cells
            if given.missing is not None:
                data = np.where(given.missing, given.data, data)
            columns[column.name] = Values(data, given.missing)
        return Table(columns, base.rows)

    def _told(
        self, rows: NDArray[np.int64], points: Points, read: Callable[[Answers], NDArray[np.generic] | None]
    ) -> NDArray[np.generic]:
        parts = []
        for start in range(0, len(rows), ASKED_AT_ONCE):
            here = slice(start, start + ASKED_AT_ONCE)
            told = read(self._ask(self._changed(rows[here], points[here])))
            parts.append(np.zeros(0) if told is None else told)
        return np.concatenate(parts) if parts else np.zeros(0)

    def _go_on(self, done: int, total: int) -> bool:
        self.watch(done, total)
        if time.monotonic() - self.begun_s > self.most_s:
            self.cut_short = True
        return not self.cut_short

    def points(self, table: Table) -> Points:
        """The numbers of rows, a missing one as the middle of its column's range: it is never moved."""
        columns = []
        for column in self.numbers:
            values = table[column.name]
            cells = values.data.astype(np.float64)
            if values.missing is not None:
                cells = np.where(values.missing, (float(column.minimum or 0) + float(column.maximum or 0)) / 2, cells)
            columns.append(cells)
        return np.array(columns).T.reshape(table.rows, len(columns)) / self.unit

    @property
    def room(self) -> Room:
        """Where points may lie."""
        ends = [(float(column.minimum or 0), float(column.maximum or 0)) for column in self.numbers]
        low, high = np.array(ends).T / self.unit
        grid = np.array([1.0 if column.type == "integer" else 0.0 for column in self.numbers]) / self.unit
        return Room(low, high, grid)

    # -- one of several ----------------------------------------------------------------------------------------------

    def _flips(self, codes: NDArray[np.int64]) -> Robustness:
        mine = codes[self.chosen]
        distances = self.distances
        columns: tuple[Share, ...] = ()
        if self.numbers:
            origins = self.points(self.own)

            def flips(rows: NDArray[np.int64], points: Points) -> NDArray[np.bool_]:
                return np.asarray(self._told(rows, points, _code) != mine[rows])

            room, generator = self.room, np.random.default_rng(SEED)
            starts = self._starts(codes, origins, flips, room, generator)
            there = np.flatnonzero(np.isfinite(starts[:, 0]))
            found = nearest_flips(
                lambda rows, points: flips(there[rows], points),
                origins[there],
                starts[there],
                room,
                generator,
                go_on=lambda turn: self._go_on(turn, ROUNDS),
            )
            distances[there] = np.sqrt(((found - origins[there]) ** 2).sum(axis=1))
            columns = self._carried(found - origins[there])
        middle = float(np.median(distances)) if len(distances) else np.inf
        swaps = self._swaps(lambda told, row: told != mine[row], _code)
        return Robustness(
            how="flips",
            rows=len(mine),
            queries=self.queries,
            sizes=SIZES,
            shares=tuple(_rounded(float((distances <= size).mean())) for size in SIZES),
            median=_rounded(middle) if np.isfinite(middle) else None,
            columns=columns,
            swaps=swaps,
            cut_short=self.cut_short,
        )

    def _starts(
        self,
        codes: NDArray[np.int64],
        origins: Points,
        flips: Callable[[NDArray[np.int64], Points], NDArray[np.bool_]],
        room: Room,
        generator: np.random.Generator,
    ) -> Points:
        """A point with another answer for each row, NaN where none was found: the nearest of some rows and guesses."""
        everywhere = self.points(self.table)
        starts = np.full(origins.shape, np.nan)
        best = np.full(len(origins), np.inf)
        wide = origins.shape[1]
        for guessing in (False, True):
            open_rows = np.flatnonzero(~np.isfinite(best))
            if not len(open_rows):
                break
            candidates = []
            for row in open_rows.tolist():
                if guessing:
                    drawn = room.low + generator.random((GUESSES, wide)) * (room.high - room.low)
                    candidates.append(room.fit(drawn))
                    continue
                others = np.flatnonzero(codes != codes[self.chosen[row]])
                near = np.argsort(((everywhere[others] - origins[row]) ** 2).sum(axis=1), kind="stable")[:STARTS]
                candidates.append(room.fit(everywhere[others[near]].reshape(-1, wide)))
            rows = np.repeat(open_rows, [len(some) for some in candidates])
            points = np.concatenate(candidates)
            for place in np.flatnonzero(flips(rows, points)).tolist() if len(rows) else []:
                far = float(((points[place] - origins[rows[place]]) ** 2).sum())
                if far < best[rows[place]]:
                    best[rows[place]], starts[rows[place]] = far, points[place]
        return starts

    # -- a number ----------------------------------------------------------------------------------------------------

    def _moves(self, values: NDArray[np.float64]) -> Robustness:
        mine = values[self.chosen]
        middle: list[float] = []
        most: list[float] = []
        columns: tuple[Share, ...] = ()
        if self.numbers:
            origins, room = self.points(self.own), self.room
            generator = np.random.default_rng(SEED)

            def told(rows: NDArray[np.int64], points: Points) -> NDArray[np.float64]:
                return self._told(rows, points, _number).astype(np.float64)

            for nth, size in enumerate(SIZES):
                moved, points = farthest(
                    told, origins, size, room, generator,
                    go_on=lambda turn, nth=nth: self._go_on(nth * CLIMBS + turn, len(SIZES) * CLIMBS),  # type: ignore[misc]
                )  # fmt: skip
                middle.append(_rounded(float(np.median(moved))))
                most.append(_rounded(float(np.quantile(moved, 0.9))))
                columns = self._carried((points - origins)[moved > 0])
        ends = np.quantile(values[np.isfinite(values)], [0.25, 0.75]) if np.isfinite(values).any() else np.zeros(2)
        swaps = self._swaps(lambda told, row: np.abs(told.astype(np.float64) - mine[row]), _number)
        return Robustness(
            how="moves",
            rows=len(mine),
            queries=self.queries,
            sizes=SIZES if middle else (),
            middle=tuple(middle),
            most=tuple(most),
            spread=_rounded(float(ends[1] - ends[0])),
            columns=columns,
            swaps=swaps,
            cut_short=self.cut_short,
        )

    # -- choices -----------------------------------------------------------------------------------------------------

    def _kinds(self, column: Column) -> list[object]:
        """The most frequent values of a choice; none of another column."""
        if column.type != "boolean" and (column.categories is None or column.type == "text"):
            return []
        counts = Counter(self.table[column.name].present().tolist())
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
        return [kind for kind, _ in ranked[:MOST_CHOICES]]

    def _swaps(
        self,
        effect: Callable[[NDArray[np.generic], NDArray[np.int64]], NDArray[np.generic]],
        read: Callable[[Answers], NDArray[np.generic] | None],
    ) -> tuple[Share, ...]:
        """What another choice in one column does: the share that is flipped, or how far half of the numbers move."""
        rows = np.arange(self.own.rows)
        shares = []
        for column in self.choices:
            if not self._go_on(0, 0):
                break
            given = self.own[column.name]
            worst = np.zeros(len(rows))
            for kind in self._kinds(column):
                data: Any = given.data.copy()
                data[:] = kind
                kept = given.as_mask() | (given.data == data)  # what is missing, or the same already
                changed = Values(np.where(kept, given.data, data), given.missing)
                told = read(self._ask(Table({**self.own.columns, column.name: changed}, len(rows))))
                if told is not None:
                    worst = np.maximum(worst, np.where(kept, 0.0, effect(told, rows).astype(np.float64)))
            share = float(worst.mean()) if read is _code else float(np.median(worst))
            shares.append(Share(column=column.name, share=_rounded(share)))
        return tuple(sorted(shares, key=lambda one: (-one.share, one.column))[:SHOWN_COLUMNS])

    def _carried(self, moved: Points) -> tuple[Share, ...]:
        """The columns that carry the change: their shares of the squared distance, a mean over the rows."""
        squares = moved**2
        total = squares.sum(axis=1, keepdims=True)
        squares = squares[total[:, 0] > 0] / total[total[:, 0] > 0]
        if not len(squares):
            return ()
        shares = squares.mean(axis=0).tolist()
        named = [
            Share(column=column.name, share=_rounded(share))
            for column, share in zip(self.numbers, shares, strict=True)
            if share > 0
        ]
        return tuple(sorted(named, key=lambda one: (-one.share, one.column))[:SHOWN_COLUMNS])


def _moves(column: Column) -> bool:
    return column.is_number and column.categories is None and isinstance(column.minimum, int | float)


def _unit(values: Values) -> float:
    """The interquartile range of a column; half its range where its quartiles are one."""
    present = np.sort(values.present().astype(np.float64))
    if not len(present):
        return 0.0
    low, high = (present[int(np.ceil(part * len(present))) - 1] for part in (0.25, 0.75))
    wide = float(high - low) or float(present[-1] - present[0]) / 2
    return wide if np.isfinite(wide) else 0.0


def _rounded(number: float) -> float:
    """Few digits: more would be different on another machine, and say nothing."""
    return float(f"{number:.{DIGITS}g}")
