"""What a deployment is told to whom, and what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aweigh.secret import Secret


@dataclass(frozen=True, slots=True)
class Telling:
    """Who is told: ``line`` of each step that is done (name, text, seconds), ``hear`` of each line of a program's."""

    line: Callable[[str, str, float], None] = lambda *_: None
    hear: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is live. ``invite`` is the path of the first administrator's invitation: shown once, to who deployed."""

    app: str
    url: str
    release: str
    image: str
    bundle: str | None
    created: bool
    changed: bool
    golden_rows: int
    replicas: Mapping[str, int] = field(default_factory=dict)
    invite: Secret | None = None
