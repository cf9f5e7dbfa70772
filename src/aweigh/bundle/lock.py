"""From what serving needs to exact versions with hashes: those that are installed here, which the proof ran with.

``uv pip compile`` resolves and hashes. It runs without the user's configuration files and with only those of the user's
variables that say where packages come from; of what it prints only names, versions and hashes are kept, so that no
address of an index can come into a bundle. Where no index answers, what is installed is pinned without hashes.
"""

import importlib.metadata
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aweigh.bundle.requirements import Pinned, canonical, read_lock, write_lock
from aweigh.bundle.resolver import PLATFORM, QUIET, is_unreachable, refuse_full_disk, run_uv, without_addresses
from aweigh.errors import ConfigError, DamagedBundle, UsageError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

TIMEOUT_S = 90
"""For one resolution, which takes a second or two when an index answers."""
OLDEST_PYTHON = (3, 11)
NOT_OFFERED = "the package index does not offer what is installed here"
"""How a resolution fails whose versions contradict each other, or are nowhere to be had."""

_EXTRAS: dict[str, str] = {name: name for name in ("sklearn", "xgboost", "lightgbm", "catboost")} | {"python": "trust"}
"""Which of aweigh's extras a runtime needs; ONNX Runtime is among its plain dependencies."""

SAME_IMPORT = {"xgboost": "xgboost-cpu"}
"""The same code without a few hundred megabytes of NVIDIA libraries that serving tables never uses."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock: its text, whether every package is hashed, the names of those that are not, and what to tell the user."""

    text: str
    hashed: bool
    unhashed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[Pinned, ...]:
        """What it pins."""
        return read_lock(self.text)


def serving_requirements(runtime: str, *, ui: bool, trust: bool = False) -> tuple[str, ...]:
    """What an environment needs beside aweigh itself to serve a bundle of that runtime, with the app or the API alone.

    With ``trust`` also to check whose signature it bears, which code needs in any case.

    Read from aweigh's own metadata, so that it is said in one place. On the platform that bundles are served on.
    """
    return requirements_of({"", extra_of(runtime), "ui" if ui else "", "trust" if trust else ""})


def extra_of(runtime: str) -> str:
    """The extra of aweigh's that brings what a runtime needs; empty where its plain dependencies do."""
    return _EXTRAS.get(runtime, "")


def requirements_of(
    extras: Iterable[str], *, requires: Iterable[str] | None = None, python: str | None = None
) -> tuple[str, ...]:
    """What aweigh with these extras needs beside itself (``""``: its plain dependencies), on the platform that serves.

    ``requires`` are the requirements of aweigh's metadata, by default those of the aweigh that is installed here;
    ``python`` is the version that markers are held against (``"3.12"``), by default the one that runs.
    """
    environment = _environment(python or f"{sys.version_info.major}.{sys.version_info.minor}")
    found = {}
    asked = list(extras)
    for requirement in _requirements(importlib.metadata.requires("aweigh") or () if requires is None else requires):
        if requirement.name != "aweigh" and any(_applies(requirement, environment, extra) for extra in asked):
            inside = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
            found[canonical(requirement.name)] = f"{requirement.name}{inside}{requirement.specifier}"
    return tuple(found[name] for name in sorted(found))


def lock_serving(runtime: str, *, python: str, more: Sequence[str] = (), trust: bool = False) -> tuple[Lock, Lock]:
    """The lock of the API alone, and that of API and app, which holds the same and more; ``more`` is for the model.

    With ``trust`` both hold what checks signatures.

    Raises:
        ConfigError: neither an index nor what is installed here has what is needed.
    """
    installed = installed_versions()
    asked = [[*serving_requirements(runtime, ui=ui, trust=trust), *more] for ui in (False, True)]
    with ThreadPoolExecutor(len(asked)) as side_by_side:  # an index is waited for more than uv works
        api, both = side_by_side.map(partial(lock, python=python, installed=installed), asked)
    pinned = {one.name: one.version for one in both.packages}
    if any(pinned.get(one.name) != one.version for one in api.packages):  # the app's packages hold one of them back
        api = lock(asked[0], python=python, installed=installed, beside=pinned)
    return api, both


def lock(
    requirements: Sequence[str],
    *,
    python: str,
    installed: Mapping[str, str] | None = None,
    beside: Mapping[str, str] | None = None,
) -> Lock:
    """Exact versions of the requirements and all that they need, for one version of Python (``"3.12"``) on Linux.

    ``installed`` (name to version) are the versions to take wherever they can be: by default those installed here.
    ``beside`` are those that must not differ from another lock, above them.

    Raises:
        UsageError: ``python`` is no version that aweigh runs on.
        ConfigError: no index answers, and something is not installed here either.
        MissingExtra: uv is not installed.
    """
    _check_python(python)
    here = _as_served(installed_versions() if installed is None else installed)
    fixed = here | dict(beside or {})
    wanted = [str(one) for one in _renamed(_requirements(requirements))]
    hashed = resolve(wanted, python=python, fixed=fixed)
    if isinstance(hashed, str):
        pinned = _pin_installed(wanted, python, fixed)
        note = f"{hashed}: versions are those installed here, without hashes"
        return Lock(write_lock(pinned), hashed=False, unhashed=tuple(one.name for one in pinned), notes=(note,))
    unhashed = tuple(one.name for one in hashed if not one.hashes)
    newest = [one.name for one in hashed if one.name not in here]
    notes = [f"not installed here, so their newest versions were taken: {', '.join(newest)}"] if newest else []
    if unhashed:
        notes.append(f"the index gave no hashes for: {', '.join(unhashed)}")
    return Lock(write_lock(hashed), hashed=not unhashed, unhashed=unhashed, notes=tuple(notes))


