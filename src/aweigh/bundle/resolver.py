"""uv, which resolves and installs: how it is found, what it is told of the user's settings, what it may say to others.

It runs without the user's configuration files and with only those of the user's variables that say where packages come
from and how to get there. What it prints may hold the address of an index, and in it a name and a password: nothing of
it is shown before ``without_addresses`` has seen it.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from aweigh.errors import MissingExtra, StorageFull, says_full

PLATFORM = "x86_64-manylinux_2_28"
"""Where bundles are served; the hashes are those of a version's files for every platform."""

_PASSED_ON = re.compile(
    r"UV_(DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|INDEX_STRATEGY|INDEX_\w+_(USERNAME|PASSWORD)|FIND_LINKS|OFFLINE"
    r"|KEYRING_PROVIDER|INSECURE_HOST|NATIVE_TLS|SYSTEM_CERTS|CACHE_DIR|HTTP_TIMEOUT|HTTP_RETRIES)"
)
_FROM_PIP = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX"}
_UNREACHABLE = re.compile(r"Failed to fetch|error sending request|network was disabled|dns error|Could not connect")

QUIET = ("--no-config", "--no-python-downloads", "--no-progress", "--color", "never")
"""What every command of uv is given: no settings of the user, no interpreter from elsewhere, plain text."""


def run_uv(
    arguments: Sequence[str], *, folder: Path, timeout_s: float, more: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run uv in a folder; ``more`` are variables beside those of ``uv_environment``.

    Raises:
        MissingExtra: uv is not installed.
        subprocess.TimeoutExpired: it took longer.
    """
    return subprocess.run(
        [find_uv(), *arguments],
        cwd=folder,
        env=uv_environment(os.environ) | dict(more or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def uv_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that uv runs with: of its own, only those that say where packages come from and how to get there.

    ``PIP_INDEX_URL`` and ``PIP_EXTRA_INDEX_URL`` stand in where uv's are not set.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(("UV_", "PIP_", "VIRTUAL_ENV")) or _PASSED_ON.fullmatch(name)
    }
    if not any(name in kept for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")):
        kept |= {ours: environment[theirs] for theirs, ours in _FROM_PIP.items() if environment.get(theirs)}
    kept.setdefault("UV_HTTP_RETRIES", "2")
    return kept


def find_uv() -> str:
    """The path of uv's program.

    Raises:
        MissingExtra: there is none.
    """
    try:
        import uv

        return uv.find_uv_bin()
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
        if found is None:
            raise MissingExtra("Locking an environment", extra="pack") from None
        return found


def has_uv() -> bool:
    """Whether there is one."""
    try:
        find_uv()
    except MissingExtra:
        return False
    return True


def is_unreachable(told: str) -> bool:
    """Whether uv complains that no index could be reached."""
    return _UNREACHABLE.search(told) is not None


def refuse_full_disk(told: str) -> None:
    """Passes unless what uv, or another program, complains of is a disk without room.

    Raises:
        StorageFull: it is.
    """
    if says_full(told):
        raise StorageFull("The disk is full.", hint="make room, or name caches elsewhere: XDG_CACHE_HOME, TMPDIR")


def without_addresses(told: str) -> str:
    """Text of uv without the addresses in it: they may hold the user's name and password."""
    return re.sub(r"\S*://\S*", "an address", told)
