"""What ``aweigh serve`` takes: what flags, ``WEB_CONCURRENCY`` or ``AWEIGH_*`` say, and what the plan says of the rest.

The processes of the plan are taken where the machine looks like a server: a share of it was given (a container, a dyno,
a quota), a platform set ``PORT``, or others than this machine may call. On somebody's own machine it is one process, as
nobody asked for more; ``--workers auto`` asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from aweigh.cli.plan_words import line, sentence
from aweigh.errors import ConfigError
from aweigh.runtime.machine import Machine
from aweigh.runtime.plan import MAX_WORKERS, Plan, Wishes, make_plan

if TYPE_CHECKING:
    from aweigh.bundle.verify import VerifiedBundle
    from aweigh.cli.terminal import Steps
    from aweigh.runtime.measured import Measured
    from aweigh.server.settings import Settings

AUTO = "auto"
CONCURRENCY = "WEB_CONCURRENCY"


@dataclass(frozen=True, slots=True)
class Said:
    """What the flags said (None: nothing; ``workers`` may be "auto"), and whether others than this machine may call."""

    workers: int | str | None = None
    ui_processes: int | None = None
    threads: int | None = None
    ui: bool = True
    public: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to be served with. ``ceiling_mb`` is what a process may grow to, None where nothing was measured.

    ``modest`` tells that it is one process because nobody said more, and this is somebody's own machine.
    """

    plan: Plan
    measured: "Measured"
    ceiling_mb: int | None
    modest: bool = False


def planned(
    bundle: "VerifiedBundle",
    *,
    said: Said,
    settings: "Settings",
    machine: Machine,
    environ: Mapping[str, str],
    candidate: "VerifiedBundle | None" = None,
) -> Planned:
    """Processes and threads for this bundle here: flags, else ``WEB_CONCURRENCY``, else ``AWEIGH_*``, else the plan.

    A ``candidate`` is a second model in each process that answers the API.

    Raises:
        ConfigError: ``WEB_CONCURRENCY`` is no number of processes.
    """
    measured = known(bundle, settings=settings)
    if candidate is not None:
        measured = with_second(measured, candidate)
    workers = workers_said(said, settings=settings, environ=environ)
    server = said.workers == AUTO or looks_like_a_server(machine, said=said, environ=environ)
    modest = workers is None and not server
    wishes = Wishes(
        ui=said.ui,
        workers=1 if modest else workers,
        ui_processes=said.ui_processes,
        threads=said.threads or settings.threads or None,
    )
    plan = make_plan(measured, machine, wishes=wishes)
    sure = None if measured.estimated else plan.ceiling_bytes
    return Planned(plan, measured, None if sure is None else sure // 10**6, modest)


def with_second(measured: "Measured", candidate: "VerifiedBundle") -> "Measured":
    """The same with a second model in each process that answers, by an estimate of what that model takes on top."""
    from aweigh.runtime.estimate import second_bytes

    memory = measured.memory
    more = second_bytes(candidate.manifest)
    together = structs.replace(
        memory,
        alone=memory.alone + more,
        both=None if memory.both is None else memory.both + more,
        worker=memory.worker + more,
    )
    return structs.replace(measured, memory=together)


def known(bundle: "VerifiedBundle", *, settings: "Settings") -> "Measured":
    """What ``aweigh plan`` measured and kept for this bundle, else an estimate from its manifest."""
    from aweigh.runtime.estimate import estimate
    from aweigh.runtime.measured import cache_folder, ever_measured, key_of, read_measured

    folder = cache_folder()
    if ever_measured(bundle.digest, folder=folder):
        key = key_of(
            bundle.digest,
            max_rows=settings.max_rows,
            max_body_bytes=settings.max_body_bytes,
            cache_bytes=settings.cache_bytes or 0,
        )
        found = read_measured(key, folder=folder)
        if found is not None:
            return found
    most = settings.rows_for(bundle.schema)
    return estimate(bundle.manifest, largest_rows=most, largest_bytes=settings.max_body_bytes)


def workers_said(said: Said, *, settings: "Settings", environ: Mapping[str, str]) -> int | None:
    """How many processes somebody asked for; None leaves it to the plan, as ``--workers auto`` does.

    Raises:
        ConfigError: ``WEB_CONCURRENCY`` is no number of processes.
    """
    if said.workers is not None:
        return None if said.workers == AUTO else int(said.workers)
    text = environ.get(CONCURRENCY, "").strip()
    if not text:
        return settings.workers or None
    if not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= MAX_WORKERS:
        raise ConfigError(f"{CONCURRENCY} is {text[:40]!r}.", hint=f"write a whole number from 1 to {MAX_WORKERS}")
    return int(text)


def looks_like_a_server(machine: Machine, *, said: Said, environ: Mapping[str, str]) -> bool:
    """Whether what is here was given to this program, and is not somebody's own machine."""
    return machine.shared or said.public or bool(environ.get("PORT", "").strip())


def tell(found: Planned, *, machine: Machine, steps: "Steps") -> None:
    """The plan as a line of the server's output, what it does not hold, and what there would be room for."""
    plan = found.plan
    steps.line("plan", line(plan, machine, estimated=found.measured.estimated))
    if plan.fit == "short":
        steps.more(sentence(plan, found.measured, machine))
    elif plan.fit == "tight" and not found.measured.estimated:
        steps.more(f"requests of more than about {plan.most_rows:,} rows would not fit: AWEIGH_MAX_ROWS limits them")
    if found.modest:
        more = make_plan(found.measured, machine, wishes=Wishes(ui=plan.ui))
        if more.workers > 1:
            steps.more(f"--workers {AUTO} would take {more.workers} processes, as many as this machine holds")
