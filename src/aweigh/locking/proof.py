"""The proof of a lock: a fresh environment of its Python, exactly what it pins by its hashes, and every import tried.

What is installed is imported, and so its code is run, as it will be where the app runs: with this user's rights, but
without this user's variables, and from an empty folder.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aweigh.bundle.resolver import QUIET, run_uv, without_addresses
from aweigh.errors import RemoteError, StorageFull, says_full
from aweigh.locking import probe
from aweigh.locking.interpreter import find_interpreter

INSTALL_TIMEOUT_S = 900.0
IMPORT_TIMEOUT_S = 300.0
LINE = 300
"""Of an error at most so many characters are told."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An import that failed, and the last line of its error."""

    module: str
    error: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of it: the modules that were imported, those that failed, or why it could not be tried at all.

    ``untried`` is None when it was; ``hint`` says what to do then.
    """

    imported: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    untried: str | None = None
    hint: str | None = None

    @property
    def holds(self) -> bool:
        """Whether everything was imported."""
        return self.untried is None and not self.failures


@dataclass(frozen=True, slots=True)
class Tried:
    """What is to be imported: modules by their dotted names, and whatever distributions bring.

    ``built`` are packages that have to be built from source; ``variables`` are for uv alone.
    """

    modules: Sequence[str] = ()
    distributions: Sequence[str] = ()
    built: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


def prove(text: str, *, python: str, tried: Tried) -> Proof:
    """Install a lock and import.

    Raises:
        RemoteError: what it pins could not be fetched.
        StorageFull: there is no room for it.
        MissingExtra: uv is not installed.
    """
    interpreter = find_interpreter(python)
    if interpreter is None:
        return Proof(
            untried=f"there is no Python {python} on this machine",
            hint=f"install it (pyenv install {python}, or uv python install {python}) and lock again",
        )
    with tempfile.TemporaryDirectory(prefix="aweigh-proof-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        lock = folder / "lock.txt"
        lock.write_text(text, encoding="utf-8")
        for arguments in install_arguments(interpreter, built=tried.built):
            try:
                done = run_uv(arguments, folder=folder, timeout_s=INSTALL_TIMEOUT_S, more=tried.variables)
            except subprocess.TimeoutExpired:
                raise RemoteError(f"Installing took longer than {INSTALL_TIMEOUT_S:.0f} s.") from None
            if done.returncode != 0:
                raise not_installed(done.stderr, python)
        return _import(folder, tried)


def install_arguments(interpreter: Path, *, built: Sequence[str]) -> list[list[str]]:
    """What uv is told: make an environment, put exactly the lock in."""
    binary = ["--only-binary", ":all:", *(word for one in built for word in ("--no-binary", one))]
    inside = ["--python", "env/bin/python"]
    return [
        ["venv", "env", "--python", str(interpreter), "--no-project", *QUIET],
        ["pip", "sync", "lock.txt", "--require-hashes", *binary, *inside, *QUIET],
    ]


def _import(folder: Path, tried: Tried) -> Proof:
    """Import in one process; where one import ends it, the next process goes on after it."""
    modules, distributions = list(tried.modules), list(tried.distributions)
    imported: list[str] = []
    failures: list[Failure] = []
    while True:
        asked = json.dumps({"modules": modules, "distributions": distributions})
        code, output = _probe(folder, asked)
        told = _told(output)
        for one in told:
            if one.get("error"):
                failures.append(Failure(one["imported"], one["error"][:LINE]))
            elif "imported" in one:
                imported.append(one["imported"])
        last = told[-1].get("importing") if told else None
        if last is None:
            break
        failures.append(Failure(last, _ended(code)))
        done = {*imported, *(one.module for one in failures)}
        modules, distributions = [one for one in modules if one not in done], []
        if not modules:
            break
    return Proof(tuple(imported), tuple(failures))


def _probe(folder: Path, asked: str) -> tuple[int | None, str]:
    """The exit code (None: it took too long) and what was told up to then."""
    environment = {name: os.environ[name] for name in ("LANG", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    environment |= {"PATH": os.defpath, "HOME": str(folder), "MPLCONFIGDIR": str(folder)}
    work = folder / "work"
    work.mkdir(exist_ok=True)
    with subprocess.Popen(
        [folder / "env/bin/python", "-I", "-W", "ignore", str(Path(probe.__file__).resolve())],
        cwd=work,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(asked, timeout=IMPORT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return None, output
        except BaseException:  # whatever it is, Ctrl-C too, does not reach a session of its own
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output


def _told(output: str) -> list[dict[str, str]]:
    """The lines that are whole: a process may end in the middle of one."""
    return [json.loads(line) for line in output.splitlines() if line.endswith("}")]


def _ended(code: int | None) -> str:
    if code is None:
        return f"it was not done after {IMPORT_TIMEOUT_S:.0f} s"
    if code < 0:
        return f"it ended the process ({signal.Signals(-code).name})"
    return f"it ended the process (exit code {code})"


def not_installed(told: str, python: str) -> RemoteError | StorageFull:
    """The error for a lock that uv could not install, by what uv said."""
    if says_full(told):
        return StorageFull(
            "There is no room for the environment that a lock is proven in.",
            hint="make room, or set TMPDIR to where there is some; --no-prove locks without a proof",
        )
    text = " ".join(without_addresses(told).split()).removeprefix("error: ").rstrip(".")[:LINE]
    return RemoteError(
        f"The lock could not be installed on Python {python}: {text}.",
        hint="try again with a network; --no-prove locks without a proof",
    )


def runs_here() -> bool:
    """Whether this machine is of the kind that locks are for (Linux on x86-64): elsewhere a proof shows less."""
    return sys.platform == "linux" and os.uname().machine == "x86_64"
