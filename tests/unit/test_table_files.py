"""Files of rows: told by their first bytes, read into the same table whatever their kind, thinned evenly when large."""

import datetime as dt
import gzip
import json
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aweigh.errors import DataError, InvalidRows, MalformedBody, UnsupportedMedia
from aweigh.models.frame import table_to_frame
from aweigh.schema.infer import infer_columns
from aweigh.table import TextTable
from aweigh.table.files import read_sample

ROWS = [{"n": 1.5, "k": "a", "ok": True}, {"n": None, "k": "b", "ok": False}, {"n": -2.0, "k": None, "ok": True}]
FRAME = pd.DataFrame(ROWS)
CSV = b"n,k,ok\n1.5,a,True\n,b,False\n-2.0,,True\n"


def write_arrow(path, new, **options):
    table = pa.Table.from_pandas(FRAME)
    with new(path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)


WRITE = {
    "comma.csv": lambda path: path.write_bytes(CSV),
    "mark.csv": lambda path: path.write_bytes(b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n")),
    "semicolon.csv": lambda path: path.write_bytes(CSV.replace(b",", b";")),
    "tab.tsv": lambda path: path.write_bytes(CSV.replace(b",", b"\t")),
    "utf16.csv": lambda path: path.write_bytes(CSV.decode().encode("utf-16")),
    "no suffix": lambda path: path.write_bytes(CSV),
    "packed.csv.gz": lambda path: path.write_bytes(gzip.compress(CSV)),
    "table.parquet": FRAME.to_parquet,
    "parquet named.csv": FRAME.to_parquet,
    "table.feather": FRAME.to_feather,
    "stream.arrows": lambda path: write_arrow(path, pa.ipc.new_stream),
    "file.arrow": lambda path: write_arrow(path, pa.ipc.new_file, compression="zstd"),
    "array.json": lambda path: path.write_text(json.dumps(ROWS)),
    "rows.json": lambda path: path.write_text(json.dumps({"rows": ROWS}, indent=2)),
    "lines.jsonl": lambda path: path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n"),
    "lines.json": lambda path: path.write_text("\n".join(json.dumps(row) for row in ROWS)),
    "lines": lambda path: path.write_text("\n".join(json.dumps(row) for row in ROWS)),
    "lines.ndjson.gz": lambda path: path.write_bytes(
        gzip.compress("\n".join(json.dumps(row) for row in ROWS).encode())
    ),
}


@pytest.mark.parametrize("name", WRITE)
def test_every_kind_of_file_is_the_same_table(name, tmp_path):
    path = tmp_path / name
    WRITE[name](path)
    columns, table = infer_columns(read_sample(path))
    assert list(table.iter_rows()) == ROWS
    assert [(column.name, column.type, column.nullable) for column in columns] == [
        ("n", "number", True),
        ("k", "text", True),
        ("ok", "boolean", False),
    ]


def test_a_parquet_file_is_the_frame_that_pandas_reads(tmp_path):
    frame = pd.DataFrame(
        {
            "small": np.array([1, 2, 3], "int8"),
            "missing": [1, None, 3],
            "Int64": pd.array([1, None, 3], "Int64"),
            "boolean": pd.array([True, None, False], "boolean"),
            "string": pd.array(["a", None, "b"], "string"),
            "flag": pd.Series([True, None, False], dtype=object),
            "single": np.array([0.1, np.nan, 3], "float32"),
            "kind": pd.Categorical(["b", None, "a"], categories=["b", "a", "c"], ordered=True),
            "day": [dt.date(2026, 1, 31), None, dt.date(1960, 2, 29)],
            "moment": pd.to_datetime(["2026-01-31 12:00", None, "2026-02-01 00:00"]).astype("datetime64[ms]"),
            "zone": pd.to_datetime(["2026-01-31 12:00", None, "2026-02-01 00:00"]).tz_localize("Europe/Berlin"),
            "id": ["x", "y", "z"],
        }
    ).set_index("id")
    path = tmp_path / "frame.parquet"
    frame.to_parquet(path, row_group_size=2)
    columns, table = infer_columns(read_sample(path))
    pd.testing.assert_frame_equal(table_to_frame(table, columns), pd.read_parquet(path).reset_index(drop=True))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow", ".jsonl", ".json"])
@pytest.mark.parametrize(("rows", "most", "kept"), [(100, 100, 100), (100, 50, 50), (100, 40, 25), (99_999, 999, 782)])
def test_a_large_file_is_thinned_evenly(suffix, rows, most, kept, tmp_path):
    frame = pd.DataFrame({"i": np.arange(rows)})
    path = tmp_path / f"large{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(path, row_group_size=1_000)
    elif suffix == ".arrow":
        frame.to_feather(path, chunksize=777)
    else:
        frame.to_json(path, orient="records", lines=suffix == ".jsonl")
    _, table = infer_columns(read_sample(path, max_rows=most))
    kept_rows = table["i"].cells()
    assert len(kept_rows) == kept
    step = kept_rows[1] - kept_rows[0]
    assert kept_rows == list(range(0, rows, step))


REFUSED = {
    "empty.csv": (b"", MalformedBody, "'empty.csv' is empty"),
    "blank.csv": (b"\n \n", MalformedBody, "'blank.csv' is empty"),
    "not.parquet": (b"a,b\n1,2\n", MalformedBody, "named as Parquet and is not"),
    "not.arrow": (b"a,b\n1,2\n", MalformedBody, "named as Arrow and is not"),
    "not.json": (b"a,b\n1,2\n", MalformedBody, "named as JSON and is not"),
    "damaged.parquet": (b"PAR1" + bytes(40) + b"PAR1", MalformedBody, "Parquet file cannot be read"),
    "damaged.arrow": (b"ARROW1\x00\x00" + bytes(40), MalformedBody, "Arrow file cannot be read"),
    "damaged.csv.gz": (gzip.compress(b"a\n1\n" * 99)[:-20], MalformedBody, "gzip file is damaged"),
    "book.xlsx": (b"PK\x03\x04\x14\x00" + bytes(40), UnsupportedMedia, "an Excel workbook"),
    "model.pkl": (pickle.dumps({"a": 1}), UnsupportedMedia, "a pickle, which could run code"),
    "array.npy": (b"\x93NUMPY\x01\x00", UnsupportedMedia, "a numpy array"),
    "packed.csv.zst": (b"\x28\xb5\x2f\xfd\x04\x00", UnsupportedMedia, "compressed with zstd"),
    "object.json": (b'{"a": 1, "b": [2', MalformedBody, "JSON cannot be read"),
    "shape.json": (b"[1, 2]", MalformedBody, "not a table"),
    "column.json": (b'{"a": {"0": 1}, "b": {"0": 2}}', DataError, "Column 'a' holds objects"),
    "line.jsonl": (b'{"a": 1}\n{"a": oops}\n', MalformedBody, "Line 2: the line is not JSON"),
    "list.jsonl": (b'{"a": 1}\n[1]\n', MalformedBody, "Line 2: the line is not a JSON object"),
    "nested.jsonl": (b'{"a": [1]}\n', DataError, "Column 'a' holds lists"),
    "mixed.jsonl": (b'{"a": 1}\n{"a": "x"}\n', DataError, "Column 'a' holds text and whole numbers"),
    "large.jsonl": (b'{"a": 99999999999999999999}\n', DataError, "'a' holds whole numbers that do not fit 64 bits"),
    "deep.json": (b"[" * 100_000, MalformedBody, "JSON cannot be read"),
    "ragged.csv": (b"a,b\n1,2\n3\n", InvalidRows, "row 1 has 1 cell where the header has 2 columns"),
    "nan.json": (b'[{"a": NaN}]', MalformedBody, "JSON cannot be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_says_why_and_names_no_path(name, tmp_path):
    body, error, words = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(body)
    with pytest.raises(error, match=words) as caught:
        read_sample(path)
    assert str(tmp_path) not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("header", ["ORC", "PAR1", "BZh", "Obj"])
def test_a_csv_may_begin_like_something_else(header, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(f"{header},b\n1,2\n", encoding="utf-8")
    sample = read_sample(path)
    assert isinstance(sample, TextTable)
    assert list(sample.columns) == [header, "b"]


def test_a_zip_that_is_no_workbook_is_named_as_well(tmp_path):
    path = tmp_path / "table.csv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("table.csv", "a\n1\n")
    with pytest.raises(UnsupportedMedia, match="zip archive"):
        read_sample(path)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path):
    path = tmp_path / "table.parquet"
    FRAME.to_parquet(path)
    program = f"""
import sys
sys.modules["pyarrow"] = None
from pathlib import Path
from aweigh.errors import MissingExtra
from aweigh.table.files import read_sample
try:
    read_sample(Path({str(path)!r}))
except MissingExtra as error:
    print(error.message, error.extra)
FRAME = read_sample(Path({str(path.with_suffix(".arrow"))!r}))
print(list(FRAME.columns))
"""
    write_arrow(path.with_suffix(".arrow"), pa.ipc.new_file)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["Parquet needs a package that is not installed here. files", "['n', 'k', 'ok']"]


def test_a_parquet_file_with_what_no_model_takes_is_refused(tmp_path):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"fine": [1], "deep": [[1]]}), path)
    with pytest.raises(UnsupportedMedia, match="Column 'deep' is of Arrow type list"):
        read_sample(path)
