"""A schema's columns from a sample: as pandas sees the same table, with what a form and a check need to know."""

import datetime as dt
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aweigh.data import penguins_path
from aweigh.errors import DataError
from aweigh.models.frame import table_to_frame
from aweigh.schema import Output, Schema
from aweigh.schema.check import check
from aweigh.schema.infer import infer_columns
from aweigh.table import Table, TextTable, Values, read_csv
from aweigh.table.files import read_sample

JANUARY, LEAP_DAY = dt.datetime.fromisoformat("2026-01-31"), dt.datetime.fromisoformat("2024-02-29")


def infer(*cells, dtype=None):
    """The column inferred from CSV cells, and its values."""
    (column,), table = infer_columns(TextTable({"x": list(cells)}, len(cells)), dtypes={"x": dtype} if dtype else None)
    return column, table["x"].cells()


def as_pandas(cells):
    return pd.read_csv(io.StringIO("x,end\n" + "".join(f'"{cell}",0\n' for cell in cells)))[["x"]]


@pytest.mark.parametrize(
    ("cells", "kind", "dtype", "values"),
    [
        (["1", "-2", "+3", "007"], "integer", "int64", [1, -2, 3, 7]),
        (["1", "", "NA"], "integer", "float64", [1, None, None]),
        (["1.0", "2"], "number", "float64", [1.0, 2.0]),
        ([".5", "1.", "1e-3", "null"], "number", "float64", [0.5, 1.0, 0.001, None]),
        ([" 1", "2 ", "\t3"], "integer", "int64", [1, 2, 3]),
        (["True", "FALSE", "true"], "boolean", "bool", [True, False, True]),
        (["True", "", "false"], "boolean", "object", [True, None, False]),
        (["True", "1"], "text", "str", ["True", "1"]),
        (["", "NaN"], "number", "float64", [None, None]),
        (["1_000", "2"], "text", "str", ["1_000", "2"]),
        (["1,5", "2,5"], "text", "str", ["1,5", "2,5"]),
        (["1", " "], "text", "str", ["1", " "]),
        (["a", "b", "a", "b"], "category", "str", ["a", "b", "a", "b"]),
        (["a", "b", "N/A"], "text", "str", ["a", "b", None]),
        (["2026-01-31", "", "2024-02-29"], "date", "str", [JANUARY, None, LEAP_DAY]),
        (["2026-01-31", "2026-02-30"], "text", "str", ["2026-01-31", "2026-02-30"]),
        (["20260131", "20260201"], "integer", "int64", [20260131, 20260201]),
    ],
)  # fmt: skip
def test_a_csv_column_has_the_type_that_pandas_gives_it(cells, kind, dtype, values):
    column, found = infer(*cells)
    assert (column.type, column.dtype, found) == (kind, dtype, values)
    assert column.nullable is (None in values)
    assert str(as_pandas(cells)["x"].dtype) == dtype


csv_cells = st.one_of(
    st.sampled_from(
        ["", "NA", "nan", "None", "True", "false", "TRUE", "tRUE", " 1", "1 ", "007", "-0", "+5", "1e5", ".5"]
    ),
    st.sampled_from(
        ["1.", "1_0", "0x1", "--1", "1e", "é", "2026-01-31", "2026-1-31", "a b", "inf", "1e400", "1.5", " NA"]
    ),
    st.integers(-(10**6), 10**6).map(str),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr),
    st.text(st.characters(codec="utf-8", exclude_characters='"\r\n\x00\ufdd0'), max_size=3),
)


@given(st.lists(csv_cells, min_size=1, max_size=6) | st.lists(st.integers().map(str), min_size=1, max_size=3))
def test_what_is_inferred_from_a_csv_is_the_frame_that_pandas_reads(cells):
    theirs = as_pandas(cells)
    try:
        columns, table = infer_columns(TextTable({"x": cells}, len(cells)))
    except DataError:
        # Refused are numbers that no request could hold: infinite ones, and whole ones beyond 64 bits.
        refused = [cell for cell in cells if cell.strip().lstrip("+-").isdigit() and not -(2**63) <= int(cell) < 2**63]
        assert refused or (theirs["x"].dtype == "float64" and np.isinf(theirs["x"]).any())
        return
    pd.testing.assert_frame_equal(table_to_frame(table, columns), theirs, rtol=1e-15)
    # A request that says the same is the same table.
    schema = Schema(columns=columns, output=Output(task="number", name="y"))
    again = check(schema, TextTable({"x": cells}, len(cells)))
    pd.testing.assert_frame_equal(table_to_frame(again, columns), theirs, rtol=1e-15)


@pytest.mark.parametrize("cells", [["inf", "1"], ["-Infinity", "2.5"], ["1e400", "1"]])
def test_an_infinite_number_is_refused_with_its_row(cells):
    with pytest.raises(DataError, match="Column 'x' of the sample, row 0: the number is not finite"):
        infer(*cells)


