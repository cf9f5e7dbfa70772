"""XGBoost, LightGBM and CatBoost, alone and as steps of scikit-learn models; a user's own ONNX graph."""

# ruff: noqa: E501  a case a line: it reads as a table

import sklearn.calibration as cal
import sklearn.ensemble as ens
import sklearn.impute as imp
import sklearn.linear_model as lm
import sklearn.model_selection as ms
import sklearn.pipeline as pipe

from suite.case import Case
from suite.data import categorical, complete, floats, gaps, mixed, numbers, positive
from suite.preparing import coded, columns, filled, scaled

SMALL = {"n_estimators": 15, "max_depth": 4, "random_state": 0, "n_jobs": 1}
LEAVES = {"n_estimators": 15, "num_leaves": 15, "random_state": 0, "n_jobs": 1, "verbose": -1}
CATS = {
    "iterations": 15,
    "depth": 4,
    "random_seed": 0,
    "thread_count": 1,
    "verbose": False,
    "allow_writing_files": False,
}


def _xgb(name, **options):
    import xgboost

    return getattr(xgboost, name)(**{**SMALL, **options})


def _lgbm(name, **options):
    import lightgbm

    return getattr(lightgbm, name)(**{**LEAVES, **options})


def _cat(name, **options):
    import catboost

    return getattr(catboost, name)(**{**CATS, **options})


def _booster(model, frame, y):
    """XGBoost's own interface."""
    import xgboost

    return xgboost.train({"max_depth": 3, "nthread": 1, "seed": 0}, xgboost.DMatrix(frame, y), 10)


def _gbm(model, frame, y):
    """LightGBM's own interface."""
    import lightgbm

    return lightgbm.train({"num_leaves": 7, "verbose": -1, "num_threads": 1}, lightgbm.Dataset(frame, y), 10)


def _with_text(model, frame, y):
    """CatBoost with text as it is."""
    return model.fit(frame, y, cat_features=["plan", "city"])


def _on_integers(model, frame, y):
    """XGBoost and LightGBM take labels from 0 on; which label stands for which class is the caller's."""
    import numpy as np

    return model.fit(frame, np.unique(y, return_inverse=True)[1])


# fmt: off
boosters = [
    Case("XGBClassifier, three classes", numbers, "integers", lambda: _xgb("XGBClassifier"), "xgboost", fit=_on_integers),
    Case("XGBClassifier, missing values", gaps, "yes/no", lambda: _xgb("XGBClassifier"), "xgboost"),
    Case("XGBClassifier, categories", categorical, "yes/no", lambda: _xgb("XGBClassifier", enable_categorical=True), "xgboost"),
    Case("XGBRegressor", gaps, "number", lambda: _xgb("XGBRegressor"), "xgboost"),
    Case("XGBRegressor, DART, Poisson", positive, "count", lambda: _xgb("XGBRegressor", booster="dart", objective="count:poisson"), "xgboost"),
    Case("XGBRFRegressor", numbers, "number", lambda: _xgb("XGBRFRegressor"), "xgboost"),
    Case("xgboost.Booster", numbers, "number", lambda: None, "xgboost", fit=_booster),
    Case("XGBClassifier in columns", mixed, "two", lambda: columns(_xgb("XGBClassifier")), fit=_on_integers),
    Case("XGBRegressor behind ordinal codes", mixed, "number", lambda: coded(_xgb("XGBRegressor"))),
    Case("XGBRegressor in a search", numbers, "number", lambda: ms.GridSearchCV(_xgb("XGBRegressor"), {"max_depth": [2, 3]}, cv=2)),
    Case("LGBMClassifier, three classes", numbers, "text", lambda: _lgbm("LGBMClassifier"), "lightgbm"),
    Case("LGBMClassifier, missing values", gaps, "two", lambda: _lgbm("LGBMClassifier"), "lightgbm"),
    Case("LGBMClassifier, categories", categorical, "integers", lambda: _lgbm("LGBMClassifier"), "lightgbm"),
    Case("LGBMRegressor", gaps, "number", lambda: _lgbm("LGBMRegressor"), "lightgbm"),
    Case("LGBMRegressor, linear leaves", floats, "number", lambda: _lgbm("LGBMRegressor", linear_tree=True), "lightgbm"),
    Case("lightgbm.Booster", numbers, "number", lambda: None, "lightgbm", fit=_gbm),
    Case("LGBMClassifier in columns", mixed, "text", lambda: columns(_lgbm("LGBMClassifier"))),
    Case("LGBMRegressor, calibrated target", gaps, "number", lambda: filled(_lgbm("LGBMRegressor"))),
    Case("CatBoostClassifier, three classes", numbers, "text", lambda: _cat("CatBoostClassifier"), "catboost"),
    Case("CatBoostClassifier, missing values", gaps, "yes/no", lambda: _cat("CatBoostClassifier"), "catboost"),
    Case("CatBoostClassifier, text", complete, "two", lambda: _cat("CatBoostClassifier"), "catboost", fit=_with_text),
    Case("CatBoostRegressor", gaps, "number", lambda: _cat("CatBoostRegressor"), "catboost"),
    Case("CatBoostRegressor in columns", mixed, "number", lambda: columns(_cat("CatBoostRegressor"))),
    Case("VotingClassifier of all three", numbers, "two", lambda: ens.VotingClassifier([("x", _xgb("XGBClassifier")), ("l", _lgbm("LGBMClassifier")), ("c", _cat("CatBoostClassifier"))], voting="soft")),
    Case("StackingRegressor of two", numbers, "number", lambda: ens.StackingRegressor([("x", _xgb("XGBRegressor")), ("l", _lgbm("LGBMRegressor"))], lm.Ridge(), cv=2)),
    Case("CalibratedClassifierCV of LightGBM", gaps, "two", lambda: cal.CalibratedClassifierCV(_lgbm("LGBMClassifier"), cv=2)),
    Case("LGBMRegressor behind an imputer", gaps, "number", lambda: pipe.make_pipeline(imp.SimpleImputer(add_indicator=True), _lgbm("LGBMRegressor"))),
]
# fmt: on


def _graph(model, frame, y):
    """A pipeline as skl2onnx converts it with its defaults: what a user exports."""
    from skl2onnx import to_onnx

    fitted = model.fit(frame.to_numpy(dtype="float32"), y)
    options = {id(fitted): {"zipmap": False}} if hasattr(fitted, "predict_proba") else None
    return to_onnx(fitted, frame.to_numpy(dtype="float32")[:1], options=options)


# fmt: off
graphs = [
    Case("ONNX, LogisticRegression by skl2onnx", floats, "integers", lambda: scaled(lm.LogisticRegression()), "onnx", fit=_graph),
    Case("ONNX, RandomForestRegressor by skl2onnx", floats, "number", lambda: ens.RandomForestRegressor(10, random_state=0), "onnx", fit=_graph),
]
# fmt: on
