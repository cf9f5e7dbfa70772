"""The schema: what a model takes and what it answers; inferred from a sample, checked on every row that comes.

The names below are imported when first used (PEP 562): whoever only reads a schema, as ``aweigh inspect`` does, needs
no numpy. The function ``check`` is not among them, since its module has the same name: it is imported from there.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aweigh.schema.answers import Answers
    from aweigh.schema.check import Examined, examine, examine_rows
    from aweigh.schema.column import Column, ColumnType, Output, Schema, Task

_HOME = {
    "Answers": "aweigh.schema.answers",
    "Column": "aweigh.schema.column",
    "ColumnType": "aweigh.schema.column",
    "Examined": "aweigh.schema.check",
    "Output": "aweigh.schema.column",
    "Schema": "aweigh.schema.column",
    "Task": "aweigh.schema.column",
    "examine": "aweigh.schema.check",
    "examine_rows": "aweigh.schema.check",
}

__all__ = [
    "Answers",
    "Column",
    "ColumnType",
    "Examined",
    "Output",
    "Schema",
    "Task",
    "examine",
    "examine_rows",
]


def __getattr__(name: str) -> object:
    """A name of this package, imported when it is first asked for."""
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
