"""scikit-learn's classifiers and regressors, alone and behind a preparation."""

# ruff: noqa: E501  a case a line: it reads as a table

import sklearn.calibration as cal
import sklearn.cross_decomposition as cross
import sklearn.discriminant_analysis as da
import sklearn.dummy as dummy
import sklearn.ensemble as ens
import sklearn.gaussian_process as gp
import sklearn.isotonic as iso
import sklearn.kernel_ridge as kr
import sklearn.linear_model as lm
import sklearn.naive_bayes as nb
import sklearn.neighbors as nn
import sklearn.neural_network as net
import sklearn.svm as svm
import sklearn.tree as tree
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  makes HalvingGridSearchCV importable

from suite.case import Case
from suite.data import categorical, floats, gaps, mixed, numbers, objects, one, positive, wide
from suite.data import coded as codes
from suite.preparing import coded, columns, filled, scaled

# fmt: off
linear = [
    Case("LogisticRegression", numbers, "text", lambda: scaled(lm.LogisticRegression())),
    Case("LogisticRegression, two classes, columns", mixed, "yes/no", lambda: columns(lm.LogisticRegression())),
    Case("LogisticRegression without column names", floats, "integers", lambda: lm.LogisticRegression(), array=True),
    Case("LogisticRegression, None for missing text", objects, "two", lambda: columns(lm.LogisticRegression())),
    Case("LogisticRegression, a thousand columns", wide, "signs", lambda: lm.LogisticRegression(max_iter=50), slow=True),
    Case("LogisticRegressionCV", floats, "signs", lambda: lm.LogisticRegressionCV(cv=3, use_legacy_attributes=False)),
    Case("RidgeClassifier", mixed, "text", lambda: columns(lm.RidgeClassifier())),
    Case("SGDClassifier, log loss", numbers, "floats", lambda: scaled(lm.SGDClassifier(loss="log_loss", random_state=0))),
    Case("SGDClassifier, hinge", numbers, "text", lambda: scaled(lm.SGDClassifier(random_state=0))),
    Case("SGDClassifier, modified Huber", numbers, "two", lambda: scaled(lm.SGDClassifier(loss="modified_huber", random_state=0))),
    Case("Perceptron", numbers, "integers", lambda: scaled(lm.Perceptron(random_state=0))),
    Case("PassiveAggressiveClassifier", numbers, "signs", lambda: scaled(lm.SGDClassifier(loss="squared_hinge", random_state=0))),
    Case("LinearRegression", numbers, "number", lambda: lm.LinearRegression()),
    Case("LinearRegression, columns", mixed, "number", lambda: columns(lm.LinearRegression())),
    Case("LinearRegression, one column", one, "number", lambda: lm.LinearRegression()),
    Case("LinearRegression, three targets", floats, "numbers", lambda: lm.LinearRegression()),
    Case("Ridge", mixed, "number", lambda: columns(lm.Ridge())),
    Case("RidgeCV", numbers, "number", lambda: scaled(lm.RidgeCV())),
    Case("Lasso", numbers, "number", lambda: scaled(lm.Lasso(0.1))),
    Case("ElasticNetCV", floats, "number", lambda: lm.ElasticNetCV(cv=3)),
    Case("Lars", floats, "number", lambda: lm.Lars()),
    Case("BayesianRidge", numbers, "number", lambda: scaled(lm.BayesianRidge())),
    Case("HuberRegressor", numbers, "number", lambda: scaled(lm.HuberRegressor())),
    Case("QuantileRegressor", floats, "number", lambda: lm.QuantileRegressor(alpha=0.01)),
    Case("TheilSenRegressor", floats, "number", lambda: lm.TheilSenRegressor(random_state=0, max_subpopulation=200)),
    Case("RANSACRegressor", floats, "number", lambda: lm.RANSACRegressor(random_state=0)),
    Case("SGDRegressor", numbers, "number", lambda: scaled(lm.SGDRegressor(random_state=0))),
    Case("PoissonRegressor", positive, "count", lambda: lm.PoissonRegressor()),
    Case("GammaRegressor", positive, "positive", lambda: lm.GammaRegressor()),
    Case("TweedieRegressor", positive, "count", lambda: lm.TweedieRegressor(power=1.5)),
    Case("MultiTaskLasso", floats, "numbers", lambda: lm.MultiTaskLasso(alpha=0.1)),
    Case("PLSRegression", floats, "number", lambda: cross.PLSRegression(2)),
    Case("PLSRegression, three targets", floats, "numbers", lambda: cross.PLSRegression(2)),
    Case("IsotonicRegression", one, "number", lambda: iso.IsotonicRegression(out_of_bounds="clip")),
    Case("DummyClassifier", numbers, "text", lambda: dummy.DummyClassifier(strategy="prior")),
    Case("DummyRegressor", numbers, "number", lambda: dummy.DummyRegressor(strategy="median")),
]
# fmt: on

