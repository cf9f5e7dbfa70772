"""The head of a Parquet or Arrow file says whether its columns are the model's: what would fail is refused at once."""

import datetime as dt
import io
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from aweigh import load
from aweigh.cli.demo import CHOICES, NUMBERS
from aweigh.data import penguins_path
from aweigh.errors import DataError, InvalidRows, MalformedBody, UnsupportedMedia
from aweigh.jobs.check import check_head
from aweigh.jobs.job import Wish
from aweigh.runtime.score import ScoreOptions, score
from aweigh.table.parquet import open_parquet
from aweigh.table.parquet_head import read_parquet_head

FRAME = pd.read_csv(penguins_path())[[*CHOICES, *NUMBERS]]
TABLE = pa.Table.from_pandas(FRAME, preserve_index=False)
NULLS = pa.nulls(len(FRAME), pa.string())


def stream(table, path):
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)


WRITE = {
    "in.parquet": pq.write_table,
    "old.parquet": lambda table, path: pq.write_table(table, path, version="1.0", store_schema=False),
    "in.arrow": pyarrow.feather.write_feather,
    "in.arrows": stream,
}


def with_column(name, array):
    return TABLE.set_column(TABLE.schema.get_field_index(name), name, array)


def text_of(name):
    return pa.array([None if pd.isna(cell) else str(cell) for cell in FRAME[name]], pa.string())


REFUSED = {
    "a column is missing": (TABLE.drop_columns("island"), InvalidRows, "island"),
    "a column is misspelt": (TABLE.rename_columns(["isle", *TABLE.column_names[1:]]), InvalidRows, "isle"),
    "one more than the model has": (TABLE.append_column("extra", NULLS), InvalidRows, "extra"),
    "text for a number": (with_column("bill_length_mm", text_of("bill_length_mm")), InvalidRows, "bill_length_mm"),
    "a moment for a number": (
        with_column("bill_length_mm", pa.array([pd.Timestamp("2026-01-01")] * len(FRAME))),
        InvalidRows,
        "bill_length_mm",
    ),
    "a number for text": (with_column("island", pa.array(np.arange(len(FRAME)) / 3)), InvalidRows, "island"),
    "a list for a number": (
        with_column("bill_length_mm", pa.array([[1.0]] * len(FRAME))), UnsupportedMedia, "bill_length_mm"
    ),
}  # fmt: skip
TAKEN = {
    "as it was": TABLE,
    "whole numbers": with_column("bill_length_mm", pa.array([39] * len(FRAME), pa.int16())),
    "single precision": with_column("bill_length_mm", pa.array(FRAME["bill_length_mm"].astype("float32"))),
    "decimals": with_column("bill_length_mm", pa.array([None] * len(FRAME), pa.decimal128(9, 2))),
    "categories": with_column("island", pa.array(FRAME["island"]).dictionary_encode()),
    "large text": with_column("island", pa.array(FRAME["island"], pa.large_string())),
    "nothing but nulls": with_column("bill_length_mm", pa.nulls(len(FRAME))),
    "an index of pandas": pa.Table.from_pandas(FRAME[FRAME.index % 2 == 0]),
    "no rows": TABLE.slice(0, 0),
}


@pytest.fixture(scope="module")
def predictor(penguins):
    return load(penguins.path).predictor


@pytest.mark.parametrize("name", WRITE)
@pytest.mark.parametrize("case", REFUSED)
def test_columns_that_cannot_be_right_are_refused(case, name, predictor, tmp_path):
    table, error, column = REFUSED[case]
    WRITE[name](table, tmp_path / name)
    with pytest.raises(error, match=column) as caught:
        check_head(predictor.schema, tmp_path / name, Wish(output="csv"), named=True)
    assert "--" not in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("case", "name"),
    # What pandas notes of its index is not stored in the old way.
    [(case, name) for case in TAKEN for name in WRITE if (case, name) != ("an index of pandas", "old.parquet")],
)
def test_what_is_answered_is_not_refused(case, name, predictor, tmp_path):
    path = tmp_path / name
    WRITE[name](TAKEN[case], path)
    score(predictor, path, tmp_path / "out.csv", options=ScoreOptions(bad_path=tmp_path / "bad"))
    wish = check_head(predictor.schema, path, Wish(output="csv"), named=False)
    assert wish.output == ("parquet" if name.endswith("parquet") else "arrow")


def test_text_that_is_all_missing_is_a_missing_number(predictor, tmp_path):
    path = tmp_path / "in.parquet"
    pq.write_table(with_column("bill_length_mm", NULLS), path)
    check_head(predictor.schema, path, Wish(output="csv"), named=True)
    assert score(predictor, path, tmp_path / "out.csv").bad == 0


