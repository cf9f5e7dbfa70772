"""Write the lists of names that a model of each family may import: src/aweigh/models/scan/names/*.txt.

    python tools/trusted_names.py            add what the installed versions need to the lists
    python tools/trusted_names.py --check    exit 1 and print what is missing instead

Every estimator of scikit-learn is fitted on a little data, with the options that bring classes of their own (splitters,
kernels, distances, losses, random states, pipelines, searches), and so are the models of XGBoost, LightGBM and
CatBoost. Each is dumped by joblib, pickle (protocols 0, 2 and 5) and skops; what the dumps import and call is the list.
It takes a minute or two, is run once with each version of scikit-learn that is claimed (in an environment of its own,
with `PYTHONPATH=src`), and only ever adds: files of older versions name older places. REFUSED holds what is left out
on purpose, and why. Read the difference before committing it: a name with () may be called with any arguments.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import io
import itertools
import pickle
import re
import sys
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import scipy.sparse
import sklearn
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.utils import all_estimators

from aweigh.models.scan import scan_bytes

NAMES = Path(__file__).parents[1] / "src" / "aweigh" / "models" / "scan" / "names"

# Left out although some dump holds them: each runs code of the file's choosing, or opens files.
REFUSED = {
    r"builtins\.(getattr|eval|exec|compile|open|__import__|input)": "reach or run anything",
    r"operator\..*": "reach any attribute",
    r"joblib\..*(?<!NumpyArrayWrapper)": "joblib's caches read files, its delayed calls call",
    r"scipy\.stats\..*": "distributions keep source text in their state and exec it when unpickled",
    r"sklearn\.datasets\..*": "download and open files",
    r"numpy\.(load|fromfile|memmap|genfromtxt|loadtxt|(testing|lib|ctypeslib|f2py)\..*)": "open files, run code",
    r"__main__\..*": "is something else on every machine",
}

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
POSITIVE = np.abs(X)
CLASSES = np.arange(60) % 3
BINARY = np.arange(60) % 2
NUMBERS = X @ [1.0, 2.0, 3.0, 4.0]
TEXTS = ["a ship is aweigh", "when its anchor", "has left the sea"] * 20
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": ["x", "y", "z"] * 20, "d": pd.Categorical(["p", "q"] * 30)})

# What may be fitted on, most ordinary first; the first that an estimator takes is used.
DATA = [
    (X, BINARY),
    (X, CLASSES),
    (X.astype(np.float32), CLASSES),
    (X, NUMBERS),
    (POSITIVE, NUMBERS + 20),
    (POSITIVE, BINARY),
    (X, np.c_[BINARY, CLASSES == 1].astype(int)),
    (X, np.c_[NUMBERS, NUMBERS]),
    (X[:, 0], NUMBERS),
    ((POSITIVE > 1).astype(int), BINARY),
    (TEXTS, BINARY),
    ([{"a": 1, "b": "x"}] * 60, BINARY),
    (CLASSES, None),
    ([[1, 2], [3]] * 30, None),
    (X @ X.T, BINARY),
]

MOST_FITS = 5

# What FunctionTransformer is given most often: elementwise and harmless, under each name that pickle has for it.
FUNCTIONS = (
    "abs absolute add arcsin arcsinh arctan arctanh asarray cbrt ceil clip cos cosh cumsum deg2rad"
    " degrees diff divide exp exp2 expm1 fabs floor fmax fmin hypot isfinite isinf isnan log log10 log1p"
    " log2 logical_not maximum mean minimum multiply nan_to_num negative positive power rad2deg radians"
    " ravel reciprocal rint round sign sin sinh sqrt square squeeze subtract sum tan tanh transpose trunc"
).split()
FUNCTION_HOMES = "numpy numpy._core._multiarray_umath numpy._core.umath".split()
SPECIAL_HOMES = "scipy.special scipy.special._ufuncs".split()
SPECIAL = "expit logit log1p expm1 cbrt erf gammaln boxcox boxcox1p inv_boxcox inv_boxcox1p xlogy".split()
# Classes that are given as an option (dtype=...) or met as such in a dump.
CLASSES_AS_VALUES = (
    "builtins.bool builtins.bytes builtins.complex builtins.dict builtins.float builtins.frozenset"
    " builtins.int builtins.list builtins.object builtins.set builtins.str builtins.tuple numpy.bool"
    " numpy.bool_ numpy.bytes_ numpy.complex128 numpy.complex64 numpy.datetime64 numpy.float16"
    " numpy.float32 numpy.float64 numpy.int16 numpy.int32 numpy.int64 numpy.int8 numpy.intc"
    " numpy.longdouble numpy.longlong numpy.object_ numpy.str_ numpy.timedelta64 numpy.uint16 numpy.uint32"
    " numpy.uint64 numpy.uint8 numpy.uintc numpy.ulonglong"
).split()


def installed(*packages: str) -> list[str]:
    """Name and version of each package, for the heads of the lists."""
    return [f"{name} {importlib.metadata.version(name)}" for name in packages]


def is_installed(package: str) -> bool:
    """Whether a distribution of this name is installed."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def fitted(model: object) -> list[object]:
    """The model, fitted on the first five of the data that it takes."""
    done = []
    for features, answers in DATA:
        try:
            made = sklearn.base.clone(model)
            done.append(made.fit(features) if answers is None else made.fit(features, answers))
        except Exception:  # noqa: BLE001, S112  (whatever an estimator says, the next data may do)
            continue
        if len(done) == MOST_FITS:
            break
    return done