# fmt: off
vectors = [
    Case("SVC", numbers, "text", lambda: scaled(svm.SVC())),
    Case("SVC with probabilities", numbers, "text", lambda: scaled(svm.SVC(probability=True, random_state=0))),
    Case("SVC with probabilities, two classes", floats, "two", lambda: svm.SVC(probability=True, random_state=0)),
    Case("SVC, two classes, columns", mixed, "two", lambda: columns(svm.SVC())),
    Case("SVC, polynomial", floats, "signs", lambda: svm.SVC(kernel="poly", degree=2)),
    Case("SVC, one against one", floats, "integers", lambda: svm.SVC(decision_function_shape="ovo")),
    Case("NuSVC", floats, "text", lambda: svm.NuSVC(nu=0.2)),
    Case("LinearSVC", numbers, "text", lambda: scaled(svm.LinearSVC())),
    Case("LinearSVC, two classes", floats, "yes/no", lambda: svm.LinearSVC()),
    Case("SVR", numbers, "number", lambda: scaled(svm.SVR(C=100))),
    Case("NuSVR", floats, "number", lambda: svm.NuSVR(C=10)),
    Case("LinearSVR", floats, "number", lambda: svm.LinearSVR(random_state=0)),
    Case("KernelRidge", floats, "number", lambda: kr.KernelRidge(kernel="rbf", alpha=0.1)),
    Case("GaussianProcessRegressor", floats, "number", lambda: gp.GaussianProcessRegressor(alpha=0.1, normalize_y=True)),
    Case("GaussianProcessClassifier", floats, "two", lambda: gp.GaussianProcessClassifier()),
]
# fmt: on

# fmt: off
trees = [
    Case("DecisionTreeClassifier", numbers, "text", lambda: tree.DecisionTreeClassifier(random_state=0)),
    Case("DecisionTreeClassifier, missing values", gaps, "signs", lambda: tree.DecisionTreeClassifier(random_state=0)),
    Case("DecisionTreeRegressor", numbers, "number", lambda: tree.DecisionTreeRegressor(random_state=0)),
    Case("DecisionTreeRegressor, three targets", floats, "numbers", lambda: tree.DecisionTreeRegressor(max_depth=6, random_state=0)),
    Case("ExtraTreeClassifier", numbers, "integers", lambda: tree.ExtraTreeClassifier(random_state=0)),
    Case("RandomForestClassifier", numbers, "text", lambda: ens.RandomForestClassifier(30, random_state=0)),
    Case("RandomForestClassifier behind a scaler", numbers, "integers", lambda: scaled(ens.RandomForestClassifier(30, random_state=0))),
    Case("RandomForestClassifier of shallow trees", numbers, "yes/no", lambda: ens.RandomForestClassifier(20, max_depth=4, random_state=0)),
    Case("RandomForestClassifier, missing values", gaps, "text", lambda: ens.RandomForestClassifier(20, random_state=0)),
    Case("RandomForestClassifier, columns", mixed, "text", lambda: columns(ens.RandomForestClassifier(30, random_state=0))),
    Case("RandomForestRegressor", numbers, "number", lambda: ens.RandomForestRegressor(30, random_state=0)),
    Case("RandomForestRegressor, columns", mixed, "number", lambda: columns(ens.RandomForestRegressor(20, random_state=0))),
    Case("RandomForestRegressor, three targets", numbers, "numbers", lambda: ens.RandomForestRegressor(10, random_state=0)),
    Case("ExtraTreesClassifier", numbers, "text", lambda: ens.ExtraTreesClassifier(30, random_state=0)),
    Case("ExtraTreesRegressor", gaps, "number", lambda: filled(ens.ExtraTreesRegressor(20, random_state=0))),
    Case("GradientBoostingClassifier", numbers, "text", lambda: ens.GradientBoostingClassifier(n_estimators=20, random_state=0)),
    Case("GradientBoostingClassifier, two classes", mixed, "yes/no", lambda: columns(ens.GradientBoostingClassifier(n_estimators=20, random_state=0))),
    Case("GradientBoostingRegressor", numbers, "number", lambda: ens.GradientBoostingRegressor(n_estimators=20, random_state=0)),
    Case("GradientBoostingRegressor, Huber loss", numbers, "number", lambda: ens.GradientBoostingRegressor(loss="huber", n_estimators=20, random_state=0)),
    Case("HistGradientBoostingClassifier", gaps, "text", lambda: ens.HistGradientBoostingClassifier(max_iter=10, random_state=0)),
    Case("HistGradientBoostingClassifier, two classes, columns", mixed, "two", lambda: columns(ens.HistGradientBoostingClassifier(max_iter=10, random_state=0))),
    Case("HistGradientBoostingClassifier, pandas' categories", categorical, "text", lambda: ens.HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=10, random_state=0)),
    Case("HistGradientBoostingRegressor, categories by name", codes, "number", lambda: ens.HistGradientBoostingRegressor(categorical_features=["shop", "code"], max_iter=15, random_state=0)),
    Case("HistGradientBoostingClassifier, categories by place", codes, "yes/no", lambda: ens.HistGradientBoostingClassifier(categorical_features=[5, 6], max_iter=15, random_state=0), array=True),
    Case("HistGradientBoostingClassifier, ordinal codes", mixed, "integers", lambda: coded(ens.HistGradientBoostingClassifier(max_iter=10, random_state=0))),
    Case("HistGradientBoostingRegressor", numbers, "number", lambda: ens.HistGradientBoostingRegressor(max_iter=15, random_state=0)),
    Case("HistGradientBoostingRegressor, missing values", gaps, "number", lambda: ens.HistGradientBoostingRegressor(max_iter=15, random_state=0)),
    Case("HistGradientBoostingRegressor, Poisson", positive, "count", lambda: ens.HistGradientBoostingRegressor(loss="poisson", max_iter=10, random_state=0)),
    Case("AdaBoostClassifier", numbers, "text", lambda: ens.AdaBoostClassifier(n_estimators=10, random_state=0)),
    Case("AdaBoostClassifier, two classes", numbers, "two", lambda: ens.AdaBoostClassifier(n_estimators=10, random_state=0)),
    Case("AdaBoostRegressor", numbers, "number", lambda: ens.AdaBoostRegressor(n_estimators=10, random_state=0)),
]
# fmt: on

