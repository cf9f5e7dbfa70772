"""scikit-learn models made ready and converted: what is unwrapped, asked of encoders, refused; and the same bytes."""

import io
import re
import subprocess
import sys
import zipfile

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, IsolationForest, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from aweigh.errors import UnsupportedModel
from aweigh.models.convert import OPSETS, graph_inputs, onnx_form, onnx_ways
from aweigh.models.prepared import NEVER_TEXT, parts_of, prepared, unwrap
from aweigh.models.sklearn_encoders import codes
from aweigh.models.sklearn_scalers import drawn_function
from aweigh.models.sklearn_vectors import pair_weights
from aweigh.models.skops_file import write_skops
from aweigh.packing.sample import open_sample
from aweigh.schema import Column, Output, Schema
from aweigh.schema.cells import RESERVED_TEXT

NUMBER = Output(task="number", name="y")
ROWS = 80


@pytest.fixture(scope="module")
def frame():
    g = np.random.default_rng(0)
    return pd.DataFrame({"a": g.normal(size=ROWS), "b": g.integers(0, 9, ROWS), "c": g.choice(["x", "y"], ROWS)})


def schema_of(frame, output=NUMBER):
    columns, _ = open_sample(frame)
    return Schema(columns=columns, output=output)


# -- made ready ------------------------------------------------------------------------------------------------------


def test_searches_and_frozen_estimators_stand_as_what_they_hold_wherever_they_are(frame):
    y = frame["c"]
    X = frame[["a", "b"]]
    search = GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, cv=2)
    frozen = FrozenEstimator(DecisionTreeClassifier(max_depth=1).fit(X, y))
    model = make_pipeline(StandardScaler(), VotingClassifier([("s", search), ("f", frozen)])).fit(X, y)
    kinds = {type(part).__name__ for part in parts_of(unwrap(model)[-1].estimators_[0])}
    assert kinds == {"LogisticRegression"}
    assert type(unwrap(model)[-1].estimators_[1]).__name__ == "DecisionTreeClassifier"
    assert type(model[-1].estimators_[0]).__name__ == "GridSearchCV"  # the original is as it was


@pytest.mark.parametrize(
    ("marker", "cell", "spelled"),
    [
        (np.nan, np.nan, RESERVED_TEXT),
        (None, np.nan, NEVER_TEXT),
        (None, None, RESERVED_TEXT),
        (np.nan, None, NEVER_TEXT),
    ],
)
def test_an_imputer_of_text_looks_for_what_the_sample_has(marker, cell, spelled):
    cells = pd.Series(["x", cell, "y", "x", cell, "y"], dtype=object)
    frame = pd.DataFrame({"c": cells})
    imputer = SimpleImputer(strategy="constant", fill_value="none", missing_values=marker)
    fitted = imputer.fit(pd.DataFrame({"c": pd.Series(["x", marker, "y"], dtype=object)}))
    ready = prepared(make_pipeline(fitted), schema_of(frame))
    assert ready[0].missing_values == spelled
    assert fitted.missing_values is marker


def test_an_imputer_of_numbers_keeps_its_marker(frame):
    imputer = SimpleImputer(strategy="constant", fill_value=-1).fit(frame[["a", "b"]].astype(object))
    assert np.isnan(prepared(make_pipeline(imputer), schema_of(frame))[0].missing_values)


def test_what_ends_a_model_and_is_not_known_is_taken_apart(frame):
    X, y = frame[["a", "b"]], frame["a"] * 2 + 100
    target = TransformedTargetRegressor(LinearRegression(), transformer=MinMaxScaler()).fit(X, y)
    ready = prepared(make_pipeline(FunctionTransformer(), target), schema_of(X))
    inner, back = ready[-1]
    raw = inner.predict(X)
    assert np.allclose(back.transform(raw.reshape(-1, 1)).ravel(), target.predict(X))
    selected = prepared(RFE(LinearRegression(), n_features_to_select=1).fit(X, y), schema_of(X))
    assert [type(one).__name__ for one in selected] == ["RFE", "LinearRegression"]
    unknown = TransformedTargetRegressor(LinearRegression(), transformer=QuantileTransformer(n_quantiles=5)).fit(X, y)
    with pytest.raises(NotImplementedError, match="a target transformed by QuantileTransformer"):
        prepared(unknown, schema_of(X))


def test_steps_that_pass_everything_through_are_left_out(frame):
    model = Pipeline([("nothing", "passthrough"), ("scale", StandardScaler()), ("end", "passthrough")])
    assert [type(one).__name__ for one in prepared(model.fit(frame[["a", "b"]]), schema_of(frame))] == [
        "StandardScaler"
    ]


# -- what encoders say -----------------------------------------------------------------------------------------------


