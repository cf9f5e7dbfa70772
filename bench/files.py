"""Section ``files``: ``aweigh predict`` on a million rows of 20 columns, beside reading, model and writing by hand.

The model is 16 numbers and 4 texts through imputers, scaler and one-hot into a logistic regression: cheap, so that
what is measured is the way in and out. Both write all columns and the answers.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.places import BENCH, CACHE, ROOT
from bench.processes import run_measured
from bench.servers import environment

FOLDER = CACHE / "files"
BUNDLE = FOLDER / "wide.aweigh"
JOBLIB = FOLDER / "wide.joblib"
NUMBERS, TEXTS = 16, 4
ALL_ROWS, TENTH = 1_000_000, 100_000
TIMES = 3
"""Each is run so often, in turn with the others, and the cheapest counts: what else goes on meets one and not all."""

BY_HAND = {"csv": ("pandas", "pyarrow"), "parquet": ("pyarrow",)}


def measure(*, tell: Callable[[str], None], rows: int = ALL_ROWS) -> dict[str, Any]:
    """``{"csv": {...}, "parquet": {...}}``: what each way used at its best, and aweigh for a tenth of the rows."""
    _ensure_model(tell)
    found: dict[str, Any] = {"rows": rows, "columns": NUMBERS + TEXTS}
    for kind, ways in BY_HAND.items():
        data = _ensure_data(rows, kind, tell)
        few = _ensure_data(rows * TENTH // ALL_ROWS, kind, tell)
        out = FOLDER / f"out.{kind}"
        by_hand = [sys.executable, str(BENCH / "by_hand.py")]
        commands = {"aweigh": _aweigh(data, out), "aweigh_tenth": _aweigh(few, out)}
        commands |= {f"by_hand_{way}": [*by_hand, way, str(JOBLIB), str(data), str(out)] for way in ways}
        runs = [{name: _run(command) for name, command in commands.items()} for _ in range(TIMES)]
        figures: dict[str, Any] = {name: min((run[name] for run in runs), key=_cpu_s) for name in commands}
        best = min(figures[f"by_hand_{way}"]["cpu_s"] for way in ways)
        figures["ratio"] = round(figures["aweigh"]["cpu_s"] / best, 3)
        tell(f"{kind}: {json.dumps(figures)}")
        found[kind] = figures
    return found


def _aweigh(data: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "aweigh", "predict", str(BUNDLE), str(data), "-o", str(out), "--force"]


def _run(command: list[str]) -> dict[str, float]:
    return run_measured(command, env=environment({}), cwd=ROOT)


def _cpu_s(run: dict[str, float]) -> float:
    return run["cpu_s"]


def _frame(rows: int, *, seed: int) -> Any:
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {f"x{i}": random.normal(i, 1 + i, rows).round(5) for i in range(NUMBERS)}
    words = np.array(["north", "south", "east", "west", "centre", "abroad"], dtype=object)
    columns |= {f"t{i}": words[random.integers(0, 3 + i, rows)] for i in range(TEXTS)}
    frame = pd.DataFrame(columns)
    for name in ("x3", "x7", "t1"):
        frame.loc[random.random(rows) < 0.02, name] = None
    return frame


def _ensure_data(rows: int, kind: str, tell: Callable[[str], None]) -> Path:
    path = FOLDER / f"rows-{rows}.{kind}"
    if path.exists():
        return path
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    tell(f"writing {path.name}")
    part = path.with_suffix(".part")
    table = pa.Table.from_pandas(_frame(rows, seed=1), preserve_index=False)
    if kind == "csv":
        pyarrow.csv.write_csv(table, part)
    else:
        pyarrow.parquet.write_table(table, part)
    part.rename(path)
    return path


def _ensure_model(tell: Callable[[str], None]) -> None:
    if BUNDLE.exists():
        return
    import joblib
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from aweigh import pack

    tell("training and packing the model of 20 columns")
    FOLDER.mkdir(parents=True, exist_ok=True)
    frame = _frame(5000, seed=0)
    target = (frame["x0"] + (frame["t0"] == "north") > 0.5).astype(int)
    numbers = (make_pipeline(SimpleImputer(), StandardScaler()), [f"x{i}" for i in range(NUMBERS)])
    encoder = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    texts = (encoder, [f"t{i}" for i in range(TEXTS)])
    prepare = ColumnTransformer([("numbers", *numbers), ("texts", *texts)])
    model = make_pipeline(prepare, LogisticRegression(max_iter=1000)).fit(frame, target)
    joblib.dump(model, JOBLIB)
    pack(model, frame.assign(target=target)[:1000], target="target", name="wide", output=BUNDLE)