def every_estimator() -> Iterator[object]:
    """Each estimator of scikit-learn with its defaults, the composed ones around a simple one."""
    from sklearn.linear_model import LogisticRegression, Ridge

    for name, cls in all_estimators():
        made = []
        for arguments in (
            {},
            {"estimator": LogisticRegression()},
            {"estimator": Ridge()},
            {"estimators": [("a", LogisticRegression()), ("b", LogisticRegression(C=2))]},
            {"estimators": [("a", Ridge()), ("b", Ridge(alpha=2))]},
            {"estimator": LogisticRegression(), "param_grid": {"C": [1, 2]}},
            {"estimator": LogisticRegression(), "param_distributions": {"C": [1, 2]}},
            {"transformer_list": [("a", sklearn.preprocessing.StandardScaler())]},
            {"transformers": [("a", sklearn.preprocessing.StandardScaler(), slice(0, 2))]},
            {"steps": [("a", LogisticRegression())]},
            {"dictionary": np.eye(4)},
            {"base_estimator": LogisticRegression()},
            {"n_components": 2},
        ):
            try:
                made.append(cls(**arguments))
            except TypeError:
                continue
        done = [model for candidate in made for model in fitted(candidate)]
        if not done:
            print(f"not fitted: {name}", file=sys.stderr)
        yield from done or made[:1]


