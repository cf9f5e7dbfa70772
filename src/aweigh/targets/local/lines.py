"""The command lines of a folder or a bundle: its Procfile's, or those that a deployment would write for it."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from aweigh.errors import ConfigError, UsageError
from aweigh.targets.doctor.folder import find_script, read_folder
from aweigh.targets.procfile import read_procfile
from aweigh.targets.release import web_line

NAME = "Procfile"
MOST_NAMED = 5
"""Bundles that are named where there are several."""


@dataclass(frozen=True, slots=True)
class Lines:
    """``processes`` by type, run in ``folder``; ``own`` where the folder's owner wrote them."""

    folder: Path
    processes: dict[str, str]
    own: bool
    notes: tuple[str, ...] = ()


def is_bundle(path: Path) -> bool:
    """Whether a path is a bundle, by its name or its manifest: its content is judged by whoever opens it."""
    return path.is_file() or (path / "manifest.json").is_file()


def lines_of(path: Path, *, auth: str = "password") -> Lines:
    """What is run for a path; ``auth`` says who may come in where the lines are ours.

    Raises:
        UsageError: there is nothing at the path, nothing in it that could be started, or several bundles.
        ConfigError: the Procfile has no line that could be run, or one without a colon.
    """
    if not path.exists():
        raise UsageError(f"There is nothing at {path}.", hint="name a folder, or a bundle")
    if path.suffix == ".py" and path.is_file():
        return Lines(path.resolve().parent, {"web": web_line(path.name, auth=auth)}, own=False)
    if is_bundle(path):
        return Lines(path.resolve().parent, {"web": web_line(path.name, auth=auth)}, own=False)
    folder = read_folder(path)
    text = folder.text(NAME)
    if text is not None:
        return _own(path, text)
    if len(folder.bundles) > 1:
        raise _several(path, folder.bundles)
    if folder.bundles:
        return Lines(path.resolve(), {"web": web_line(folder.bundles[0], auth=auth)}, own=False)
    script = find_script(folder)
    if script is None:
        raise UsageError(
            f"There is nothing to start in {path}: no {NAME}, no bundle and no Streamlit script.",
            hint=f"write a {NAME} with a line 'web: COMMAND', or name the folder of the app",
        )
    return Lines(path.resolve(), {"web": web_line(script, auth=auth)}, own=False)


def _several(path: Path, bundles: tuple[str, ...]) -> UsageError:
    more = f" and {len(bundles) - MOST_NAMED} more" if len(bundles) > MOST_NAMED else ""
    return UsageError(
        f"There are {len(bundles)} bundles in {path}: {', '.join(bundles[:MOST_NAMED])}{more}.",
        hint=f"name one of them: aweigh up {shlex.quote(str(path / bundles[0]))}",
    )


def _own(path: Path, text: str) -> Lines:
    procfile = read_procfile(text)
    if not procfile.processes:
        raise ConfigError(f"The {NAME} has no line that could be run.", hint="write it as TYPE: COMMAND")
    if procfile.colonless:
        raise ConfigError(
            f"Line {procfile.colonless[0]} of the {NAME} has no colon behind its first word.",
            hint="write it as TYPE: COMMAND, or put # before what is none",
        )
    notes = [f"line {number} of the {NAME} is read by nobody" for number, _ in procfile.unread]
    notes += [f"{name} stands in the {NAME} more than once: the last one counts" for name in procfile.doubles]
    return Lines(path.resolve(), dict(procfile.processes), own=True, notes=tuple(notes))