def test_columns_beside_the_models_may_be_of_any_type(predictor, tmp_path):
    extra = {
        "nested": pa.array([{"a": [{"b": 2}]}] * len(FRAME)), "bytes": pa.array([b"x"] * len(FRAME)),
        "time": pa.array([dt.time(1)] * len(FRAME)),
        "map": pa.array([[("a", 1)]] * len(FRAME), pa.map_("string", "int8")),
    }  # fmt: skip
    table = TABLE
    for name, array in extra.items():
        table = table.add_column(0, name, array)
    for name in ("in.parquet", "in.arrow"):
        WRITE[name](table, tmp_path / name)
        check_head(predictor.schema, tmp_path / name, Wish(output="csv", ignore_extra=True), named=True)
        check_head(predictor.schema, tmp_path / name, Wish(output="csv", keep=tuple(extra)), named=True)
        with pytest.raises(DataError, match="none"):
            check_head(predictor.schema, tmp_path / name, Wish(output="csv", keep=("none",)), named=True)


@pytest.mark.parametrize("name", WRITE)
def test_a_file_that_is_cut_short_is_malformed_wherever_it_is_cut(name, predictor, tmp_path):
    path = tmp_path / name
    WRITE[name](TABLE, path)
    content = path.read_bytes()
    for share in (0.05, 0.3, 0.6, 0.9, 0.999):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(MalformedBody):
            check_head(predictor.schema, path, Wish(output="csv"), named=True)


def test_a_large_file_is_not_read_for_its_head(predictor, tmp_path):
    """The rows between are holes: whoever read them would find nothing that is Parquet."""
    path = tmp_path / "in.parquet"
    pq.write_table(TABLE, path)
    content = path.read_bytes()
    footer = 8 + int.from_bytes(content[-8:-4], "little")
    with path.open("r+b") as file:
        file.seek(4)
        file.truncate()
        file.seek(2**33)
        file.write(content[-footer:])
    check_head(predictor.schema, path, Wish(output="csv"), named=True)


def test_damaged_metadata_never_raise_anything_else(predictor, tmp_path):
    path, rng = tmp_path / "in.parquet", random.Random(5)
    pq.write_table(TABLE, path)
    content = path.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little")
    refused = 0
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            damaged[len(content) - 8 - rng.randint(1, footer)] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            check_head(predictor.schema, path, Wish(output="csv"), named=True)
        except DataError:
            refused += 1
    assert refused > 100


def test_names_and_types_are_those_that_pyarrow_finds():
    """A file of many types, nested ones between them, read both ways."""
    arrays = {
        "i8": pa.array([1], pa.int8()), "u64": pa.array([1], pa.uint64()), "half": pa.array([1.0], pa.float16()),
        "list": pa.array([[{"x": 1}]]), "date": pa.array([dt.date(2026, 1, 1)]), "s": pa.array(["ä"]),
        "struct": pa.array([{"a": {"b": [1]}, "c": 2}]), "d": pa.array([1.5]), "flag": pa.array([True]),
        "moment": pa.array([pd.Timestamp("2026-01-01")]), "null": pa.nulls(1), "bytes": pa.array([b"x"]),
    }  # fmt: skip
    file = io.BytesIO()
    pq.write_table(pa.table(arrays), file)
    head = read_parquet_head(io.BufferedReader(io.BytesIO(file.getvalue())))
    read = open_parquet(io.BufferedReader(io.BytesIO(file.getvalue())), chunk_rows=1)
    assert list(head.types) == read.schema.names == list(arrays)
    kinds = {name: one.kind for name, one in head.types.items()}
    assert kinds | {"i8": "int8", "u64": "uint64"} == {
        "i8": "int8", "u64": "uint64", "half": "half_float", "list": "struct", "date": "date32", "s": "string",
        "struct": "struct", "d": "double", "flag": "bool", "moment": "timestamp", "null": "null", "bytes": "binary",
    }  # fmt: skip


def test_the_head_is_read_without_pyarrow(penguins, tmp_path):
    path = tmp_path / "in.parquet"
    pq.write_table(REFUSED["text for a number"][0], path)
    script = f"""
import sys
from pathlib import Path
from aweigh import load
from aweigh.errors import InvalidRows
from aweigh.jobs.check import check_head
from aweigh.jobs.job import Wish
schema = load(Path({str(penguins.path)!r})).predictor.schema
try:
    check_head(schema, Path({str(path)!r}), Wish(output="csv"), named=True)
except InvalidRows:
    print("pyarrow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
