"""The sample made ready: typed, without the target, in the model's order, with the owner's words added."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from aweigh.config import ColumnConfig, Config
from aweigh.errors import ConfigError, DataError, UsageError
from aweigh.models.family import Described
from aweigh.schema.check import nearest
from aweigh.schema.column import Column
from aweigh.schema.infer import infer_columns
from aweigh.table import Table, TextTable

if TYPE_CHECKING:
    import pandas as pd

MAX_SAMPLE_ROWS = 1_000_000
COLUMN_TYPES = ("number", "integer", "boolean", "category", "text", "date", "datetime")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A typed sample: ``table`` holds the input columns alone, in the model's order; ``target`` names the target."""

    columns: tuple[Column, ...]
    table: Table
    target: str | None
    left_out: tuple[str, ...]


def open_sample(data: "Path | pd.DataFrame | Table") -> tuple[tuple[Column, ...], Table]:
    """Columns and rows of a file, a DataFrame or a table, typed by what they hold.

    Raises:
        DataError: no rows, or bytes that are not what the file's name says.
    """
    if isinstance(data, Path):
        from aweigh.table.files import read_sample

        given: Table | TextTable = read_sample(data, max_rows=MAX_SAMPLE_ROWS)
        columns, table = infer_columns(given)
    elif isinstance(data, Table):
        columns, table = infer_columns(data)
    else:
        from aweigh.table.frame import frame_to_table

        framed, dtypes = frame_to_table(data)
        columns, table = infer_columns(framed, dtypes=dtypes)
    if table.rows == 0:
        raise DataError("The sample has no rows.", hint="give some rows like those the model was trained on")
    return columns, table


def align(
    columns: tuple[Column, ...], table: Table, *, described: Described, target: str | None, config: Config
) -> Sample:
    """Takes the target out and puts the rest in the model's order.

    Raises:
        UsageError: the target is no column of the sample, or a column that the model needs is missing.
    """
    names = [column.name for column in columns]
    if target is not None and target not in names:
        near = nearest(target, names)
        ask = f"did you mean {near!r}?" if near else f"the sample has {', '.join(names)}"
        raise UsageError(f"The sample has no column {target!r}.", hint=ask)
    wanted = _wanted(names, described, target)
    _check_config(config, wanted)
    by_name = {column.name: column for column in columns}
    kept = tuple(_told(by_name[name], config.columns.get(name), described.categories.get(name)) for name in wanted)
    left_out = tuple(name for name in names if name not in wanted and name != target)
    return Sample(kept, table.select(wanted), target, left_out)


def _wanted(names: Sequence[str], described: Described, target: str | None) -> list[str]:
    inputs = [name for name in names if name != target]
    if described.features is not None:
        missing = [name for name in described.features if name not in inputs]
        if missing:
            near = nearest(missing[0], inputs)
            raise UsageError(
                f"The model was fitted with a column {missing[0]!r} that the sample does not have"
                + (f" (and {len(missing) - 1} more)." if len(missing) > 1 else "."),
                hint=f"is {near!r} meant to be it?" if near else f"the sample has {', '.join(inputs)[:200]}",
            )
        return list(described.features)
    if described.feature_count is not None and described.feature_count != len(inputs):
        hint = (
            "name the target with --target" if target is None and len(inputs) == described.feature_count + 1 else None
        )
        raise UsageError(
            f"The model takes {described.feature_count} columns and the sample has {len(inputs)}.",
            hint=hint or "give a sample with exactly the model's columns, in its order",
        )
    return inputs


def _check_config(config: Config, wanted: Sequence[str]) -> None:
    for name in config.columns:
        if name not in wanted:
            near = nearest(name, wanted)
            hint = f"did you mean columns.{near}?" if near else f"the model takes {', '.join(wanted)[:200]}"
            raise ConfigError(f"aweigh.toml speaks of a column {name!r} that the model does not take.", hint=hint)


def _told(column: Column, said: ColumnConfig | None, kinds: tuple[str, ...] | None) -> Column:
    """A column with what its model and its owner say of it."""
    if kinds is not None and column.categories is None:
        column = msgspec.structs.replace(column, categories=kinds)
    if said is None:
        return column
    changes = {key: value for key, value in msgspec.structs.asdict(said).items() if value is not None}
    if said.type is not None and said.type not in COLUMN_TYPES:
        raise ConfigError(f"columns.{column.name}.type is {said.type!r}.", hint=f"known: {', '.join(COLUMN_TYPES)}")
    if said.type is not None and {said.type, column.type} - {"category", "text"} and said.type != column.type:
        raise ConfigError(
            f"columns.{column.name}.type is {said.type!r}, and the sample holds {column.type}.",
            hint="text may be told to be a category or the other way round; anything else, change in the sample",
        )
    if said.nullable and column.dtype in {"int64", "int32"}:
        changes["dtype"] = "float64"
    if said.nullable is False and column.nullable:
        raise ConfigError(f"columns.{column.name}.nullable is false, and the sample has missing values there.")
    for key in ("minimum", "maximum"):
        if key in changes:
            changes[key] = _wider(column, key, changes[key])
    if said.categories is not None:
        changes["categories"] = tuple(
            dict.fromkeys((*said.categories, *(() if said.closed else column.categories or ())))
        )
    return msgspec.structs.replace(column, **changes)


def _wider(column: Column, key: str, said: object) -> object:
    seen = getattr(column, key)
    if type(said) is str is not type(seen) is str or isinstance(said, bool):
        raise ConfigError(f"columns.{column.name}.{key} is {said!r}, which is not of the column's type.")
    narrower = said > seen if key == "minimum" else said < seen
    if seen is not None and narrower:
        raise ConfigError(
            f"columns.{column.name}.{key} is {said!r}, and the sample holds {seen!r}.",
            hint=f"{key} may widen what was seen; to refuse values, set lower_limit or upper_limit",
        )
    return said
