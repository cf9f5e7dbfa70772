"""What runs of an app, asked of the engine: containers found by our labels, and what they say of themselves."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from aweigh.targets.compose.errors import ComposeRefused
from aweigh.targets.compose.kept import Project
from aweigh.targets.compose.plan import MIGRATE, WEB, Plan, Slot
from aweigh.targets.compose.program import Programs, ask, documents, said_anywhere
from aweigh.targets.compose.render import LABEL
from aweigh.targets.errors import NotUp, last_words, quote
from aweigh.targets.invitations import discreet
from aweigh.targets.live import check_itself, get

LOG_LINES = 200
PAUSE_S = 0.5
CRASHES = 2
"""Starts again that are taken for a crash that comes back."""
TRIES = 5
_KILLED = 137


@dataclass(frozen=True, slots=True)
class Container:
    """One container. ``state`` is the engine's own word, ``health`` is empty where nobody looks.

    ``slot`` and ``told`` are of web containers and of the proxy; ``ports`` are the machine's that it has.
    """

    name: str
    id: str
    process: str
    state: str
    health: str
    restarts: int
    exit_code: int
    out_of_memory: bool
    image: str
    bundle: str
    slot: str = ""
    told: str = ""
    ports: frozenset[int] = frozenset()

    @property
    def is_up(self) -> bool:
        """Whether it runs, and says nothing against it."""
        return self.state == "running" and self.health in {"", "healthy"}

    @property
    def has_ended(self) -> bool:
        """Whether it is no more, and did not end well."""
        return self.state in {"exited", "dead", "stopped"} and self.exit_code != 0

    @property
    def has_crashed(self) -> bool:
        """Whether it ended badly, or is started again and again and does not get healthy."""
        return self.has_ended or (not self.is_up and (self.restarts >= CRASHES or self.out_of_memory))

    def has_crashed_since(self, restarts: int | None) -> bool:
        """The same since it had been started again so many times; None: it was not there then.

        What runs for months is started again now and then, and nothing is wrong with it.
        """
        if restarts is None:
            return self.has_ended or self.restarts >= CRASHES or self.out_of_memory
        return self.has_ended or self.restarts - restarts >= CRASHES


def containers_of(programs: Programs, app: str) -> list[Container]:
    """All containers of an app, those that have ended too.

    Raises:
        ComposeRefused: the engine cannot be asked.
    """
    filters = ["--filter", f"label={LABEL}.app={app}"]
    told, tries = "", 0
    while not told:
        ids = ask(programs.engine("ps", "-aq", "--no-trunc", *filters), what="to say what runs").split()
        if not ids:
            return []
        try:
            told = ask(programs.engine("container", "inspect", *ids), what="to say what runs")
        except ComposeRefused:
            tries += 1
            if tries == TRIES:
                raise
            # One of them went away in between: what is left is asked for anew.
    found = [_container(one) for one in documents(told)]
    return sorted(found, key=lambda one: (one.process, one.name))


def _container(told: dict[str, object]) -> Container:
    state = _mapping(told.get("State"))
    labels = _mapping(_mapping(told.get("Config")).get("Labels"))
    health = _mapping(state.get("Health") or state.get("Healthcheck"))
    restarts, code = told.get("RestartCount"), state.get("ExitCode")
    said = str(health.get("Status") or "").lower()
    process = str(labels.get(f"{LABEL}.process", ""))
    return Container(
        name=str(told.get("Name") or "").lstrip("/"),
        id=str(told.get("Id") or ""),
        process=process,
        state=str(state.get("Status") or "").lower(),
        health="" if said == "none" else said,
        restarts=restarts if isinstance(restarts, int) else 0,
        exit_code=code if isinstance(code, int) else 0,
        out_of_memory=state.get("OOMKilled") is True,
        image=str(labels.get(f"{LABEL}.image", "")),
        bundle=str(labels.get(f"{LABEL}.bundle", "")),
        slot=str(labels.get(f"{LABEL}.slot", "a")) if process == WEB else "",
        told=str(labels.get(f"{LABEL}.told", "")),
        ports=frozenset(_ports(_mapping(_mapping(told.get("HostConfig")).get("PortBindings")))),
    )


def _ports(bindings: Mapping[str, object]) -> Iterator[int]:
    for bound in bindings.values():
        for one in bound if isinstance(bound, list) else ():
            said = str(_mapping(one).get("HostPort") or "")
            if said.isdigit() and said.isascii():
                yield int(said)


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Awaited:
    """What is waited for: these processes of a plan, the web containers in a slot, which is asked at an address.

    ``restarts`` are those of the containers that were there before, by their ids.
    """

    plan: Plan
    processes: Collection[str]
    slot: Slot
    url: Callable[[], str | None]
    restarts: Mapping[str, int]


def wait_until_up(programs: Programs, project: Project, awaited: Awaited, *, timeout_s: float) -> None:
    """Waits until every process runs as often as it is to, and the app says that it is ready.

    Raises:
        NotUp: something crashes, or it is not ready in time; tells its last words.
        AnswersDiffer: the server has refused its own golden rows.
    """
    until = time.monotonic() + timeout_s
    while True:
        found = [one for one in containers_of(programs, project.app) if _is_awaited(one, awaited)]
        crashed = next((one for one in found if one.has_crashed_since(awaited.restarts.get(one.id))), None)
        if crashed is not None:
            raise why_crashed(programs, project, crashed)
        ill = next((one for one in found if one.health == "unhealthy"), None)
        if ill is not None:
            raise why_down(programs, project, ill, what=f"{ill.name} does not get healthy")
        # Asked before all are there: a server that has refused its own golden rows never gets healthy, and says so.
        if _answers(awaited) and _all_there(found, awaited):
            return
        if time.monotonic() > until:
            late = next((one for one in found if one.process != MIGRATE and not one.is_up), None)
            late = late or next((one for one in found if one.process == WEB), None)
            raise why_down(programs, project, late, what=f"It is not ready after {timeout_s:.0f} s")
        time.sleep(PAUSE_S)


def _is_awaited(one: Container, awaited: Awaited) -> bool:
    return one.slot in {"", awaited.slot} and one.process in awaited.processes


def _answers(awaited: Awaited) -> bool:
    if WEB not in awaited.processes:
        return True
    url = awaited.url()
    return url is not None and is_ready(awaited.plan, url)


def why_crashed(programs: Programs, project: Project, one: Container) -> NotUp:
    """The error of a container that has ended by itself, with its last words."""
    return why_down(programs, project, one, what=_crash(one))


def _crash(one: Container) -> str:
    if one.out_of_memory or (one.exit_code == _KILLED and one.state != "running"):
        return f"{one.name} took more memory than it may and was killed"
    return f"{one.name} ended with {one.exit_code}" if one.has_ended and not one.restarts else f"{one.name} crashes"


def _all_there(found: Iterable[Container], awaited: Awaited) -> bool:
    plan = awaited.plan
    up: dict[str, int] = {}
    for one in found:
        if one.is_up and (one.process not in plan.processes or one.image == plan.digest):
            up[one.process] = up.get(one.process, 0) + 1
    return all(up.get(name, 0) >= plan.replicas.get(name, 1) for name in awaited.processes if name != MIGRATE)


def is_ready(plan: Plan, url: str | None = None) -> bool:
    """Whether the app says, at its port or another address, that it is ready; True where no web process is wanted.

    Raises:
        AnswersDiffer: the server has refused its own golden rows, and never gets ready.
    """
    if plan.replicas.get(WEB, 1) == 0:
        return True
    reply = get(url or plan.url, "/health/ready" if plan.is_ours else "/")
    if reply is not None:
        check_itself(reply)
    return reply is not None and reply.status < (400 if plan.is_ours else 500)


def why_down(programs: Programs, project: Project, one: Container | None, *, what: str) -> NotUp:
    """The error of what does not come up, with the last words of its log."""
    if one is None:
        return NotUp(f"{what}: no container of it runs.", hint=f"aweigh logs compose --app {project.app}")
    words = _said_last(log_of(programs, one))
    fix = f"aweigh logs compose --app {project.app} shows all of its log"
    if "memory" in what:
        fix = "give it more: --memory 1G; 'aweigh plan' says how much it takes"
    return NotUp(f"{what}{f'. Its last words: {words}' if words else '.'}", hint=fix)


def _said_last(lines: Sequence[str]) -> str:
    """The line that says what it died of, else the last one."""
    of_error = [one for one in lines if "error" in one.lower() or "No module" in one]
    return quote(discreet(last_words("\n".join(of_error or lines))))


def log_of(programs: Programs, one: Container, *, lines: int = LOG_LINES) -> list[str]:
    """The last lines of a container's log; none where it cannot be read, as what they are for has failed already."""
    return said_anywhere(programs.engine("logs", "--tail", str(lines), one.name))
