"""From what is asked for to the text of a lock: the day that it is held to, exact versions with hashes, the proof."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aweigh.bundle.requirements import Pinned, write_lock
from aweigh.errors import CannotInstall, ConfigError
from aweigh.locking.accelerators import card_notes
from aweigh.locking.ask import Ask, lacking, read_ask
from aweigh.locking.dates import OLD_AFTER, last_release, tells_dates
from aweigh.locking.interpreter import wanted_python
from aweigh.locking.loose import OWN_HEAD
from aweigh.locking.need import Need
from aweigh.locking.pins import Unfit, fitting_pythons, is_only_source, nearest, unfit_pins
from aweigh.locking.proof import Proof, Tried, prove
from aweigh.locking.resolution import Refusal, Setting, resolve

MOST_BUILT = 8
"""So many packages may have to be built from source before that is called a failure."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Exact versions, the setting that they were found in, why it has its day, and notes for people."""

    packages: tuple[Pinned, ...]
    setting: Setting
    why: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock: what was asked, what came of it, its text, and the proof (None: not asked for)."""

    ask: Ask
    resolved: Resolved
    text: str
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    proof: Proof | None = None


def make_lock(
    path: Path, *, python: str | None = None, as_of: dt.date | str | None = None, proof: bool = True
) -> Locked:
    """Lock what a script, a folder, loose requirements or a model file needs; nothing is written.

    ``as_of`` is the last day whose releases count; "today" for the newest; None for the default.

    Raises:
        UsageError, ConfigError, UnreadableModel: what is asked for cannot be read.
        CannotInstall: pins that this Python cannot install, each explained.
        RemoteError: no index answers.
        MissingExtra: uv is not installed.
    """
    ask = read_ask(path)
    chosen, _ = wanted_python(python, ask.folder)
    locked = lock_ask(ask, resolve_ask(ask, python=chosen, as_of=as_of))
    return replace(locked, proof=prove_lock(locked)) if proof else locked


def resolve_ask(ask: Ask, *, python: str, as_of: dt.date | str | None = None) -> Resolved:
    """Exact versions of what is asked for.

    Raises:
        CannotInstall: pins that this Python cannot install, each explained.
        ConfigError: nothing meets the needs, or the index tells no dates and one was asked for.
        RemoteError: no index answers.
    """
    today = dt.datetime.now(dt.UTC).date()
    plain = Setting(python, constraints=ask.constraints, variables=dict(ask.variables))
    plain = _with_built(ask, plain)
    said = as_of if isinstance(as_of, dt.date) else None
    notes: tuple[str, ...] = ()
    if said is not None:
        _check_day(said, ask, plain, today)
        setting, why = replace(plain, as_of=said), f"as of {said}"
    elif as_of is None:
        setting, why, notes = _default_day(ask, plain, today)
    else:
        setting, why = plain, "the newest of today"
    answer, setting = _resolved(ask, setting)
    if isinstance(answer, Refusal) and said is None and setting.as_of is not None:
        notes = (*notes, f"nothing of {setting.as_of} meets all lines, so the newest of today were taken")
        why, (answer, setting) = "the newest of today", _resolved(ask, replace(setting, as_of=None))
    if isinstance(answer, Refusal):
        raise _impossible(ask, answer, setting)
    unhashed = [one.name for one in answer if not one.hashes]
    if unhashed:
        raise ConfigError(f"The index gives no hashes for {', '.join(unhashed[:3])}, so nothing could be held to them.")
    built = [name for name in setting.built if any(one.name == name for one in answer)]
    if built:
        notes = (*notes, f"no Python has a wheel of {', '.join(built)}: built from source where it is installed")
    return Resolved(answer, setting, why, notes)


def lock_ask(ask: Ask, resolved: Resolved) -> Locked:
    """The text of a lock, and what is to be told of it."""
    setting = resolved.setting
    day = f", as of {setting.as_of}" if setting.as_of else ""
    head = f"{OWN_HEAD} for Python {setting.python} on Linux (x86-64){day}.\n"
    missing = lacking(ask, [one.name for one in resolved.packages])
    notes = (*ask.notes, *resolved.notes, *card_notes(resolved.packages))
    return Locked(ask, resolved, head + write_lock(resolved.packages), missing, notes)


def prove_lock(locked: Locked) -> Proof:
    """Install it into a fresh environment and import what the script imports.

    Raises:
        RemoteError: what it pins could not be fetched.
    """
    ask, setting = locked.ask, locked.resolved.setting
    tried = Tried(ask.modules, ask.distributions, setting.built, setting.variables)
    return prove(locked.text, python=setting.python, tried=tried)


def _with_built(ask: Ask, setting: Setting) -> Setting:
    """The setting with those pins that only sources are offered of.

    Raises:
        CannotInstall: other pins cannot be installed.
    """
    unfit = unfit_pins(ask.needs, setting)
    sources = [one.need for one in unfit if not one.pythons and is_only_source(one.need.requirement, setting)]
    others = [one for one in unfit if one.need not in sources]
    if others:
        raise _cannot_install(others, ask, setting)
    return replace(setting, built=tuple(sorted(need.name for need in sources)))


def _cannot_install(unfit: Sequence[Unfit], ask: Ask, setting: Setting) -> CannotInstall:
    sentences = tuple(one.sentence for one in unfit)
    more = f" (and {len(sentences) - 1} more pins)" if len(sentences) > 2 else " (and 1 more pin)"
    first = sentences[0]
    message = first[:1].upper() + first[1:] if first.startswith("the ") else first
    hint = None
    near = None
    if all(one.pythons for one in unfit):
        near = nearest(fitting_pythons([need for need in ask.needs if need.pinned], setting), setting.python)
    if near is not None:
        hint = f"all pins can be installed on Python {near}: lock again with --python {near}"
    elif any(one.version for one in unfit):
        hint = "write " + ", ".join(f"{one.need.name}=={one.version}" for one in unfit if one.version)
    return CannotInstall(message + (more if len(sentences) > 1 else "") + ".", sentences=sentences, hint=hint)


def _check_day(day: dt.date, ask: Ask, setting: Setting, today: dt.date) -> None:
    if day > today:
        raise ConfigError(f"--as-of {day} lies in the future.", hint="name a day that has been, or leave it out")
    if tells_dates(ask.needs[0].name, setting, today=today) is False:
        raise ConfigError(
            "The index does not tell when its files came, so no lock can be held to a day.",
            hint="leave out --as-of and pin what must not change, or ask an index that tells dates (PEP 700)",
        )
    unfit = unfit_pins(ask.needs, replace(setting, as_of=day))
    if unfit:
        raise _cannot_install(unfit, ask, replace(setting, as_of=day))


def day_of_pins(locked: Locked) -> dt.date | None:
    """The day after the newest pin of a lock was released, where its pins are old: what to try when a proof fails.

    Raises:
        RemoteError: no index answers.
    """
    today = dt.datetime.now(dt.UTC).date()
    released = last_release(locked.ask.needs, locked.resolved.setting, today=today)
    if released is None or today - released.day <= OLD_AFTER:
        return None
    return released.day + dt.timedelta(days=1)


def _default_day(ask: Ask, setting: Setting, today: dt.date) -> tuple[Setting, str, tuple[str, ...]]:
    """The day after the newest pin's, where the pins are old and most of what is asked for; else none."""
    newest = "the newest of today"
    pins: list[Need] = [need for need in ask.needs if need.pinned]
    if not pins or (2 * len(pins) < len(ask.needs) and not ask.from_model):
        return setting, newest, ()
    released = last_release(pins, setting, today=today)
    if released is None:
        told = ("the index does not tell when its files came: what is not pinned is the newest of today",)
        return setting, newest, told
    if today - released.day <= OLD_AFTER:
        return setting, newest, ()
    day = released.day + dt.timedelta(days=1)
    which = f"the newest pin, {released.newest}," if released.newest else "the newest pin"
    if len(pins) == 1:
        which = f"the pin, {pins[0].name} {pins[0].pinned},"
    return replace(setting, as_of=day), f"as of {day}, the day after {which} was released", ()


