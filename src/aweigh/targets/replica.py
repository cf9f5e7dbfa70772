"""What one of several replicas takes, and how many there may be: the same on Kubernetes and on Ray."""

import math

import msgspec

from aweigh.errors import UsageError
from aweigh.runtime.machine import Machine
from aweigh.runtime.measured import Measured
from aweigh.runtime.plan import SHARE_OF_A_SHARE, Wishes, make_plan
from aweigh.targets.compose.sizes import check_cpus, memory_bytes

MOST_REPLICAS = 200
MEMORY_MI = 512
"""Of a replica, in MiB, where nothing was measured or estimated."""
STEP_MI = 32
QUEUE_WAIT_S = 0.05
"""How long rows may wait for the model, about, before there is to be another replica."""
CALM_S = 300
"""How long less must be asked before a replica goes."""


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a replica asks for and may take: memory in MiB, CPU in thousandths of one."""

    memory_mi: int
    cpu_m: int


def resources_of(memory: str | None, cpus: str, measured: Measured | None, *, has_ui: bool) -> Resources:
    """What a replica takes: what is said (``2G``, ``0.5``), else what the measured plan says for so many CPUs.

    Raises:
        UsageError: a size or a number that cannot be.
    """
    count = float(check_cpus(cpus))
    cpu_m = round(count * 1000)
    if memory is not None:
        return Resources(math.ceil(memory_bytes(memory) / 2**20), cpu_m)
    if measured is None:
        return Resources(MEMORY_MI, cpu_m)
    machine = Machine(None, "", count, "", bounded=True)
    plan = make_plan(measured, machine, wishes=Wishes(ui=has_ui))
    # In the container the plan is made again, of this share: what it takes has to fit there.
    needed = math.ceil(plan.peak_bytes / SHARE_OF_A_SHARE / 2**20)
    return Resources(math.ceil(needed / STEP_MI) * STEP_MI, cpu_m)


def check_count(count: int) -> int:
    """How many replicas, if so many can be.

    Raises:
        UsageError: not so many.
    """
    if not 0 <= count <= MOST_REPLICAS:
        raise UsageError(f"There can be no {count} replicas.", hint=f"0 to {MOST_REPLICAS}")
    return count
