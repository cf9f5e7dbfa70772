"""Whole columns at once: what is plainly right is converted in one pass, what is doubtful is left to be judged alone.

Nothing is refused here. ``whole_text`` and ``whole_values`` say of each row what it means, that it is missing, or that
it is doubtful; the parsers of ``schema/cells.py`` judge the doubtful ones, cell by cell, and so alone decide what a
cell means. Tests hold the two ways against each other.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.schema.cells import FLOAT32_MAX, RESERVED_TEXT, BadCell, Parse, missing_words
from aweigh.schema.column import Column
from aweigh.table import Values

EXACT_WHOLE = 2**53
"""Up to here every whole number is a float64, and every float64 that is whole is exactly what was written."""
FIRST_MOMENT, LAST_MOMENT = np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31T23:59:59.999999", "us")
FEW_KINDS = 4
"""Parsing each distinct cell once pays when each stands so many times on average."""

_NUMBERS = msgspec.json.Decoder(list[float])
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_PLAIN_WHOLE = re.compile(r"[+-]?\d{1,18}\Z", re.ASCII)

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """What a column's rows mean: ``data``, which ``missing`` and ``doubtful`` rows do not have; None: no such row."""

    data: NDArray[Any]
    missing: Mask | None
    doubtful: Mask | None


def blank(column: Column, rows: int) -> NDArray[Any]:
    """An array of the column's type whose cells mean nothing yet."""
    if column.is_text:
        return np.full(rows, "", dtype=object)
    dtype = {"number": "float64", "integer": "int64", "boolean": "bool"}.get(column.type, "datetime64[us]")
    return np.zeros(rows, dtype=dtype)


# -- text of a CSV ---------------------------------------------------------------------------------------------------


def whole_text(column: Column, cells: Sequence[str], parse: Parse) -> Whole | None:
    """CSV cells of a column; None when there is no way but cell by cell."""
    words = missing_words(column)
    if column.is_number:
        return _with_limits(column, _numbers(cells, words, whole=column.type == "integer"))
    by_kind = _by_kind(column, cells, parse)
    if by_kind is not None or not column.is_text:
        return by_kind
    gone = np.fromiter(map(words.__contains__, cells), dtype=bool, count=len(cells))
    return _texts(column, cells, gone if gone.any() else None)


def _numbers(cells: Sequence[str], words: frozenset[str], *, whole: bool) -> Whole:
    """Cells as numbers, all in one go where nothing but numbers and missing cells is there."""
    convert = _wholes if whole else _reals
    at_once = convert(cells)
    if at_once is not None:
        return Whole(at_once[0], None, at_once[1])
    gone = np.fromiter(map(words.__contains__, cells), dtype=bool, count=len(cells))
    missing = _some(gone)
    if missing is not None:
        cells = ["0" if absent else cell for cell, absent in zip(cells, gone.tolist(), strict=True)]
        at_once = convert(cells)
        if at_once is not None:
            return Whole(at_once[0], missing, at_once[1])
    # Somewhere there is something else: each cell is looked at, and what is no plain number is doubtful.
    plain = _PLAIN_WHOLE if whole else _PLAIN_NUMBER
    fits = [plain.match(cell) is not None for cell in cells]
    filled = [cell if ok else "0" for cell, ok in zip(cells, fits, strict=True)]
    data = np.array(list(map(int if whole else float, filled)), dtype=np.int64 if whole else np.float64)
    return Whole(data, missing, ~np.array(fits, dtype=bool))


def _reals(cells: Sequence[str]) -> tuple[NDArray[Any], Mask | None] | None:
    """Cells as float() reads them, when that is how the parser of single cells reads them."""
    at_once = _json_numbers(cells)
    if at_once is not None:
        return at_once, None
    if not _bare(cells):
        return None
    try:
        numbers = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
    except ValueError:
        return None
    # float() also knows words: inf, nan and their like.
    return (numbers, None) if np.isfinite(numbers).all() else None


def _json_numbers(cells: Sequence[str]) -> NDArray[Any] | None:
    """Cells that are all numbers as JSON writes them, a fifth of what float() takes for each; None if any is not.

    JSON allows less than the parser of single cells and means the same by it, but for blanks and for ``-0``, of which
    the decoder makes 0. Both ways give the float64 that is nearest.
    """
    text = ",".join(cells)
    if "-0," in text or text.endswith("-0") or not text.isascii() or text.split(None, 1) != [text]:
        return None
    try:
        numbers = _NUMBERS.decode(f"[{text}]")
    except msgspec.MsgspecError:
        return None
    if len(numbers) != len(cells):  # a cell that holds a comma
        return None
    found = np.fromiter(numbers, dtype=np.float64, count=len(cells))
    return found if np.isfinite(found).all() else None


def _wholes(cells: Sequence[str]) -> tuple[NDArray[Any], Mask | None] | None:
    """Cells as int() reads them; if not, as pandas writes whole numbers of a column with missing ones (39.0)."""
    if not _bare(cells):
        return None
    try:
        return np.fromiter(map(int, cells), dtype=np.int64, count=len(cells)), None
    except (ValueError, OverflowError):
        pass
    found = _reals(cells)
    text = "\n" + "\n".join(cells)
    # A number such as .0 or 1e3 is not whole to the parser of single cells.
    if found is None or "e" in text or "E" in text or any(start in text for start in ("\n.", "+.", "-.")):
        return None
    numbers = found[0]
    sure = (np.floor(numbers) == numbers) & (np.abs(numbers) < EXACT_WHOLE)
    return np.where(sure, numbers, 0).astype(np.int64), ~sure


