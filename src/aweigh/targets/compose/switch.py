"""A plan made to run: beside what runs where a proxy can be told to ask it, else in the place of what runs.

The order is what makes it safe to be cut off anywhere. The migration runs first, while nothing else is touched. Web
containers start in the slot that is not asked; each must get healthy, and the golden rows are asked there by the
proxy's other door. Then one file's being there or not sends the next request to the new slot. What comes after that
(workers, the end of the old slot) only follows, and is done again, to the same end, by the next run.
"""

import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from aweigh.errors import RemoteError
from aweigh.guard import deploy_key
from aweigh.targets.compose.caddy import SIDE_DOOR
from aweigh.targets.compose.containers import Awaited, Container, containers_of, wait_until_up, why_crashed, why_down
from aweigh.targets.compose.errors import ComposeRefused
from aweigh.targets.compose.kept import NEXT, Project
from aweigh.targets.compose.plan import MIGRATE, OF_STORES, PROXY, SERVICES, WEB, Plan, Slot
from aweigh.targets.compose.program import CHANGE_S, Programs, ask, carry_out, succeeds
from aweigh.targets.compose.render import COMPOSE, proxy_told, web_told
from aweigh.targets.errors import AnswersDiffer
from aweigh.targets.live import Golden, Replayed, replay
from aweigh.targets.telling import Telling

