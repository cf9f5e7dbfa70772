"""An interpreter of a certain Python on this machine: this one, one on the path, pyenv's, or one that uv fetched."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aweigh.bundle.resolver import QUIET, run_uv
from aweigh.errors import ConfigError

FILE = ".python-version"
_FORM = re.compile(r"(?:c?python-)?(3\.(?:[89]|[1-9]\d))(\.\d{1,3})?", re.ASCII)
_ASK_TIMEOUT_S = 20.0
_QUESTION = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"


def wanted_python(said: str | None, folder: Path) -> tuple[str, str]:
    """The Python to lock for, as ``3.12``, and where that was said: ``--python``, the folder's file, or this Python.

    Raises:
        ConfigError: what was said is no version of Python from 3.8 on.
    """
    if said is not None:
        return _parsed(said, "--python"), "--python"
    file = folder / FILE
    if file.is_file():
        lines = (
            line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8", errors="replace").split("\n")
        )
        return _parsed(next(filter(None, lines), ""), FILE), FILE
    return f"{sys.version_info.major}.{sys.version_info.minor}", "this Python"


def _parsed(text: str, where: str) -> str:
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{where} says {text[:40]!r}, which is no Python to lock for.", hint="write it as 3.12")
    return found[1]


def find_interpreter(python: str) -> Path | None:
    """The program of that Python, which has been run to see that it is one; None where this machine has none."""
    seen = set()
    for candidate in _candidates(python):
        if candidate not in seen and _is(candidate, python):
            return candidate
        seen.add(candidate)
    return None


def newest_interpreter(python: str) -> tuple[Path, str] | None:
    """Of this machine's own programs of that Python the one of the newest patch release, and that (``3.12.4``).

    It is the same one whichever Python asks.
    """
    found = {_patch(one): one for one in _own_candidates(python) if _is(one, python)}
    found.pop("", None)
    newest = max(found, key=lambda version: [int(one) for one in version.split(".")], default=None)
    return None if newest is None else (found[newest], newest)


def _patch(program: Path) -> str:
    """The whole version of a program; empty where it does not tell."""
    done = _asked(program, "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])")
    said = "" if done is None else done.stdout.strip()
    return said if re.fullmatch(r"\d+\.\d+\.\d+", said, re.ASCII) else ""


def _own_candidates(python: str) -> Iterator[Path]:
    """Programs that may be that Python: this one, one on the path, pyenv's."""
    yield Path(sys.executable)
    on_path = shutil.which(f"python{python}")
    if on_path is not None:
        yield Path(on_path)
    try:
        root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    except RuntimeError:  # a user of no name and no home, as containers have
        return
    versions = sorted((root / "versions").glob(f"{python}.*"), key=lambda one: one.name.split(".")[2].zfill(4))
    yield from (one / "bin" / "python" for one in reversed(versions))


def _candidates(python: str) -> Iterator[Path]:
    yield from _own_candidates(python)
    with tempfile.TemporaryDirectory(prefix="aweigh-python-") as folder:
        done = run_uv(
            ["python", "find", python, "--python-preference", "only-managed", "--no-project", *QUIET],
            folder=Path(folder),
            timeout_s=_ASK_TIMEOUT_S,
        )
    if done.returncode == 0 and done.stdout.strip():
        yield Path(done.stdout.strip())


def _is(program: Path, python: str) -> bool:
    """Whether it runs, and is that Python: a shim on the path may stand for a Python that is not there."""
    done = _asked(program, "-c", _QUESTION)
    return done is not None and done.returncode == 0 and done.stdout.split() == ["cpython", python]


def _asked(program: Path, *words: str) -> subprocess.CompletedProcess[str] | None:
    """What a program answers that reads nothing of its surroundings; None where it does not run, or not to its end."""
    try:
        return subprocess.run(
            [program, "-I", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_ASK_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
