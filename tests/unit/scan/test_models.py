"""Ordinary models pass, are listed whole, and come out of loading as they went in."""

import io
import pickle
import pickletools
import re
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

from aweigh.errors import MissingExtra, UnreadableModel, UntrustedModel, UsageError
from aweigh.models.scan import (
    FAMILIES,
    Scan,
    check,
    load_trusted,
    load_trusted_bytes,
    scan_bytes,
    trusted_calls,
    trusted_names,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
Y = np.arange(80) % 3
LABELS = np.array(["low", "middle", "high"], dtype=object)[Y]
NUMBERS = X.sum(axis=1)
TEXTS = ["a ship is aweigh", "its anchor", "has left the sea-bed", "over"] * 20
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": np.array(["x", "y"], dtype=object)[np.arange(80) % 2]})
FRAME.loc[::7, "a"] = np.nan
FRAME.loc[::9, "c"] = None
CATEGORIES = pd.DataFrame({"a": X[:, 0], "c": pd.Categorical(["x", "y"] * 40)})


def table_pipeline(columns):
    numbers = make_pipeline(SimpleImputer(), StandardScaler(), FunctionTransformer(np.tanh))
    letters = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    steps = [("numbers", numbers, columns), ("letters", letters, ["c"])]
    return make_pipeline(ColumnTransformer(steps), LogisticRegression()).fit(FRAME, LABELS)


def xgboost_model():
    import xgboost

    return xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(X, Y)


def xgboost_in_a_pipeline():
    import xgboost

    return make_pipeline(StandardScaler(), xgboost.XGBRegressor(n_estimators=3, n_jobs=1)).fit(X, NUMBERS)


def lightgbm_model():
    import lightgbm

    return lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(X, LABELS)


def catboost_model():
    import catboost

    return catboost.CatBoostRegressor(iterations=3, verbose=0, allow_writing_files=False, thread_count=1).fit(
        X, NUMBERS
    )


def search():
    scaled = make_pipeline(StandardScaler(), SVC())
    options = {"svc__C": [0.1, 1], "svc__kernel": ["rbf", "linear"]}
    return GridSearchCV(scaled, options, cv=StratifiedKFold(2), scoring="f1_macro").fit(X, Y)


MODELS = {
    "logistic regression": lambda: (LogisticRegression().fit(X, LABELS), X),
    "table, columns by name": lambda: (table_pipeline(["a", "b"]), FRAME),
    "table, columns by pandas index": lambda: (table_pipeline(FRAME.select_dtypes("number").columns), FRAME),
    "table, columns by slice": lambda: (table_pipeline(slice(0, 2)), FRAME),
    "table, columns by selector": lambda: (table_pipeline(make_column_selector(dtype_include="number")), FRAME),
    "forest": lambda: (RandomForestClassifier(5, random_state=np.random.RandomState(1)).fit(X, Y), X),
    "boosting, categories": lambda: (HistGradientBoostingClassifier(max_iter=3).fit(CATEGORIES, Y), CATEGORIES),
    "neighbours": lambda: (KNeighborsClassifier(algorithm="kd_tree", metric="manhattan").fit(X, Y), X),
    "support vectors": lambda: (make_pipeline(PCA(2), SVC()).fit(X, Y), X),
    "gradient descent": lambda: (SGDClassifier(loss="modified_huber", random_state=0).fit(X, Y), X),
    "words": lambda: (make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, Y), TEXTS),
    "search": lambda: (search(), X),
    "calibrated": lambda: (CalibratedClassifierCV(LogisticRegression(), method="isotonic", cv=2).fit(X, Y), X),
    "stack": lambda: (StackingClassifier([("a", SVC()), ("b", LogisticRegression())], cv=2).fit(X, Y), X),
    "vote": lambda: (VotingRegressor([("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=3))]).fit(X, NUMBERS), X),
    "outliers": lambda: (IsolationForest(n_estimators=5, random_state=0).fit(X), X),
    "process": lambda: (GaussianProcessRegressor(RBF() + WhiteKernel()).fit(X, NUMBERS), X),
    "unscaled codes": lambda: (
        make_pipeline(OrdinalEncoder(), Ridge()).fit(CATEGORIES[["c"]], NUMBERS),
        CATEGORIES[["c"]],
    ),
    "xgboost": lambda: (xgboost_model(), X),
    "xgboost in a pipeline": lambda: (xgboost_in_a_pipeline(), X),
    "lightgbm": lambda: (lightgbm_model(), X),
    "catboost": lambda: (catboost_model(), X),
}


# skops cannot write pandas' arrays of text.
NO_SKOPS = {"table, columns by pandas index"}


@pytest.fixture(scope="module")
def fitted():
    """Each model once, by its name."""
    made = {}

    def one(name):
        if name not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[name] = MODELS[name]()
        return made[name]

    return one


def joblib_bytes(model, **options):
    file = io.BytesIO()
    joblib.dump(model, file, **options)
    return file.getvalue()


def names_that_loading_asks_for(data):
    """What the real unpickler of joblib imports."""

    seen = set()

    class Spy(joblib.numpy_pickle.NumpyUnpickler):
        def find_class(self, module, name):
            seen.add(f"{module}.{name}")
            return super().find_class(module, name)

    Spy("", io.BytesIO(data), ensure_native_byte_order=True).load()
    return seen


@pytest.mark.parametrize("name", MODELS)
def test_an_ordinary_model_passes_and_comes_out_as_it_went_in(name, fitted, tmp_path):
    model, rows = fitted(name)
    expected = model.predict(rows)
    path = tmp_path / "model"
    writers = {
        f"joblib {protocol}": lambda protocol=protocol: joblib_bytes(model, protocol=protocol) for protocol in range(6)
    }
    writers |= {f"pickle {protocol}": lambda protocol=protocol: pickle.dumps(model, protocol) for protocol in range(6)}
    if name not in NO_SKOPS:
        writers["skops 2"] = lambda: skops.io.dumps(model)
    for writer, write in writers.items():
        path.write_bytes(write())
        found = check(path)
        assert found.unreadable is None, writer
        assert found.names == tuple(sorted(found.names)), writer
        assert f"{type(model).__module__}.{type(model).__qualname__}" in found.names, writer
        loaded = load_trusted(path)
        assert type(loaded) is type(model), writer
        np.testing.assert_array_equal(loaded.predict(rows), expected, writer)
    assert found.families[0] == "sklearn"


@pytest.mark.parametrize("name", MODELS)
def test_the_names_are_those_that_loading_asks_for(name, fitted):
    data = joblib_bytes(fitted(name)[0])
    assert set(scan_bytes(data).names) == names_that_loading_asks_for(data)


@pytest.mark.parametrize(
    ("compress", "compression"),
    [(3, "zlib"), (("gzip", 9), "gzip"), (("bz2", 1), "bz2"), (("lzma", 1), "lzma"), (("xz", 6), "xz"), (0, None)],
)
def test_every_compression_of_joblib_is_read(compress, compression, fitted, tmp_path):
    model, rows = fitted("forest")
    path = tmp_path / "model.joblib"
    joblib.dump(model, path, compress=compress)
    found = check(path)
    assert (found.format, found.compression, found.size_bytes) == ("joblib", compression, path.stat().st_size)
    np.testing.assert_array_equal(load_trusted(path).predict_proba(rows), model.predict_proba(rows))


VALUES = {
    "rows": np.arange(6).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "one number": np.array(2.5),
    "none": np.empty((0, 3)),
    "the other byte order": np.arange(4, dtype=">i4"),
    "complex": np.array([1 + 2j]),
    "objects": np.array(["a", None, 1.5, np.float32(2)], dtype=object),
    "no objects": np.array([], dtype=object),
    "texts": np.array([["ä", "b"]]),
    "masked": np.ma.masked_array([1.0, 2.0], mask=[True, False]),
    "many": np.arange(200_000.0),
    "nested": {"a": [np.eye(2), {"b": (np.ones(3), "x" * 100_000, b"y" * 100_000)}]},
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_arrays_come_out_as_joblib_reads_them(value, protocol):
    data = joblib_bytes([value, value], protocol=protocol)
    loaded, reference = load_trusted_bytes(data, "x"), joblib.load(io.BytesIO(data))
    assert pickle.dumps(loaded) == pickle.dumps(reference)
    for mine, theirs in zip(loaded, reference, strict=True):
        if isinstance(mine, np.ndarray):
            assert (mine.flags.c_contiguous, mine.flags.f_contiguous) == (
                theirs.flags.c_contiguous,
                theirs.flags.f_contiguous,
            )
            assert mine.flags.writeable
            assert mine.dtype.isnative


def test_files_of_joblib_before_1_2_are_read_though_they_are_not_aligned():
    data = joblib_bytes(np.arange(5.0), protocol=2)
    state = re.search(rb"X\x1b\x00\x00\x00numpy_array_alignment_bytesq.K\x10", data)
    end = data.index(b"b", state.end())
    padding = data[end + 1]
    old = data[: state.start()] + data[state.end() : end + 1] + data[end + 2 + padding :]
    assert load_trusted_bytes(old, "x").tolist() == [0, 1, 2, 3, 4]
    assert joblib.load(io.BytesIO(old)).tolist() == [0, 1, 2, 3, 4]


def test_another_version_of_scikit_learn_is_warned_of(fitted, tmp_path):
    path = tmp_path / "model.pkl"
    model = fitted("logistic regression")[0]
    model_version = vars(model).get("_sklearn_version") or model.__getstate__()["_sklearn_version"]
    path.write_bytes(pickle.dumps(model).replace(model_version.encode(), b"9" * len(model_version)))
    with pytest.warns(InconsistentVersionWarning):
        load_trusted(path)


def test_a_model_whose_class_is_gone_is_told_so(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(b"csklearn.linear_model._sgd_fast\nLog\n)R.")
    with pytest.raises(UnreadableModel, match="could not be loaded") as caught:
        load_trusted(path)
    assert "save it again" in caught.value.hint


def test_a_family_that_is_not_installed_is_told_so(tmp_path, monkeypatch):
    path = tmp_path / "model.pkl"
    path.write_bytes(b"ccatboost.core\nCatBoost\n)\x81.")
    monkeypatch.setitem(sys.modules, "catboost", None)
    monkeypatch.delitem(sys.modules, "catboost.core", raising=False)
    with pytest.raises((MissingExtra, UnreadableModel)):
        load_trusted(path)


def test_the_family_can_be_said(fitted, tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(fitted("xgboost")[0]))
    assert check(path, family="xgboost").families == ("sklearn", "xgboost")
    with pytest.raises(UntrustedModel, match=r"xgboost\.core\.Booster"):
        check(path, family="sklearn")
    with pytest.raises(UsageError, match="no list of names for 'torch'"):
        check(path, family="torch")


def test_the_lists_are_exact_names():
    listed = trusted_names("sklearn")
    assert len(listed) > 300
    for family in FAMILIES:
        assert trusted_names(family) >= listed
        assert trusted_calls(family) <= trusted_names(family)
        for name in trusted_names(family):
            assert re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name), name


def test_no_list_reaches_what_runs_code_or_opens_files():
    every = set().union(*map(trusted_names, FAMILIES))
    roots = {name.partition(".")[0] for name in every}
    assert roots == {
        *("_codecs", "_loss", "builtins", "collections", "copyreg", "functools", "joblib"),
        *("numpy", "pandas", "pyarrow", "scipy", "sklearn", *FAMILIES),
    }
    assert {name for name in every if name.startswith(("joblib.", "functools."))} == {
        "joblib.numpy_pickle.NumpyArrayWrapper",
        "functools.partial",
    }
    types = "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple".split()
    assert {name for name in every if name.startswith("builtins.")} == {f"builtins.{name}" for name in types}
    suspicious = re.compile(
        r"(?i)load|open|read_|fetch|eval|exec|system|memmap|fromfile|testing|import|stats|attrgetter|compile"
    )
    assert {name for name in every if suspicious.search(name)} == set()


def test_what_may_be_called_is_little():
    """A name here may be called with any arguments: whoever adds one reads what it does with them."""
    calls = set().union(*map(trusted_calls, FAMILIES))
    allowed = re.compile(
        r"_loss\.\w+|sklearn\._loss\._loss\.\w+|sklearn\.linear_model\._sgd_fast\.\w+|sklearn\.[\w.]+\.newObj"
        r"|sklearn\.tree\._tree\.Tree|sklearn\.impute\._iterative\._ImputerTriplet"
        r"|builtins\.(bytearray|bytes|complex|frozenset|range|set|slice)|collections\.(OrderedDict|defaultdict)"
        r"|_codecs\.encode|copyreg\._reconstructor|functools\.partial"
        r"|numpy\.(_core|core)\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)|numpy\.dtype"
        r"|numpy\.ma\.core\._mareconstruct|numpy\.random\._pickle\.__\w+_ctor"
        r"|numpy\.random\.bit_generator\.__pyx_unpickle_SeedSequence"
        r"|pandas\.(StringDtype|core\.indexes\.base\._new_Index|_libs\.arrays\.__pyx_unpickle_NDArrayBacked)"
        r"|pyarrow\.lib\.(_restore_array|py_buffer|type_for_alias)"
    )
    assert {name for name in calls if not allowed.fullmatch(name)} == set()


NUMBER_SETS = st.sets(st.integers(-9, 9)) | st.frozensets(st.integers(-9, 9))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | NUMBER_SETS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(-9, 9), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(PLAIN, st.integers(0, 5), st.booleans())
def test_plain_values_come_out_as_they_went_in(value, protocol, optimized):
    data = pickle.dumps(value, protocol)
    data = pickletools.optimize(data) if optimized else data
    assert load_trusted_bytes(data, "x") == value


@given(st.binary(max_size=60), st.integers(0, 5))
def test_any_bytes_get_an_answer(data, protocol):
    for head in (b"", b"\x80" + bytes([protocol]), b"PK\x03\x04", b"\x78\x9c", b"{"):
        assert isinstance(scan_bytes(head + data), Scan)


@given(st.data())
def test_any_change_of_a_model_gets_an_answer(data):
    whole = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(scan_bytes(bytes(whole)), Scan)


WHOLE = joblib_bytes(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, LABELS), protocol=4)
