"""HopSkipJump of the Adversarial Robustness Toolbox on a model and rows from a folder, in an environment of its own.

``python art_app.py FOLDER`` reads ``model.joblib`` and ``asked.json`` and prints JSON: the Euclidean distance of each
row's adversarial example in the columns' own units (null: it has the row's own answer), and how many rows were asked.
"""

import json
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np

warnings.simplefilter("ignore")  # the toolbox tells at import what it does without

from art.attacks.evasion import HopSkipJump  # noqa: E402
from art.estimators.classification import BlackBoxClassifier  # noqa: E402


def main(folder: Path) -> None:
    """Attack, and print what came of it."""
    model = joblib.load(folder / "model.joblib")
    asked = json.loads((folder / "asked.json").read_text())
    unit, low, high, rows = (np.array(asked[name]) for name in ("unit", "low", "high", "rows"))
    count = [0]

    def predict(points: np.ndarray) -> np.ndarray:
        count[0] += len(points)
        codes = model.predict(np.clip(points * unit, low * unit, high * unit))
        return np.eye(asked["classes"])[np.asarray(codes, dtype=int)]

    classifier = BlackBoxClassifier(predict, (len(unit),), asked["classes"], clip_values=(low, high))
    np.random.seed(0)  # noqa: NPY002  the toolbox draws from it
    attack = HopSkipJump(classifier, targeted=False, norm=2, verbose=False, **asked["options"])
    found = attack.generate(rows.astype(np.float64))
    queries = count[0]
    flipped = predict(found).argmax(axis=1) != predict(rows).argmax(axis=1)
    far = np.sqrt(((found - rows) ** 2).sum(axis=1))
    distances = [float(one) if other else None for one, other in zip(far, flipped, strict=True)]
    sys.stdout.write(json.dumps({"distances": distances, "queries": queries}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
