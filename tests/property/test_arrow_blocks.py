"""An Arrow stream of any table, for any schema: in blocks or patiently, it is the same table or the same refusal."""

import datetime as dt
import io

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from strategies import ODD_TEXT, schemas

from aweigh.errors import DataError
from aweigh.schema.cells import RESERVED_TEXT
from aweigh.schema.check import check
from aweigh.schema.decode_arrow import compile_arrow
from aweigh.table.arrow import read_arrow

MAX_ROWS = 10

KINDS = [
    pa.float64(), pa.float32(), pa.int64(), pa.int16(), pa.uint64(), pa.bool_(), pa.string(), pa.large_string(),
    pa.string_view(), pa.date32(), pa.timestamp("us"), pa.null(),
]  # fmt: skip


def arrays(kind, rows):
    cell = {
        pa.float64(): st.floats() | st.sampled_from([0.1, 5.0, 3.4028236e38]),
        pa.float32(): st.floats(width=32),
        pa.int64(): st.integers(-9, 20) | st.integers(-(2**63), 2**63 - 1),
        pa.int16(): st.integers(-9, 20),
        pa.uint64(): st.integers(0, 2**64 - 1),
        pa.bool_(): st.booleans(),
        pa.date32(): st.dates(dt.date(1990, 1, 1), dt.date(2030, 1, 1)),
        pa.timestamp("us"): st.datetimes(dt.datetime.fromisoformat("1990-01-01")),
        pa.null(): st.none(),
    }.get(
        kind,
        st.sampled_from(["a", "b", "é", "x\x00", RESERVED_TEXT, *ODD_TEXT])
        | st.text(st.characters(codec="utf-8"), min_size=12),
    )
    return st.lists(st.none() | cell, min_size=rows, max_size=rows) | st.lists(cell, min_size=rows, max_size=rows)


USUAL = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "date": pa.date32(),
         "datetime": pa.timestamp("us")}  # fmt: skip


@st.composite
def streams(draw):
    schema = draw(schemas())
    rows = draw(st.integers(0, 12))
    made = {}
    for column in schema.columns:
        kind = USUAL.get(column.type, pa.string())
        if not draw(st.integers(0, 5)):
            kind = draw(st.sampled_from(KINDS))
        array = pa.array(draw(arrays(kind, rows)), kind)
        encoded = kind in {pa.string(), pa.large_string(), pa.int64()} and draw(st.booleans())
        made[column.name] = array.dictionary_encode() if encoded else array
    table, out = pa.table(made), io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=draw(st.integers(1, 12)))
    return schema, out.getvalue()


def outcome(read, body):
    try:
        table = read(body)
    except DataError as error:
        return type(error), str(error), getattr(error, "problems", None)
    return [
        (name, values.data.dtype.str, repr(values.data.tolist()), values.as_mask().tolist())
        for name, values in table.columns.items()
    ]


@given(streams())
def test_the_quick_way_and_the_patient_way_are_one(asked):
    schema, body = asked
    quick = outcome(compile_arrow(schema, max_rows=MAX_ROWS), body)
    assert quick == outcome(lambda body: check(schema, read_arrow(body, max_rows=MAX_ROWS)), body)
