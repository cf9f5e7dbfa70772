"""What a graph's outputs say, as answers: how to read them is worked out once."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.bundle.manifest import Graph
from aweigh.errors import InvalidRows, Problem, UnsupportedModel
from aweigh.schema.answers import POSITIVE_OUTLIER, Answers
from aweigh.schema.column import Output

MANY_LABELS = 64
"""From here on numpy is quicker than a dict."""
FEW_NUMBERS = 256
MAX_LISTED = 100
"""So many rows without an answer are named; the rest are counted."""

Array = NDArray[Any]
Read = Callable[[Sequence[Array]], Answers]
"""Answers from the graph's outputs, in the order of ``wanted_outputs``."""


def wanted_outputs(graph: Graph) -> list[str]:
    """The names of the outputs that are read."""
    return [name for name in (graph.label, graph.probabilities, graph.values, graph.scores) if name is not None]


def compile_reader(graph: Graph, output: Output) -> Read:
    """A function from a graph's outputs to answers; it raises ``InvalidRows`` for rows that have none.

    Raises:
        UnsupportedModel: (also the function) the outputs are not what the task needs.
    """
    place = {name: i for i, name in enumerate(wanted_outputs(graph))}
    if output.task == "class":
        return _classes(graph, output, place)
    if output.task in {"cluster", "outlier"}:
        if graph.label is None:
            raise UnsupportedModel(f"The graph gives no {output.task}.")
        label = place[graph.label]
        if output.task == "cluster":
            return lambda found: _clusters(output, found[label], len(found[0]))
        return _outliers(output, label, None if graph.scores is None else place[graph.scores])
    if graph.values is None:
        raise UnsupportedModel("The graph gives no values.")
    values = place[graph.values]

    def read_values(found: Sequence[Array]) -> Answers:
        rows = len(found[0])
        return Answers(output, rows, values=np.asarray(found[values]).astype(np.float64).reshape(rows, -1))

    return read_values


def _clusters(output: Output, labels: Array, rows: int) -> Answers:
    return Answers(output, rows, cluster=np.asarray(labels).reshape(rows).astype(np.int64))


def _outliers(output: Output, label: int, scores: int | None) -> Read:
    def read(found: Sequence[Array]) -> Answers:
        rows = len(found[0])
        outlier = np.asarray(found[label]).reshape(rows) == POSITIVE_OUTLIER
        if scores is None:
            return Answers(output, rows, outlier=outlier)
        numbers = np.asarray(found[scores]).reshape(rows).astype(np.float64)
        _refuse_nan(numbers)
        return Answers(output, rows, outlier=outlier, scores=numbers)

    return read


def _classes(graph: Graph, output: Output, place: dict[str, int]) -> Read:
    label = None if graph.label is None else place[graph.label]
    chances = None if graph.probabilities is None else place[graph.probabilities]
    if label is None and chances is None:
        raise UnsupportedModel("A classifier's graph gives neither label nor probabilities.")
    index_of = _index_of(output)

    def read(found: Sequence[Array]) -> Answers:
        probabilities = None
        if chances is not None:
            probabilities = _probabilities(found[chances], output)
            _refuse_nan(probabilities)
        if label is not None:
            index = index_of(np.asarray(found[label]).reshape(-1))
        elif probabilities is not None:
            index = np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
        return Answers(
            output, len(found[0]), index=index, probabilities=probabilities if output.probabilities else None
        )

    return read


def _refuse_nan(numbers: NDArray[np.float64]) -> None:
    """A class or a flag beside numbers that are none is no answer: libraries refuse such rows, a graph computes on.

    Raises:
        InvalidRows: naming the rows.
    """
    none = np.isnan(numbers)  # minimum.reduce is quicker, and what runs after it 4 microseconds slower
    if none.size <= FEW_NUMBERS and b"\x01" not in none.tobytes():  # half of what any() takes
        return
    if not none.any():
        return
    rows = np.flatnonzero(np.isnan(numbers).reshape(len(numbers), -1).any(axis=1)).tolist()
    problems = [Problem("no_answer", f"the model has no answer for row {row}", row=row) for row in rows[:MAX_LISTED]]
    raise InvalidRows(tuple(problems), total=len(rows))


def _index_of(output: Output) -> Callable[[Array], NDArray[np.int64]]:
    """Labels to the places of their classes; graphs name booleans 0 and 1 or, as text, False and True."""
    count = len(output.classes)
    in_order = all(type(one) in {int, bool} for one in output.classes) and output.classes == tuple(range(count))
    positions: dict[object, int] = {}
    for i, one in enumerate(output.classes):
        positions[one] = i
        if isinstance(one, bool):
            positions[int(one)] = i
            positions[str(one)] = i
        elif isinstance(one, float):
            positions[str(one)] = i

    def index_of(labels: Array) -> NDArray[np.int64]:
        known = in_order and labels.dtype == np.int64
        if known and len(labels) >= MANY_LABELS and (labels.view(np.uint64) < count).all():
            return labels  # what is below 0 is very large as uint64
        said = labels.tolist()
        if known and said and 0 <= min(said) <= max(said) < count:
            return labels
        try:
            return np.array([positions[one] for one in said], dtype=np.int64)
        except KeyError as error:
            msg = "the graph names a class that it does not know"
            raise ValueError(msg) from error

    return index_of


def _probabilities(raw: Array, output: Output) -> NDArray[np.float64]:
    """Probabilities as (rows, classes); a graph that gives only the second of two classes is completed."""
    shaped = np.asarray(raw, dtype=np.float64)
    if shaped.ndim == 2 and shaped.shape[1] == len(output.classes):
        return shaped
    if shaped.ndim != 2:
        shaped = shaped.reshape(len(shaped), -1)
    if shaped.shape[1] == 1 and len(output.classes) == 2:
        shaped = np.hstack([1.0 - shaped, shaped])
    if shaped.shape[1] != len(output.classes):
        raise UnsupportedModel(f"The graph gives {shaped.shape[1]} probabilities for {len(output.classes)} classes.")
    return shaped
