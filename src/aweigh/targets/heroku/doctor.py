"""What would go wrong on Heroku: the checks that hold for it, its limits, and the measurements against a dyno."""

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aweigh.targets.doctor import (
    cost,
    disk,
    files,
    formation,
    loads,
    login,
    procfile,
    python_version,
    requirements,
    settings,
    shell,
    streamlit,
    wheels,
)  # fmt: skip
from aweigh.targets.doctor.diagnosis import Diagnosis, Subject, Tell, measure, not_measured
from aweigh.targets.doctor.diagnosis import Wishes as General
from aweigh.targets.doctor.environment import Environment, NotMade, make_environment
from aweigh.targets.doctor.finding import Finding, sort_findings
from aweigh.targets.doctor.folder import Folder, find_script, read_folder
from aweigh.targets.doctor.platform import Bound, Platform, Words
from aweigh.targets.doctor.run import Limits, Web
from aweigh.targets.heroku.dynos import BOOT_S, DYNOS, FIRST_BYTE_S, IDLE_S, LARGE_SLUG_BYTES, MOST_SLUG_BYTES
from aweigh.targets.local.dotenv import read_dotenv
from aweigh.targets.local.environ import KEPT, environ_of
from aweigh.targets.local.lines import is_bundle, lines_of

if TYPE_CHECKING:
    from aweigh.bundle.trust import Trust
    from aweigh.bundle.verify import VerifiedBundle

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
"""What the Python buildpack builds with (v351, 2026-08-18)."""
DEFAULT_PYTHON = "3.14"
"""What a new app gets that asks for none."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """``size`` is the dyno asked about; ``measure`` to build and run it; ``ask_index`` whether wheels are asked for."""

    size: str = "basic"
    measure: bool = True
    ask_index: bool = True
    limits: Limits | None = None
    """In place of the dyno's own."""
    build_slug: bool = True


def diagnose(path: Path, *, wishes: Wishes, tell: Tell, trust: "Trust | None" = None) -> Diagnosis:
    """Looks at a folder, a script's folder or a bundle; nothing is sent to Heroku, and no account is needed.

    Raises:
        UsageError: there is nothing to look at.
        BundleError: the bundle is damaged.
    """
    if path.suffix == ".py" and path.is_file():
        path = path.parent
    if is_bundle(path):
        return _bundle(path, wishes=wishes, tell=tell, trust=trust)
    return _folder(read_folder(path), wishes=wishes, tell=tell)


WORDS = Words(
    place="Heroku",
    machine="dyno",
    set_variable="heroku config:set {}",
    settings="config variables",
    disk="the dyno's disk, which is emptied at every restart and is not shared by dynos",
    keep="a database (heroku addons:create heroku-postgresql, DATABASE_URL) or a bucket",
    router="Heroku's router",
    unheard=" (R10 after 60 s, H11 or H10)",
    crashed=": H10, App crashed",
    late=": R10, and the dyno is ended",
    over_quota=" (R14: it swaps, and becomes slow)",
    killed=" (R15)",
    slow=": H12",
    quiet=" (H15)",
)


def platform_of(wishes: Wishes) -> Platform:
    """Heroku, with a dyno's limits."""
    dyno = DYNOS[wishes.size]
    own = Limits(dyno.quota_bytes, dyno.kill_bytes, BOOT_S, FIRST_BYTE_S, IDLE_S)
    return Platform(
        target="heroku",
        size=wishes.size,
        limits=wishes.limits or own,
        words=WORDS,
        pythons=PYTHONS,
        default_python=DEFAULT_PYTHON,
        web_concurrency=dyno.web_concurrency,
        built=Bound("slug", MOST_SLUG_BYTES, LARGE_SLUG_BYTES, "deploy an image, which has no such bound"),
        more="take a dyno with more than {} MB",
    )


