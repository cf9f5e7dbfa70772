"""What requests say of themselves: content types, settings, ids, tensors, problem documents."""

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aweigh import errors
from aweigh.errors import (
    AweighError,
    ConfigError,
    DataError,
    InvalidRows,
    MalformedBody,
    MissingExtra,
    Problem,
    UnsupportedMedia,
)
from aweigh.schema import Column, Output, Schema
from aweigh.secret import Secret
from aweigh.server import ulid as ulids
from aweigh.server.binary_tensors import read_values, write_values
from aweigh.server.media import ARROW_FILE, ARROW_STREAM, kind_of, parse, wanted
from aweigh.server.metrics import BUCKETS_S, Counters, route_of
from aweigh.server.output_tensors import output_metadata, output_tensors
from aweigh.server.problems import PROBLEMS, Refused, document_of, encode, status_of
from aweigh.server.settings import MAX_CELLS, Settings, read_settings
from aweigh.server.tensors import read_request, rows_of
from aweigh.server.ulid import ALPHABET, ulid

# -- content types ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "kind", "charset"),
    [
        ("application/json", "json", None),
        ("Application/JSON", "json", None),
        (" application/json ; charset=UTF-8", "json", None),
        ("application/json;", "json", None),
        ("text/csv", "csv", None),
        ("text/csv; charset=latin-1; header=present", "csv", "latin-1"),
        ('text/csv;charset="windows-1252"', "csv", "windows-1252"),
        ('text/csv;x="a;b\\"c";charset=utf-8', "csv", "utf-8"),
        (ARROW_STREAM, "arrow", None),
        (ARROW_FILE, "arrow", None),
    ],
)
def test_content_types_that_are_read(header, kind, charset):
    assert kind_of([header.encode()]) == (kind, charset)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b""],
        [b" "],
        [b"application/json", b"text/csv"],
        [b"json"],
        [b"application/"],
        [b"application/json, text/csv"],
        [b"application/json charset=utf-8"],
        [b"application/json; charset"],
        [b"application/json; charset=utf-16"],
        [b"application/jsonp"],
        [b"text/html"],
        [b"multipart/form-data; boundary=" + b"a" * 100_000],
        [b"application/vnd.apache.parquet"],
        [b"\xff/\xfe"],
    ],
)
def test_content_types_that_are_not(headers):
    with pytest.raises(UnsupportedMedia) as caught:
        kind_of(headers)
    assert caught.value.hint
    assert len(caught.value.message) < 200


@given(st.binary(max_size=40))
def test_any_content_type_is_read_or_refused(header):
    try:
        assert kind_of([header])[0] in {"json", "csv", "arrow"}
    except UnsupportedMedia:
        assert parse(header.decode("latin-1")) is None or header not in {b"application/json", b"text/csv"}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ([], "json"),
        ([b"*/*"], "json"),
        ([b"application/json"], "json"),
        ([b"text/csv"], "csv"),
        ([ARROW_STREAM.encode()], "arrow"),
        ([b"text/html, application/xhtml+xml, */*;q=0.8"], "json"),
        ([b"text/*"], "csv"),
        ([b"application/*"], "json"),
        ([b"text/csv;q=0.5, application/json;q=0.4"], "csv"),
        ([b"text/csv;q=0, */*"], "json"),
        ([b"application/json;q=0, */*"], "csv"),
        ([b"text/csv", b"application/json;q=0.1"], "csv"),
        ([b"text/csv;q=high, application/json"], "json"),
    ],
)
def test_what_is_asked_for_is_written(accept, kind):
    assert wanted(accept) == kind


@pytest.mark.parametrize(
    "accept", [b"application/xml", b"text/csv;q=0", b"application/json;q=0", b"nonsense", b"image/*"]
)
def test_what_nobody_writes_is_406(accept):
    with pytest.raises(Refused) as caught:
        wanted([accept])
    assert status_of(caught.value) == 406


# -- settings --------------------------------------------------------------------------------------------------------


def test_settings_are_read_from_the_environment():
    found = read_settings({"AWEIGH_MAX_BODY_BYTES": "2048", "AWEIGH_DRAIN_S": "2.5", "AWEIGH_METRICS_TOKEN": " t "})
    assert found == Settings(max_body_bytes=2048, drain_s=2.5, metrics_token=Secret("t"))
    assert read_settings({"AWEIGH_MAX_ROWS": ""}) == Settings()


@pytest.mark.parametrize("text", ["many", "-1", "0", "1.5", "1e3", "nan", "inf", "9" * 40])
def test_settings_that_cannot_be_are_refused(text):
    with pytest.raises(ConfigError, match="AWEIGH_MAX_ROWS"):
        read_settings({"AWEIGH_MAX_ROWS": text})


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "soon"])
def test_times_that_cannot_be_are_refused(text):
    with pytest.raises(ConfigError, match="AWEIGH_DRAIN_S"):
        read_settings({"AWEIGH_DRAIN_S": text})


