"""When pins were released, found by asking: on which first day could all of them be installed?

The index says when each file was uploaded (PEP 700); uv leaves out what came later. Some fifteen questions narrow the
day down, for any number of pins at once. An index that tells no dates offers nothing to a question with a date in it,
and that is how it is known.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aweigh.locking.need import Need
from aweigh.locking.resolution import Refusal, Setting, resolve

FIRST = dt.date(2003, 1, 1)
"""Before the index's first file."""
OLD_AFTER = dt.timedelta(days=180)
"""Pins of which the newest is older than this were written for another time than today's."""


@dataclass(frozen=True, slots=True)
class Released:
    """The day (UTC) on which the newest of some pins was released, and which one that was, where it can be told."""

    day: dt.date
    newest: str | None


def last_release(needs: Sequence[Need], setting: Setting, *, today: dt.date) -> Released | None:
    """When the newest of the pins among the needs was released; None where the index tells no dates, or lacks a pin.

    Raises:
        RemoteError: no index answers.
    """
    texts = [need.requirement for need in needs if need.pinned]
    if not texts or _refused(texts, setting, today) is not None:
        return None
    early, late = FIRST, today  # refused on the first, met on the second
    named: str | None = None
    while (late - early).days > 1:
        middle = early + (late - early) // 2
        answer = _refused(texts, setting, middle)
        if answer is None:
            late = middle
        else:
            early, named = middle, answer.package
    return Released(late, _pin(named, needs))


def tells_dates(name: str, setting: Setting, *, today: dt.date) -> bool | None:
    """Whether the index says of a package's files when they came; None where it offers none of them."""
    if _refused([name], setting, today) is None:
        return True
    return None if isinstance(resolve([name], replace(setting, as_of=None), alone=True), Refusal) else False


def _refused(texts: Sequence[str], setting: Setting, day: dt.date) -> Refusal | None:
    answer = resolve(texts, replace(setting, as_of=day), alone=True)
    return answer if isinstance(answer, Refusal) else None


def _pin(name: str | None, needs: Sequence[Need]) -> str | None:
    """The pin of that name, as people write it."""
    return next((f"{one.name} {one.pinned}" for one in needs if one.name == name and one.pinned), None)
