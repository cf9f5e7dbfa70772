"""Asking for many rows, a part at a time: what is done stays done, whether the page is left or the asking stopped."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aweigh.errors import AweighError, InvalidRows, TooLarge
from aweigh.schema import Schema
from aweigh.schema.domain import Domain
from aweigh.table import Table
from aweigh.ui.api import Api
from aweigh.ui.fitting import Fitted
from aweigh.ui.flat import cells_of, names_of
from aweigh.ui.words import label_of

FIRST_ROWS = 25
MOST_ROWS_AT_ONCE = 5000
QUICK_S, SLOW_S = 1.0, 4.0
"""A part that took less is followed by a larger one, one that took more by a smaller one: the progress keeps moving."""


class AnotherModel(AweighError):  # noqa: N818  named as those of errors.py
    """In the middle of a file another model began to answer: its rows would be the answers of two."""

    code = "another_model"

    def __init__(self, before: str, now: str) -> None:
        super().__init__(
            f"The model changed while the file was scored: {before[:12]} answered, and {now[:12]} does now.",
            hint="go on: it starts again with the first row, for the answers of one model",
        )


@dataclass(slots=True)
class Scoring:
    """The answers to a file's good rows as they come. ``order`` are the rows to be asked, ``done`` how many were.

    ``columns`` hold the answers' cells, as many as the file has rows, None where no answer was given; ``answered`` says
    of each row whether it was. ``warned`` maps a row to what was said of it, ``refused`` one that the model had no
    answer for to why. ``version`` is the model's that answered the first part: a file gets the answers of one.
    """

    schema: Schema
    domain: Domain
    fitted: Fitted
    order: list[int]
    columns: list[list[Any]]
    answered: bytearray
    warned: dict[int, list[str]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    done: int = 0
    wanted: bool = True
    spent_s: float = 0.0
    error: AweighError | None = None
    version: str = ""
    at_once: int = FIRST_ROWS
    # Streamlit starts the next run of a page while the last one still waits for its part.
    turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, domain: Domain, fitted: Fitted) -> "Scoring":
        """Nothing asked yet."""
        order = np.flatnonzero(~fitted.bad).tolist()
        rows = fitted.upload.rows
        columns: list[list[Any]] = [[None] * rows for _ in names_of(domain.schema.output)]
        return cls(domain.schema, domain, fitted, order, columns, bytearray(rows))

    @property
    def finished(self) -> bool:
        """Whether every good row has its answer."""
        return self.done >= len(self.order)

    @property
    def rows_per_s(self) -> float:
        """The pace so far."""
        return self.done / self.spent_s if self.spent_s else 0.0

    @property
    def left_s(self) -> float:
        """About how long the rest takes."""
        return (len(self.order) - self.done) / self.rows_per_s if self.rows_per_s else 0.0

    @property
    def running(self) -> bool:
        """Whether there is more to ask, and nothing against it."""
        return self.wanted and self.error is None and not self.finished

    def stop(self) -> None:
        """Ask no more; what was answered is kept."""
        self.wanted = False

    def go_on(self) -> None:
        """Ask again from where it stopped; from the first row where another model answers since."""
        if isinstance(self.error, AnotherModel):
            self.done, self.version = 0, ""
            self.warned.clear()
            self.answered[:] = bytes(len(self.answered))
        self.wanted, self.error = True, None

    def step(self, api: Api) -> None:
        """Ask for the next part. An error of the API ends the asking and is kept in ``error``."""
        with self.turn:
            rows = self.order[self.done : self.done + self.at_once]
            table = self.fitted.table.take(np.array(rows, dtype=np.int64))
            begun = time.perf_counter()
            try:
                reply = api.predict(list(table.iter_rows()))
            except TooLarge as error:
                self._smaller(error)
            except InvalidRows as error:
                self._refused(rows, error)
            except AweighError as error:
                self.error = error
            else:
                if self.version not in {"", reply.version}:
                    self.error = AnotherModel(self.version, reply.version)
                    return
                self.version = reply.version
                self._keep(rows, table, reply.predictions)
                self._pace(time.perf_counter() - begun)

    def _pace(self, took_s: float) -> None:
        self.spent_s += took_s
        if took_s < QUICK_S:
            self.at_once = min(MOST_ROWS_AT_ONCE, self.at_once * (4 if took_s < QUICK_S / 4 else 2))
        elif took_s > SLOW_S:
            self.at_once = max(1, self.at_once // 2)

    def _keep(self, rows: Sequence[int], table: Table, predictions: Sequence[dict[str, Any]]) -> None:
        one_of_each: dict[Any, Any] = {}  # a label is held once, not once a row
        for row, prediction in zip(rows, predictions, strict=True):
            for column, cell in zip(self.columns, cells_of(self.schema.output, prediction), strict=True):
                column[row] = one_of_each.setdefault(cell, cell) if isinstance(cell, str) else cell
            self.answered[row] = 1
        # The API lists the first hundred of a request; the results name every row.
        warn = self.domain.compile("flag", limit=None)
        for one in [] if warn is None else warn(table):
            if one.row is not None and one.column is not None:
                label = label_of(self.schema.column(one.column))
                self.warned.setdefault(rows[one.row], []).append(f"{label}: {one.message}")
        self.done += len(rows)

    def _smaller(self, error: TooLarge) -> None:
        if self.at_once == 1:
            self.error = error
        self.at_once = max(1, self.at_once // 4)

    def _refused(self, rows: Sequence[int], error: InvalidRows) -> None:
        """Rows that the model itself has no answer for are put aside with what was said of them; the others go on."""
        said = {rows[one.row]: one.message for one in error.problems if one.row is not None and one.row < len(rows)}
        if not said and len(rows) == 1:
            said = {rows[0]: error.message}
        if not said:
            self.at_once = max(1, self.at_once // 4)
            return
        self.refused |= said
        self.order = [row for row in self.order if row not in said]
