"""One run at a time where the answers go.

In a folder the system keeps the lock, and gives it back when the process ends, however it does. A store has no such
thing: there an object is made that nobody else can make, and written again every few seconds; who finds one watches
whether that goes on, so that no clock is compared with another machine's.
"""

import fcntl
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from aweigh.errors import UsageError
from aweigh.runtime.dataset.errors import StoreFailed
from aweigh.runtime.dataset.place import Folder, Place, Store

NAME = "_aweigh.lock"
BEAT_S = 5.0
DEAD_AFTER_BEATS = 4
"""A run that has not written for so many beats is believed to be dead."""

Still = Callable[[], None]
"""Passes while the place is held. In a store a run that was stopped for long has lost it, and goes on unaware.

Raises:
    UsageError: another run has it by now.
"""


@contextmanager
def only_run(place: Place) -> Iterator[Still]:
    """Holds the place for the block, which is given what to ask before it writes there.

    Raises:
        UsageError: another run has it.
        OSError, StoreFailed: the place cannot be written to.
    """
    with _folder(place) if isinstance(place, Folder) else _store(place) as still:
        yield still


def _taken(place: Place) -> UsageError:
    return UsageError(
        f"Another run is writing to {place.address}.", hint="wait until it has ended, or name another folder with -o"
    )


@contextmanager
def _folder(place: Folder) -> Iterator[Still]:
    place.root.mkdir(parents=True, exist_ok=True)
    path = place.root / NAME
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise _taken(place) from None
        except OSError as error:
            os.close(file)
            raise UsageError(
                f"{place.address} is on a file system without locks ({error.strerror}).",
                hint="name a folder on another one with -o, or an address",
            ) from error
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file).st_ino:
                break
        os.close(file)  # the one who had it has just removed it
    try:
        yield lambda: None
    finally:
        path.unlink(missing_ok=True)
        os.close(file)


@contextmanager
def _store(place: Store) -> Iterator[Still]:
    name = f"{socket.gethostname()}, process {os.getpid()}, {secrets.token_hex(4)}"
    if not place.create(NAME, _beat(name, 0)):
        _watch(place)
        place.write(NAME, _beat(name, 0))
        time.sleep(BEAT_S / 5)
        if place.read(NAME) != _beat(name, 0):
            raise _taken(place)

    def still() -> None:
        if not _is_ours(place, name):
            raise _taken(place)

    ended = threading.Event()
    heart = threading.Thread(target=_beating, args=(place, name, ended), daemon=True)
    heart.start()
    try:
        yield still
    finally:
        ended.set()
        heart.join()
        with suppress(StoreFailed):  # what is left there is taken for dead in 20 s
            if _is_ours(place, name):
                place.remove(NAME)


def _beat(name: str, count: int) -> bytes:
    return f"{name}, beat {count}\n".encode()


def _is_ours(place: Store, name: str) -> bool:
    return (place.read(NAME) or b"").startswith(f"{name}, ".encode())


def _beating(place: Store, name: str, ended: threading.Event) -> None:
    count = 0
    while not ended.wait(BEAT_S):
        count += 1
        with suppress(StoreFailed):  # a store that is away for a moment: the next beat tells
            if not _is_ours(place, name):
                return
            place.write(NAME, _beat(name, count))


def _watch(place: Store) -> None:
    """Watches a lock until it is believed to be dead.

    Raises:
        UsageError: it is written again.
    """
    first = place.read(NAME)
    end = time.monotonic() + BEAT_S * DEAD_AFTER_BEATS
    while first is not None and time.monotonic() < end:
        time.sleep(BEAT_S / 5)
        if place.read(NAME) != first:
            raise _taken(place)
