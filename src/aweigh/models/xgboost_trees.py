"""An XGBoost model read as a forest, from its own JSON.

The layout is XGBoost's model schema (its documentation, "Introduction to Model IO"). A value goes left when it is below
the threshold, compared in single precision; a category goes left when it is none of the node's own.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.errors import UnsupportedModel
from aweigh.models.forest_graph import Boosted, Curve, Link
from aweigh.models.trees import Forest, Tree

_CURVES: dict[str, Curve] = {
    "binary:logistic": "sigmoid",
    "reg:logistic": "sigmoid",
    "binary:hinge": "step",
    "multi:softprob": "softmax",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
    "survival:cox": "exp",
    "survival:aft": "exp",
    "binary:logitraw": "identity",
    "rank:map": "identity",
    "rank:ndcg": "identity",
    "rank:pairwise": "identity",
    "reg:absoluteerror": "identity",
    "reg:expectileerror": "identity",
    "reg:pseudohubererror": "identity",
    "reg:quantileerror": "identity",
    "reg:squarederror": "identity",
    "reg:squaredlogerror": "identity",
}
"""What XGBoost makes of the sums, by objective."""
_LOGISTIC = frozenset(("binary:logistic", "reg:logistic"))
CLASSES_BY_OBJECTIVE = frozenset(("binary:logistic", "binary:hinge", "multi:softprob", "multi:softmax"))


def booster_of(model: Any) -> Any:
    """The Booster inside a scikit-learn wrapper, or the model itself."""
    return model.get_booster() if hasattr(model, "get_booster") else model


def iterations_of(model: Any) -> int:
    """How many rounds the model's own predict uses; 0 stands for all. A bare Booster uses all, early stopped or not."""
    if not hasattr(model, "get_booster"):
        return 0
    try:
        return int(model.best_iteration) + 1
    except AttributeError:
        return 0


def missing_of(model: Any) -> float | None:
    """The number that means missing besides NaN, if a wrapper was told one."""
    missing = getattr(model, "missing", None)
    return None if missing is None or np.isnan(missing) else float(missing)


def boosted(model: Any) -> Boosted:
    """A fitted wrapper or a Booster as a forest.

    Raises:
        UnsupportedModel: linear boosting, leaves of several numbers, or an objective that is not known here.
    """
    learner = json.loads(bytes(booster_of(model).save_raw("json")))["learner"]
    name = learner["gradient_booster"]["name"]
    if name == "gblinear":
        raise UnsupportedModel("XGBoost's linear booster has no trees")
    inner = learner["gradient_booster"]["gbtree"] if name == "dart" else learner["gradient_booster"]
    weights = learner["gradient_booster"].get("weight_drop", [])
    content = inner["model"]
    count = _tree_count(content, iterations_of(model))
    targets = content["tree_info"]
    trees = tuple(
        _tree(tree, targets[i], weights[i] if weights else 1.0) for i, tree in enumerate(content["trees"][:count])
    )
    objective = learner["objective"]["name"]
    parameters = learner["learner_model_param"]
    width = max(int(parameters["num_class"]), int(parameters["num_target"]), 1)
    forest = Forest(
        trees,
        _base(parameters["base_score"], objective, width),
        rule="BRANCH_LT",
        double_values=False,
        double_sums=False,
    )
    return Boosted(forest, _link(objective, model, width), missing_of(model))


def _tree_count(content: dict[str, Any], iterations: int) -> int:
    ends: list[int] = content["iteration_indptr"]
    return ends[min(iterations, len(ends) - 1)] if iterations else len(content["trees"])


def _base(said: str, objective: str, width: int) -> tuple[float, ...]:
    """The numbers that the sums start from: ``base_score`` is kept as an answer, and goes back through the link.

    The logarithm is taken in double precision and rounded, as C's own for single precision is; numpy's is a bit off.
    """
    read = json.loads(said)
    scores = np.array(read if isinstance(read, list) else [read], np.float32)
    if objective in _LOGISTIC:
        scores = -np.log((np.float32(1) / scores - np.float32(1)).astype(np.float64)).astype(np.float32)
    elif _CURVES.get(objective) == "exp":
        scores = np.log(scores.astype(np.float64)).astype(np.float32)
    return tuple(float(one) for one in np.broadcast_to(scores, (width,)))


def _link(objective: str, model: Any, width: int) -> Link:
    wrapped = type(model).__name__.endswith("Classifier")
    if objective == "multi:softmax":
        return Link("softmax" if wrapped else "positions")
    if objective not in _CURVES:
        raise UnsupportedModel(f"XGBoost's objective {objective!r} is not known here")
    pair = width == 1 and (wrapped or objective in CLASSES_BY_OBJECTIVE)
    return Link(_CURVES[objective], pair=pair)


def _tree(tree: dict[str, Any], target: int, weight: float) -> Tree:
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise UnsupportedModel("a leaf of XGBoost's multi_output_tree holds several numbers")
    left, right = np.array(tree["left_children"], np.int64), np.array(tree["right_children"], np.int64)
    threshold = np.array(tree["split_conditions"], np.float32).astype(np.float64)
    missing_left = np.array(tree["default_left"], np.int64).astype(bool)
    leaf = left < 0
    weights = np.where(leaf, threshold, 0.0) * weight
    members = _members(tree)
    for node in members:  # a category of the node's own goes right: turned round, as a Tree sends members left
        left[node], right[node] = right[node], left[node]
        missing_left[node] = not missing_left[node]
    feature = np.array(tree["split_indices"], np.int64)
    return Tree(feature, threshold, left, right, missing_left, _column(weights), (target,), members)


def _column(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return weights.astype(np.float32).astype(np.float64).reshape(-1, 1)


def _members(tree: dict[str, Any]) -> dict[int, tuple[int, ...]]:
    spans = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
    return {node: tuple(tree["categories"][start : start + size]) for node, start, size in spans}
