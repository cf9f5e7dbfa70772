"""What differs between two models' answers to the same rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aweigh.profile import Profile
from aweigh.schema.answers import Answers
from aweigh.schema.column import Output


@dataclass(frozen=True, slots=True)
class Differences:
    """``differs``: (rows,) bool. ``labels`` of them have another label, ``largest`` is what two numbers differ by."""

    differs: NDArray[np.bool_]
    labels: int
    largest: float


Compare = Callable[[Answers, Answers], Differences]
"""From the current model's answers and the candidate's for the same rows to how they differ."""


def compile_compare(
    current: Output, candidate: Output, *, tolerance: float, spreads: Mapping[str, float] | None = None
) -> Compare:
    """A function that compares answers of two models of the same task and the same classes or names.

    Classes, clusters and outlier flags differ when they are not the same. Numbers differ by more than ``tolerance``
    times what that output spreads over (``spreads``, by its name; the larger of the two numbers where that is not
    known), or when one of them is none.
    """
    place = {_key(label): i for i, label in enumerate(current.classes)}
    classes = np.array([place.get(_key(label), -1) for label in candidate.classes], dtype=np.int64)
    names = np.array([current.names.index(name) for name in candidate.names if name in current.names], dtype=np.int64)
    heads = candidate.names or (candidate.name,)
    spread = np.array([(spreads or {}).get(name, 0.0) for name in heads], dtype=np.float64)

    def compare(ours: Answers, theirs: Answers) -> Differences:
        if ours.index is not None and theirs.index is not None:
            differs = ours.index != classes[theirs.index]
            largest = 0.0
            if ours.probabilities is not None and theirs.probabilities is not None:
                largest = _largest(ours.probabilities[:, classes], theirs.probabilities)
            return Differences(differs, int(differs.sum()), largest)
        if ours.cluster is not None and theirs.cluster is not None:
            differs = ours.cluster != theirs.cluster
            return Differences(differs, int(differs.sum()), 0.0)
        if ours.outlier is not None and theirs.outlier is not None:
            differs = ours.outlier != theirs.outlier
            scored = ours.scores is not None and theirs.scores is not None
            return Differences(differs, int(differs.sum()), _largest(ours.scores, theirs.scores) if scored else 0.0)  # type: ignore[arg-type]  # they are there
        if ours.values is None or theirs.values is None:
            return Differences(np.ones(ours.rows, dtype=bool), 0, 0.0)
        values = ours.values[:, names] if len(names) else ours.values
        return Differences(_far(values, theirs.values, tolerance, spread), 0, _largest(values, theirs.values))

    return compare


def _key(label: object) -> tuple[type, object]:
    return type(label), label  # True and 1 are two classes


def _far(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], tolerance: float, spread: NDArray[np.float64]
) -> NDArray[np.bool_]:
    finite = np.isfinite(ours) & np.isfinite(theirs)
    both_none = ~np.isfinite(ours) & ~np.isfinite(theirs)
    with np.errstate(invalid="ignore", over="ignore"):
        scale = np.where(spread > 0, spread, np.maximum(np.abs(ours), np.abs(theirs)))
        near = np.abs(ours - theirs) <= tolerance * scale
    found: NDArray[np.bool_] = ~((finite & near) | both_none)
    return np.asarray(found.any(axis=1))


def _largest(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.abs(ours - theirs)
    found = found[np.isfinite(found)]
    return float(found.max()) if found.size else 0.0


def spreads_of(profile: Profile) -> dict[str, float]:
    """Between which two numbers the middle half of a model's answers lies, as their distance, by the output's name."""
    found = {}
    for one in profile.predictions:
        if one.kind == "numbers" and len(one.quantiles) == 5:
            low, high = one.quantiles[1], one.quantiles[3]
            if isinstance(low, (int, float)) and isinstance(high, (int, float)):
                found[one.name] = float(high) - float(low)
    return found
