"""The same rows in every form in which they may be asked, JSON to tensors; and as the original model is asked."""

import csv
import datetime as dt
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from aweigh.schema import Column, Schema
from aweigh.table.csv import MISSING_WORDS

Row = dict[str, Any]

ARROW_STREAM = "application/vnd.apache.arrow.stream"
V2_KINDS = {"number": "FP64", "integer": "INT64", "boolean": "BOOL"}


def as_json(rows: Sequence[Row]) -> bytes:
    """The rows as the API takes them."""
    return json.dumps({"rows": rows}).encode()


def without_nulls(rows: Sequence[Row]) -> list[Row]:
    """The rows with missing cells left out instead of null."""
    return [{name: cell for name, cell in row.items() if cell is not None} for row in rows]


def fits_csv(schema: Schema, rows: Sequence[Row]) -> bool:
    """Whether a CSV can say the same: it has no other word for text such as NA, and none for empty text."""
    texts = [column for column in schema.columns if column.is_text]
    return not any(
        row[column.name] is not None and row[column.name] in MISSING_WORDS and row[column.name] not in kinds(column)
        for row in rows
        for column in texts
    )


def kinds(column: Column) -> frozenset[str]:
    """Text of a column that a CSV takes at its word: an empty cell is missing all the same."""
    return frozenset((*(column.categories or ()), *(column.present_words or ()))) - {""}


def as_csv(schema: Schema, rows: Sequence[Row]) -> bytes:
    """The rows as a CSV file, missing cells empty."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)  # which quotes both characters that end its own lines
    writer.writerow(schema.names)
    writer.writerows([_csv_cell(row[name]) for name in schema.names] for row in rows)
    return out.getvalue().encode()


def _csv_cell(cell: object) -> str:
    if cell is None:
        return ""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def as_arrow(schema: Schema, rows: Sequence[Row], *, dictionary: bool = False) -> bytes:
    """The rows as an Arrow stream, missing cells null; text by its place in a dictionary, or as it is."""
    arrays = [_arrow_array(column, [row[column.name] for row in rows], dictionary) for column in schema.columns]
    table = pa.Table.from_arrays(arrays, names=list(schema.names))
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def _arrow_array(column: Column, cells: list[Any], dictionary: bool) -> pa.Array:
    if column.type == "number":
        return pa.array(cells, pa.float32() if column.dtype == "float32" else pa.float64())
    if column.type == "date":
        return pa.array([None if cell is None else dt.date.fromisoformat(cell) for cell in cells], pa.date32())
    if column.type == "datetime":
        stamps = [None if cell is None else dt.datetime.fromisoformat(cell) for cell in cells]
        return pa.array(stamps, pa.timestamp("us"))
    kind = {"integer": pa.int64(), "boolean": pa.bool_()}.get(column.type, pa.string())
    array = pa.array(cells, kind)
    return array.dictionary_encode() if dictionary and column.is_text else array


def as_frame(schema: Schema, rows: Sequence[Row]) -> pd.DataFrame:
    """The rows as a DataFrame of pandas' own kinds: what a notebook has in its hands."""
    return pd.DataFrame(
        {column.name: _frame_column(column, [row[column.name] for row in rows]) for column in schema.columns}
    )


def _frame_column(column: Column, cells: list[Any]) -> Any:
    if column.type == "number":
        return pd.Series([math.nan if cell is None else cell for cell in cells], dtype="float64")
    if column.type == "integer":
        return pd.array(cells, dtype="Int64")
    if column.type == "boolean":
        return pd.array(cells, dtype="boolean")
    if column.is_time:
        return pd.Series(pd.to_datetime(pd.Series(cells, dtype=object), format="ISO8601"), dtype="datetime64[us]")
    return pd.Series(cells, dtype=object)


def as_tensors(schema: Schema, rows: Sequence[Row]) -> bytes:
    """The rows as a request of the Open Inference Protocol."""
    inputs = [
        {
            "name": column.name,
            "datatype": V2_KINDS.get(column.type, "BYTES"),
            "shape": [len(rows)],
            "data": [row[column.name] for row in rows],
        }
        for column in schema.columns
    ]
    return json.dumps({"inputs": inputs}).encode()


def as_original(sample: pd.DataFrame, rows: Sequence[Row]) -> pd.DataFrame:
    """The rows as a DataFrame of the sample's own types, made without the code that serves."""
    return pd.DataFrame({name: _in_dtype(sample[name], [row[name] for row in rows]) for name in sample.columns})


def _in_dtype(seen: pd.Series, cells: list[Any]) -> Any:
    dtype = seen.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        known = set(dtype.categories)
        return pd.Categorical([cell if cell in known else None for cell in cells], dtype=dtype)
    if dtype.kind == "f":
        return np.array([math.nan if cell is None else cell for cell in cells], dtype=dtype)
    if dtype.kind in "iub":
        return np.array(cells, dtype=dtype)
    if str(dtype) == "object":
        missing = next((cell for cell in seen.tolist() if cell is None or cell != cell), None)  # noqa: PLR0124  NaN
        return pd.Series([missing if cell is None else cell for cell in cells], dtype=object)
    return pd.Series(cells, dtype=dtype)


def said_by(model: Any, asked: Any, schema: Schema) -> list[dict[str, Any]]:
    """What the original model says of each row, as the API would put it."""
    output = schema.output
    if output.task == "class":
        positions = {label: place for place, label in enumerate(output.classes)}
        labels = [output.classes[positions[one]] for one in np.asarray(model.predict(asked)).ravel().tolist()]
        if not output.probabilities:
            return [{"label": label} for label in labels]
        shares = np.asarray(model.predict_proba(asked), dtype=float).tolist()
        names = [str(one).lower() if isinstance(one, bool) else str(one) for one in output.classes]
        return [
            {"label": label, "probabilities": dict(zip(names, share, strict=True))}
            for label, share in zip(labels, shares, strict=True)
        ]
    return [{"value": value} for value in np.asarray(model.predict(asked), dtype=float).ravel().tolist()]


def close(got: Any, wanted: Any, *, relative: float, absolute: float) -> bool:
    """Whether two answers are one: everything equal but numbers, which may be apart by so much."""
    if isinstance(wanted, dict):
        return got.keys() == wanted.keys() and all(
            close(got[key], value, relative=relative, absolute=absolute) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return len(got) == len(wanted) and all(
            close(one, other, relative=relative, absolute=absolute) for one, other in zip(got, wanted, strict=True)
        )
    if isinstance(wanted, float):
        return abs(got - wanted) <= absolute + relative * abs(wanted)
    return type(got) is type(wanted) and got == wanted
