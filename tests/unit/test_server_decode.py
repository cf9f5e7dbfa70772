"""The compiled JSON decoder and the patient reader are one: same tables, same refusals."""

import json
import time

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aweigh.errors import DataError, InvalidRows, MalformedBody, TooLarge
from aweigh.schema import Column, Output, Schema
from aweigh.schema.cells import RESERVED_TEXT
from aweigh.schema.check import check, check_rows
from aweigh.schema.decode import compile_decoder, parse_json, read_rows, refuse_many_rows
from aweigh.schema.decode_fast import compile_fast
from aweigh.table import Table, TextTable, read_csv

OUTPUT = Output(task="number", name="y")
MAX_ROWS = 50

odd_text = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["", ":", "a:b", "\x00", "x\x00", RESERVED_TEXT, "NA", "null", "é", "12:30", '"', "\\", "\U0001f40b", "\ufeff"]
)
names = odd_text.filter(bool)


def schema_of(*columns):
    return Schema(columns=columns, output=OUTPUT)


@st.composite
def columns(draw, name):
    kind = draw(st.sampled_from(["number", "integer", "boolean", "category", "text", "date", "datetime"]))
    given_limits = draw(st.booleans())
    low, high, categories, closed = None, None, None, False
    dtype = {"number": "float64", "integer": "int64", "boolean": "bool"}.get(kind, "str")
    if kind == "number":
        dtype = draw(st.sampled_from(["float64", "float32"]))
        if given_limits:
            low, high = draw(st.sampled_from([(0, None), (None, 10.5), (-1.5, 1e6), (0.1, 0.1)]))
    elif kind == "integer" and given_limits:
        low, high = draw(st.sampled_from([(0, None), (None, 10), (-5, 2**53)]))
    elif kind == "date" and given_limits:
        low = "2000-01-01"
    elif kind == "category":
        categories, closed = ("a", "b:c", "é"), draw(st.booleans())
    return Column(
        name=name,
        type=kind,
        dtype=dtype,
        nullable=draw(st.booleans()),
        lower_limit=low,
        upper_limit=high,
        categories=categories,
        closed=closed,
    )


@st.composite
def schemas(draw):
    chosen = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    return schema_of(*[draw(columns(name)) for name in chosen])


def clean_cells(column):
    """Cells that most columns of that type take."""
    low = column.lower_limit if isinstance(column.lower_limit, int | float) else -5
    high = column.upper_limit if isinstance(column.upper_limit, int | float) else low + 10
    clean = {
        "number": st.floats(low, high, allow_subnormal=False) if column.dtype == "float64" else st.just(high),
        "integer": st.integers(low, high),
        "boolean": st.booleans(),
        "category": st.sampled_from(["a", "b:c", "é"]),
        "text": odd_text.filter(lambda text: "\x00" not in text and text != RESERVED_TEXT),
        "date": st.just("2001-02-03"),
        "datetime": st.sampled_from(["2001-02-03T04:05:06Z", "2001-02-03"]),
    }[column.type]
    return st.none() | clean if column.nullable else clean


def cells(column):
    fitting = {
        "number": st.floats(allow_nan=False, allow_infinity=False)
        | st.integers(-(10**25), 10**25)
        | st.sampled_from([0.1, -0.0, 3.4028235e38, 3.4028236e38, 16777217, 10**300, 10**310]),
        "integer": st.integers(-10, 20)
        | st.sampled_from([2**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 3.0, 3.5, 1e18, 1e19]),
        "boolean": st.booleans(),
        "category": st.sampled_from(["a", "b:c", "é", "z"]),
        "text": odd_text,
        "date": st.sampled_from(["2001-02-03", "1999-01-01", "2001-02-03T00:00:00", "soon", "2001-02-30"]),
        "datetime": st.sampled_from(["2001-02-03T04:05:06Z", "2001-02-03 04:05:06.123456", "2001-02-03", "12:30"]),
    }[column.type]
    return st.one_of(fitting, fitting, fitting, st.none(), odd_text, st.sampled_from([True, 0, 1.5, [], {}, [[1]]]))


