"""scikit-learn's trees, forests and boosting as steps that skl2onnx converts: exact where its own converters round.

Single trees and forests compare values rounded to single precision with thresholds in double, histogram boosting
compares doubles; both add up leaves in double, in the order of the trees, and a tie goes to the first class. The
graphs drawn here do the same: a ``TreeEnsembleClassifier`` with tensors of doubles picks its label before it rounds
what it gives. skl2onnx's converters round leaves and thresholds, lose which way a missing value goes, and do not end
on a threshold of infinity, which is what a split of missing values alone has.
"""

# ruff: noqa: SLF001  what a fitted tree consists of, scikit-learn keeps in attributes that it does not document

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.models.forest_graph import LARGEST_WHOLE, Boosted, Link, draw_link, draw_sums
from aweigh.models.step import Convert, Step, Steps
from aweigh.models.trees import Forest, Tree, likely_first, rounded_down

LARGE_NODES = 20_000
TO_DOUBLE = 11
"""``TensorProto.DOUBLE``."""


def steps() -> Steps:
    """The classes that are drawn here."""
    from sklearn import ensemble, tree

    converters: dict[type, Convert] = {
        tree.DecisionTreeClassifier: _averaging_classifier,
        tree.ExtraTreeClassifier: _averaging_classifier,
        ensemble.RandomForestClassifier: _averaging_classifier,
        ensemble.ExtraTreesClassifier: _averaging_classifier,
        tree.DecisionTreeRegressor: _averaging_regressor,
        tree.ExtraTreeRegressor: _averaging_regressor,
        ensemble.RandomForestRegressor: _averaging_regressor,
        ensemble.ExtraTreesRegressor: _averaging_regressor,
        ensemble.GradientBoostingClassifier: _boosting_classifier,
        ensemble.GradientBoostingRegressor: _boosting_regressor,
        ensemble.HistGradientBoostingClassifier: _boosting_classifier,
        ensemble.HistGradientBoostingRegressor: _boosting_regressor,
        ensemble.AdaBoostClassifier: _ada_boost_classifier,
        ensemble.IsolationForest: _isolation_forest,
    }
    return Steps(converters)


# -- scikit-learn's trees --------------------------------------------------------------------------------------------


def _forest(trees: Sequence[Tree], base: Sequence[float], *, double_values: bool) -> Forest:
    return Forest(tuple(trees), tuple(base), rule="BRANCH_LEQ", double_values=double_values, double_sums=True)


def _tree(grown: Any, weights: NDArray[np.float64], targets: Sequence[int], *, places: Any = None) -> Tree:
    """A ``sklearn.tree._tree.Tree`` with ``weights`` (nodes, targets) in its leaves.

    ``places`` are the columns that the tree was given, where these are not all.
    """
    feature = grown.feature.astype(np.int64)
    if places is not None:
        feature = np.asarray(places, dtype=np.int64)[np.maximum(feature, 0)]
    return Tree(
        feature,
        grown.threshold,
        grown.children_left.astype(np.int64),
        grown.children_right.astype(np.int64),
        np.asarray(grown.missing_go_to_left, dtype=bool),
        weights,
        tuple(targets),
    )


def _histogram_tree(predictor: Any, target: int) -> Tree:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        nodes["feature_idx"].astype(np.int64),
        nodes["num_threshold"].astype(np.float64),
        np.where(leaf, -1, nodes["left"].astype(np.int64)),
        np.where(leaf, -1, nodes["right"].astype(np.int64)),
        nodes["missing_go_to_left"].astype(bool),
        nodes["value"].astype(np.float64).reshape(-1, 1),
        (target,),
        {
            int(node): _codes_of(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]])
            for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf)
        },
    )


