"""Models of any width and any size, made as ONNX files and packed as users pack theirs: not trained, only weighed.

``wide``: so many numbers, weighed and added up. ``heavy``: a table of numbers, of which the row that is asked for is
looked up and added up: its call costs the same at any size, so that what grows is what the bytes alone cost.
"""

import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.models import Model
from bench.places import CACHE, ROOT
from bench.processes import run_measured
from bench.servers import environment

FOLDER = CACHE / "growth"
SAMPLE_ROWS = 60
ROW_NUMBERS = 64
ROW_BYTES = ROW_NUMBERS * 4


@dataclass(frozen=True)
class Grown(Model):
    """A bundle with its golden rows, and what packing it took if that was done here."""

    @property
    def bundle(self) -> Path:
        """The packed model."""
        return FOLDER / f"{self.name}.aweigh"

    @property
    def facts(self) -> Path:
        """What packing it took."""
        return FOLDER / f"{self.name}.json"

    @property
    def packing(self) -> dict[str, float]:
        """CPU seconds, seconds and MiB at the most."""
        found: dict[str, float] = json.loads(self.facts.read_text(encoding="utf-8"))
        return found

    @cached_property
    def data(self) -> dict[str, Any]:
        """The golden rows, and what the original says to each."""
        with zipfile.ZipFile(self.bundle) as archive:
            golden = json.loads(archive.read("examples.json"))
        return {"rows": golden["rows"], "proba": [one["value"] for one in golden["predictions"]]}


def wide(columns: int, *, tell: Callable[[str], None]) -> Grown:
    """A model of so many numbers, packed."""
    model = Grown("W", f"wide-{columns}", f"{columns} numbers, weighed and added")
    _ensure(model, lambda: (_wide_graph(columns), _wide_frame(columns)), tell)
    return model


def heavy(size_bytes: int, *, tell: Callable[[str], None]) -> Grown:
    """A model of about so many bytes, packed."""
    rows = max(1, size_bytes // ROW_BYTES)
    model = Grown("H", f"heavy-{size_bytes}", f"a table of {size_bytes:,} bytes")
    _ensure(model, lambda: (_heavy_graph(rows), _heavy_frame(rows)), tell)
    return model


def _ensure(model: Grown, make: Callable[[], tuple[Any, Any]], tell: Callable[[str], None]) -> None:
    if model.bundle.exists() and model.facts.exists():
        return
    tell(f"packing {model.title}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    graph, frame = make()
    file, sample = model.bundle.with_suffix(".onnx"), model.bundle.with_suffix(".csv")
    file.write_bytes(graph.SerializeToString())
    frame.to_csv(sample, index=False)
    model.bundle.unlink(missing_ok=True)
    command = [sys.executable, "-m", "aweigh", "pack", str(file), "--data", str(sample), "-o", str(model.bundle)]
    try:
        took = run_measured(command, env=environment({}), cwd=ROOT)
    finally:
        file.unlink()
        sample.unlink()
    model.facts.write_text(json.dumps(took), encoding="utf-8")


def _wide_frame(columns: int) -> Any:
    import numpy as np
    import pandas as pd

    values = np.random.default_rng(columns).normal(size=(SAMPLE_ROWS, columns)).round(4)
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(columns)])


def _heavy_frame(rows: int) -> Any:
    import numpy as np
    import pandas as pd

    return pd.DataFrame({"row": np.random.default_rng(0).integers(0, rows, SAMPLE_ROWS)})


def _wide_graph(columns: int) -> Any:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(columns, 1)).astype(np.float32)
    return _model(
        [helper.make_node("MatMul", ["x", "weights"], ["value"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, columns])],
        [numpy_helper.from_array(weights, "weights")],
    )


def _heavy_graph(rows: int) -> Any:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    table = np.random.default_rng(0).normal(size=(rows, ROW_NUMBERS)).astype(np.float32)
    constants = {"last": np.array(rows - 1), "first": np.array(0), "flat": np.array([-1]), "axes": np.array([1])}
    return _model(
        [
            # Of a row that is not there, too, there is an answer: the first's or the last's.
            helper.make_node("Max", ["row", "first"], ["from_first"]),
            helper.make_node("Min", ["from_first", "last"], ["inside"]),
            helper.make_node("Reshape", ["inside", "flat"], ["place"]),
            helper.make_node("Gather", ["table", "place"], ["found"], axis=0),
            helper.make_node("ReduceSum", ["found", "axes"], ["value"], keepdims=1),
        ],
        [helper.make_tensor_value_info("row", TensorProto.INT64, [None, 1])],
        [numpy_helper.from_array(table, "table"), *(numpy_helper.from_array(one.astype(np.int64), name)
                                                   for name, one in constants.items())],
    )  # fmt: skip


def _model(nodes: list[Any], inputs: list[Any], constants: list[Any]) -> Any:
    from onnx import TensorProto, helper

    outputs = [helper.make_tensor_value_info("value", TensorProto.FLOAT, [None, 1])]
    graph = helper.make_graph(nodes, "grown", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
