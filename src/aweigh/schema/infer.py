"""A schema's columns from a sample: types, what may be missing, observed ranges, categories, typical values.

Types are those that pandas gives the same table, since the model was trained on what pandas made of it: a CSV is read
as ``pandas.read_csv`` reads it with its defaults (``007`` is the number 7, ``True`` and ``false`` are booleans, the
words of ``MISSING_WORDS`` are missing). Beyond that, text of which every cell is a date such as ``2026-01-31`` is a
date for people and stays that text for the model (``dtype`` ``str``).
"""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.errors import DataError
from aweigh.schema.cells import INT64_MAX, INT64_MIN, MAX_DIGITS, BadCell, value_parser
from aweigh.schema.column import Column, ColumnType, Scalar
from aweigh.table import MISSING_WORDS, Table, TextTable, Values
from aweigh.table.columns import NONE_DTYPE

MAX_CATEGORIES = 50
"""Text with at most so many kinds is a category, when each stands twice or more on average."""
MAX_CATEGORY_CHARACTERS = 100
MAX_DECIMALS = 6
TEXT_DTYPES = ("str", "object", "category")

_SPACE = "[ \\t\\n\\v\\f\\r]*"
_WHOLE = re.compile(rf"{_SPACE}[+-]?\d+{_SPACE}\Z", re.ASCII)
_NUMBER = re.compile(rf"{_SPACE}[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?{_SPACE}\Z", re.ASCII)
_INFINITE = re.compile(rf"{_SPACE}[+-]?inf(inity)?{_SPACE}\Z", re.ASCII | re.IGNORECASE)
_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)


def infer_columns(
    sample: Table | TextTable, *, dtypes: Mapping[str, str] | None = None
) -> tuple[tuple[Column, ...], Table]:
    """The columns of a sample, in its order, and the sample in their types.

    ``dtypes`` are pandas dtypes by column where the caller knows better than the sample, as ``frame_to_table`` does.

    Raises:
        DataError: no columns or no rows, infinite numbers, whole numbers beyond 64 bits, text that no text may hold.
    """
    if not sample.columns:
        raise DataError("The sample has no columns.")
    if not sample.rows:
        raise DataError("The sample has no rows.", hint="give a sample of what the model will be asked with")
    known = dtypes or {}
    inferred: dict[str, tuple[Column, Values]] = {}
    for name, given in sample.columns.items():
        dtype = known.get(name)
        if not isinstance(given, Values):
            values = _values_of_text(name, given, dtype=dtype)
        else:
            values = given if dtype is None else replace(given, dtype=dtype)
        inferred[name] = _infer(name, values)
    columns = tuple(column for column, _ in inferred.values())
    return columns, Table({name: values for name, (_, values) in inferred.items()}, sample.rows)


# -- what a CSV says -------------------------------------------------------------------------------------------------


def _values_of_text(name: str, cells: Sequence[str], *, dtype: str | None) -> Values:
    """Cells of text in the type that pandas.read_csv gives their column (or, where a dtype is named, in that)."""
    kinds = [kind for kind in dict.fromkeys(cells) if kind not in MISSING_WORDS]
    missing = np.array([cell in MISSING_WORDS for cell in cells], dtype=bool)
    if dtype is not None and dtype.startswith(TEXT_DTYPES):
        return _filled(cells, {kind: kind for kind in kinds}, missing, blank="", dtype=dtype)
    if not kinds:
        return Values(np.zeros(len(cells)), missing, "float64")
    if all(_WHOLE.match(kind) for kind in kinds) and not (dtype or "").startswith("float"):
        wholes = {kind: int(kind) if len(kind) <= MAX_DIGITS else INT64_MAX + 1 for kind in kinds}
        for kind, whole in wholes.items():
            if not INT64_MIN <= whole <= INT64_MAX:
                what = f"{kind.strip()[:40]} does not fit 64 bits"
                raise _refused(name, cells.index(kind), what, "is it a code? put a letter before it")
        return _filled(cells, wholes, missing, blank=0, dtype=dtype or "int64")
    if all(_NUMBER.match(kind) or _INFINITE.match(kind) for kind in kinds):
        numbers = {kind: float(kind) for kind in kinds}
        return _filled(cells, numbers, missing, blank=0.0, dtype=dtype or "float64")
    if all(kind.lower() in {"true", "false"} for kind in kinds):
        meaning = {kind: kind.lower() == "true" for kind in kinds}
        return _filled(cells, meaning, missing, blank=False, dtype="object" if missing.any() else "bool")
    return _filled(cells, {kind: kind for kind in kinds}, missing, blank="", dtype="str")


def _filled(
    cells: Sequence[str], meaning: Mapping[str, Scalar], missing: NDArray[np.bool_], *, blank: Scalar, dtype: str
) -> Values:
    data = np.array([meaning.get(cell, blank) for cell in cells], dtype=object if isinstance(blank, str) else None)
    return Values(data, missing if missing.any() else None, dtype)


def _refused(name: str, row: int, what: str, hint: str) -> DataError:
    return DataError(f"Column {name!r} of the sample, row {row}: {what}.", hint=hint)


# -- columns ---------------------------------------------------------------------------------------------------------


def _infer(name: str, values: Values) -> tuple[Column, Values]:
    """One column and its values; whole, real, true or false, time, text."""
    describe = {"i": _whole, "f": _real, "b": _truth, "M": _time, "O": _text}[values.data.dtype.kind]
    return describe(name, values)


