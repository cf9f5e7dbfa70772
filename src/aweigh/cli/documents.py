"""Documents as files: what ``--output-dir`` writes, into a folder that is new or empty."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from aweigh.errors import StorageFull, UsageError, is_full


def check_new(folder: Path) -> None:
    """Passes where a folder is not there, or empty.

    Raises:
        UsageError: something is there, or it cannot be looked into.
    """
    try:
        taken = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise _unwritable(folder, error) from error
    if taken:
        raise UsageError(f"{folder} is not empty.", hint="name a new folder")


def write_documents(files: Mapping[str, bytes | Path], folder: Path) -> None:
    """Writes contents, or copies of files, by their paths below the folder: all of them, or none.

    Raises:
        UsageError: something is there, or nothing can be written.
        StorageFull: the disk is full.
    """
    check_new(folder)
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                shutil.copyfile(content, path)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> StorageFull | UsageError:
    if is_full(error):
        return StorageFull("The disk is full.", hint="make room, or name another folder: --output-dir")
    return UsageError(
        f"{folder} cannot be written: {error.strerror or error}.", hint="name another folder: --output-dir"
    )
