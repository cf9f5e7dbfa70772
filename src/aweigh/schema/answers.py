"""Answers: what a model said of each row of a table, as arrays, and as the documents of the API."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.schema.column import Output, Scalar
from aweigh.table import Values

POSITIVE_OUTLIER = -1
"""scikit-learn's own label for an outlier; inliers are 1."""


class Answers(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a model said of ``rows`` rows. What the output does not have is None.

    ``index``: (rows,) int64, the position of the class in ``Output.classes``. ``probabilities``: (rows, classes)
    float64. ``values``: (rows, outputs) float64: one number, several, or a transformed row; NaN where the model gave
    none. ``cluster``: (rows,) int64. ``outlier``: (rows,) bool. ``scores``: (rows,) float64, the lower the stranger.
    """

    output: Output
    rows: int
    index: NDArray[np.int64] | None = None
    probabilities: NDArray[np.float64] | None = None
    values: NDArray[np.float64] | None = None
    cluster: NDArray[np.int64] | None = None
    outlier: NDArray[np.bool_] | None = None
    scores: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return self.rows

    @classmethod
    def empty(cls, output: Output) -> "Answers":
        """The answers for no rows."""
        width = len(output.classes) if output.task == "class" else max(1, len(output.names))
        numbers = np.zeros((0, width))
        whole = np.zeros(0, dtype=np.int64)
        if output.task == "class":
            return cls(output, 0, index=whole, probabilities=numbers if output.probabilities else None)
        if output.task == "cluster":
            return cls(output, 0, cluster=whole)
        if output.task == "outlier":
            return cls(output, 0, outlier=whole.astype(bool), scores=np.zeros(0) if output.scores else None)
        return cls(output, 0, values=numbers)

    def take(self, rows: NDArray[np.generic] | slice) -> "Answers":
        """The answers for only these rows (indices, a mask or a slice), in their order."""
        count = next(len(one[rows]) for one in (self.index, self.values, self.cluster, self.outlier) if one is not None)
        return Answers(
            self.output,
            count,
            index=None if self.index is None else self.index[rows],
            probabilities=None if self.probabilities is None else self.probabilities[rows],
            values=None if self.values is None else self.values[rows],
            cluster=None if self.cluster is None else self.cluster[rows],
            outlier=None if self.outlier is None else self.outlier[rows],
            scores=None if self.scores is None else self.scores[rows],
        )

    def labels(self) -> list[Scalar]:
        """The predicted class of each row, in the class's own type."""
        if self.index is None:
            msg = f"a model that answers {self.output.task!r} has no labels"
            raise ValueError(msg)
        classes = self.output.classes
        return [classes[i] for i in self.index.tolist()]

    def documents(self) -> list[dict[str, object]]:
        """One document a row, as ``POST /v1/predict`` answers them."""
        if self.index is not None:
            return self._class_documents()
        if self.cluster is not None:
            return [{"cluster": cluster} for cluster in self.cluster.tolist()]
        if self.outlier is not None:
            if self.scores is None:
                return [{"outlier": flag} for flag in self.outlier.tolist()]
            pairs = zip(self.outlier.tolist(), self.scores.tolist(), strict=True)
            return [{"outlier": flag, "score": score} for flag, score in pairs]
        if self.values is None:
            msg = "answers without a single array"
            raise ValueError(msg)
        cells = _plain_numbers(self.values)
        if self.output.task == "number":
            return [{"value": row[0]} for row in cells]
        names = self.output.names
        return [{"values": dict(zip(names, row, strict=True))} for row in cells]

    def _class_documents(self) -> list[dict[str, object]]:
        labels = self.labels()
        if self.probabilities is None:
            return [{"label": label} for label in labels]
        keys = [class_key(one) for one in self.output.classes]
        rows = zip(labels, self.probabilities.tolist(), strict=True)
        return [{"label": label, "probabilities": dict(zip(keys, row, strict=True))} for label, row in rows]

    def columns(self) -> dict[str, Values]:
        """A column for each part of an answer, named as ``flat`` names it; numbers that are not finite are missing."""
        name = self.output.name
        if self.index is not None:
            columns = {name: _class_column(self.output.classes, self.index)}
            if self.probabilities is not None:
                for i, one in enumerate(self.output.classes):
                    columns[f"probability_{class_key(one)}"] = _number_column(self.probabilities[:, i])
            return columns
        if self.cluster is not None:
            return {"cluster": Values(self.cluster)}
        if self.outlier is not None:
            scores = {} if self.scores is None else {"score": _number_column(self.scores)}
            return {"outlier": Values(self.outlier), **scores}
        if self.values is None:
            msg = "answers without a single array"
            raise ValueError(msg)
        heads = [name] if self.output.task == "number" else list(self.output.names)
        return {head: _number_column(self.values[:, i]) for i, head in enumerate(heads)}

    def flat(self) -> tuple[list[str], list[list[object]]]:
        """Column names and rows for a file: one column for each part of an answer."""
        name = self.output.name
        if self.index is not None:
            labels = self.labels()
            if self.probabilities is None:
                return [name], [[label] for label in labels]
            heads = [name, *(f"probability_{class_key(one)}" for one in self.output.classes)]
            rows = zip(labels, self.probabilities.tolist(), strict=True)
            return heads, [[label, *row] for label, row in rows]
        if self.cluster is not None:
            return ["cluster"], [[cluster] for cluster in self.cluster.tolist()]
        if self.outlier is not None:
            if self.scores is None:
                return ["outlier"], [[flag] for flag in self.outlier.tolist()]
            return ["outlier", "score"], [
                list(row) for row in zip(self.outlier.tolist(), self.scores.tolist(), strict=True)
            ]
        if self.values is None:
            msg = "answers without a single array"
            raise ValueError(msg)
        heads = [name] if self.output.task == "number" else list(self.output.names)
        return heads, _plain_numbers(self.values)


def class_key(label: Scalar) -> str:
    """A class as the key of a JSON object: text as it is, ``true``/``false``, numbers as Python writes them."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)


def _class_column(classes: tuple[Scalar, ...], index: NDArray[np.int64]) -> Values:
    """Classes in their own type; text where they are of several."""
    kinds = {type(one) for one in classes}
    dtype = {frozenset({bool}): "bool", frozenset({int}): "int64", frozenset({float}): "float64"}
    chosen = dtype.get(frozenset(kinds), "object")
    lookup = np.empty(len(classes), dtype=chosen)
    lookup[:] = [class_key(one) for one in classes] if chosen == "object" else classes
    return Values(lookup[index])


def _number_column(numbers: NDArray[np.float64]) -> Values:
    missing = ~np.isfinite(numbers)
    if not missing.any():
        return Values(numbers)
    return Values(np.where(missing, 0.0, numbers), missing)


def _plain_numbers(values: NDArray[np.float64]) -> list[list[object]]:
    """Rows of Python floats, with None for what is no finite number (JSON has no other word for it)."""
    finite = np.isfinite(values)
    plain: list[list[object]] = values.tolist()
    if finite.all():
        return plain
    return [
        [cell if ok else None for cell, ok in zip(row, oks, strict=True)]
        for row, oks in zip(plain, finite.tolist(), strict=True)
    ]