def _finished(column: Column, values: Values) -> tuple[Column, Values]:
    column = msgspec.structs.replace(column, nullable=bool(values.as_mask().any()))
    return column, replace(values, dtype=column.dtype, categories=column.categories)


def _whole(name: str, values: Values) -> tuple[Column, Values]:
    dtype = values.dtype or "int64"
    present = values.present()
    if dtype.startswith("category"):
        kinds = values.categories or tuple(str(one) for one in np.unique(present).tolist())
    else:
        kinds = None
        if len(present) < len(values) and dtype.startswith(("int", "uint")) and not dtype.endswith("[pyarrow]"):
            dtype = "float64"  # pandas' own whole numbers know no missing value
    column = Column(name=name, type="integer", dtype=dtype, categories=kinds)
    if len(present):
        # Where numbers are names of kinds, what lies between two of them need not be one.
        middle = round(float(np.median(present.astype(np.float64))))
        typical = middle if kinds is None else _frequent(present.tolist())
        column = msgspec.structs.replace(
            column, minimum=int(present.min()), maximum=int(present.max()), typical=typical
        )
    return _finished(column, values)


def _real(name: str, values: Values) -> tuple[Column, Values]:
    present = np.asarray(values.present(), dtype=np.float64)
    infinite = np.flatnonzero(~np.isfinite(values.data.astype(np.float64)) & ~values.as_mask())
    if len(infinite):
        raise _refused(name, int(infinite[0]), "the number is not finite", "make it an empty cell, or a number that is")
    column = Column(name=name, type="number", dtype=values.dtype or "float64")
    if len(present):
        decimals = _decimals(present.astype(np.float32) if column.dtype in {"float32", "Float32"} else present)
        column = msgspec.structs.replace(
            column,
            minimum=float(present.min()),
            maximum=float(present.max()),
            typical=round(float(np.median(present)), decimals),
            decimals=decimals,
        )
    return _finished(column, values)


def _decimals(present: NDArray[np.floating]) -> int:
    """How many digits behind the point the values have, at most ``MAX_DECIMALS``."""
    with np.errstate(over="ignore", invalid="ignore"):
        for digits in range(MAX_DECIMALS):
            if (np.round(present, digits) == present).all():
                return digits
    return MAX_DECIMALS


def _truth(name: str, values: Values) -> tuple[Column, Values]:
    dtype = values.dtype or "bool"
    present = values.present()
    if dtype == "bool" and len(present) < len(values):
        dtype = NONE_DTYPE  # what pandas makes of Arrow, Parquet and JSON
    typical = bool(present.sum() * 2 > len(present)) if len(present) else None
    return _finished(Column(name=name, type="boolean", dtype=dtype, typical=typical), values)


def _time(name: str, values: Values) -> tuple[Column, Values]:
    present = np.sort(values.present())
    whole_days = bool((present.astype("datetime64[D]") == present).all())
    kind: ColumnType = "date" if whole_days else "datetime"
    column = Column(name=name, type=kind, dtype=values.dtype or "datetime64[us]")
    if len(present):
        low, middle, high = (_iso(present[i], kind) for i in (0, (len(present) - 1) // 2, -1))
        column = msgspec.structs.replace(column, minimum=low, maximum=high, typical=middle)
    return _finished(column, values)


def _iso(moment: np.generic, kind: ColumnType) -> str:
    stamp: dt.datetime = moment.item()
    return stamp.date().isoformat() if kind == "date" else stamp.isoformat()


def _text(name: str, values: Values) -> tuple[Column, Values]:
    dtype = values.dtype or "str"
    counts = Counter(values.present().tolist())
    categorical = dtype.startswith("category")
    if not categorical and counts and all(_is_day(kind) for kind in counts):
        blanked = np.where(values.as_mask(), "1970-01-01", values.data)
        return _time(name, Values(blanked.astype("datetime64[us]"), values.missing, dtype))
    column = Column(name=name, type="text", dtype=dtype, typical=_frequent(counts))
    if categorical:
        kinds = sorted(counts) if values.categories is None else values.categories
        column = msgspec.structs.replace(column, type="category", categories=tuple(kinds))
    elif _few(counts):
        column = msgspec.structs.replace(column, type="category", categories=tuple(sorted(counts)))
    if column.type == "text" and (words := sorted(MISSING_WORDS & counts.keys() - {""})):
        column = msgspec.structs.replace(column, present_words=tuple(words))
    parse = value_parser(column)
    for kind in dict.fromkeys((*counts, *(column.categories or ()))):
        try:
            parse(kind)
        except BadCell as bad:
            raise _refused(name, values.data.tolist().index(kind), bad.message, "clean the text") from None
    return _finished(column, values)


def _frequent(cells: Iterable[Scalar]) -> Scalar | None:
    """The value that stands most often, the first of them on a tie."""
    return next((value for value, _ in Counter(cells).most_common(1)), None)


def _is_day(text: str) -> bool:
    """Whether the text is a date, written the one way that a date is written back."""
    if not _DAY.match(text):
        return False
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _few(counts: Mapping[str, int]) -> bool:
    """Whether text is a category: few kinds, short ones, each standing twice or more on average."""
    return (
        0 < len(counts) <= MAX_CATEGORIES
        and sum(counts.values()) >= 2 * len(counts)
        and max(map(len, counts)) <= MAX_CATEGORY_CHARACTERS
    )
