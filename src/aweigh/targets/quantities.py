"""How many replicas of each process type somebody types: the same words on every platform."""

import re
from collections.abc import Sequence

from aweigh.errors import UsageError

MOST = 100
"""Of a process type, on any platform: Heroku has no more, and a slip of the finger costs no fortune."""


def parse_quantities(words: Sequence[str]) -> dict[str, int]:
    """What is to be scaled: ``web=2``, ``worker=1``; a number alone is ``web``'s.

    Raises:
        UsageError: one says neither.
    """
    found = {}
    for word in words:
        kind, _, count = word.rpartition("=")
        if not re.fullmatch(r"[-\w]{0,128}", kind) or not (count.isascii() and count.isdigit()) or int(count) > MOST:
            raise UsageError(f"{word[:40]!r} scales nothing.", hint="write a number, or TYPE=NUMBER as in worker=2")
        found[kind or "web"] = int(count)
    return found
