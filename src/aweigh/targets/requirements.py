"""What a deployment installs: exact versions with their hashes, and aweigh itself as a wheel that travels along.

What a lock of the owner's pins, a bundle's or a folder's, stays pinned; what the door, the stores and the app need on
top is resolved by uv under those pins. A hash that the owner's lock names is never replaced by one that an index tells.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aweigh.bundle.lock import NOT_OFFERED, OLDEST_PYTHON, installed_versions, requirements_of, resolve
from aweigh.bundle.requirements import Pinned, canonical, read_lock, write_lock
from aweigh.errors import ConfigError, DamagedBundle
from aweigh.registry import require
from aweigh.targets.wheel import Wheel

if TYPE_CHECKING:
    from packaging.requirements import Requirement

WHEELS = "wheels/"
"""The folder, below the release's root, that aweigh's wheel lies in."""
_AWEIGH = re.compile(r"^\s*(?:aweigh\s*(?:[\[=<>~!@;#\\]|--|$)|\S*/aweigh-[^/\s]+\.whl)", re.MULTILINE | re.IGNORECASE)
_EXACT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^]]*\])?\s*==\s*([0-9][^\s;#,*\\]*)\s*(?:[;#\\]|--|$)")
_HASH = re.compile(r"(?:^|\s)--hash=", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to run beside the owner's own packages: this wheel of aweigh, with these extras, on that Python."""

    wheel: Wheel
    extras: Collection[str]
    python: str
    """As ``3.12``; a patch number behind it is of no matter here."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The requirements of aweigh and those extras."""
        return requirements_of({"", *self.extras}, requires=self.wheel.requires, python=self.minor)

    @property
    def minor(self) -> str:
        """Major and minor of the Python."""
        return ".".join(self.python.split(".")[:2])

    def check_python(self) -> None:
        """Refuse a Python that aweigh does not run on.

        Raises:
            ConfigError: it is older.
        """
        if tuple(map(int, self.minor.split("."))) < OLDEST_PYTHON:
            raise ConfigError(
                f"aweigh, which would serve it, does not run on Python {self.python}.",
                hint="write 3.12 into .python-version; or write a Procfile of your own, that runs Streamlit by itself",
            )

    @property
    def line(self) -> str:
        """The wheel as a requirement."""
        return f"./{WHEELS}{self.wheel.name} \\\n    --hash=sha256:{self.wheel.sha256}\n"


def locked_with(wanted: Wanted, *, pinned: Iterable[Pinned]) -> str:
    """The requirements of a bundle's deployment: its own pins, what aweigh needs on top, and the wheel.

    Raises:
        ConfigError: the pins do not go with this aweigh, or no index tells what is needed on top.
        MissingExtra: uv is not installed.
    """
    own = {one.name: one for one in pinned}
    packages = tuple(own.values()) if _covers(own, wanted.needs) else _resolved(wanted, own)
    return write_lock(packages) + wanted.line


def locked(requirements: Iterable[str], *, python: str) -> str:
    """A lock of these requirements alone, for a folder that has none and runs without aweigh.

    Raises:
        ConfigError: no index tells what is needed.
        MissingExtra: uv is not installed.
    """
    return write_lock(_hashed(list(requirements), python=python, own={}))


def locked_anew(wanted: Wanted, requirements: Iterable[str]) -> str:
    """A lock of these requirements and of aweigh, with the wheel.

    Raises:
        ConfigError, MissingExtra: as of ``locked``.
    """
    return write_lock(_hashed([*requirements, *wanted.needs], python=wanted.minor, own={})) + wanted.line


