"""The reference: what each column and each prediction looked like when the bundle was packed, and nothing of any row.

Counts in fixed bins are all that drift, warnings and the page need: they are small, they add up exactly, and they can
be taken again of any later data. Every number in here is an observed value or a count, never the result of arithmetic
that could differ between machines, so that the same sample gives the same bytes.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.schema.answers import Answers, class_key
from aweigh.schema.column import Column, Schema
from aweigh.schema.combination import Combinations
from aweigh.table import Table, Values

MAX_BINS = 20
MAX_VALUES = 50
MAX_PREDICTIONS = 50
"""Of a model that answers many numbers (a transform), the first so many are kept."""
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
CONFIDENCE = "confidence"
"""The largest probability of each row: how sure the model was."""

Kind = Literal["numbers", "times", "lengths", "values"]
"""What is counted: numbers, points in time (ISO 8601 text), lengths of texts in characters, or kinds of values."""


class Observed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One column or one part of a prediction, as it was observed.

    Of numbers, times and lengths: ``counts[i]`` is how many lie in ``edges[i] <= x < edges[i + 1]``; the last bin holds
    its upper edge too, and what later lies beyond the edges counts in the first or the last. Bins hold about equally
    many; where there are at most ``MAX_BINS`` different values each has its own. ``quantiles`` are those of
    ``QUANTILES``, each an observed value. ``histogram`` counts in ``MAX_BINS`` equal steps from the least to the
    greatest, to be drawn.

    Of kinds of values: ``values`` are the most frequent, ``counts`` how many of each, ``other`` how many of the rest.
    """

    name: str
    kind: Kind
    counts: tuple[int, ...] = ()
    edges: tuple[int | float | str, ...] = ()
    quantiles: tuple[int | float | str, ...] = ()
    histogram: tuple[int, ...] = ()
    values: tuple[str, ...] = ()
    other: int = 0
    missing: int = 0

    @property
    def median(self) -> int | float | str | None:
        """The value in the middle; None of kinds of values, and where all were missing."""
        return self.quantiles[len(QUANTILES) // 2] if self.quantiles else None


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """``rows`` of a sample, by column and by what was predicted of them; and how its columns go together."""

    rows: int
    columns: tuple[Observed, ...]
    predictions: tuple[Observed, ...]
    combinations: Combinations | None = None

    def observed(self, name: str) -> Observed:
        """The input column of that name.

        Raises:
            KeyError: there is none.
        """
        for one in self.columns:
            if one.name == name:
                return one
        raise KeyError(name)


def build_profile(
    schema: Schema, table: Table, answers: Answers, *, combinations: Combinations | None = None
) -> Profile:
    """The profile of a sample in the schema's types and of the model's answers for it, row by row."""
    columns = tuple(_column(column, table[column.name]) for column in schema.columns)
    predictions = tuple(_predictions(answers))
    return Profile(rows=table.rows, columns=columns, predictions=predictions, combinations=combinations)


# -- columns ---------------------------------------------------------------------------------------------------------


def _column(column: Column, values: Values) -> Observed:
    present = values.present()
    missing = len(values) - len(present)
    if column.personal in {"drop", "hash"} and column.is_text:
        lengths = np.array([len(one) for one in present.tolist()], dtype=np.int64)
        return _ordered(column.name, "lengths", lengths, missing=missing)
    if column.personal in {"drop", "hash"} and column.type != "boolean":
        # Every edge and quantile would be somebody's own value.
        return Observed(name=column.name, kind="times" if column.is_time else "numbers", missing=missing)
    if column.type == "boolean":
        return _kinds(column.name, ["true" if one else "false" for one in present.tolist()], missing=missing)
    if column.type == "category":
        return _kinds(column.name, [str(one) for one in present.tolist()], missing=missing)
    if column.type == "text":
        lengths = np.array([len(one) for one in present.tolist()], dtype=np.int64)
        return _ordered(column.name, "lengths", lengths, missing=missing)
    if column.is_time:
        return _times(column, present, missing=missing)
    return _ordered(column.name, "numbers", present, missing=missing)


def _times(column: Column, present: NDArray[np.generic], *, missing: int) -> Observed:
    counted = _ordered(column.name, "times", present.astype("datetime64[us]").astype(np.int64), missing=missing)
    unit = "D" if column.type == "date" else "us"

    def told(moments: Sequence[int | float | str]) -> tuple[str, ...]:
        return tuple(
            str(np.datetime64(int(one), "us").astype(f"datetime64[{unit}]")).removesuffix(".000000") for one in moments
        )

    return msgspec.structs.replace(counted, edges=told(counted.edges), quantiles=told(counted.quantiles))


def _kinds(name: str, kinds: Sequence[str], *, missing: int = 0) -> Observed:
    ranked = sorted(Counter(kinds).items(), key=lambda pair: (-pair[1], pair[0]))
    kept = ranked[:MAX_VALUES]
    return Observed(
        name=name,
        kind="values",
        values=tuple(kind for kind, _ in kept),
        counts=tuple(count for _, count in kept),
        other=sum(count for _, count in ranked[MAX_VALUES:]),
        missing=missing,
    )


def _ordered(name: str, kind: Kind, present: NDArray[np.generic], *, missing: int = 0) -> Observed:
    """Bins and quantiles of int64 or float64 values, which are kept in their own type."""
    if not len(present):
        return Observed(name=name, kind=kind, missing=missing)
    ordered = np.sort(present)
    edges = _edges(ordered)
    places = np.searchsorted(np.array(edges[1:-1], dtype=ordered.dtype), ordered, side="right")
    return Observed(
        name=name,
        kind=kind,
        counts=tuple(np.bincount(places, minlength=len(edges) - 1).tolist()),
        edges=tuple(edges),
        quantiles=tuple(_quantiles(ordered, QUANTILES)),
        histogram=_histogram(ordered),
        missing=missing,
    )


def _edges(ordered: NDArray[np.generic]) -> list[int | float]:
    """Edges such that each of few values has a bin of its own, and bins of many values hold about equally many.

    The greatest value has a bin of its own, written as twice the same edge, when a bin's share of the rows has it.
    """
    distinct = np.unique(ordered)
    if len(distinct) <= MAX_BINS:
        few: list[int | float] = distinct.tolist()
        return [*few, few[-1]]
    cuts = _quantiles(ordered, [i / MAX_BINS for i in range(MAX_BINS + 1)])
    edges = list(dict.fromkeys(cuts))
    return [*edges, edges[-1]] if cuts[-2] == cuts[-1] else edges


def _quantiles(ordered: NDArray[np.generic], parts: Sequence[float]) -> list[int | float]:
    """Observed values at these parts of the way: the inverse of the distribution (Hyndman and Fan's first)."""
    last = len(ordered) - 1
    places = [min(max(int(np.ceil(part * len(ordered))) - 1, 0), last) for part in parts]
    chosen: list[int | float] = ordered[places].tolist()
    return chosen


def _histogram(ordered: NDArray[np.generic]) -> tuple[int, ...]:
    """Counts in equal steps from the least to the greatest; nothing where there is no way between them."""
    numbers = ordered.astype(np.float64)
    width = float(numbers[-1]) - float(numbers[0])
    if not np.isfinite(width) or width <= 0:
        return ()
    places = np.minimum((numbers - numbers[0]) / width * MAX_BINS, MAX_BINS - 1).astype(np.int64)
    return tuple(np.bincount(places, minlength=MAX_BINS).tolist())


# -- predictions -----------------------------------------------------------------------------------------------------


def _predictions(answers: Answers) -> list[Observed]:
    output = answers.output
    if answers.index is not None:
        found = [_kinds(output.name, [class_key(one) for one in answers.labels()])]
        if answers.probabilities is not None and answers.rows:
            found.append(_finite(CONFIDENCE, answers.probabilities.max(axis=1)))
        return found
    if answers.cluster is not None:
        return [_kinds(output.name, [str(one) for one in answers.cluster.tolist()])]
    if answers.outlier is not None:
        found = [_kinds(output.name, ["true" if one else "false" for one in answers.outlier.tolist()])]
        return found if answers.scores is None else [*found, _finite("score", answers.scores)]
    if answers.values is None:
        return []
    names = (output.name,) if output.task == "number" else output.names
    return [_finite(name, answers.values[:, place]) for place, name in enumerate(names[:MAX_PREDICTIONS])]


def _finite(name: str, numbers: NDArray[np.float64]) -> Observed:
    finite = numbers[np.isfinite(numbers)]
    return _ordered(name, "numbers", finite, missing=len(numbers) - len(finite))
