"""CSV edges: slow and strange encodings, names with blanks around them, words that are text and not missing."""

import time

import numpy as np
import pytest

from aweigh.errors import InvalidRows, MalformedBody
from aweigh.schema.check import check, check_rows
from aweigh.schema.column import Column, Output, Schema
from aweigh.schema.infer import infer_columns
from aweigh.table import Table, Values, read_csv, write_csv


def schema_of(*columns: Column) -> Schema:
    return Schema(columns=columns, output=Output(task="number", name="y"))


@pytest.mark.parametrize(
    "charset", ["punycode", "idna", "utf-7", "unicode_escape", "rot13", "base64", "zlib", "x" * 99]
)
def test_encodings_that_are_slow_or_no_text_are_refused_at_once(charset: str):
    began = time.process_time()
    with pytest.raises(MalformedBody, match="not known"):
        read_csv(b"a" * 400_000 + b"-" + b"b" * 400_000, charset=charset)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    "charset",
    [
        "utf-8",
        "UTF8",
        "utf-16",
        "latin-1",
        "ISO-8859-15",
        "windows-1252",
        "cp437",
        "shift_jis",
        "gb18030",
        "big5",
        "koi8-r",
    ],
)
def test_encodings_that_tables_come_in_are_read(charset: str):
    assert read_csv("a,b\n1,x\n".encode(charset), charset=charset).columns == {"a": ["1"], "b": ["x"]}


def test_names_with_blanks_around_them_are_found_in_a_csv():
    schema = schema_of(Column(name=" lead", type="number", dtype="float64"))
    assert check(schema, read_csv(b"lead\n1.5\n"))[" lead"].cells() == [1.5]
    assert check(schema, read_csv(b" lead\n1.5\n"))[" lead"].cells() == [1.5]


def test_names_that_differ_in_blanks_alone_are_not_guessed():
    columns = (Column(name=" a", type="number", dtype="float64"), Column(name="a ", type="number", dtype="float64"))
    with pytest.raises(InvalidRows):
        check(schema_of(*columns), read_csv(b"a\n1\n"))


def test_text_that_looks_like_a_missing_word_stays_text_when_the_sample_held_it():
    cells = np.array(["NA", "None", *(f"text {i}" for i in range(80))], dtype=object)
    (column,), _ = infer_columns(Table({"t": Values(cells)}, len(cells)))
    assert (column.type, column.present_words) == ("text", ("NA", "None"))
    schema = schema_of(column)
    by_csv = check(schema, read_csv(b"t\nNA\nNone\n"))["t"].cells()
    assert by_csv == check_rows(schema, [{"t": "NA"}, {"t": "None"}])["t"].cells() == ["NA", "None"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:00:00-05:00"])
def test_a_point_in_time_that_utc_cannot_hold_is_a_bad_cell(moment: str):
    schema = schema_of(Column(name="t", type="datetime", dtype="datetime64[us]"))
    with pytest.raises(InvalidRows, match="years 1 to 9999"):
        check_rows(schema, [{"t": moment}])


def test_what_is_written_is_read_again_whatever_line_ends_its_cells_hold():
    cells = ["a\rb", "c\nd", "e\r\nf", 'g"h', "i,j", ""]
    text = write_csv(["t", "n"], [[cell, i] for i, cell in enumerate(cells)])
    assert read_csv(text.encode()).columns["t"] == cells
