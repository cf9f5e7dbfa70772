"""A LightGBM model read as a forest, from its own text.

The layout is that of LightGBM's ``save_model`` (version v4; ``Tree::ToString`` and ``Tree::NumericalDecision`` in its
``src/io/tree.cpp`` and ``include/LightGBM/tree.h``). A value goes left when it is at most the threshold, compared in
double precision; a category goes left when it is one of the node's own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.errors import UnsupportedModel
from aweigh.models.forest_graph import Boosted, Curve, Link
from aweigh.models.trees import Forest, Tree

_CURVES: dict[str, Curve] = {
    "binary": "sigmoid",
    "cross_entropy": "sigmoid",
    "cross_entropy_lambda": "softplus",
    "fair": "identity",
    "gamma": "exp",
    "huber": "identity",
    "lambdarank": "identity",
    "mape": "identity",
    "multiclass": "softmax",
    "multiclassova": "sigmoid",
    "poisson": "exp",
    "quantile": "identity",
    "rank_xendcg": "identity",
    "regression": "identity",
    "regression_l1": "identity",
    "tweedie": "exp",
}
"""What LightGBM makes of the sums, by objective."""
CLASSES_BY_OBJECTIVE = frozenset(("binary", "multiclass", "multiclassova"))
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
"""Bits of a node's ``decision_type``; the two above them are the kind of its missing values."""
_MISSING_NONE, _MISSING_ZERO = 0, 1
_WORD_BITS = 32


@dataclass(frozen=True, slots=True)
class Header:
    """What stands above the trees. ``objective`` is the name alone, ``said`` its parameters."""

    objective: str
    said: Mapping[str, str]
    names: tuple[str, ...]
    categorical: tuple[int, ...]
    trees_per_round: int
    averaged: bool


def booster_of(model: Any) -> Any:
    """The Booster inside a scikit-learn wrapper, or the model itself."""
    return model.booster_ if hasattr(model, "booster_") else model


def read_header(text: str) -> Header:
    """The head of a model's text."""
    head = _fields(text[: text.find("\nTree=0")] if "\nTree=0" in text else text[: text.find("end of trees")])
    name, *rest = head.get("objective", "").split() or [""]
    said = {key: value for key, _, value in (one.partition(":") for one in rest)}
    infos = head.get("feature_infos", "").split()
    # A numeric feature's range is in brackets, a category's codes are not; "none" was never split on.
    categorical = tuple(i for i, info in enumerate(infos) if not info.startswith("[") and info != "none")
    names = tuple(head.get("feature_names", "").split(" "))
    return Header(
        name, said, names, categorical, int(head.get("num_tree_per_iteration", "1")), "average_output" in head
    )


def _fields(block: str) -> dict[str, str]:
    fields = {}
    for line in block.splitlines():
        key, _, value = line.partition("=")
        fields[key] = value
    return fields


def _blocks(text: str) -> Iterator[dict[str, str]]:
    body = text[: text.find("\nend of trees")]
    for block in body.split("\nTree=")[1:]:
        yield _fields(block)


def boosted(model: Any) -> Boosted:
    """A fitted wrapper or a Booster as a forest, up to its best round as its own predict is.

    Raises:
        UnsupportedModel: linear leaves, zeros taken for missing against the trees' own order, or an objective that is
            not known here.
    """
    text = booster_of(model).model_to_string()
    header = read_header(text)
    targets = header.trees_per_round
    trees = [_tree(block, i % targets) for i, block in enumerate(_blocks(text))]
    if header.averaged:
        rounds = max(len(trees) // targets, 1)
        trees = [_scaled(tree, 1.0 / rounds) for tree in trees]
    forest = Forest(tuple(trees), (0.0,) * targets, rule="BRANCH_LEQ", double_values=True, double_sums=True)
    return Boosted(forest, _link(header))


def _scaled(tree: Tree, factor: float) -> Tree:
    from dataclasses import replace

    return replace(tree, weights=tree.weights * factor)


def _link(header: Header) -> Link:
    name, said = header.objective, header.said
    if name not in _CURVES:
        raise UnsupportedModel(f"LightGBM's objective {name or 'of your own'} is not known here")
    if name == "regression" and "sqrt" in said:
        return Link("signed_square")
    scale = float(said.get("sigmoid", "1")) if name in {"binary", "multiclassova"} else 1.0
    return Link(_CURVES[name], scale=scale, pair=name == "binary")


def _numbers(field: str | None, dtype: Any) -> NDArray[Any]:
    return np.array(field.split() if field else [], dtype=dtype)


def _tree(block: dict[str, str], target: int) -> Tree:
    """One tree: its inner nodes first, its leaves behind them."""
    if block.get("is_linear") == "1":
        raise UnsupportedModel("the leaves of LightGBM's linear trees are no numbers")
    leaves = _numbers(block["leaf_value"], np.float64)
    feature = _numbers(block.get("split_feature"), np.int64)
    inner, count = len(feature), len(leaves)
    threshold = _numbers(block.get("threshold"), np.float64)
    kind = _numbers(block.get("decision_type"), np.int64)
    left, right = (_children(block.get(side), inner) for side in ("left_child", "right_child"))
    blank = np.full(count, -1, np.int64)
    weights = np.concatenate([np.zeros(inner), leaves]).reshape(-1, 1)
    return Tree(
        np.concatenate([feature, np.zeros(count, np.int64)]),
        np.concatenate([threshold, np.zeros(count)]),
        np.concatenate([left, blank]),
        np.concatenate([right, blank]),
        np.concatenate([_missing_left(kind, threshold), np.zeros(count, bool)]),
        weights,
        (target,),
        _members(block, kind, threshold),
    )


def _children(field: str | None, inner: int) -> NDArray[np.int64]:
    """Where children stand: a negative number is the complement of a leaf's."""
    said = _numbers(field, np.int64)
    return np.where(said >= 0, said, inner - 1 - said)


def _missing_left(kind: NDArray[np.int64], threshold: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where a missing value goes: as the node says, or as zero would; a missing category always goes right."""
    categorical = (kind & _CATEGORICAL) > 0
    default_left = (kind & _DEFAULT_LEFT) > 0
    missing = (kind >> 2) & 3
    as_zero = threshold >= 0
    if (~categorical & (missing == _MISSING_ZERO) & (default_left != as_zero)).any():
        raise UnsupportedModel("zeros are missing to this LightGBM model")
    return np.where(missing == _MISSING_NONE, as_zero, default_left) & ~categorical


def _members(
    block: dict[str, str], kind: NDArray[np.int64], threshold: NDArray[np.float64]
) -> dict[int, tuple[int, ...]]:
    """The categories of each node that asks for one: bits set in words of 32."""
    bounds, words = _numbers(block.get("cat_boundaries"), np.int64), _numbers(block.get("cat_threshold"), np.uint64)
    members = {}
    for node in np.flatnonzero(kind & _CATEGORICAL).tolist():
        at = int(threshold[node])
        own = words[bounds[at] : bounds[at + 1]].tolist()
        members[node] = tuple(
            place * _WORD_BITS + bit for place, word in enumerate(own) for bit in range(_WORD_BITS) if word >> bit & 1
        )
    return members
