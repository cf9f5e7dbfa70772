"""The sample made ready: typed, without the target, in the model's order, with the owner's words added."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from aweigh.config import ColumnConfig, Config
from aweigh.errors import ConfigError, DataError, UsageError, listed
from aweigh.models.family import Described
from aweigh.schema.cells import BadCell, value_parser
from aweigh.schema.check import examine, nearest
from aweigh.schema.column import Column, Schema
from aweigh.schema.infer import infer_columns
from aweigh.table import Table, TextTable
from aweigh.table.csv import HEADER_HINT, looks_like_data, named_as

if TYPE_CHECKING:
    import pandas as pd

MAX_SAMPLE_ROWS = 1_000_000
CATEGORY = "category"
"""pandas' own name of the dtype, and how that of ordered categories begins here."""
COLUMN_TYPES = ("number", "integer", "boolean", "category", "text", "date", "datetime")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A typed sample: ``table`` holds the input columns alone, in the model's order; ``target`` names the target."""

    columns: tuple[Column, ...]
    table: Table
    target: str | None
    left_out: tuple[str, ...]


def open_sample(
    data: "Path | pd.DataFrame | Table", *, described: Described | None = None
) -> tuple[tuple[Column, ...], Table]:
    """Columns and rows of a file, a DataFrame or a table, typed by what they hold and by what the model takes them for.

    Raises:
        DataError: no rows, or bytes that are not what the file's name says.
    """
    if isinstance(data, Path):
        from aweigh.table.files import read_sample

        given: Table | TextTable = read_sample(data, max_rows=MAX_SAMPLE_ROWS)
        if isinstance(given, TextTable) and described is not None and described.features is not None:
            given = given.renamed(named_as(given.columns, described.features))
        dtypes: dict[str, str] = {}
    elif isinstance(data, Table):
        given, dtypes = data, {}
    else:
        from aweigh.table.frame import frame_to_table

        given, dtypes = frame_to_table(data)
    for name in given.columns:
        kinds = _kinds_of(name, described)
        if kinds and isinstance(kinds[0], str) and not dtypes.get(name, "").startswith(CATEGORY):
            dtypes[name] = CATEGORY  # also where every kind looks like a number or a date
    columns, table = infer_columns(given, dtypes=dtypes)
    if table.rows == 0:
        raise _no_rows()
    return columns, table


def glance(data: "Path | pd.DataFrame | Table", *, target: str | None) -> None:
    """Says what is wrong with a sample at first look, before the model is read; of large files that is their header.

    Raises:
        DataError: it has no rows, or is no table.
        UsageError: the target is no column of it.
    """
    if isinstance(data, Path):
        from aweigh.table.files import first_look

        look = first_look(data)
        if look is None:
            return
        names, has_rows = look
    else:
        names = [str(name) for name in data.columns]
        has_rows = (data.rows if isinstance(data, Table) else len(data)) > 0
    if not has_rows:
        raise _no_rows()
    _require_target(names, target)


def _no_rows() -> DataError:
    return DataError("The sample has no rows.", hint="give some rows like those the model was trained on")


def _no_header() -> UsageError:
    return UsageError(
        "The sample's columns are all named by numbers: its first line seems to be data.", hint=HEADER_HINT
    )


def _require_target(names: Sequence[str], target: str | None) -> None:
    if target is not None and target not in names:
        if looks_like_data(names):
            raise _no_header()
        near = nearest(target, names)
        ask = f"did you mean {near!r}?" if near else f"the sample has {', '.join(names)}"
        raise UsageError(f"The sample has no column {target!r}.", hint=ask)


def align(
    columns: tuple[Column, ...], table: Table, *, described: Described, target: str | None, config: Config
) -> Sample:
    """Takes the target out and puts the rest in the model's order.

    Raises:
        UsageError: the target is no column of the sample, or a column that the model needs is missing.
    """
    names = [column.name for column in columns]
    _require_target(names, target)
    if target is not None and target in (described.features or ()):
        raise UsageError(
            f"The model takes {target!r} as an input, so it cannot be what is predicted.",
            hint="name the column that holds the right answers, or leave --target out",
        )
    wanted = _wanted(names, described, target)
    _check_config(config, wanted)
    by_name = {column.name: column for column in columns}
    kept = tuple(
        _told(_of_kinds(by_name[name], _kinds_of(name, described)), config.columns.get(name)) for name in wanted
    )
    left_out = tuple(name for name in names if name not in wanted and name != target)
    return Sample(kept, table.select(wanted), target, left_out)


def within_limits(schema: Schema, table: Table) -> tuple[Table, int]:
    """The sample's rows that the owner's own limits let in, and how many they do not.

    Raises:
        ConfigError: they let in none.
    """
    examined = examine(schema, table)
    beyond = int(examined.bad.sum())
    if beyond == table.rows:
        raise ConfigError(
            f"The limits in aweigh.toml let in no row of the sample: {examined.problems[0].message}.",
            hint="widen lower_limit, upper_limit or the closed categories, or give a sample that fits them",
        )
    return (examined.table.take(~examined.bad) if beyond else examined.table), beyond