BOOT_S = 240.0
_STEPS = re.compile(r"\s*(?:Container|Network|Volume) ")
"""What compose says of each small step: told where it fails, and not otherwise."""
_BOUND = re.compile(r"127\.0\.0\.1:([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Going:
    """What every step needs."""

    project: Project
    programs: Programs
    telling: Telling = field(default_factory=Telling)
    boot_s: float = BOOT_S


def go_live(going: Going, plan: Plan, golden: Golden | None = None) -> Replayed | None:
    """Makes what runs as the plan says, waits until it is ready, and asks the golden rows, if there are any.

    Raises:
        ComposeRefused: compose fails.
        NotUp: it does not come up.
        AnswersDiffer: an answer is not the original's.
    """
    project = going.project
    there = containers_of(going.programs, project.app)
    restarts = {one.id: one.restarts for one in there}
    _end_migration(going, there)
    if _can_switch(going, plan, there) and not _is_there(going, plan, there):
        return _beside(going, plan, golden, restarts=restarts)
    started = time.monotonic()
    (project.folder / NEXT).unlink(missing_ok=True)
    slot: Slot = "a" if project.is_bound() else project.slot()
    project.write(plan, slot=slot)
    if going.programs.waits:
        _prepare(going, plan, document=COMPOSE, restarts=restarts)
    project.point(slot)
    _follow(going, plan, restarts=restarts)
    told = ", ".join(f"{name} {count}" for name, count in plan.replicas.items())
    going.telling.line("up", f"{told}: ready", time.monotonic() - started)
    return check(going, plan, golden, url=plan.url)


def _can_switch(going: Going, plan: Plan, there: Sequence[Container]) -> bool:
    """Whether the proxy that the plan wants runs, and has something to ask at this moment."""
    if not going.programs.waits or not plan.has_proxy or plan.replicas.get(WEB, 1) == 0 or going.project.is_bound():
        return False
    wanted, slot = proxy_told(plan), going.project.slot()
    proxies = any(one.process == PROXY and one.state == "running" and one.told == wanted for one in there)
    return proxies and any(one.process == WEB and one.slot == slot and one.state == "running" for one in there)


def _is_there(going: Going, plan: Plan, there: Sequence[Container]) -> bool:
    """Whether the web containers that are asked are the plan's, and enough."""
    slot, told = going.project.slot(), web_told(plan, going.project.own.mark(plan))
    web = [one for one in there if one.process == WEB and one.slot == slot]
    alike = [one for one in web if one.is_up and one.told == told]
    return len(alike) == len(web) >= plan.replicas.get(WEB, 1)


# -- beside what runs ------------------------------------------------------------------------------------------------


def _beside(going: Going, plan: Plan, golden: Golden | None, *, restarts: Mapping[str, int]) -> Replayed | None:
    """Starts the web containers in the free slot, looks at them there, and sends people to them."""
    project, started = going.project, time.monotonic()
    slot: Slot = "a" if project.slot() == "b" else "b"
    _clear(going, slot)
    try:
        project.write(plan, slot=slot, document=NEXT)
        _prepare(going, plan, document=NEXT, restarts=restarts)
        _up(going, [SERVICES[slot]], document=NEXT, wait=False)
        proxy = next((one.name for one in containers_of(going.programs, plan.app) if one.process == PROXY), "")
        awaited = Awaited(plan, (WEB,), slot, partial(_side_door, going, proxy), restarts)
        wait_until_up(going.programs, project, awaited, timeout_s=going.boot_s)
        going.telling.line("start", f"web {plan.replicas[WEB]}, beside what runs: ready", time.monotonic() - started)
        url = _side_door(going, proxy)
        replayed = None if url is None else check(going, plan, golden, url=url)
    except BaseException:
        (project.folder / NEXT).unlink(missing_ok=True)
        _clear(going, slot)
        raise
    project.point(slot)
    started = time.monotonic()
    _follow(going, plan, restarts=restarts)
    told = ", ".join(f"{name} {count}" for name, count in plan.replicas.items())
    going.telling.line("switch", f"{told}: asked now; what ran before is stopped", time.monotonic() - started)
    return replayed


def _clear(going: Going, slot: Slot) -> None:
    """Takes away what a release that was cut off has left in the slot that is not asked."""
    for one in containers_of(going.programs, going.project.app):
        if one.process == WEB and one.slot == slot:
            succeeds(going.programs.engine("rm", "-f", one.name))


def _side_door(going: Going, proxy: str) -> str | None:
    """Where the slot that is not asked answers, for this machine alone; None while that is not known."""
    try:
        said = ask(going.programs.engine("port", proxy, f"{SIDE_DOOR}/tcp"), what="to say the proxy's ports")
    except ComposeRefused:
        return None
    found = _BOUND.search(said)
    return None if found is None else f"http://127.0.0.1:{found[1]}"


# -- steps -----------------------------------------------------------------------------------------------------------


def _prepare(going: Going, plan: Plan, *, document: str, restarts: Mapping[str, int]) -> None:
    """Starts what the app needs, and runs its migration to the end: what runs goes on meanwhile.

    Raises:
        NotUp: the migration fails.
    """
    stores = [OF_STORES[one] for one in plan.stores]
    if stores:
        _up(going, stores, document=document)
    if MIGRATE not in plan.processes:
        return
    started = time.monotonic()
    _up(going, [MIGRATE], document=document, wait=False)
    until = started + CHANGE_S
    while True:
        found = [one for one in containers_of(going.programs, plan.app) if one.process == MIGRATE]
        if any(one.has_crashed_since(restarts.get(one.id)) for one in found):
            raise why_crashed(going.programs, going.project, found[0])
        if found and all(one.state in {"exited", "stopped"} for one in found):
            break
        if time.monotonic() > until:
            raise ComposeRefused(
                f"The migration did not end within {CHANGE_S:.0f} s.",
                hint=f"aweigh logs compose --app {plan.app} --process {MIGRATE} shows what it does",
            )
        time.sleep(0.1)
    going.telling.line("migrate", "done", time.monotonic() - started)


def _follow(going: Going, plan: Plan, *, restarts: Mapping[str, int]) -> None:
    """Makes all run as the document says, takes away what it no longer names, and waits until it is up."""
    slot = going.project.slot()
    processes = [*plan.replicas, *(OF_STORES[one] for one in plan.stores), *([PROXY] if plan.has_proxy else [])]
    in_steps = going.programs.waits
    names = [SERVICES[slot] if one == WEB else one for one in processes] if in_steps else []
    _up(going, names, wait=False, orphans=True)
    awaited = Awaited(plan, processes if in_steps else [*processes, MIGRATE], slot, lambda: plan.url, restarts)
    wait_until_up(going.programs, going.project, awaited, timeout_s=going.boot_s)


def _up(
    going: Going, names: Collection[str], *, document: str = COMPOSE, wait: bool = True, orphans: bool = False
) -> None:
    """Has compose make these run, or all; with ``orphans`` what no document names goes.

    Raises:
        ComposeRefused: it fails.
        NotUp: one of the containers ended, and this is what it said.
    """
    project, programs = going.project, going.programs
    words = ["up", "-d", *(["--no-deps"] if names else []), *(["--remove-orphans"] if orphans else [])]
    words += ["--wait"] if wait and programs.waits else []

    def hear(line: str) -> None:
        if _STEPS.match(line) is None:
            going.telling.hear(line)

    try:
        command = programs.of(project, *words, *names, document=document)
        carry_out(command, what="to start it", folder=project.folder, hear=hear)
    except ComposeRefused as error:
        # Compose says which container it waited for in vain; the container says why.
        there = containers_of(programs, project.app)
        bad = next((one for one in there if one.has_crashed), None)
        if bad is not None:
            raise why_crashed(programs, project, bad) from error
        ill = next((one for one in there if one.health == "unhealthy"), None)
        if ill is not None:
            raise why_down(programs, project, ill, what=f"{ill.name} does not get healthy") from error
        raise


def _end_migration(going: Going, there: Sequence[Container]) -> None:
    """Takes the container of an earlier migration away: how that ended says nothing of the next."""
    for one in there:
        if one.process == MIGRATE and one.state != "running":
            succeeds(going.programs.engine("rm", "-f", one.name))


def check(going: Going, plan: Plan, golden: Golden | None, *, url: str) -> Replayed | None:
    """Asks the golden rows at an address; None where there is no bundle, or nobody to answer.

    Raises:
        AnswersDiffer: an answer is not the original's.
    """
    if golden is None or not plan.is_ours or plan.replicas.get(WEB, 1) == 0:
        return None
    started = time.monotonic()
    secret = going.project.own.secrets(plan).get(deploy_key.VARIABLE)
    try:
        replayed = replay(url, golden, secret=secret)
    except RemoteError as error:
        raise AnswersDiffer(error.message, hint=error.hint) from error
    replayed.check("The release")
    told = f"{replayed.rows - replayed.skipped} golden rows agree with the original"
    going.telling.line("answers", told, time.monotonic() - started)
    return replayed
