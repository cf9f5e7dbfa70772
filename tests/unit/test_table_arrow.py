"""Arrow in and out: what pyarrow writes is read, what is written pyarrow reads, and no byte of a stranger does harm."""

import datetime as dt
import io
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aweigh.errors import DataError, MalformedBody, TooLarge, UnsupportedMedia
from aweigh.schema import Column, Output, Schema
from aweigh.schema.decode_arrow import compile_arrow
from aweigh.table import Values
from aweigh.table.arrow import read_arrow, write_arrow

LEAP_DAY = dt.date(1960, 2, 29)
MIDNIGHT = dt.datetime.fromisoformat("1960-02-29")
NOON = dt.datetime.fromisoformat("2026-01-31T12:30")
ZURICH = ["short", None, "longer than twelve, Zürich"]
FUZZ = Path(__file__).with_name("fuzz_arrow.py")


def stream(table, *, max_chunksize=2, **options):
    return _written(pa.ipc.new_stream, table, max_chunksize, options)


def file(table, *, max_chunksize=2, **options):
    return _written(pa.ipc.new_file, table, max_chunksize, options)


def _written(new, table, max_chunksize, options):
    out = io.BytesIO()
    with new(out, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=max_chunksize)
    return out.getvalue()


COLUMNS = {
    # Arrow's column: cells read, dtype
    "int8": (pa.array([1, None, -3], pa.int8()), [1, None, -3], "int8"),
    "uint8": (pa.array([1, 255, 0], pa.uint8()), [1, 255, 0], "uint8"),
    "int16": (pa.array([1, 2, 3], pa.int16()), [1, 2, 3], "int16"),
    "uint32": (pa.array([2**32 - 1, 2, 3], pa.uint32()), [2**32 - 1, 2, 3], "uint32"),
    "int64": (pa.array([2**63 - 1, -(2**63), 0]), [2**63 - 1, -(2**63), 0], "int64"),
    "uint64": (pa.array([2**63 - 1, None, 0], pa.uint64()), [2**63 - 1, None, 0], "uint64"),
    "half": (pa.array(np.array([1.5, np.nan, -2], np.float16)), [1.5, None, -2.0], "float32"),
    "float": (pa.array([1.5, None, 0.1], pa.float32()), [1.5, None, float(np.float32(0.1))], "float32"),
    "double": (pa.array([1.5, float("nan"), float("inf")]), [1.5, None, float("inf")], "float64"),
    "bool": (pa.array([True, None, False]), [True, None, False], "bool"),
    "string": (pa.array(["a", None, "Zürich"]), ["a", None, "Zürich"], "str"),
    "large": (pa.array(["", None, "b"], pa.large_string()), ["", None, "b"], "str"),
    "view": (pa.array(ZURICH, pa.string_view()), ZURICH, "str"),
    "kinds": (pa.array(["x", None, "y"]).dictionary_encode(), ["x", None, "y"], "category"),
    "codes": (pa.array([7, 9, 7]).dictionary_encode(), [7, 9, 7], "category"),
    "date32": (pa.array([LEAP_DAY, None, LEAP_DAY]), [MIDNIGHT, None, MIDNIGHT], "date"),
    "date64": (pa.array([LEAP_DAY] * 3, pa.date64()), [MIDNIGHT] * 3, "date"),
    "s": (pa.array([NOON, None, NOON], pa.timestamp("s")), [NOON, None, NOON], "datetime64[s]"),
    "ns": (pa.array([NOON, None, NOON], pa.timestamp("ns")), [NOON, None, NOON], "datetime64[ns]"),
    "zone": (pa.array([NOON] * 3, pa.timestamp("us", "Europe/Berlin")), [NOON] * 3, "datetime64[us, Europe/Berlin]"),
    "decimal": (pa.array([Decimal("1.10"), None, Decimal("-0.05")]), [1.1, None, -0.05], "float64"),
    "decimal32": (pa.array([Decimal("1.10"), None, Decimal(-3)], pa.decimal32(5, 2)), [1.1, None, -3.0], "float64"),
    "decimal256": (pa.array([Decimal(10**30), Decimal("-1.5")], pa.decimal256(60, 1)), [1e30, -1.5], "float64"),
    "null": (pa.nulls(3), [None, None, None], "float64"),
}  # fmt: skip