# fmt: off
others = [
    Case("KNeighborsClassifier", numbers, "text", lambda: scaled(nn.KNeighborsClassifier(5))),
    Case("KNeighborsClassifier, by distance", numbers, "text", lambda: scaled(nn.KNeighborsClassifier(7, weights="distance"))),
    Case("KNeighborsRegressor", floats, "number", lambda: nn.KNeighborsRegressor(4)),
    Case("RadiusNeighborsRegressor", floats, "number", lambda: nn.RadiusNeighborsRegressor(radius=30.0)),
    Case("NearestCentroid", floats, "text", lambda: nn.NearestCentroid()),
    Case("GaussianNB", numbers, "text", lambda: nb.GaussianNB()),
    Case("BernoulliNB", mixed, "two", lambda: columns(nb.BernoulliNB())),
    Case("MultinomialNB", positive, "integers", lambda: nb.MultinomialNB()),
    Case("ComplementNB", positive, "text", lambda: nb.ComplementNB()),
    Case("LinearDiscriminantAnalysis", numbers, "text", lambda: da.LinearDiscriminantAnalysis()),
    Case("QuadraticDiscriminantAnalysis", numbers, "two", lambda: da.QuadraticDiscriminantAnalysis()),
    Case("MLPClassifier", numbers, "text", lambda: scaled(net.MLPClassifier((16,), max_iter=60, random_state=0))),
    Case("MLPClassifier, two classes, columns", mixed, "yes/no", lambda: columns(net.MLPClassifier((16,), max_iter=60, random_state=0))),
    Case("MLPRegressor", numbers, "number", lambda: scaled(net.MLPRegressor(hidden_layer_sizes=(16,), max_iter=100, random_state=0))),
    Case("CalibratedClassifierCV, sigmoid", numbers, "two", lambda: cal.CalibratedClassifierCV(scaled(svm.LinearSVC()), cv=3)),
    Case("CalibratedClassifierCV, isotonic", numbers, "text", lambda: cal.CalibratedClassifierCV(ens.RandomForestClassifier(10, random_state=0), method="isotonic", cv=3)),
]
# fmt: on
