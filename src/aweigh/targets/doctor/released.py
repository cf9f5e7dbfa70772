"""Places for which aweigh makes the release itself: it is made here, installed, run and held to a limit."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aweigh.errors import AweighError
from aweigh.targets.doctor import disk, files, loads, login, procfile, requirements, settings, shell, streamlit, wheels
from aweigh.targets.doctor.diagnosis import Diagnosis, Subject, Tell, Wishes, measure, not_measured
from aweigh.targets.doctor.environment import NotMade, make_environment
from aweigh.targets.doctor.finding import Finding, has_failed, sort_findings
from aweigh.targets.doctor.folder import Folder, read_folder
from aweigh.targets.doctor.platform import Platform
from aweigh.targets.doctor.run import Web
from aweigh.targets.local.environ import KEPT, environ_of
from aweigh.targets.local.lines import is_bundle
from aweigh.targets.release import START

if TYPE_CHECKING:
    from aweigh.targets.release import Release


FIRST_BYTE_S, IDLE_S = 30.0, 60.0
"""Nobody holds to them at such places; what is in between, proxies and people, does."""


def diagnose_release(
    path: Path,
    *,
    platform: Platform,
    there: Sequence[Finding] = (),
    wishes: Wishes,
    tell: Tell,
    trust: Path | None = None,
) -> Diagnosis:
    """Looks at a folder, a script or a bundle as what would be deployed; ``there`` is what was found of the place.

    Raises:
        UsageError: there is nothing at the path.
    """
    from aweigh.targets.releasing import Wishes as Releasing
    from aweigh.targets.releasing import release_of

    found = [*there]
    if path.exists() and not is_bundle_or_script(path):
        folder = read_folder(path)
        tell("files", f"{len(folder.names):,} of them are looked at")
        found += check_files(folder, platform=platform, wishes=wishes)
    if not wishes.ask_index and path.exists():
        what = "the release was not made: what no lock pins would be asked of a package index"
        return Diagnosis(sort_findings([*found, Finding("release", "warn", what, "leave --offline out")]))
    tell("release", "what would be deployed, its requirements locked")
    try:
        release = release_of(path, name="doctor", wishes=Releasing(auth="none", trust=trust))
    except AweighError as error:
        if not path.exists():
            raise
        return Diagnosis(sort_findings([*found, Finding(error.code, "fail", error.message, error.hint or "")]))
    found += _of_release(release, platform)
    if not wishes.measure or has_failed(one for one in found if one.code == "python_unsupported"):
        return Diagnosis(sort_findings(found))
    return _run(release, platform=platform, found=found, wishes=wishes, tell=tell)


def is_bundle_or_script(path: Path) -> bool:
    """Whether a path is one thing to serve, and no folder of an app."""
    return is_bundle(path) or path.is_file()


def check_files(folder: Folder, *, platform: Platform, wishes: Wishes) -> Iterator[Finding]:
    """All that the files of a folder tell, of which aweigh makes the release: what it adds itself may be missing."""
    from aweigh.targets.doctor.python_version import python_of

    python = python_of(folder, default=platform.default_python)
    if procfile.NAME in folder.names:
        yield from procfile.check(folder, platform=platform)
        yield from shell.check(folder)
    yield from settings.check(folder, words=platform.words)
    if requirements.FILE in folder.names:
        yield from requirements.check(folder)
        yield from streamlit.check(folder, python=python)
        if wishes.ask_index:
            yield from wheels.check(wheels.ask_wheels(folder, python=python, offered=platform.pythons))
    yield from files.check(folder, words=platform.words)
    yield from login.check(folder)
    yield from loads.check(folder)
    yield from disk.check(folder, words=platform.words)


def _of_release(release: "Release", platform: Platform) -> Iterator[Finding]:
    what = release.bundle or "a folder of its own"
    told = f"{what}, Python {release.python}, with a lock of {(release.requirements or '').count('--hash='):,} hashes"
    if release.requirements is None:
        fix = "aweigh lock app.py -o requirements.txt, and take the other lock out"
        yield Finding("no_requirements", "fail", "what is installed there is not locked by hashes", fix)
    else:
        yield Finding("release", "pass", f"{told}, and {', '.join(release.processes)} to be run")
    minor = ".".join(release.python.split(".")[:2])
    if minor not in platform.pythons:
        known = ", ".join(platform.pythons) or "none"
        fix = (
            f"pack it with another: aweigh pack --python {platform.pythons[-1]}" if platform.pythons else "install one"
        )
        what = f"it needs Python {minor}, and {platform.words.place} has {known}"
        yield Finding("python_unsupported", "fail", what, fix)


def _run(release: "Release", *, platform: Platform, found: Sequence[Finding], wishes: Wishes, tell: Tell) -> Diagnosis:
    with tempfile.TemporaryDirectory(prefix="aweigh-doctor-") as name:
        app = Path(name) / "app"
        _write(release, app)
        if release.requirements is None or "web" not in release.processes:
            return Diagnosis(sort_findings(found))
        locked = app / requirements.FILE
        locked.write_text(release.requirements, encoding="utf-8")
        tell("install", f"its lock for Python {release.python}")
        try:
            python = ".".join(release.python.split(".")[:2])
            environment = make_environment(Path(name) / "python", python=python, requirements=locked, with_aweigh=False)
        except NotMade as error:
            return Diagnosis(sort_findings([*found, not_measured(str(error))]))
        base = {name: os.environ[name] for name in KEPT if name in os.environ}
        # The plan is to be made for the limit, not for this machine: aweigh reads a dyno's memory from DYNO_RAM, in MB.
        held = {"DYNO_RAM": str(platform.limits.quota_bytes // 2**20)}
        own = {"HOME": str(app), "AWEIGH_STATE_DIR": str(Path(name) / "state"), **held, **release.config}
        workers = platform.web_concurrency or 1
        environ = environ_of(app, base=base, own=own, web_concurrency=workers, programs=environment.programs)
        # Nobody says how many there: a server that asks for it takes what it takes where nothing is said.
        if platform.web_concurrency is None:
            environ.pop("WEB_CONCURRENCY")
        environ.pop("PYTHONPATH")
        web = Web(measured_line(release.processes["web"], platform), app, environ, _rows(release))
        subject = Subject(read_folder(app), web, environment)
        return measure(subject, platform=platform, found=found, wishes=wishes, tell=tell)


def measured_line(line: str, platform: Platform) -> str:
    """A line of ours as it is measured: on the loopback alone, as nobody signs in meanwhile."""
    if not line.startswith(START):
        return line
    line = line.replace(" --host 0.0.0.0", " --host 127.0.0.1")
    count = platform.web_concurrency
    return line if count is None else line.replace(" --workers auto", f" --workers {count}")


def _write(release: "Release", app: Path) -> None:
    for name, content in release.files.items():
        path = app / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        if isinstance(content, Path):
            path.chmod(content.stat().st_mode & 0o777 | 0o600)


def _rows(release: "Release") -> Sequence[dict[str, object]]:
    from aweigh.targets.live import golden_of

    return () if release.bundle is None else [dict(row) for row in golden_of(release.files[release.bundle]).rows]
