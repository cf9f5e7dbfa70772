"""Predictions as columns, named as the API's CSV names them: what tables and files are made of."""

from collections.abc import Mapping
from typing import Any

from aweigh.schema import Output
from aweigh.schema.answers import class_key


def names_of(output: Output) -> list[str]:
    """The columns of an answer."""
    if output.task == "class":
        shares = [f"probability_{class_key(one)}" for one in output.classes] if output.probabilities else []
        return [output.name, *shares]
    if output.task in {"numbers", "transform"}:
        return list(output.names)
    if output.task == "number":
        return [output.name]
    if output.task == "cluster":
        return ["cluster"]
    return ["outlier", "score"] if output.scores else ["outlier"]


def cells_of(output: Output, prediction: Mapping[str, Any]) -> list[Any]:
    """One prediction as cells, in the order of ``names_of``; None where the model gave no number."""
    if output.task == "class":
        shares = prediction.get("probabilities", {})
        keys = [class_key(one) for one in output.classes] if output.probabilities else []
        return [prediction["label"], *(shares.get(key) for key in keys)]
    if output.task in {"numbers", "transform"}:
        values = prediction["values"]
        return [values.get(name) for name in output.names]
    if output.task == "number":
        return [prediction.get("value")]
    return [prediction.get(name) for name in names_of(output)]