def test_the_token_is_not_shown():
    assert "let me in" not in repr(Settings(metrics_token=Secret("let me in")))


def test_a_very_wide_model_takes_fewer_rows():
    columns = tuple(Column(name=f"c{i}", type="number", dtype="float64") for i in range(1000))
    wide = Schema(columns=columns, output=Output(task="number", name="y"))
    assert Settings().rows_for(wide) == MAX_CELLS // 1000 < Settings().max_rows


# -- ids and counters ------------------------------------------------------------------------------------------------


def test_ids_are_ulids(monkeypatch):
    monkeypatch.setattr(ulids.time, "time_ns", lambda: 1_469_918_176_385 * 1_000_000)
    assert ulid()[:10] == "01ARYZ6S41", "the example of the ULID specification"
    assert set("".join(ulid() for _ in range(200))) <= set(ALPHABET)
    assert len({ulid() for _ in range(1000)}) == 1000


def test_counters_of_several_processes_add_up():
    counters = Counters(slots=2)
    for slot in (0, 1):
        counters.take(slot)
        counters.begin()
        counters.predicted(rows=3, seconds=BUCKETS_S[2])
        counters.warned(1)
        counters.end("predict", 200)
    counters.begin()
    counters.end("ui", 418)
    counters.begin()
    counters.predicted(rows=1, seconds=99)
    text = counters.text(info={"name": 'a"b\\c\nd'})
    assert 'aweigh_requests_total{route="predict",status="200"} 2' in text
    assert 'aweigh_requests_total{route="ui",status="400"} 1' in text
    assert "aweigh_requests_in_flight 1" in text
    assert "aweigh_rows_total 7" in text
    assert "aweigh_warnings_total 2" in text
    assert f'aweigh_predict_seconds_bucket{{le="{BUCKETS_S[1]:g}"}} 0' in text
    assert f'aweigh_predict_seconds_bucket{{le="{BUCKETS_S[2]:g}"}} 2' in text
    assert 'aweigh_predict_seconds_bucket{le="10"} 2' in text
    assert 'aweigh_predict_seconds_bucket{le="+Inf"} 3' in text
    assert 'aweigh_model_info{name="a\\"b\\\\c\\nd"} 1' in text


def test_a_process_in_the_place_of_a_dead_one_forgets_what_was_under_way():
    counters = Counters(slots=1)
    counters.begin()
    counters.take(0)
    assert "aweigh_requests_in_flight 0" in counters.text(info={})


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/predict", "predict"),
        ("/v1/docs", "docs"),
        ("/v1", "api"),
        ("/v1/x/y", "api"),
        ("/v2", "oip"),
        ("/v2/", "oip"),
        ("/health/live", "health"),
        ("/metrics", "metrics"),
        ("/", "ui"),
        ("", "ui"),
        ("/v10", "ui"),
        ("//v1/predict", "ui"),
    ],
)
def test_paths_are_counted_under_their_route(path, route):
    assert route_of(path) == route


# -- problems --------------------------------------------------------------------------------------------------------


def every_error():
    kinds = [AweighError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    return kinds


def test_the_table_agrees_with_the_tree_of_errors():
    """A status in errors.py is what the client gets; an error that no client brings about is 500 and says nothing."""
    for kind in every_error():
        if kind.__module__ == errors.__name__:
            assert PROBLEMS.get(kind.code, PROBLEMS["internal"])[0] == kind.http_status, kind


@pytest.mark.parametrize(
    "error",
    [AweighError("/srv/secret"), MissingExtra("secret", extra="x"), errors.DamagedBundle("secret", hint="secret")],
)
def test_what_no_client_brought_about_says_nothing(error):
    document = document_of(error)
    assert (document["status"], document["code"]) == (500, "internal")
    assert "secret" not in json.dumps(document)


def test_a_problem_with_odd_text_is_json_all_the_same():
    problems = (Problem("unknown_column", "no column '\ud800'", row=0, column="\ud800"),)
    document = msgspec.json.decode(encode(document_of(InvalidRows(problems))))
    assert document["problems"][0]["column"] == "?"


def test_every_code_is_a_slug():
    assert all(re.fullmatch(r"[a-z_]+", code) and 400 <= status < 600 for code, (status, _) in PROBLEMS.items())


# -- tensors ---------------------------------------------------------------------------------------------------------

NUMBERS = Schema(
    columns=tuple(Column(name=name, type="number", dtype="float64") for name in "ab"),
    output=Output(task="number", name="y"),
)


def tensor(name, shape, data, datatype="FP64"):
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def rows_from(inputs, *, json_bytes=None, rest=b""):
    body = json.dumps({"inputs": inputs}).encode()
    request = read_request(body + rest, json_bytes=json_bytes and len(body))
    return rows_of(NUMBERS, request.inputs, max_rows=10)


@pytest.mark.parametrize(
    "inputs",
    [
        [tensor("a", [2], [1, 2]), tensor("b", [2, 1], [3, 4], "INT8")],
        [tensor("a", [2, 1], [[1], [2]]), tensor("b", [2], [3, 4], "FP32")],
        [tensor("x", [2, 2], [[1, 3], [2, 4]])],
        [tensor("x", [2, 2], [1, 3, 2, 4])],
    ],
)
def test_tensors_become_rows(inputs):
    assert rows_from(inputs) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]