def check_folder(folder: Folder, *, wishes: Wishes) -> tuple[Finding, ...]:
    """Everything that can be told without running anything of it."""
    platform = platform_of(wishes)
    python = python_version.python_of(folder, default=DEFAULT_PYTHON)
    script = find_script(folder)
    asked = wheels.Wheels(python)
    if wishes.ask_index:
        asked = wheels.ask_wheels(folder, python=python, offered=PYTHONS)
    return (
        *procfile.check(folder, platform=platform),
        *shell.check(folder),
        *settings.check(folder, words=WORDS),
        *python_version.check(folder, supported=PYTHONS, default=DEFAULT_PYTHON, better=asked.near),
        *requirements.check(folder),
        *streamlit.check(folder, python=python),
        *(wheels.check(asked) if wishes.ask_index else ()),
        *files.check(folder, words=WORDS),
        *login.check(folder),
        *loads.check(folder),
        *disk.check(folder, words=WORDS),
        *formation.check(folder, web_concurrency=DYNOS[wishes.size].web_concurrency, streamlit=script is not None),
    )


# -- a folder --------------------------------------------------------------------------------------------------------


_STOPS_BUILD = frozenset(
    {"no_requirements", "two_managers", "no_pipfile_lock", "no_wheel", "no_procfile", "procfile_name"}
)
"""What is found in the files and makes a measurement idle: there would be no build, or nothing to start."""


def _folder(folder: Folder, *, wishes: Wishes, tell: Tell) -> Diagnosis:
    tell("files", f"{len(folder.names):,} of them are looked at")
    found = check_folder(folder, wishes=wishes)
    if not wishes.measure:
        return Diagnosis(sort_findings(found))
    stopped = [one for one in found if one.code in _STOPS_BUILD and one.level == "fail"]
    if stopped:
        return Diagnosis(sort_findings([*found, not_measured(f"there would be no build ({stopped[0].code})")]))
    if requirements.FILE not in folder.names:
        return Diagnosis(sort_findings([*found, not_measured("only requirements.txt is installed here")]))
    with tempfile.TemporaryDirectory(prefix="aweigh-doctor-") as name:
        python = python_version.python_of(folder, default=DEFAULT_PYTHON)
        tell("install", f"{requirements.FILE} for Python {python}, as the build would")
        try:
            environment = make_environment(
                Path(name) / "python",
                python=python,
                requirements=(folder.path / requirements.FILE).resolve(),
                with_aweigh=False,
            )
        except NotMade as error:
            return Diagnosis(sort_findings([*found, not_measured(str(error))]))
        copy = Path(name) / "app"
        copy.mkdir()
        web = _web_of_folder(folder, environment, wishes, copy=copy)
        return _measured(Subject(folder, web, environment), found=found, wishes=wishes, tell=tell)


def _web_of_folder(folder: Folder, environment: Environment, wishes: Wishes, *, copy: Path) -> Web | None:
    """The folder's web line, in a copy of it, so that nothing that it writes comes here."""
    processes = lines_of(folder.path, auth="none").processes
    if "web" not in processes:
        return None
    for name in folder.names:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder.path / name, copy / name)
        shutil.copymode(folder.path / name, copy / name)
    workers = formation.concurrency_of(folder, default=DYNOS[wishes.size].web_concurrency)
    base = {name: os.environ[name] for name in KEPT if name in os.environ}
    home = {"HOME": str(copy)}  # on a dyno the app's folder is the home, and setup.sh writes into it
    own = home | read_dotenv(folder.text(".env") or "")
    environ = environ_of(copy, base=base, own=own, web_concurrency=workers, programs=environment.programs)
    return Web(processes["web"], copy, environ)


# -- a bundle --------------------------------------------------------------------------------------------------------