@st.composite
def pairs(draw, schema, *, clean):
    """One row as key and value pairs: right, or mostly so, with a key too few, too many, or twice."""
    if clean:
        return [(c.name, draw(clean_cells(c))) for c in schema.columns if not c.nullable or draw(st.booleans())]
    row = [(column.name, draw(cells(column))) for column in schema.columns if draw(st.integers(0, 9))]
    if not draw(st.integers(0, 9)):
        row.append((draw(names | st.sampled_from(schema.names)), 1))
    return draw(st.permutations(row))


@st.composite
def questions(draw):
    schema = draw(schemas())
    rows = draw(st.lists(pairs(schema, clean=draw(st.booleans())), max_size=4))
    ascii_only = draw(st.booleans())

    def say(value):
        return json.dumps(value, ensure_ascii=ascii_only)

    inside = ", ".join("{" + ",".join(f"{say(key)}: {say(value)}" for key, value in row) + "}" for row in rows)
    body = '{"rows": [' + inside + "]}"
    if draw(st.booleans()) and "\\" not in body:
        body = body.replace(":", "\\u003a", 1) if '"a:b"' in body else body
    return schema, body.encode("utf-8", "surrogatepass")


def outcome(decode, body):
    try:
        table = decode(body)
    except DataError as error:
        problems = getattr(error, "problems", None)
        return type(error), str(error), problems
    else:
        return fingerprint(table)


def fingerprint(table):
    assert isinstance(table, Table)
    found = [table.rows]
    for name, values in table.columns.items():
        raw = values.data.tolist() if values.data.dtype == object else values.data.tobytes()
        kinds = {type(cell) for cell in values.data.tolist()} if values.data.dtype == object else None
        mask = None if values.missing is None else (values.missing.dtype.str, values.missing.tobytes())
        found.append((name, values.data.dtype.str, values.data.shape, raw, kinds, mask))
    return found


@given(questions())
@example((schema_of(Column(name="a:b", type="number", dtype="float64")), b'{"rows":[{"a\\u003ab":1,"a\\u003ab":2}]}'))
@example((schema_of(Column(name="t", type="text", dtype="str")), b'{"rows":[{"t":"x","t":"\\u003a"}]}'))
@example((schema_of(Column(name="x", type="number", dtype="float64", nullable=True)), b'{"rows":[{},{"x":1,"x":2}]}'))
@example((schema_of(Column(name="x", type="text", dtype="str", nullable=True)), b'{"rows":[{},{"x":"a","x":"b"}]}'))
@example((schema_of(Column(name="x", type="text", dtype="str", nullable=True)), b'{"rows":[{},{"x":":"}]}'))
@example((schema_of(Column(name="x", type="number", dtype="float64")), b'{"rows":[{"x":1}],"rows":[{"x":2}]}'))
@example((schema_of(Column(name="x", type="integer", dtype="int64")), b'{"rows":[{"x":1},{"x":9223372036854775808}]}'))
def test_the_fast_way_and_the_slow_way_are_one(question):
    schema, body = question
    fast = outcome(compile_decoder(schema, max_rows=MAX_ROWS), body)
    assert fast == outcome(lambda one: read_rows(schema, one, max_rows=MAX_ROWS), body)


@given(schemas(), st.data())
def test_the_slow_way_reads_what_the_check_alone_would_make_of_the_values(schema, data):
    rows = data.draw(
        st.lists(st.fixed_dictionaries({c.name: cells(c) for c in schema.columns}), min_size=1, max_size=3)
    )
    body = json.dumps({"rows": rows}).encode()

    assert outcome(compile_decoder(schema, max_rows=MAX_ROWS), body) == outcome(
        lambda _: check_rows(schema, rows), body
    )


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_do_anything_but_a_refusal(body):
    schema = schema_of(Column(name="x", type="number", dtype="float64"))
    with pytest.raises(DataError):
        compile_decoder(schema, max_rows=MAX_ROWS)(body)


ORDINARY = schema_of(
    Column(name="mass", type="number", dtype="float64", nullable=True),
    Column(name="mass 32", type="number", dtype="float32", lower_limit=0),
    Column(name="count", type="integer", dtype="int64", nullable=True),
    Column(name="on", type="boolean", dtype="bool", nullable=True),
    Column(name="sex", type="category", dtype="str", nullable=True, categories=("f", "m"), closed=True),
    Column(name="when: exactly", type="datetime", dtype="datetime64[us]", nullable=True),
)


