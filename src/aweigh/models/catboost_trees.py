"""A CatBoost model of numeric columns read as a forest, from its own JSON export.

A value goes to the right (bit 1) when it is above the border, compared in single precision. Categories and text are
hashed with statistics of the training table, which no ONNX graph holds: such models are refused here.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from aweigh.errors import UnsupportedModel
from aweigh.models.forest_graph import Boosted, Curve, Link
from aweigh.models.trees import Forest, Tree

_CURVES: dict[str, Curve] = {
    "CrossEntropy": "sigmoid",
    "Focal": "sigmoid",
    "Logloss": "sigmoid",
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "sigmoid",
}
"""The probabilities that a classifier makes of its sums, by loss."""
_ANSWERS = {"Poisson": "Exponent", "Tweedie": "Exponent", "RMSEWithUncertainty": "RMSEWithUncertainty"}
_RAW = "RawFormulaVal"
_MISSING_ABOVE = "AsTrue"


def saved(model: Any, kind: str) -> bytes:
    """The model as CatBoost itself saves it: ``cbm`` or ``json``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{kind}"
        model.save_model(str(path), format=kind)
        return path.read_bytes()


def loss_of(model: Any) -> str:
    """The loss that the model was fitted with, without its parameters; empty when the file does not say."""
    return str(model.get_all_params().get("loss_function", "")).partition(":")[0]


def answer_type(model: Any) -> str:
    """Which of CatBoost's prediction types a model of numbers answers with.

    It is what ``predict`` gives after ``fit``. A regressor that was loaded from .cbm has forgotten it and would give
    the logarithm for Poisson and Tweedie.
    """
    return _ANSWERS.get(loss_of(model), _RAW) if type(model).__name__ == "CatBoostRegressor" else _RAW


def boosted(model: Any) -> Boosted:
    """A fitted CatBoost model as a forest.

    Raises:
        UnsupportedModel: categories or text among its columns, a moved threshold, or a loss that is not known here.
    """
    loss = loss_of(model)
    if len(model.get_cat_feature_indices()) or len(model.get_text_feature_indices()):
        raise UnsupportedModel("CatBoost's categories and texts have no ONNX form")
    classifier = len(np.asarray(model.classes_)) > 0
    if hasattr(model, "get_probability_threshold") and len(model.classes_) == 2 and _threshold_moved(model):
        raise UnsupportedModel("the probability from which on a class is chosen was moved")
    asked = answer_type(model)
    if asked not in {_RAW, "Exponent"} or (classifier and loss not in _CURVES):
        raise UnsupportedModel(f"CatBoost's loss {loss!r} is not known here")
    curve: Curve = _CURVES[loss] if classifier else "exp" if asked == "Exponent" else "identity"
    document = json.loads(saved(model, "json"))
    scale, bias = document["scale_and_bias"]
    places = [one["flat_feature_index"] for one in document["features_info"]["float_features"]]
    above = [one["nan_value_treatment"] == _MISSING_ABOVE for one in document["features_info"]["float_features"]]
    width = len(bias)
    made = [_oblivious(one, width, scale) for one in document.get("oblivious_trees", ())]
    made += [_branching(one, width, scale) for one in document.get("trees", ())]
    trees = tuple(_placed(tree, np.array(places, np.int64), np.array(above, bool)) for tree in made)
    forest = Forest(trees, tuple(float(one) for one in bias), rule="BRANCH_GT", double_values=False, double_sums=True)
    return Boosted(forest, Link(curve, pair=classifier and width == 1))


def _threshold_moved(model: Any) -> bool:
    return float(model.get_probability_threshold()) != 0.5


def _placed(tree: Tree, places: "np.ndarray[Any, Any]", above: "np.ndarray[Any, Any]") -> Tree:
    """The tree with its features where the table has them, and its missing values where they go."""
    inner = tree.left >= 0
    feature = np.where(inner, places[tree.feature], 0)
    return Tree(feature, tree.threshold, tree.left, tree.right, inner & above[tree.feature], tree.weights, tree.targets)


def _float_split(split: dict[str, Any]) -> tuple[int, float]:
    if split["split_type"] != "FloatFeature":
        raise UnsupportedModel(f"CatBoost's split {split['split_type']!r} has no ONNX form")
    return int(split["float_feature_index"]), float(split["border"])


def _oblivious(tree: dict[str, Any], width: int, scale: float) -> Tree:
    """A tree that asks the same on a whole level: written out, level by level from the last of its questions on.

    The leaf's number has bit i set where the answer to question i was yes.
    """
    splits = [_float_split(one) for one in tree["splits"] or ()]
    depth = len(splits)
    inner, leaves = 2**depth - 1, 2**depth
    level = np.floor(np.log2(np.arange(1, inner + 1))).astype(np.int64)
    asked = depth - 1 - level  # the root asks the last question, which is the leaf number's highest bit
    features = np.array([splits[i][0] for i in asked], np.int64)
    borders = np.array([splits[i][1] for i in asked], np.float64)
    nodes = np.arange(inner)
    blank = np.full(leaves, -1, np.int64)
    weights = np.array(tree["leaf_values"], np.float64).reshape(leaves, width) * scale
    return Tree(
        np.concatenate([features, np.zeros(leaves, np.int64)]),
        np.concatenate([borders, np.zeros(leaves)]),
        np.concatenate([2 * nodes + 2, blank]),  # above the border: the later one of the two
        np.concatenate([2 * nodes + 1, blank]),
        np.zeros(inner + leaves, bool),
        np.concatenate([np.zeros((inner, width)), weights]),
        tuple(range(width)),
    )


def _branching(tree: dict[str, Any], width: int, scale: float) -> Tree:
    """A tree of any shape; CatBoost calls the side above the border right."""
    rows: list[tuple[int, float, int, int]] = []
    weights: list[Any] = []
    waiting: list[tuple[dict[str, Any], int, str]] = [(tree, -1, "")]
    above: dict[int, int] = {}
    below: dict[int, int] = {}
    while waiting:
        node, parent, side = waiting.pop()
        place = len(rows)
        if side:
            (above if side == "right" else below)[parent] = place
        if "split" in node:
            feature, border = _float_split(node["split"])
            rows.append((feature, border, 0, 0))
            weights.append([0.0] * width)
            waiting += [(node["left"], place, "left"), (node["right"], place, "right")]
        else:
            rows.append((0, 0.0, -1, -1))
            weights.append(np.broadcast_to(np.asarray(node["value"], np.float64), (width,)))
    count = len(rows)
    return Tree(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows]),
        np.array([above.get(place, -1) for place in range(count)], np.int64),
        np.array([below.get(place, -1) for place in range(count)], np.int64),
        np.zeros(count, bool),
        np.array(weights, np.float64).reshape(count, width) * scale,
        tuple(range(width)),
    )
