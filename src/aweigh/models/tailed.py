"""A library's own trees, ended as the ONNX graph of the same forest ends: the second form that a bundle may carry.

ONNX Runtime is quickest for a few rows, XGBoost and CatBoost for many. All add up the same leaves in the same precision
and order; what differs by a last bit is what they make of the sums (an exponential is not one function). So the sums
are taken from the library, rounded as ONNX Runtime's tree node rounds them, and the rest is done by the very operators
that the whole graph ends in. Where both were found to give the same bits (``parity.same_bits``), either may answer.
"""

from typing import TYPE_CHECKING

import numpy as np

from aweigh.models.onnx_read import compile_reader
from aweigh.models.onnx_session import open_session
from aweigh.schema.answers import Answers

if TYPE_CHECKING:
    from aweigh.bundle.manifest import Graph
    from aweigh.models.family import Predict, Sums
    from aweigh.schema.column import Output
    from aweigh.table import Table

SUMS, PLACE = "sums", "place"
"""What goes into a tail: the sums, (rows, targets), and where the tree node tells it, the place of the largest."""


def tailed(sums: "Sums", tail: bytes, graph: "Graph", output: "Output") -> "Predict":
    """Answers from a library's ``sums`` by the ``tail`` of the whole graph, whose outputs ``graph`` names."""
    session = open_session(tail)
    places = any(one.name == PLACE for one in session.get_inputs())
    read = compile_reader(graph, output)

    def predict(table: "Table") -> Answers:
        if table.rows == 0:
            return Answers.empty(output)
        raw = sums(table).reshape(table.rows, -1)
        with np.errstate(over="ignore"):  # beyond single precision is infinity
            feeds = {SUMS: raw.astype(np.float32, copy=False)}
        if places:
            feeds[PLACE] = raw.argmax(axis=1)
        return read(session.run(None, feeds))

    return predict
