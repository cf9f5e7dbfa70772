"""What a form is made of: the widget for each column, groups, links, warnings, snippets."""

import json
import subprocess
import sys
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aweigh.schema import Column, Output, Schema
from aweigh.schema.domain import Domain
from aweigh.ui.fields import field_of, grouped, notes_of, number_format
from aweigh.ui.row import from_query, start_row, to_query
from aweigh.ui.snippets import curl, python

ANSWER = Output(task="number", name="y")


def number(name="x", **more):
    return Column(**{"name": name, "type": "number", "dtype": "float64", "minimum": 1.0, "maximum": 2.0} | more)


def schema_of(*columns):
    return Schema(columns=columns, output=ANSWER)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (number(), "number"),
        (Column(name="n", type="integer", dtype="int64", minimum=0, maximum=2**53), "typed"),
        (Column(name="n", type="integer", dtype="category", categories=("1", "2")), "segments"),
        (Column(name="c", type="category", dtype="str", categories=tuple("abcde")), "segments"),
        (Column(name="c", type="category", dtype="str", categories=tuple("abcdef")), "list"),
        (Column(name="b", type="boolean", dtype="bool"), "segments"),
        (Column(name="t", type="text", dtype="str"), "text"),
        (Column(name="d", type="date", dtype="datetime64[us]"), "date"),
        (Column(name="d", type="datetime", dtype="datetime64[us]", typical="2024-01-01T10:00:00"), "datetime"),
        (Column(name="d", type="datetime", dtype="datetime64[us]", typical="2024-01-01T10:00:07"), "typed"),
    ],
)
def test_each_column_gets_the_widget_that_holds_it_whole(column, kind):
    assert field_of(column).kind == kind


@pytest.mark.parametrize(
    ("low", "high", "decimals", "step"),
    [(32.1, 59.6, 1, 0.5), (2700.0, 6300.0, 0, 50), (0.0, 1.0, 3, 0.02), (2007.0, 2009.0, 0, 1), (5.0, 5.0, 2, 0.01)],
)
def test_a_step_is_a_fiftieth_of_what_was_seen_and_no_finer_than_the_data(low, high, decimals, step):
    assert field_of(number(minimum=low, maximum=high, decimals=decimals)).step == pytest.approx(step)


def test_a_number_is_shown_with_every_digit_it_has():
    field = field_of(number(decimals=1))
    assert number_format(field, 1.5) == "%.1f"
    assert number_format(field, 1.125) == "%.3f"
    assert number_format(field, 3e-12) == "%e"
    assert number_format(field_of(Column(name="n", type="integer", dtype="int64")), 3) == "%d"


def test_twelve_columns_lie_open_and_thirteen_fold_with_what_matters_first():
    open_ = grouped(schema_of(*(number(f"x{i}") for i in range(12))), {})
    assert [(group.title, len(group.fields), group.folded) for group in open_] == [("Numbers", 12, False)]
    folded = grouped(schema_of(*(number(f"x{i}") for i in range(13))), {"x12": 1.0, "x7": 0.5})
    assert [(group.title, len(group.fields), group.folded) for group in folded] == [
        ("What matters most", 8, False),
        ("More numbers", 5, True),
    ]
    assert [field.name for field in folded[0].fields][:2] == ["x12", "x7"]
    parts = grouped(schema_of(*(number(f"x{i}") for i in range(60))), {})
    assert [(group.title, len(group.fields)) for group in parts] == [
        ("First", 8),
        ("More numbers, 1 to 24", 24),
        ("More numbers, 25 to 48", 24),
        ("More numbers, 49 to 52", 4),
    ]


def test_the_owners_groups_hold_and_the_strongest_comes_first_when_there_are_many():
    columns = [number(f"x{i}", group="Engine" if i % 2 else "Cabin") for i in range(14)]
    groups = grouped(schema_of(*columns), {"x5": 1.0})
    assert [(group.title, group.folded) for group in groups] == [("Engine", False), ("Cabin", True)]
    few = grouped(schema_of(number("a", group="Engine"), number("b")), {})
    assert [(group.title, group.folded) for group in few] == [("Engine", False), ("Other", False)]


