"""Who asks: a person or a program with a key, and what each may do."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

Scope = Literal["read", "predict", "feedback", "operate", "admin"]


class Role(IntEnum):
    """What a person is allowed, each what the one before it is and more."""

    VIEWER = 1
    PREDICTOR = 2
    OPERATOR = 3
    ADMIN = 4


SCOPES_OF: Mapping[Role, frozenset[Scope]] = {
    Role.VIEWER: frozenset({"read"}),
    Role.PREDICTOR: frozenset({"read", "predict"}),
    Role.OPERATOR: frozenset({"read", "predict", "feedback", "operate"}),
    Role.ADMIN: frozenset({"read", "predict", "feedback", "operate", "admin"}),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Whoever asks."""

    kind: Literal["person", "key", "nobody"]
    id: str
    name: str
    role: Role
    scopes: frozenset[Scope]
    session: str = ""
