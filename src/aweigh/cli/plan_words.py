"""A plan in words: one sentence that a person understands, and the short line that ``aweigh serve`` says of it."""

from aweigh.cli.terminal import human_size
from aweigh.runtime.machine import MIB, Machine
from aweigh.runtime.measured import Measured
from aweigh.runtime.plan import SHARE_OF_A_MACHINE, SHARE_OF_A_SHARE, Plan, memory_needed

MEGA = 10**6


def sentence(plan: Plan, measured: Measured, machine: Machine) -> str:
    """What the machine holds of the bundle, what it takes and gives; or what would be needed."""
    if plan.fit == "short":
        return _short(plan, measured, machine)
    parts = [f"{machine_words(machine)} {'hold' if machine.memory_bytes else 'run'} {processes(plan)}: {_takes(plan)}"]
    rates = _rates(plan, measured, machine)
    if rates:
        parts.append(rates)
    if plan.fit == "tight" and plan.most_rows is not None:
        parts.append(
            f"requests of more than about {rounded(plan.most_rows)} rows would not fit (AWEIGH_MAX_ROWS limits them)"
        )
    return "; ".join(parts) + "."


def line(plan: Plan, machine: Machine, *, estimated: bool) -> str:
    """The plan in a few words, for the output of ``aweigh serve``."""
    of = f" of {memory_words(machine.memory_bytes)}" if machine.memory_bytes else ""
    threads = "" if plan.threads == 1 else f", {plan.threads} threads a call"
    guess = ", estimated" if estimated else ""
    return f"{processes(plan)}{threads} (about {whole_size(plan.memory_bytes)}{of}{guess})"


def processes(plan: Plan) -> str:
    """How many processes there are, and for what."""
    if plan.workers == 1 and not plan.ui_processes:
        return "1 process for the API and the app" if plan.ui else "1 process for the API"
    api = f"{plan.workers} process{'es' if plan.workers > 1 else ''} for the API"
    return f"{api} and {plan.ui_processes} for the app" if plan.ui_processes else api


def machine_words(machine: Machine) -> str:
    """Memory and CPUs as a person says them: ``512 MB and 1 CPU``."""
    cpus = f"{machine.cpus:g} CPU{'' if machine.cpus <= 1 else 's'}"
    return cpus if machine.memory_bytes is None else f"{memory_words(machine.memory_bytes)} and {cpus}"


def memory_words(size_bytes: int) -> str:
    """A size of memory as it was given: whole MiB or GiB where it is that, else in powers of 1,000."""
    for unit, power in (("GiB", 1024 * MIB), ("MiB", MIB)):
        if size_bytes % power == 0:
            return f"{size_bytes // power} {unit}"
    return human_size(size_bytes).replace(".0 ", " ")


def whole_size(size_bytes: int) -> str:
    """A size as it stands in a sentence: whole MB below a GB."""
    return human_size(size_bytes) if size_bytes >= 10**9 else f"{round(size_bytes / MEGA)} MB"


def rounded(count: float) -> str:
    """A number to two digits, as a measurement deserves: ``9,100``."""
    digits = len(str(int(count)))
    return f"{int(round(count, 2 - digits)):,}" if count >= 1 else f"{count:.1g}"


def needed_bytes(measured: Measured, machine: Machine, *, ui: bool) -> int:
    """The least memory in which one process holds everything, the largest request included."""
    share = SHARE_OF_A_SHARE if machine.bounded else SHARE_OF_A_MACHINE
    bytes_ = memory_needed(measured, workers=1, ui=ui, ui_processes=0) + measured.memory.peak
    return -int(-bytes_ / share // MEGA) * MEGA


def _takes(plan: Plan) -> str:
    when = "at their peak" if plan.processes > 1 else "while it answers its largest request"
    return f"about {whole_size(plan.memory_bytes)}, {whole_size(plan.peak_bytes)} {when}"


def _rates(plan: Plan, measured: Measured, machine: Machine) -> str:
    """Requests and rows a second, when all CPUs that the processes can use answer the API."""
    if not measured.requests:
        return ""
    cpus = min(machine.cpus, float(plan.workers))
    one = min(measured.requests, key=lambda request: request.rows)
    many = max(measured.requests, key=lambda request: request.rows)
    text = f"some {rounded(cpus * 1e6 / one.cpu_us)} one-row requests a second"
    if many.rows > one.rows:
        text += f", or {rounded(cpus * 1e6 / many.cpu_us * many.rows)} rows in requests of {many.rows:,}"
    return text


def _short(plan: Plan, measured: Measured, machine: Machine) -> str:
    there = f"{memory_words(machine.memory_bytes or 0)} do not hold"
    if plan.processes > 1:
        return f"{there} {processes(plan)}: they need about {whole_size(plan.peak_bytes)}, all at their peak."
    text = f"{there} the API{' and the app' if plan.ui else ''}"
    text += f", which need{'' if plan.ui else 's'} {whole_size(needed_bytes(measured, machine, ui=plan.ui))}"
    if plan.ui:
        text += f"; without the app (--no-ui) {whole_size(needed_bytes(measured, machine, ui=False))} do"
    return text + "."