def _kinds_of(name: str, described: Described | None) -> tuple[str | int, ...]:
    """The kinds that the model holds of a column of the sample, none when it takes it for something else."""
    if described is None:
        return ()
    own = {_as_written(name, described): kinds for name, kinds in described.categories.items()}
    return own.get(_as_written(name, described), ())


def _as_written(name: str, described: Described) -> str:
    """A column's name as the model's library writes it."""
    return name.replace(" ", "_") if described.blanks_as_underscores else name


def _of_kinds(column: Column, kinds: tuple[str | int, ...]) -> Column:
    """The column as the category that the model was trained with: its own kinds, in its own order.

    Raises:
        UsageError: the sample holds text there and the model's kinds are numbers, or the other way round.
    """
    if not kinds:
        return column
    if column.type != ("category" if isinstance(kinds[0], str) else "integer"):
        of = "text" if isinstance(kinds[0], str) else "whole numbers"
        raise UsageError(
            f"The model takes {column.name!r} as a category of {of}, and the sample holds {column.type} there.",
            hint=f"the model knows {', '.join(map(str, kinds[:8]))}{', ...' if len(kinds) > 8 else ''}",
        )
    dtype = column.dtype if column.dtype.startswith(CATEGORY) else CATEGORY
    return msgspec.structs.replace(column, dtype=dtype, categories=tuple(str(kind) for kind in kinds))


def _wanted(names: Sequence[str], described: Described, target: str | None) -> list[str]:
    inputs = [name for name in names if name != target]
    if described.features is not None:
        written = {_as_written(name, described): name for name in inputs}
        features = [written.get(name, name) for name in described.features]
        missing = [name for name in features if name not in inputs]
        if missing:
            if looks_like_data(inputs) and len(missing) == len(features):
                raise _no_header()
            near = nearest(missing[0], inputs)
            columns = f"a column {missing[0]!r}" if len(missing) == 1 else f"columns {listed(missing)}"
            raise UsageError(
                f"The model was fitted with {columns} that the sample does not have.",
                hint=f"is {near!r} meant to be {missing[0]!r}?"
                if near
                else f"the sample has {', '.join(inputs)[:200]}",
            )
        return features
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


def _told(column: Column, said: ColumnConfig | None) -> Column:
    """A column with what its owner says of it."""
    if said is None:
        return column
    changes = {key: value for key, value in msgspec.structs.asdict(said).items() if value is not None}
    changes.pop("domain", None)  # the policy is no part of the schema
    changes.pop("personal", None)  # packing/personal.py, which looks at the sample as well
    if said.type is not None and said.type not in COLUMN_TYPES:
        raise ConfigError(f"columns.{column.name}.type is {said.type!r}.", hint=f"known: {', '.join(COLUMN_TYPES)}")
    if said.type is not None and {said.type, column.type} - {"category", "text"} and said.type != column.type:
        raise ConfigError(
            f"columns.{column.name}.type is {said.type!r}, and the sample holds {column.type}.",
            hint="text may be told to be a category or the other way round; anything else, change in the sample",
        )
    _refuse_unfit(column, said)
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


def _refuse_unfit(column: Column, said: ColumnConfig) -> None:
    """Refuses what the owner says of a column and no value of it could be.

    Raises:
        ConfigError: a value of another type, limits that leave nothing, categories of what is no text.
    """
    where = f"columns.{column.name}"
    parse = value_parser(column)
    parsed: dict[str, Any] = {}
    for key in ("minimum", "maximum", "lower_limit", "upper_limit", "default"):
        value = getattr(said, key)
        if value is None:
            continue
        if key != "default" and not (column.is_number or column.is_time):
            raise ConfigError(f"{where}.{key} is said of a {column.type} column, which has no order.")
        try:
            parsed[key] = parse(value)
        except BadCell as bad:
            raise ConfigError(f"{where}.{key}: {bad.message}.") from bad
        if parsed[key] is None:
            raise ConfigError(f"{where}.{key} is {value!r}, which is no value.")
    low, high = parsed.get("lower_limit"), parsed.get("upper_limit")
    if low is not None and high is not None and low > high:
        raise ConfigError(f"{where}: lower_limit {said.lower_limit!r} is above upper_limit {said.upper_limit!r}.")
    if said.categories is not None and not column.is_text:
        raise ConfigError(f"{where}.categories is said of a {column.type} column.", hint="only text has categories")


def _wider(column: Column, key: str, said: object) -> object:
    seen = getattr(column, key)
    if seen is None or isinstance(said, str) != isinstance(seen, str) or isinstance(said, bool):
        raise ConfigError(f"columns.{column.name}.{key} is {said!r}, which is not of the column's type.")
    if said > seen if key == "minimum" else said < seen:
        raise ConfigError(
            f"columns.{column.name}.{key} is {said!r}, and the sample holds {seen!r}.",
            hint=f"{key} may widen what was seen; to refuse values, set lower_limit or upper_limit",
        )
    return said
