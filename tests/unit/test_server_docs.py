"""The OpenAPI document and the pages that the server writes itself, for models of every kind and with hostile names."""

import base64
import dataclasses
import hashlib
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from aweigh.bundle.examples import Examples
from aweigh.bundle.manifest import FORMAT, Manifest, Presentation, Proof
from aweigh.errors import InvalidRows
from aweigh.runtime.predictor import Predictor
from aweigh.schema import Column, Output, Schema
from aweigh.schema.cells import RESERVED_TEXT
from aweigh.schema.check import check_rows
from aweigh.server.docs import docs_page, front_page
from aweigh.server.jobs.health import worker_text
from aweigh.server.jobs.told import counters_text
from aweigh.server.metrics import Counters
from aweigh.server.openapi import example_csv, openapi_document
from aweigh.server.problems import PROBLEMS
from aweigh.server.release.told import COUNTERS
from aweigh.server.settings import Settings

PROOF = Proof(
    rows=1, probe_rows=0, single_rows=1, absolute_tolerance=0, relative_tolerance=0, largest_difference=0, attempts=()
)
HOSTILE = "</pre><script>alert(1)</script>'\"&"

COLUMNS = (
    Column(name="width", type="number", dtype="float64", unit="mm", minimum=1.5, maximum=9.25, description="How wide"),
    Column(name="small", type="number", dtype="float32", nullable=True, lower_limit=0),
    Column(name="count", type="integer", dtype="int64", upper_limit=10),
    Column(name="on", type="boolean", dtype="bool", nullable=True),
    Column(name="kind", type="category", dtype="str", categories=("a", HOSTILE), closed=True, nullable=True),
    Column(name="place", type="category", dtype="str", categories=("x", "y")),
    Column(name="note", type="text", dtype="str", nullable=True),
    Column(name="day", type="date", dtype="datetime64[us]", nullable=True),
    Column(name="at", type="datetime", dtype="datetime64[us]", nullable=True),
    Column(name=HOSTILE, type="number", dtype="float64", nullable=True, title=HOSTILE, unit=HOSTILE),
)
ROW = {
    "width": 2.5,
    "small": 0.5,
    "count": 3,
    "on": True,
    "kind": HOSTILE,
    "place": "it's",
    "note": "=1+1 ; $(id) `id` \\",
    "day": "2026-01-31",
    "at": "2026-01-31T12:30:00",
    HOSTILE: None,
}
SCHEMA = Schema(columns=COLUMNS, output=Output(task="number", name="y", unit="EUR"))


def predictor_of(output=SCHEMA.output, *, prediction=None, title=None):
    manifest = Manifest(
        format=FORMAT,
        name="odd",
        family="python",
        model=HOSTILE,
        runtime="python",
        runtime_reason="it is one",
        model_file="model/model.py",
        python="3.11",
        made_with={},
        proof=PROOF,
        files={},
        presentation=Presentation(title=title, description=title),
    )
    return Predictor(
        manifest=manifest,
        digest="ab" * 32,
        schema=Schema(columns=COLUMNS, output=output),
        examples=Examples(rows=[ROW], predictions=[prediction or {"value": 1.5}], titles=[""]),
        profile_json=b"{}",
        card="",
        answer=lambda table: table,  # never asked here
    )


def document_of(predictor=None):
    return openapi_document(predictor or predictor_of(), settings=Settings(), version="1")


def validator(name, document):
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker(["date"]))


def test_a_golden_row_fits_the_document():
    validator("Rows", document_of()).validate({"rows": [ROW]})


