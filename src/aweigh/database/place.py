"""Where things are kept that must outlive the process, found out without opening anything."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from aweigh.errors import ConfigError, StorageDown
from aweigh.secret import Secret
from aweigh.secret.read import read_secret

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
OTHERS_WRITE = 0o022


def postgres_url(environ: Mapping[str, str]) -> Secret | None:
    """The PostgreSQL that ``DATABASE_URL`` names; None: it names nothing.

    Raises:
        ConfigError: it is another kind of database.
    """
    url = read_secret(environ, "DATABASE_URL")
    if url is None:
        return None
    if not url.reveal().startswith(("postgres://", "postgresql://")):
        raise ConfigError(
            "DATABASE_URL is no address of a PostgreSQL.",
            hint="give postgresql://USER:PASSWORD@HOST/NAME, or unset it to keep things in a file of this machine",
        )
    return url


def state_folder(environ: Mapping[str, str], *, named: str | None = None) -> Path:
    """Where this machine keeps what must outlive the process: as named, or the user's own folder for such things.

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


def check_readable(path: Path) -> None:
    """Passes unless the folder is there and shut to who runs this, as a container's is to another user than its own.

    Raises:
        ConfigError: it is.
    """
    if os.path.exists(path) and not os.access(path, os.R_OK | os.X_OK, effective_ids=True):  # noqa: PTH110  Path.exists raises of what is shut
        raise ConfigError(
            "The state folder belongs to another user, and is shut to the one who runs this.",
            hint="run it as that user, or name a folder of this user's own with AWEIGH_STATE_DIR",
        )


def private_folder(path: Path) -> Path:
    """The folder, made if it is not there, with nobody else able to write to it.

    Raises:
        ConfigError: it is another user's, or others may write there.
        StorageDown: it cannot be made.
    """
    try:
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        raise StorageDown("The state folder cannot be made or read.") from error
    if found.st_uid != os.getuid() or found.st_mode & OTHERS_WRITE:
        raise ConfigError(
            "The state folder belongs to another user, or others may write to it.",
            hint="name a folder of this user's own with AWEIGH_STATE_DIR, and chmod it 700",
        )
    return path
