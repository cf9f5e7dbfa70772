"""Who is told of a deployment where a build or a program says something of its own."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Telling:
    """Who is told: ``line`` of each step that is done (name, text, seconds), ``hear`` of each line of what is run."""

    line: Callable[[str, str, float], None] = lambda *_: None
    hear: Callable[[str], None] = lambda _: None