@pytest.mark.parametrize(
    "inputs",
    [
        [tensor("x", [], [])],
        [tensor("x", [1, 2, 1], [1, 2])],
        [tensor("x", [1, 3], [1, 2, 3])],
        [tensor("x", [2, 2], [1, 2, 3])],
        [tensor("x", [-1, -2], [1, 2])],
        [tensor("x", [1, 2], [[[1]], [[2]]])],
        [tensor("x", [1, 2], [1.5, 2], "INT64")],
        [tensor("x", [1, 2], [True, 2], "INT64")],
        [tensor("x", [1, 2], [1, 2], "BYTES")],
        [tensor("x", [1, 2], [1, 2], "fp64")],
        [tensor("a", [1], [1])] * 2,
        [tensor("x", [10**9, 2], [])],
        [tensor("a", [11], [1] * 11)],
        [tensor("a", [1] * 10_000, [1])],
    ],
)
def test_tensors_that_do_not_fit_are_refused(inputs):
    with pytest.raises(DataError):
        rows_from(inputs)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "shape", "datatype", "data", "inputs", "parameters"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_any_document_is_read_or_refused(document):
    try:
        rows_of(NUMBERS, read_request(json.dumps(document).encode(), json_bytes=None).inputs, max_rows=10)
    except DataError as error:
        found = error
    else:
        return
    assert status_of(found) in {400, 413, 422}


@given(
    st.sampled_from(["BOOL", "INT8", "UINT64", "FP16", "FP32", "FP64", "BYTES", "WHAT"]),
    st.binary(max_size=40),
    st.integers(-1, 50),
)
def test_any_binary_data_is_read_or_refused(datatype, data, size):
    binary = {"name": "a", "shape": [1], "datatype": datatype, "parameters": {"binary_data_size": size}}
    try:
        rows = rows_from([binary], json_bytes=True, rest=data)
    except DataError as error:
        found = error
    else:
        assert len(rows) == 1
        return
    assert status_of(found) in {400, 422}


@pytest.mark.parametrize(
    ("output", "names"),
    [
        (
            Output(task="class", name="y", classes=("a", "b"), probabilities=True),
            [("label", "BYTES"), ("probabilities", "FP64")],
        ),
        (Output(task="class", name="y", classes=(0, 1)), [("label", "INT64")]),
        (Output(task="class", name="y", classes=(False, True)), [("label", "BOOL")]),
        (Output(task="class", name="y", classes=(0.5, 1)), [("label", "FP64")]),
        (Output(task="class", name="y", classes=(0, "one")), [("label", "BYTES")]),
        (Output(task="cluster", name="y"), [("cluster", "INT64")]),
        (Output(task="outlier", name="y", scores=True), [("outlier", "BOOL"), ("score", "FP64")]),
        (Output(task="outlier", name="y"), [("outlier", "BOOL")]),
        (Output(task="number", name="y"), [("value", "FP64")]),
        (Output(task="numbers", name="y", names=("u", "v")), [("values", "FP64")]),
        (Output(task="transform", name="y", names=("u", "v", "w")), [("values", "FP64")]),
    ],
)
@pytest.mark.parametrize("rows", [0, 2])
def test_every_kind_of_answer_is_a_tensor(output, names, rows):
    import numpy as np

    from aweigh.schema import Answers

    wide = max(1, len(output.names))
    answers = {
        "class": Answers(
            output,
            rows,
            index=np.arange(rows) % 2,
            probabilities=np.full((rows, 2), 0.5) if output.probabilities else None,
        ),
        "cluster": Answers(output, rows, cluster=np.arange(rows)),
        "outlier": Answers(
            output, rows, outlier=np.arange(rows) > 0, scores=np.arange(rows) * 0.5 if output.scores else None
        ),
    }.get(output.task, Answers(output, rows, values=np.full((rows, wide), np.inf)))
    schema = Schema(columns=NUMBERS.columns, output=output)
    assert [(one["name"], one["datatype"]) for one in output_metadata(schema)] == names
    tensors, nothing = output_tensors(schema, answers)
    assert nothing == b""
    for made in tensors:
        size = 1
        for one in made["shape"]:
            size *= one
        assert made["shape"][0] == rows
        assert len(made["data"]) == size
        kind = {"BYTES": str, "INT64": int, "BOOL": bool, "FP64": (int, float, type(None))}[made["datatype"]]
        assert all(isinstance(one, kind) for one in made["data"])
    packed, rest = output_tensors(schema, answers, binary=[name for name, _ in names])
    for made, plain in zip(packed, tensors, strict=True):
        size_bytes = made["parameters"]["binary_data_size"]
        assert "data" not in made
        assert read_values(rest[:size_bytes], made["datatype"], most=size_bytes) == plain["data"]
        rest = rest[size_bytes:]
    assert rest == b""


