"""A CSV read in parts is the CSV read whole, wherever the parts begin; only bad rows are told instead of refused."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aweigh.errors import InvalidRows, MalformedBody
from aweigh.table import csv_parts, read_csv
from aweigh.table.csv_parts import CsvParts


def parts_of(body, *, read_bytes=2**18, chunk_rows=1000, **options):
    """The names, the rows, the lines and the unread rows of all parts, read in blocks of so many bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_parts, "READ_BYTES", read_bytes)
        parts = CsvParts(io.BytesIO(body), chunk_rows=chunk_rows, **options)
        rows, lines, unread = [], [], {}
        for part in parts:
            assert part.table.rows <= chunk_rows
            assert len(part.lines) == part.table.rows
            unread |= {len(rows) + place: one for place, one in part.unread.items()}
            rows += list(zip(*part.table.columns.values(), strict=True))
            lines += list(part.lines)
        return parts, rows, lines, unread


cells = st.text(st.sampled_from('ab"\n\r,;\t =é\u2028\x0b'), max_size=4)


@st.composite
def documents(draw):
    """A CSV as some program writes it, and its rows."""
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), max_size=8))
    # Python's writer leaves a lone carriage return, or a line feed that is not its own, without the quotes they need.
    lone = any("\r" in cell or "\n" in cell for row in rows for cell in row)
    quoting = csv.QUOTE_ALL if lone else draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    delimiter = draw(st.sampled_from(",;\t"))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    if quoting == csv.QUOTE_MINIMAL and width == 1:
        rows = [row for row in rows if row != [""]]
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow([f"c{i}" for i in range(width)])
    writer.writerows(rows)
    text = out.getvalue()
    return (text.removesuffix(end) if draw(st.booleans()) else text), [tuple(row) for row in rows], delimiter


@settings(max_examples=300)
@given(documents(), st.integers(4, 40), st.integers(1, 4))
def test_what_a_program_writes_is_read_wherever_blocks_and_parts_begin(document, read_bytes, chunk_rows):
    text, rows, delimiter = document
    _, found, _, unread = parts_of(text.encode(), read_bytes=read_bytes, chunk_rows=chunk_rows, delimiter=delimiter)
    assert found == rows
    assert not unread


odd = st.text(st.sampled_from('a"\n\r, é'), max_size=30)


@settings(max_examples=300)
@given(odd, st.integers(4, 12))
def test_any_text_is_read_as_the_whole_of_it_is(text, read_bytes):
    body = f"x,y\n{text}".encode()
    _, rows, _, unread = parts_of(body, read_bytes=read_bytes)
    refused, whole = None, None
    try:
        whole = read_csv(body)
    except (InvalidRows, MalformedBody) as error:
        refused = error
    if whole is not None:
        assert rows == list(zip(*whole.columns.values(), strict=True))
        assert not unread
    elif isinstance(refused, InvalidRows):
        told = [f"row {row} {one.message}" for row, one in unread.items()]
        assert [problem.message for problem in refused.problems] == told
    else:
        # Quotes that the whole is refused for are bad rows here.
        assert any(one.code == "unreadable_row" for one in unread.values())


@pytest.mark.parametrize("read_bytes", [4, 7, 2**18])
def test_bad_rows_keep_their_place_and_tell_their_line(read_bytes):
    body = b'a,b\n1,2\n\n3\n"4\n5",6\n7,8,9\n"x"y,1\n10,11\n'
    _, rows, lines, unread = parts_of(body, read_bytes=read_bytes)
    assert rows == [("1", "2"), ("", ""), ("4\n5", "6"), ("", ""), ("", ""), ("10", "11")]
    assert lines == [2, 4, 5, 7, 8, 9]
    assert {row: (one.code, one.cells) for row, one in unread.items()} == {
        1: ("ragged_row", ("3",)),
        3: ("ragged_row", ("7", "8", "9")),
        4: ("unreadable_row", ('"x"y,1',)),
    }
    assert unread[1].message == "has 1 cell where the header has 2 columns"


