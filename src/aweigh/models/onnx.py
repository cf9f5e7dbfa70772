"""ONNX graphs: ``OnnxModel`` serves every bundle whose runtime is ``onnx``; the rest packs files that users bring.

A user's graph is asked as it came, by ONNX Runtime; what is served is the same graph with ZipMap taken out and several
outputs laid side by side (``onnx_file.py`` tells what it means, ``onnx_rewrite.py`` makes what is served).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.bundle.manifest import Graph, GraphInput
from aweigh.errors import InvalidRows, Problem, UnsupportedModel
from aweigh.models.family import Described, Form, Way
from aweigh.models.onnx_session import open_session
from aweigh.schema.answers import POSITIVE_OUTLIER, Answers
from aweigh.schema.column import Output, Schema

if TYPE_CHECKING:
    from aweigh.models.onnx_file import OnnxFile
    from aweigh.table import Table, Values

ELEMENTS: Mapping[str, Any] = {"float": np.float32, "double": np.float64, "int64": np.int64, "bool": np.bool_}
MAX_LISTED = 100
"""So many rows without an answer are named; the rest are counted."""
ROUNDING = 1e-5
"""So far beyond 0 and 1 may a probability in single precision be."""


class OnnxModel:
    """A loaded graph and how it is fed and read; ``predict`` may be called from several threads."""

    def __init__(self, model: bytes, graph: Graph, output: Output, *, threads: int = 1) -> None:
        self.graph = graph
        self.output = output
        self._session = open_session(model, threads=threads)
        names = (graph.label, graph.probabilities, graph.values, graph.scores)
        self._wanted = [name for name in names if name is not None]
        self._ranks = {one.name: len(one.shape) for one in self._session.get_inputs()}
        self._classes = class_positions(output)

    def predict(self, table: "Table") -> Answers:
        """Answers for a checked table."""
        if table.rows == 0:
            return Answers.empty(self.output)
        feeds = {one.name: self._feed(one, table) for one in self.graph.inputs}
        results = dict(zip(self._wanted, self._run(feeds, table.rows), strict=True))
        return read_answers(results, self.graph, self.output, self._classes)

    def _run(self, feeds: Mapping[str, NDArray[Any]], rows: int) -> list[NDArray[Any]]:
        if not self.graph.one_row or rows == 1:
            results: list[NDArray[Any]] = self._session.run(self._wanted, feeds)
            return results
        single = [
            self._session.run(self._wanted, {name: cells[row : row + 1] for name, cells in feeds.items()})
            for row in range(rows)
        ]
        return [np.concatenate([np.asarray(one).reshape(1, -1) for one in part]) for part in zip(*single, strict=True)]

    def _feed(self, given: GraphInput, table: "Table") -> NDArray[Any]:
        if len(given.columns) == 1:
            cells = feed_column(table[given.columns[0]], given.element, self.graph.missing_text)
            return cells if self._ranks[given.name] == 1 else cells.reshape(-1, 1)
        return feed_block(given, table, self.graph.missing_text)


def feed_block(given: GraphInput, table: "Table", missing_text: str) -> NDArray[Any]:
    """Columns side by side as a graph takes them, (rows, columns)."""
    block: NDArray[Any] = np.empty((table.rows, len(given.columns)), dtype=ELEMENTS.get(given.element, object))
    for i, name in enumerate(given.columns):
        block[:, i] = feed_column(table[name], given.element, missing_text)
    return block


def feed_column(values: "Values", element: str, missing_text: str) -> NDArray[Any]:
    """One column as a graph takes it: NaN for a missing number, ``missing_text`` for missing text."""
    missing = values.missing
    if element == "string":
        if missing is None:
            return values.data
        cells = values.data.copy()
        cells[missing] = missing_text
        return cells
    with np.errstate(over="ignore"):  # beyond single precision is infinity
        data: NDArray[Any] = values.data.astype(ELEMENTS[element], copy=False)
    if missing is None or not missing.any():
        return data
    if element not in {"float", "double"}:
        msg = f"a graph input of {element} cannot hold a missing value"
        raise UnsupportedModel(msg)
    data = data.copy()
    data[missing] = np.nan
    return data


# -- reading ---------------------------------------------------------------------------------------------------------


def read_answers(
    results: Mapping[str, NDArray[Any]], graph: Graph, output: Output, positions: Mapping[object, int]
) -> Answers:
    """What a graph's outputs say: ``results`` by output, ``positions`` from ``class_positions``."""
    first = next(iter(results.values()))
    rows = len(first)
    probabilities = _probabilities(results[graph.probabilities], output) if graph.probabilities else None
    if output.task == "class":
        _refuse_nan(probabilities)
        index = _index(results[graph.label] if graph.label else None, probabilities, positions)
        return Answers(output, rows, index=index, probabilities=probabilities if output.probabilities else None)
    if output.task == "cluster":
        return Answers(output, rows, cluster=np.asarray(results[graph.label or ""]).reshape(rows).astype(np.int64))
    if output.task == "outlier":
        outlier = np.asarray(results[graph.label or ""]).reshape(rows) == POSITIVE_OUTLIER
        scores = results[graph.scores].reshape(rows).astype(np.float64) if graph.scores else None
        _refuse_nan(scores)
        return Answers(output, rows, outlier=outlier, scores=scores)
    values = np.asarray(results[graph.values or ""]).astype(np.float64).reshape(rows, -1)
    return Answers(output, rows, values=values)