def test_one_hot_rows_are_the_encoders_own_dropped_and_infrequent_too():
    frame = pd.DataFrame({"c": ["a"] * 20 + ["b"] * 10 + ["r"] * 1 + ["s"] * 1, "d": ["x", "y"] * 16})
    encoder = OneHotEncoder(min_frequency=2, handle_unknown="infrequent_if_exist", drop=None).fit(frame)
    first, second = codes(encoder)
    assert first.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]  # a, b, r, s, unknown
    assert second.tolist() == [[1, 0], [0, 1], [0, 0]]
    dropped = OneHotEncoder(drop="first", handle_unknown="ignore").fit(frame[["d"]])
    assert codes(dropped)[0].tolist() == [[0], [1], [0]]


def test_ordinal_codes_for_what_is_missing_and_unknown():
    frame = pd.DataFrame({"c": pd.Series(["a", "b", np.nan], dtype="str"), "n": [1.0, 2.5, np.nan]})
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-9, encoded_missing_value=-1).fit(frame)
    text, number = codes(encoder)
    assert text.ravel().tolist() == [0, 1, -1, -9]
    assert number.ravel().tolist() == [0, 1, -1, -9]


def test_an_encoder_that_refuses_the_unknown_has_zeros_there():
    encoder = OneHotEncoder().fit(np.array([["a"], ["b"]], dtype=object))
    assert codes(encoder)[0].tolist() == [[1, 0], [0, 1], [0, 0]]


def test_target_codes_of_several_classes_are_several_columns():
    g = np.random.default_rng(0)
    X = pd.DataFrame({"c": g.choice(["a", "b"], 60), "d": g.choice(["x", "y", "z"], 60)})
    encoder = TargetEncoder().fit(X, g.choice(["p", "q", "r"], 60))
    first, second = codes(encoder)
    assert first.shape == (3, 3)
    assert second.shape == (4, 3)
    assert np.allclose(first[0], encoder.transform(pd.DataFrame({"c": ["a"], "d": ["x"]}))[0][:3])


# -- the graph -------------------------------------------------------------------------------------------------------


def test_columns_of_any_name_find_their_input(frame):
    renamed = frame.set_axis(["label", "a b (c)", "größe"], axis=1)
    chosen = ColumnTransformer([("n", StandardScaler(), ["label", "a b (c)"]), ("t", OneHotEncoder(), ["größe"])])
    model = make_pipeline(chosen, LinearRegression()).fit(renamed, frame["a"])
    form = onnx_form(model, schema_of(renamed))
    assert [one.columns for one in form.graph.inputs] == [("label", "a b (c)"), ("größe",)]
    _, table = open_sample(renamed)
    assert np.allclose(form.predict(table).values.ravel(), model.predict(renamed))


def test_the_graph_is_in_doubles_and_says_nothing_of_its_making(frame):
    model = RandomForestClassifier(4, min_samples_leaf=3, random_state=0).fit(frame[["a", "b"]], frame["c"])
    output = Output(task="class", name="c", classes=("x", "y"), probabilities=True)
    form = onnx_form(model, schema_of(frame[["a", "b"]], output))
    graph = onnx.load_from_string(form.data)
    assert {one.domain: one.version for one in graph.opset_import} == OPSETS
    assert (graph.producer_version, graph.doc_string) == ("", "")
    trees = next(node for node in graph.graph.node if node.op_type == "TreeEnsembleClassifier")
    assert {one.name for one in trees.attribute} >= {"nodes_values_as_tensor", "class_weights_as_tensor"}
    real = [one.type.tensor_type.elem_type for one in graph.graph.output][1:]
    assert real == [onnx.TensorProto.DOUBLE]


def test_the_ways_are_doubles_first_whole_numbers_whole_where_columns_are_apart(frame):
    apart = make_pipeline(
        ColumnTransformer([("t", OneHotEncoder(), ["c"])], remainder="passthrough"), LinearRegression()
    )
    names = [way.name for way in onnx_ways(apart.fit(frame, frame["a"]), schema_of(frame))]
    assert names == [
        "ONNX in double precision",
        "ONNX in double precision, whole numbers kept whole",
    ]
    together = LinearRegression().fit(frame[["a", "b"]], frame["a"])
    assert len(list(onnx_ways(together, schema_of(frame[["a", "b"]])))) == 1


def test_what_no_graph_takes_is_refused():
    moment = Column(name="t", type="datetime", dtype="datetime64[us]")
    with pytest.raises(UnsupportedModel, match="'t' is a point in time"):
        graph_inputs([moment], whole="double", matrix=False)


def test_text_in_small_letters_by_a_locale_is_refused():
    frame = pd.DataFrame({"t": ["one two", "three four", "one four"] * 5})
    model = make_pipeline(ColumnTransformer([("t", TfidfVectorizer(), "t")]), LinearRegression()).fit(frame, range(15))
    with pytest.raises(UnsupportedModel, match="rules of a locale"):
        onnx_form(model, schema_of(frame))


def test_an_estimator_that_is_not_known_is_named(frame):
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression().fit(frame["a"], frame["a"])
    with pytest.raises(UnsupportedModel, match=r"^IsotonicRegression has no ONNX form here$"):
        onnx_form(model, schema_of(frame[["a"]]))


