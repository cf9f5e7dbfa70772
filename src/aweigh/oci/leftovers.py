"""What a killed process left half written beside a file of the user's: told from what is being written by a lock."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NEW_S = 60.0


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Says of a file or a folder that somebody is at work on it; a process that is killed says so no longer."""
    with opened(path) as number:
        if number is not None:
            is_locked(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield


def clear(folder: Path, pattern: str) -> None:
    """Removes the files and folders of that name (as ``glob`` has it) in a folder at which nobody is at work."""
    for path in folder.glob(pattern):
        if _is_new(path):
            continue
        with opened(path) as number:
            if number is not None and is_locked(number, fcntl.LOCK_EX | fcntl.LOCK_NB):
                remove(path)


def _is_new(path: Path) -> bool:
    """Whether it was made just now, and perhaps by somebody who has not said yet that he is at work on it."""
    try:
        return time.time() - path.lstat().st_mtime < NEW_S
    except OSError:
        return True


def remove(path: Path) -> None:
    """Removes a file or a folder, as far as that can be done; of a link only itself."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink(missing_ok=True)


def is_locked(number: int, kind: int) -> bool:
    """Whether an open file could be locked (``fcntl.LOCK_SH``, ``LOCK_EX``, with ``LOCK_NB`` without waiting)."""
    try:
        fcntl.flock(number, kind)
    except OSError:  # somebody else has it, or nothing can be locked here
        return False
    return True


@contextmanager
def opened(path: Path) -> Iterator[int | None]:
    """A file or a folder as what a lock can be put on; None where it cannot be opened, or is a link."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield number
    finally:
        os.close(number)
