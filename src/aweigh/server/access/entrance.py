"""The entrance of a server as a whole: the door, and the pages on which people sign in."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp

from aweigh.server.access.door import Door


@dataclass(frozen=True, slots=True)
class Entrance:
    """``door`` decides who may come in; ``pages`` are there where people say who they are.

    ``close`` is called when the last request has been answered: what is held of budgets is given back.
    """

    door: Door
    pages: ASGIApp | None = None
    close: Callable[[], None] = lambda: None
