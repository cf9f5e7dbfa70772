"""Arrow streams in blocks and the patient reader are one: same tables, same refusals, whatever writes the stream."""

import datetime as dt
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aweigh.errors import DataError, InvalidRows, TooLarge
from aweigh.schema import Column, Output, Schema
from aweigh.schema.cells import RESERVED_TEXT
from aweigh.schema.check import check
from aweigh.schema.decode import compile_decoder
from aweigh.schema.decode_arrow import MAX_KEPT_BYTES, compile_arrow
from aweigh.schema.layout import layout_of
from aweigh.table.arrow import read_arrow
from aweigh.table.blocks import Blocks
from aweigh.table.distinct import MAX_BYTES, cells_of

MAX_ROWS = 200
FUZZ = Path(__file__).with_name("fuzz_arrow_blocks.py")

ROWS = 100
PLAIN = {
    "x": pa.array(np.linspace(-1, 1, ROWS)),
    "city": pa.array(["oslo", "delhi", "zürich", "", "ulaanbaatar"] * 20),
    "n": pa.array(range(ROWS)),
    "note": pa.array([f"a note of its own, number {i}" for i in range(ROWS)]),
    "on": pa.array([True, False, True, True] * 25),
    "y": pa.array(np.linspace(0.1, 9.7, ROWS)),
    "day": pa.array([dt.date(2026, 1, 31)] * ROWS),
}


def schema_of(*columns):
    return Schema(columns=columns, output=Output(task="number", name="z"))


SCHEMA = schema_of(
    Column(name="x", type="number", dtype="float64", nullable=True),
    Column(name="city", type="category", dtype="str", nullable=True, categories=("delhi", "oslo")),
    Column(name="n", type="integer", dtype="int64", nullable=True),
    Column(name="note", type="text", dtype="str", nullable=True),
    Column(name="on", type="boolean", dtype="bool", nullable=True),
    Column(name="y", type="number", dtype="float32", nullable=True, lower_limit=-100),
    Column(name="day", type="date", dtype="datetime64[us]", nullable=True),
)


def fingerprint(table):
    found = [table.rows]
    for name, values in table.columns.items():
        raw = values.data.tolist() if values.data.dtype == object else values.data.tobytes()
        mask = None if values.missing is None else values.missing.tolist()
        found.append((name, values.data.dtype.str, values.data.shape, raw, mask))
    return found


def stream(table, *, max_chunksize=ROWS, new=pa.ipc.new_stream):
    out = io.BytesIO()
    with new(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=max_chunksize)
    return out.getvalue()


def patiently(schema, body, *, max_rows=MAX_ROWS):
    return check(schema, read_arrow(body, max_rows=max_rows))


def in_blocks(schema, body):
    """The table, made in blocks and the same as the patient reader makes it."""
    table = compile_arrow(schema, max_rows=MAX_ROWS)(body)
    assert isinstance(table.columns, Blocks)
    assert fingerprint(table) == fingerprint(patiently(schema, body))
    return table


def outcome(read, body):
    try:
        table = read(body)
    except DataError as error:
        return type(error), str(error), getattr(error, "problems", None)
    return fingerprint(table)


def with_nulls(array):
    return pa.array([None if i % 7 == 3 else cell for i, cell in enumerate(array.to_pylist())], array.type)


WAYS = {
    "plain": {},
    "nulls": {name: with_nulls(array) for name, array in PLAIN.items()},
    "nan": {"x": pa.array([float("nan"), 1.5] * 50), "y": pa.array([float("nan"), 1.5] * 50, pa.float32())},
    "float": {"x": PLAIN["x"].cast(pa.float32()), "y": PLAIN["y"].cast(pa.float16())},
    "whole numbers": {"x": pa.array(range(ROWS), pa.uint8()), "y": pa.array(range(ROWS)), "n": PLAIN["n"].cast("int8")},
    "beyond 53 bits": {"x": pa.array([2**53 + 1, 2**63 - 1] * 50), "n": pa.array([2**53 + 1, -(2**63)] * 50)},
    "unsigned": {"x": pa.array([2**32 - 1, 1] * 50, pa.uint32()), "n": pa.array([2**32 - 1, 1] * 50, pa.uint32())},
    "large": {name: PLAIN[name].cast(pa.large_string()) for name in ("city", "note")},
    "views": {name: PLAIN[name].cast(pa.string_view()) for name in ("city", "note")},
    "views with nulls": {name: with_nulls(PLAIN[name]).cast(pa.string_view()) for name in ("city", "note")},
    "dictionary": {name: PLAIN[name].dictionary_encode() for name in ("city", "note")},
    "dictionary with nulls": {name: with_nulls(PLAIN[name]).dictionary_encode() for name in ("city", "note")},
    "dictionary of large text": {"city": PLAIN["city"].cast(pa.large_string()).dictionary_encode()},
    "dictionary of small codes": {"city": PLAIN["city"].dictionary_encode().cast(pa.dictionary(pa.uint8(), "str"))},
    "all null": {name: pa.nulls(ROWS, array.type) for name, array in PLAIN.items()},
    "long kinds": {"city": pa.array(["a kind of more than eight bytes", "or of eight.", "another"] * 33 + ["delhi"])},
    "very long kinds": {"city": pa.array(["x" * (MAX_BYTES + 1), "x" * MAX_BYTES] * 50)},
    "times": {"day": pa.array([dt.datetime.fromisoformat("2026-01-31")] * ROWS, pa.timestamp("ms"))},
}  # fmt: skip


