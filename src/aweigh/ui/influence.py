"""How far each input moves the answer by itself: one column varied over what was seen, the others left as they are.

One-at-a-time sensitivity: crude, since it misses what columns do together, but cheap, the same for every kind of model,
and asked of the API like any other row. It orders a long form and says on the model's page what matters.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from aweigh.errors import AweighError, NotReady
from aweigh.schema import Column
from aweigh.ui.api import Api, Documents
from aweigh.ui.row import Cell, Row, example_row, start_row

BUDGET_S = 1.0
"""Further starting rows are tried only until this much time is spent."""

STARTS_AT_MOST = 4
CATEGORIES_AT_MOST = 6
ROWS_AT_ONCE = 1000

_found: dict[str, dict[str, float]] = {}


def influence(api: Api, documents: Documents) -> Mapping[str, float]:
    """For each column how far it moves the answer, 0 to 1 of what the strongest does; asked once a model.

    Empty when the model does not answer, or another does in its place, as where a candidate is tried: nothing else
    depends on it, and what is found is everybody's.
    """
    version = documents.model.version
    if version not in _found:
        try:
            _found[version] = _measured(api, documents)
        except AweighError:
            return {}
    return _found[version]


def _measured(api: Api, documents: Documents) -> dict[str, float]:
    schema = documents.schema
    starts = [start_row(schema), *(example_row(schema, row) for row in documents.model.examples.rows)]
    moved = dict.fromkeys(schema.names, 0.0)
    begun = time.perf_counter()
    for start in starts[:STARTS_AT_MOST]:
        for name, distance in _from(api, documents, start).items():
            moved[name] += distance
        if time.perf_counter() - begun > BUDGET_S:
            break
    most = max(moved.values(), default=0.0)
    return {name: distance / most for name, distance in moved.items()} if most > 0 else moved


def _from(api: Api, documents: Documents, start: Row) -> dict[str, float]:
    """The largest move of each column away from the answer to this row.

    Raises:
        NotReady: another model has answered.
    """
    schema, version = documents.schema, documents.model.version
    rows: list[Row] = [start]
    names: list[str] = []
    for column in schema.columns:
        for cell in _tried(column):
            if cell != start[column.name]:
                rows.append(start | {column.name: cell})
                names.append(column.name)
    predictions: list[Mapping[str, Any]] = []
    for at in range(0, len(rows), ROWS_AT_ONCE):
        reply = api.predict(rows[at : at + ROWS_AT_ONCE])
        if reply.version not in {"", version}:
            raise NotReady("Another model has answered.")
        predictions.extend(reply.predictions)
    moved = dict.fromkeys(schema.names, 0.0)
    for name, prediction in zip(names, predictions[1:], strict=True):
        moved[name] = max(moved[name], distance(predictions[0], prediction))
    return moved


def _tried(column: Column) -> Sequence[Cell]:
    """The ends of what was seen, or the categories."""
    if column.type == "boolean":
        return (False, True)
    if column.categories is not None:
        return column.categories[:CATEGORIES_AT_MOST]
    return tuple(end for end in (column.minimum, column.maximum) if end is not None)


def distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """How far two predictions of the same model are apart: shares by total variation, numbers by their difference."""
    if "probabilities" in one:
        return _apart(one["probabilities"], other["probabilities"]) / 2
    if "values" in one:
        return _apart(one["values"], other["values"])
    for key in ("value", "score"):
        if one.get(key) is not None and other.get(key) is not None:
            return abs(float(one[key]) - float(other[key]))
    return float(one != other)


def _apart(one: Mapping[str, float | None], other: Mapping[str, float | None]) -> float:
    return sum(abs((one[name] or 0.0) - (other.get(name) or 0.0)) for name in one)
