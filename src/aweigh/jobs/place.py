"""Where jobs are kept, found out without opening anything: a server that has none needs to know no more of them."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

RECORDS = "jobs.sqlite"


def state_folder(environ: Mapping[str, str], *, named: str | None = None) -> Path:
    """Where what must outlive the process is kept: as named, or the user's own folder for such things.

    A user without a home that can be written to (a container's, mostly) gets a folder among the temporary files.
    """
    if named:
        return Path(named).expanduser().resolve()
    base = environ.get("XDG_STATE_HOME", "").strip() or (
        f"{environ['HOME']}/.local/state" if environ.get("HOME", "/").strip("/") else ""
    )
    nearest = Path(base)
    while base and not nearest.exists():
        nearest = nearest.parent
    if base and os.access(nearest, os.W_OK):
        return Path(base) / "aweigh"
    return Path(tempfile.gettempdir()) / f"aweigh-{os.getuid()}"


def database_of(environ: Mapping[str, str]) -> str | None:
    """The PostgreSQL (``DATABASE_URL``) or Redis (``REDIS_URL``) that holds jobs; None: this machine does.

    With both, all of it is in PostgreSQL, which is made to keep things.
    """
    url = environ.get("DATABASE_URL", "").strip()
    if url.startswith(("postgres://", "postgresql://")):
        return url
    return environ.get("REDIS_URL", "").strip() or None