def installed_versions() -> dict[str, str]:
    """Name and version of every distribution that is installed here."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(canonical(name), distribution.version)
    return found


def _check_python(python: str) -> None:
    parts = python.split(".")
    if len(parts) != len(OLDEST_PYTHON) or not all(part.isdecimal() and part.isascii() for part in parts):
        raise UsageError(f"{python[:20]!r} is no version of Python to lock for.", hint='put it as "3.12"')
    if tuple(map(int, parts)) < OLDEST_PYTHON:
        raise UsageError(f"aweigh does not run on Python {python}.", hint="lock for 3.11 or newer")


# -- by uv -----------------------------------------------------------------------------------------------------------


def resolve(requirements: Sequence[str], *, python: str, fixed: Mapping[str, str]) -> tuple[Pinned, ...] | str:
    """What uv resolves with these versions (name to version) wherever they matter, or words that say why it could not.

    Raises:
        MissingExtra: uv is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="aweigh-lock-") as name:
        folder = Path(name)
        (folder / "in.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
        lines = [f"{name}=={version}" for name, version in sorted(fixed.items())]
        (folder / "fixed.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        try:
            done = run_uv(compile_arguments(python=python), folder=folder, timeout_s=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"no package index answered within {TIMEOUT_S} s"
    if done.returncode != 0:
        refuse_full_disk(done.stderr)
        return _why_not(done.stderr)
    try:
        return read_lock(done.stdout)
    except DamagedBundle:
        return "the index offers files that no lock can name"


def compile_arguments(*, python: str) -> list[str]:
    """What uv is told, to resolve ``in.txt`` under the constraints of ``fixed.txt`` and print."""
    return [
        *("pip", "compile", "in.txt", "--constraints", "fixed.txt"),
        *("--python", sys.executable, "--python-version", python, "--python-platform", PLATFORM),
        *("--generate-hashes", "--only-binary", ":all:", *QUIET),
        *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
    ]


def _why_not(told: str) -> str:
    """uv's complaint as a note, without the addresses in it: they may hold the user's name and password."""
    if is_unreachable(told):
        return "no package index could be reached"
    reason = re.search(r"Because (.+?)(?:,|\.? we can conclude|\n)", told)
    told_safely = without_addresses(reason[1]) if reason else "it gave no reason"
    return f"{NOT_OFFERED} ({told_safely[:200]})"


# -- by what is installed --------------------------------------------------------------------------------------------


def _pin_installed(requirements: Sequence[str], python: str, fixed: Mapping[str, str]) -> tuple[Pinned, ...]:
    """The requirements and all that they need, at the versions installed here, by walking their metadata."""
    environment = _environment(python)
    waiting = list(_requirements(requirements))
    seen: set[tuple[str, str]] = set()
    found: dict[str, Pinned] = {}
    while waiting:
        requirement = waiting.pop()
        name = canonical(requirement.name)
        if name not in fixed:
            raise ConfigError(
                f"Nothing can be locked: no package index answers, and {name} is not installed here.",
                hint=f"install {name}, or try again with a network",
            )
        found[name] = Pinned(name, fixed[name], ())
        fresh = {"", *requirement.extras} - {extra for known, extra in seen if known == name}
        seen |= {(name, extra) for extra in fresh}
        needed = _requirements(_requires(name))
        waiting.extend(one for one in needed if any(_applies(one, environment, extra) for extra in fresh))
    return tuple(found[name] for name in sorted(found))


def _requires(name: str) -> list[str]:
    other = {theirs: ours for ours, theirs in SAME_IMPORT.items()}
    for candidate in (name, other.get(name, name)):
        try:
            return importlib.metadata.requires(candidate) or []
        except importlib.metadata.PackageNotFoundError:
            continue
    return []


def _as_served(installed: Mapping[str, str]) -> dict[str, str]:
    """The installed versions under the names that serve: ``xgboost`` here is ``xgboost-cpu`` there."""
    found = {canonical(name): version for name, version in installed.items()}
    for ours, theirs in SAME_IMPORT.items():
        if ours in found:
            found.setdefault(theirs, found[ours])
    return found


def _renamed(requirements: Iterable["Requirement"]) -> Iterable["Requirement"]:
    for requirement in requirements:
        requirement.name = SAME_IMPORT.get(canonical(requirement.name), requirement.name)
        yield requirement


def _requirements(texts: Iterable[str]) -> list["Requirement"]:
    from packaging.requirements import Requirement

    return [Requirement(text) for text in texts]


def _applies(requirement: "Requirement", environment: Mapping[str, str], extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra})


def _environment(python: str) -> dict[str, str]:
    """What markers are held against: CPython of that version on the platform that serves."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
