"""The entrance of a server as a whole: the door, and the pages on which people sign in."""

from dataclasses import dataclass

from starlette.types import ASGIApp

from aweigh.server.access.door import Door


@dataclass(frozen=True, slots=True)
class Entrance:
    """``door`` decides who may come in; ``pages`` are there where people say who they are."""

    door: Door
    pages: ASGIApp | None = None