@pytest.mark.parametrize("new", [pa.ipc.new_stream, pa.ipc.new_file])
@pytest.mark.parametrize("max_chunksize", [ROWS, 33])
@pytest.mark.parametrize("way", WAYS)
def test_what_pyarrow_writes_is_read_in_blocks(way, max_chunksize, new):
    table = pa.table({**PLAIN, **WAYS[way]})
    in_blocks(SCHEMA, stream(table, max_chunksize=max_chunksize, new=new))


@pytest.mark.parametrize("way", WAYS)
def test_a_slice_is_its_own_rows(way):
    whole = pa.table({**PLAIN, **WAYS[way]})
    table = in_blocks(SCHEMA, stream(whole.slice(13, 29)))
    assert fingerprint(table) == fingerprint(in_blocks(SCHEMA, stream(whole)).take(slice(13, 42)))


def test_columns_may_come_in_any_order():
    table = pa.table(dict(reversed(PLAIN.items())))
    assert fingerprint(in_blocks(SCHEMA, stream(table))) == fingerprint(in_blocks(SCHEMA, stream(pa.table(PLAIN))))


def test_a_stream_of_another_schema_is_read_by_its_own():
    read = compile_arrow(SCHEMA, max_rows=MAX_ROWS)
    wide, narrow = (stream(pa.table({**PLAIN, "x": PLAIN["x"].cast(kind)})) for kind in (pa.float64(), pa.float32()))
    for body in (wide, narrow, narrow, wide):
        assert fingerprint(read(body)) == fingerprint(patiently(SCHEMA, body))


def test_a_schema_of_any_size_is_read_and_a_large_one_not_kept():
    table = pa.table(PLAIN).replace_schema_metadata({"note": "x" * MAX_KEPT_BYTES})
    read = compile_arrow(SCHEMA, max_rows=MAX_ROWS)
    for body in (stream(table), stream(pa.table(PLAIN)), stream(table)):
        assert isinstance(read(body).columns, Blocks)
        assert fingerprint(read(body)) == fingerprint(patiently(SCHEMA, body))


def test_an_index_of_pandas_is_no_column():
    frame = pa.table(PLAIN).to_pandas().set_index("n", drop=False).rename_axis("row")
    body = stream(pa.Table.from_pandas(frame, preserve_index=True))
    assert outcome(compile_arrow(SCHEMA, max_rows=MAX_ROWS), body) == fingerprint(patiently(SCHEMA, body))


def test_json_and_arrow_lie_in_the_same_layout():
    layout = layout_of(SCHEMA)
    asked = b'{"rows":[{"x":1.5}]}'
    tables = [
        compile_decoder(SCHEMA, max_rows=MAX_ROWS, layout=layout)(asked),
        compile_arrow(SCHEMA, max_rows=MAX_ROWS, layout=layout)(stream(pa.table(PLAIN))),
    ]
    assert [table.columns.layout for table in tables] == [layout, layout]


LEFT = {
    "no rows": pa.schema({name: array.type for name, array in PLAIN.items()}).empty_table(),
    "an absent column": pa.table(PLAIN).drop_columns(["city"]),
    "a column of nothing": pa.table({**PLAIN, "x": pa.nulls(ROWS)}),
    "whole numbers as floats": pa.table({**PLAIN, "n": pa.array([1.0, None] * 50)}),
    "whole numbers of 64 bits without a sign": pa.table({**PLAIN, "n": pa.array([2**63 - 1, 1] * 50, pa.uint64())}),
    "numbers in a dictionary": pa.table({**PLAIN, "n": PLAIN["n"].dictionary_encode()}),
}


@pytest.mark.parametrize("what", LEFT)
def test_what_is_not_plain_is_left_to_the_patient_reader(what):
    body = stream(LEFT[what])
    assert outcome(compile_arrow(SCHEMA, max_rows=MAX_ROWS), body) == fingerprint(patiently(SCHEMA, body))


def test_empty_batches_between_others_are_no_rows():
    out, schema = io.BytesIO(), pa.table(PLAIN).schema
    with pa.ipc.new_stream(out, schema) as writer:
        for first, last in ((0, 9), (9, 9), (9, ROWS)):
            writer.write_batch(pa.record_batch(list(PLAIN.values()), schema=schema).slice(first, last - first))
    table = compile_arrow(SCHEMA, max_rows=MAX_ROWS)(out.getvalue())
    assert fingerprint(table) == fingerprint(in_blocks(SCHEMA, stream(pa.table(PLAIN))))