@pytest.mark.parametrize(
    "row",
    [
        {"mass": 1.5, "mass 32": 0.1, "count": 3, "on": True, "sex": "f", "when: exactly": "2026-01-31T12:30:00"},
        {"mass": None, "mass 32": 2, "count": None, "on": None, "sex": None, "when: exactly": None},
        {"mass 32": 2},
        {"mass 32": 2, "sex": "m", "mass": 10**20},
    ],
    ids=["full", "null", "absent", "mixed"],
)
def test_ordinary_rows_take_the_fast_way(row):
    body = msgspec.json.encode({"rows": [row, row]})
    assert fingerprint(compile_fast(ORDINARY, max_rows=MAX_ROWS)(body)) == fingerprint(check_rows(ORDINARY, [row, row]))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b'{"rows": [}', "line 1, character 11, at '}'"),
        (b'{"rows": [', "where it ends"),
        (b'{"rows": [{"x": NaN}]}', "NaN is no JSON number"),
        (b'{"rows": [{"x": -Infinity}]}', "-Infinity is no JSON number"),
        (b'{"rows": [{"x": 1, "x": 1}]}', "'x' twice"),
        (b'{"rows": [{"x": "\xff"}]}', "not UTF-8: byte 17"),
        (b"[" * 50_000, "nested too deeply"),
        (b'{"rows": [{"x": ' + b"9" * 5000 + b"}]}", "too many digits"),
        ('{"rows": []}'.encode("utf-16"), "not UTF-8"),
    ],
)
def test_what_is_not_json_says_where(body, says):
    with pytest.raises(MalformedBody, match=says):
        compile_decoder(schema_of(Column(name="x", type="number", dtype="float64")), max_rows=MAX_ROWS * 10_000)(body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b'{"rows": [{"x": 1}', "it ends too early"),
        (b'{"rows": []} {"rows": []}', "nothing behind it"),
        (b'{"rows": [{"x": None}]}', "true, false and null"),
        (b'{"rows": [{"x": 1}, ]}', "leave out the comma"),
        (b"{'rows': []}", "double quotes"),
        (b"{rows: []}", "-d @body.json"),
        ("{\u201crows\u201d: []}".encode(), "double quotes"),
        (b'{"rows": [{"x": 01}]}', "json.dumps"),
    ],
)
def test_what_is_not_json_says_what_to_do(body, hint):
    with pytest.raises(MalformedBody) as found:
        parse_json(body)
    assert hint in (found.value.hint or "")


@pytest.mark.parametrize("begin", [b"[", b'{"rows": [', b'{"rows": [{"x": ', b'{"a":'])
@pytest.mark.parametrize("end", [b"", b"]" * 5000])
def test_lists_within_lists_are_no_rows_of_which_there_are_too_many(begin, end):
    decode = compile_decoder(schema_of(Column(name="x", type="number", dtype="float64")), max_rows=MAX_ROWS)
    with pytest.raises(MalformedBody, match="nested too deeply"):
        decode(begin + b"[" * 5000 + end)
    with pytest.raises(TooLarge):
        decode(b'{"rows": [' + b",".join([b'{"x": 1}'] * 5000) + b"]}")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "must be a JSON object"),
        (b'"rows"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b"{}", "no key 'rows'"),
        (b'{"instances": [{"x": 1}]}', "no key 'rows'"),
        (b'{"rows": {"x": 1}}', "must be a list"),
        (b'{"rows": null}', "must be a list"),
        (b'{"rows": [{"x": 1}], "threshold": 2}', "nobody reads: 'threshold'"),
        (b'{"rows": [{"x": 1}, [1], 2]}', r"row 1 is not an object of columns \(and 1 more problem\)"),
    ],
)
def test_json_of_another_shape_says_which_is_wanted(body, says):
    with pytest.raises(InvalidRows, match=says) as caught:
        compile_decoder(schema_of(Column(name="x", type="number", dtype="float64")), max_rows=MAX_ROWS)(body)
    assert caught.value.problems[0].code == "wrong_shape"
    assert caught.value.hint == 'send {"rows": [{"column": value}]}'


def test_a_byte_order_mark_before_the_json_is_stepped_over():
    schema = schema_of(Column(name="x", type="number", dtype="float64"))
    assert compile_decoder(schema, max_rows=9)(b'\xef\xbb\xbf{"rows": [{"x": 1}]}')["x"].cells() == [1.0]


