"""The plan: a measured bundle and a machine become processes, threads, rows a call and the app's share of them.

A pure function of its arguments; every number has its reason. Memory comes first, as what does not fit is killed; then
CPUs. What a process answers the largest request with is counted for every process, as all may get one at once (and no
more than one each: several of the largest in one process take more); so is the successor of one of several processes,
which is there before the other leaves.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from aweigh.runtime.machine import UNTOLD, Machine
from aweigh.runtime.measured import Measured

SHARE_OF_A_SHARE = 0.9
"""How much of a given share (a container, a dyno) is planned for; the rest is for sessions, growth and the system."""

SHARE_OF_A_MACHINE = 0.75
"""How much of a whole machine, on which others run as well."""

MAX_WORKERS = 64
CPUS_PER_UI_PROCESS = 4
"""One process of the app for every so many: a CPU serves about 75 people who change something every two seconds."""

CHEAPEST_WITHIN = 1.25
"""Rows a call: the fewest at which a row costs at most so many times what it costs at best."""

WORTH_A_THREAD = 1.3
"""Further threads are taken when the largest call gets faster by this factor; each costs memory and switches."""

Fit = Literal["fits", "tight", "short"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody has said already: None leaves it to the plan. ``ui`` tells whether people get an app.

    ``ui_processes`` 0 leaves it to the number of workers: one of them shows the app, several leave it to another.
    """

    ui: bool = True
    workers: int | None = None
    ui_processes: int | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How many processes of which kind, and what they take, in bytes.

    ``workers`` answer the API. With ``ui_processes`` 0 and ``ui``, the one worker shows the app as well.
    ``ceiling_bytes`` is what one process may grow to, None where nothing tells how much there is. ``fit`` is "tight"
    when everything fits but the largest request that is allowed; ``most_rows`` is then the largest that does.
    ``reasons`` says why, by the name of the number.
    """

    workers: int
    ui: bool
    ui_processes: int
    threads: int
    batch_rows: int
    memory_bytes: int
    peak_bytes: int
    ceiling_bytes: int | None
    budget_bytes: int | None
    fit: Fit
    most_rows: int | None = None
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def processes(self) -> int:
        """How many processes do the work; with more than one there is another that watches them."""
        return self.workers + self.ui_processes


def budget_bytes(machine: Machine) -> int | None:
    """The memory that may be planned for; None where nothing tells how much there is."""
    if machine.memory_bytes is None:
        return None
    return int(machine.memory_bytes * (SHARE_OF_A_SHARE if machine.bounded else SHARE_OF_A_MACHINE))


def memory_needed(measured: Measured, *, workers: int, ui: bool, ui_processes: int) -> int:
    """Bytes that so many processes take after their start.

    >>> from aweigh.runtime.measured import Memory
    >>> memory = Memory(alone=80, both=130, parent=15, worker=40, ui=70, files=45, peak=60)
    >>> memory_needed(Measured(memory=memory, largest_rows=1, largest_bytes=1), workers=2, ui=True, ui_processes=1)
    210
    """
    memory = measured.memory
    if workers == 1 and not ui_processes:
        return memory.both if ui and memory.both is not None else memory.alone
    return memory.files + memory.parent + workers * memory.worker + ui_processes * (memory.ui or 0)


def peak_needed(measured: Measured, *, workers: int, ui: bool, ui_processes: int) -> int:
    """Bytes at most: every worker answers its largest request, and of several processes one is being replaced.

    >>> from aweigh.runtime.measured import Memory
    >>> memory = Memory(alone=80, both=130, parent=15, worker=40, ui=70, files=45, peak=60)
    >>> peak_needed(Measured(memory=memory, largest_rows=1, largest_bytes=1), workers=2, ui=True, ui_processes=1)
    400
    """
    memory = measured.memory
    several = workers + ui_processes > 1
    successor = max(memory.worker, memory.ui or 0 if ui_processes else 0) if several else 0
    needed = memory_needed(measured, workers=workers, ui=ui, ui_processes=ui_processes)
    return needed + workers * memory.peak + successor


def make_plan(measured: Measured, machine: Machine, *, wishes: Wishes | None = None) -> Plan:
    """The plan for this bundle on this machine, as far as the wishes leave it open."""
    wishes = wishes or Wishes()
    ui = wishes.ui and measured.memory.both is not None
    budget = budget_bytes(machine)
    chosen = [*_choices(machine, ui=ui, wishes=wishes)]
    fits = [one for one in chosen if _fit(measured, budget, one, ui=ui) == "fits"]
    tight = [one for one in chosen if _fit(measured, budget, one, ui=ui) == "tight"]
    # Of those that fit the first, which has the most processes; of those that do not the last, which has the fewest.
    workers, ui_processes = fits[0] if fits else tight[-1] if tight else chosen[-1]
    fit = _fit(measured, budget, (workers, ui_processes), ui=ui)
    memory = memory_needed(measured, workers=workers, ui=ui, ui_processes=ui_processes)
    threads, why_threads = _threads(measured, machine, workers=workers, wished=wishes.threads)
    batch_rows, why_batch = _batch_rows(measured)
    peak = peak_needed(measured, workers=workers, ui=ui, ui_processes=ui_processes)
    return Plan(
        workers=workers,
        ui=ui,
        ui_processes=ui_processes,
        threads=threads,
        batch_rows=batch_rows,
        memory_bytes=memory,
        peak_bytes=peak,
        ceiling_bytes=_ceiling(
            measured, machine, workers + ui_processes, spare=None if budget is None else budget - peak
        ),
        budget_bytes=budget,
        fit=fit,
        most_rows=_most_rows(measured, budget, memory, workers) if fit == "tight" else None,
        reasons={
            "workers": _why_workers(machine, workers, wishes=wishes, first=chosen[0][0], fit=fit),
            "ui_processes": _why_ui(ui=ui, ui_processes=ui_processes, wishes=wishes),
            "threads": why_threads,
            "batch_rows": why_batch,
        },
    )


def batch_rows_of(measured: Measured) -> int:
    """Rows a call of the model, on any machine: as few as give nearly all of what more would give."""
    return _batch_rows(measured)[0]


def _choices(machine: Machine, *, ui: bool, wishes: Wishes) -> Iterator[tuple[int, int]]:
    """Numbers of processes for the API and for the app, the most first; the last is one process for everything."""
    most = max(1, int(machine.cpus) // CPUS_PER_UI_PROCESS)
    apps = [0] if not ui else [wishes.ui_processes] if wishes.ui_processes else range(most, 0, -1)
    cpus = max(1, min(int(machine.cpus), MAX_WORKERS))
    for count in range(cpus, 0, -1) if wishes.workers is None else [wishes.workers]:
        if count > 1 or wishes.ui_processes:
            yield from ((count, of_ui) for of_ui in apps)
        else:
            yield 1, 0


def _fit(measured: Measured, budget: int | None, choice: tuple[int, int], *, ui: bool) -> Fit:
    workers, ui_processes = choice
    if budget is None:
        return "fits"
    memory = memory_needed(measured, workers=workers, ui=ui, ui_processes=ui_processes)
    if peak_needed(measured, workers=workers, ui=ui, ui_processes=ui_processes) <= budget:
        return "fits"
    return "tight" if memory <= budget else "short"


def _ceiling(measured: Measured, machine: Machine, processes: int, *, spare: int | None) -> int | None:
    """How large one process may grow, shared pages included, before all of them together no longer fit."""
    memory = measured.memory
    usual = (memory.both or memory.alone) if processes == 1 else memory.files + memory.worker
    most = None if spare is None else usual + memory.peak + max(0, spare) // processes
    if machine.process_bytes is None:
        return most
    return machine.process_bytes if most is None else min(most, machine.process_bytes)


def _most_rows(measured: Measured, budget: int | None, memory: int, workers: int) -> int:
    """The largest request that fits, as its memory grows with its rows; while no process is being replaced."""
    left = ((budget or 0) - memory) / (workers * max(1, measured.memory.peak))
    return max(1, int(measured.largest_rows * min(1.0, left)))


def _threads(measured: Measured, machine: Machine, *, workers: int, wished: int | None) -> tuple[int, str]:
    """Threads a call: more than one only where the answers stay the same to the last bit and the call gets faster."""
    if wished is not None:
        return wished, "as asked for"
    share = int(machine.cpus) // workers
    if share < 2:
        return 1, "a process has one CPU" if machine.cpus >= 1 else "there is less than one CPU"
    single = {call.rows: call.wall_us for call in measured.calls if call.threads == 1}
    tried = [call for call in measured.calls if call.threads == 2 and call.rows in single]
    if not tried:
        return 1, "nothing was measured that speaks for more"
    if not all(call.same for call in tried):
        return 1, "with two, answers differ in their last bits"
    largest = max(tried, key=lambda call: call.rows)
    gain = single[largest.rows] / largest.wall_us
    if gain < WORTH_A_THREAD:
        return 1, f"with two, {largest.rows:,} rows go {_times(gain)}"
    return 2, f"with two, {largest.rows:,} rows go {_times(gain)}, bit for bit"


def _times(gain: float) -> str:
    return f"{gain:.1f} times as fast" if gain >= 1.05 else "no faster"


def _batch_rows(measured: Measured) -> tuple[int, str]:
    """Rows a call of the model: as few as give nearly all of what more would give."""
    costs = {call.rows: call.cpu_us / call.rows for call in measured.calls if call.threads == 1}
    if not costs:
        return 1, "not measured"
    best = min(costs.values())
    rows = min(rows for rows, cost in costs.items() if cost <= CHEAPEST_WITHIN * best)
    alone = costs[min(costs)]
    if rows == min(costs):
        return rows, f"a row costs {_us(alone)} alone and hardly less among others"
    return rows, f"a row costs {_us(alone)} alone, {_us(costs[rows])} among {rows:,}"


def _us(microseconds: float) -> str:
    return f"{microseconds:.3g} µs" if microseconds < 1000 else f"{microseconds / 1000:.3g} ms"


def _why_workers(machine: Machine, workers: int, *, wishes: Wishes, first: int, fit: Fit) -> str:
    if wishes.workers is not None:
        return "as asked for"
    if fit == "short":
        return "the fewest there can be, and they do not fit"
    if workers < first:
        return f"memory holds no more, CPUs {first}"
    if machine.cpus_source == UNTOLD:
        return "nothing tells how many CPUs there are"
    return "one for each CPU" if workers > 1 else "there is no second CPU"


def _why_ui(*, ui: bool, ui_processes: int, wishes: Wishes) -> str:
    if not ui:
        return "Streamlit is not installed here" if wishes.ui else "without the app"
    if not ui_processes:
        return "the one process shows it"
    return f"one for every {CPUS_PER_UI_PROCESS} CPUs" if ui_processes > 1 else "sessions live in one process"