def sklearn_options() -> Iterator[object]:
    """Models with the options that bring classes of their own."""
    from sklearn import (
        calibration,
        cluster,
        covariance,
        decomposition,
        ensemble,
        feature_extraction,
        feature_selection,
        gaussian_process,
        impute,
        isotonic,
        linear_model,
        metrics,
        model_selection,
        multiclass,
        naive_bayes,
        neighbors,
        preprocessing,
        svm,
        tree,
    )

    for criterion in ("gini", "entropy", "log_loss"):
        for splitter in ("best", "random"):
            yield tree.DecisionTreeClassifier(criterion=criterion, splitter=splitter)
            yield ensemble.ExtraTreesClassifier(3, criterion=criterion)
    for criterion in ("squared_error", "friedman_mse", "absolute_error", "poisson"):
        yield tree.DecisionTreeRegressor(criterion=criterion)
    for loss in ("log_loss", "exponential"):
        yield ensemble.GradientBoostingClassifier(loss=loss, n_estimators=2)
        yield ensemble.GradientBoostingClassifier(loss=loss, n_estimators=2, init="zero")
    for loss in ("squared_error", "absolute_error", "huber", "quantile"):
        yield ensemble.GradientBoostingRegressor(loss=loss, n_estimators=2)
    for loss in ("squared_error", "absolute_error", "gamma", "poisson", "quantile"):
        options = {"quantile": 0.5} if loss == "quantile" else {}
        yield ensemble.HistGradientBoostingRegressor(loss=loss, max_iter=2, **options)
    yield ensemble.HistGradientBoostingClassifier(max_iter=2, early_stopping=True, scoring="accuracy")
    for loss in (
        "hinge log_loss modified_huber squared_hinge perceptron squared_error huber epsilon_insensitive"
        " squared_epsilon_insensitive"
    ).split():
        yield linear_model.SGDClassifier(loss=loss)
    for loss in ("squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive"):
        yield linear_model.SGDRegressor(loss=loss)
    for solver in ("lbfgs", "newton-cholesky"):
        yield linear_model.PoissonRegressor(solver=solver)
        yield linear_model.GammaRegressor(solver=solver)
    for power in (0, 1, 1.5, 2, 3):
        for link in ("identity", "log"):
            yield linear_model.TweedieRegressor(power=power, link=link)
    for algorithm in ("ball_tree", "kd_tree", "brute"):
        for metric in (
            "euclidean manhattan chebyshev minkowski hamming canberra braycurtis cosine haversine jaccard dice"
            " rogerstanimoto russellrao sokalmichener sokalsneath yule l1 l2 cityblock p infinity seuclidean"
            " mahalanobis nan_euclidean correlation"
        ).split():
            for cls in (neighbors.NearestNeighbors, neighbors.KNeighborsClassifier, neighbors.KernelDensity):
                try:
                    yield cls(algorithm=algorithm, metric=metric)
                except (TypeError, ValueError):
                    continue
            yield from (
                neighbors.KNeighborsRegressor(algorithm=algorithm, metric=metric, metric_params={"V": np.ones(4)}),
                neighbors.KNeighborsRegressor(algorithm=algorithm, metric=metric, metric_params={"VI": np.eye(4)}),
                neighbors.KNeighborsRegressor(algorithm=algorithm, metric=metric, metric_params={"w": np.ones(4)}),
            )
    kernels = gaussian_process.kernels
    for kernel in (
        kernels.RBF() + kernels.WhiteKernel(),
        kernels.ConstantKernel() * kernels.Matern(nu=1.5),
        kernels.RationalQuadratic() ** 2,
        kernels.ExpSineSquared(),
        kernels.DotProduct(),
        kernels.PairwiseKernel(metric="rbf"),
    ):
        yield gaussian_process.GaussianProcessRegressor(kernel)
        yield gaussian_process.GaussianProcessClassifier(kernel)
    yield gaussian_process.GaussianProcessClassifier(kernels.CompoundKernel([kernels.RBF(), kernels.RBF()]))
    for kernel in ("linear", "poly", "rbf", "sigmoid"):
        yield svm.SVC(kernel=kernel, probability=False)
        yield decomposition.KernelPCA(kernel=kernel)
    splitters = [
        getattr(model_selection, name)
        for name in dir(model_selection)
        if isinstance(getattr(model_selection, name), type) and hasattr(getattr(model_selection, name), "split")
    ]
    for splitter in splitters:
        for arguments in ({}, {"p": 2}, {"test_fold": CLASSES}, {"n_splits": 2}):
            try:
                made = splitter(**arguments)
            except TypeError:
                continue
            yield linear_model.RidgeCV(cv=made)
            yield model_selection.GridSearchCV(linear_model.Ridge(), {"alpha": [1, 2]}, cv=made)
            yield made
    for scorer in metrics.get_scorer_names():
        yield metrics.get_scorer(scorer)
    for function in dir(metrics):
        if function.endswith(("_score", "_loss", "_error", "_deviance", "_distances", "_kernel", "_similarity")):
            yield getattr(metrics, function)
            yield metrics.make_scorer(getattr(metrics, function))
    for function in dir(metrics.pairwise):
        if function.endswith(("_distances", "_kernel", "_similarity")) and not function.startswith("_"):
            yield getattr(metrics.pairwise, function)
    for (
        function
    ) in "f_classif f_regression chi2 mutual_info_classif mutual_info_regression f_oneway r_regression".split():
        yield feature_selection.SelectKBest(getattr(feature_selection, function), k=2)
    for (
        function
    ) in "scale minmax_scale maxabs_scale robust_scale normalize binarize quantile_transform power_transform".split():
        yield preprocessing.FunctionTransformer(getattr(preprocessing, function))
    yield calibration.CalibratedClassifierCV(linear_model.LogisticRegression(), method="isotonic")
    yield calibration.CalibratedClassifierCV(svm.LinearSVC(), method="sigmoid", ensemble=False)
    yield calibration.CalibratedClassifierCV(linear_model.LogisticRegression(), method="temperature")
    yield isotonic.IsotonicRegression(out_of_bounds="clip")
    yield impute.KNNImputer(add_indicator=True)
    yield impute.IterativeImputer(ensemble.RandomForestRegressor(3))
    yield covariance.EllipticEnvelope()
    yield multiclass.OneVsRestClassifier(naive_bayes.GaussianNB())
    yield multiclass.OutputCodeClassifier(svm.LinearSVC())
    yield cluster.Birch(n_clusters=cluster.AgglomerativeClustering(2))
    yield cluster.FeatureAgglomeration(2)
    yield cluster.KMeans(2, init=X[:2], n_init=1)
    yield feature_extraction.text.TfidfVectorizer(dtype=np.float32)
    yield feature_extraction.text.HashingVectorizer()
    for generator in (None, np.random.RandomState(0)):
        yield ensemble.RandomForestClassifier(3, random_state=generator)
        yield decomposition.PCA(2, random_state=generator)
        yield impute.IterativeImputer(random_state=generator)


