"""What holds other estimators: ensembles, searches, thresholds, selections, several targets, transformed targets."""

# ruff: noqa: E501  a case a line: it reads as a table

import numpy as np
import sklearn.compose as compose
import sklearn.ensemble as ens
import sklearn.feature_selection as fs
import sklearn.frozen as frozen
import sklearn.linear_model as lm
import sklearn.model_selection as ms
import sklearn.multiclass as mc
import sklearn.multioutput as mo
import sklearn.naive_bayes as nb
import sklearn.neighbors as nn
import sklearn.pipeline as pipe
import sklearn.preprocessing as pre
import sklearn.semi_supervised as semi
import sklearn.svm as svm
import sklearn.tree as tree
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  makes HalvingGridSearchCV importable

from suite.case import Case
from suite.data import floats, gaps, mixed, numbers
from suite.preparing import columns, filled, scaled

TWO = [("lr", lm.LogisticRegression()), ("nb", nb.GaussianNB())]
C = {"logisticregression__C": [0.1, 1.0]}


def _frozen(model, frame, y):
    inner = scaled(lm.LogisticRegression()).fit(frame, y)
    return frozen.FrozenEstimator(inner)


def _frozen_inside(model, frame, y):
    inner = ens.RandomForestClassifier(10, random_state=0).fit(frame, y)
    return ms.FixedThresholdClassifier(frozen.FrozenEstimator(inner), threshold=0.3, pos_label=True).fit(frame, y)


# fmt: off
holders = [
    Case("BaggingClassifier", numbers, "text", lambda: ens.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=5), n_estimators=8, random_state=0)),
    Case("BaggingRegressor", gaps, "number", lambda: filled(ens.BaggingRegressor(n_estimators=8, random_state=0))),
    Case("VotingClassifier, soft", numbers, "text", lambda: scaled(ens.VotingClassifier(TWO, voting="soft"))),
    Case("VotingClassifier, hard", numbers, "text", lambda: scaled(ens.VotingClassifier([*TWO, ("dt", tree.DecisionTreeClassifier(max_depth=3, random_state=0))]))),
    Case("VotingClassifier, hard, labels 3, 1, 7", mixed, "integers", lambda: columns(ens.VotingClassifier([*TWO, ("dt", tree.DecisionTreeClassifier(max_depth=3, random_state=0))]))),
    Case("VotingRegressor", numbers, "number", lambda: ens.VotingRegressor([("lr", lm.Ridge()), ("dt", tree.DecisionTreeRegressor(max_depth=4, random_state=0))])),
    Case("StackingClassifier", numbers, "text", lambda: scaled(ens.StackingClassifier(TWO, lm.LogisticRegression(), cv=3))),
    Case("StackingClassifier, two classes, passthrough", mixed, "yes/no", lambda: columns(ens.StackingClassifier(TWO, lm.LogisticRegression(), cv=3, passthrough=True))),
    Case("StackingRegressor", numbers, "number", lambda: scaled(ens.StackingRegressor([("a", lm.Ridge()), ("b", nn.KNeighborsRegressor())], lm.Ridge(), cv=3))),
    Case("GridSearchCV", numbers, "two", lambda: ms.GridSearchCV(scaled(lm.LogisticRegression()), C, cv=3)),
    Case("RandomizedSearchCV in a pipeline", mixed, "text", lambda: columns(ms.RandomizedSearchCV(ens.RandomForestClassifier(10, random_state=0), {"max_depth": [3, 5]}, n_iter=2, cv=2, random_state=0))),
    Case("HalvingGridSearchCV", numbers, "signs", lambda: ms.HalvingGridSearchCV(scaled(lm.LogisticRegression()), C, cv=2, random_state=0)),
    Case("FrozenEstimator", numbers, "text", lambda: None, fit=_frozen),
    Case("TunedThresholdClassifierCV", numbers, "yes/no", lambda: ms.TunedThresholdClassifierCV(scaled(lm.LogisticRegression()), cv=3)),
    Case("FixedThresholdClassifier", numbers, "yes/no", lambda: None, fit=_frozen_inside),
    Case("TransformedTargetRegressor, logarithm", numbers, "number", lambda: compose.TransformedTargetRegressor(lm.LinearRegression(), func=np.log1p, inverse_func=np.expm1, check_inverse=False)),
    Case("TransformedTargetRegressor, scaler", mixed, "number", lambda: compose.TransformedTargetRegressor(columns(lm.Ridge()), transformer=pre.StandardScaler())),
    Case("RFE", floats, "text", lambda: fs.RFE(lm.LogisticRegression(), n_features_to_select=2)),
    Case("RFECV, a regressor", floats, "number", lambda: fs.RFECV(lm.Ridge(), cv=3)),
    Case("SelectKBest", numbers, "text", lambda: pipe.make_pipeline(fs.SelectKBest(k=3), lm.LogisticRegression(max_iter=300))),
    Case("SelectFromModel", mixed, "number", lambda: columns(pipe.make_pipeline(fs.SelectFromModel(lm.Lasso(0.5)), tree.DecisionTreeRegressor(max_depth=5, random_state=0)))),
    Case("VarianceThreshold", numbers, "two", lambda: pipe.make_pipeline(fs.VarianceThreshold(0.3), nb.GaussianNB())),
    Case("OneVsRestClassifier", numbers, "text", lambda: scaled(mc.OneVsRestClassifier(lm.LogisticRegression()))),
    Case("OneVsOneClassifier", numbers, "text", lambda: scaled(mc.OneVsOneClassifier(svm.LinearSVC()))),
    Case("OutputCodeClassifier", floats, "text", lambda: mc.OutputCodeClassifier(lm.LogisticRegression(), random_state=0)),
    Case("MultiOutputRegressor", floats, "numbers", lambda: mo.MultiOutputRegressor(lm.Ridge())),
    Case("RegressorChain", floats, "numbers", lambda: mo.RegressorChain(lm.Ridge())),
    Case("SelfTrainingClassifier", floats, "integers", lambda: semi.SelfTrainingClassifier(nb.GaussianNB())),
    Case("FeatureUnion", floats, "number", lambda: pipe.make_pipeline(pipe.make_union(pre.StandardScaler(), pre.PolynomialFeatures(2)), lm.Ridge())),
]
# fmt: on
