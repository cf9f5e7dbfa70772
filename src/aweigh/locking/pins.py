"""Pins that a Python cannot install: which, why, and the nearest Python and version that can. All of it is asked for.

And packages that no Python has a wheel of: those have to be built where they are installed.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from aweigh.bundle.requirements import Pinned
from aweigh.locking.need import Need
from aweigh.locking.resolution import Refusal, Setting, resolve

PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
"""Those that are offered instead; nobody is helped by an older one."""
AT_ONCE = 4
"""Questions at a time: an index is far away more often than not."""
_OLDER = ("3.6", "3.7")
"""What has wheels for these was meant to be installed from one: building it elsewhere is a long way to a failure."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """A pin that cannot be installed: a sentence that says so, the Pythons that can, and the nearest version if any.

    ``sentence`` is whole; ``pythons`` are as ``3.10``, in order.
    """

    need: Need
    sentence: str
    pythons: tuple[str, ...]
    version: str | None


def minor(python: str) -> int:
    """The 10 of ``3.10``."""
    return int(python.split(".")[1])


def unfit_pins(needs: Sequence[Need], setting: Setting) -> tuple[Unfit, ...]:
    """The pins among the needs that cannot be installed by themselves in this setting, each explained.

    Raises:
        RemoteError: no index answers.
    """
    pins = [need for need in needs if need.pinned]
    if not isinstance(resolve([one.requirement for one in pins], setting, alone=True), Refusal):
        return ()
    found = []
    for need in pins:
        answer = resolve([need.requirement], setting, alone=True)
        if isinstance(answer, Refusal):
            found.append(_explained(need, answer, setting))
    return tuple(found)


def fitting_pythons(needs: Sequence[Need], setting: Setting, *, alone: bool = True) -> tuple[str, ...]:
    """The Pythons that can install all of the needs, by themselves or (``alone=False``) with all that they need."""
    answers = _on_each(PYTHONS, [need.requirement for need in needs], setting, alone=alone)
    return tuple(python for python, one in zip(PYTHONS, answers, strict=True) if not isinstance(one, Refusal))


def nearest(pythons: Sequence[str], python: str) -> str | None:
    """The Python nearest to one, the newer of two as near."""
    return min(pythons, key=lambda one: (abs(minor(one) - minor(python)), -minor(one)), default=None)


def is_only_source(requirement: str, setting: Setting) -> bool:
    """Whether no Python has a wheel of what a requirement allows, that being all that is missing."""
    here = resolve([requirement], setting, alone=True)
    if not isinstance(here, Refusal) or here.kind != "no-wheel":
        return False
    answers = _on_each((*_OLDER, *PYTHONS), [requirement], setting)
    return all(isinstance(one, Refusal) and one.kind == "no-wheel" for one in answers)


def _on_each(
    pythons: Sequence[str], texts: Sequence[str], setting: Setting, *, alone: bool = True
) -> list[tuple[Pinned, ...] | Refusal]:
    """The same question for several Pythons, some at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        settings = [replace(setting, python=python) for python in pythons]
        return list(pool.map(lambda one: resolve(texts, one, alone=alone), settings))


def _explained(need: Need, answer: Refusal, setting: Setting) -> Unfit:
    name, version = need.name, need.pinned or ""
    if answer.kind == "no-package":
        return Unfit(need, f"the index has no package {name} ({need.origin})", (), None)
    pythons = fitting_pythons([need], setting)
    near = _near_version(need, setting)
    python = nearest(pythons, setting.python)
    if python is not None:
        reason = _reason(answer, pythons, setting.python)
        ways = [f"Python {python}"] + ([f"{name} {near}"] if near else [])
        return Unfit(need, f"{name} {version} {reason}: take {', or '.join(ways)}", pythons, near)
    if "+" in version and answer.kind == "no-version":
        text = f"{name} {version} is on no index that was asked: name the one that it is on by --extra-index-url"
        return Unfit(need, text, (), None)
    if setting.as_of is not None and _exists(need, replace(setting, as_of=None)):
        text = f"{name} {version} was released after {setting.as_of}"
    elif answer.kind == "no-version":
        text = f"the index has no {name} {version}"
    else:
        text = f"{name} {version} has no wheel for Python {PYTHONS[0]} or newer"
    return Unfit(need, text + (f": the nearest is {near}" if near else ""), (), near)


def _reason(answer: Refusal, pythons: Sequence[str], python: str) -> str:
    """Why not this Python, with the range of those that share its fate."""
    newest, oldest, mine = (max(map(minor, pythons)), min(map(minor, pythons)), minor(python))
    if answer.kind == "python" and mine < oldest:
        return f"needs Python 3.{oldest} or newer"
    if mine > newest:
        return f"has no wheel for Python 3.{newest + 1} or newer"
    if mine < oldest:
        return f"has no wheel for Python 3.{oldest - 1} or older"
    return f"has no wheel for Python {python}"


def _near_version(need: Need, setting: Setting) -> str | None:
    """The first version above the pin that can be installed here, else the last below it."""
    version = (need.pinned or "").partition("+")[0]
    for operator, lowest in ((">", True), ("<", False)):
        answer = resolve([f"{need.name}{operator}{version}"], setting, alone=True, lowest=lowest)
        if not isinstance(answer, Refusal) and answer:
            return answer[0].version
    return None


def _exists(need: Need, setting: Setting) -> bool:
    return bool(fitting_pythons([need], setting))