def test_each_output_is_bytes_or_not_as_it_is_asked_for():
    def asked(parameters, *outputs):
        document = {"inputs": [], "parameters": parameters, "outputs": list(outputs)}
        return sorted(read_request(json.dumps(document).encode(), json_bytes=None).binary_outputs(["u", "v"]))

    plain, packed = ({"name": "u", "parameters": {"binary_data": one}} for one in (False, True))
    assert asked(None) == asked({}) == asked({"binary_data_output": False}, plain) == []
    assert asked({"binary_data_output": True}) == ["u", "v"]
    assert asked({"binary_data_output": True}, plain) == ["v"]
    assert asked({}, packed, {"name": "v", "parameters": None}) == ["u"]
    with pytest.raises(MalformedBody, match="neither true nor false"):
        asked({"binary_data_output": "true"})


@pytest.mark.parametrize("name", ["shared_memory_region", "classification"])
@pytest.mark.parametrize("place", ["inputs", "outputs"])
def test_what_other_extensions_would_change_is_refused(name, place):
    document = {"inputs": [tensor("a", [1], [1])], "outputs": [{"name": "value"}]}
    document[place][0]["parameters"] = {name: 1}
    with pytest.raises(MalformedBody, match="here"):
        read_request(json.dumps(document).encode(), json_bytes=None)


TEXTS = Schema(columns=(Column(name="t", type="text", dtype="object", nullable=True),), output=NUMBERS.output)


@pytest.mark.parametrize(("missing", "values"), [("None", ["a", None, ""]), ("", ["a", "None", None])])
@pytest.mark.parametrize("packed", [False, True])
def test_a_text_may_stand_for_a_missing_value(missing, values, packed):
    given = tensor("t", [3], ["a", "None", ""], "BYTES")
    rest = b""
    if packed:
        rest = write_values(given.pop("data"), "BYTES")
        given["parameters"] = {"binary_data_size": len(rest)}
    head = json.dumps({"inputs": [given], "parameters": {"missing_text": missing}}).encode()
    request = read_request(head + rest, json_bytes=len(head) if packed else None)
    rows = rows_of(TEXTS, request.inputs, max_rows=10, missing_text=request.missing_text)
    assert [one["t"] for one in rows] == values


def test_what_stands_for_a_missing_value_is_a_text():
    body = json.dumps({"inputs": [], "parameters": {"missing_text": 0}}).encode()
    with pytest.raises(MalformedBody, match="missing_text"):
        _ = read_request(body, json_bytes=None).missing_text


def test_a_tensor_without_data_says_so():
    with pytest.raises(InvalidRows, match="has no data"):
        rows_from([tensor("a", [1], None)])


def test_what_waits_and_is_kept_is_read_from_the_environment():
    found = read_settings(
        {
            "AWEIGH_BATCH_ROWS": "0",
            "AWEIGH_QUEUE_ROWS": "7",
            "AWEIGH_CACHE_SECRET": "hush",
            "REDIS_URL": "redis://:pw@x",
        }
    )
    assert (found.batch_rows, found.queue_rows, found.cache_bytes) == (0, 7, None)
    assert (found.cache_secret, found.redis_url) == (Secret("hush"), Secret("redis://:pw@x"))
    assert "hush" not in repr(found)
    assert "pw" not in repr(found)


@pytest.mark.parametrize(
    "environ", [{"AWEIGH_QUEUE_ROWS": "0"}, {"AWEIGH_BATCH_ROWS": "1.5"}, {"REDIS_URL": "http://:pw@x"}]
)
def test_what_cannot_be_is_refused_without_its_secrets(environ):
    with pytest.raises(ConfigError) as caught:
        read_settings(environ)
    assert next(iter(environ)) in str(caught.value)
    assert "pw" not in str(caught.value)
