"""From a release to a live, checked app of containers: each step looks first at what is there.

A run that was cut off anywhere is gone on with by the next: secrets are made up once, an image that is loaded is not
loaded again, and containers that are as they should be are let be.
"""

import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import msgspec

from aweigh.errors import AweighError, RemoteError, UsageError
from aweigh.guard import deploy_key
from aweigh.secret import Secret
from aweigh.targets.compose.containers import containers_of, log_of, wait_until_up, why_crashed
from aweigh.targets.compose.deployed import Deployed, Telling
from aweigh.targets.compose.errors import AnswersDiffer, ComposeRefused, NotUp
from aweigh.targets.compose.kept import Project, Record
from aweigh.targets.compose.plan import MIGRATE, WEB, Chosen, Plan, Wish, plan_of
from aweigh.targets.compose.program import Programs, carry_out, succeeds
from aweigh.targets.invitations import first_invitation as first_of
from aweigh.targets.live import Golden, Replayed, golden_of, replay
from aweigh.targets.release import Release

BOOT_S = 240.0
_STEPS = re.compile(r"\s*(?:Container|Network|Volume) ")
"""What compose says of each small step: told where it fails, and not otherwise."""
MOST_INVITATIONS = 5
VOLUMES: Mapping[str, str] = {"postgresql": "database", "redis": "cache"}
"""Where a store keeps its data."""


@dataclass(frozen=True, slots=True)
class Going:
    """What every step needs."""

    project: Project
    programs: Programs
    telling: Telling = field(default_factory=Telling)
    boot_s: float = BOOT_S


def deploy(going: Going, release: Release, wish: Wish, image: Chosen) -> Deployed:
    """Takes a release live and checks it; where it does not come up or answers differently, what was before runs again.

    The image is the engine's already. The caller holds the project's lock.

    Raises:
        UsageError: something is asked for that cannot be, or the port is another's.
        RemoteError: compose fails, or the app does not come up or agree.
    """
    project = going.project
    before = project.current()
    counts = None if before is None else before.plan.replicas
    plan = plan_of(release, wish, image, settings=project.settings(), counts=counts)
    check_port(plan, None if before is None else before.plan, going)
    made = make_secrets(going, plan, release)
    if made:
        going.telling.line("secrets", f"made up: {', '.join(made)}", 0.0)
    golden = None if release.bundle is None else golden_of(release.files[release.bundle])
    changed = before is None or before.plan != plan
    record = project.add(plan, why="deploy", golden=golden) if changed else before
    assert record is not None  # noqa: S101  it is new, or the one before
    replayed = take_live(going, record, golden, before=before)
    return Deployed(
        app=plan.app,
        url=plan.url,
        release=record.label,
        image=plan.digest,
        bundle=plan.bundle,
        created=before is None,
        changed=changed,
        golden_rows=0 if replayed is None else replayed.rows - replayed.skipped,
        replicas=plan.replicas,
        invite=first_invitation(going, plan),
    )


def check_port(plan: Plan, before: Plan | None, going: Going) -> None:
    """Passes when nobody else has the port.

    Raises:
        UsageError: somebody has.
    """
    if before is not None and before.port == plan.port and containers_of(going.programs, plan.app):
        return
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("0.0.0.0" if plan.public else "127.0.0.1", plan.port))  # noqa: S104  let go at once
        except PermissionError:
            return  # an engine may do what this user may not
        except OSError as error:
            raise UsageError(
                f"Port {plan.port} is taken on this machine.", hint=f"choose another: --port {plan.port + 1}"
            ) from error


def make_secrets(going: Going, plan: Plan, release: Release) -> list[str]:
    """Makes up the secrets that are not kept yet.

    Raises:
        UsageError: a volume holds what another password opens, which is not here.
    """
    for store in going.project.needs_secrets(plan):
        volume = f"{plan.project}_{VOLUMES[store]}"
        if succeeds(going.programs.engine("volume", "inspect", volume)):
            raise UsageError(
                f"There is a volume {volume} already, and its password is not kept here.",
                hint=f"bring the app's folder back (--dir), or take the data away: {going.programs.kind} volume rm "
                f"{volume}",
            )
    return going.project.make_secrets(plan, named=release.secrets)


