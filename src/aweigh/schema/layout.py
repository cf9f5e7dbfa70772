"""Which columns of a schema lie side by side in a block: those of one type, in the schema's order.

Whoever makes blocks of a schema's columns, from JSON or from Arrow, makes them by one ``Layout``.
"""

from aweigh.schema.column import Column, Schema
from aweigh.table.blocks import Layout


def is_apart(column: Column) -> bool:
    """Whether the column lies in no block: its cells are judged one by one."""
    limited = column.lower_limit is not None or column.upper_limit is not None
    return column.is_time or (limited and not column.is_number)


def together(schema: Schema) -> list[list[int]]:
    """The places of the columns that are read together."""
    found: dict[str, list[int]] = {}
    for i, column in enumerate(schema.columns):
        kind: str = "text" if column.is_text else column.type
        found.setdefault(f"column {i}" if is_apart(column) else kind, []).append(i)
    return list(found.values())


def layout_of(schema: Schema) -> Layout:
    """The layout of the blocks."""
    groups = [places for places in together(schema) if not is_apart(schema.columns[places[0]])]
    return Layout(schema.names, tuple(tuple(schema.columns[i].name for i in places) for places in groups))
