"""What came of a deployment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aweigh.secret import Secret


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
