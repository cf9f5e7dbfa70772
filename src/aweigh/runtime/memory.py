"""What processes take of a machine's memory, each for itself and all of them together.

A process's anonymous pages are its own (those still shared since a fork are counted in parts); pages of files, the
libraries mostly, are there once however many processes use them. So the sum is what the processes would take on a
machine of their own, whoever else runs here. On Linux the kernel tells all of it in ``/proc``; elsewhere ``ps`` tells
the resident size, in which what is shared counts for each.
"""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)")
_FIELD = re.compile(r"(Rss|Anonymous|Pss_Anon|Pss_Shmem): +(\d+) kB")


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """One process: ``own_bytes`` that go when it goes, and the bytes of each file that it has pages of."""

    pid: int
    own_bytes: int
    files: Mapping[str, int] = field(default_factory=dict)


def memory_of(pid: int, *, proc: Path = Path("/proc")) -> ProcessMemory | None:
    """What a process takes; None when there is no such process or it may not be asked."""
    if sys.platform != "linux":
        return _by_ps(pid)
    try:
        rollup = _fields((proc / str(pid) / "smaps_rollup").read_text())
        files = _files((proc / str(pid) / "smaps").read_text())
    except OSError:
        return _by_statm(pid, proc)
    own = rollup.get("Pss_Anon", rollup.get("Anonymous", 0)) + rollup.get("Pss_Shmem", 0)
    return ProcessMemory(pid, own, files)


def together(processes: Sequence[ProcessMemory]) -> int:
    """What the processes take between them: their own pages, and those of files once."""
    return sum(one.own_bytes for one in processes) + sum(shared_files(processes).values())


def shared_files(processes: Sequence[ProcessMemory]) -> dict[str, int]:
    """The pages of files that the processes have between them, by file."""
    found: dict[str, int] = {}
    for one in processes:
        for name, size in one.files.items():
            found[name] = max(size, found.get(name, 0))
    return found


def children_of(pid: int, *, proc: Path = Path("/proc")) -> list[int]:
    """The processes that a process has started and that still run, oldest first."""
    if sys.platform != "linux":
        lines = _ps("-axo", "pid=,ppid=")
        return sorted(int(one.split()[0]) for one in lines if len(one.split()) == 2 and one.split()[1] == str(pid))
    found = []
    for path in proc.glob("[0-9]*/stat"):
        try:
            # The name in brackets may hold anything, brackets and blanks included.
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if len(fields) > 1 and fields[1] == str(pid):
            found.append(int(path.parent.name))
    return sorted(found)


def _fields(text: str) -> dict[str, int]:
    return {name: int(size) * 1024 for name, size in _FIELD.findall(text)}


def _files(smaps: str) -> dict[str, int]:
    """Resident pages of files by file: of each mapping what is not the process's own copy."""
    found: dict[str, int] = {}
    name, resident = "", 0
    for line in smaps.splitlines():
        mapping = _MAPPING.fullmatch(line)
        if mapping is not None:
            name = mapping[1] if mapping[1].startswith("/") else ""
            continue
        said = _FIELD.match(line)
        if said is None or not name:
            continue
        if said[1] == "Rss":
            resident = int(said[2]) * 1024
        elif said[1] == "Anonymous":
            shared = resident - int(said[2]) * 1024
            if shared > 0 and not name.endswith(" (deleted)"):  # memory shared by name, which rollup has counted
                found[name] = found.get(name, 0) + shared
    return found


def _by_statm(pid: int, proc: Path) -> ProcessMemory | None:
    """For kernels that tell no more (gVisor): the resident size."""
    import resource

    try:
        pages = int((proc / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return ProcessMemory(pid, pages * resource.getpagesize())


def _by_ps(pid: int) -> ProcessMemory | None:
    lines = _ps("-o", "rss=", "-p", str(pid))
    return ProcessMemory(pid, int(lines[0]) * 1024) if lines and lines[0].strip().isdecimal() else None


def _ps(*arguments: str) -> list[str]:
    done = subprocess.run(["/bin/ps", *arguments], capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.splitlines()
