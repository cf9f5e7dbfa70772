"""Boosting inside scikit-learn: pipelines, searches, voting, stacking and calibration become ONNX that agrees."""

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingRegressor, StackingClassifier, VotingClassifier, VotingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.partly import partly_slow, slow_but_for
from tests.unit.families.conftest import three

from aweigh.models.parity import prove

CAT = {"iterations": 8, "thread_count": 1, "verbose": False, "allow_writing_files": False}
CLASSIFIERS = {
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=8, n_jobs=1),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1),
    "catboost": lambda: catboost.CatBoostClassifier(**CAT),
}
REGRESSORS = {
    "xgboost": lambda: xgboost.XGBRegressor(n_estimators=8, n_jobs=1),
    "lightgbm": lambda: lightgbm.LGBMRegressor(n_estimators=8, n_jobs=1, verbose=-1),
    "catboost": lambda: catboost.CatBoostRegressor(**CAT),
}
# Each library names the columns that its converted trees ask for: none of them minds that these are arrays.
pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")


def converts(tried, model, sample):
    trial = tried("sklearn", model, sample)
    form, _ = prove(trial.family.ways(model, trial.schema), trial.asked.trial)
    assert form.runtime == "onnx"
    return form


def linear():
    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())


@pytest.mark.parametrize("library", slow_but_for(CLASSIFIERS, "xgboost"))
@pytest.mark.parametrize("sparse", partly_slow(False, slow=[True]))
def test_after_a_column_transformer(tried, mixed, mixed_score, library, sparse):
    frame = mixed.drop(columns="shop").astype({"colour": object})
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=sparse), ["colour"]),
        (StandardScaler(), ["width", "rooms"]),
        sparse_threshold=1.0 if sparse else 0.0,
    )
    converts(tried, make_pipeline(columns, CLASSIFIERS[library]()).fit(frame, three(mixed_score)), frame)


@pytest.mark.parametrize("library", REGRESSORS)
def test_scaled_money_falls_on_the_right_side(tried, numbers, score, library):
    converts(tried, make_pipeline(StandardScaler(), REGRESSORS[library]()).fit(numbers, score * 1e4), numbers)


@pytest.mark.parametrize("library", slow_but_for(CLASSIFIERS, "xgboost"))
@pytest.mark.parametrize("several", [False, True])
def test_calibrated(tried, numbers, score, library, several):
    aim = three(score) if several else (score > np.median(score)).astype(int)
    converts(tried, CalibratedClassifierCV(CLASSIFIERS[library](), cv=2).fit(numbers, aim), numbers)


@pytest.mark.parametrize("library", slow_but_for(CLASSIFIERS, "lightgbm"))
def test_voting_and_stacking(tried, numbers, score, library):
    voters = [("trees", CLASSIFIERS[library]()), ("linear", linear())]
    converts(tried, VotingClassifier(voters, voting="soft").fit(numbers, three(score)), numbers)
    converts(tried, StackingClassifier(voters, cv=2).fit(numbers, three(score)), numbers)


@pytest.mark.parametrize("library", slow_but_for(REGRESSORS, "catboost"))
def test_many_regressors_in_one(tried, numbers, score, library):
    filled = numbers.fillna(0.0)
    pair = [("trees", REGRESSORS[library]()), ("linear", Ridge())]
    converts(tried, VotingRegressor(pair).fit(filled, score), filled)
    converts(tried, BaggingRegressor(REGRESSORS[library](), 2).fit(filled, score), filled)
    converts(tried, MultiOutputRegressor(REGRESSORS[library]()).fit(filled, np.c_[score, -score]), filled)


@pytest.mark.parametrize("library", ["lightgbm", "catboost"])
def test_labels_of_text(tried, numbers, score, library):
    aim = np.array(["lo", "mid", "hi"])[three(score)]
    model = make_pipeline(StandardScaler(), CLASSIFIERS[library]()).fit(numbers, aim)
    assert converts(tried, model, numbers).runtime == "onnx"


def test_a_search_is_the_model_it_found(tried, numbers, score):
    found = GridSearchCV(CLASSIFIERS["xgboost"](), {"max_depth": [2, 3]}, cv=2).fit(numbers, three(score))
    converts(tried, found, numbers)


def test_what_was_registered_before_is_in_force_again(tried, numbers, score):
    from skl2onnx._parse import sklearn_parsers_map
    from skl2onnx._supported_operators import sklearn_operator_name_map

    sklearn_operator_name_map[xgboost.XGBClassifier] = "Mine"
    try:
        model = make_pipeline(StandardScaler(), CLASSIFIERS["xgboost"]()).fit(numbers, three(score))
        converts(tried, model, numbers)
        assert sklearn_operator_name_map[xgboost.XGBClassifier] == "Mine"
        assert xgboost.XGBClassifier not in sklearn_parsers_map
    finally:
        del sklearn_operator_name_map[xgboost.XGBClassifier]
