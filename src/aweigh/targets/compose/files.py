"""Files of an app's folder: read as far as they may be long, and written whole or not at all."""

import os
import tempfile
from pathlib import Path

from aweigh.errors import ConfigError, StorageFull, UsageError, is_full

MOST_BYTES = 16 * 2**20
PART = ".part-"
"""How files begin that are not written to their end."""


def read(path: Path) -> bytes | None:
    """What is in a file; None where there is none.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path.name} of the app cannot be read: {error.strerror}.") from error


def write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Writes a file whole or not at all, never open to more than it is to be.

    Raises:
        StorageFull: the disk is full.
        UsageError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=PART, delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), mode)
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise unwritable(error) from error


def unwritable(error: OSError) -> StorageFull | UsageError:
    """The error of a file that cannot be written."""
    if is_full(error):
        return StorageFull("The disk is full.", hint="make room, or name another folder: --dir")
    return UsageError(f"The app's folder cannot be written: {error.strerror}.", hint="name another: --dir DIR")
