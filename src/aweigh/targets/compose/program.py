"""The programs that are run: docker or podman, and their compose; what they are asked, and what they say.

Arguments go to them as they are, through no shell. Variables of compose's own (``COMPOSE_FILE``) are kept from it: what
it reads is said by name.
"""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aweigh.errors import UsageError
from aweigh.targets.compose.errors import ComposeRefused, NoContainers, refusal
from aweigh.targets.compose.kept import Project
from aweigh.targets.compose.render import COMPOSE
from aweigh.targets.errors import AGAIN, quote

Kind = Literal["docker", "podman"]

LEAST_COMPOSE = (2, 20)
"""Of 2023. Version 1 knows neither --wait nor what has to run before what."""
LEAST_PODMAN_COMPOSE = (1, 2)
ASK_S = 60.0
CHANGE_S = 1800.0
"""An image may have to be fetched."""
MOST_KEPT_LINES = 200
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_PLATFORM = re.compile(r"linux/(amd64|arm64)\Z")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MISSING = "install Docker with its compose plugin, or podman with podman-compose"


@dataclass(frozen=True, slots=True)
class Programs:
    """What runs containers here: ``compose`` are the words that it begins with, ``version`` is what it says of itself.

    ``waits``: compose itself waits until what it is asked for is healthy (``up --wait NAME...``), and so a release can
    be started in steps, beside what runs; else all is started at once, and asked again and again.
    ``platform`` is what images have to be for, as ``linux/amd64``.
    """

    kind: Kind
    compose: tuple[str, ...]
    version: str
    platform: str
    waits: bool

    def engine(self, *words: str) -> list[str]:
        """A command of docker's or podman's own."""
        return [self.kind, *words]

    def of(self, project: Project, *words: str, document: str = COMPOSE) -> list[str]:
        """A command of compose's, on a project."""
        files = [one for name in project.files(document) for one in ("-f", name)]
        return [*self.compose, *files, "-p", f"aweigh-{project.app}", *words]


def find_programs(kind: str | None = None) -> Programs:
    """What is here: what is asked for, else Docker where it runs, else podman.

    Raises:
        NoContainers: none is here, it does not run, or its compose is missing or too old.
    """
    kinds: tuple[Kind, ...] = ("docker", "podman")
    if kind is not None and kind not in kinds:
        raise UsageError(f"No containers are run by {kind[:40]!a}.", hint="docker or podman")
    there = [one for one in kinds if shutil.which(one) and kind in {None, one}]
    if not there:
        raise NoContainers(f"There is no {kind or 'docker and no podman'} here.", hint=_MISSING)
    first: NoContainers | None = None
    for one in there:
        try:
            return _docker() if one == "docker" else _podman()
        except NoContainers as error:
            first = first or error
    assert first is not None  # noqa: S101  there was one to try
    raise first


def _docker() -> Programs:
    said = _said(["docker", "version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"])
    if said.returncode != 0:
        error = refusal(said.stderr, what="to say whether it runs")
        raise NoContainers(error.message, hint=error.hint)
    platform = _platform_of(said.stdout, "Docker")
    for words in (("docker", "compose"), ("docker-compose",)):
        version = _version_of(words)
        if version is not None:
            return Programs("docker", words, _new_enough(version, LEAST_COMPOSE, "Docker's compose"), platform, True)
    raise NoContainers(
        "Docker has no compose here.", hint="install its plugin (docker-compose-plugin, docker-compose-v2)"
    )


def _podman() -> Programs:
    said = _said(["podman", "info", "--format", "{{.Host.OS}}/{{.Host.Arch}}"])
    if said.returncode != 0:
        raise NoContainers(f"podman does not work here: {quote(said.stderr)}", hint="podman info says more")
    platform = _platform_of(said.stdout, "podman")
    for words in (("podman-compose",), ("podman", "compose")):
        version = _version_of(words)
        if version is not None:
            is_docker = "docker" in version.lower()
            least = LEAST_COMPOSE if is_docker else LEAST_PODMAN_COMPOSE
            return Programs("podman", words, _new_enough(version, least, "podman's compose"), platform, False)
    raise NoContainers("podman has no compose here.", hint="install podman-compose")