def _bare(cells: Sequence[str]) -> bool:
    """Whether no cell holds what Python's own numbers may hold and ours not: space, an underscore, other digits."""
    text = "".join(cells)
    return text.isascii() and "_" not in text and text.split(None, 1) in ([text], [])


def _by_kind(column: Column, cells: Sequence[str], parse: Parse) -> Whole | None:
    """Each distinct cell parsed once, where there are few of them."""
    kinds = list(set(cells))
    if len(kinds) * FEW_KINDS > len(cells):
        return None
    meanings: list[object] = []
    doubtful = np.zeros(len(kinds), dtype=bool)
    for i, kind in enumerate(kinds):
        try:
            meanings.append(parse(kind))
        except BadCell:
            meanings.append(None)
            doubtful[i] = True
    missing = np.array([meaning is None for meaning in meanings], dtype=bool) & ~doubtful
    lookup = blank(column, len(kinds))
    for i, meaning in enumerate(meanings):
        if meaning is not None:
            lookup[i] = meaning
    number = {kind: i for i, kind in enumerate(kinds)}
    codes = np.fromiter(map(number.__getitem__, cells), dtype=np.intp, count=len(cells))
    return Whole(lookup[codes], _some(missing[codes]), _some(doubtful[codes]))


def _texts(column: Column, cells: Sequence[str], missing: Mask | None) -> Whole | None:
    """Text of many kinds: allowed is all that is Unicode without NUL, or all that the owner has named."""
    try:
        together = "".join(cells)
    except TypeError:  # something is no text at all
        return None
    if "\x00" in together or RESERVED_TEXT in together or not _encodable(together):
        return None
    data = np.empty(len(cells), dtype=object)
    data[:] = cells
    doubtful = None
    if column.closed and column.categories is not None:
        allowed = frozenset(column.categories)
        strange = np.fromiter((cell not in allowed for cell in cells), dtype=bool, count=len(cells))
        doubtful = _some(strange if missing is None else strange & ~missing)
    return Whole(data, missing, doubtful)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _some(mask: Mask) -> Mask | None:
    return mask if mask.any() else None


# -- typed columns ---------------------------------------------------------------------------------------------------


def whole_values(column: Column, given: Values) -> Whole | None:
    """A typed column as the schema's type; None when there is no way but cell by cell."""
    data, kind = given.data, given.data.dtype.kind
    if column.type == "number" and kind in "fiu":
        numbers = data.astype(np.float64)
        return _with_limits(column, Whole(numbers, _either(given.missing, np.isnan(numbers)), None))
    if column.type == "integer" and kind in "iu" and data.dtype != np.uint64:
        return _with_limits(column, Whole(data.astype(np.int64), given.missing, None))
    if column.type == "integer" and kind == "f":
        sure = (np.floor(data) == data) & (np.abs(data) < EXACT_WHOLE)
        absent = _either(given.missing, np.isnan(data))
        whole = Whole(np.where(sure, data, 0).astype(np.int64), absent, ~sure)
        return _with_limits(column, whole)
    if column.type == "boolean" and kind == "b":
        return Whole(data.copy(), given.missing, None)
    if column.is_text and kind == "O":
        cells = data.tolist()
        if given.missing is not None:
            cells = ["" if gone else cell for cell, gone in zip(cells, given.missing.tolist(), strict=True)]
        return _texts(column, cells, given.missing)
    if column.is_time and kind == "M" and column.lower_limit is None and column.upper_limit is None:
        return _times(column, given)
    return None


def _times(column: Column, given: Values) -> Whole:
    moments = given.data.astype("datetime64[us]")
    doubtful = (moments < FIRST_MOMENT) | (moments > LAST_MOMENT)
    if column.type == "date":
        doubtful |= moments.astype("datetime64[D]") != moments
    missing = _either(given.missing, np.isnat(moments))
    return Whole(moments, missing, _some(doubtful if missing is None else doubtful & ~missing))


def _either(one: Mask | None, other: Mask) -> Mask | None:
    return _some(other if one is None else one | other)


# -- limits ----------------------------------------------------------------------------------------------------------


def _with_limits(column: Column, whole: Whole) -> Whole:
    """Numbers that may be refused are doubtful: not finite, too large, or beyond a limit that the owner set."""
    data = whole.data
    doubtful = np.zeros(len(data), dtype=bool) if whole.doubtful is None else whole.doubtful
    if data.dtype.kind == "f":
        doubtful = doubtful | ~(
            np.abs(data) <= (FLOAT32_MAX if column.dtype == "float32" else np.finfo(np.float64).max)
        )
    if isinstance(column.lower_limit, int | float):
        doubtful = doubtful | (data < column.lower_limit)
    if isinstance(column.upper_limit, int | float):
        doubtful = doubtful | (data > column.upper_limit)
    if whole.missing is not None:
        doubtful = doubtful & ~whole.missing
    return Whole(data, whole.missing, _some(doubtful))