def take_live(
    going: Going, record: Record, golden: Golden | None, *, before: Record | None, anew: bool = False
) -> Replayed | None:
    """Makes a release run and checks it, or has what ran before run again; ``anew``: every container starts anew.

    Raises:
        RemoteError: compose fails, or the app does not come up or agree; says what runs now.
    """
    try:
        start(going, record.plan, anew=anew)
        replayed = check(going, record.plan, golden)
    except RemoteError as error:
        if record.state != "live":
            going.project.keep(msgspec.structs.replace(record, state="failed"))
        raise _taken_back(going, record, before, error) from error
    if record.state != "live":
        going.project.keep(msgspec.structs.replace(record, state="live"))
    return replayed


def start(going: Going, plan: Plan, *, anew: bool = False) -> None:
    """Has compose make what runs as the plan says, and waits until it is ready.

    Raises:
        ComposeRefused: compose fails.
        NotUp: it does not come up.
    """
    started = time.monotonic()
    project, programs = going.project, going.programs
    project.write(plan)
    _end_migration(going)

    def hear(line: str) -> None:
        if _STEPS.match(line) is None:
            going.telling.hear(line)

    try:
        carry_out(programs.up(project, anew=anew), what="to start it", folder=project.folder, hear=hear)
    except ComposeRefused as error:
        # Compose says which container it waited for in vain; the container says why.
        crashed = next((one for one in containers_of(programs, plan.app) if one.has_crashed), None)
        raise error if crashed is None else why_crashed(programs, project, crashed) from error
    wait_until_up(programs, project, plan, timeout_s=going.boot_s)
    told = ", ".join(f"{name} {count}" for name, count in plan.replicas.items())
    going.telling.line("up", f"{told}: ready", time.monotonic() - started)


def _end_migration(going: Going) -> None:
    """Takes the container of an earlier migration away: how that ended says nothing of the next."""
    for one in containers_of(going.programs, going.project.app):
        if one.process == MIGRATE and one.state != "running":
            succeeds(going.programs.engine("rm", "-f", one.name))


def check(going: Going, plan: Plan, golden: Golden | None) -> Replayed | None:
    """Asks the golden rows of what is live; None where there is no bundle, or nobody to answer.

    Raises:
        AnswersDiffer: an answer is not the original's.
    """
    if golden is None or not plan.is_ours or plan.replicas.get(WEB, 1) == 0:
        return None
    started = time.monotonic()
    asked = partial(replay, plan.url, golden, secret=going.project.secrets(plan).get(deploy_key.VARIABLE))
    try:
        replayed = asked()
    except RemoteError as error:
        hint = (error.hint or "").replace("heroku --app NAME", f"compose --app {plan.app}")
        raise AnswersDiffer(error.message, hint=hint or None) from error
    if not replayed.ok:
        more = len(replayed.problems) - 1
        raise AnswersDiffer(
            f"What is live answers differently: {replayed.problems[0]}{f' (and {more} more)' if more else ''}.",
            hint="aweigh verify checks the bundle; deploy it from the machine that packed it",
        )
    told = f"{replayed.rows - replayed.skipped} golden rows agree with the original"
    going.telling.line("answers", told, time.monotonic() - started)
    return replayed


def _taken_back(going: Going, record: Record, before: Record | None, error: RemoteError) -> RemoteError:
    """What ran before runs again, or nothing where nothing did; the error that says so."""
    ended = "" if error.message.endswith((".", "!", "?")) else "."
    try:
        if before is None:
            words = going.programs.of(going.project, "stop")
            carry_out(words, what="to stop it", folder=going.project.folder, hear=lambda _: None)
            done = "Nothing ran before it: its containers are stopped."
        elif before.number == record.number:
            done = f"{before.label} is what ran before, too."
        else:
            start(going, before.plan)
            going.telling.line("rollback", f"to {before.label}", 0.0)
            done = f"{before.label} runs again."
    except AweighError as failed:
        done = f"It could not be taken back: {failed.message}"
    kind = type(error) if isinstance(error, ComposeRefused | NotUp | AnswersDiffer) else RemoteError
    return kind(f"{error.message}{ended} {done}", hint=error.hint)


def first_invitation(going: Going, plan: Plan) -> Secret | None:
    """The path of the last invitation in the log that still opens."""
    lines: list[str] = []
    for one in containers_of(going.programs, plan.app):
        if one.process == WEB:
            lines += log_of(going.programs, one)
    return first_of(plan.url, lines)