def test_no_rows_make_an_empty_table():
    table = compile_decoder(ORDINARY, max_rows=9)(b'{"rows": []}')
    assert (table.rows, list(table.columns)) == (0, list(ORDINARY.names))


@pytest.mark.parametrize("row", ["{}", "[]", '{"x": 1}', '{"t": "{[{[{["}'])
def test_rows_over_the_limit_are_refused(row):
    schema = schema_of(
        Column(name="x", type="number", dtype="float64", nullable=True),
        Column(name="t", type="text", dtype="str", nullable=True),
    )
    decode = compile_decoder(schema, max_rows=MAX_ROWS)
    with pytest.raises(TooLarge, match="More than 50 rows"):
        decode(('{"rows": [' + ",".join([row] * (MAX_ROWS + 3)) + "]}").encode())
    if row.startswith("{"):
        assert decode(('{"rows": [' + ",".join([row] * MAX_ROWS) + "]}").encode()).rows == MAX_ROWS


def test_brackets_are_counted_only_where_there_could_be_too_many_rows(monkeypatch):
    schema = schema_of(Column(name="x", type="number", dtype="float64"))
    decode = compile_decoder(schema, max_rows=50)
    body = json.dumps({"rows": [{"x": 1}] * 40}, separators=(",", ":")).encode()
    counts = []
    count = refuse_many_rows
    monkeypatch.setattr(
        "aweigh.schema.decode.refuse_many_rows", lambda *given, **named: (counts.append(1), count(*given, **named))
    )
    with pytest.raises(TooLarge, match="More than 50 rows"):
        decode(b'{"rows":[' + b"{}," * 100 + b"{}]}")  # short enough not to be counted first, and none is whole
    assert counts == [1]

    def counted(*_, **__):
        raise AssertionError

    monkeypatch.setattr("aweigh.schema.decode.refuse_many_rows", counted)
    assert decode(body).rows == 40
    with pytest.raises(AssertionError):
        decode(json.dumps({"rows": [{"x": 1}] * 51}, separators=(",", ":")).encode())
    with pytest.raises(AssertionError):  # where nothing must be there, a row is two braces
        compile_decoder(schema_of(Column(name="x", type="number", dtype="float64", nullable=True)), max_rows=50)(body)


def test_the_text_of_a_cell_does_not_count_as_rows():
    schema = schema_of(Column(name="t", type="text", dtype="str"))
    text = '{["\\' * 500
    body = msgspec.json.encode({"rows": [{"t": text}]})
    assert compile_decoder(schema, max_rows=MAX_ROWS)(body)["t"].cells() == [text]


@pytest.mark.parametrize(
    "refused",
    [
        lambda schema: check_rows(schema, [{f"k{i}": 1 for i in range(200_000)}]),
        lambda schema: check_rows(schema, [{"colum 1": 1}] * 20_000),
        lambda schema: check_rows(schema, [{"c" * 2_000_000: 1}]),
        lambda schema: check(schema, TextTable({f"k{i}": [] for i in range(200_000)}, 0)),
        lambda _: read_csv(",".join(["a", *(f"k{i}" for i in range(200_000)), "a"]).encode()),
        lambda schema: compile_decoder(schema, max_rows=9)(b'{"rows":[{"column 1":"' + b'\\"' * 2_000_000),
    ],
    ids=["unknown names", "misspelt rows", "a long name", "unknown CSV columns", "a double CSV column", "no end"],
)
def test_a_refusal_costs_no_more_than_reading_what_is_refused(refused):
    schema = schema_of(*[Column(name=f"column {i}", type="number", dtype="float64") for i in range(30)])
    begun = time.process_time()
    with pytest.raises(DataError):
        refused(schema)
    assert time.process_time() - begun < 5, "each was minutes or more when the cost grew with the square"


def test_names_that_msgspec_does_not_take_are_read_all_the_same():
    schema = schema_of(Column(name='quoted "x"', type="number", dtype="float64"))
    assert compile_decoder(schema, max_rows=9)(b'{"rows": [{"quoted \\"x\\"": 4}]}')['quoted "x"'].cells() == [4.0]


def test_parse_json_gives_plain_values():
    assert parse_json(b' {"a": [1, 2.5, "x", null, true]} ') == {"a": [1, 2.5, "x", None, True]}
