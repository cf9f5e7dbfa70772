"""What the model's profile says was seen and answered in its sample, for the small pictures and the sentences."""

from dataclasses import dataclass

from aweigh.profile import Observed, Profile
from aweigh.schema import Column


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a number lies among the sample's: ``below`` is the share under it (0 to 1), ``bin`` its column drawn."""

    below: float
    bin: int | None


def seen(profile: Profile | None, column: Column) -> tuple[int, ...]:
    """How often each part of the column's observed range was seen, from its low end to its high; empty if unknown."""
    for one in profile.columns if profile else ():
        if one.name == column.name and one.kind in {"numbers", "times"}:
            return one.histogram
    return ()


def kinds(profile: Profile | None, column: Column) -> tuple[tuple[str, float], ...]:
    """The column's values with the share of each, the most frequent first; empty if unknown."""
    for one in profile.columns if profile else ():
        if one.name == column.name and one.kind == "values":
            return shares(one)
    return ()


def shares(observed: Observed) -> tuple[tuple[str, float], ...]:
    """Kinds of values with their shares of all that were there."""
    total = sum(observed.counts) + observed.other
    return tuple((value, count / total) for value, count in zip(observed.values, observed.counts, strict=True))


def predicted(profile: Profile | None, name: str) -> Observed | None:
    """The sample's answers of that name."""
    return next((one for one in (profile.predictions if profile else ()) if one.name == name), None)


def standing(observed: Observed, value: float) -> Standing | None:
    """Where the value lies among the sample's answers; None where nothing was observed."""
    edges = [float(edge) for edge in observed.edges]
    total = sum(observed.counts)
    if not total:
        return None
    below = 0.0
    for count, low, high in zip(observed.counts, edges[:-1], edges[1:], strict=True):
        if value >= high and value > low:
            below += count
        elif value > low:
            below += count * (value - low) / (high - low)
    steps = len(observed.histogram)
    place = int((value - edges[0]) / (edges[-1] - edges[0]) * steps) if steps else 0
    inside = steps and edges[0] <= value <= edges[-1]
    return Standing(below / total, min(place, steps - 1) if inside else None)
