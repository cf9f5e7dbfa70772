"""``python -m bench.robustness``: the attack of ``aweigh pack --robustness`` beside that of ART, on two models.

Both look for the nearest row with another answer, from the same rows and within the same ranges: ours on the portable
form, as when a model is packed, that of the Adversarial Robustness Toolbox (HopSkipJump with its own settings) on the
scikit-learn model, in an environment of its own (``make bench-peers ARGS=art``). Fails when our median distance is more
than ``LEAST_GOOD`` times theirs; writes ``bench/results/robustness.json``.
"""

import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import machine
from bench.places import PEERS, peer_python
from bench.results import write

LEAST_GOOD = 1.2
ROWS = 40
OPTIONS: dict[str, int] = {}
"""What the toolbox is told beyond its defaults: nothing."""


def models() -> dict[str, Any]:
    """Models of 30 numbers (breast cancer, of scikit-learn's own data): a linear one and a forest."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_breast_cancer(as_frame=True)
    made = {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
        "random forest of 100": RandomForestClassifier(random_state=0),
    }
    return {name: (model.fit(data.data.to_numpy(), data.target), data.data) for name, model in made.items()}


def ours(model: Any, frame: Any) -> tuple[Any, dict[str, Any]]:
    """The attack, and what it found."""
    from aweigh import load, pack
    from aweigh.packing.robustness import Attack
    from aweigh.schema.check import check
    from aweigh.table.frame import frame_to_table

    with tempfile.TemporaryDirectory() as folder:
        predictor = load(pack(model, frame, name="robust", output=folder).path).predictor
    table = check(predictor.schema, frame_to_table(frame)[0])
    attack = Attack(predictor.predict, predictor.schema, table, most_s=1e9, rows=ROWS)
    begun = time.perf_counter()
    attack.run()
    seconds = time.perf_counter() - begun
    return attack, {"distances": attack.distances.tolist(), "queries": attack.queries, "seconds": seconds}


def theirs(model: Any, attack: Any) -> dict[str, Any]:
    """What the toolbox finds for the same rows."""
    import joblib

    room, origins = attack.room, attack.points(attack.own)
    asked = {
        "unit": attack.unit.tolist(), "low": room.low.tolist(), "high": room.high.tolist(),
        "rows": origins.tolist(), "classes": 2, "options": OPTIONS,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        joblib.dump(model, folder / "model.joblib")
        (folder / "asked.json").write_text(json.dumps(asked))
        begun = time.perf_counter()
        command = [str(peer_python("art")), str(PEERS / "art_app.py"), name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr or "make bench-peers ARGS=art installs it")
        seconds = time.perf_counter() - begun
    found: dict[str, Any] = json.loads(done.stdout)
    distances = [np.inf if one is None else one for one in found["distances"]]
    return {"distances": distances, "queries": found["queries"], "seconds": seconds}


def main() -> int:
    """Attack both models both ways."""
    if not peer_python("art").exists():
        sys.stderr.write("the toolbox is not installed: make bench-peers ARGS=art\n")
        return 1
    warnings.simplefilter("ignore")
    results, good = {}, True
    for name, (model, frame) in models().items():
        attack, mine = ours(model, frame)
        other = theirs(model, attack)
        told = {}
        for who, found in (("aweigh", mine), ("ART", other)):
            told[who] = {
                "median": round(float(np.median(found["distances"])), 4),
                "flipped": int(np.isfinite(found["distances"]).sum()),
                "queries_per_row": round(found["queries"] / len(found["distances"])),
                "seconds": round(found["seconds"], 1),
            }
        told["ratio"] = round(told["aweigh"]["median"] / told["ART"]["median"], 3)
        both = [pair for pair in zip(mine["distances"], other["distances"], strict=True) if np.isfinite(pair).all()]
        medians = np.median(np.array(both), axis=0)
        told["rows_both"], told["ratio_both"] = len(both), round(float(medians[0] / medians[1]), 3)
        good = good and told["ratio_both"] <= LEAST_GOOD
        results[name] = told
        sys.stdout.write(f"{name}: {json.dumps(told)}\n")
    write("robustness", {"rows": ROWS, "models": results, "machine": machine()})
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