@pytest.mark.parametrize(
    "changed",
    [
        {"width": None},
        {"width": "2.5"},
        {"width": True},
        {"width": 10**400},
        {"small": -1},
        {"small": 1e39},
        {"count": 11},
        {"count": 2.5},
        {"count": -(2**63) - 1},
        {"on": 1},
        {"kind": "b"},
        {"place": None},
        {"place": 3},
        {"note": "a\x00"},
        {"note": RESERVED_TEXT},
        {"day": "31.01.2026"},
        {"at": "2026-01-31T25:00:00"},
        {"at": "noon"},
        {"unknown": 1},
        {"width": ...},
    ],
)
def test_the_document_and_the_check_refuse_the_same_rows(changed):
    row = {key: value for key, value in (ROW | changed).items() if value is not ...}
    assert not validator("Row", document_of()).is_valid(row)
    with pytest.raises(InvalidRows):
        check_rows(SCHEMA, [row])


@pytest.mark.parametrize(
    "changed",
    [
        {"small": None, "kind": None, "on": None, "day": None},
        {"kind": ...},
        {"place": "never seen"},
        {"count": 3.0},
        {"at": "2026-01-31 12:30:00.5+02:00"},
    ],
)
def test_the_document_and_the_check_take_the_same_rows(changed):
    row = {key: value for key, value in (ROW | changed).items() if value is not ...}
    validator("Row", document_of()).validate(row)
    assert check_rows(SCHEMA, [row]).rows == 1


@pytest.mark.parametrize(
    ("output", "prediction"),
    [
        (
            Output(task="class", name="y", classes=("a", "b"), probabilities=True),
            {"label": "a", "probabilities": {"a": 0.9, "b": 0.1}},
        ),
        (Output(task="class", name="y", classes=(0, 1)), {"label": 1}),
        (
            Output(task="class", name="y", classes=(False, True), probabilities=True),
            {"label": True, "probabilities": {"false": 0, "true": 1}},
        ),
        (Output(task="number", name="y"), {"value": None}),
        (Output(task="numbers", name="y", names=("u", "v")), {"values": {"u": 1, "v": None}}),
        (Output(task="transform", name="y", names=("u",)), {"values": {"u": 1}}),
        (Output(task="cluster", name="y"), {"cluster": 3}),
        (Output(task="outlier", name="y", scores=True), {"outlier": True, "score": -0.5}),
        (Output(task="outlier", name="y"), {"outlier": False}),
    ],
)  # fmt: skip
def test_every_kind_of_answer_is_described(output, prediction):
    predictor = predictor_of(output, prediction=prediction)
    document = document_of(predictor)
    validator("Prediction", document).validate(prediction)
    assert not validator("Prediction", document).is_valid(prediction | {"more": 1})
    example = document["paths"]["/v1/predict"]["post"]["responses"]["200"]["content"]["application/json"]["example"]
    validator("Reply", document).validate(example)
    assert "odd" in docs_page(predictor, settings=Settings()).html("http://x")


def test_the_document_is_one_of_openapi():
    document = document_of()
    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"] == "odd"
    assert document["info"]["version"] == "ab" * 6
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    width = document["components"]["schemas"]["Row"]["properties"]["width"]
    assert width["description"] == "How wide, in mm. In training: 1.5 to 9.25."
    assert document["components"]["schemas"]["Row"]["required"] == ["width", "count", "place"]


class Outline(HTMLParser):
    """Tags with their attributes, and the text of each kind of element."""

    def __init__(self):
        super().__init__()
        self.tags = []
        self.text = {}
        self._open = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link"}:
            self._open.append(tag)
            self.text.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        for tag in set(self._open):
            self.text[tag][-1] += data


def outline_of(html):
    found = Outline()
    found.feed(html)
    return found


PAGES = [
    docs_page(predictor_of(title=HOSTILE), settings=Settings()),
    docs_page(None, settings=Settings()),
    front_page(predictor_of(title=HOSTILE)),
    front_page(None),
]


