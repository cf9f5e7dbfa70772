"""The models that everything is measured with, trained from the same seeds everywhere and packed: A, B and C.

A: 30 numbers, scaler and logistic regression. B: the same numbers, histogram boosting. C: four text and six number
columns with missing values, imputers, one-hot, a forest of 100. ``python -m bench.models`` makes what is not there.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.places import MODELS

ROWS = 1000


@dataclass(frozen=True)
class Model:
    """One model on disk: ``NAME.joblib`` for the peers, ``NAME.aweigh``, and ``NAME.json`` with rows and answers."""

    letter: str
    name: str
    title: str

    @property
    def bundle(self) -> Path:
        """The packed model."""
        return MODELS / f"{self.name}.aweigh"

    @property
    def joblib(self) -> Path:
        """The model as scikit-learn dumps it."""
        return MODELS / f"{self.name}.joblib"

    @property
    def sample(self) -> Path:
        """The sample that it was packed with, target included."""
        return MODELS / f"{self.name}.csv"

    @property
    def facts(self) -> Path:
        """Rows without missing values and what the original answers them."""
        return MODELS / f"{self.name}.json"

    @cached_property
    def data(self) -> dict[str, Any]:
        """``columns``, ``rows``, and of each row the ``proba`` of class 1."""
        found: dict[str, Any] = json.loads(self.facts.read_text(encoding="utf-8"))
        return found


A = Model("A", "bc", "30 numbers, scaler + logistic regression")
B = Model("B", "gb", "30 numbers, histogram boosting")
C = Model("C", "mixed", "4 text + 6 number columns, imputers, one-hot, forest of 100")
ALL = {model.letter: model for model in (A, B, C)}


def ensure(*models: Model, tell: Callable[[str], None] = print) -> None:
    """Trains and packs those models that are not there yet."""
    missing = [model for model in models if not (model.bundle.exists() and model.facts.exists())]
    if not missing:
        return
    MODELS.mkdir(parents=True, exist_ok=True)
    makers = {"bc": _breast_cancer, "gb": _boosting, "mixed": _mixed}
    for model in missing:
        tell(f"training and packing {model.letter}: {model.title}")
        estimator, frame = makers[model.name]()
        _write(model, estimator, frame)


def _write(model: Model, estimator: Any, frame: Any) -> None:
    import joblib
    import numpy as np

    from aweigh import pack

    whole = frame.dropna().iloc[:ROWS] if model is C else frame.iloc[np.arange(ROWS) % len(frame)]
    rows = whole.reset_index(drop=True)
    joblib.dump(estimator, model.joblib)
    labels = estimator.predict(rows)
    rows.assign(target=labels).to_csv(model.sample, index=False)
    facts = {
        "columns": list(rows.columns),
        "rows": json.loads(rows.to_json(orient="records", double_precision=15)),
        "proba": estimator.predict_proba(rows)[:, 1].tolist(),
        "labels": labels.tolist(),
    }
    model.facts.write_text(json.dumps(facts), encoding="utf-8")
    pack(model.joblib, model.sample, target="target", name=model.name, output=model.bundle)


def _breast_cancer() -> tuple[Any, Any]:
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    frame, target = load_breast_cancer(return_X_y=True, as_frame=True)
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", LogisticRegression(max_iter=1000))])
    return pipeline.fit(frame, target), frame


def _boosting() -> tuple[Any, Any]:
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import HistGradientBoostingClassifier

    frame, target = load_breast_cancer(return_X_y=True, as_frame=True)
    return HistGradientBoostingClassifier(random_state=0).fit(frame, target), frame


def _mixed() -> tuple[Any, Any]:
    import numpy as np
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random, count = np.random.default_rng(7), 5000
    choices = {
        "city": ["paris", "rome", "oslo", "lima", "cairo", "delhi"],
        "plan": ["free", "pro", "team"],
        "device": ["ios", "android", "web", "tv"],
        "channel": ["ads", "seo", "mail", "ref", "app"],
    }
    frame = pd.DataFrame({name: random.choice(values, count) for name, values in choices.items()}).astype(object)
    for i in range(6):
        frame[f"x{i}"] = random.normal(i, 1 + i, count)
    score = (frame["plan"] == "pro") * 1.0 + (frame["city"] == "oslo") + frame["x0"] + 0.3 * frame["x1"]
    target = (score - 0.1 * frame["x2"] + random.normal(0, 1, count) > 1.2).astype(int)
    for name in ("city", "device", "x1", "x4"):
        frame.loc[random.choice(count, 100, replace=False), name] = np.nan
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    prepare = ColumnTransformer(
        [("cat", texts, list(choices)), ("num", numbers, [f"x{i}" for i in range(6)])],
    )
    forest = RandomForestClassifier(100, random_state=0)
    return Pipeline([("pre", prepare), ("clf", forest)]).fit(frame, target), frame


if __name__ == "__main__":
    ensure(*(ALL[letter] for letter in sys.argv[1:] or ALL))
