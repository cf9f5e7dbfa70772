"""The text of a lock: exact versions, their hashes, and nothing that could lead an installer anywhere else.

A lock is read when a bundle is made and when one is opened, since whoever wrote the bundle wrote its lock: an option
(``--index-url``), an address (``name @ https://...``), a path or another file named in it is refused.
"""

import re
from dataclasses import dataclass

from aweigh.errors import DamagedBundle

_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"==(?P<version>[A-Za-z0-9]++(?:[.!+_-][A-Za-z0-9]++)*+)"  # of which nothing is tried twice: a stranger wrote it
    r"(?P<hashes>(?:\s+--hash=sha256:[0-9a-f]{64})*)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Pinned:
    """One package at one version, with the sha256 of each of its files that may be installed (none when not known)."""

    name: str
    version: str
    hashes: tuple[str, ...]


def read_lock(text: str) -> tuple[Pinned, ...]:
    """The packages of a lock, in its order.

    Raises:
        DamagedBundle: a line is anything but ``name==version --hash=sha256:...``, or a package stands there twice.
    """
    found: dict[str, Pinned] = {}
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()  # noqa: PLW2901  what is left of it is what is read
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise DamagedBundle(f"The lock holds a line that is no exact version of a package: {line[:80]!a}.")
        key = canonical(match["name"])
        if key in found:
            raise DamagedBundle(f"The lock holds {key} twice.")
        hashes = tuple(word.removeprefix("--hash=sha256:") for word in match["hashes"].split())
        found[key] = Pinned(key, match["version"], hashes)
    return tuple(found.values())


def write_lock(packages: tuple[Pinned, ...]) -> str:
    """The text of a lock: one package a line, sorted, each hash on a line of its own."""
    lines = []
    for one in sorted(packages, key=lambda one: one.name):
        hashes = [f"    --hash=sha256:{value}" for value in sorted(one.hashes)]
        lines.append(" \\\n".join([f"{one.name}=={one.version}", *hashes]))
    return "\n".join(lines) + "\n"


def canonical(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
