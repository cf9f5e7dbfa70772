"""What runs of an app, asked of the engine: containers found by our labels, and what they say of themselves."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aweigh.targets.compose.errors import AnswersDiffer, ComposeRefused, NotUp, last_words, quote
from aweigh.targets.compose.kept import Project
from aweigh.targets.compose.plan import MIGRATE, WEB, Plan
from aweigh.targets.compose.program import Programs, ask, documents, said_anywhere
from aweigh.targets.compose.render import LABEL
from aweigh.targets.invitations import discreet
from aweigh.targets.live import SELF_REFUSED, get, has_refused_itself

LOG_LINES = 200
PAUSE_S = 0.5
CRASHES = 2
"""Starts again that are taken for a crash that comes back."""
_KILLED = 137


@dataclass(frozen=True, slots=True)
class Container:
    """One container. ``state`` is the engine's own word, ``health`` is empty where nobody looks."""

    name: str
    process: str
    state: str
    health: str
    restarts: int
    exit_code: int
    out_of_memory: bool
    image: str
    bundle: str

    @property
    def is_up(self) -> bool:
        """Whether it runs, and says nothing against it."""
        return self.state == "running" and self.health in {"", "healthy"}

    @property
    def has_crashed(self) -> bool:
        """Whether it ended by itself, and badly, or again and again."""
        ended = self.state in {"exited", "dead", "stopped"} and self.exit_code != 0
        return ended or self.restarts >= CRASHES or self.out_of_memory


def containers_of(programs: Programs, app: str) -> list[Container]:
    """All containers of an app, those that have ended too.

    Raises:
        ComposeRefused: the engine cannot be asked.
    """
    filters = ["--filter", f"label={LABEL}.app={app}"]
    ids = ask(programs.engine("ps", "-aq", "--no-trunc", *filters), what="to say what runs").split()
    if not ids:
        return []
    try:
        told = ask(programs.engine("container", "inspect", *ids), what="to say what runs")
    except ComposeRefused:
        # One of them went away in between.
        return []
    found = [_container(one) for one in documents(told)]
    return sorted(found, key=lambda one: (one.process, one.name))


def _container(told: dict[str, object]) -> Container:
    state = _mapping(told.get("State"))
    labels = _mapping(_mapping(told.get("Config")).get("Labels"))
    health = _mapping(state.get("Health") or state.get("Healthcheck"))
    restarts, code = told.get("RestartCount"), state.get("ExitCode")
    said = str(health.get("Status") or "").lower()
    return Container(
        name=str(told.get("Name") or "").lstrip("/"),
        process=str(labels.get(f"{LABEL}.process", "")),
        state=str(state.get("Status") or "").lower(),
        health="" if said == "none" else said,
        restarts=restarts if isinstance(restarts, int) else 0,
        exit_code=code if isinstance(code, int) else 0,
        out_of_memory=state.get("OOMKilled") is True,
        image=str(labels.get(f"{LABEL}.image", "")),
        bundle=str(labels.get(f"{LABEL}.bundle", "")),
    )


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def wait_until_up(programs: Programs, project: Project, plan: Plan, *, timeout_s: float) -> None:
    """Waits until every process runs as often as it is to, and the app says that it is ready.

    Raises:
        NotUp: something crashes, or it is not ready in time; tells its last words.
        AnswersDiffer: the server has refused its own golden rows.
    """
    until = time.monotonic() + timeout_s
    while True:
        found = containers_of(programs, plan.app)
        crashed = next((one for one in found if one.has_crashed), None)
        if crashed is not None:
            raise why_crashed(programs, project, crashed)
        if _all_there(found, plan) and is_ready(plan):
            return
        if time.monotonic() > until:
            late = next((one for one in found if one.process != MIGRATE and not one.is_up), None)
            late = late or next((one for one in found if one.process == WEB), None)
            raise why_down(programs, project, late, what=f"It is not ready after {timeout_s:.0f} s")
        time.sleep(PAUSE_S)


def why_crashed(programs: Programs, project: Project, one: Container) -> NotUp:
    """The error of a container that has ended by itself, with its last words."""
    return why_down(programs, project, one, what=_crash(one))


def _crash(one: Container) -> str:
    if one.out_of_memory or (one.exit_code == _KILLED and one.state != "running"):
        return f"{one.name} took more memory than it may and was killed"
    return f"{one.name} crashes" if one.restarts else f"{one.name} ended with {one.exit_code}"


def _all_there(found: Iterable[Container], plan: Plan) -> bool:
    up: dict[str, int] = {}
    for one in found:
        if one.state == "running" and (one.process not in plan.processes or one.image == plan.digest):
            up[one.process] = up.get(one.process, 0) + 1
    return all(up.get(name, 0) >= count for name, count in plan.replicas.items())


def is_ready(plan: Plan) -> bool:
    """Whether the app says at its port that it is ready; True where no web process is wanted.

    Raises:
        AnswersDiffer: the server has refused its own golden rows, and never gets ready.
    """
    if plan.replicas.get(WEB, 1) == 0:
        return True
    reply = get(plan.url, "/health/ready" if plan.is_ours else "/")
    if reply is not None and has_refused_itself(reply):
        raise AnswersDiffer(SELF_REFUSED[0], hint=SELF_REFUSED[1])
    return reply is not None and reply.status < 400


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