@pytest.mark.parametrize("read_bytes", [4, 5, 2**18])
@pytest.mark.parametrize(
    ("body", "charset", "marked"),
    [
        ("näme,b\nÄ,2\n".encode(), None, False),
        ("näme,b\nÄ,2\n".encode("utf-8-sig"), None, True),
        ("näme,b\nÄ,2\n".encode("utf-16"), None, True),
        ("näme,b\nÄ,2\n".encode("windows-1252"), "windows-1252", False),
        ("näme,b\r\nÄ,2".encode(), "UTF-8", False),
        ("näme,b\rÄ,2\r".encode(), None, False),
    ],
)
def test_encodings_and_line_ends(body, charset, marked, read_bytes):
    parts, rows, _, _ = parts_of(body, read_bytes=read_bytes, charset=charset)
    assert (parts.names, rows) == (["näme", "b"], [("Ä", "2")])
    assert parts.marked is marked


@pytest.mark.parametrize(
    ("body", "options", "words"),
    [
        (b"", {}, "The CSV is empty"),
        (b"\n\n", {}, "The CSV is empty"),
        (b"a,a\n1,2\n", {}, "more than one column named 'a'"),
        (b"a,\n1,2\n", {}, "Column 2 of the CSV has no name"),
        (b'"a,b\n1,2\n', {}, "The header of the CSV cannot be read"),
        (b"a,b\n1,\x00\n", {}, "NUL"),
        ("a,b\n1,2\n".encode("utf-16-le"), {}, "it is binary, or UTF-16 without its mark"),
        (b"a,b\n1,2\n3,\xe4\n", {}, "not utf-8: byte 10 does not"),
        (b"a,b\n", {"charset": "klingon"}, "encoding 'klingon' is not known"),
    ],
)
@pytest.mark.parametrize("read_bytes", [4, 2**18])
def test_what_is_no_csv_says_why(body, options, words, read_bytes):
    with pytest.raises(MalformedBody, match=words):
        parts_of(body, read_bytes=read_bytes, **options)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\xff\xfe" + "戀摡慤琊".encode("utf-16-le"), "begins as UTF-16 does, and is no text"),
        (b"\xfe\xff" + "a,b\n\x02".encode("utf-16-be"), "begins as UTF-16 does, and is no text"),
        ("a,b\n1,2\n".encode("utf-32"), "marked as UTF-32"),
    ],
)
def test_what_only_begins_like_text_is_no_table_of_strange_names(body, words):
    for read in (parts_of, read_csv):
        with pytest.raises(MalformedBody, match=words) as caught:
            read(body)
        assert caught.value.hint == "save the table as CSV in UTF-8"


def test_an_endless_line_is_no_table(monkeypatch):
    monkeypatch.setattr(csv_parts, "MAX_LINE_CHARACTERS", 1000)
    with pytest.raises(MalformedBody, match="A line of the CSV has more than 1,000 characters"):
        parts_of(b"a,b\n" + b"x" * 5000, read_bytes=64)


def test_a_header_alone_has_no_parts():
    parts, rows, _, _ = parts_of(b"a;b\n")
    assert (parts.names, parts.delimiter, rows) == (["a", "b"], ";", [])


@pytest.mark.parametrize(
    ("block", "cells"),
    [
        ('1,"a"\n2,"b"\n', ["1", "a", "2", "b"]),
        ('"",""\r\n"é",2', ["", "", "é", "2"]),
        ("1,2\n3,4", ["1", "2", "3", "4"]),
        ('1,"a,b"\n', None),  # a delimiter in quotes
        ('"1,2","3,4"\n', None),
        ('"1",",","2"\n', None),
        ('1,"a""b"\n', None),  # a quote in quotes
        ('1,"a\nb"\n', None),  # the end of a line in quotes
        ('1,"a\n', None),  # quotes that end elsewhere
        ('1, "a"\n', None),  # quotes that are letters
        ('1,a"b"\n', None),
        ("1,2,3\n4\n", None),  # as many cells as two lines have, but not two in each
        ("1\n2,3,4\n", None),
        ("1,2\n\n3,4\n", None),
        ("1,2\r3,4\n", None),
    ],
)
def test_lines_are_cut_at_once_where_quotes_are_not_needed(block, cells):
    assert csv_parts._even_cells(block, ",", 2) == cells