def _codes_of(bits: NDArray[np.uint32]) -> tuple[int, ...]:
    """The categories in a set of 256, kept as eight whole numbers of 32 bits; one that is none where it is empty."""
    codes = tuple(code for code in range(32 * len(bits)) if int(bits[code // 32]) >> code % 32 & 1)
    return codes or (-1,)  # what is missing, and nothing else, goes left


def _members(model: Any) -> list[Any]:
    return list(model.estimators_) if hasattr(model, "estimators_") else [model]


def _averaged(model: Any) -> tuple[Forest, int]:
    """A tree or a forest whose leaves are to be averaged: their sum, and how many trees it is of."""
    members = _members(model)
    shape = members[0].tree_.value.shape
    width = shape[1] * shape[2]
    if shape[1] > 1 and shape[2] > 1:
        msg = "a forest that answers several classes at once has no ONNX form"
        raise NotImplementedError(msg)
    trees = [_tree(one.tree_, one.tree_.value.reshape(-1, width), range(width)) for one in members]
    return _forest(trees, [0.0] * width, double_values=False), len(members)


def _boosted(model: Any) -> Forest:
    """What boosting adds up before its link.

    Raises:
        NotImplementedError: it starts from another estimator's answers.
    """
    if hasattr(model, "_predictors"):
        trees = [_histogram_tree(one, target) for stage in model._predictors for target, one in enumerate(stage)]
        return _forest(trees, np.ravel(model._baseline_prediction).tolist(), double_values=True)
    if model.init not in {None, "zero"}:
        msg = "boosting that starts from another estimator has no ONNX form here"
        raise NotImplementedError(msg)
    base = model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32)).ravel()
    trees = [
        _tree(one.tree_, model.learning_rate * one.tree_.value.reshape(-1, 1), [target])
        for stage in model.estimators_
        for target, one in enumerate(stage)
    ]
    return _forest(trees, base.tolist(), double_values=False)


def _link(model: Any) -> Link:
    """How boosting's sums become its answers, by its loss."""
    loss = type(model._loss).__name__
    links = {
        "HalfBinomialLoss": Link("sigmoid", pair=True),
        "ExponentialLoss": Link("sigmoid", scale=2.0, pair=True),
        "HalfMultinomialLoss": Link("softmax"),
        "HalfPoissonLoss": Link("exp"),
        "HalfGammaLoss": Link("exp"),
    }
    return links.get(loss, Link())


# -- what is drawn ---------------------------------------------------------------------------------------------------


def _given(step: Step, *, double_values: bool) -> str:
    """The step's input in the precision in which its trees compare."""
    from onnx import TensorProto

    return step.given(to=TensorProto.DOUBLE if double_values else TensorProto.FLOAT)


def _turned(step: Step, forest: Forest, members: Sequence[Any]) -> tuple[str, Forest]:
    """The step's input and the forest, which in large ones is laid out along the ways that most rows go.

    From some 20,000 nodes on they are no longer in a core's nearest memory: a row of 100 deep trees then takes a
    quarter less time, 1,000 rows a third. In small forests the two nodes more that it takes would only cost.
    """
    given = _given(step, double_values=forest.double_values)
    if sum(len(tree.feature) for tree in forest.trees) < LARGE_NODES:
        return given, forest
    given = step.pen.node("Concat", [given, step.pen.node("Neg", [given])], axis=1)
    samples = [one.tree_.n_node_samples for one in members]
    return given, likely_first(forest, samples, width=int(step.model.n_features_in_))


def _averaging_classifier(scope: Any, operator: Any, container: Any) -> None:
    step = Step(scope, operator, container)
    step.refuse_raw_scores()
    if _are_votes(step.model):
        _voting_classifier(step)
        return
    forest, count = _averaged(step.model)
    given, forest = _turned(step, forest, _members(step.model))
    place, sums = step.places(given, forest)
    chances = step.pen.node("Div", [sums, step.number(count)])
    step.finish(step.labels(place), chances)


def _voting_classifier(step: Step) -> None:
    """A forest whose every leaf is of one class, as scikit-learn grows them unless it is told to stop earlier.

    Votes are whole numbers, and adding up fewer than 2^24 of them rounds nothing in single precision either: the trees
    take a third less memory so, of two classes half of what they take in double, and a row a quarter less time.
    """
    members, pen = _members(step.model), step.pen
    width = members[0].tree_.value.shape[2]
    two = width == 2
    trees = [
        _tree(one.tree_, one.tree_.value[:, 0, 1:] if two else one.tree_.value[:, 0, :], range(1 if two else width))
        for one in members
    ]
    trees = [replace(tree, threshold=rounded_down(tree.threshold)) for tree in trees]
    base = [0.0] if two else [0.0] * width
    forest = Forest(tuple(trees), tuple(base), rule="BRANCH_LEQ", double_values=False, double_sums=False)
    given, forest = _turned(step, forest, members)
    votes = draw_sums(pen, given, Boosted(forest, Link()))
    count = pen.constant(np.array([len(members)], np.float32))
    if two:
        votes = pen.node("Concat", [pen.node("Sub", [count, votes]), votes], axis=1)
    place = pen.node("ArgMax", [votes], axis=1, keepdims=0)  # a tie goes to the first class
    step.finish(step.labels(place), step.binary("Div", pen.node("Cast", [votes], to=TO_DOUBLE), len(members)))


def _are_votes(model: Any) -> bool:
    """Whether every leaf gives all to one class, and there are few enough for single precision."""
    members = _members(model)
    if len(members) >= LARGEST_WHOLE:
        return False
    for one in members:
        values = one.tree_.value[one.tree_.children_left < 0]
        if values.shape[1] != 1 or values.shape[2] < 2 or not ((values == 0) | (values == 1)).all():
            return False
    return True


def _averaging_regressor(scope: Any, operator: Any, container: Any) -> None:
    step = Step(scope, operator, container)
    forest, count = _averaged(step.model)
    given, forest = _turned(step, forest, _members(step.model))
    sums = draw_sums(step.pen, given, Boosted(forest, Link()))
    step.finish(step.pen.node("Div", [sums, step.number(count)]))


def _boosting_classifier(scope: Any, operator: Any, container: Any) -> None:
    step = Step(scope, operator, container)
    step.refuse_raw_scores()
    forest, link, pen = _boosted(step.model), _link(step.model), step.pen
    given = _given(step, double_values=forest.double_values)
    if forest.targets > 1:
        place, sums = step.places(given, forest)
        step.finish(step.labels(place), draw_link(pen, sums, link, np.float64, width=forest.targets))
        return
    sums = draw_sums(pen, given, Boosted(forest, link))
    # Histogram boosting gives a tie to the first class, gradient boosting to the second.
    rule = "Greater" if forest.double_values else "GreaterOrEqual"
    flat = pen.node("Reshape", [sums, pen.constant(np.array([-1], np.int64))])
    place = pen.node("Cast", [pen.node(rule, [flat, step.number(0.0)])], to=7)
    step.finish(step.labels(place), draw_link(pen, sums, link, np.float64, width=forest.targets))


def _boosting_regressor(scope: Any, operator: Any, container: Any) -> None:
    step = Step(scope, operator, container)
    boosted = Boosted(_boosted(step.model), _link(step.model))
    given = _given(step, double_values=boosted.forest.double_values)
    step.finish(
        draw_link(step.pen, draw_sums(step.pen, given, boosted), boosted.link, np.float64, width=boosted.forest.targets)
    )


def _ada_boost_classifier(scope: Any, operator: Any, container: Any) -> None:
    """A forest in whose leaves stands what a tree's vote counts: its weight for its class, a share less for others."""
    step = Step(scope, operator, container)
    step.refuse_raw_scores()
    model, pen = step.model, step.pen
    classes = list(model.classes_)
    width = len(classes)
    trees = []
    for member, weight in zip(model.estimators_, model.estimator_weights_, strict=False):
        if not hasattr(member, "tree_") or member.n_outputs_ != 1:
            msg = f"AdaBoost of {type(member).__name__} has no ONNX form here"
            raise NotImplementedError(msg)
        voted = np.array([classes.index(one) for one in member.classes_])[member.tree_.value[:, 0, :].argmax(axis=1)]
        votes = np.where(voted[:, None] == np.arange(width), weight, -1 / (width - 1) * weight)
        trees.append(_tree(member.tree_, votes, range(width)))
    forest = _forest(trees, [0.0] * width, double_values=False)
    place, sums = step.places(_given(step, double_values=False), forest)
    # Of two classes as well: softmax([-d, d] / 2), where d is the second's sum less the first's, its opposite.
    share = float(model.estimator_weights_.sum()) * (width - 1)
    shares = pen.node("Div", [sums, step.number(share)])
    chances = draw_link(pen, shares, Link("softmax"), np.float64, width=width)
    step.finish(step.labels(place), chances)


def _isolation_forest(scope: Any, operator: Any, container: Any) -> None:
    """The mean depth at which a row is alone, as a score: Liu, Ting and Zhou, "Isolation Forest" (ICDM 2008)."""
    from sklearn.ensemble._iforest import _average_path_length

    step = Step(scope, operator, container)
    model, pen = step.model, step.pen
    if model.contamination != "auto":
        # The threshold may be the very score of a training row, and the last bit of a sum would decide.
        msg = "an isolation forest whose threshold was drawn among its own scores has no exact ONNX form"
        raise NotImplementedError(msg)
    trees = [
        _tree(
            member.tree_,
            (model._decision_path_lengths[i] + model._average_path_length_per_tree[i] - 1.0).reshape(-1, 1),
            [0],
            places=model.estimators_features_[i],
        )
        for i, member in enumerate(model.estimators_)
    ]
    forest = _forest(trees, [0.0], double_values=False)
    depths = draw_sums(pen, _given(step, double_values=False), Boosted(forest, Link()))
    usual = len(model.estimators_) * float(_average_path_length([model._max_samples])[0])
    power = pen.node("Pow", [step.number(2.0), pen.node("Neg", [pen.node("Div", [depths, step.number(usual)])])])
    scores = pen.node("Sub", [pen.node("Neg", [power]), step.number(float(model.offset_))])
    strange = pen.node("Less", [scores, step.number(0.0)])
    label = pen.node("Where", [strange, pen.constant(np.array([-1], np.int64)), pen.constant(np.array([1], np.int64))])
    step.finish(label, scores)
