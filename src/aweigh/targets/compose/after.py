"""What comes after a deployment: what runs, its releases, back, more or less of it, settings, and the end."""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Literal

from aweigh.errors import UsageError
from aweigh.guard import deploy_key
from aweigh.secret import Secret
from aweigh.targets.compose.containers import Container, containers_of, is_ready
from aweigh.targets.compose.deploy import VOLUMES, Going, take_live
from aweigh.targets.compose.errors import refusal
from aweigh.targets.compose.images import forget_images
from aweigh.targets.compose.kept import Project, Record
from aweigh.targets.compose.plan import MIGRATE, SERVICES, WEB, check_setting, configured, scaled
from aweigh.targets.compose.program import Programs, ask, carry_out, environ_of, succeeds
from aweigh.targets.compose.render import COMPOSE, STORES
from aweigh.targets.errors import AnswersDiffer
from aweigh.targets.heroku.after import is_plain
from aweigh.targets.target import Status

State = Literal["absent", "up", "starting", "down", "crashed"]

_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""For terminals: compose sends some whoever reads."""


def live_of(project: Project) -> Record:
    """The release that runs.

    Raises:
        UsageError: there is none.
    """
    found = project.current()
    if found is None:
        raise UsageError(
            f"There is no app {project.app!r} here.",
            hint=f"aweigh deploy compose PATH --app {project.app} makes one",
        )
    return found


def status(project: Project, programs: Programs) -> Status:
    """What runs of an app, asked of the engine.

    Raises:
        RemoteError: it cannot be asked.
    """
    current = project.current()
    found = containers_of(programs, project.app)
    if not found:
        return Status(name=project.app, state="absent" if current is None else "down")
    replicas: dict[str, int] = {}
    asked = [one for one in found if one.slot in {"", project.slot()}]
    for one in asked:
        if one.process != MIGRATE:
            replicas[one.process] = replicas.get(one.process, 0) + (one.state == "running")
    web = [one for one in asked if one.process == WEB]
    bundle = next((one.bundle for one in web if one.bundle), None)
    ready = False
    with suppress(AnswersDiffer):
        ready = current is not None and is_ready(current.plan)
    return Status(
        name=project.app,
        state=state_of(web, is_ready=ready),
        url=None if current is None else current.plan.url,
        release=_release_of(project, web, current),
        bundle=bundle,
        replicas=replicas,
        notes=tuple(_notes(found, project.slot())),
    )


def state_of(web: Sequence[Container], *, is_ready: bool) -> State:
    """What an app does, by its web containers and by what it says itself."""
    if any(one.has_crashed for one in web):
        return "crashed"
    if any(one.state == "running" for one in web):
        return "up" if is_ready else "starting"
    return "down"


def _release_of(project: Project, web: Sequence[Container], current: Record | None) -> str | None:
    """The newest release of the image that runs."""
    images = {one.image for one in web}
    if current is not None and current.plan.digest in images:
        return current.label
    return next((one.label for one in project.records() if one.plan.digest in images), None)


def _notes(found: Sequence[Container], slot: str) -> Iterator[str]:
    for one in found:
        if one.slot not in {"", slot}:
            yield f"{one.name} is of a release that is not asked: the next deployment takes it away"
        elif one.out_of_memory:
            yield f"{one.name} took more memory than it may and was killed: deploy with a larger --memory"
        elif one.process == MIGRATE and one.exit_code:
            yield f"{one.name} failed with {one.exit_code}"
        elif one.restarts:
            yield f"{one.name} was started again {one.restarts} times"
        elif one.health == "unhealthy":
            yield f"{one.name} is unhealthy"


def log_command(project: Project, programs: Programs, *, lines: int, tail: bool, process: str | None) -> list[str]:
    """What prints the log.

    Raises:
        UsageError: there is no such app or process.
    """
    record = project.current() or next(iter(project.records()), None) or live_of(project)
    known = {*record.plan.processes, *record.plan.images}
    if process is not None and process not in known:
        raise UsageError(f"The app has no process {process[:40]!a}.", hint=f"it has {', '.join(sorted(known))}")
    follow = ["--follow"] if tail else []
    service = SERVICES[project.slot()] if process == WEB else process
    return programs.of(project, "logs", "--tail", str(lines), *follow, *([service] if service else []))


def read_log(words: Sequence[str], project: Project) -> Iterator[str]:
    """The lines of a log as they come, until the program that reads it ends.

    Raises:
        ComposeRefused: it cannot be read.
    """
    process = subprocess.Popen(
        words,
        cwd=project.folder,
        env=environ_of(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    last = ""
    try:
        for line in process.stdout or ():
            last = _CODES.sub("", line.decode(errors="replace").rstrip("\r\n"))
            yield last
        if process.wait():
            raise refusal(last, what="to read the log")
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


def rollback(going: Going, number: int | None = None) -> tuple[Record, Record]:
    """Goes back to a release (by default the last that ran something else); what it was, and what it is now.

    Raises:
        UsageError: there is none to go back to, or its image is gone.
        RemoteError: it does not come up, or answers differently.
    """
    project = going.project
    current = live_of(project)
    known = [one for one in project.records() if one.state == "live"]
    if number is None:
        wanted = next((one for one in known if one.plan.digest != current.plan.digest), None)
    else:
        wanted = next((one for one in known if one.number == number), None)
    if wanted is None:
        named = "earlier release that ran something else" if number is None else f"release v{number} that was ever live"
        raise UsageError(f"There is no {named}.", hint=f"aweigh releases compose --app {project.app}")
    if not wanted.plan.pulled and not succeeds(going.programs.engine("image", "inspect", wanted.plan.image)):
        raise UsageError(
            f"The image of {wanted.label} is not here any more.", hint="deploy its bundle: aweigh deploy compose PATH"
        )
    golden = project.golden(wanted)
    with project.tried():
        plan = wanted.plan
        if plan.base is not None:  # older versions kept no settings of their own
            # What has become a secret since stays one, with the value that it has.
            hidden = project.own.secrets(plan)
            settings = {name: one for name, one in plan.settings.items() if name not in hidden}
            project.own.replace(settings)
            plan = configured(plan, settings)
        record = project.add(plan, why=f"rollback to {wanted.label}", golden=golden)
        take_live(going, record, golden, before=current)
    return wanted, record


def scale(going: Going, quantities: Mapping[str, int]) -> Record:
    """Changes how many replicas there are, as a release of its own; the release that runs then.

    Raises:
        UsageError: there is no such process, or there can be not so many.
        RemoteError: they do not come up.
    """
    current = live_of(going.project)
    plan = scaled(current.plan, quantities)
    if plan == current.plan:
        return current
    golden = going.project.golden(current)
    told = ", ".join(f"{name}={count}" for name, count in quantities.items())
    record = going.project.add(plan, why=f"scale {told}", golden=golden)
    take_live(going, record, golden, before=current)
    return record


def config(project: Project) -> dict[str, str | Secret]:
    """All settings of what runs: those that may be shown as text, all others as secrets."""
    plan = live_of(project).plan
    shown: dict[str, str | Secret] = {
        name: value if is_plain(name) else Secret(value) for name, value in plan.config.items()
    }
    return dict(sorted((shown | project.own.secrets(plan)).items()))


def set_config(going: Going, changes: Mapping[str, str | Secret | None]) -> tuple[str, ...]:
    """Changes settings, those that differ, and starts the app with them; their names. None takes one away.

    Raises:
        UsageError: a name or a value that cannot be.
        RemoteError: the app does not come up with them: then they are as they were.
    """
    project = going.project
    current = live_of(project)
    for name, value in changes.items():
        check_setting(name, "" if value is None else value.reveal() if isinstance(value, Secret) else value)
    settings, kept = project.own.plain(), project.own.secrets(current.plan)
    there: dict[str, str | Secret] = {**settings, **kept}
    shown = {key: Secret(one) if isinstance(one, str) else one for key, one in there.items()}
    differing = {
        name: value
        for name, value in changes.items()
        if (None if value is None else value if isinstance(value, Secret) else Secret(value)) != shown.get(name)
    }
    if not differing:
        return ()
    if deploy_key.VARIABLE in differing and differing[deploy_key.VARIABLE] is None:
        raise UsageError(f"{deploy_key.VARIABLE} is what deployments are checked by.", hint="give it another value")
    plain = {name: one for name, one in differing.items() if not isinstance(one, Secret)}
    hidden: dict[str, Secret | None] = {name: one for name, one in differing.items() if isinstance(one, Secret)}
    with project.tried():
        project.own.set(plain, hidden)
        plan = configured(current.plan, project.own.plain())
        golden = project.golden(current)
        record = project.add(plan, why=f"config {', '.join(sorted(differing))}", golden=golden)
        take_live(going, record, golden, before=current)
    return tuple(sorted(differing))


def destroy(going: Going) -> None:
    """Takes containers, volumes with all data in them, and the folder away.

    Also what the documents name no more: the volumes of a store that the last release went without, and all of it
    where the folder was deleted by hand.

    Raises:
        UsageError: there is nothing of that name, or the folder is another app's.
        RemoteError: the engine fails; then the folder stays.
        Occupied: somebody else changes it.
    """
    project, programs = going.project, going.programs
    there = [one for one in volumes_of(project) if succeeds(programs.engine("volume", "inspect", one))]
    if not project.exists() and not there and not containers_of(programs, project.app):
        raise UsageError(
            f"There is no app {project.app!r} here.",
            hint=f"is it in another folder? aweigh destroy compose --app {project.app} --dir DIR",
        )
    project.check_own()
    with project.locked() if project.folder.is_dir() else nullcontext():
        records = project.records()
        if records:
            project.write(records[0].plan)  # whatever has become of the document
        if (project.folder / COMPOSE).is_file():
            words = programs.of(project, "down", "--volumes", "--remove-orphans")
            carry_out(words, what="to take it away", folder=project.folder, hear=lambda _: None)
        _sweep(going)
        forget_images(programs, project.app, but=())
        project.remove()


def volumes_of(project: Project) -> list[str]:
    """What the volumes of an app may be called."""
    return [f"aweigh-{project.app}_{name}" for name in ("state", *VOLUMES.values())]


def _sweep(going: Going) -> None:
    """Takes away what is left of an app's containers, volumes and network, whichever document named them."""
    project, programs = going.project, going.programs
    for one in containers_of(programs, project.app):
        ask(programs.engine("rm", "-f", one.name), what="to take it away")
    for volume in volumes_of(project):
        if succeeds(programs.engine("volume", "inspect", volume)):
            ask(programs.engine("volume", "rm", volume), what=f"to take the volume {volume} away")
    for network in ("default", STORES):
        succeeds(programs.engine("network", "rm", f"aweigh-{project.app}_{network}"))
