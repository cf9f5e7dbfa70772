"""Who is told of a deployment, how long things are waited for, and what came of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from aweigh.secret import Secret


@dataclass(frozen=True, slots=True)
class Telling:
    """Who is told: ``line`` of each step that is done (name, text, seconds), ``doing`` of one that is under way."""

    line: Callable[[str, str, float], None] = lambda *_: None
    doing: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a replica may take to get ready, how long it must go on to be by itself, and how often it is asked."""

    ready_s: float = 180.0
    poll_s: float = 0.3


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is live. ``invite`` is the path of the first administrator's invitation: shown once, to who deployed."""

    app: str
    url: str
    version: str
    release: str
    bundle: str | None
    slot: str
    changed: bool
    golden_rows: int
    notes: tuple[str, ...] = ()
    invite: Secret | None = None