def _bundle(path: Path, *, wishes: Wishes, tell: Tell, trust: "Trust | None") -> Diagnosis:
    from aweigh.bundle.verify import verify

    bundle = verify(path, trust=trust)
    found = list(_of_bundle(bundle))
    if not wishes.measure:
        return Diagnosis(sort_findings(found))
    folder = Folder(path.resolve().parent, (path.name,)) if path.is_file() else read_folder(path)
    with tempfile.TemporaryDirectory(prefix="aweigh-doctor-") as name:
        environment, why = _environment_of(bundle, Path(name), tell)
        if environment is None:
            found.append(_own_environment(why))
        web = _web_of_bundle(path.resolve(), bundle, environment, state=Path(name) / "state")
        return _measured(Subject(folder, web, environment), found=found, wishes=wishes, tell=tell)


def _of_bundle(bundle: "VerifiedBundle") -> Iterator[Finding]:
    manifest = bundle.manifest
    yield Finding("bundle", "pass", f"{manifest.name} {bundle.version}: every byte is as its manifest says")
    if manifest.python in PYTHONS:
        yield Finding("python_version", "pass", f"it is locked for Python {manifest.python}")
    else:
        what = f"it is locked for Python {manifest.python}; {PYTHONS[0]} to {PYTHONS[-1]} are offered there"
        yield Finding("python_unsupported", "fail", what, f"pack it again: aweigh pack --python {PYTHONS[-1]}")


def _environment_of(bundle: "VerifiedBundle", folder: Path, tell: Tell) -> tuple[Environment | None, str]:
    """An environment of what the bundle is locked to, or why there is none."""
    from aweigh.bundle.names import REQUIREMENTS, REQUIREMENTS_UI

    name = REQUIREMENTS_UI if REQUIREMENTS_UI in bundle.names else REQUIREMENTS
    written = folder / REQUIREMENTS
    written.write_bytes(bundle.read(name))
    tell("install", f"its lock for Python {bundle.manifest.python}, as the build would")
    try:
        made = make_environment(
            folder / "python", python=bundle.manifest.python, requirements=written, with_aweigh=True
        )
    except NotMade as error:
        return None, str(error)
    return made, ""


def _own_environment(why: str) -> Finding:
    what = f"the slug was not measured, and the rest with what is installed here, since {why}"
    return Finding("not_measured", "warn", what, "ask again where the lock can be installed")


def _web_of_bundle(path: Path, bundle: "VerifiedBundle", environment: Environment | None, *, state: Path) -> Web:
    from aweigh.bundle.examples import load_examples

    rows = load_examples(bundle.read("examples.json")).rows
    programs = None if environment is None else environment.programs
    python = sys.executable if environment is None else str(environment.programs / "python")
    line = f"{shlex.quote(python)} -m aweigh serve {shlex.quote(str(path))} --host 127.0.0.1 --auth none --workers 1"
    base = {name: value for name, value in os.environ.items() if name not in {"WEB_CONCURRENCY", "REDIS_URL"}}
    own = {"AWEIGH_STATE_DIR": str(state)}
    environ = environ_of(path.parent, base=base, own=own, web_concurrency=1, programs=programs)
    if environment is not None:
        environ.pop("PYTHONPATH")
    else:
        environ["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    return Web(line, path.parent, environ, rows)


def _measured(subject: Subject, *, found: Sequence[Finding], wishes: Wishes, tell: Tell) -> Diagnosis:
    """What was measured, and which dynos would do."""
    asked = General(measure=wishes.measure, ask_index=wishes.ask_index, build=wishes.build_slug)
    known = measure(subject, platform=platform_of(wishes), found=found, wishes=asked, tell=tell)
    if known.run is None or known.run.boot_s is None:
        return known
    peak = known.run.peak_bytes
    choices = tuple(
        cost.Choice(one.name, peak <= one.quota_bytes, one.quota_bytes, one.dollars_a_month, one.sleeps)
        for one in DYNOS.values()
    )
    more = cost.finding_of(choices, peak_bytes=peak, wanted=wishes.size)
    return replace(known, findings=sort_findings([*known.findings, more]), choices=choices)
