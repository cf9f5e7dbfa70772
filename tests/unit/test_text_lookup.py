"""Text columns looked up side by side: as imputer and encoder answer, in few nodes, by tables of bounded size."""

from collections import Counter

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from aweigh.models.convert import onnx_form
from aweigh.models.text_lookup import LARGEST_TABLE, Coded, lots
from aweigh.packing.sample import open_sample
from aweigh.schema import Output, Schema

ROWS = 300
NUMBERS = Output(task="numbers", name="t")


def texts(*counts, gaps=True):
    """Columns of so many categories each; words recur from column to column and some are odd."""
    g = np.random.default_rng(5)
    words = np.array(["", "é", "nan", "None", *(f"w{i}" for i in range(max(counts)))], dtype=object)
    frame = pd.DataFrame({f"c{i}": g.choice(words[: count + 4][i % 3 :], ROWS) for i, count in enumerate(counts)})
    for name in frame if gaps else ():
        frame.loc[g.choice(ROWS, 20, replace=False), name] = np.nan
    return frame


def asked_of(frame):
    """The same rows, with words moved between columns, never seen, empty and missing."""
    moved = frame.copy()
    moved[:] = np.roll(frame.to_numpy(dtype=object), 1, axis=1)
    moved.iloc[::5, 0] = "never seen"
    moved.iloc[::6, -1] = ""
    moved.iloc[::7, 0] = np.nan
    return pd.concat([frame, moved], ignore_index=True)


def held(model, frame):
    """The graph of a transformer, whose answers are the model's own, alone and together to the last bit."""
    columns, _ = open_sample(frame)
    form = onnx_form(model, Schema(columns=columns, output=NUMBERS))
    asked = asked_of(frame)
    table = open_sample(asked)[1]
    got = form.predict(table).values
    wanted = model.transform(asked)
    np.testing.assert_array_equal(got, wanted.toarray() if hasattr(wanted, "toarray") else wanted)
    for row in (0, 5, 7, ROWS, ROWS + 42):
        assert form.predict(table.take(np.array([row]))).values.tobytes() == got[row : row + 1].tobytes()
    assert onnx_form(model, Schema(columns=columns, output=NUMBERS)).data == form.data
    return form


def operators(form):
    return Counter(one.op_type for one in onnx.load_from_string(form.data).graph.node)


ONE_HOT = OneHotEncoder(handle_unknown="ignore")
FEW = {"LabelEncoder": 1, "Add": 1, "Gather": 1, "ReduceSum": 1}


IMPUTERS = {
    "most frequent": SimpleImputer(strategy="most_frequent"),
    "a word": SimpleImputer(strategy="constant", fill_value="w1"),
    "a word of its own": SimpleImputer(strategy="constant", fill_value="gone"),
}
ENCODERS = {
    "all": ONE_HOT,
    "first dropped": OneHotEncoder(drop="first", handle_unknown="ignore"),
    "infrequent": OneHotEncoder(min_frequency=20, handle_unknown="infrequent_if_exist"),
}


@pytest.mark.parametrize("imputer", IMPUTERS)
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.filterwarnings("ignore:Found unknown categories")
def test_an_imputer_and_an_encoder_are_one_lookup(imputer, encoder):
    frame = texts(3, 5, 2)
    form = held(make_pipeline(IMPUTERS[imputer], ENCODERS[encoder]).fit(frame), frame)
    assert operators(form) == FEW


def test_codes_of_a_column_each_are_not_even_added_up():
    frame = texts(3, 5, 2)
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    assert operators(held(make_pipeline(ordinal).fit(frame), frame)) == {"LabelEncoder": 1, "Add": 1, "Gather": 1}


def test_target_codes_of_several_classes():
    frame = texts(3, 5, 2)
    model = make_pipeline(SimpleImputer(strategy="most_frequent"), TargetEncoder(random_state=0))
    held(model.fit(frame, np.arange(ROWS) % 3), frame)


def test_two_encoders_behind_one_imputer():
    frame = texts(3, 5)
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    both = FeatureUnion([("one", ONE_HOT), ("other", ordinal)])
    form = held(make_pipeline(SimpleImputer(strategy="most_frequent"), both).fit(frame), frame)
    assert operators(form)["LabelEncoder"] == 2


def test_an_imputer_of_text_behind_which_no_encoder_stands_fills_all_columns_at_once():
    frame = texts(3, 5, 2)
    model = make_pipeline(SimpleImputer(strategy="most_frequent"), FunctionTransformer(), ONE_HOT).fit(frame)
    assert operators(held(model, frame)) == Counter(FEW) + Counter(["LabelEncoder", "Cast", "Where"])