def added_to(text: str, wanted: Wanted) -> str:
    """The owner's ``requirements.txt`` as it is, and behind it what aweigh needs.

    Where the owner's is hashed, so is what is added: pip takes hashes for all or for none. Else it is the wheel with
    its extras, and pip resolves the rest when it builds, beside what the owner left open.

    Raises:
        ConfigError: what the owner pins does not go with aweigh; and as of ``locked``.
    """
    _check_pins(text, wanted)
    text = text if text.endswith("\n") or not text else text + "\n"
    if _HASH.search(text) is None:
        extras = ",".join(sorted(extra for extra in wanted.extras if extra))
        return f"{text}./{WHEELS}{wanted.wheel.name}{f'[{extras}]' if extras else ''}\n"
    try:
        own = {one.name: one for one in read_lock(text)}
    except DamagedBundle as error:
        raise ConfigError(
            "requirements.txt has hashes, and lines that pin no version: nothing can be added to it.",
            hint="give the folder a Procfile of its own, or lock it anew: uv pip compile --generate-hashes",
        ) from error
    added = tuple(one for one in _resolved(wanted, own) if one.name not in own)
    return text + (write_lock(added) if added else "") + wanted.line


def names_aweigh(text: str) -> bool:
    """Whether somebody's ``requirements.txt`` has aweigh in it already, by its name or as a wheel."""
    return _AWEIGH.search(text) is not None


# -- how -------------------------------------------------------------------------------------------------------------


def _covers(own: Mapping[str, Pinned], needs: Iterable[str]) -> bool:
    """Whether a lock has all that is needed already, so that nothing is to be asked of an index."""
    for need in _read(needs):
        pin = own.get(canonical(need.name))
        if pin is None or need.extras or not need.specifier.contains(pin.version, prereleases=True):
            return False
    return all(one.hashes for one in own.values())


def _resolved(wanted: Wanted, own: Mapping[str, Pinned]) -> tuple[Pinned, ...]:
    asked = [*(f"{one.name}=={one.version}" for one in own.values()), *wanted.needs]
    return _hashed(asked, python=wanted.minor, own=own)


def _hashed(asked: list[str], *, python: str, own: Mapping[str, Pinned]) -> tuple[Pinned, ...]:
    """The requirements and all that they need, each with hashes; those of ``own`` as they are.

    Where it goes they are the versions that are installed here; where those contradict each other, the newest.
    """
    pins = {one.name: one.version for one in own.values()}
    found = resolve(asked, python=python, fixed=installed_versions() | pins)
    if isinstance(found, str) and found.startswith(NOT_OFFERED):
        found = resolve(asked, python=python, fixed=pins)
    if isinstance(found, str):
        raise ConfigError(
            f"The deployment's packages cannot be locked: {found.replace('what is installed here', 'what is needed')}.",
            hint="try again with a network; if versions contradict each other, pack the bundle again or loosen a pin",
        )
    pinned = [replace(one, hashes=own[one.name].hashes or one.hashes) if one.name in own else one for one in found]
    unhashed = [one.name for one in pinned if not one.hashes]
    if unhashed:
        raise ConfigError(
            f"The deployment's packages cannot be locked: the index gives no hashes for {', '.join(unhashed)[:200]}.",
            hint="use an index that tells sha256 hashes",
        )
    return tuple(pinned)


def _check_pins(text: str, wanted: Wanted) -> None:
    """Refuse what would fail only when the platform builds: an exact pin that aweigh does not run with.

    Raises:
        ConfigError: naming it.
    """
    needs = {canonical(need.name): need for need in _read(wanted.needs)}
    for line in text.splitlines():
        exact = _EXACT.match(line)
        need = needs.get(canonical(exact[1])) if exact is not None else None
        if exact is not None and need is not None and not _contains(need, exact[2]):
            raise ConfigError(
                f"requirements.txt pins {exact[1]}=={exact[2]}, and aweigh, which would serve it, needs "
                f"{need.specifier}.",
                hint="loosen the pin; or write a Procfile of your own: web: streamlit run app.py --server.port $PORT "
                "--server.address 0.0.0.0",
            )


def _contains(need: "Requirement", version: str) -> bool:
    from packaging.version import InvalidVersion

    try:
        return need.specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return True  # what pip says of it is clearer


def _read(texts: Iterable[str]) -> list["Requirement"]:
    packaging = require("packaging.requirements", what="Reading requirements", extra="deploy")
    return [packaging.Requirement(text) for text in texts]