def test_a_threshold_drawn_among_the_models_own_scores_is_refused(frame):
    X = frame[["a", "b"]]
    model = IsolationForest(n_estimators=3, contamination=0.1, random_state=0).fit(X)
    with pytest.raises(NotImplementedError, match="drawn among its own scores"):
        onnx_form(model, schema_of(X, Output(task="outlier", name="o")))


def test_a_split_of_missing_values_alone_ends():
    X = pd.DataFrame({"a": [1.0, np.nan] * 30, "b": np.arange(60.0)})
    model = DecisionTreeClassifier(max_depth=2).fit(X, X["a"].isna())
    assert np.isinf(model.tree_.threshold).any()  # what skl2onnx's own converter never comes back from
    output = Output(task="class", name="c", classes=(False, True), probabilities=True)
    form = onnx_form(model, schema_of(X, output))
    assert form.predict(open_sample(X)[1]).labels() == X["a"].isna().tolist()


def test_only_numpys_own_functions_are_drawn():
    def log1p(x):
        return x

    assert drawn_function(np.log1p)
    with pytest.raises(NotImplementedError, match="the function log1p has no ONNX form"):
        drawn_function(log1p)
    with pytest.raises(NotImplementedError, match="the function sin has no ONNX form"):
        drawn_function(np.sin)


def test_the_weights_of_pairs_give_libsvms_decisions():
    g = np.random.default_rng(0)
    X, y = g.normal(size=(90, 3)), g.integers(0, 3, 90)
    model = SVC(kernel="linear", decision_function_shape="ovo").fit(X, y)
    weights, pairs = pair_weights(model)
    decisions = X @ model.support_vectors_.T @ weights + model._intercept_
    assert pairs == [(0, 1), (0, 2), (1, 2)]
    assert np.allclose(decisions, model.decision_function(X))


@pytest.mark.parametrize("kernel", ["rbf", "poly", "sigmoid", "linear"])
def test_support_vectors_are_asked_in_doubles(kernel):
    g = np.random.default_rng(1)
    X = pd.DataFrame(g.normal(size=(90, 3)), columns=list("abc"))
    model = SVC(kernel=kernel).fit(X, g.integers(0, 4, 90))
    output = Output(task="class", name="c", classes=(0, 1, 2, 3))
    form = onnx_form(model, schema_of(X, output))
    assert "SVMClassifier" not in {node.op_type for node in onnx.load_from_string(form.data).graph.node}
    asked = pd.DataFrame(g.normal(size=(3000, 3)), columns=list("abc"))
    assert form.predict(open_sample(asked)[1]).labels() == model.predict(asked).tolist()


def test_what_hangs_on_the_last_bit_is_left_to_the_library(frame):
    from sklearn.neighbors import KNeighborsRegressor

    X = frame[["a", "b"]]
    near = make_pipeline(StandardScaler(), KNeighborsRegressor()).fit(X, frame["a"])
    with pytest.raises(UnsupportedModel, match="neighbours equally near"):
        onnx_form(near, schema_of(X))


# -- skops -----------------------------------------------------------------------------------------------------------


def test_a_skops_file_has_no_dates_no_addresses_and_loads(frame):
    import skops.io

    model = HistGradientBoostingRegressor(max_iter=3).fit(frame[["a", "b"]], frame["a"])
    data = write_skops(model)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist() == sorted(archive.namelist())
        schema = archive.read("schema.json").decode()
    numbers = [int(one) for one in re.findall(r'"__id__":(\d+)', schema)]
    assert max(numbers) <= len(numbers)
    names = skops.io.get_untrusted_types(data=data)
    loaded = skops.io.loads(data, trusted=names)
    assert np.array_equal(loaded.predict(frame[["a", "b"]]), model.predict(frame[["a", "b"]]))
    assert write_skops(model) == data


def test_what_is_shared_stays_shared_and_sets_are_in_order():
    import skops.io

    stop = {"the", "a", "of", "and", "to"}
    model = TfidfVectorizer(stop_words=sorted(stop)).fit(["one of two", "and three"])
    shared = np.arange(3.0)
    model.first_, model.second_, model.words_ = shared, shared, stop
    data = write_skops(model)
    loaded = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    assert loaded.first_ is loaded.second_
    assert loaded.words_ == stop


SAME = """
import hashlib, sys
from aweigh.models.skops_file import write_skops
from sklearn.tree import DecisionTreeRegressor
kept = [object() for _ in range(int(sys.argv[1]))]
model = DecisionTreeRegressor(random_state=0).fit([[i, i % 3] for i in range(50)], range(50))
model.words_ = {"the", "a", "of", "and", "to"}
print(hashlib.sha256(write_skops(model)).hexdigest())
"""


@pytest.mark.slow
def test_a_skops_file_is_the_same_in_every_process():
    def digest(seed):
        done = subprocess.run(
            [sys.executable, "-c", SAME, seed], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        return done.stdout

    first = digest("1")
    assert len(first.strip()) == 64
    assert digest("4242") == first
