"""How much a container may take, and how many there may be, as people type it: by allow-lists.

>>> check_memory("512m"), memory_bytes("2G")
('512M', 2147483648)
"""

import re

from aweigh.errors import UsageError

MOST_REPLICAS = 20
LEAST_MEMORY_BYTES = 64 * 2**20
MOST_CPUS = 256
_MEMORY = re.compile(r"([1-9][0-9]{0,9})([MmGg])[Bb]?", re.ASCII)
_CPUS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,2})?", re.ASCII)
_UNITS = {"m": 2**20, "g": 2**30}


def check_memory(text: str) -> str:
    """A size as Docker reads it, if it is one.

    Raises:
        UsageError: it is none, or less than any server needs.
    """
    found = _MEMORY.fullmatch(text)
    if found is None or int(found[1]) * _UNITS[found[2].lower()] < LEAST_MEMORY_BYTES:
        raise UsageError(f"{text[:40]!a} is no size for a server's memory.", hint="write 512M or 2G; 64M at least")
    return f"{found[1]}{found[2].upper()}"


def memory_bytes(text: str) -> int:
    """How much a size is, as Docker reads it: ``512M``, ``2G``.

    Raises:
        UsageError: it is none.
    """
    size = check_memory(text)
    return int(size[:-1]) * _UNITS[size[-1].lower()]


def check_cpus(text: str) -> str:
    """A number of processors, if it is one.

    Raises:
        UsageError: it is none.
    """
    if _CPUS.fullmatch(text) is None or not 0.05 <= float(text) <= MOST_CPUS:
        raise UsageError(f"{text[:40]!a} is no number of processors.", hint="write 1, 0.5 or 2")
    return text


def check_count(process: str, count: int) -> int:
    """How many replicas, if so many can be.

    Raises:
        UsageError: not so many.
    """
    if not 0 <= count <= MOST_REPLICAS:
        raise UsageError(f"There can be no {count} replicas of {process[:40]!a}.", hint=f"0 to {MOST_REPLICAS}")
    return count
