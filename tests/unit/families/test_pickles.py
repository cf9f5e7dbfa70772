"""Boosting models as people save them most: pickled, alone or by joblib, the wrapper or the Booster inside."""

import pickle
from pathlib import Path

import catboost
import joblib
import lightgbm
import numpy as np
import pytest
import xgboost
from tests.partly import partly_slow

from aweigh.packing.source import open_model

MODELS = {
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=5, n_jobs=1),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1),
    "catboost": lambda: catboost.CatBoostClassifier(
        iterations=5, thread_count=1, verbose=False, allow_writing_files=False
    ),
}


@pytest.mark.parametrize("library", MODELS)
@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("compress", partly_slow(0, slow=[3]))
def test_a_pickle_is_the_model_that_was_saved(tried, numbers, score, tmp_path: Path, library, inner, compress):
    model = MODELS[library]().fit(numbers, np.digitize(score, np.quantile(score, [0.4, 0.7])))
    if inner:
        model = {"xgboost": lambda: model.get_booster(), "lightgbm": lambda: model.booster_}.get(
            library, lambda: model
        )()
    path = tmp_path / "model.joblib"
    joblib.dump(model, path, compress=compress)
    source = open_model(path, tell=lambda _step, _text: None)
    assert source.family == library
    trial = tried(library, source.model, numbers)
    assert trial.agrees("onnx")
    assert (trial.asked.answers.probabilities == tried(library, model, numbers).asked.answers.probabilities).all()
    # Read again, the same file gives the same bytes to serve.
    again = tried(library, open_model(path, tell=lambda _step, _text: None).model, numbers)
    assert trial.forms[library].data == again.forms[library].data
    assert trial.forms["onnx"].data == again.forms["onnx"].data


def test_a_plain_pickle(tried, numbers, score, tmp_path: Path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(MODELS["xgboost"]().fit(numbers, (score > np.median(score)).astype(int))))
    source = open_model(path, tell=lambda _step, _text: None)
    assert source.family == "xgboost"
    assert tried("xgboost", source.model, numbers).agrees("onnx")
