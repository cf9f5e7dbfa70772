"""The schema: what a model takes and what it answers; inferred from a sample, checked on every row that comes."""

from aweigh.schema.answers import Answers
from aweigh.schema.check import Examined, check, examine, examine_rows
from aweigh.schema.column import Column, ColumnType, Output, Schema, Task

__all__ = [
    "Answers",
    "Column",
    "ColumnType",
    "Examined",
    "Output",
    "Schema",
    "Task",
    "check",
    "examine",
    "examine_rows",
]
