"""A person whose rows are to be found and erased, and what everything that keeps rows offers for that.

Whoever keeps anything of rows registers in ``registry.KEEPERS``: one line there is all that ``aweigh forget`` needs to
reach it.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from aweigh.secret import Secret
from aweigh.table.csv import FORMULA_STARTS

_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
"""A number as people write one: ``007`` and ``10_01`` are names of something, and equal nothing but themselves."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose rows are meant: those with this value in this column. The value prints as a secret does."""

    column: str
    value: Secret

    def is_named(self, column: str) -> bool:
        """Whether a column is the one that is meant, whatever its capitals and the spaces around it."""
        return column.strip().casefold() == self.column.strip().casefold()

    def is_in(self, cell: object) -> bool:
        """Whether a cell is the value: the same text but for capitals and outer spaces, or the same number or day."""
        if cell is None or isinstance(cell, bool):
            return False
        wanted = self.value.reveal().strip()
        if isinstance(cell, dt.datetime | dt.date):
            return cell.isoformat() == wanted or (
                isinstance(cell, dt.datetime) and cell.time() == dt.time() and cell.date().isoformat() == wanted
            )
        text = str(cell).strip()
        if text.startswith("'") and text[1:2] in FORMULA_STARTS:
            text = text[1:]  # as a result's CSV disarms what a spreadsheet would run: a phone number begins with a plus
        if text.casefold() == wanted.casefold():
            return True
        number = _number(wanted)
        if number is None:
            return False
        if isinstance(cell, float):
            return float(number) == cell  # what was a long number before it became a float cannot be told any more
        return number == _number(text)

    def in_row(self, row: Mapping[str, object]) -> bool:
        """Whether a row is theirs."""
        return any(self.is_named(name) and self.is_in(cell) for name, cell in row.items())

    def in_cells(self, cells: Iterable[object]) -> bool:
        """Whether any of some cells is the value, where nobody knows which column each is of."""
        return any(map(self.is_in, cells))

    def in_text(self, text: str) -> bool:
        """Whether the value stands somewhere in a text."""
        return self.value.reveal().strip().casefold() in text.casefold()


def _number(text: str) -> Decimal | None:
    """The number that a text is, to its last digit."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class Held:
    """How many rows, records or answers of a subject there are, and what there is to say of them."""

    count: int
    notes: tuple[str, ...] = ()


class Keeper(Protocol):
    """Something that keeps rows, or what was said of them."""

    name: str

    def find(self, subject: Subject) -> Held:
        """What it holds of the subject."""
        ...

    def erase(self, subject: Subject) -> Held:
        """Erases that; how much it was."""
        ...

    def close(self) -> None:
        """Ends what was opened."""
        ...


FORGOTTEN = "forgotten"
"""The file whose change tells the processes of this machine to let go of the answers that they know."""


def mark_of(state: Path) -> int | None:
    """When somebody was last forgotten on this machine, in nanoseconds; None: never."""
    try:
        return (state / FORGOTTEN).stat().st_mtime_ns
    except OSError:
        return None
