"""Files made to cost more than they weigh: each parser says so before it has taken the memory or the time."""

import csv
import gzip
import io
import json
import subprocess
import sys
import textwrap
import time
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.partly import slow_but_for

from aweigh.errors import DataError, MalformedBody, TooLarge, UnsupportedMedia
from aweigh.runtime.cells_out import disarmed
from aweigh.schema import Column, Output, Schema
from aweigh.schema.check import check
from aweigh.schema.decode import compile_decoder, count_containers
from aweigh.schema.decode_arrow import compile_arrow
from aweigh.server.tensors import read_request
from aweigh.table import read_csv, write_csv
from aweigh.table.files import read_sample
from aweigh.table.parquet import open_parquet
from aweigh.ui.upload import MOST_ROWS, read_upload

COLUMNS = (
    Column(name="t", type="text", dtype="str", nullable=True),
    Column(name="x", type="number", dtype="float64", nullable=True),
)
SCHEMA = Schema(columns=COLUMNS, output=Output(task="number", name="y"))
LARGE = "a" * 10_000_000
MEMORY_MB = 400
TIME_S = 10.0


def stream(table):
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def coded(text, rows):
    """Return a column of many rows that all are one long text, which is there once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int8)), pa.array([text]))


def viewed(text, rows):
    """Return the same as views."""
    views = np.zeros((rows, 4), dtype=np.int32)
    views[:, 0] = len(text)
    views[:, 1] = int.from_bytes(b"aaaa", "little")
    buffers = [None, pa.py_buffer(views.tobytes()), pa.py_buffer(text.encode())]
    return pa.Array.from_buffers(pa.string_view(), rows, buffers)


def parquet(table, **options):
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


ARROWS = {
    "codes": lambda: stream(pa.table({"t": coded(LARGE, 100_000)})),
    "views": lambda: stream(pa.table({"t": viewed(LARGE, 100_000)})),
    "views of a part": lambda: stream(pa.table({"t": viewed(LARGE[:9000], 90_000)})),
}


@pytest.mark.parametrize("name", ARROWS)
@pytest.mark.parametrize("way", ["request", "page"])
def test_text_that_is_there_once_and_named_again_and_again_is_not_written_out(name, way):
    body = ARROWS[name]()
    with pytest.raises(TooLarge):
        if way == "request":
            compile_arrow(SCHEMA, max_rows=100_000)(body)
        else:
            read_upload("a.arrow", body)


def test_what_repeats_itself_within_reason_is_read():
    table = pa.table({"t": coded("some text", 90_000), "x": pa.array(np.arange(90_000.0))})
    assert compile_arrow(SCHEMA, max_rows=100_000)(stream(table)).rows == 90_000
    plain = table.set_column(0, "t", viewed("a text of some length", 90_000))
    found = compile_arrow(SCHEMA, max_rows=100_000)(stream(plain))
    assert found["t"].data[-1] == "a text of some length"


def test_a_parquet_s_text_is_counted_before_it_is_made():
    body = parquet(pa.table({"t": coded(LARGE, 60_000)}), store_schema=False)
    assert len(body) < 1_000_000
    with pytest.raises(TooLarge, match="more text"):
        read_upload("a.parquet", body)


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"store_schema": False}, {"data_page_size": 500}])
def test_parquet_text_comes_as_it_was_however_it_was_stored(tmp_path, options):
    random = np.random.default_rng(3)
    cells = [None if i % 7 == 0 else f"ü{i % 13}" if i < 4000 else f"own {random.integers(10**9)}" for i in range(9000)]
    table = pa.table({
        "t": pa.array(cells),
        "l": pa.array(cells, pa.large_string()),
        "c": pa.array(cells[:9000]).dictionary_encode(),
        "x": pa.array(np.arange(9000.0)),
    })  # fmt: skip
    (tmp_path / "a.parquet").write_bytes(parquet(table, row_group_size=2500, **options))
    with (tmp_path / "a.parquet").open("rb") as file:
        found = open_parquet(file, chunk_rows=1000)
        types = pq.read_schema(tmp_path / "a.parquet").types
        batches = list(found)
        assert all(batch.schema.types == types for batch in batches)
        for name in ("t", "l", "c"):
            assert [cell for batch in batches for cell in batch.column(name).to_pylist()] == cells


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_rows_that_weigh_nothing_are_counted_while_they_are_read(kind):
    """Five hundred million rows of one value, in a few kilobytes of Parquet; null columns in Arrow."""
    if kind == "parquet":
        out = io.BytesIO()
        table = pa.table({"x": pa.array(np.zeros(1_000_000))})
        with pq.ParquetWriter(out, table.schema, compression="zstd") as writer:
            for _ in range(50):
                writer.write_table(table, row_group_size=1_000_000)
        body = out.getvalue()
    else:
        body = stream(pa.table({"x": pa.nulls(500_000_000)}))
    assert len(body) < 300_000
    begun = time.monotonic()
    with pytest.raises(TooLarge, match=f"{MOST_ROWS:,} rows"):
        read_upload(f"a.{kind}", body)
    assert time.monotonic() - begun < TIME_S


def test_a_parquet_that_lies_about_its_rows_is_read_by_what_it_holds(tmp_path):
    body = bytearray(parquet(pa.table({"x": pa.array([1.0, 2.0])}), compression="none"))
    for i in range(len(body)):
        changed = bytes(body[:i]) + bytes([body[i] ^ 0x40]) + bytes(body[i + 1 :])
        (tmp_path / "a.parquet").write_bytes(changed)
        try:
            table = read_sample(tmp_path / "a.parquet", most_rows=MOST_ROWS)
        except DataError:
            continue
        assert table.rows <= MOST_ROWS


PACKED = {
    "csv": ("t,x\\n", "a,1\\n", 100_000_000),
    "jsonl": ("", '{"t": "a", "x": 1}\\n', 40_000_000),
    "json": ("[", '{"t": "a"},', 60_000_000),
    "json of no objects": ("[", "1,", 200_000_000),
    "one cell": ("t\\n", "a", 600_000_000),
}
"""How each begins, what stands in it again and again, and how often: some hundred megabytes, in less than one."""


@pytest.mark.parametrize("name", slow_but_for(PACKED, "csv", "json of no objects"))
def test_a_packed_file_is_read_no_further_than_it_may_unpack(name):
    """In a process of its own, whose memory tells: what is read and thrown away would otherwise not be seen."""
    head, again, times = PACKED[name]
    suffix = {"one cell": "csv", "json of no objects": "json"}.get(name, name)
    code = f"""
        import io, gzip, sys
        from aweigh.errors import DataError
        from aweigh.ui.upload import read_upload
        out = io.BytesIO()
        with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6) as packed:
            packed.write(b'''{head}''')
            piece = b'''{again}''' * 100_000
            for _ in range({times} // 100_000):
                packed.write(piece)
        del piece
        try:
            read_upload("a.{suffix}.gz", out.getvalue())
        except DataError as error:
            peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
            print(type(error).__name__, int(peak.split()[1]) // 1000, len(out.getvalue()))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    kind, peak_mb, size_bytes = done.stdout.split()
    assert kind in {"TooLarge", "MalformedBody"}
    assert int(size_bytes) < 2_500_000
    assert int(peak_mb) < MEMORY_MB


NESTED = {
    "objects": b'{"a":' * 3_000_000,
    "strings between": b'{"rows":[' + b'"[[",' * 300_000 + b"[" * 2_000_000,
    "escapes": b'{"rows":["' + b'\\\\\\"' * 1_000_000 + b'",' + b"[" * 2_000_000,
}


@pytest.mark.parametrize("name", slow_but_for(NESTED, "strings between", "escapes"))
@pytest.mark.parametrize("way", ["ours", "open inference"])
def test_brackets_are_counted_in_the_memory_of_a_part_of_the_body(name, way):
    """Each string of a body was an object of its own once, while they were counted: 15 MB took 700."""
    body = NESTED[name]
    read = compile_decoder(SCHEMA, max_rows=100_000) if way == "ours" else partial(read_request, json_bytes=None)
    tracemalloc.start()
    try:
        with pytest.raises((TooLarge, MalformedBody)):
            read(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(body) + 2**25


def test_brackets_in_strings_do_not_count_wherever_a_part_of_the_body_ends(monkeypatch):
    monkeypatch.setattr("aweigh.schema.decode.BLOCK_BYTES", 3)
    for text in ("[", "\\", '"', '\\"', '[\\\\"]', "a" * 7 + '"[', "\\" * 9 + "{", ""):
        body = json.dumps([{"x": text}, text, [text]]).encode()
        assert count_containers(body, over=0) in range(1, 4)
        assert count_containers(body, over=2) == 3
        assert count_containers(body + b'"[[[[', over=3) <= 3


WIDE = {
    "a header of two million names": lambda: read_csv(b",".join(b"c%d" % i for i in range(2_000_000)) + b"\n1\n"),
    "a row of sixteen million cells": lambda: check(SCHEMA, read_csv(b"t,x\n" + b"," * 16_000_000 + b"\n")),
    "a cell of sixteen million characters": lambda: read_csv(b"t,x\n" + b"a" * 16_000_000 + b",1\n"),
    "a quote that never closes": lambda: read_csv(b't,x\n"' + b"a\n" * 8_000_000),
    "eight million rows": lambda: read_csv(b"t\n" + b"a\n" * 8_000_000, max_rows=100_000),
    "deep JSON": lambda: compile_decoder(SCHEMA, max_rows=100)(b'{"rows":' + b"[" * 8_000_000),
    "JSON of a million strange names": lambda: compile_decoder(SCHEMA, max_rows=100)(
        b'{"rows":[{' + b",".join(b'"c%d":1' % i for i in range(1_000_000)) + b"}]}"
    ),
    "a number of a million digits": lambda: compile_decoder(SCHEMA, max_rows=100)(
        b'{"rows":[{"x":' + b"9" * 1_000_000 + b"}]}"
    ),
}


@pytest.mark.parametrize(
    "name",
    slow_but_for(
        WIDE, *[one for one in WIDE if one not in {"a header of two million names", "JSON of a million strange names"}]
    ),
)
def test_what_is_absurdly_wide_deep_or_long_is_refused_soon(name):
    begun = time.monotonic()
    with pytest.raises(DataError):
        WIDE[name]()
    assert time.monotonic() - begun < TIME_S


@pytest.mark.parametrize(
    ("name", "body", "error"),
    [
        ("a.csv", b"PK\x03\x04" + b"\x00" * 100, UnsupportedMedia),
        ("a.csv", b"\x80\x04\x95" + b"\x00" * 100, UnsupportedMedia),
        ("a.parquet", b"t,x\na,1\n", MalformedBody),
        ("a.arrow", b"PAR1" + b"\x00" * 50 + b"PAR1", MalformedBody),
        ("a.json", b"t,x\na,1\n", MalformedBody),
        ("a.csv", b"\x28\xb5\x2f\xfd" + b"\x00" * 50, UnsupportedMedia),
        ("a.csv.gz", gzip.compress(b"t,x\na,1\n" * 50)[:-9], MalformedBody),
        ("a.csv.gz", gzip.compress(gzip.compress(b"t,x\n")), DataError),
        ("a.xlsx", b"PK\x03\x04" + b"\x00" * 100, UnsupportedMedia),
    ],
    ids=range(9),
)
def test_a_file_is_what_its_bytes_say_and_no_other(name, body, error):
    with pytest.raises(error):
        read_upload(name, body)


def test_a_name_of_a_file_leads_nowhere(tmp_path):
    before = sorted(Path(tmp_path).rglob("*"))
    found = read_upload(f"../../../../{tmp_path}/x.csv", b"t,x\na,1\n")
    assert found.rows == 1
    assert sorted(Path(tmp_path).rglob("*")) == before


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_a_spreadsheet_would_run_is_disarmed_in_every_download(start):
    text = f"{start}cmd|x"
    assert disarmed([text]) == [f"'{text}"]
    with io.StringIO(write_csv(["a", "b"], [[text, 1]]), newline="") as out:
        assert list(csv.reader(out))[1] == [f"'{text}", "1"]


def test_numbers_with_a_sign_stay_numbers_in_downloads():
    assert disarmed(["-1.5", "+3", "-2e5", "-"]) == ["-1.5", "+3", "-2e5", "'-"]
    assert write_csv(["a", "b"], [[-1.5, -2]]) == "a,b\n-1.5,-2\n"


def test_an_upload_is_never_on_a_disk(monkeypatch):
    """What a process that is killed leaves in a folder is somebody's data."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    body = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2]}), body)
    text = b"a\n1\n2\n"
    for name, content in (("x.csv", text), ("x.csv.gz", gzip.compress(text)), ("x.parquet", body.getvalue())):
        assert read_upload(name, content).rows == 2
