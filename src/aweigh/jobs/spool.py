"""Copies of jobs' files on this machine: each in a folder of its own below the state folder, for this user only.

Whoever makes one removes it; what a process leaves that was killed is found by ``aweigh forget`` and by the sweep.
"""

import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from aweigh.database.place import private_folder
from aweigh.jobs.local import storage

SPOOLS = "spools"
"""The folder of the state folder."""


def make(state: Path) -> Path:
    """A folder for copies.

    Raises:
        StorageDown, StorageFull: it cannot be made.
        ConfigError: the state folder is another user's.
    """
    private_folder(state)
    folder = private_folder(state / SPOOLS)
    with storage():
        return Path(tempfile.mkdtemp(dir=folder))


def leave(folder: Path) -> None:
    """Removes such a folder."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep_spools(state: Path, *, older_s: float) -> None:
    """Removes the folders in which nothing was written for so long: a job that goes on writes its result."""
    before = time.time() - older_s
    for folder in spools(state):
        if last_written(folder) < before:
            leave(folder)


def last_written(folder: Path) -> float:
    """When something in such a folder was last written, in seconds since 1970; of one that has just gone, now."""
    try:
        return max(one.lstat().st_mtime for one in (folder, *folder.iterdir()))
    except OSError:
        return time.time()


def spools(state: Path) -> list[Path]:
    """All of them."""
    with suppress(FileNotFoundError):
        return sorted((state / SPOOLS).iterdir())
    return []