@pytest.mark.parametrize("written", [stream, file])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_that_pyarrow_writes_is_read(name, written):
    array, cells, dtype = COLUMNS[name]
    values = read_arrow(written(pa.table({name: array})))[name]
    assert values.cells() == cells
    assert values.dtype == dtype


def test_categories_keep_their_order_and_whether_it_means_something():
    kinds = pa.DictionaryArray.from_arrays(pa.array([1, 0, None], pa.int8()), ["small", "large", "huge"], ordered=True)
    values = read_arrow(stream(pa.table({"size": kinds})))["size"]
    assert (values.cells(), values.categories, values.dtype) == (
        ["large", "small", None],
        ("small", "large", "huge"),
        "category[ordered]",
    )


def test_what_lies_under_a_null_is_wiped():
    array = pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([5, 99]).tobytes())])
    values = read_arrow(stream(pa.table({"n": array})))["n"]
    assert values.data.tolist() == [5, 0]
    assert values.as_mask().tolist() == [False, True]


def test_a_stream_of_no_batches_has_columns_and_no_rows():
    schema = pa.schema(
        {
            "n": pa.int64(),
            "t": pa.string(),
            "v": pa.string_view(),
            "d": pa.dictionary(pa.int32(), pa.string()),
            "x": pa.decimal128(5, 2),
        }
    )
    table = read_arrow(stream(schema.empty_table()))
    assert (list(table.columns), table.rows) == (["n", "t", "v", "d", "x"], 0)


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (pa.array([[1], [2]]), "list"),
        (pa.array([{"a": 1}, None]), "struct"),
        (pa.array([b"1", b"2"]), "binary"),
        (pa.array([dt.time(1), dt.time(2)]), "time"),
        (pa.array([dt.timedelta(1), dt.timedelta(2)]), "duration"),
        (pa.array([1.5, 2.5]).dictionary_encode(), "dictionary of double"),
    ],
)
def test_a_type_that_no_model_takes_is_refused_by_its_columns_name(array, kind):
    with pytest.raises(UnsupportedMedia, match=f"Column 'odd' is of Arrow type {kind}, "):
        read_arrow(stream(pa.table({"fine": [1, 2], "odd": array})))


REFUSED = {
    "empty": (b"", MalformedBody, "The body is empty"),
    "text": (b"a,b\n1,2\n", MalformedBody, "cannot be read"),
    "no schema": (b"\xff\xff\xff\xff\x00\x00\x00\x00", MalformedBody, "cannot be read"),
    "cut off": (stream(pa.table({"a": [1.5] * 9}))[:-40], MalformedBody, "cannot be read"),
    "names": (stream(pa.Table.from_arrays([[1], [2]], ["a", "a"])), MalformedBody, "more than one column named 'a'"),
    "no name": (stream(pa.table({"": [1]})), MalformedBody, "Column 1 of the table has no name"),
    "lz4": (stream(pa.table({"a": [1.5] * 99}), compression="lz4"), UnsupportedMedia, "is compressed"),
    "too large": (stream(pa.table({"a": pa.array([2**63], pa.uint64())})), DataError, "'a' holds whole numbers beyond"),
    "too late": (stream(pa.table({"a": pa.array([2**60], pa.timestamp("s"))})), DataError, "'a' holds times outside"),
    "rows": (stream(pa.table({"a": [1.5] * 9})), TooLarge, "more rows"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name):
    body, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        read_arrow(body, max_rows=8 if name == "rows" else None)


def test_a_dictionary_that_grows_is_refused():
    out = io.BytesIO()
    schema = pa.schema({"a": pa.dictionary(pa.int32(), pa.string())})
    with pa.ipc.new_stream(out, schema, options=pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)) as writer:
        for kinds in (["x"], ["x", "y"]):
            writer.write_batch(pa.record_batch([pa.DictionaryArray.from_arrays([0], kinds)], schema=schema))
    with pytest.raises(UnsupportedMedia, match="delta"):
        read_arrow(out.getvalue())


