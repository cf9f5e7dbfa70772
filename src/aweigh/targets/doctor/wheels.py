"""Whether every exact version has a wheel for the chosen Python: the index is asked, through uv."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aweigh.bundle.lock import PLATFORM, uv_environment
from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.folder import Folder
from aweigh.targets.doctor.requirements import FILE, Line, requirements_of

TIMEOUT_S = 60
MOST_ROUNDS = 12
_NO_NETWORK = re.compile(r"Failed to fetch|error sending request|network was disabled|dns error|Could not connect")
_UNBUILT = re.compile(r"\b([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+) has no (?:usable )?wheels", re.IGNORECASE)
_REFUSED = re.compile(r"\b([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+) depends on Python", re.IGNORECASE)
_ABSENT = re.compile(
    r"no version of ([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)|([A-Za-z0-9._-]+) was not found", re.IGNORECASE
)


class IndexSilent(Exception):  # noqa: N818  what happened, not whose fault
    """No index could be asked."""


@dataclass(frozen=True, slots=True)
class Wheels:
    """What the index says of the pins: those without a wheel for ``python`` and why, and the nearest Python with all.

    ``silent`` says why nobody could be asked.
    """

    python: str
    pins: int = 0
    lost: tuple[tuple[Line, str], ...] = ()
    nearest: str | None = None
    silent: str = ""


def ask_wheels(folder: Folder, *, python: str, others: Sequence[str]) -> Wheels:
    """Asks for every exact version; ``others`` are the Pythons to try in their order where one is missing."""
    pins = tuple(one for one in requirements_of(folder) if one.version is not None)
    try:
        lost = tuple(without_wheel(pins, python=python))
        nearest = next((one for one in others if lost and one != python and not without_wheel(pins, python=one)), None)
    except IndexSilent as error:
        return Wheels(python, len(pins), silent=str(error))
    return Wheels(python, len(pins), lost, nearest)


def check(asked: Wheels) -> Iterator[Finding]:
    """One finding for all that are missing."""
    if asked.silent:
        what = f"whether every version has a wheel for Python {asked.python} was not asked: {asked.silent}"
        yield Finding("wheels_unknown", "warn", what, "run it again with a network and with uv (pip install uv)", FILE)
    elif asked.lost:
        told = ", ".join(f"{one.name} {one.version} {why}" for one, why in asked.lost)
        what = f"{told} for Python {asked.python}: the build would compile, for long or in vain"
        near = asked.nearest
        fix = f"echo {near} > .python-version, where all of them have one" if near else "take newer versions"
        where = f"{FILE}, line {asked.lost[0][0].number}"
        yield Finding("no_wheel", "fail", what, f"{fix}; aweigh lock {FILE} finds what goes together", where)
    elif asked.pins:
        yield Finding(
            "wheels", "pass", f"{asked.pins} exact versions have wheels for Python {asked.python}", where=FILE
        )


def without_wheel(pins: Sequence[Line], *, python: str) -> list[tuple[Line, str]]:
    """The pins that cannot be had as a wheel, each with why.

    Raises:
        IndexSilent: no index answers, or there is no uv.
    """
    left = list(pins)
    lost: list[tuple[Line, str]] = []
    for _ in range(MOST_ROUNDS):
        told = _ask([f"{one.name}=={one.version}" for one in left], python)
        if told is None:
            return lost
        named = dict(_named(told))
        found = next(((one, named[one.name]) for one in left if one.name in named), None)
        if found is None:
            return lost
        lost.append(found)
        left.remove(found[0])
    return lost


def _named(told: str) -> Iterator[tuple[str, str]]:
    from aweigh.bundle.requirements import canonical

    text = " ".join(told.split())
    for pattern, why in ((_UNBUILT, "has no wheel"), (_REFUSED, "is not made"), (_ABSENT, "is not on the index")):
        for match in pattern.finditer(text):
            yield canonical(next(one for one in match.groups() if one)), why


def _ask(pins: Sequence[str], python: str) -> str | None:
    """uv's complaint; None where it has none."""
    if not pins:
        return None
    uv = find_uv()
    if uv is None:
        raise IndexSilent("uv is not installed here")
    with tempfile.TemporaryDirectory(prefix="aweigh-doctor-") as name:
        (Path(name) / "in.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
        command = [
            *(uv, "pip", "compile", "in.txt", "--no-deps", "--only-binary", ":all:", "--python", sys.executable),
            *("--python-version", python, "--python-platform", PLATFORM, "--no-config", "--no-python-downloads"),
            *("--no-progress", "--color", "never"),
        ]
        environment = uv_environment(os.environ)
        try:
            done = subprocess.run(
                command, cwd=name, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                check=False, timeout=TIMEOUT_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise IndexSilent(f"no index answered within {TIMEOUT_S} s") from None
    if done.returncode == 0:
        return None
    if _NO_NETWORK.search(done.stderr):
        raise IndexSilent("no index could be reached")
    return done.stderr


def find_uv() -> str | None:
    """Where uv is: the package's own, else the one on the path."""
    try:
        import uv

        return uv.find_uv_bin()
    except (ImportError, FileNotFoundError):
        return shutil.which("uv")
