"""A Procfile: the command line of each process type, read as the platforms read it and written so that all agree."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# The form that Heroku's buildpacks read; what is written keeps to the part of it that every reader understands alike.
_READ = re.compile(r"^\s*([A-Za-z0-9_-]+)(:?)\s+(.*?)\s*$")
_SAFE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class Procfile:
    """``processes`` by type, in order; ``unread`` are lines, counted from 1, that no reader takes for one.

    ``doubles`` are types that stand there more than once: the last one counts. ``colonless`` are the numbers of lines
    whose first word Heroku takes for a type, although no colon says that it is one; others refuse them.
    """

    processes: Mapping[str, str]
    unread: tuple[tuple[int, str], ...] = ()
    doubles: tuple[str, ...] = ()
    colonless: tuple[int, ...] = ()


def read_procfile(text: str) -> Procfile:
    r"""Read what somebody wrote.

    >>> read_procfile("web: python app.py\n# not a process\n").processes
    {'web': 'python app.py'}
    """
    processes: dict[str, str] = {}
    unread: list[tuple[int, str]] = []
    doubles: list[str] = []
    colonless: list[int] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _READ.match(line)
        if found is None or not found[3]:
            unread.append((number, line))
            continue
        if found[1] in processes:
            doubles.append(found[1])
        if not found[2]:
            colonless.append(number)
        processes[found[1]] = found[3]
    return Procfile(processes, tuple(unread), tuple(doubles), tuple(colonless))


def write_procfile(processes: Mapping[str, str]) -> str:
    """Write it.

    Raises:
        ValueError: a type or a command line that not every reader takes alike.
    """
    for name, command in processes.items():
        if _SAFE.match(name) is None or not command.strip() or "\n" in command or "\r" in command:
            msg = f"no line of a Procfile: {name!r}: {command!r}"
            raise ValueError(msg)
    return "".join(f"{name}: {command.strip()}\n" for name, command in processes.items())
