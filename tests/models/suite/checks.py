"""What holds for every case, wherever it is run."""

from collections.abc import Iterable, Mapping

import pytest

from suite.case import Case, run

SERVED_AS = {
    "onnx": "ONNX",
    "sklearn": "scikit-learn (skops)",
    "xgboost": "XGBoost (its own file)",
    "lightgbm": "LightGBM (its own file)",
    "catboost": "CatBoost (its own file)",
    "python": "your own code",
    "refused": "refused",
}
"""What the page calls each outcome."""


def parameters(cases: Iterable[Case]) -> list[object]:
    """The cases for pytest: the slow ones, and three of four of the rest, are left to `make models`."""
    listed = [*cases]
    kept = {*[one.name for one in listed if not one.slow][::4]}
    return [pytest.param(one, id=one.name, marks=[] if one.name in kept else [pytest.mark.slow]) for one in listed]


def check_case(case: Case, page: Mapping[str, str]) -> None:
    """What is served agrees with the model on fresh rows, and is what the committed page says."""
    outcome = run(case)
    assert outcome.oracle is None or outcome.oracle.agrees, outcome
    assert outcome.fresh.labels_differing == 0, outcome
    assert outcome.fresh.numbers_differing == 0, outcome
    assert page.get(case.name) == SERVED_AS[outcome.served], outcome.reasons
