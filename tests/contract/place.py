"""A place as the contract sees it, and the command line that is typed there."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from aweigh.__main__ import main
from aweigh.cli.places import PLACES

SOURCE = Path(__file__).parents[2] / "src"
COMMAND_S = 900


@dataclass(frozen=True)
class Running:
    """A place that was started.

    ``left`` is what there is of an app by its name: nothing, once it is destroyed.
    ``environ`` is what a command typed there is given, ``options`` what stands behind every verb but ``--app``,
    ``deploying`` what a deployment of that path takes more, and ``touched`` a value that is another one as soon as
    anything was written there. ``on`` names what it ran on, with versions.
    """

    environ: Mapping[str, str]
    options: Sequence[str]
    deploying: Callable[[Path], Sequence[str]]
    touched: Callable[[], object]
    left: Callable[[str], object]
    on: str
    most: int
    """How many web replicas are scaled to."""
    rendering: Sequence[str] = ()
    """What documents that are only written take more."""
    reached: Callable[[str], str] = str
    """Where the address that an app is told to have is asked from here: there, unless it is another cluster's name."""


class Place(Protocol):
    """A place of ``aweigh deploy``: ``cannot`` names what of the contract it is not held to, each with its reason."""

    id: str
    name: str
    how: str
    cannot: Mapping[str, str]
    marks: Sequence[pytest.MarkDecorator]
    in_process: bool
    """Whether commands are typed in the tests' own process and nothing is locked: quicker, and asks no index."""

    def running(self, folder: Path, get: Callable[[str], Any]) -> AbstractContextManager[Running]:
        """Start it, with its files in a folder; ``get`` finds the fixtures of the session."""


@dataclass(frozen=True)
class Done:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document of standard output."""
        return json.loads(self.out)


@dataclass
class Shell:
    """Types commands at a place, from an empty folder of its own."""

    place: Place
    running: Running
    folder: Path
    app: str = "penguins-kept"

    def __post_init__(self) -> None:
        self.own = {
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "AWEIGH_CONFIG_DIR": str(self.folder / "config"),
        }
        self.here = self.folder / "here"
        self.here.mkdir()

    @property
    def versions(self) -> str:
        """What the place runs on."""
        return self.running.on

    @property
    def verbs(self) -> Sequence[str]:
        """The verbs that the place has, for one app."""
        return [verb for verb in PLACES[self.place.name] if verb not in {"pipeline", "review"}]

    def words(self, verb: str, *words: str, app: str | None = None) -> list[str]:
        """A command as it is typed."""
        return [verb, self.place.name, *words, "--app", self.app if app is None else app, *self.running.options]

    def type(self, verb: str, *words: str, app: str | None = None, said: str = "") -> Done:
        """Type a verb at the place."""
        command = self.words(verb, *words, app=app)
        return self.inside(command, said) if self.place.in_process else self.apart(command, said)

    def ask(self, verb: str, *words: str, app: str | None = None, said: str = "") -> Any:
        """Type a verb that must go well, with ``--json``: its document."""
        done = self.type(verb, *words, "--json", app=app, said=said)
        assert done.code == 0, done.out + done.err
        return done.document

    def deploy(self, path: Path, *words: str, json: bool = True) -> Done:
        """Type what takes a path live."""
        more = ["--json"] if json else []
        return self.type("deploy", str(path), *self.running.deploying(path), *words, *more)

    def inside(self, command: Sequence[str], said: str = "") -> Done:
        """Run a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in {**self.own, **self.running.environ}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.StringIO(said))
            patch.chdir(self.here)
            try:
                code = main([*command])
            except SystemExit as ended:
                code = ended.code
        return Done(int(code or 0), out.getvalue(), err.getvalue())

    def environ(self, **more: str) -> dict[str, str]:
        """What a process of the command line is given."""
        path = {"PYTHONPATH": str(SOURCE)}
        return {**os.environ, **path, **self.own, **self.running.environ, **more}

    def apart(self, command: Sequence[str], said: str = "", **environ: str) -> Done:
        """Run a command in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "aweigh", *command], input=said, capture_output=True, text=True, check=False,
            timeout=COMMAND_S, env=self.environ(**environ), cwd=self.here,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def at_a_terminal(self, command: Sequence[str], said: str) -> Done:
        """Run a command whose standard input is a terminal, at which this is typed."""
        ours, theirs = os.openpty()
        try:
            os.write(ours, said.encode())
            done = subprocess.run(
                [sys.executable, "-P", "-m", "aweigh", *command], stdin=theirs, capture_output=True, text=True,
                check=False, timeout=COMMAND_S, env=self.environ(), cwd=self.here,
            )  # fmt: skip
        finally:
            os.close(ours)
            os.close(theirs)
        return Done(done.returncode, done.stdout, done.stderr)

    def untouched(self) -> tuple[object, ...]:
        """What changes as soon as anything is written: at the place, or in this user's folders but for the cache."""
        kept = {one for one in self.folder.rglob("*") if self.folder / "cache" not in (one, *one.parents)}
        return self.running.touched(), {one: one.stat().st_mtime_ns for one in kept}

    def answers(self, url: str, rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any]]:
        """Ask an app at its address, as a program does: the bundle that answered, and its answers."""
        return answers(self.running.reached(url), rows)


def refused(done: Done, *, code: int | None = None) -> str:
    """Hold a refusal to its form: an exit code, one sentence and a hint on standard error; the sentence."""
    assert done.code not in {0, 130}, done.out
    assert code is None or done.code == code, done.err
    *steps, error, hint = done.err.splitlines()
    assert error.startswith("error: "), done.err
    assert hint.startswith("hint: "), done.err
    assert "Traceback" not in done.err
    assert not any(one.startswith("error: ") for one in steps)
    sentence = error.removeprefix("error: ")
    assert re.search(r"[.!?]$", sentence), sentence
    return sentence


def answers(url: str, rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any]]:
    """Ask an app over HTTP as a program does: the bundle that answered, and its answers."""
    reply = httpx.post(f"{url}/v1/predict", json={"rows": list(rows)}, trust_env=False, timeout=30)
    assert reply.status_code == 200, reply.text
    told = reply.json()
    return told["model"]["version"], told["predictions"]