def sklearn_tables() -> Iterator[object]:
    """Pipelines and searches over a table with columns of several types."""
    from sklearn import compose, ensemble, impute, linear_model, metrics, model_selection, pipeline, preprocessing, tree

    numbers, categories = ["a", "b"], ["c"]
    table = compose.ColumnTransformer(
        [
            ("n", pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler()), numbers),
            ("c", preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
            ("p", "passthrough", compose.make_column_selector(dtype_include="number")),
            ("d", "drop", slice(0, 1)),
            (
                "f",
                preprocessing.FunctionTransformer(np.tanh, feature_names_out="one-to-one"),
                [True, False, False, False],
            ),
        ]
    )
    for columns in (FRAME.columns[:2], FRAME.columns[:2].to_numpy(), FRAME.select_dtypes("number").columns):
        yield compose.ColumnTransformer([("n", preprocessing.StandardScaler(), columns)]).fit(FRAME)
    for encoder in (
        preprocessing.OneHotEncoder(sparse_output=False, dtype=np.float32),
        preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        preprocessing.TargetEncoder(),
    ):
        yield compose.make_column_transformer((encoder, ["c", "d"]), remainder="passthrough").fit(FRAME, BINARY)
    yield pipeline.make_pipeline(table, linear_model.LogisticRegression()).fit(FRAME, np.array(["no", "yes"])[BINARY])
    yield pipeline.make_pipeline(table, ensemble.HistGradientBoostingRegressor(max_iter=2)).fit(FRAME, NUMBERS)
    yield ensemble.HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype").fit(
        FRAME[["a", "d"]], BINARY
    )
    yield table.set_output(transform="pandas").fit(FRAME)
    search = model_selection.GridSearchCV(
        pipeline.make_pipeline(table, linear_model.LogisticRegression()),
        {"logisticregression__C": np.logspace(-1, 1, 3), "logisticregression": [linear_model.LogisticRegression()]},
        cv=2,
        scoring={"a": "accuracy", "b": metrics.make_scorer(metrics.f1_score)},
        refit="a",
    )
    yield search.fit(FRAME, BINARY)
    yield model_selection.RandomizedSearchCV(
        linear_model.LogisticRegression(), {"C": range(1, 5)}, n_iter=2, cv=model_selection.StratifiedKFold(2)
    ).fit(X, BINARY)
    yield model_selection.HalvingGridSearchCV(tree.DecisionTreeClassifier(), {"max_depth": [1, 2]}).fit(X, BINARY)


