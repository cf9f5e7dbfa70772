"""Identity: who asks, and what they may."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, Literal, get_args

Scope = Literal["read", "predict", "feedback", "operate", "admin"]
"""What a request needs, and a key is made for."""

SCOPES: tuple[Scope, ...] = get_args(Scope)


class Role(IntEnum):
    """What a person is here; each may do all that those below it may. Names are small on the wire."""

    VIEWER = 1
    PREDICTOR = 2
    OPERATOR = 3
    ADMIN = 4

    @property
    def label(self) -> str:
        """The name as it is written: ``viewer``."""
        return self.name.lower()


SCOPES_OF: Mapping[Role, frozenset[Scope]] = {
    Role.VIEWER: frozenset({"read"}),
    Role.PREDICTOR: frozenset({"read", "predict"}),
    Role.OPERATOR: frozenset({"read", "predict", "feedback", "operate"}),
    Role.ADMIN: frozenset(SCOPES),
}
"""What each role may do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks.

    ``id`` is stable and opaque (``p_...``, ``k_...``): it goes into logs, jobs and budgets. ``name`` is for the eye.
    ``scopes`` of a key are its own, cut down to its owner's role. ``session`` is the digest of a person's session.
    """

    kind: Literal["person", "key", "nobody"]
    id: str
    name: str
    role: Role
    scopes: frozenset[Scope]
    session: str = ""
    payer: str = ""


NOBODY: Final = Identity("nobody", "nobody", "nobody", Role.OPERATOR, SCOPES_OF[Role.OPERATOR])
"""Whoever asks where the door is open: all but administration, which needs a name."""


class Unknown(Enum):
    """The answer of ``Guard.known`` where nobody has looked yet."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


def role_of(text: str) -> Role | None:
    """The role of that name, written small; None when there is none."""
    return {role.label: role for role in Role}.get(text)


def role_within(scopes: frozenset[Scope]) -> Role:
    """The highest role all of whose scopes are among these: what a key counts as where a role is asked for."""
    least = Role.PREDICTOR if "predict" in scopes else Role.VIEWER  # whoever may ask is told no less than who asks
    return max([least, *(role for role in Role if SCOPES_OF[role] <= scopes)])
