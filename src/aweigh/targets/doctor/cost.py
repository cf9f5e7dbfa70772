"""Which dynos would do, and what each costs a month."""

from collections.abc import Sequence
from dataclasses import dataclass

from aweigh.targets.doctor.finding import Finding


@dataclass(frozen=True, slots=True)
class Choice:
    """A size of dyno: whether what was measured fits into its memory."""

    name: str
    fits: bool
    quota_bytes: int
    dollars_a_month: int
    sleeps: bool = False


def finding_of(choices: Sequence[Choice], *, peak_bytes: int, wanted: str) -> Finding:
    """The dynos that hold so much, the cheapest first, and what that means for the size that was asked about."""
    fitting = sorted((one for one in choices if one.fits), key=lambda one: one.dollars_a_month)
    size = f"{peak_bytes / 2**20:.0f} MB"
    if not fitting:
        return Finding(
            "cost", "fail", f"no dyno holds {size}", "have the model packed (aweigh pack), or make it smaller"
        )
    told = ", ".join(f"{one.name} ${one.dollars_a_month}{' (sleeps)' if one.sleeps else ''}" for one in fitting[:4])
    what = f"{size} fit into these, a month each: {told}"
    chosen = next((one for one in choices if one.name == wanted), None)
    if chosen is not None and chosen.fits:
        return Finding("cost", "pass", what)
    first = next((one for one in fitting if not one.sleeps), fitting[0])
    return Finding("cost", "warn", what, f"--size {first.name}")
