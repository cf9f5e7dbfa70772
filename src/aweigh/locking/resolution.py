"""One question to the index by way of uv: which exact versions meet these requirements, on this Python, up to that day?

All that is known here of releases, wheels and dates comes of such questions, so that it holds for any index that uv can
read and with whatever the user has set to reach it; no index is addressed otherwise, and none is named.
"""

import datetime as dt
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aweigh.bundle.requirements import Pinned, canonical, read_lock
from aweigh.bundle.resolver import PLATFORM, QUIET, is_unreachable, run_uv, without_addresses
from aweigh.errors import DamagedBundle, RemoteError

TIMEOUT_S = 180.0
"""For one resolution: some seconds, and longer where a package has to be built to tell what it needs."""
WORDS = 300
"""Of a reason that uv gives, at most so many characters are passed on."""

Kind = Literal["no-package", "no-version", "no-wheel", "python", "conflict"]
_NAMED = r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?(?P<range>[<>=!~][^\s,]*)?"
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("no-package", re.compile(rf"{_NAMED} was not found in the ")),
    ("python", re.compile(rf"(?:does not satisfy|depends on) Python\S+ and {_NAMED} depends on Python")),
    ("no-version", re.compile(rf"there (?:is|are) no versions? of {_NAMED}")),
    ("no-wheel", re.compile(rf"(?:Because|and|of) {_NAMED} (?:has|have) no (?:usable )?wheels")),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing meets the requirements: the kind, what is named first (``numpy``, ``==1.23.1``), uv's own reason."""

    kind: Kind
    package: str | None
    range: str
    reason: str


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the question is put: Python as ``3.10``, the last day (None: today), and what belongs to the requirements.

    ``built`` are packages that may be built from source, as they have no wheel for any Python. ``variables`` are for uv
    alone: they may hold the address of an index.
    """

    python: str
    as_of: dt.date | None = None
    constraints: tuple[str, ...] = ()
    built: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


def resolve(
    requirements: Sequence[str], setting: Setting, *, alone: bool = False, lowest: bool = False
) -> tuple[Pinned, ...] | Refusal:
    """Exact versions with hashes of the requirements and all that they need; ``alone`` leaves out what they need.

    ``lowest`` takes the oldest version that will do in place of the newest.

    Raises:
        RemoteError: no index answers, or not in time.
        MissingExtra: uv is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="aweigh-lock-") as name:
        folder = Path(name)
        (folder / "in.txt").write_text("".join(f"{one}\n" for one in requirements), encoding="utf-8")
        (folder / "fixed.txt").write_text("".join(f"{one}\n" for one in setting.constraints), encoding="utf-8")
        try:
            done = run_uv(
                compile_arguments(setting, alone=alone, lowest=lowest),
                folder=folder,
                timeout_s=TIMEOUT_S,
                more=setting.variables,
            )
        except subprocess.TimeoutExpired:
            raise RemoteError(
                f"No package index answered within {TIMEOUT_S:.0f} s.", hint="try again with a better network"
            ) from None
    if done.returncode == 0:
        try:
            return read_lock(done.stdout)
        except DamagedBundle:
            return Refusal("conflict", None, "", "the index offers files that no lock can name")
    if re.search(r"\b40[13]\b (?:Unauthorized|Forbidden)", done.stderr):
        raise RemoteError(
            "The package index refused to answer: it asks for a name and a password, or for others than were given.",
            hint="UV_INDEX_<NAME>_USERNAME and _PASSWORD, or UV_KEYRING_PROVIDER, hold them for uv",
        )
    if is_unreachable(done.stderr):
        raise RemoteError(
            "No package index could be reached, and a lock without one would have no hashes.",
            hint="try again with a network; UV_DEFAULT_INDEX or PIP_INDEX_URL says which index is asked",
        )
    return refusal(done.stderr)


def compile_arguments(setting: Setting, *, alone: bool = False, lowest: bool = False) -> list[str]:
    """What uv is told, to resolve ``in.txt`` under the constraints of ``fixed.txt`` and print."""
    words = [
        *("pip", "compile", "in.txt", "--constraints", "fixed.txt", *QUIET),
        *("--python", sys.executable, "--python-version", setting.python, "--python-platform", PLATFORM),
        *("--generate-hashes", "--only-binary", ":all:"),
        *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
    ]
    for one in setting.built:
        words += ["--no-binary", one]
    if setting.as_of is not None:
        # A bare date would be the last moment of that day in the time zone of this machine.
        words += ["--exclude-newer", f"{setting.as_of + dt.timedelta(days=1)}T00:00:00Z"]
    if alone:
        words.append("--no-deps")
    if lowest:
        words += ["--resolution", "lowest"]
    return words


def refusal(told: str) -> Refusal:
    """uv's complaint, by kind."""
    text = " ".join(without_addresses(told).split())
    cause = re.search(r"cause: (.*?)(?: hint: |$)", text)
    reason = (cause[1] if cause else text.removeprefix("error: "))[:WORDS]
    matches = [
        (found.start(), kind, found["name"], found["range"])
        for kind, pattern in _KINDS
        if (found := pattern.search(reason))
    ]
    if not matches:
        return Refusal("conflict", None, "", reason)
    _, kind, package, versions = min(matches, key=lambda one: one[0])
    return Refusal(kind, canonical(package), versions or "", reason)
