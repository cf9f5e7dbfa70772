"""From a release to a live, checked app of containers: each step looks first at what is there.

A run that was cut off anywhere is gone on with by the next: secrets are made up once, an image that is loaded is not
loaded again, and containers that are as they should be are let be.
"""

import socket
from collections.abc import Mapping

import msgspec

from aweigh.errors import AweighError, RemoteError, UsageError
from aweigh.secret import Secret
from aweigh.targets.compose.containers import containers_of, log_of
from aweigh.targets.compose.deployed import Deployed
from aweigh.targets.compose.errors import ComposeRefused
from aweigh.targets.compose.images import forget_images
from aweigh.targets.compose.kept import Record
from aweigh.targets.compose.plan import WEB, Chosen, Plan, Wish, plan_of
from aweigh.targets.compose.program import carry_out, succeeds
from aweigh.targets.compose.switch import Going, go_live
from aweigh.targets.errors import AnswersDiffer, NotUp
from aweigh.targets.invitations import first_invitation as first_of
from aweigh.targets.live import Golden, Replayed, golden_of
from aweigh.targets.release import Release

__all__ = ["Going", "deploy", "take_live"]

VOLUMES: Mapping[str, str] = {"postgresql": "database", "redis": "cache"}
"""Where a store keeps its data."""


def deploy(going: Going, release: Release, wish: Wish, image: Chosen) -> Deployed:
    """Takes a release live and checks it; where it does not come up or answers differently, what was before runs again.

    The image is the engine's already. The caller holds the project's lock.

    Raises:
        UsageError: something is asked for that cannot be, or the port is another's.
        RemoteError: compose fails, or the app does not come up or agree.
    """
    project = going.project
    before = project.current()
    plan = plan_of(release, wish, image, settings=project.own.plain(), before=None if before is None else before.plan)
    check_port(plan, going)
    made = make_secrets(going, plan, release)
    if made:
        going.telling.line("secrets", f"made up: {', '.join(made)}", 0.0)
    golden = None if release.bundle is None else golden_of(release.files[release.bundle])
    changed = before is None or before.plan != plan
    record = project.add(plan, why="deploy", golden=golden) if changed else before
    assert record is not None  # noqa: S101  it is new, or the one before
    replayed = take_live(going, record, golden, before=before)
    forget_images(going.programs, plan.app, but={one.plan.image for one in project.records()})
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


def check_port(plan: Plan, going: Going) -> None:
    """Passes when nobody else has the port; the app's own containers may, also those of a deployment that was cut off.

    Raises:
        UsageError: somebody has.
    """
    if any(plan.port in one.ports and one.state == "running" for one in containers_of(going.programs, plan.app)):
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
    for store in going.project.own.needs_secrets(plan):
        volume = f"{plan.project}_{VOLUMES[store]}"
        if succeeds(going.programs.engine("volume", "inspect", volume)):
            raise UsageError(
                f"There is a volume {volume} already, and its password is not kept here.",
                hint=f"bring the app's folder back (--dir), or take the data away: {going.programs.kind} volume rm "
                f"{volume}",
            )
    return going.project.own.make_secrets(plan, named=release.secrets)


def take_live(going: Going, record: Record, golden: Golden | None, *, before: Record | None) -> Replayed | None:
    """Makes a release run and checks it, or has what ran before run again, with the settings that it had.

    Raises:
        RemoteError: compose fails, or the app does not come up or agree; says what runs now.
    """
    try:
        replayed = go_live(going, record.plan, golden)
    except RemoteError as error:
        if record.state != "live":
            going.project.keep(msgspec.structs.replace(record, state="failed"))
        going.project.mend()
        raise _taken_back(going, record, before, error) from error
    if record.state != "live":
        going.project.keep(msgspec.structs.replace(record, state="live"))
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
            go_live(going, before.plan)
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