def test_what_was_not_seen_is_said_and_what_is_refused_is_said_in_red():
    schema = schema_of(
        number("seen"),
        number("unseen"),
        number("limited", upper_limit=10),
        Column(name="kind", type="category", dtype="str", categories=("a",)),
        Column(name="only", type="category", dtype="str", categories=("a",), closed=True),
        number("needed"),
    )
    row = {"seen": 1.5, "unseen": 3.0, "limited": 11.0, "kind": "z", "only": "z", "needed": None}
    notes = notes_of(Domain(schema), row)
    assert {name: note.refused for name, note in notes.items()} == {
        "unseen": False,
        "limited": True,
        "kind": False,
        "only": True,
        "needed": True,
    }
    assert notes["unseen"].text == "3 lies outside what the model has seen, 1 to 2."
    assert notes["limited"].text == "11.0 is above the most allowed, 10."


def test_a_form_starts_from_the_owners_default_then_the_typical_value():
    schema = schema_of(
        number("told", default=1.25, typical=1.5),
        number("typical", typical=1.5),
        number("nothing", nullable=True),
        Column(name="b", type="boolean", dtype="bool"),
        Column(name="c", type="category", dtype="str", categories=("x", "y")),
        Column(name="d", type="date", dtype="datetime64[us]", minimum="2024-02-03"),
    )
    assert start_row(schema) == {
        "told": 1.25,
        "typical": 1.5,
        "nothing": None,
        "b": False,
        "c": "x",
        "d": "2024-02-03",
    }


CELLS = {
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "category": st.text(),
    "text": st.text(),
    "date": st.dates().map(lambda day: day.isoformat()),
    "datetime": st.datetimes().map(lambda moment: moment.isoformat()),
}
NAMES = st.one_of(st.text(min_size=1, max_size=8), st.sampled_from(["embed", "embed_options", "~", "~x", "a&b=c", "ü"]))


@st.composite
def schemas_and_rows(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    columns, row = [], {}
    for name in names:
        kind = draw(st.sampled_from(list(CELLS)))
        columns.append(Column(name=name, type=kind, dtype="x", nullable=True))
        row[name] = draw(st.one_of(st.none(), CELLS[kind]))
    return schema_of(*columns), row


@given(schemas_and_rows())
def test_a_link_reopens_exactly_the_same_inputs(given_):
    schema, row = given_
    query = to_query(schema, row)
    parameters = dict(parse_qsl(query[1:], keep_blank_values=True, strict_parsing=True, errors="strict"))
    assert from_query(schema, parameters) == (row, [])
    assert not any(name.lower().startswith("embed") for name in parameters)


def test_a_link_keeps_values_beyond_the_range_and_says_what_it_cannot_read():
    schema = schema_of(number("x", typical=1.5), Column(name="n", type="integer", dtype="int64", typical=3))
    assert from_query(schema, {"x": "99.5", "other": "1"}) == ({"x": 99.5, "n": 3}, [])
    assert from_query(schema, {"x": "inf", "n": "many"}) == ({"x": 1.5, "n": 3}, ["x", "n"])


def test_a_link_that_would_be_too_long_says_only_what_differs_or_is_not_offered():
    columns = [number(f"column_with_a_long_name_{i}", typical=1.5) for i in range(400)]
    schema = schema_of(*columns)
    row = start_row(schema) | {"column_with_a_long_name_7": 9.0}
    assert to_query(schema, row) == "?column_with_a_long_name_7=9"
    text = schema_of(Column(name="t", type="text", dtype="str"))
    assert to_query(text, {"t": "x" * 7000}) is None


def test_snippets_ask_for_this_very_row():
    row = {"it's": "a 'quoted' \"text\" \\ $x `y`", "n": None, "b": True, "x": 1.5, "{origin}": "é"}
    script = curl(row, origin="http://h:1").replace("curl ", "printf '%s\\n' ", 1)
    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert printed[0] == "http://h:1/v1/predict"
    assert json.loads(printed[-1]) == {"rows": [row]}
    code = python(row, origin="http://h:1").replace("urlopen(request)", "__import__('io').BytesIO(seen(request))")
    code = "def seen(r):\n    print(r.full_url, r.data.decode())\n    return b'{\"predictions\": [1]}'\n" + code
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    url, _, body = ran.splitlines()[0].partition(" ")
    assert (url, json.loads(body)) == ("http://h:1/v1/predict", {"rows": [row]})
    assert python(row).index("{origin}") < python(row).index("row =")  # the browser fills in the first one only