def values() -> Iterator[object]:
    """Values that models keep among their attributes."""
    for cls in (np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64):
        yield np.random.Generator(cls(0))
        yield np.random.RandomState(cls(0))
        yield cls(0)
    yield np.random.SeedSequence(1)
    for shape in ("csr", "csc", "coo", "dok", "lil", "dia", "bsr"):
        yield getattr(scipy.sparse, f"{shape}_matrix")(np.eye(3))
        yield getattr(scipy.sparse, f"{shape}_array")(np.eye(3))
    yield np.ma.masked_array([1.0, 2.0], mask=[True, False])
    yield np.ma.masked_array(["a", None], mask=[True, False], dtype=object)
    yield np.array(["2020-01-01"], dtype="M8[D]")
    yield np.array([(1, "a")], dtype=[("n", "i4"), ("o", "O")])
    yield np.array(["a", None, 1.5, b"x", np.float32(1)], dtype=object)
    yield from (np.float64(1), np.str_("a"), np.bool_(True), np.datetime64("2020-01-01"), np.longdouble(1))
    yield from (slice(1, 2), {1, 2}, frozenset([1]), OrderedDict(a=1), range(3), b"bytes", b"", bytearray(b"x"), 1 + 2j)
    yield defaultdict(int, a=1)
    yield sklearn.utils.Bunch(a=1)
    yield from (
        pd.Index(["a", "b"]),
        pd.Index(["a", "b"], dtype=object),
        pd.Index([1.5, 2]),
        pd.RangeIndex(3),
        pd.Index(["a", None]),
        pd.Index(["a", "b"], dtype=pd.StringDtype("python")),
    )


def boosted() -> dict[str, Callable[[], Iterator[object]]]:
    """The other families' models, as far as they are installed."""
    models = {"xgboost": xgboost_models, "lightgbm": lightgbm_models, "catboost": catboost_models}
    return {family: make for family, make in models.items() if importlib.util.find_spec(family)}


def xgboost_models() -> Iterator[object]:
    """XGBoost's own and its scikit-learn wrappers."""
    import xgboost

    table = FRAME[["a", "d"]]
    for cls in (xgboost.XGBClassifier, xgboost.XGBRFClassifier):
        yield cls(n_estimators=2).fit(X, CLASSES)
        yield cls(n_estimators=2, enable_categorical=True).fit(table, BINARY)
    for cls in (xgboost.XGBRegressor, xgboost.XGBRFRegressor):
        yield cls(n_estimators=2).fit(X, NUMBERS)
    stopping = xgboost.callback.EarlyStopping(2)
    yield xgboost.XGBRegressor(n_estimators=2, callbacks=[stopping]).fit(
        X, NUMBERS, eval_set=[(X, NUMBERS)], verbose=False
    )
    yield xgboost.XGBRanker(n_estimators=2).fit(X, BINARY, qid=np.zeros(60, int))
    yield xgboost.train({}, xgboost.DMatrix(X, NUMBERS), 2)


def lightgbm_models() -> Iterator[object]:
    """LightGBM's own and its scikit-learn wrappers."""
    import lightgbm

    options = {"n_estimators": 2, "verbose": -1}
    yield lightgbm.LGBMClassifier(**options).fit(X, CLASSES)
    yield lightgbm.LGBMClassifier(**options).fit(FRAME[["a", "d"]], np.array(["no", "yes"])[BINARY])
    stopping = lightgbm.early_stopping(2, verbose=False)
    yield lightgbm.LGBMRegressor(**options).fit(X, NUMBERS, eval_set=[(X, NUMBERS)], callbacks=[stopping])
    yield lightgbm.LGBMRanker(**options).fit(X, BINARY, group=[60])
    yield lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, NUMBERS), 2)


