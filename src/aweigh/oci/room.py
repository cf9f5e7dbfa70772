"""How much is kept on this machine of what images are made of: up to a limit, what was used last.

Who uses the store holds a shared lock of its folder, and it is tidied by nobody but who holds the lock alone: nothing
goes that a running build uses, and whatever is half written then was left by a process that was killed.
"""

import fcntl
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from aweigh.errors import ConfigError
from aweigh.oci.leftovers import is_locked, opened, remove
from aweigh.oci.store import PART, Store, cache_folder

LIMIT_VARIABLE = "AWEIGH_IMAGES_MAX_BYTES"
USUAL_LIMIT_BYTES = 5 * 10**9
"""Some twenty images that share no packages."""


@contextmanager
def opened_store(environ: Mapping[str, str]) -> Iterator[Store]:
    """The store of this user's. What is in it stays as long as it is open, and is cut to the limit before and after.

    Raises:
        ConfigError: the limit is no number of bytes, or the folder is not this user's alone.
        StorageFull: the disk is.
    """
    limit_bytes = limit_of(environ)
    store = Store(cache_folder(dict(environ)))
    with opened(store.folder) as number:
        if number is None:  # a file system without locks: nobody can know who uses what
            yield store
            return
        if is_locked(number, fcntl.LOCK_EX | fcntl.LOCK_NB):
            tidy(store.folder, limit_bytes)
        is_locked(number, fcntl.LOCK_SH)
        try:
            yield store
        finally:
            if is_locked(number, fcntl.LOCK_EX | fcntl.LOCK_NB):
                tidy(store.folder, limit_bytes)


def limit_of(environ: Mapping[str, str]) -> int:
    """How much may be kept, in bytes.

    Raises:
        ConfigError: what is said is no number.
    """
    said = environ.get(LIMIT_VARIABLE, "").strip()
    if not said:
        return USUAL_LIMIT_BYTES
    if re.fullmatch(r"\d{1,18}", said, re.ASCII) is None:
        raise ConfigError(f"{LIMIT_VARIABLE} is no number of bytes.", hint=f"write 5 GB as {USUAL_LIMIT_BYTES}")
    return int(said)


def tidy(folder: Path, limit_bytes: int) -> int:
    """Takes away what killed processes left, then what was not used for the longest time; the bytes that stay.

    Only for who holds the store's lock alone.
    """
    for left in (*folder.glob(f"{PART}*"), *folder.glob(f"*/{PART}*"), *folder.glob(f"*/*/{PART}*")):
        remove(left)
    kept = []
    for path in (*folder.glob("blobs/*/*"), *folder.glob("notes/*")):
        with suppress(OSError):
            found = path.lstat()
            kept.append((found.st_mtime_ns, found.st_size, path))
    total = sum(size for _, size, _ in kept)
    for _, size, path in sorted(kept):
        if total <= limit_bytes:
            break
        remove(path)
        total -= size
    return total