@pytest.mark.parametrize("whole", ["9223372036854775808", "-9223372036854775809", "9" * 5000])
def test_a_whole_number_beyond_64_bits_is_refused(whole):
    with pytest.raises(DataError, match=r"row 1: .* does not fit 64 bits"):
        infer("1", whole)


def test_what_a_form_and_a_check_need_of_numbers():
    column, _ = infer("1.25", "2.5", "10", "")
    assert (column.minimum, column.maximum, column.typical, column.decimals) == (1.25, 10.0, 2.5, 2)
    column, _ = infer("0.1", "0.30000000000000004")
    assert column.decimals == 6
    column, _ = infer("3", "9", "4")
    assert (column.minimum, column.maximum, column.typical, column.decimals) == (3, 9, 4, None)
    assert type(column.typical) is int


def test_a_median_is_told_with_the_columns_own_precision():
    column, _ = infer("1.5", "1.6", "1.7", "1.8")
    assert column.typical == pytest.approx(1.6, abs=0.1)
    assert column.typical == round(column.typical, 1)


def test_decimals_of_32_bits_are_counted_in_32_bits():
    (column,), _ = infer_columns(Table({"x": Values(np.float32([0.1, 2.5]).astype(np.float64), dtype="float32")}, 2))
    assert (column.dtype, column.decimals) == ("float32", 1)


def test_dates_and_moments_have_a_range_in_iso_8601():
    column, _ = infer("2026-01-31", "2024-02-29", "2025-01-01")
    assert (column.minimum, column.maximum, column.typical) == ("2024-02-29", "2026-01-31", "2025-01-01")
    moments = np.array(["2026-01-31T12:00", "2026-02-01T00:00"], "datetime64[us]")
    (column,), _ = infer_columns(Table({"x": Values(moments)}, 2))
    assert (column.type, column.dtype, column.minimum) == ("datetime", "datetime64[us]", "2026-01-31T12:00:00")


def test_few_kinds_of_text_are_a_category_and_many_are_text():
    column, _ = infer("b", "a", "b", "a", "a", "")
    assert (column.type, column.categories, column.typical) == ("category", ("a", "b"), "a")
    many = [f"kind {i}" for i in range(51)] * 3
    assert infer(*many)[0].type == "text"
    assert infer(*many[:50] * 3)[0].type == "category"
    assert infer("a", "b", "c", "d")[0].type == "text"  # each stands once
    assert infer(*["long" * 30, "b"] * 5)[0].type == "text"


def test_whole_numbers_that_are_kinds_have_a_kind_as_typical():
    kinds = Values(np.array([1, 9, 9, 1, 1]), dtype="category", categories=("1", "9", "7"))
    (column,), _ = infer_columns(Table({"x": kinds}, 5))
    assert (column.type, column.categories, column.typical) == ("integer", ("1", "9", "7"), 1)


def test_a_dtype_that_the_caller_names_wins():
    assert infer("007", "010", dtype="str") == (infer("007", "010", dtype="str")[0], ["007", "010"])
    column, values = infer("007", "010", dtype="str")
    assert (column.type, column.dtype, values) == ("text", "str", ["007", "010"])
    column, values = infer("1", "2", dtype="float64")
    assert (column.type, column.dtype, values) == ("number", "float64", [1.0, 2.0])
    column, values = infer("b", "a", dtype="category")
    assert (column.type, column.dtype, column.categories) == ("category", "category", ("a", "b"))


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (Table({}, 0), "no columns"),
        (TextTable({"x": []}, 0), "no rows"),
        (TextTable({"x": ["a\x00", "b"]}, 2), "Column 'x' of the sample, row 0: the text holds a character"),
        (Table({"x": Values(np.array([1.0, np.inf]))}, 2), "row 1: the number is not finite"),
    ],
)
def test_what_is_no_sample_is_refused_in_a_sentence(sample, words):
    with pytest.raises(DataError, match=words):
        infer_columns(sample)


def test_penguins_are_what_pandas_reads():
    columns, table = infer_columns(read_sample(penguins_path()))
    assert [(column.name, column.type, column.nullable) for column in columns] == [
        ("species", "category", False),
        ("island", "category", False),
        ("bill_length_mm", "number", True),
        ("bill_depth_mm", "number", True),
        ("flipper_length_mm", "integer", True),
        ("body_mass_g", "integer", True),
        ("sex", "category", True),
        ("year", "integer", False),
    ]
    pd.testing.assert_frame_equal(table_to_frame(table, columns), pd.read_csv(penguins_path()))


def test_a_request_in_a_spreadsheets_words_fits_what_was_inferred_from_codes():
    # pandas reads zip codes as numbers, and so the model was trained; a request may still write them with their zeros.
    columns, _ = infer_columns(read_csv(b"zip\n01234\n00501\n"))
    assert (columns[0].type, columns[0].minimum) == ("integer", 501)
    schema = Schema(columns=columns, output=Output(task="number", name="y"))
    assert check(schema, read_csv(b"zip\n00501\n501\n"))["zip"].cells() == [501, 501]
