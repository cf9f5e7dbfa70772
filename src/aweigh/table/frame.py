"""A pandas DataFrame as a ``Table``, with the dtypes that it had."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.errors import DataError
from aweigh.table.columns import DATE_DTYPE, NONE_DTYPE, ORDERED_DTYPE, Table, Values

Mask = NDArray[np.bool_]

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def frame_to_table(frame: Any) -> tuple[Table, dict[str, str]]:
    """A DataFrame as a table, and each column's dtype; the index is left out.

    ``None``, NaN, ``pd.NA`` and ``NaT`` are missing. Times with a zone become UTC. Besides pandas' own names a dtype
    may be ``category[ordered]`` and ``object[none]``.

    Raises:
        DataError: column names that are not text, are empty or double; a column of values of several kinds, of a dtype
            that no model takes, with whole numbers beyond 64 bits or times outside the years 1 to 9999.
    """
    _check_names(list(frame.columns))
    columns = {name: _values(name, frame[name]) for name in frame.columns}
    return Table(columns, len(frame)), {name: str(values.dtype) for name, values in columns.items()}


def _check_names(names: list[object]) -> None:
    for name in names:
        if not isinstance(name, str) or not name:
            hint = "rename the columns: frame.columns = [str(name) for name in frame.columns]"
            raise DataError(f"The DataFrame has a column named {name!r}, and names must be text.", hint=hint)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"The DataFrame has more than one column named {twice[0]!r}.")


def _values(name: str, series: Any) -> Values:
    dtype = series.dtype
    missing = np.asarray(series.isna(), dtype=bool)
    if type(dtype).__name__ == "CategoricalDtype":
        return _category(name, series, missing)
    kind = getattr(dtype, "kind", "O")
    if type(dtype).__name__ == "SparseDtype" or kind not in "iufbMOU":
        raise _unsupported(name, str(dtype))
    if kind in "iu":
        return _whole(name, series, missing)
    if kind == "f":
        data = series.to_numpy(dtype="float64", na_value=np.nan)
        absent = missing | np.isnan(data)
        # A column of 16 bits is held to 32, see table/arrow.py.
        return _made(np.where(absent, 0.0, data), absent, "float32" if str(dtype) == "float16" else str(dtype))
    if kind == "b":
        return _made(series.to_numpy(dtype=bool, na_value=False), missing, str(dtype))
    if kind == "M":
        return _times(name, series, missing)
    return _objects(name, series, missing)


def _made(data: NDArray[Any], missing: Mask, dtype: str, categories: tuple[str, ...] | None = None) -> Values:
    return Values(data, missing if missing.any() else None, dtype, categories)


def _unsupported(name: str, dtype: str) -> DataError:
    return DataError(
        f"Column {name!r} is of dtype {dtype}, which no model takes.",
        hint="turn it into numbers, booleans, text, dates or categories, or leave it out",
    )


def _beyond(name: str) -> DataError:
    return DataError(f"Column {name!r} holds whole numbers beyond 64 bits with a sign.", hint="make it text")


def _whole(name: str, series: Any, missing: Mask) -> Values:
    if series.dtype.kind == "u" and len(series) and not missing.all() and int(series.max()) > INT64_MAX:
        raise _beyond(name)
    return _made(series.to_numpy(dtype="int64", na_value=0), missing, str(series.dtype))


def _category(name: str, series: Any, missing: Mask) -> Values:
    kinds = series.cat.categories.tolist()
    dtype = ORDERED_DTYPE if series.cat.ordered else "category"
    if all(isinstance(kind, str) for kind in kinds):
        lookup = np.array([*kinds, ""], dtype=object)
    elif all(isinstance(kind, int) and not isinstance(kind, bool) for kind in kinds):
        lookup = np.array([*kinds, 0], dtype=np.int64)
    else:
        raise _unsupported(name, f"category of {series.cat.categories.dtype}")
    # The code of a missing cell is -1: the last of the lookup.
    return _made(lookup[series.cat.codes.to_numpy()], missing, dtype, tuple(str(kind) for kind in kinds))


def _times(name: str, series: Any, missing: Mask) -> Values:
    zone = getattr(series.dtype, "tz", None)
    naive = series.dt.tz_convert("UTC").dt.tz_localize(None) if zone is not None else series
    stamps = naive.to_numpy(dtype="datetime64[us]")
    present = stamps[~missing]
    if len(present) and not (present.min() >= np.datetime64("0001") and present.max() < np.datetime64("10000")):
        raise DataError(f"Column {name!r} holds times outside the years 1 to 9999.")
    return _made(np.where(missing, np.datetime64(0, "us"), stamps), missing, str(series.dtype))


def _objects(name: str, series: Any, missing: Mask) -> Values:
    """An object or string column by what its cells are: all text, all booleans, all dates, all numbers of one kind."""
    import pandas as pd

    cells = series.tolist()
    present = [cell for cell, gone in zip(cells, missing.tolist(), strict=True) if not gone]
    dtype = _object_dtype(str(series.dtype), cells, missing)
    found = pd.api.types.infer_dtype(present, skipna=False) if present else "string"
    if found == "string":
        data = np.empty(len(cells), dtype=object)
        data[:] = ["" if gone else str(cell) for cell, gone in zip(cells, missing.tolist(), strict=True)]
        return _made(data, missing, dtype)
    if found == "boolean":
        return _made(np.array([cell is not None and bool(cell) for cell in cells]) & ~missing, missing, dtype)
    if found == "date":
        filled = ["1970-01-01" if gone else cell for cell, gone in zip(cells, missing.tolist(), strict=True)]
        days = np.array(filled, dtype="datetime64[D]")
        return _made(days.astype("datetime64[us]"), missing, DATE_DTYPE)
    if found == "decimal":
        return _values(name, series.astype("float64"))
    if found == "integer":
        wholes = [0 if gone else int(cell) for cell, gone in zip(cells, missing.tolist(), strict=True)]
        if not all(INT64_MIN <= one <= INT64_MAX for one in wholes):
            raise _beyond(name)
        return _made(np.array(wholes, dtype=np.int64), missing, dtype)
    if found in {"floating", "mixed-integer-float"}:
        return replace(_values(name, pd.to_numeric(series)), dtype=dtype)
    if found in {"datetime", "datetime64"}:
        return _values(name, pd.to_datetime(series))
    kinds = sorted({type(cell).__name__ for cell in present})
    what = " and ".join(kinds[:3]) if len(kinds) > 1 else f"values of type {kinds[0]}"
    raise DataError(
        f"Column {name!r} of the DataFrame mixes {what}." if len(kinds) > 1 else f"Column {name!r} holds {what}.",
        hint="a column must hold values of one kind: numbers, booleans, text or dates",
    )


def _object_dtype(dtype: str, cells: list[Any], missing: Mask) -> str:
    """``object[none]`` when every missing cell is None."""
    absent = [cells[row] for row in np.flatnonzero(missing).tolist()]
    return NONE_DTYPE if dtype == "object" and absent and all(cell is None for cell in absent) else dtype
