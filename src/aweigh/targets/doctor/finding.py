"""What was found: one subject, how bad it is, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["pass", "warn", "fail"]
LEVELS: tuple[Level, ...] = ("fail", "warn", "pass")
"""The worst first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    ``code`` is a stable slug for programs; ``where`` names the file, and its line where there is one; ``fix`` is empty
    where nothing is to be done.
    """

    code: str
    level: Level
    what: str
    fix: str = ""
    where: str = ""


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The worst first, otherwise in the order in which they were found; the same one only once."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda one: LEVELS.index(one.level)))


def has_failed(findings: Iterable[Finding]) -> bool:
    """Whether one of them says that it would not work there."""
    return any(one.level == "fail" for one in findings)