def _resolved(ask: Ask, setting: Setting) -> tuple[tuple[Pinned, ...] | Refusal, Setting]:
    """All of it resolved; what turns out to be offered as source only is let be built, and told by the setting."""
    texts = [need.requirement for need in ask.needs]
    for _ in range(MOST_BUILT):
        answer = resolve(texts, setting)
        if not isinstance(answer, Refusal) or answer.kind != "no-wheel" or answer.package is None:
            return answer, setting
        exact = answer.range if answer.range.startswith("==") else ""
        if answer.package in setting.built or not is_only_source(f"{answer.package}{exact}", setting):
            return answer, setting
        setting = replace(setting, built=tuple(sorted({*setting.built, answer.package})))
    return answer, setting


def _impossible(ask: Ask, answer: Refusal, setting: Setting) -> ConfigError:
    need = next((one for one in ask.needs if one.name == answer.package), None)
    if answer.kind == "no-package" and need is not None:
        hint = "is it the name of a module of your own, or misspelt?"
        if need.note:
            hint = "its name was guessed: write the right one into a requirements.txt beside the script"
        return ConfigError(f"The index has no package {need.name} ({need.origin}).", hint=hint)
    texts = [one.requirement for one in ask.needs]
    undated = None if setting.as_of is None else resolve(texts, replace(setting, as_of=None))
    if undated is not None and not isinstance(undated, Refusal):
        return ConfigError(
            f"What had been released up to {setting.as_of} does not meet all lines: {answer.reason}",
            hint="name a later day, or --as-of today",
        )
    near = nearest(fitting_pythons(ask.needs, setting, alone=False), setting.python)
    return ConfigError(
        f"No versions meet all lines on Python {setting.python}: {answer.reason}",
        hint=f"they can be met on Python {near}: --python {near}" if near else "loosen one of the lines that it names",
    )
