"""Forests whose leaves are of one class: votes counted in single precision, to the very answers of scikit-learn."""

import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from tests.partly import partly_slow

from aweigh.models import sklearn_trees
from aweigh.models.convert import onnx_form
from aweigh.models.trees import rounded_down
from aweigh.packing.sample import open_sample
from aweigh.schema import Output, Schema
from aweigh.schema.check import check_rows
from aweigh.table import Table
from aweigh.table.blocks import Block, Blocks, Layout

ROWS = 600


def table_of(classes):
    generator = np.random.default_rng(classes)
    frame = pd.DataFrame(generator.normal(size=(ROWS, 4)), columns=list("abcd"))
    frame["d"] = generator.integers(0, 10**9, ROWS) * 0.01  # money: more digits than single precision has
    frame["c"] = frame["c"].mask(generator.random(ROWS) < 0.1)
    score = frame["a"] + frame["b"] ** 2 + generator.normal(0, 0.3, ROWS)
    return frame, np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))


def form_of(model, frame, target, *, output=None):
    columns, _ = open_sample(frame)
    if output is None:
        output = Output(task="class", name="y", classes=tuple(np.unique(target).tolist()), probabilities=True)
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


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("classes", partly_slow(3, slow=[2, 5]))
@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier, DecisionTreeClassifier])
def test_votes_are_those_of_scikit_learn_at_every_edge(kind, classes, turned, monkeypatch):
    monkeypatch.setattr(sklearn_trees, "LARGE_NODES", 0 if turned else 10**9)
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


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(20, min_samples_leaf=4, random_state=0),
        RandomForestRegressor(20, random_state=0),
        ExtraTreesRegressor(20, random_state=0),
        DecisionTreeRegressor(random_state=0),
    ],
)
@pytest.mark.parametrize("missing", partly_slow(True, slow=[False]))
def test_trees_that_are_turned_around_give_the_same_bits(model, missing, monkeypatch):
    """At the thresholds, beyond all of them, and where cells are missing that were, or never were, in training."""
    frame, target = table_of(2)
    frame = frame if missing else frame.fillna(0.0)
    regressor = not hasattr(model, "predict_proba")
    output = Output(task="number", name="y") if regressor else None
    answers = []
    for large in (10**9, 0):
        monkeypatch.setattr(sklearn_trees, "LARGE_NODES", large)
        form, _, output = form_of(clone(model), frame, target + 0.1 if regressor else target, output=output)
        nodes = [node.op_type for node in onnx.load_from_string(form.data).graph.node]
        assert ("Neg" in nodes) is (large == 0)
        rows = edges_of(clone(model).fit(frame, target), frame)
        rows.iloc[:6, :] = np.repeat([[1e300], [-1e300], [3.5e38], [-3.5e38], [0.0], [-0.0]], 4, axis=1)
        rows.iloc[6:40:3, 2] = np.nan
        block = Block(rows[["a", "b", "c", "d"]].to_numpy(float), rows.isna().to_numpy())
        answers.append(form.predict(Table(Blocks(Layout(tuple("abcd"), (tuple("abcd"),)), [block], {}), len(rows))))
    first, second = answers
    assert np.array_equal(first.values, second.values) if regressor else first.index.tolist() == second.index.tolist()
    assert regressor or np.array_equal(first.probabilities, second.probabilities)


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
