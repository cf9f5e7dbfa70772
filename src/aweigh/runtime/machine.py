"""What this process may use: memory and CPUs, and who says so.

The tightest of all that hold counts: the control groups of a container and of every group around it (v1 and v2), the
CPUs that it may run on, the platform's own variables where nothing else tells, and the machine itself. Everything is
read from files below ``root``, so that a tree of files stands for a machine.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aweigh.errors import UsageError

NO_LIMIT_BYTES = 1 << 60
"""A control group of version 1 that limits nothing says the largest number of whole pages."""

LAMBDA_MEMORY = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
LAMBDA_MB_PER_CPU = 1769
"""AWS Lambda gives a function CPU by its memory: one vCPU at 1,769 MB (AWS, "Configure Lambda function memory")."""

MIB = 2**20
WHOLE = "the machine"
"""The source of what nothing but the machine itself limits."""
UNTOLD = "nothing that tells it"

_DYNO_MIB_BY_PROCESSES = {256: 512, 512: 1024, 16384: 2560, 32768: 14 * 1024}
"""What a Heroku dyno holds, by how many processes it may have (``ulimit -u``): as Heroku's own buildpacks tell them."""

MAX_DIGITS = 20
"""Of a number of 64 bits."""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {f"{unit}i": 1024 ** (i + 1) for i, unit in enumerate("kmgt")}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?i?)b?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to use. ``memory_bytes`` is None where nothing tells it; ``cpus`` may be a part of one.

    ``bounded`` tells that the memory is a share that was given (a container, a dyno, a flag), all of which may be used;
    a whole machine is left some for others. ``process_bytes`` is what one process may take (a resource limit), None
    where nothing limits it.
    """

    memory_bytes: int | None
    memory_source: str
    cpus: float
    cpus_source: str
    bounded: bool = False
    process_bytes: int | None = None
    process_source: str = ""

    @property
    def shared(self) -> bool:
        """Whether a share of a machine was given to this process, and not only a user's own machine lent."""
        return self.bounded or self.cpus_source != WHOLE


@dataclass(frozen=True, slots=True)
class _Group:
    """One control group: its folder, the path that it is known by, and its version."""

    folder: Path
    name: str
    version: int


def parse_size(text: str) -> int:
    """Bytes of a size as people and platforms write it: ``512M``, ``1.5G`` (powers of 1,000), ``512Mi`` (of 1,024).

    >>> parse_size("512Mi"), parse_size("1GB")
    (536870912, 1000000000)

    Raises:
        UsageError: it is none, or nothing.
    """
    found = _SIZE.fullmatch(text.strip())
    size = 0 if found is None or found[2].lower() not in _UNITS else int(float(found[1]) * _UNITS[found[2].lower()])
    if size <= 0:
        raise UsageError(f"{text[:40]!r} is no size of memory.", hint="write it as 512M, 1G or 512Mi")
    return size


def read_machine(*, root: Path = Path("/"), environ: Mapping[str, str] | None = None) -> Machine:
    """What this process may use, from the files of ``/proc`` and ``/sys`` below ``root`` and from the environment."""
    environ = os.environ if environ is None else environ
    whole = _physical_bytes(root)
    groups = list(_groups(root))
    memory: list[tuple[int, str]] = [(whole, WHOLE)] if whole else []
    memory += [(size, source) for size, source in _group_memory(groups) if whole is None or size < whole]
    if len(memory) == bool(whole):
        memory += [one for one in _platform_memory(root, environ) if whole is None or one[0] < whole]
    size, memory_source = min(memory, default=(None, UNTOLD))
    cpus, cpus_source = min(_cpus(root, groups, environ), key=lambda one: one[0], default=(1.0, UNTOLD))
    process_bytes, process_source = min(_process_limits(root), default=(None, ""))
    bounded = size is not None and memory_source != WHOLE
    return Machine(size, memory_source, cpus, cpus_source, bounded, process_bytes, process_source)


def with_wishes(machine: Machine, *, memory_bytes: int | None, cpus: float | None) -> Machine:
    """The machine that somebody has in mind: what they name in place of what there is."""
    if memory_bytes is None and cpus is None:
        return machine
    return Machine(
        machine.memory_bytes if memory_bytes is None else memory_bytes,
        machine.memory_source if memory_bytes is None else "as asked for",
        machine.cpus if cpus is None else cpus,
        machine.cpus_source if cpus is None else "as asked for",
        machine.bounded or memory_bytes is not None,
        None,
    )


