"""Whether every exact version has a wheel for the chosen Python: the index is asked, through uv."""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aweigh.errors import AweighError, MissingExtra, RemoteError
from aweigh.locking.loose import read_loose
from aweigh.locking.pins import Unfit, fitting_pythons, is_only_source, nearest, unfit_pins
from aweigh.locking.resolution import Setting
from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.folder import Folder
from aweigh.targets.doctor.requirements import FILE


@dataclass(frozen=True, slots=True)
class Wheels:
    """What the index says of the pins: those that cannot be installed on ``python``, each in a sentence.

    ``built`` are names of which every Python would have to build from source; ``near`` is the Python nearest to this
    one that has wheels of all; ``silent`` says why nobody could be asked.
    """

    python: str
    pins: int = 0
    lost: tuple[Unfit, ...] = ()
    built: tuple[str, ...] = ()
    near: str | None = None
    silent: str = ""


def ask_wheels(folder: Folder, *, python: str, offered: Sequence[str]) -> Wheels:
    """Asks for every exact version of ``requirements.txt``; ``offered`` are the Pythons that the platform has."""
    if folder.text(FILE) is None:
        return Wheels(python)
    try:
        loose = read_loose(folder.path / FILE)
        setting = Setting(python, variables=dict(loose.variables))
        pins = [need for need in loose.needs if need.pinned]
        unfit = unfit_pins(pins, setting)
        built = [one for one in unfit if not one.pythons and is_only_source(one.need.requirement, setting)]
        lost = tuple(one for one in unfit if one not in built)
        others = [need for need in pins if need not in [one.need for one in built]]
        fitting = [one for one in fitting_pythons(others, setting) if one in offered] if lost else []
    except (RemoteError, MissingExtra) as error:
        return Wheels(python, silent=f"{error.message} {error.hint or ''}".strip())
    except subprocess.TimeoutExpired:
        return Wheels(python, silent="no index answered in time.")
    except AweighError as error:
        return Wheels(python, silent=error.message)
    return Wheels(python, len(pins), lost, tuple(one.need.name for one in built), nearest(fitting, python))


def check(asked: Wheels) -> Iterator[Finding]:
    """One finding for all that are missing."""
    if asked.silent:
        what = f"whether every version has a wheel for Python {asked.python} could not be asked: {asked.silent}"
        yield Finding("wheels_unknown", "warn", what, "mend that, or leave the question out: --offline", FILE)
        return
    if asked.lost:
        told = "; ".join(one.sentence for one in asked.lost)
        what = f"not every exact version can be installed on Python {asked.python}: {told}"
        near = asked.near
        fix = f"echo {near} > .python-version, where all of them can; or" if near else "run"
        where = f"{FILE}, line {asked.lost[0].need.origin.rpartition(':')[2]}"
        yield Finding("no_wheel", "fail", what, f"{fix} aweigh lock {FILE} to find what goes together", where)
    if asked.built:
        what = f"{', '.join(asked.built)}: there is no wheel, so that every build makes it from source"
        yield Finding("source_only", "warn", what, "take a version with a wheel, where there is one", FILE)
    if asked.pins and not asked.lost and not asked.built:
        yield Finding(
            "wheels", "pass", f"{asked.pins} exact versions have wheels for Python {asked.python}", where=FILE
        )
