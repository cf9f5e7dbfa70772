"""What the server can be told by the environment, with the defaults that hold when it is told nothing."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from aweigh.errors import ConfigError
from aweigh.schema import Schema

MAX_CELLS = 10_000_000
"""Rows times columns of one request: 80 MB as numbers."""

PREFIX = "AWEIGH_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits of a request and of a shutdown. Each is read from ``AWEIGH_`` and its name in capitals.

    ``drain_delay_s`` is how long the port stays open after SIGTERM, saying "not ready", so that a platform can stop
    sending before it closes; ``drain_s`` is how long requests under way then have to finish. Of several processes one
    whose event loop stands still for ``watchdog_s`` is killed, and one that takes more memory than ``max_process_mb``
    is replaced; 0 is never. ``metrics_token`` opens ``/metrics`` to others than this machine.
    """

    max_body_bytes: int = 16 * 2**20
    max_rows: int = 100_000
    body_timeout_s: float = 30.0
    drain_delay_s: float = 1.0
    drain_s: float = 25.0
    watchdog_s: float = 60.0
    max_process_mb: int = 0
    metrics_token: str | None = field(default=None, repr=False)

    def rows_for(self, schema: Schema) -> int:
        """The most rows that one request may hold: fewer where the model has very many columns."""
        return max(1, min(self.max_rows, MAX_CELLS // max(1, len(schema.columns))))


_LEAST = {"max_body_bytes": 1024, "max_rows": 1, "body_timeout_s": 0.1, "drain_delay_s": 0.0, "drain_s": 0.0}
_LEAST |= {"watchdog_s": 0.0, "max_process_mb": 0}


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings that the environment asks for.

    Raises:
        ConfigError: a variable does not hold a number, or one that cannot be.
    """
    found: dict[str, int | float | str] = {}
    for one in dataclasses.fields(Settings):
        variable = PREFIX + one.name.upper()
        text = environ.get(variable, "").strip()
        if not text:
            continue
        if one.name == "metrics_token":
            found[one.name] = text
            continue
        kind = int if isinstance(one.default, int) else float
        try:
            value = kind(text)
        except ValueError:
            value = -1
        if not _LEAST[one.name] <= value <= 2**40:
            whole = "a whole number" if kind is int else "a number"
            raise ConfigError(f"{variable} is {text[:40]!r}.", hint=f"write {whole} from {_LEAST[one.name]:g} on")
        found[one.name] = value
    return Settings(**found)  # type: ignore[arg-type]  # each was read as its field's own type
