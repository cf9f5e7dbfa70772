"""What every platform can do with a release, and what it says of what runs there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from aweigh.targets.release import Release


@dataclass(frozen=True, slots=True)
class Status:
    """What runs: ``url`` is its address, ``release`` the platform's own name of what is live (``v12``)."""

    name: str
    state: Literal["absent", "deploying", "up", "starting", "down", "crashed"]
    url: str | None = None
    release: str | None = None
    bundle: str | None = None
    """The short digest of the bundle that is live, where the platform was told."""
    replicas: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()


class Target(Protocol):
    """A platform."""

    def render(self, release: Release) -> Mapping[str, bytes]:
        """Every document that is sent or written; nothing is asked of anybody."""
