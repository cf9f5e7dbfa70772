"""Forests whose leaves are of one class: votes counted in single precision, to the very answers of scikit-learn."""

import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from aweigh.models.convert import onnx_form
from aweigh.models.trees import rounded_down
from aweigh.packing.sample import open_sample
from aweigh.schema import Output, Schema
from aweigh.schema.check import check_rows

ROWS = 600


def table_of(classes):
    generator = np.random.default_rng(classes)
    frame = pd.DataFrame(generator.normal(size=(ROWS, 4)), columns=list("abcd"))
    frame["d"] = generator.integers(0, 10**9, ROWS) * 0.01  # money: more digits than single precision has
    frame["c"] = frame["c"].mask(generator.random(ROWS) < 0.1)
    score = frame["a"] + frame["b"] ** 2 + generator.normal(0, 0.3, ROWS)
    return frame, np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))


def form_of(model, frame, target):
    classes = tuple(np.unique(target).tolist())
    columns, _ = open_sample(frame)
    output = Output(task="class", name="y", classes=classes, probabilities=True)
    return onnx_form(model.fit(frame, target), Schema(columns=columns, output=output)), columns, output


def node_of(form):
    graph = onnx.load_from_string(form.data).graph
    return next(node for node in graph.node if node.op_type.startswith("TreeEnsemble"))


def edges_of(model, frame):
    """Rows at the thresholds themselves, and at the next number of single and of double precision on either side."""
    trees = [one.tree_ for one in getattr(model, "estimators_", [model])]
    rows = frame.sample(400, random_state=1).reset_index(drop=True)
    generator = np.random.default_rng(0)
    for i in range(len(rows)):
        tree = trees[i % len(trees)]
        node = generator.choice(np.flatnonzero((tree.children_left >= 0) & np.isfinite(tree.threshold)))
        edge = tree.threshold[node]
        single = np.float32(edge)
        near = [edge, np.nextafter(edge, np.inf), np.nextafter(edge, -np.inf), float(single)]
        near += [float(np.nextafter(single, np.float32(end))) for end in (np.inf, -np.inf)]
        rows.iloc[i, tree.feature[node]] = near[i % len(near)]
    return rows


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier, DecisionTreeClassifier])
def test_votes_are_those_of_scikit_learn_at_every_edge(kind, classes):
    frame, target = table_of(classes)
    model = kind(random_state=0) if kind is DecisionTreeClassifier else kind(40, random_state=0)
    form, columns, output = form_of(model, frame, target)
    assert node_of(form).op_type == "TreeEnsembleRegressor"
    assert "nodes_values" in {one.name for one in node_of(form).attribute}, "in single precision"
    rows = edges_of(model, frame)
    schema = Schema(columns=columns, output=output)
    told = rows.astype(object).where(rows.notna(), None).to_dict("records")
    answers = form.predict(check_rows(schema, told))
    chances = model.predict_proba(rows)
    assert answers.index.tolist() == chances.argmax(axis=1).tolist()
    assert np.array_equal(answers.probabilities.astype(np.float32), chances.astype(np.float32))
    for i in range(0, len(told), 37):
        alone = form.predict(check_rows(schema, told[i : i + 1]))
        assert alone.probabilities.tolist() == answers.probabilities[i : i + 1].tolist()


def test_a_tie_goes_to_the_first_class():
    frame = pd.DataFrame({"a": [0.0, 1.0] * 20, "b": np.arange(40.0)})
    target = np.array([0, 1] * 20)
    form, columns, output = form_of(RandomForestClassifier(2, max_features=1, random_state=3), frame, target)
    grid = pd.DataFrame({"a": np.repeat(np.linspace(0, 1, 21), 40), "b": np.tile(np.arange(40.0), 21)})
    model = RandomForestClassifier(2, max_features=1, random_state=3).fit(frame, target)
    answers = form.predict(check_rows(Schema(columns=columns, output=output), grid.to_dict("records")))
    assert (model.predict_proba(grid)[:, 0] == 0.5).any()
    assert answers.index.tolist() == model.predict(grid).tolist()


def test_leaves_that_are_mixed_are_added_up_in_double_precision():
    frame, target = table_of(2)
    form, *_ = form_of(RandomForestClassifier(5, max_depth=3, random_state=0), frame, target)
    assert "nodes_values_as_tensor" in {one.name for one in node_of(form).attribute}


@given(
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=20),
    st.lists(st.floats(allow_nan=False, width=32), max_size=20),
)
def test_a_threshold_rounded_down_parts_single_precision_as_the_threshold_does(thresholds, values):
    edges = np.array(thresholds)
    rounded = rounded_down(edges)
    assert np.array_equal(rounded, rounded.astype(np.float32).astype(np.float64))
    with np.errstate(over="ignore"):
        near = np.concatenate([np.array(values, np.float32), edges.astype(np.float32)])
        cells = np.concatenate([near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))])
    cells = cells.astype(np.float64)[:, None]
    assert np.array_equal(cells <= edges, cells <= rounded)
