"""Warnings: which cells lie outside what the model has seen, the same for one row and for many."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aweigh.errors import Problem
from aweigh.schema.check import check_rows
from aweigh.schema.column import Column, Output, Schema
from aweigh.schema.decode import compile_decoder
from aweigh.schema.domain import FEW_ROWS, warnings_for
from aweigh.table import Table, Values

SCHEMA = Schema(
    columns=(
        Column(name="mass", type="number", dtype="float64", nullable=True, minimum=2700.0, maximum=6300.0, unit="g"),
        Column(name="year", type="integer", dtype="int64", minimum=2007, maximum=2009),
        Column(name="island", type="category", dtype="object", nullable=True, categories=("Biscoe", "Dream")),
        Column(name="day", type="date", dtype="datetime64[us]", nullable=True,
               minimum="2026-01-01", maximum="2026-01-31"),
        Column(name="at", type="datetime", dtype="datetime64[us]", nullable=True,
               minimum="2026-01-01T00:00:00", maximum="2026-01-31T12:00:00"),
        Column(name="note", type="text", dtype="object", nullable=True),
        Column(name="male", type="boolean", dtype="bool", nullable=True),
        Column(name="empty", type="number", dtype="float64", nullable=True),
    ),
    output=Output(task="class", name="species"),
)  # fmt: skip
USUAL = {
    "mass": 4000.0,
    "year": 2008,
    "island": "Dream",
    "day": "2026-01-15",
    "at": "2026-01-15T08:00:00",
    "empty": 1e9,
}


DECODE = compile_decoder(SCHEMA, max_rows=1000)


def warned(*rows, limit=100):
    """What is said of a table of columns, which is also what is said of the same table in blocks."""
    found = warnings_for(SCHEMA, check_rows(SCHEMA, rows), limit=limit)
    assert warnings_for(SCHEMA, DECODE(msgspec.json.encode({"rows": rows})), limit=limit) == found
    return found


@pytest.mark.parametrize("many", [1, FEW_ROWS, FEW_ROWS + 1, 200])
@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (
            {"mass": 6300.5},
            "outside_reference_range",
            "6300.5 g lies outside what the model has seen, 2700 to 6300 g",
        ),
        ({"mass": 1e300}, "outside_reference_range", "1e+300 g lies outside what the model has seen, 2700 to 6300 g"),
        ({"mass": 0.0}, "outside_reference_range", "0 g lies outside what the model has seen, 2700 to 6300 g"),
        ({"year": 2010}, "outside_reference_range", "2010 lies outside what the model has seen, 2007 to 2009"),
        ({"island": "Mars"}, "unseen_category", "'Mars' is a value that the model has not seen"),
        ({"island": ""}, "unseen_category", "'' is a value that the model has not seen"),
        (
            {"day": "2026-02-01"},
            "outside_reference_range",
            "2026-02-01 lies outside what the model has seen, 2026-01-01 to 2026-01-31",
        ),
        (
            {"at": "2026-01-31T12:00:01"},
            "outside_reference_range",
            "2026-01-31T12:00:01 lies outside what the model has seen, 2026-01-01T00:00:00 to 2026-01-31T12:00:00",
        ),
    ],
)
def test_what_lies_outside_is_told(many, change, code, message):
    rows = [USUAL] * (many - 1) + [USUAL | change]
    assert warned(*rows) == [Problem(code, message, row=many - 1, column=next(iter(change)))]


@pytest.mark.parametrize("many", [1, FEW_ROWS + 1])
def test_what_lies_within_or_is_missing_is_not(many):
    assert warned(*[USUAL] * many) == []
    edges = {
        "mass": 2700,
        "empty": 1e9,
        "year": 2009,
        "day": "2026-01-31",
        "at": "2026-01-31T12:00:00",
        "note": "x",
        "male": True,
    }
    assert warned(*[edges] * many) == []
    assert warned(*[{"year": 2007}] * many) == []


@pytest.mark.parametrize("many", [3, 100])
def test_warnings_come_by_row_and_end_at_the_limit(many):
    odd = USUAL | {"mass": 1.0, "island": "Mars"}
    found = warned(*[odd] * many, limit=5)
    assert [(one.row, one.column) for one in found] == [
        (0, "mass"), (0, "island"), (1, "mass"), (1, "island"), (2, "mass"),
    ]  # fmt: skip


def test_numbers_that_name_kinds_are_held_against_the_kinds():
    column = Column(name="x", type="integer", dtype="category", categories=("1", "3"), minimum=1, maximum=3)
    schema = Schema(columns=(column,), output=Output(task="number", name="y"))
    for many in (1, 50):
        table = Table({"x": Values(np.array([3] * (many - 1) + [2]))}, many)
        blocks = compile_decoder(schema, max_rows=50)(
            msgspec.json.encode({"rows": [{"x": 3}] * (many - 1) + [{"x": 2}]})
        )
        for one in (table, blocks):
            assert [(two.row, two.code) for two in warnings_for(schema, one)] == [(many - 1, "unseen_category")]


def test_a_long_value_is_cut():
    (one,) = warned(USUAL | {"island": "M" * 5000})
    assert len(one.message) < 100


@given(
    st.lists(
        st.fixed_dictionaries(
            {"year": st.integers(2005, 2011)},
            optional={
                "mass": st.none() | st.floats(2000, 7000),
                "island": st.none() | st.sampled_from(["Biscoe", "Dream", "Mars", "biscoe"]),
                "day": st.none() | st.dates().map(str),
            },
        ),
        min_size=FEW_ROWS + 1,
        max_size=FEW_ROWS + 10,
    )
)
def test_a_row_alone_is_told_the_same_as_among_many(rows):
    together = warned(*rows, limit=1000)
    alone = [(i, one.column, one.message) for i, row in enumerate(rows) for one in warned(row)]
    assert [(one.row, one.column, one.message) for one in together] == alone


def test_whole_numbers_are_held_against_their_range_to_the_last_digit():
    column = Column(name="x", type="integer", dtype="int64", minimum=-(2**53) - 1, maximum=2**53 + 1)
    schema = Schema(columns=(column,), output=Output(task="number", name="y"))
    decode = compile_decoder(schema, max_rows=9)
    for value, told in ((2**53 + 1, 0), (2**53 + 2, 1), (-(2**53) - 1, 0), (-(2**53) - 2, 1)):
        assert len(warnings_for(schema, decode(b'{"rows":[{"x":%d}]}' % value))) == told
