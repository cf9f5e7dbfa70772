"""A checked ``Table`` as the pandas DataFrame that the original model is asked with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.schema import Column
from aweigh.table import Table, Values
from aweigh.table.columns import DATE_DTYPE, NONE_DTYPE, ORDERED_DTYPE

FIRST_WITH_STR = 3
"""The first pandas with a dtype ``str`` of its own: before, text was kept as objects."""


def table_to_frame(table: Table, columns: Sequence[Column]) -> Any:
    """The DataFrame of these columns, in their order, in the sample's dtypes, whatever the table's rows hold.

    One row has the same dtypes as a thousand: a column of whole numbers that may be missing is float64 with NaN,
    text is ``str`` (``object`` before pandas 3) with NaN, a boolean that may be missing is ``object`` with NaN. A
    category that the sample did not have becomes NaN, as it does in pandas: no model can tell the two apart.
    """
    import pandas as pd

    return pd.DataFrame({column.name: _array(pd, column, table[column.name]) for column in columns}, copy=False)


def _array(pd: Any, column: Column, values: Values) -> Any:
    """The column as an array that pandas takes as it is."""
    dtype = column.dtype
    if dtype in {"category", ORDERED_DTYPE}:
        kinds = [int(kind) if column.type == "integer" else kind for kind in column.categories or ()]
        cells = values.data.astype(object)
        gone = values.as_mask() | ~np.isin(values.data, np.array(kinds, dtype=values.data.dtype))
        return pd.Categorical(_marked(cells, gone, np.nan), categories=kinds, ordered=dtype == ORDERED_DTYPE)
    if dtype == DATE_DTYPE:
        days = values.data.astype("datetime64[D]").astype(object)
        return pd.Series(_marked(days, values.as_mask(), None), dtype=object)
    if dtype.startswith("datetime64"):
        return _times(pd, dtype, values)
    if column.is_time:
        days = np.datetime_as_string(values.data.astype("datetime64[D]"))
        return _objects(pd, dtype, days.astype(object), values.as_mask())
    if dtype == "bool" and not column.nullable:
        return values.data
    if dtype.startswith(("float", "int", "uint")) and not dtype.endswith("[pyarrow]"):
        return _numbers(values, "float64" if column.nullable and not dtype.startswith("float") else dtype)
    return _objects(pd, dtype, values.data.astype(object), values.as_mask())


def _numbers(values: Values, dtype: str) -> NDArray[Any]:
    data = values.data.astype(dtype, copy=False)
    if values.missing is not None and values.missing.any():
        data = data.copy()
        data[values.missing] = np.nan
    return data


def _objects(pd: Any, dtype: str, cells: NDArray[Any], missing: NDArray[np.bool_]) -> Any:
    """Plain Python values, and what stands for a missing one in the dtype: None, NaN or ``pd.NA``."""
    if dtype == NONE_DTYPE:
        return pd.Series(_marked(cells, missing, None), dtype=object)
    plain = dtype in {"object", "bool"} or (dtype == "str" and int(pd.__version__.partition(".")[0]) < FIRST_WITH_STR)
    if plain:
        return pd.Series(_marked(cells, missing, np.nan), dtype=object)
    return pd.array(_marked(cells, missing, np.nan if dtype == "str" else pd.NA), dtype=dtype)


def _marked(cells: NDArray[Any], missing: NDArray[np.bool_], marker: object) -> NDArray[Any]:
    cells[missing] = marker
    return cells


def _times(pd: Any, dtype: str, values: Values) -> Any:
    """Points in time in the sample's unit and zone; what the table holds is UTC."""
    stamps = values.data.astype("datetime64[us]", copy=True)
    stamps[values.as_mask()] = np.datetime64("NaT")
    unit, _, zone = dtype.removeprefix("datetime64[").removesuffix("]").partition(", ")
    index = pd.DatetimeIndex(stamps)
    if zone:
        index = index.tz_localize("UTC").tz_convert(zone)
    return index.as_unit(unit)
