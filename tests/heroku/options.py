"""What a local platform can be told to do otherwise than Heroku does: mostly to do it sooner."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aweigh.targets.heroku import dynos

DYNO_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Options:
    """Times are in seconds; the defaults are Heroku's, but for those that would only make a test wait."""

    port: int = 0
    """Of the API; 0: any that is free."""
    token: str = "HRKU-local-0123456789"
    strict: bool = True
    """Refuse with 422 what the schema does not allow. Off for clients of other people; it is recorded all the same."""
    folder: Path | None = None
    """Where sources, environments and slugs are kept; None: a temporary one, gone at stop."""
    cache: Path | None = None
    """Environments by their requirements, kept from one server to the next; None: below ``folder``."""
    prebuilt: Path | None = None
    """An environment (the folder with ``bin/python``) that every build takes instead of installing requirements."""
    dyno_env: Mapping[str, str] = field(default_factory=dict)
    """Given to every dyno beside what Heroku gives: for ``prebuilt``, where the code under test stands elsewhere."""
    boot_s: float = dynos.BOOT_S
    first_byte_s: float = dynos.FIRST_BYTE_S
    idle_s: float = dynos.IDLE_S
    stop_s: float = dynos.STOP_S
    release_s: float = 3600
    restarts: int = 1
    """How many times a dyno that crashes is started again at once; after that it stays down for ``cool_off_s``."""
    cool_off_s: float = 600
    quota_bytes: int | None = None
    """Instead of each size's own quota of memory; twice of it kills."""
    memory_s: float = 1.0
    """How often a dyno's memory is looked at."""
    size: str = "basic"
    """Of new formations."""
    slug_limit_bytes: int = dynos.MOST_SLUG_BYTES
    weigh_environment: bool = False
    """Compress what was installed, too, to know the slug's size: takes ten seconds or more for a large one."""
    postgres_url: str | None = None
    """What the add-on heroku-postgresql gives as DATABASE_URL; None: there is no such add-on to be had."""
    redis_url: str | None = None
    addon_s: float = 0.3
    """How long an add-on is being provisioned."""
    registry: str | None = None
    """A registry (host and port, without TLS) that images are taken from; None: there is none."""
    proto: str = "http"
    """What the router says in X-Forwarded-Proto."""
    keepalive_s: float = 10.0
    """A stream that has nothing to say sends a NUL (text/plain) or a comment (text/event-stream) so often."""
    hourly_calls: int = 4500
    two_factor: str | None = None
    """A code that every request must carry in Heroku-Two-Factor-Code."""
    stack: str = "heroku-24"
