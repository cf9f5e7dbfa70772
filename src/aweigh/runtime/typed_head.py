"""Whether the columns of a Parquet or Arrow file are the model's, by what the file says of them and no row of it."""

import gzip
from collections.abc import Mapping
from io import BufferedReader

import numpy as np

from aweigh.errors import InvalidRows, Problem
from aweigh.runtime.rows_in import named_columns
from aweigh.runtime.score_plan import Wish, plan_table
from aweigh.schema import Schema, examine
from aweigh.schema.cells import EXPECTED
from aweigh.table import Table, Values
from aweigh.table.arrow_head import check_whole, read_fields
from aweigh.table.arrow_stream import FLOATS, INTEGERS, TEXTS, ArrowType, check_type
from aweigh.table.columns import DATE_DTYPE
from aweigh.table.files import FileKind
from aweigh.table.pandas_notes import read_notes
from aweigh.table.parquet_head import TableHead, read_parquet_head

MOMENT = "2026-01-31T12:00:00"
_WORDS = np.array(["1", "true", "2026-01-31", MOMENT], dtype=object)
ROWS = len(_WORDS)


def check_typed(schema: Schema, file: BufferedReader, kind: FileKind, *, wish: Wish) -> None:
    """Holds an open file's columns and their types against the model's. One packed with gzip is left as it is.

    Raises:
        MalformedBody: the file is damaged or cut short.
        InvalidRows: a column that the model needs is not there, one is there that it does not have, or one is of a
            type of which no cell can be right.
        UnsupportedMedia: a column for the model is of a type that no model takes.
        UsageError: a column is to be kept that is not there.
    """
    if isinstance(file.raw, gzip.GzipFile):
        return
    head = read_parquet_head(file) if kind == "parquet" else _arrow_head(file)
    if head is None:
        return
    plan = plan_table(
        schema, named_columns(head.types, head.notes.index), text=False, known=head.notes.index, wish=wish
    )
    types = {name: head.types[name] for name in plan.inputs}
    for name, one in types.items():
        if one.kind:
            check_type(name, one)
    _check_types(schema, types, head.empty)


def _arrow_head(file: BufferedReader) -> TableHead:
    types, notes = read_fields(file)
    check_whole(file)
    return TableHead(types, read_notes(notes))


def _check_types(schema: Schema, types: Mapping[str, ArrowType], empty: frozenset[str]) -> None:
    """Some cells of each type are judged as those of a file would be: where all are of a wrong type, any will be."""
    samples = {name: values for name, one in types.items() if (values := _sample(one)) is not None}
    wrong = dict.fromkeys(samples, 0)
    for problem in examine(schema, Table(samples, ROWS), most=None).problems:
        if problem.code == "wrong_type" and problem.column in wrong:
            wrong[problem.column] += 1
    problems = tuple(
        Problem(
            "wrong_type",
            f"column {column.name!r} is of type {types[column.name].kind}: expected {EXPECTED[column.type]}",
            column=column.name,
        )
        for column in schema.columns
        if wrong.get(column.name) == ROWS and not (column.nullable and column.name in empty)
    )
    if problems:
        raise InvalidRows(problems, total=len(problems))


def _sample(one: ArrowType) -> Values | None:
    """Cells of a type; None for one of which nothing is said here."""
    if one.kind in TEXTS:
        return Values(_WORDS, None, "str")
    if one.kind in INTEGERS:
        return Values(np.arange(ROWS), None, "int64")
    if one.kind in FLOATS or one.kind == "decimal":
        return Values(np.arange(ROWS, dtype=np.float64), None, "float64")
    if one.kind == "bool":
        return Values(np.arange(ROWS) % 2 == 0, None, "bool")
    if one.kind in {"date32", "date64", "timestamp"}:
        moments = np.full(ROWS, np.datetime64(MOMENT if one.kind == "timestamp" else MOMENT[:10], "us"))
        return Values(moments, None, "datetime64[us]" if one.kind == "timestamp" else DATE_DTYPE)
    return None