def _physical_bytes(root: Path) -> int | None:
    """All memory there is: Linux says it in a file, other systems by ``sysconf``."""
    found = re.search(r"^MemTotal:\s+(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    if found is not None:
        return int(found[1]) * 1024
    if root != Path("/"):
        return None
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _groups(root: Path) -> Iterator[_Group]:
    """The control groups that this process is in, each followed by those around it."""
    own: dict[str, str] = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            own[controller] = path
    for line in _text(root / "proc/self/mountinfo").splitlines():
        mounted, dash, source = line.partition(" - ")
        fields, kind = mounted.split(), source.split()
        if not dash or len(fields) < 5 or len(kind) < 3 or kind[0] not in {"cgroup", "cgroup2"}:
            continue
        options = [""] if kind[0] == "cgroup2" else kind[2].split(",")
        for name in options:
            if name in own:
                yield from _around(root, fields[3], fields[4], own[name], version=2 if kind[0] == "cgroup2" else 1)
                break


def _around(root: Path, mounted: str, at: str, path: str, *, version: int) -> Iterator[_Group]:
    """A group and those around it, up to where the file system is mounted (in a container that is the group itself)."""
    base = root / at.lstrip("/")
    inside = path.removeprefix(mounted.rstrip("/")) if path.startswith(mounted) else ""
    parts = [part for part in inside.split("/") if part]
    if ".." in parts or not base.joinpath(*parts).is_dir():
        parts = []  # the path is one of another namespace: what is seen of it is the mount
    for count in range(len(parts), -1, -1):
        yield _Group(base.joinpath(*parts[:count]), "/" + "/".join(parts[:count]), version)


def _group_memory(groups: list[_Group]) -> Iterator[tuple[int, str]]:
    for group in groups:
        for name in ("memory.max", "memory.high") if group.version == 2 else ("memory.limit_in_bytes",):
            size = _number(_text(group.folder / name))
            if size is not None and 0 < size < NO_LIMIT_BYTES:
                yield size, f"cgroup {name} of {group.name}"


def _platform_memory(root: Path, environ: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """What a platform says in variables. Asked last: a control group is the one who kills."""
    dyno = _number(environ.get("DYNO_RAM", ""))
    if dyno:
        yield dyno * MIB, "DYNO_RAM of Heroku"
    elif "DYNO" in environ:
        processes = _limit(root, "Max processes")
        if processes in _DYNO_MIB_BY_PROCESSES:
            yield _DYNO_MIB_BY_PROCESSES[processes] * MIB, f"Heroku's dyno with ulimit -u {processes}"
    function = _number(environ.get(LAMBDA_MEMORY, ""))
    if function:
        yield function * MIB, LAMBDA_MEMORY


def _cpus(root: Path, groups: list[_Group], environ: Mapping[str, str]) -> Iterator[tuple[float, str]]:
    """How many CPUs, and who says so; only what is less than the machine's is a word of its own."""
    allowed = re.search(r"^Cpus_allowed_list:\s*(\S+)$", _text(root / "proc/self/status"), re.MULTILINE)
    online = _count(_text(root / "sys/devices/system/cpu/online"))
    whole = online or (os.cpu_count() or 1 if root == Path("/") else None)
    if whole is not None:
        yield float(whole), WHOLE
    affinity = _count(allowed[1]) if allowed is not None else None
    if affinity is not None and (whole is None or affinity < whole):
        yield float(affinity), "the CPUs that this process may run on"
    for group in groups:
        quota = _quota(group)
        if quota is not None and (whole is None or quota < whole):
            yield quota, f"cgroup {'cpu.max' if group.version == 2 else 'cpu.cfs_quota_us'} of {group.name}"
        for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
            some = _count(_text(group.folder / name))
            if some is not None and (whole is None or some < whole):
                yield float(some), f"cgroup {name} of {group.name}"
                break
    function = _number(environ.get(LAMBDA_MEMORY, ""))
    if function:
        yield round(function / LAMBDA_MB_PER_CPU, 2), LAMBDA_MEMORY


def _quota(group: _Group) -> float | None:
    """CPUs by the quota of a group: how much time of each period it may run."""
    if group.version == 2:
        said = _text(group.folder / "cpu.max").split()
    else:
        said = [_text(group.folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    quota, period = map(_number, said) if len(said) == 2 else (None, None)
    return max(0.01, round(quota / period, 2)) if quota and period else None


def _process_limits(root: Path) -> Iterator[tuple[int, str]]:
    for name, source in (("Max address space", "RLIMIT_AS"), ("Max data size", "RLIMIT_DATA")):
        size = _limit(root, name)
        if size is not None:
            yield size, source


def _limit(root: Path, name: str) -> int | None:
    """The soft limit of that name in ``/proc/self/limits``."""
    found = re.search(rf"^{name}\s+(\d+)\s", _text(root / "proc/self/limits"), re.MULTILINE)
    return None if found is None else _number(found[1])


def _count(text: str) -> int | None:
    """How many a list such as ``0-3,6`` names."""
    total = 0
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        begin, end = _number(first), _number(last if dash else first)
        if begin is None or end is None:
            return None
        total += max(0, end - begin + 1)
    return total or None


def _number(text: str) -> int | None:
    """A whole number, None for anything else that may stand there (``max``, ``-1``, nothing)."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else None


def _text(path: Path) -> str:
    """A file's text, empty where there is none or it may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
