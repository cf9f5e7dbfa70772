"""ONNX graphs: fed from a table, read as answers, on ONNX Runtime with as many threads as the plan says.

``OnnxModel`` serves every bundle whose runtime is ``onnx``, whatever library the model came from.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aweigh.bundle.manifest import Graph, GraphInput
from aweigh.errors import UnsupportedModel
from aweigh.schema.answers import POSITIVE_OUTLIER, Answers

if TYPE_CHECKING:
    import onnxruntime

    from aweigh.schema.column import Output
    from aweigh.table import Table, Values

ELEMENTS = {"float": np.float32, "double": np.float64, "int64": np.int64, "bool": np.bool_}
LOG_ERRORS_ONLY = 3


def open_session(model: bytes, *, threads: int = 1) -> "onnxruntime.InferenceSession":
    """An ONNX Runtime session on the CPU that starts no thread of its own when ``threads`` is 1.

    Raises:
        UnsupportedModel: ONNX Runtime cannot run this graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = LOG_ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no class but Exception
        raise UnsupportedModel(f"ONNX Runtime cannot load the graph: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0][:200]


class OnnxModel:
    """A loaded graph and how it is fed and read; ``predict`` may be called from several threads."""

    def __init__(self, model: bytes, graph: Graph, output: "Output", *, threads: int = 1) -> None:
        self.graph = graph
        self.output = output
        self._session = open_session(model, threads=threads)
        names = (graph.label, graph.probabilities, graph.values, graph.scores)
        self._wanted = [name for name in names if name is not None]
        self._ranks = {one.name: len(one.shape) for one in self._session.get_inputs()}
        self._classes = _class_positions(output)

    def predict(self, table: "Table") -> Answers:
        """Answers for a checked table."""
        if table.rows == 0:
            return Answers.empty(self.output)
        feeds = {one.name: self._feed(one, table) for one in self.graph.inputs}
        results = dict(zip(self._wanted, self._session.run(self._wanted, feeds), strict=True))
        return self._answers(results, table.rows)

    def _feed(self, given: GraphInput, table: "Table") -> NDArray[np.generic]:
        if len(given.columns) == 1:
            cells = feed_column(table[given.columns[0]], given.element, self.graph.missing_text)
            return cells if self._ranks[given.name] == 1 else cells.reshape(-1, 1)
        dtype = object if given.element == "string" else ELEMENTS[given.element]
        block = np.empty((table.rows, len(given.columns)), dtype=dtype)
        for i, name in enumerate(given.columns):
            block[:, i] = feed_column(table[name], given.element, self.graph.missing_text)
        return block

    def _answers(self, results: dict[str, NDArray[np.generic]], rows: int) -> Answers:
        graph, output = self.graph, self.output
        probabilities = _probabilities(results[graph.probabilities], output) if graph.probabilities else None
        if output.task == "class":
            label = results[graph.label] if graph.label else None
            index = self._index(label, probabilities)
            return Answers(output, rows, index=index, probabilities=probabilities if output.probabilities else None)
        if output.task == "cluster":
            return Answers(output, rows, cluster=np.asarray(results[graph.label or ""]).reshape(rows).astype(np.int64))
        if output.task == "outlier":
            outlier = np.asarray(results[graph.label or ""]).reshape(rows) == POSITIVE_OUTLIER
            scores = results[graph.scores].reshape(rows).astype(np.float64) if graph.scores else None
            return Answers(output, rows, outlier=outlier, scores=scores)
        values = np.asarray(results[graph.values or ""]).astype(np.float64).reshape(rows, -1)
        return Answers(output, rows, values=values)

    def _index(self, label: NDArray[np.generic] | None, probabilities: NDArray[np.float64] | None) -> NDArray[np.int64]:
        if label is None:
            if probabilities is None:
                msg = "a classifier's graph names neither label nor probabilities"
                raise UnsupportedModel(msg)
            return probabilities.argmax(axis=1).astype(np.int64)
        positions = self._classes
        return np.array([positions[one] for one in np.asarray(label).reshape(-1).tolist()], dtype=np.int64)


def _class_positions(output: "Output") -> dict[object, int]:
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


def _probabilities(raw: NDArray[np.generic], output: "Output") -> NDArray[np.float64]:
    """Probabilities as (rows, classes); a graph that gives only the second of two classes is completed."""
    shaped = np.asarray(raw, dtype=np.float64)
    shaped = shaped.reshape(len(shaped), -1)
    if shaped.shape[1] == 1 and len(output.classes) == 2:
        shaped = np.hstack([1.0 - shaped, shaped])
    return shaped


def feed_column(values: "Values", element: str, missing_text: str) -> NDArray[np.generic]:
    """One column as a graph takes it: NaN for a missing number, ``missing_text`` for missing text."""
    missing = values.missing
    if element == "string":
        if missing is None:
            return values.data
        cells = values.data.copy()
        cells[missing] = missing_text
        return cells
    data = values.data.astype(ELEMENTS[element], copy=False)
    if missing is None or not missing.any():
        return data
    if element not in {"float", "double"}:
        msg = f"a graph input of {element} cannot hold a missing value"
        raise UnsupportedModel(msg)
    data = data.copy()
    data[missing] = np.nan
    return data