def catboost_models() -> Iterator[object]:
    """CatBoost's own, which are scikit-learn's in shape."""
    import catboost

    options = {"iterations": 2, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
    yield catboost.CatBoostClassifier(**options).fit(X, CLASSES)
    yield catboost.CatBoostClassifier(**options, cat_features=["d"]).fit(
        FRAME[["a", "d"]], np.array(["no", "yes"])[BINARY]
    )
    yield catboost.CatBoostRegressor(**options).fit(X, NUMBERS)
    yield catboost.CatBoostRanker(**options).fit(X, BINARY, group_id=np.zeros(60, int))
    yield catboost.CatBoost(options).fit(X, NUMBERS)


def dumps(model: object) -> Iterator[bytes]:
    """The model as each writer writes it, as far as it can."""
    import skops.io

    def by_joblib(protocol: int) -> bytes:
        file = io.BytesIO()
        joblib.dump(model, file, protocol=protocol)
        return file.getvalue()

    writers = [lambda protocol=protocol: pickle.dumps(model, protocol) for protocol in (0, 2, 5)]
    writers += [lambda protocol=protocol: by_joblib(protocol) for protocol in (0, 2, 5)]
    for write in [*writers, lambda: skops.io.dumps(model)]:
        try:
            yield write()
        except (TypeError, ValueError, NotImplementedError, RecursionError, pickle.PicklingError):
            # Of the values and options above some are beyond one writer or another.
            continue


def collect(models: Iterator[object]) -> tuple[set[str], set[str]]:
    """All that the dumps of these models import, and what of it they call."""
    names: set[str] = set()
    calls: set[str] = set()
    for model in models:
        for data in dumps(model):
            scan = scan_bytes(data)
            if scan.unreadable:
                print(f"not read: {type(model).__name__} ({scan.format}): {scan.unreadable}", file=sys.stderr)
                continue
            names.update(scan.names)
            calls.update(scan.calls)
    return names, calls


def by_hand() -> set[str]:
    """Names that users give to models and that no estimator brings by itself."""
    names = set(CLASSES_AS_VALUES)
    for homes, functions in ((FUNCTION_HOMES, FUNCTIONS), (SPECIAL_HOMES, SPECIAL)):
        for home in homes:
            module = importlib.import_module(home)
            names.update(f"{home}.{name}" for name in functions if hasattr(module, name))
    return names


def reviewed(names: set[str]) -> set[str]:
    """The names less those that are refused on purpose, numpy's in both spellings."""
    names = {name for name in names if not any(re.fullmatch(pattern, name) for pattern in REFUSED)}
    return names | {name.replace("numpy._core.", "numpy.core.") for name in names}


def write(family: str, names: set[str], calls: set[str], made_with: list[str], *, check: bool) -> set[str]:
    """Add to the family's list; return what was missing from it."""
    path = NAMES / f"{family}.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    old = {line for line in lines if line and not line.startswith("#")}
    callable_now = {line.removesuffix("()") for line in old if line.endswith("()")} | calls
    every = {line.removesuffix("()") for line in old} | names
    new = {f"{name}()" if name in callable_now else name for name in every}
    if not check:
        versions = {line.removeprefix("# with ") for line in lines if line.startswith("# with ")} | {
            ", ".join(made_with)
        }
        head = [
            "# Made by tools/trusted_names.py; () marks what loading may call.",
            *(f"# with {v}" for v in sorted(versions)),
        ]
        path.write_text("\n".join([*head, *sorted(new)]) + "\n", encoding="utf-8")
    return new - old


def main() -> int:
    """Collect, and write or check."""
    options = argparse.ArgumentParser(description="Write the lists of names that models may import.")
    options.add_argument("--check", action="store_true", help="only say what is missing")
    check = options.parse_args().check
    warnings.simplefilter("ignore")
    options_fitted = (
        model for made in sklearn_options() for model in (fitted(made) if hasattr(made, "fit") else [made])
    )
    names, calls = collect(itertools.chain(every_estimator(), options_fitted, sklearn_tables(), values()))
    names, calls = reviewed(names | by_hand()), reviewed(calls)
    missing = write(
        "sklearn", names, calls, installed("scikit-learn", "numpy", "scipy", "pandas", "skops"), check=check
    )
    for family, models in boosted().items():
        own_names, own_calls = (reviewed(found) - names for found in collect(models()))
        strangers = {name for name in own_names if not name.startswith(f"{family}.")}
        if strangers:
            print(f"{family} also needs {sorted(strangers)}", file=sys.stderr)
        package = next(name for name in (f"{family}-cpu", family) if is_installed(name))
        missing |= write(family, own_names, own_calls, installed(package), check=check)
    print("\n".join(sorted(missing)))
    return int(check and bool(missing))


if __name__ == "__main__":
    sys.exit(main())