def _refuse_nan(numbers: NDArray[np.float64] | None) -> None:
    """A class or a flag beside numbers that are none is no answer: libraries refuse such rows, a graph computes on.

    Raises:
        InvalidRows: naming the rows.
    """
    if numbers is None or not np.isnan(numbers).any():
        return
    rows = np.flatnonzero(np.isnan(numbers).reshape(len(numbers), -1).any(axis=1)).tolist()
    problems = [Problem("no_answer", f"the model has no answer for row {row}", row=row) for row in rows[:MAX_LISTED]]
    raise InvalidRows(tuple(problems), total=len(rows))


def _index(
    label: NDArray[Any] | None, probabilities: NDArray[np.float64] | None, positions: Mapping[object, int]
) -> NDArray[np.int64]:
    if label is not None:
        found = [positions.get(one) for one in np.asarray(label).reshape(-1).tolist()]
        if None in found:
            msg = "the graph names a class that it does not know"
            raise ValueError(msg)
        return np.array(found, dtype=np.int64)
    if probabilities is None:
        raise UnsupportedModel("A classifier's graph gives neither label nor probabilities.")
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


def class_positions(output: Output) -> dict[object, int]:
    """Where each class stands; graphs name booleans 0 and 1 or, as text, False and True."""
    positions: dict[object, int] = {}
    for i, one in enumerate(output.classes):
        positions[one] = i
        if isinstance(one, bool):
            positions[int(one)] = i
            positions[str(one)] = i
        elif isinstance(one, float):
            positions[str(one)] = i
    return positions


def _probabilities(raw: NDArray[Any], output: Output) -> NDArray[np.float64]:
    """Probabilities as (rows, classes); a graph that gives only the second of two classes is completed."""
    shaped = np.asarray(raw, dtype=np.float64)
    shaped = shaped.reshape(len(shaped), -1)
    if shaped.shape[1] == 1 and len(output.classes) == 2:
        shaped = np.hstack([1.0 - shaped, shaped])
    if shaped.shape[1] != len(output.classes):
        raise UnsupportedModel(f"The graph gives {shaped.shape[1]} probabilities for {len(output.classes)} classes.")
    return shaped


# -- the family: a user's own graph ----------------------------------------------------------------------------------


def read(path: Path) -> object:
    """The graph in an .onnx file.

    Raises:
        UnreadableModel: it is no ONNX graph.
        UnsupportedModel: it needs other files, operators of its own, or takes and gives what no table holds.
    """
    from aweigh.models.onnx_file import open_file

    return open_file(path.read_bytes())


def opened(model: Any) -> "OnnxFile":
    """What ``read`` gives, also of an ``onnx.ModelProto`` in memory."""
    from aweigh.models.onnx_file import OnnxFile, open_file

    return model if isinstance(model, OnnxFile) else open_file(model.SerializeToString())


def describe(model: Any) -> Described:
    """What a graph says of itself. Columns go by name where each has an input of its own, else by their order."""
    file = opened(model)
    reading, widths = file.reading, [one.width for one in file.inputs]
    alone = len(widths) > 1 and set(widths) == {1}
    maker = f" made by {file.proto.producer_name}" if file.proto.producer_name else ""
    classes = reading.task == "class"
    output = Output(
        task="number" if reading.task == "numbers" else reading.task,
        name={"class": "class", "cluster": "cluster", "outlier": "outlier"}.get(reading.task, "value"),
        classes=reading.classes,
        probabilities=classes and reading.second is not None,
        scores=reading.task == "outlier" and reading.second is not None,
    )
    return Described(
        f"ONNX graph{maker}",
        output,
        tuple(one.name for one in file.inputs) if alone else None,
        None if None in widths else sum(width or 0 for width in widths),
    )


def predict(model: Any, table: "Table", schema: Schema) -> Answers:
    """The graph's own answers, as it came.

    Raises:
        UnsupportedModel: a column does not fit the input that it goes into.
    """
    from aweigh.models.onnx_rewrite import ask_as_it_came

    return ask_as_it_came(opened(model), table, schema)


def widen(model: Any, output: Output, answers: Answers) -> Output:
    """The output once an answer was seen.

    Several numbers get the outputs' names, where there are as many. Scores beyond 0 and 1, as a linear support vector
    machine gives them beside its label, are no probabilities and are left out.
    """
    chances = answers.probabilities
    if chances is not None and not ((chances >= -ROUNDING) & (chances <= 1 + ROUNDING)).all():
        return msgspec.structs.replace(output, probabilities=False)
    if output.task != "number" or answers.values is None or answers.values.shape[1] == 1:
        return output
    width = answers.values.shape[1]
    names = opened(model).reading.numbers
    if len(names) != width:
        names = tuple(f"{names[0] if len(names) == 1 else output.name}_{i}" for i in range(width))
    return Output(task="numbers", name=output.name, names=names, unit=output.unit, description=output.description)


def ways(model: Any, schema: Schema) -> Iterator[Way]:
    """The graph with outputs that can be read; one that takes a single row is tried with many before it is repeated."""
    from aweigh.models.onnx_rewrite import served

    file = opened(model)

    def form(*, one_row: bool) -> Form:
        data, graph = served(file, schema, one_row=one_row)
        return Form("onnx", "model/model.onnx", data, OnnxModel(data, graph, schema.output).predict, graph=graph)

    if not file.one_row:
        yield Way("ONNX as it came", lambda: form(one_row=False))
        return
    yield Way("ONNX, its one row made many", lambda: form(one_row=False))
    yield Way("ONNX, one row at a time", lambda: form(one_row=True))
