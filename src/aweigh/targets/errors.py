"""What goes wrong at every place alike, and how another program's words are quoted in a sentence of ours."""

import re
from collections.abc import Iterable

from aweigh.errors import RemoteError

AGAIN = "run the same command again: it goes on from where this one stopped"
MOST_QUOTED = 240
"""Characters of another program's own words in one of our sentences."""


class Occupied(RemoteError):
    """Somebody else changes the same app at this moment."""

    code = "occupied"


class NotUp(RemoteError):
    """The new release does not come up: it crashes, does not listen in time, or does not get ready."""

    code = "not_up"


class AnswersDiffer(RemoteError):
    """The new release does not answer as the bundle's own golden rows say."""

    code = "answers_differ"


Words = tuple[str, str, str]
"""What another program says (a pattern), the sentence in which that is told, and what to do."""


def told_by(text: str, words: Iterable[Words]) -> tuple[str, str] | None:
    """The sentence and the fix for what a program says; None where nothing of it is known."""
    found = (told for told in words if re.search(told[0], text, re.IGNORECASE))
    return next(((sentence, fix) for _, sentence, fix in found), None)


def quote(text: str, *, most: int = MOST_QUOTED) -> str:
    """Another program's words, in one line and not too many of them."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."


def last_words(text: str) -> str:
    """The last line that says something."""
    return next((one.strip() for one in reversed(text.splitlines()) if one.strip()), "")
