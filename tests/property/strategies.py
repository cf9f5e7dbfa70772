"""Hypothesis strategies: schemas, and rows that a schema takes."""

from hypothesis import strategies as st

from aweigh.schema import Column, Output, Schema
from aweigh.schema.cells import RESERVED_TEXT

LARGEST = 1e30
ODD_NUMBERS = (0.0, -0.0, 5e-324, 1e-310, 0.1, 1 / 3, 12345.67, 1e15 + 0.3, -1e22, 123456789.01)
ODD_TEXT = (
    "", " ", "nan", "NA", "null", "None", "true", "1", "1.0", "é", "e\u0301", "\u200b", "a,b", 'a"b', "a\nb", "a\rb",
    "'x", "=1+1", "\ufeffx", "🏔", "x" * 5000,
)  # fmt: skip
NAMES = st.text(st.sampled_from("ab .é\"'-_1"), min_size=1, max_size=6).map(str.strip).filter(bool)


def texts():
    """Text that a text cell may hold."""
    free = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
    return (free | st.sampled_from(ODD_TEXT)).filter(lambda text: text != RESERVED_TEXT)


def numbers(*, single: bool):
    """Finite numbers of a size that every library takes."""
    width = 32 if single else 64
    odd = [] if single else [one for one in ODD_NUMBERS if abs(one) <= LARGEST]
    largest = 2.0**99 if single else LARGEST
    free = st.floats(-largest, largest, allow_nan=False, width=width)
    return free | st.sampled_from(odd) if odd else free


def cells(column: Column, *, near: bool = False):
    """Cells that the column takes, as JSON says them; ``near`` keeps numbers where a model knows its way."""
    if column.type == "number":
        found = numbers(single=column.dtype == "float32")
        if near:
            low, high = float(column.minimum or 0), float(column.maximum or 0)
            width = 32 if column.dtype == "float32" else 64
            span = (high - low) or 1.0
            middle = st.floats(0, 1).map(lambda share: low + share * span)
            found = (middle if width == 64 else middle.map(_single)) | found
    elif column.type == "integer":
        small = st.integers(-1000, 1000)
        seen = st.integers(int(column.minimum or 0), int(column.maximum or 0))
        found = seen | small if near else small | st.integers(-(2**63), 2**63 - 1)
    elif column.type == "boolean":
        found = st.booleans()
    elif column.is_text:
        kinds = st.sampled_from(column.categories) if column.categories else st.nothing()
        found = kinds if column.closed else kinds | texts()
    elif column.type == "date":
        found = st.dates().map(str)
    else:
        found = st.datetimes().map(lambda moment: moment.isoformat())
    return st.none() | found if column.nullable else found


def _single(value: float) -> float:
    import numpy as np

    return float(np.float32(value))


def rows(schema: Schema, *, least: int = 1, most: int = 8, near: bool = False):
    """Lists of rows, every column in each."""
    row = st.fixed_dictionaries({column.name: cells(column, near=near) for column in schema.columns})
    return st.lists(row, min_size=least, max_size=most)


@st.composite
def schemas(draw):
    """Schemas of one to five columns of any type and any name."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    return Schema(columns=tuple(draw(columns(name)) for name in names), output=Output(task="number", name="y"))


@st.composite
def columns(draw, name):
    """A column of any type."""
    kind = draw(st.sampled_from(["number", "integer", "boolean", "category", "text", "date", "datetime"]))
    dtype = {"number": "float64", "integer": "int64", "boolean": "bool", "date": "str"}.get(kind, "str")
    categories, closed = None, False
    if kind == "number":
        dtype = draw(st.sampled_from(["float64", "float32"]))
    if kind == "category":
        categories = tuple(draw(st.lists(texts().filter(bool), min_size=1, max_size=4, unique=True)))
        closed = draw(st.booleans())
    if kind == "datetime":
        dtype = "datetime64[us]"
    return Column(name=name, type=kind, dtype=dtype, nullable=draw(st.booleans()), categories=categories, closed=closed)
