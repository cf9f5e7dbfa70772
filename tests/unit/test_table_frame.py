"""A DataFrame as a table and back: the original model is asked with the very frame that it was trained on."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import pandas as frames

from aweigh.errors import DataError
from aweigh.models.frame import table_to_frame
from aweigh.schema import Column, Output, Schema
from aweigh.schema.check import check
from aweigh.schema.infer import infer_columns
from aweigh.table import Table, Values
from aweigh.table.frame import frame_to_table

DAYS = [dt.date(2026, 1, 31), None, dt.date(1960, 2, 29)]


def there_and_back(frame):
    """The frame as a table, checked as a request is, and as a frame again."""
    table, dtypes = frame_to_table(frame)
    columns, typed = infer_columns(table, dtypes=dtypes)
    checked = check(Schema(columns=columns, output=Output(task="number", name="y")), typed)
    return table_to_frame(checked, columns), columns, checked


KEPT = {
    "str": pd.Series(["a", None, "b"], dtype="str"),
    "object": pd.Series(["a", np.nan, "b"], dtype=object),
    "object with None": pd.Series(["a", None, "b"], dtype=object),
    "string": pd.Series(["a", None, "b"], dtype="string"),
    "dates as text": pd.Series(["2026-01-31", None, "2026-02-01"], dtype="str"),
    "dates as object text": pd.Series(["2026-01-31", np.nan, "2026-02-01"], dtype=object),
    "dates": pd.Series(DAYS, dtype=object),
    "int8": pd.Series([1, -2, 3], dtype="int8"),
    "uint64": pd.Series([1, 2, 2**63 - 1], dtype="uint64"),
    "Int64": pd.Series([1, None, 3], dtype="Int64"),
    "int64[pyarrow]": pd.Series([1, None, 3], dtype="int64[pyarrow]"),
    "object of int": pd.Series([1, None, 3], dtype=object),
    "float32": pd.Series([0.1, None, 3], dtype="float32"),
    "float64": pd.Series([0.1, None, 3e300]),
    "Float64": pd.Series([0.1, None, 3], dtype="Float64"),
    "double[pyarrow]": pd.Series([0.1, None, 3], dtype="double[pyarrow]"),
    "bool": pd.Series([True, False, True]),
    "boolean": pd.Series([True, None, True], dtype="boolean"),
    "object of bool": pd.Series([True, np.nan, False], dtype=object),
    "object of bool and None": pd.Series([True, None, False], dtype=object),
    "category": pd.Series(pd.Categorical(["a", None, "b"], categories=["b", "a", "unused"])),
    "ordered": pd.Series(pd.Categorical(["a", None, "b"], categories=["b", "a"], ordered=True)),
    "category of int": pd.Series(pd.Categorical([3, None, 1])),
    "datetime64[us]": pd.Series(pd.to_datetime(["2026-01-31 12:00", None, "2026-02-01 00:00"])),
    "datetime64[ns]": pd.Series(pd.to_datetime(["2026-01-31", None, "2026-02-01"])).astype("datetime64[ns]"),
    "datetime64[s]": pd.Series(pd.to_datetime(["2026-01-31", None, "2026-02-01"])).astype("datetime64[s]"),
    "zone": pd.Series(pd.to_datetime(["2026-01-31 12:00", None, "2026-02-01 00:00"])).dt.tz_localize("Asia/Tokyo"),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_column_comes_back_as_it_was_many_rows_or_one(name):
    frame = pd.DataFrame({name: KEPT[name]})
    back, columns, table = there_and_back(frame)
    pd.testing.assert_frame_equal(back, frame)
    missing = [value is None or value is pd.NA for value in frame[name].tolist()]
    assert [value is None or value is pd.NA for value in back[name].tolist()] == missing
    for row in range(3):
        alone = table_to_frame(table.take(slice(row, row + 1)), columns)
        pd.testing.assert_frame_equal(alone, frame.iloc[row : row + 1].reset_index(drop=True))


words = st.text(st.characters(codec="utf-8", exclude_characters="\x00\ufdd0"), max_size=5)
moments = st.datetimes(pd.Timestamp(1700, 1, 1), pd.Timestamp(2200, 1, 1))
cells = {
    "whole": frames.column("whole", dtype="int64"),
    "real": frames.column("real", elements=st.floats(allow_infinity=False)),
    "single": frames.column("single", elements=st.floats(allow_infinity=False, width=32), dtype="float32"),
    "flag": frames.column("flag", dtype=bool),
    "text": frames.column("text", elements=words, dtype="str"),
    "moment": frames.column("moment", elements=moments, dtype="datetime64[us]"),
}


@st.composite
def ordinary_frames(draw):
    names = draw(st.lists(st.sampled_from(sorted(cells)), min_size=1, unique=True))
    return draw(frames.data_frames([cells[name] for name in names], index=frames.range_indexes(min_size=1, max_size=6)))


@given(ordinary_frames())
def test_ordinary_frames_come_back_as_they_were(frame):
    back, columns, table = there_and_back(frame)
    pd.testing.assert_frame_equal(back, frame)
    assert (table_to_frame(table.take(slice(0, 1)), columns).dtypes == frame.dtypes).all()


def test_a_whole_number_that_may_be_missing_is_a_float_in_every_row():
    column = Column(name="n", type="integer", dtype="int64", nullable=True)
    frame = table_to_frame(Table({"n": Values(np.array([7]))}, 1), [column])
    assert frame["n"].dtype == "float64"
    flag = Column(name="n", type="boolean", dtype="bool", nullable=True)
    assert table_to_frame(Table({"n": Values(np.array([True]))}, 1), [flag])["n"].tolist() == [True]


def test_a_category_that_the_sample_did_not_have_is_missing_to_the_model():
    column = Column(name="k", type="category", dtype="category", categories=("a", "b"))
    frame = table_to_frame(Table({"k": Values(np.array(["b", "z"], dtype=object))}, 2), [column])
    assert frame["k"].cat.categories.tolist() == ["a", "b"]
    assert frame["k"].cat.codes.tolist() == [1, -1]


def test_the_index_is_left_out():
    table, dtypes = frame_to_table(pd.DataFrame({"a": [1, 2]}, index=pd.Index([9, 8], name="id")))
    assert (list(table.columns), dtypes, table.rows) == (["a"], {"a": "int64"}, 2)


def test_decimals_are_read_as_numbers():
    table, dtypes = frame_to_table(pd.DataFrame({"a": [Decimal("1.10"), None]}))
    assert (table["a"].cells(), dtypes) == ([1.1, None], {"a": "float64"})


def test_times_with_a_zone_become_utc():
    table, _ = frame_to_table(pd.DataFrame({"at": pd.to_datetime(["2026-01-31T12:00+09:00"])}))
    assert table["at"].cells() == [dt.datetime.fromisoformat("2026-01-31T03:00")]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame([[1, 2]]), "a column named 0, and names must be text"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column named 'a'"),
        (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), "names must be text"),
        (pd.DataFrame({"a": [1, "x"]}), "Column 'a' of the DataFrame mixes int and str"),
        (pd.DataFrame({"a": [[1], [2]]}), "Column 'a' holds values of type list"),
        (pd.DataFrame({"a": [1 + 2j]}), "'a' is of dtype complex128"),
        (pd.DataFrame({"a": pd.to_timedelta([1, 2])}), "'a' is of dtype timedelta64"),
        (pd.DataFrame({"a": pd.period_range("2026", periods=2)}), "'a' holds values of type Period"),
        (pd.DataFrame({"a": pd.arrays.SparseArray([0.0, 1.0])}), "'a' is of dtype Sparse"),
        (pd.DataFrame({"a": pd.cut([1, 2, 3], 2)}), "'a' is of dtype category of interval"),
        (pd.DataFrame({"a": np.array([2**63], dtype="uint64")}), "'a' holds whole numbers beyond 64 bits"),
        (pd.DataFrame({"a": pd.Series([2**70], dtype=object)}), "'a' holds whole numbers beyond 64 bits"),
        (pd.DataFrame({"a": np.array(["-0044-03-15"], "datetime64[s]")}), "'a' holds times outside the years"),
    ],
)
def test_what_no_model_takes_is_refused_by_its_columns_name(frame, words):
    with pytest.raises(DataError, match=words):
        frame_to_table(frame)
