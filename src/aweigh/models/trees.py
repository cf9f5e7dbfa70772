"""Forests of decision trees as plain arrays, and as the one ONNX node that walks them.

XGBoost, LightGBM and CatBoost each read their own file into a ``Forest``; ``forest_graph.py`` draws the graph around
it. What a library's trees do that a ``Forest`` cannot say (linear leaves, several numbers in a leaf) is refused there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

Rule = Literal["BRANCH_LT", "BRANCH_LEQ", "BRANCH_GT"]
"""What a value must be to go left: below the threshold (XGBoost), at most it (LightGBM), above it (CatBoost)."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One tree, an entry a node, the root first.

    ``left`` and ``right`` are the children of a node, -1 at a leaf; ``missing_left`` tells where a missing value goes.
    ``members`` maps nodes that ask for a category to the codes that go left. ``weights`` (nodes, targets) is what a
    leaf adds to each of ``targets``.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    weights: NDArray[np.float64]
    targets: tuple[int, ...] = (0,)
    members: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees whose leaves are summed onto ``base``, a number for each target.

    ``double_values`` tells whether values are compared in double precision, as LightGBM does, or rounded to single
    first; ``double_sums`` whether leaves are added up in double precision, as LightGBM and CatBoost do, or in single,
    as XGBoost does, from the base on and tree by tree.
    """

    trees: tuple[Tree, ...]
    base: tuple[float, ...]
    rule: Rule
    double_values: bool
    double_sums: bool

    @property
    def targets(self) -> int:
        """How many numbers the forest gives for a row."""
        return len(self.base)


@dataclass(frozen=True, slots=True)
class _Nodes:
    """A tree's nodes as the lists that ONNX wants, grown by chains for categories."""

    feature: list[int]
    mode: list[str]
    value: list[float]
    true: list[int]
    false: list[int]
    missing_true: list[int]

    @classmethod
    def of(cls, tree: Tree, rule: Rule) -> Self:
        leaf = tree.left < 0
        nodes = cls(
            np.where(leaf, 0, tree.feature).tolist(),
            np.where(leaf, "LEAF", rule).tolist(),
            np.where(leaf, 0.0, tree.threshold).tolist(),
            np.where(leaf, 0, tree.left).tolist(),
            np.where(leaf, 0, tree.right).tolist(),
            (tree.missing_left & ~leaf).astype(np.int64).tolist(),
        )
        for node, codes in tree.members.items():
            nodes._chain(node, codes)
        return nodes

    def _chain(self, node: int, codes: tuple[int, ...]) -> None:
        """Asks for one category after the other: the first that fits goes left, the last that does not goes right."""
        self.mode[node], self.value[node] = "BRANCH_EQ", float(codes[0])
        for code in codes[1:]:
            self.feature.append(self.feature[node])
            self.mode.append("BRANCH_EQ")
            self.value.append(float(code))
            self.true.append(self.true[node])
            self.false.append(self.false[node])
            self.missing_true.append(0)  # the first of the chain has sent it left already, if that is its way
            self.false[node] = len(self.mode) - 1
            node = len(self.mode) - 1


def tree_ensemble(forest: Forest) -> dict[str, Any]:
    """The attributes of an ai.onnx.ml 3 ``TreeEnsembleRegressor`` that sums the forest's leaves.

    The base is a tree of its own, a single leaf before all others: a node's ``base_values`` are added last, and single
    precision would round otherwise than the library. The reals (``REAL_ATTRIBUTES``) are lists of Python floats, to be
    rounded to single precision or written as tensors of doubles (``..._as_tensor``) by the one who makes the node.
    """
    nodes: dict[str, list[Any]] = {f"nodes_{key}": [] for key in _NODE_KEYS}
    leaves: dict[str, list[Any]] = {f"target_{key}": [] for key in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate((_base_tree(forest.base), *forest.trees)):
        one = _Nodes.of(tree, forest.rule)
        count = len(one.mode)
        columns: tuple[Iterable[Any], ...] = (
            [number] * count,
            range(count),
            one.feature,
            one.mode,
            one.value,
            one.true,
            one.false,
            one.missing_true,
        )
        for key, cells in zip(_NODE_KEYS, columns, strict=True):
            nodes[f"nodes_{key}"].extend(cells)
        at = np.flatnonzero(tree.left < 0)
        weights = tree.weights[at]
        # A zero changes no sum, as the base has given every target a number; a leaf of zeros keeps one.
        counts = weights != 0
        counts[:, 0] |= ~counts.any(axis=1)
        leaf, target = np.nonzero(counts)
        leaves["target_treeids"].extend([number] * len(leaf))
        leaves["target_nodeids"].extend(at[leaf].tolist())
        leaves["target_ids"].extend(np.array(tree.targets)[target].tolist())
        leaves["target_weights"].extend(weights[leaf, target].tolist())
    return {"n_targets": forest.targets, **nodes, **leaves}


def rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest numbers of single precision that are not above the thresholds.

    A number that is itself of single precision is at most a threshold exactly when it is at most this.
    """
    with np.errstate(over="ignore"):
        single = thresholds.astype(np.float32)
    above = single.astype(np.float64) > thresholds
    single[above] = np.nextafter(single[above], np.float32(-np.inf))
    return single.astype(np.float64)


def likely_first(forest: Forest, samples: Sequence[NDArray[Any]], *, width: int) -> Forest:
    """The same forest with the child that most rows go to as every node's right one, where that is to be had.

    ONNX Runtime lays a node's right child next to it: a row that goes the usual ways finds most of its nodes in memory
    that is there already, and what is missing goes the usual way as well. To turn ``x <= t`` around, the node asks
    ``-x`` for ``-x < -t``: the forest is given the ``width`` features and behind them the same with their signs
    changed. ``samples`` are the training rows that came by each node of each tree; the rule must be BRANCH_LEQ.
    """
    real = np.float64 if forest.double_sums else np.float32
    trees = [_turned(tree, count, real, width) for tree, count in zip(forest.trees, samples, strict=True)]
    return replace(forest, trees=tuple(trees))


def _turned(tree: Tree, samples: NDArray[Any], real: Any, width: int) -> Tree:
    inner = tree.left >= 0
    more = samples[np.maximum(tree.left, 0)] > samples[np.maximum(tree.right, 0)]
    # Nothing is beyond infinity, and minus infinity is not below itself.
    turn = inner & more & np.isfinite(tree.threshold)
    turn[list(tree.members)] = False
    opposite = np.nextafter(-tree.threshold.astype(real), real(-np.inf)).astype(np.float64)
    return Tree(
        np.where(turn, tree.feature + width, tree.feature),
        np.where(turn, opposite, tree.threshold),
        np.where(turn, tree.right, tree.left),
        np.where(turn, tree.left, tree.right),
        tree.missing_left ^ turn,
        tree.weights,
        tree.targets,
        tree.members,
    )


def _base_tree(base: tuple[float, ...]) -> Tree:
    nothing, none = np.zeros(1, np.int64), np.full(1, -1, np.int64)
    weights = np.array([base], np.float64)
    return Tree(nothing, np.zeros(1), none, none, np.zeros(1, bool), weights, tuple(range(len(base))))


_NODE_KEYS = (
    "treeids",
    "nodeids",
    "featureids",
    "modes",
    "values",
    "truenodeids",
    "falsenodeids",
    "missing_value_tracks_true",
)
REAL_ATTRIBUTES = ("nodes_values", "target_weights")
