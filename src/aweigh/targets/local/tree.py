"""All processes that came of one, and what they take of memory between them."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from aweigh.runtime.memory import children_of, memory_of, together


def tree_of(pid: int, *, proc: Path = Path("/proc")) -> list[int]:
    """The process, and those that it and they started: on Linux those of its session, too, whoever is their parent now.

    ``pid`` was started with a session of its own. Those that have ended and were not yet asked for it are left out.
    """
    if sys.platform != "linux":
        return _below(pid)
    parents: dict[int, int] = {}
    ended: set[int] = set()
    found = {pid}
    for path in proc.glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            if fields[0] == "Z":
                ended.add(int(path.parent.name))
            if int(fields[3]) == pid:
                found.add(int(path.parent.name))
        except (OSError, IndexError, ValueError):
            continue
    grown = True
    while grown:
        more = {one for one, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return sorted(one for one in found if one in parents and one not in ended)


def tree_bytes(pid: int) -> int:
    """What they take on a machine of their own: each its own pages, and those of files once; 0 where none is left."""
    return together([one for one in map(memory_of, tree_of(pid)) if one is not None])


def has_ended(pid: int, *, proc: Path = Path("/proc")) -> bool:
    """Whether a process that was started here has ended, and only waits to be asked for its exit code (Linux tells)."""
    with suppress(OSError, IndexError):
        return (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False


def signal_tree(pid: int, sent: signal.Signals) -> None:
    """Send a signal to the process's group; those that are gone need none."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, sent)


def kill_tree(pid: int) -> None:
    """End the process and all that came of it, at once."""
    for one in [other for other in tree_of(pid) if other != pid]:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(one, signal.SIGKILL)
    signal_tree(pid, signal.SIGKILL)


def _below(pid: int) -> list[int]:
    return [pid, *(below for child in children_of(pid) for below in _below(child))]
