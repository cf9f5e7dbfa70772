"""Budgets as they are set: rows in a minute, a day and in all. What was spent of one is ``limits.py``'s."""

from collections.abc import Mapping
from dataclasses import dataclass

from aweigh.errors import ConfigError

MINUTE_S = 60
DAY_S = 86_400
NEVER_S = 366 * DAY_S
"""What is said of when to come again to who has spent all there is, or asks for more than there ever is."""

VARIABLES = {
    "per_minute": "AWEIGH_ROWS_PER_MINUTE",
    "per_day": "AWEIGH_ROWS_PER_DAY",
    "total": "AWEIGH_ROWS_TOTAL",
}
MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Budget:
    """Rows; None: without end."""

    per_minute: int | None = None
    per_day: int | None = None
    total: int | None = None


def budget_of(environ: Mapping[str, str]) -> Budget:
    """The budget that the environment names.

    Raises:
        ConfigError: one of its numbers is none.
    """
    found = {}
    for name, variable in VARIABLES.items():
        text = environ.get(variable, "").strip()
        if text and not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS and int(text) > 0):
            raise ConfigError(f"{variable} is no number of rows.", hint="give a whole number above 0, or unset it")
        found[name] = int(text) if text else None
    return Budget(**found)