def test_a_dictionary_that_is_replaced_is_read_as_it_stands_at_each_batch():
    out = io.BytesIO()
    schema = pa.schema({"a": pa.dictionary(pa.int32(), pa.string())})
    with pa.ipc.new_stream(out, schema) as writer:
        for kinds in (["x", "y"], ["z", "x"]):
            writer.write_batch(pa.record_batch([pa.DictionaryArray.from_arrays([1], kinds)], schema=schema))
    values = read_arrow(out.getvalue())["a"]
    assert values.cells() == ["y", "x"]
    assert values.categories == ("x", "y", "z")


def test_text_that_is_not_utf_8_is_refused_by_its_columns_name():
    array = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32).tobytes()), pa.py_buffer(b"\xff\xfe")]
    )
    with pytest.raises(MalformedBody, match="Column 'name' holds text that is not UTF-8"):
        read_arrow(stream(pa.table({"name": array})))


@pytest.mark.parametrize("offsets", [[0, 9], [1, 0], [-1, 1]])
def test_offsets_that_lead_nowhere_are_refused(offsets):
    body = stream(pa.table({"t": ["x"]}))
    at = body.index(np.array([0, 1], np.int32).tobytes() + b"x")
    lying = body[:at] + np.array(offsets, np.int32).tobytes() + body[at + 8 :]
    with pytest.raises(MalformedBody, match="column 't' contradicts itself"):
        read_arrow(lying)


def test_offsets_that_fall_so_far_that_their_difference_goes_round_are_refused():
    table, file = pa.table({"t": ["a", "bb", "c", "dd"]}), io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    body, said = file.getvalue(), np.array([0, 1, 3, 4, 6], np.int32).tobytes()
    assert body.count(said) == 1
    lying = body.replace(said, np.array([0, 2**31 - 1, -(2**31), -1, 5], np.int32).tobytes())
    schema = Schema(columns=(Column(name="t", type="text", dtype="str"),), output=Output(task="number", name="y"))
    for read in (read_arrow, compile_arrow(schema, max_rows=9)):
        with pytest.raises(MalformedBody, match="column 't' contradicts itself"):
            read(lying)


def test_codes_beyond_the_dictionary_are_refused():
    body = stream(pa.table({"k": pa.array(["x", "y"]).dictionary_encode()}))
    at = body.rindex(np.array([0, 1], np.int32).tobytes() + b"\xff\xff\xff\xff")
    with pytest.raises(MalformedBody, match="column 'k' contradicts itself"):
        read_arrow(body[:at] + np.array([0, 2], np.int32).tobytes() + body[at + 8 :])


def test_columns_that_share_a_buffer_count_for_each():
    table = pa.table({"a": np.arange(1000.0), "b": np.arange(1000.0) + 0.5})
    body = stream(table, max_chunksize=1000)
    own, shared = (np.array([place, 8000]).tobytes() for place in (8000, 0))
    body = shared.join(body.rsplit(own, 1))
    assert read_arrow(body, max_bytes=16_000)["b"].cells() == np.arange(1000.0).tolist()
    with pytest.raises(TooLarge, match="more bytes"):
        read_arrow(body, max_bytes=15_999)


def test_rows_of_nothing_are_counted():
    body = stream(pa.table({"a": pa.nulls(5)}), max_chunksize=5)
    rows = np.array([5]).tobytes()
    endless = body.replace(rows, np.array([2**40]).tobytes())
    assert body.count(rows) == 3  # the batch's length, the column's, its nulls
    with pytest.raises(TooLarge, match="more rows"):
        read_arrow(endless, max_rows=2**39)
    with pytest.raises(TooLarge, match="more bytes"):
        read_arrow(endless)


