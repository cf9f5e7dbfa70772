"""However rows come, as JSON, CSV, Arrow or a DataFrame, the schema makes the same table of them."""

import numpy as np
from asking import as_arrow, as_csv, as_frame, as_json, fits_csv, without_nulls
from hypothesis import given
from hypothesis import strategies as st
from strategies import rows, schemas

from aweigh.schema.check import check, check_rows
from aweigh.schema.decode import compile_decoder
from aweigh.schema.decode_arrow import compile_arrow
from aweigh.table import read_csv
from aweigh.table.arrow import read_arrow
from aweigh.table.frame import frame_to_table


def assert_same(got, wanted):
    assert list(got.columns) == list(wanted.columns)
    assert got.rows == wanted.rows
    for name, values in wanted.columns.items():
        mine = got[name]
        assert mine.data.dtype == values.data.dtype, name
        gone = values.as_mask()
        assert mine.as_mask().tolist() == gone.tolist(), name
        assert mine.data[~gone].tolist() == values.data[~gone].tolist(), name


@given(st.data(), schemas())
def test_every_way_in_makes_the_same_table(data, schema):
    asked = data.draw(rows(schema))
    wanted = check_rows(schema, asked)
    assert_same(check_rows(schema, without_nulls(asked)), wanted)
    assert_same(compile_decoder(schema, max_rows=100)(as_json(asked)), wanted)
    for stream in (as_arrow(schema, asked), as_arrow(schema, asked, dictionary=True)):
        assert_same(check(schema, read_arrow(stream)), wanted)
        assert_same(compile_arrow(schema, max_rows=100)(stream), wanted)
    assert_same(check(schema, frame_to_table(as_frame(schema, asked))[0]), wanted)
    if fits_csv(schema, asked):
        assert_same(check(schema, read_csv(as_csv(schema, asked))), wanted)


@given(st.data(), schemas())
def test_a_row_is_the_same_in_any_company(data, schema):
    asked = data.draw(rows(schema, least=2))
    together = check_rows(schema, asked)
    order = data.draw(st.permutations(range(len(asked))))
    assert_same(check_rows(schema, [asked[place] for place in order]), together.take(np.array(order)))
    for place, row in enumerate(asked):
        assert_same(check_rows(schema, [row]), together.take(np.array([place])))
