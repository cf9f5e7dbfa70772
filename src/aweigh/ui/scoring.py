"""Asking for many rows, a part at a time: what is done stays done, whether the page is left or the asking stopped."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aweigh.errors import AweighError, InvalidRows, TooLarge
from aweigh.schema import Schema
from aweigh.schema.domain import warnings_for
from aweigh.ui.api import Api
from aweigh.ui.fitting import Fitted
from aweigh.ui.words import label_of

FIRST_ROWS = 200
MOST_ROWS_AT_ONCE = 5000
WANTED_S = 0.4
"""A part is as large as keeps the progress moving at this pace."""


@dataclass(slots=True)
class Scoring:
    """The answers to a file's good rows as they come. ``order`` are the rows to be asked, ``done`` how many were.

    ``predictions`` holds one document a row of the file, None where none was given; ``warned`` maps a row to what was
    said of it, ``refused`` one that the model had no answer for to why.
    """

    schema: Schema
    fitted: Fitted
    order: list[int]
    predictions: list[dict[str, Any] | None]
    warned: dict[int, list[str]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    done: int = 0
    running: bool = True
    spent_s: float = 0.0
    error: AweighError | None = None
    at_once: int = FIRST_ROWS

    @classmethod
    def of(cls, schema: Schema, fitted: Fitted) -> "Scoring":
        """Nothing asked yet."""
        order = np.flatnonzero(~fitted.bad).tolist()
        return cls(schema, fitted, order, [None] * fitted.upload.rows)

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

    def stop(self) -> None:
        """Ask no more; what was answered is kept."""
        self.running = False

    def go_on(self) -> None:
        """Ask again from where it stopped."""
        self.running, self.error = True, None

    def step(self, api: Api) -> None:
        """Ask for the next part. An error of the API stops the asking and is kept in ``error``."""
        rows = self.order[self.done : self.done + self.at_once]
        begun = time.perf_counter()
        table = self.fitted.table.take(np.array(rows, dtype=np.int64))
        try:
            reply = api.predict(list(table.iter_rows()))
        except TooLarge as error:
            self._smaller(error)
            return
        except InvalidRows as error:
            self._refused(rows, error)
            return
        except AweighError as error:
            self.running, self.error = False, error
            return
        took_s = time.perf_counter() - begun
        self._keep(rows, reply.predictions)
        # The API lists the first hundred of a request; the results name every row.
        for one in warnings_for(self.schema, table, limit=len(rows) * len(self.schema.columns)):
            if one.row is not None and one.column is not None:
                label = label_of(self.schema.column(one.column))
                self.warned.setdefault(rows[one.row], []).append(f"{label}: {one.message}")
        self.spent_s += took_s
        self.done += len(rows)
        self.running = not self.finished
        wanted = int(len(rows) * WANTED_S / max(took_s, 1e-3))
        self.at_once = max(1, min(MOST_ROWS_AT_ONCE, 4 * self.at_once, wanted))

    def _keep(self, rows: Sequence[int], predictions: Sequence[dict[str, Any]]) -> None:
        for row, prediction in zip(rows, predictions, strict=True):
            self.predictions[row] = prediction

    def _smaller(self, error: TooLarge) -> None:
        if self.at_once == 1:
            self.running, self.error = False, error
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
        self.running = not self.finished