def test_numbers_between_columns_of_text_keep_their_place():
    frame = texts(3, 5, 2)
    frame.insert(1, "n", np.arange(float(ROWS)) % 4)
    columns, _ = open_sample(frame)
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore")).fit(frame)
    form = onnx_form(model, Schema(columns=columns, output=NUMBERS))
    np.testing.assert_array_equal(form.predict(open_sample(frame)[1]).values, model.transform(frame).toarray())


def test_columns_of_many_categories_are_looked_up_each_in_its_own_table():
    frame = texts(2, 150, 3, 2)
    form = held(make_pipeline(SimpleImputer(strategy="most_frequent"), ONE_HOT).fit(frame), frame)
    assert operators(form)["LabelEncoder"] > 1
    largest = max(np.prod(one.dims) for one in onnx.load_from_string(form.data).graph.initializer)
    assert largest <= max(LARGEST_TABLE, 160**2)


def test_lots_hold_neighbours_within_the_limit():
    def column(words, width):
        return Coded([f"{width} {i}" for i in range(words)], np.zeros((words + 1, width)))

    small, large = column(5, 5), column(200, 200)
    assert list(lots([small, small, small])) == [[0, 1, 2]]
    assert list(lots([small, large, small, small])) == [[0], [1], [2, 3]]
    assert list(lots([large])) == [[0]]
    many = list(lots([column(20, 20 + i) for i in range(12)]))
    assert [one for lot in many for one in lot] == list(range(12))
    assert len(many) > 1
    assert all(len(lot) > 1 for lot in many[:-1])


def test_many_words_are_looked_up_once_each():
    """A column of 50,000 names: looking through a list for each took a minute."""

    class Counted(str):
        __slots__ = ()
        compared = 0
        __hash__ = str.__hash__

        def __eq__(self, other):
            Counted.compared += 1
            return str.__eq__(self, other)

    words = [Counted(f"w{i}") for i in range(2000)]
    column = Coded(words, np.zeros((2001, 1)), ("gone", "w7"))
    assert column.places(["gone", "w1999", "never"]) == [7, 1999, 2000]
    assert column.places(words) == list(range(2000))
    assert Counted.compared < 20_000


# -- a whole model ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed():
    frame = texts(3, 5, 2, 4)
    g = np.random.default_rng(1)
    for i in range(3):
        frame.insert(2 * i, f"x{i}", g.normal(size=ROWS))
    frame.loc[::9, "x1"] = np.nan
    return frame


def transformer():
    names = [f"c{i}" for i in range(4)]
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    number = make_pipeline(SimpleImputer(), StandardScaler())
    return ColumnTransformer([("text", text, names), ("number", number, ["x0", "x1", "x2"])])


def test_a_pipeline_of_columns_is_fed_by_two_matrices_and_has_few_nodes(mixed):
    model = make_pipeline(transformer(), RandomForestClassifier(5, random_state=0)).fit(mixed, np.arange(ROWS) % 2)
    columns, table = open_sample(mixed)
    output = Output(task="class", name="y", classes=(0, 1), probabilities=True)
    form = onnx_form(model, Schema(columns=columns, output=output))
    assert {one.element: one.columns for one in form.graph.inputs} == {
        "double": ("x0", "x1", "x2"),
        "string": ("c0", "c1", "c2", "c3"),
    }
    assert operators(form) == {
        "LabelEncoder": 1, "Add": 1, "Gather": 1, "ReduceSum": 1, "IsNaN": 1, "Where": 1, "Sub": 2, "Div": 2,
        "Concat": 2, "Cast": 2, "TreeEnsembleRegressor": 1, "ArgMax": 1,
    }  # fmt: skip
    got = form.predict(table)
    assert got.labels() == model.predict(mixed).tolist()
    assert np.allclose(got.probabilities, model.predict_proba(mixed), atol=1e-7)
    for row in range(0, ROWS, 37):
        alone = form.predict(table.take(np.array([row])))
        assert alone.probabilities.tobytes() == got.probabilities[row : row + 1].tobytes()


def test_whole_numbers_and_truths_stand_with_the_other_numbers(mixed):
    frame = mixed[["c0", "x0"]].assign(n=np.arange(ROWS), on=np.arange(ROWS) % 2 == 0, b=np.arange(ROWS) / 7)
    chosen = ColumnTransformer([("t", ONE_HOT, ["c0"]), ("n", StandardScaler(), ["x0", "n", "on", "b"])])
    model = make_pipeline(chosen, LinearRegression()).fit(frame, frame["n"] * 2.5)
    columns, table = open_sample(frame)
    for whole in ("double", "int64"):
        form = onnx_form(model, Schema(columns=columns, output=Output(task="number", name="y")), whole=whole)
        assert np.allclose(form.predict(table).values.ravel(), model.predict(frame))
    assert [one.columns for one in form.graph.inputs] == [("c0",), ("x0", "b"), ("n", "on")]
