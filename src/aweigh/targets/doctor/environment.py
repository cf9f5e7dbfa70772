"""An environment like the one that the platform would build: the chosen Python, and exactly the requirements, by uv."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aweigh.bundle.resolver import QUIET, find_uv, uv_environment, without_addresses
from aweigh.errors import MissingExtra
from aweigh.locking.interpreter import find_interpreter

PACKAGE = Path(__file__).parents[2]
"""aweigh itself."""
INSTALL_S = 900.0
VENV_S = 120.0
_WHERE = "import sys, sysconfig; print(sys.base_prefix); print(sysconfig.get_path('purelib'))"


@dataclass(frozen=True, slots=True)
class Environment:
    """``programs`` holds its python; ``packages`` what was installed; ``base`` is where the interpreter is."""

    programs: Path
    packages: Path
    base: Path


class NotMade(Exception):  # noqa: N818  an outcome: the caller tells it as a finding
    """The environment could not be made; the message says why, and holds no address."""


def make_environment(path: Path, *, python: str, requirements: Path | None, with_aweigh: bool) -> Environment:
    """Make it at ``path``, which is not there yet; wheels only, so that nothing is compiled for minutes.

    Raises:
        NotMade: uv or that Python is missing here, or the requirements cannot be installed.
    """
    try:
        uv = find_uv()
        interpreter = find_interpreter(python)
    except (MissingExtra, subprocess.TimeoutExpired):
        raise NotMade("uv is not installed here (pip install uv)") from None
    if interpreter is None:
        raise NotMade(f"Python {python} is not installed here")
    _run(
        [*(uv, "venv", "-q", "--no-project", "--python", str(interpreter)), *QUIET, str(path)],
        timeout_s=VENV_S,
        otherwise=f"no environment of Python {python} can be made",
    )
    program = path / "bin" / "python"
    if requirements is not None:
        asked = ("--python", str(program), "--only-binary", ":all:", "--compile-bytecode", "-r", str(requirements))
        _run(
            [uv, "pip", "install", "-q", *QUIET, *asked],
            timeout_s=INSTALL_S,
            folder=requirements.parent,
            otherwise="the requirements cannot be installed",
        )
    told = _run([str(program), "-c", _WHERE], timeout_s=VENV_S, otherwise="its Python does not start")
    base, packages = told.splitlines()[:2]
    found = Environment(path / "bin", Path(packages), Path(base))
    if with_aweigh:
        _add_aweigh(found)
    return found


def _add_aweigh(environment: Environment) -> None:
    """This very package, and its program."""
    shutil.copytree(PACKAGE, environment.packages / "aweigh", ignore=shutil.ignore_patterns("__pycache__"))
    program = environment.programs / "aweigh"
    python = environment.programs / "python"
    program.write_text(
        f"#!{python}\nimport sys\nfrom aweigh.__main__ import main\nsys.exit(main())\n", encoding="utf-8"
    )
    program.chmod(0o755)


def _run(command: Sequence[str], *, timeout_s: float, otherwise: str, folder: Path | None = None) -> str:
    environ = uv_environment(os.environ)
    environ.pop("PYTHONPATH", None)
    try:
        done = subprocess.run(
            list(command), cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=timeout_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotMade(f"{otherwise}: nothing came of it within {timeout_s:g} s") from None
    except OSError as error:
        raise NotMade(f"{otherwise}: {error.strerror}") from error
    if done.returncode != 0:
        raise NotMade(f"{otherwise}: {_why(done.stderr)}")
    return done.stdout


def _why(told: str) -> str:
    """uv's reason, without the addresses in it: they may hold the user's name and password."""
    text = " ".join(told.split())
    reason = re.search(r"(?:Because |cause: |error: )(.+)", text)
    return without_addresses(reason[1] if reason else text or "it gave no reason")[:200]
