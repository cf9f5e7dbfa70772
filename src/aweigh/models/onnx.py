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

from aweigh.bundle.manifest import Graph
from aweigh.errors import UnreadableModel
from aweigh.models.family import Described, Form, Way
from aweigh.models.onnx_feed import Feed
from aweigh.models.onnx_read import compile_reader, wanted_outputs
from aweigh.models.onnx_session import open_session, runner
from aweigh.schema.answers import Answers
from aweigh.schema.column import Output, Schema

if TYPE_CHECKING:
    from aweigh.models.onnx_file import OnnxFile
    from aweigh.table import Table

ROUNDING = 1e-5
"""So far beyond 0 and 1 may a probability in single precision be."""


class OnnxModel:
    """A loaded graph and how it is fed and read; ``predict`` may be called from several threads."""

    def __init__(self, model: bytes, graph: Graph, output: Output, *, threads: int = 1) -> None:
        self.graph = graph
        self.output = output
        session = open_session(model, threads=threads)
        self._wanted = wanted_outputs(graph)
        strangers = {one.name for one in graph.inputs} - {one.name for one in session.get_inputs()}
        strangers |= set(self._wanted) - {one.name for one in session.get_outputs()}
        if strangers:
            raise UnreadableModel(
                f"The graph has no input or output {min(strangers)[:60]!r}, which its manifest names.",
                hint="pack the original model again",
            )
        self._run = runner(session)
        self._feed = Feed(graph, {one.name: len(one.shape) for one in session.get_inputs()})
        self._read = compile_reader(graph, output)

    def predict(self, table: "Table") -> Answers:
        """Answers for a checked table."""
        if table.rows == 0:
            return Answers.empty(self.output)
        feeds = self._feed(table)
        if self.graph.one_row and table.rows > 1:
            return self._read(self._one_by_one(feeds, table.rows))
        return self._read(self._run(self._wanted, feeds))

    def _one_by_one(self, feeds: Mapping[str, NDArray[Any]], rows: int) -> list[NDArray[Any]]:
        single = [
            self._run(self._wanted, {name: cells[row : row + 1] for name, cells in feeds.items()})
            for row in range(rows)
        ]
        return [np.concatenate([np.asarray(one).reshape(1, -1) for one in part]) for part in zip(*single, strict=True)]


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
