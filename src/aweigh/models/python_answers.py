"""What a user's function gave back, read as answers: one for each row, of one kind."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.schema.answers import Answers, class_key
from aweigh.schema.column import Output, Scalar


class Misread(ValueError):  # noqa: N818  a sentence's end: "the function ..."
    """What came back is no answer for each row; ``hint`` says what would be."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


_SHAPES = (
    "give one answer for each row, in order: a Series or list of numbers, text or booleans, or a DataFrame of numbers"
)


def read_answers(raw: Any, rows: int, output: Output, *, classes: Sequence[Scalar], settled: bool) -> Answers:
    """Answers of ``output``; when it is not ``settled`` yet, of the output that they show.

    Raises:
        Misread: not an answer for each row, of several kinds, or of a class that is none of the known.
    """
    import pandas as pd

    if isinstance(raw, pd.DataFrame):
        block, names = _numbers(raw), [str(name) for name in raw.columns]
        return _table(_counted(block, rows), names, output, classes=classes, settled=settled)
    if isinstance(raw, dict | str | bytes) or np.ndim(raw) not in {1, 2}:
        raise Misread(f"gave a {type(raw).__name__}", hint=_SHAPES)
    if np.ndim(raw) == 2 and np.shape(raw)[1] != 1:
        block = _numbers(pd.DataFrame(np.asarray(raw)))
        return _table(_counted(block, rows), None, output, classes=classes, settled=settled)
    cells = (
        raw
        if isinstance(raw, pd.Series)
        else pd.Series(np.asarray(raw).reshape(-1) if np.ndim(raw) == 2 else list(raw))
    )
    return _column(_counted(cells, rows), output, classes=classes, settled=settled)


def _counted(given: Any, rows: int) -> Any:
    if len(given) != rows:
        raise Misread(f"gave {len(given)} answers for {rows} rows", hint=_SHAPES)
    return given


def _numbers(frame: Any) -> NDArray[np.float64]:
    import pandas as pd

    if not all(pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes):
        raise Misread("gave a table with something else than numbers", hint=_SHAPES)
    block: NDArray[np.float64] = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return block


# -- several numbers a row -------------------------------------------------------------------------------------------


def _table(
    block: NDArray[np.float64], names: list[str] | None, output: Output, *, classes: Sequence[Scalar], settled: bool
) -> Answers:
    rows, width = block.shape
    if output.task == "class" or classes:
        known = output.classes or tuple(classes)
        return _probabilities(block, names, msgspec.structs.replace(output, task="class", classes=known))
    if width == 1 and not settled:
        return Answers(output, rows, values=block)
    told = tuple(names or (f"{output.name}_{i}" for i in range(width)))
    if not settled:
        if len(set(told)) < width:
            raise Misread("gave a table with two columns of one name", hint=_SHAPES)
        task = "numbers" if width > 1 else "number"
        output = msgspec.structs.replace(output, task=task, names=told if width > 1 else ())
    elif width != max(1, len(output.names)) or (names is not None and width > 1 and told != output.names):
        raise Misread(f"gave the columns {', '.join(told)[:80]}, and not those that it gave before", hint=_SHAPES)
    return Answers(output, rows, values=block)


def _probabilities(block: NDArray[np.float64], names: list[str] | None, output: Output) -> Answers:
    keys = [class_key(one) for one in output.classes]
    written = [str(one) for one in output.classes]
    if names is None and block.shape[1] == len(keys):
        places = list(range(len(keys)))
    elif names is not None and sorted(names) in (sorted(keys), sorted(written)):
        places = [names.index(one) for one in (keys if sorted(names) == sorted(keys) else written)]
    else:
        told = f"columns {', '.join(names)[:80]}" if names is not None else f"{block.shape[1]} columns"
        raise Misread(
            f"gave {told} for the classes {', '.join(keys)[:80]}",
            hint="a classifier's table has a column for each class, named as the class",
        )
    chances = block[:, places]
    if np.isnan(chances).any():
        raise Misread(
            "gave a row without probabilities", hint="every row needs them: decide what a missing value means"
        )
    settled = msgspec.structs.replace(output, probabilities=True)
    index = chances.argmax(axis=1).astype(np.int64)
    return Answers(settled, len(block), index=index, probabilities=chances)


# -- one answer a row ------------------------------------------------------------------------------------------------


def _column(cells: Any, output: Output, *, classes: Sequence[Scalar], settled: bool) -> Answers:
    import pandas as pd

    labels = output.task == "class" or bool(classes)
    numeric = pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype)
    if numeric and not labels:
        if settled and output.task != "number":
            raise Misread("gave one number a row, and several before", hint=_SHAPES)
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan).reshape(-1, 1)
        return Answers(output, len(cells), values=values)
    if settled and not labels:
        raise Misread("gave classes, and numbers before", hint=_SHAPES)
    plain = [one.item() if isinstance(one, np.generic) else one for one in cells.tolist()]
    known = output.classes or tuple(classes) or _seen(plain)
    places = {one: i for i, one in enumerate(known)}
    index = [places.get(one, -1) if isinstance(one, str | bool | int | float) else -1 for one in plain]
    if -1 in index:
        strange = plain[index.index(-1)]
        raise Misread(
            f"gave {strange!r}, which is none of its classes {', '.join(map(repr, known))[:80]}",
            hint="name them all: function.classes = [...]",
        )
    told = output if settled else msgspec.structs.replace(output, task="class", classes=known, probabilities=False)
    return Answers(told, len(plain), index=np.array(index, dtype=np.int64))


def _seen(plain: list[Any]) -> tuple[Scalar, ...]:
    """The classes among the first answers: text sorted, or false and true."""
    if all(isinstance(one, bool) for one in plain):
        return (False, True)
    if all(isinstance(one, str) for one in plain):
        return tuple(sorted(set(plain)))
    kinds = sorted({type(one).__name__ for one in plain})
    raise Misread(f"gave answers of type {', '.join(kinds)}", hint=_SHAPES)