def test_a_stream_cannot_harm_the_process():
    # In a process of its own: what is tested for is a crash. Mutations of every seed, the same every time.
    done = subprocess.run([sys.executable, str(FUZZ), "4000"], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("4000 streams")


cells = {
    "number": st.floats(allow_nan=False),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "text": st.text(st.characters(codec="utf-8"), max_size=20),
}


@st.composite
def tables(draw):
    rows = draw(st.integers(0, 8))
    kinds = draw(st.lists(st.sampled_from(sorted(cells)), min_size=1, max_size=5))
    return {
        f"{kind} {i}": draw(st.lists(st.none() | cells[kind], min_size=rows, max_size=rows))
        for i, kind in enumerate(kinds)
    }


@given(tables())
def test_what_is_written_pyarrow_reads_and_so_do_we(columns):
    body = write_arrow(list(columns), list(columns.values()))
    theirs = pa.ipc.open_stream(body).read_all()
    theirs.validate(full=True)
    assert theirs.to_pydict() == columns
    ours = read_arrow(body)
    assert {name: values.cells() for name, values in ours.columns.items()} == columns


@given(tables())
def test_what_pyarrow_writes_we_read(columns):
    table = pa.table(columns)
    for body in (stream(table), file(table)):
        ours = read_arrow(body)
        assert {name: values.cells() for name, values in ours.columns.items()} == columns


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), unique=True, max_size=30), st.integers(0, 3))
def test_columns_of_any_number_and_name_are_written(names, rows):
    body = write_arrow(names, [np.arange(rows) + 0.5 + i for i in range(len(names))])
    theirs = pa.ipc.open_stream(body).read_all()
    theirs.validate(full=True)
    assert theirs.to_pydict() == {name: [row + 0.5 + i for row in range(rows)] for i, name in enumerate(names)}
    assert all(field.nullable for field in theirs.schema)


def test_what_is_written_lies_where_arrow_wants_it():
    body = write_arrow(["a", "label"], [np.array([True, False, True]), np.array(["x", "yy", ""], dtype=object)])
    reader = pa.ipc.MessageReader.open_stream(body)
    messages = [(message.type, len(message.metadata) % 8, len(message.body or b"") % 8) for message in reader]
    assert messages == [("schema", 0, 0), ("record batch", 0, 0)]
    # Fewer bytes than that are no stream: the end is said, not guessed from where the bytes stop.
    assert body.endswith(b"\xff\xff\xff\xff" + bytes(4))
    for number, buffer in enumerate(pa.ipc.open_stream(body).read_all()["label"].chunk(0).buffers()[1:]):
        assert buffer.address % (4, 1)[number] == 0


@pytest.mark.parametrize("kind", ["dates", "moments", "text", "no rows"])
def test_times_and_text_come_back(kind):
    days = np.array(["2026-01-31", "1960-02-29"], "datetime64[us]")
    values = {
        "dates": Values(days, None, "date"),
        "moments": Values(days),
        "text": Values(np.array(["é", ""], dtype=object), np.array([False, True])),
        "no rows": Values(np.zeros(0)),
    }[kind]
    body = write_arrow(["it"], [values])
    theirs = pa.ipc.open_stream(body).read_all()
    theirs.validate(full=True)
    types = {"dates": pa.date32(), "moments": pa.timestamp("us"), "text": pa.string(), "no rows": pa.float64()}
    assert theirs.schema.field("it").type == types[kind]
    assert theirs.num_rows == len(values)
    assert read_arrow(body)["it"].cells() == values.cells()


def test_answers_are_written_from_arrays_as_well():
    moments = np.array(["2026-01-31T12:30", "NaT"], "datetime64[us]")
    values = Values(np.array([1, 0]), np.array([False, True]))
    body = write_arrow(
        ["p", "ok", "at", "n", "label"], [np.array([0.5, np.nan]), np.array([True, False]), moments, values, ["a", 1]]
    )
    assert pa.ipc.open_stream(body).read_all().to_pydict() == {
        "p": [0.5, None],
        "ok": [True, False],
        "at": [NOON, None],
        "n": [1, None],
        "label": ["a", "1"],
    }