REFUSED = {
    "infinity": {"x": pa.array([float("inf")] * ROWS)},
    "beyond single precision": {"y": pa.array([1e39] * ROWS)},
    "below the limit": {"y": pa.array([-100.5] * ROWS)},
    "a text in a number": {"x": PLAIN["note"]},
    "a number in a text": {"note": PLAIN["x"]},
    "NUL": {"city": pa.array(["a\x00", "a"] * 50)},
    "NUL in a dictionary": {"city": pa.array(["a\x00", "a"] * 50).dictionary_encode()},
    "the reserved text": {"note": pa.array([RESERVED_TEXT] * ROWS)},
    "an unknown column": {"z": PLAIN["x"]},
    "a time of day in a date": {"day": pa.array([dt.datetime(2026, 1, 31, 12)] * ROWS)},  # noqa: DTZ001  as pyarrow has it
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_is_refused_in_the_patient_readers_words(what):
    body = stream(pa.table({**PLAIN, **REFUSED[what]}))
    refused = outcome(compile_arrow(SCHEMA, max_rows=MAX_ROWS), body)
    assert refused[0] is InvalidRows
    assert refused == outcome(lambda body: patiently(SCHEMA, body), body)


@pytest.mark.parametrize("name", PLAIN)
def test_a_null_in_a_required_column_is_refused(name):
    required = schema_of(*(Column(name=c.name, type=c.type, dtype=c.dtype) for c in SCHEMA.columns))
    in_blocks(required, stream(pa.table(PLAIN)))
    body = stream(pa.table({**PLAIN, name: with_nulls(PLAIN[name])}))
    with pytest.raises(InvalidRows, match=f"column '{name}', row 3: a value is required"):
        compile_arrow(required, max_rows=MAX_ROWS)(body)


def test_a_closed_column_takes_its_own_kinds_alone():
    closed = schema_of(Column(name="t", type="category", dtype="str", categories=("a", "b"), closed=True))
    in_blocks(closed, stream(pa.table({"t": ["a", "b"] * 50})))
    for text in (pa.array(["a", "c"] * 50), pa.array(["a", "c"] * 50).dictionary_encode()):
        with pytest.raises(InvalidRows, match="'c' is none of 'a', 'b'"):
            compile_arrow(closed, max_rows=MAX_ROWS)(stream(pa.table({"t": text})))


def test_too_many_rows_are_refused_over_all_batches():
    read = compile_arrow(SCHEMA, max_rows=ROWS - 1)
    with pytest.raises(TooLarge, match="more rows"):
        read(stream(pa.table(PLAIN), max_chunksize=10))


def test_damaged_streams_are_what_the_patient_reader_says_they_are():
    # In a process of its own: what is tested for is a crash as well. The same mutations every time.
    done = subprocess.run([sys.executable, str(FUZZ), "1500"], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("1500 streams")
    assert "'in blocks'" in done.stdout


# -- cells that repeat themselves ------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), min_size=1, max_size=6), st.data())
def test_cells_are_the_text_at_their_places(kinds, data):
    rows = data.draw(st.integers(1, 40))
    column = st.lists(st.sampled_from(kinds), min_size=rows, max_size=rows)
    columns = data.draw(st.lists(column, min_size=1, max_size=3))
    raw = [cell.encode() for cells in columns for cell in cells]
    sizes = np.array([len(one) for one in raw])
    starts = np.cumsum(sizes) - sizes
    behind = data.draw(st.sampled_from([b"", bytes(8)]))
    made, found = cells_of(b"".join(raw) + behind, starts.reshape(-1, rows), sizes.reshape(-1, rows))
    assert made.tolist() == columns
    assert set(found) == {cell for cells in columns for cell in cells}


def test_cells_of_a_row_lie_side_by_side_so_that_a_model_takes_them_uncopied():
    for rows in (20, 200):
        raw = [b"red", b"blue"] * (3 * rows // 2)
        sizes = np.array([len(one) for one in raw])
        starts = (np.cumsum(sizes) - sizes).reshape(3, rows)
        made, _ = cells_of(b"".join(raw) + bytes(8), starts, sizes.reshape(3, rows))
        assert made.T.flags.c_contiguous
        assert made.tolist() == [["red", "blue"] * (rows // 2)] * 3


def test_equal_cells_are_one_object_and_unlike_ones_stay_apart():
    # 2,000 kinds over 65,536 slots: some share a slot with another under either factor.
    kinds = [f"kind {i}" for i in range(2000)]
    for some in (kinds[:20], kinds):
        raw = [one.encode() for one in some] * 20
        sizes = np.array([[len(one) for one in raw]])
        made, found = cells_of(b"".join(raw) + bytes(8), np.cumsum(sizes, axis=1) - sizes, sizes)
        assert made[0].tolist() == some * 20
        assert set(found) == set(some)
        if len(some) == 20:
            assert len({id(cell) for cell in made[0].tolist()}) == 20


def test_a_nul_at_the_end_is_part_of_the_text():
    for times in (5, 500):
        starts, sizes = np.array([[0, 2, 0, 3] * times]), np.array([[2, 1, 1, 1] * times])
        made, _ = cells_of(b"a\x00aa" + bytes(8), starts, sizes)
        assert made[0].tolist() == ["a\x00", "a", "a", "a"] * times
