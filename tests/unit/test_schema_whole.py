"""A column converted whole says what the column read cell by cell says: the same values, the same problems."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aweigh.schema import Column, Output, Schema, examine
from aweigh.schema.cells import text_parser, value_parser
from aweigh.schema.check import _Findings, _parse_cells
from aweigh.schema.whole import _json_numbers, whole_text
from aweigh.table import MISSING_WORDS, Table, TextTable, Values

OUTPUT = Output(task="number", name="y")
KINDS = ("number", "integer", "boolean", "category", "text", "date", "datetime")


@st.composite
def columns(draw):
    kind = draw(st.sampled_from(KINDS))
    more = {"nullable": draw(st.booleans()), "dtype": "str"}
    if kind in {"number", "integer"}:
        more["dtype"] = draw(st.sampled_from(["float64", "float32", "int64"]))
        more["lower_limit"] = draw(st.none() | st.integers(-5, 5))
        more["upper_limit"] = draw(st.none() | st.integers(5, 99))
    if kind in {"category", "text"}:
        more["categories"] = draw(st.none() | st.just(("a", "b", "NA", "")))
        more["closed"] = draw(st.booleans())
    if kind in {"date", "datetime"} and draw(st.booleans()):
        more["lower_limit"] = "2020-01-01"
    return Column(name="x", type=kind, **more)


WORDS = [
    *MISSING_WORDS, " ", " NA ", "1", "-1", "+5", "007", "1.0", "1.", ".0", "-.0", "+.5", "0.5", "1e3", "1E-3",
    "1e999", "-1e39", "1e", "e1", "--1", "+-", "1-", "1_0", "0x1", "inf", "Infinity", " 1", "1 ", "\t2", "1\n2", "\n",
    "3.0\n", "12\u00a0", "\u0661", "9007199254740993", "9007199254740993.0", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "9" * 19, "9" * 5000, "99999999999999999999.0", "true", "FALSE",
    " True", "yes", "a", "b", "c", "\u00e9", "a\x00", "\ufdd0", "x\ufdd0", "=1+1", "2026-01-31", "2019-12-31",
    "2026-01-31T12:00", "2026-01-31T00:00", "2026-01-31T12:00+02:00", "2026-02-30", "20260131", "26-1-3",
]  # fmt: skip
words = st.sampled_from(WORDS)
cells = words | st.text(max_size=4) | st.integers().map(str) | st.floats().map(repr)
repeated = st.lists(words, min_size=1, max_size=2).map(lambda few: few * 8)
rows_of_text = st.lists(cells, max_size=12) | repeated


def same(column, given_table, slow_cells, parse, *, most=None):
    """The column as ``examine`` reads it, held against the column read cell by cell."""
    fast = examine(Schema(columns=(column,), output=OUTPUT), given_table, most=most)
    findings = _Findings(given_table.rows, most=most)
    slow = _parse_cells(column, slow_cells, parse, findings)
    values = fast.table["x"]
    assert values.data.dtype == slow.data.dtype
    assert values.as_mask().tolist() == slow.as_mask().tolist()
    assert values.data.tolist() == slow.data.tolist()
    assert [type(one) for one in values.data.tolist()] == [type(one) for one in slow.data.tolist()]
    assert (fast.problems, fast.total, fast.bad.tolist()) == (
        tuple(findings.problems),
        findings.total,
        findings.bad.tolist(),
    )
    return fast


@settings(max_examples=400)
@given(columns(), rows_of_text)
@example(Column(name="x", type="integer", dtype="int64"), [".0", "1.5"])
@example(Column(name="x", type="number", dtype="float64"), ["1\n2", "3"])
@example(Column(name="x", type="number", dtype="float64", nullable=True), [""])
@example(Column(name="x", type="number", dtype="float64"), [])
def test_csv_cells(column, rows):
    same(column, TextTable({"x": rows}, len(rows)), rows, text_parser(column))


@pytest.mark.parametrize("kind", KINDS)
def test_every_odd_cell_beside_an_ordinary_one(kind):
    column = Column(name="x", type=kind, dtype="float64", nullable=True)
    parse = text_parser(column)
    for usual, odd in itertools.product(["1", "a", "2026-01-31", "True"], WORDS):
        for times in (1, 8):
            rows = [usual, odd] * times
            same(column, TextTable({"x": rows}, len(rows)), rows, parse)


def arrays(elements, dtype):
    return st.lists(elements, max_size=9).map(lambda some: np.array([*some, None], dtype=object)[:-1].astype(dtype))


odd_numbers = st.sampled_from([1.0, 5.5, 2.0**53, -1e39, 1e300])
moments = st.datetimes().map(lambda moment: np.datetime64(moment, "us"))
days = st.dates().map(lambda day: np.datetime64(day, "us"))
odd_moments = st.sampled_from([np.datetime64("NaT"), np.datetime64("+12026-01-01", "us")])
typed = st.one_of(
    arrays(st.floats() | odd_numbers, "float64"),
    arrays(st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 99), "int64"),
    arrays(st.booleans(), "bool"),
    arrays(moments | days | odd_moments, "datetime64[us]"),
    arrays(words | st.text(max_size=3), object),
    arrays(st.sampled_from(["a", 1, 2.5, True]), object),
)


@settings(max_examples=400)
@given(columns(), typed, st.data())
def test_typed_values(column, data, draw):
    mask = draw.draw(st.none() | st.lists(st.booleans(), min_size=len(data), max_size=len(data)))
    values = Values(data, None if mask is None else np.array(mask, dtype=bool))
    before = data.copy()
    same(column, Table({"x": values}, len(data)), values.cells(), value_parser(column))
    assert np.array_equal(data, before, equal_nan=data.dtype.kind in "fM"), "what was given is not written to"


def test_only_so_many_problems_are_listed_and_all_are_counted():
    column = Column(name="x", type="number", dtype="float64")
    rows = ["1", "", "x"] * 60
    fast = same(column, TextTable({"x": rows}, 180), rows, text_parser(column), most=100)
    assert (len(fast.problems), fast.total) == (100, 120)


def test_the_rows_of_a_part_are_numbered_as_in_the_whole():
    schema = Schema(columns=(Column(name="x", type="number", dtype="float64"),), output=OUTPUT)
    examined = examine(schema, TextTable({"x": ["1", "oops"]}, 2), first_row=1000)
    assert [(one.row, one.message) for one in examined.problems] == [
        (1001, "column 'x', row 1001: expected a number, got 'oops'")
    ]
    assert examined.bad.tolist() == [False, True]


def test_clean_columns_have_nothing_left_to_judge_cell_by_cell():
    number = Column(name="x", type="number", dtype="float64", nullable=True)
    whole = whole_text(number, ["1.5", "", "-2e3"] * 100, text_parser(number))
    assert whole is not None
    assert whole.doubtful is None
    integer = Column(name="x", type="integer", dtype="float64", nullable=True)
    whole = whole_text(integer, ["39.0", "NA", "-2"] * 100, text_parser(integer))
    assert whole is not None
    assert whole.doubtful is None


@pytest.mark.parametrize(
    "cell", ["-0", " 1", "1 ", "1,2", "1\n", "", "null", "[1]", '"1"', "1e999", "1" * 400, "+1", ".5", "1_0"]
)
def test_what_json_reads_otherwise_is_not_read_as_json(cell):
    for cells in ([cell], [cell, "2"], ["2", cell], ["2", cell, "3"]):
        assert _json_numbers(cells) is None


@settings(max_examples=500)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(1, 10**40), min_size=1, max_size=5))
def test_numbers_read_as_json_are_those_that_float_reads(numbers):
    cells = [repr(one) for one in numbers]
    found = _json_numbers(cells)
    assert found is not None
    assert found.tobytes() == np.array([float(cell) for cell in cells]).tobytes()