def _version_of(words: Sequence[str]) -> str | None:
    if shutil.which(words[0]) is None:
        return None
    said = _said([*words, "version"])
    line = next((one for one in said.stdout.splitlines() if "compose" in one.lower() and _VERSION.search(one)), "")
    return line.strip() if said.returncode == 0 and line else None


def _new_enough(said: str, least: tuple[int, int], what: str) -> str:
    found = _VERSION.search(said)
    if found is None or (int(found[1]), int(found[2])) < least:
        raise NoContainers(
            f"{what} is too old here: {quote(said)}.", hint=f"install {least[0]}.{least[1]} or a later one"
        )
    return said


def _platform_of(said: str, what: str) -> str:
    system, _, architecture = said.strip().partition("/")
    platform = f"{system}/{_ARCHITECTURES.get(architecture, architecture)}"
    if _PLATFORM.fullmatch(platform) is None:
        raise NoContainers(
            f"{what} runs containers for {quote(platform)}, and images are built for Linux on amd64 and arm64.",
            hint="take an engine for one of them",
        )
    return platform


# -- running them ----------------------------------------------------------------------------------------------------


def environ_of(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without what would change what compose reads."""
    found = os.environ if environ is None else environ
    return {name: value for name, value in found.items() if not name.startswith("COMPOSE_")} | {
        "DOCKER_CLI_HINTS": "false",
        "PODMAN_COMPOSE_WARNING_LOGS": "false",
    }


def _said(words: Sequence[str], *, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words,
            cwd=folder,
            env=environ_of(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=ASK_S,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 124, "", f"{words[0]} does not answer")
    except OSError as error:
        return subprocess.CompletedProcess(words, 127, "", f"{words[0]}: {error.strerror}")


def ask(words: Sequence[str], *, what: str, folder: Path | None = None) -> str:
    """What a program says on its standard output.

    Raises:
        ComposeRefused: it fails; ``what`` is what it was asked for, as ``to say what runs``.
    """
    said = _said(words, folder=folder)
    if said.returncode != 0:
        raise refusal(said.stderr or said.stdout, what=what)
    return said.stdout


def succeeds(words: Sequence[str]) -> bool:
    """Whether a program ends well."""
    return _said(words).returncode == 0


def carry_out(
    words: Sequence[str],
    *,
    what: str,
    folder: Path,
    hear: Callable[[str], None],
    timeout_s: float = CHANGE_S,
) -> None:
    """Runs what changes something; each line that it says is heard.

    Raises:
        ComposeRefused: it fails, or does not end in time.
    """
    try:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=environ_of(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise ComposeRefused(f"{words[0]} cannot be run: {error.strerror}.") from error
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(timeout_s, end)
    timer.start()
    lines: list[str] = []
    try:
        with process:
            for line in process.stdout or ():
                text = line.decode(errors="replace").rstrip()
                lines = [*lines[-MOST_KEPT_LINES:], text]
                hear(text)
    finally:
        timer.cancel()
        if process.poll() is None:
            process.terminate()
    if late.is_set():
        raise ComposeRefused(f"It was not done {what} within {timeout_s:.0f} s.", hint=AGAIN)
    if process.returncode != 0:
        raise refusal("\n".join(lines), what=what)


def documents(text: str) -> list[dict[str, Any]]:
    """The objects of a program's JSON: a list, or one to a line."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise ComposeRefused(
                "What it says cannot be read.", hint="is its version one that aweigh knows?"
            ) from error
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def said_anywhere(words: Sequence[str]) -> list[str]:
    """The lines that a program says, on whichever of its outputs; none where it fails."""
    said = _said(words)
    return [] if said.returncode != 0 else [*said.stdout.splitlines(), *said.stderr.splitlines()]
