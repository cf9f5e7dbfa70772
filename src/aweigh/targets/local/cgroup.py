"""A control group (version 2) for a process, where this user may make one: the kernel itself holds the limit then."""

from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def make_group(name: str, *, most_bytes: int, root: Path = ROOT, own: str | None = None) -> Path | None:
    """A group below the one that this process is in, in which nothing takes more; None where that may not be made.

    ``own`` is this process's group, read from ``/proc`` where it is not given.
    """
    own = _own() if own is None else own
    if own is None:
        return None
    base = root / own.strip("/")
    group = base / name
    made = False
    try:
        if "memory" not in (base / "cgroup.controllers").read_text().split():
            return None
        if "memory" not in (base / "cgroup.subtree_control").read_text().split():
            (base / "cgroup.subtree_control").write_text("+memory")
        group.mkdir()
        made = True
        (group / "memory.max").write_text(str(most_bytes))
        (group / "memory.oom.group").write_text("1")
    except OSError:
        # A group with processes of its own cannot hand its controllers on: that is the kernel's rule, and common.
        if made:
            remove_group(group)
        return None
    return group


def was_killed(group: Path) -> bool:
    """Whether the kernel has ended processes of the group for their memory."""
    try:
        lines = (group / "memory.events").read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in lines)


def remove_group(group: Path) -> None:
    """Take the group away; one with processes in it stays."""
    with suppress(OSError):
        group.rmdir()


def _own() -> str | None:
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                return line[3:]
    return None
