"""Files and folders that are there whole or not at all, whatever stops the one who writes them.

The content goes to an unnamed file of the same folder where the system has such a thing (Linux: ``O_TMPFILE``), so
that even a killed process leaves nothing behind; elsewhere to a hidden ``.part`` file, which an error removes. Only
when every byte is on the disk does it take its name, in one step.
"""

import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from aweigh.errors import UsageError

FILE_MODE = 0o666
"""Before the user's umask, as any program's new files."""


@contextmanager
def whole_file(path: Path, *, like: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write that takes the name ``path`` at the end of the block, if no error ended it.

    What was at ``path`` stays until then. With ``like`` it has the mode of the file that is there, and its owner where
    this user may give files away. A device or a pipe (``/dev/stdout``) is written to as it is.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; nothing is left behind.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as stream:
            yield stream
        return
    path = path.resolve()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    part = f".{path.name[:80]}.{secrets.token_hex(6)}.part"
    try:
        unnamed = _open_unnamed(path.parent)
        created = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = unnamed if unnamed is not None else os.open(part, created, FILE_MODE, dir_fd=folder)
        with os.fdopen(file, "wb") as stream:
            yield stream
            stream.flush()
            if like is not None:
                _liken(file, like.stat())
            os.fsync(file)
            if unnamed is not None:
                # linkat(2) with AT_SYMLINK_FOLLOW, which Python only calls when it is given a folder.
                os.link(f"/proc/self/fd/{file}", part, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
        os.replace(part, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)
        os.close(folder)


ELSEWHERE = "make it first, or name another place with -o"


def require_writable(path: Path, *, hint: str = "name another place with -o") -> None:
    """Passes where a file could be made at ``path`` now: asked before the work, so that it is not done for nothing.

    It is tried and not looked up, since permissions are not all that forbids it. Nothing is left behind.

    Raises:
        UsageError: its folder is not there, is no folder, or nothing can be made in it.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        return  # a device or a pipe
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(_why_no_folder(folder), hint=ELSEWHERE if not folder.exists() else hint)
    resolved = path.resolve().parent
    try:
        file = _open_unnamed(resolved)
        if file is None:
            part = resolved / f".{secrets.token_hex(6)}.part"
            file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            part.unlink()
        os.close(file)
    except OSError as error:
        named = "The working folder" if folder == Path() else f"The folder {folder}"
        raise UsageError(f"{named} takes no new file: {error.strerror}.", hint=hint) from None


def require_writable_below(folder: Path) -> None:
    """Passes where files could be made in ``folder``, which may have to be made first, and the folders above it.

    Raises:
        UsageError: something that is no folder is in its place or above it, or nothing can be made there.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    require_writable(folder / "x")


def _why_no_folder(folder: Path) -> str:
    above = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if above.exists() and not above.is_dir():
        return f"{above} is no folder."
    return f"There is no folder {folder}."


def _liken(file: int, like: os.stat_result) -> None:
    """Gives an open file the owner, the group and the mode of another one."""
    with suppress(PermissionError):
        os.fchown(file, -1, like.st_gid)
        os.fchown(file, like.st_uid, -1)
    os.fchmod(file, stat.S_IMODE(like.st_mode))


def _open_unnamed(folder: Path) -> int | None:
    """A file of the folder without a name, or None where the system or the file system has none."""
    if not hasattr(os, "O_TMPFILE") or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE)
    except OSError:
        # Some file systems (NFS, older overlays) know no unnamed files: the named way tells whatever else is wrong.
        return None


def whole_folder(files: Mapping[str, bytes], path: Path) -> None:
    """Write files by their relative POSIX names into a new folder that appears only when all of them are on the disk.

    Raises:
        UsageError: something other than an empty folder is there already.
        OSError: the folder cannot be written to, or the disk is full; nothing is left behind.
    """
    path = path.resolve()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path.name} is there already.", hint="remove it, or choose another name")
    part = path.with_name(f".{path.name[:80]}.{secrets.token_hex(6)}.part")
    part.mkdir()
    try:
        for name, content in sorted(files.items()):
            target = part / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