@pytest.mark.parametrize("page", PAGES, ids=["docs", "docs of none", "front", "front of none"])
def test_a_page_runs_its_own_script_and_nothing_else(page):
    html = page.html("http://127.0.0.1:8000")
    found = outline_of(html)
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert "alert(1)" not in found.text["script"][0]
    for kind, directive in (("script", "script-src"), ("style", "style-src")):
        digest = base64.b64encode(hashlib.sha256(found.text[kind][0].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in page.policy
    assert "default-src 'none'" in page.policy
    assert "unsafe" not in page.policy
    assert not any(name.startswith("on") or name == "style" for _, attributes in found.tags for name in attributes)


@pytest.mark.parametrize("page", PAGES, ids=["docs", "docs of none", "front", "front of none"])
def test_a_page_needs_no_other_host(page):
    html = page.html("http://127.0.0.1:8000")
    for tag, attributes in outline_of(html).tags:
        for name in ("src", "href", "action"):
            target = attributes.get(name, "")
            assert not re.match(r"(?i)[a-z]+:|//", target) or target == "data:,", (tag, target)
    assert "@import" not in html
    assert "url(" not in html


@pytest.mark.parametrize(
    "origin", ["http://evil.example/'; rm -rf /", "javascript:alert(1)", "http://a b", "http://<script>", "http://", ""]
)
def test_a_host_that_is_none_is_not_repeated(origin):
    html = PAGES[0].html(origin)
    assert "http://localhost:8000/v1/predict" in html
    assert "evil" not in html
    assert "javascript:alert" not in html


@pytest.mark.parametrize("origin", ["https://models.example", "http://10.0.0.1:8080", "http://[::1]:8000"])
def test_the_examples_name_the_address_of_the_page(origin):
    assert f"{origin}/v1/predict" in PAGES[0].html(origin)


def test_the_examples_are_what_a_shell_and_python_read_as_the_golden_row():
    blocks = outline_of(PAGES[0].html("http://h:1")).text["pre"]
    curl, python = blocks[0], blocks[1]
    argv = shlex.split(curl)
    assert argv[:2] == ["curl", "http://h:1/v1/predict"]
    assert json.loads(argv[argv.index("-d") + 1]) == {"rows": [ROW]}
    assigned = python[: python.index("request = ")]
    found = {}
    exec(assigned, found)
    assert found["rows"] == [ROW]
    compile(python, "example", "exec")
    tried = outline_of(PAGES[0].html("http://h:1")).text["textarea"][0]
    assert json.loads(tried) == {"rows": [ROW]}


def test_the_csv_example_cannot_run_in_a_spreadsheet():
    assert "'=1+1" in example_csv(predictor_of(), count=1)


def test_every_problem_has_its_place_on_the_page():
    ids = {attributes.get("id") for page in PAGES[:2] for _, attributes in outline_of(page.html("")).tags}
    assert ids >= set(PROBLEMS), "a problem's type is a link to here"


def test_every_column_is_on_the_page():
    html = PAGES[0].html("")
    rows = outline_of(html).text["code"]
    assert {column.name for column in COLUMNS} <= set(rows)


REFERENCE = (Path(__file__).parents[2] / "docs" / "reference" / "http.md").read_text(encoding="utf-8")


def test_the_reference_names_every_setting_with_its_default():
    told = dict(re.findall(r"^\| `(?:AWEIGH_)?([A-Z_]+)` \| (\S+) \|", REFERENCE, re.MULTILINE))
    real = {one.name.upper(): one.default for one in dataclasses.fields(Settings)}
    words = {
        "none": None,
        "measured": None,
        "planned": None,
        "inline": "inline",
        "withheld": "withheld",
        "on": "on",
        "off": "off",
    }
    assert {name: words[text] if text in words else float(text) for name, text in told.items()} == real


def test_the_reference_names_every_counter():
    text = Counters().text(info={"name": "x"}) + counters_text({}, {})
    text += worker_text({}, seconds=0.0, up=True, info={})
    text += "".join(f"# TYPE {name}\n" for name in COUNTERS)
    real = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    assert set(re.findall(r"^\| `(aweigh_\w+)", REFERENCE, re.MULTILINE)) == real


def test_the_reference_names_every_address():
    told = set(re.findall(r"^\| `(/\S*)` \|", REFERENCE, re.MULTILINE))
    assert told >= set(document_of()["paths"]) | {"/", "/metrics", "/v2/..."}
