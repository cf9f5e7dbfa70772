"""Files dropped on the page: how they are read, what is found wrong, and what is given back."""

import csv
import gzip
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aweigh.errors import AweighError, MalformedBody, TooLarge, UnsupportedMedia
from aweigh.schema import Column, Output, Schema
from aweigh.schema.domain import Domain
from aweigh.schema.policy import Policy
from aweigh.ui import upload as upload_module
from aweigh.ui.api import Api
from aweigh.ui.fitting import fitted
from aweigh.ui.flat import cells_of, names_of
from aweigh.ui.results import csv_bytes, parquet_bytes, picture, results_of
from aweigh.ui.scoring import AnotherModel, Scoring
from aweigh.ui.upload import read_upload

SCHEMA = Schema(
    columns=(
        Column(name="length_mm", type="number", dtype="float64", nullable=True, minimum=1.0, maximum=9.0),
        Column(name="kind", type="category", dtype="str", categories=("a", "b")),
    ),
    output=Output(task="class", name="species", classes=("x", "y"), probabilities=True),
)
DOMAIN = Domain(SCHEMA)


def uploaded(text, name="rows.csv", encoding="utf-8"):
    return read_upload(name, text.encode(encoding))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_delimiter(delimiter):
    found = uploaded(f"kind{delimiter}length_mm\na{delimiter}1.5\n")
    assert found.names == ("kind", "length_mm")
    assert found.table.columns["length_mm"] == ["1.5"]


@pytest.mark.parametrize(
    ("encoding", "doubted"), [("utf-8", False), ("utf-8-sig", False), ("utf-16", False), ("windows-1252", True)]
)
def test_the_usual_encodings(encoding, doubted):
    found = uploaded("kind,ort\na,Zürich €\n", encoding=encoding)
    assert found.table.columns["ort"] == ["Zürich €"]
    assert (found.doubt is not None) == doubted


def test_ragged_rows_are_kept_beside_the_others():
    found = uploaded("kind,length_mm\na,1\na\nb,2,3\nb,4\n")
    assert found.rows == 4
    assert found.ragged == {1: 1, 2: 3}
    fit = fitted(DOMAIN, found, taken={})
    assert fit.bad.tolist() == [False, True, True, False]
    assert fit.total == 2
    assert fit.reasons[1] == "the row has 1 cell, the header 2"


def parquet(table):
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def test_parquet_json_and_gzip_are_read_as_they_are():
    table = pa.table({"length_mm": [1.5, None], "kind": ["a", "b"]})
    rows = read_upload("rows.parquet", parquet(table))
    assert rows.table["length_mm"].cells() == [1.5, None]
    assert read_upload("rows.jsonl", b'{"kind": "a"}\n{"kind": "b"}\n').rows == 2
    assert read_upload("rows.csv.gz", gzip.compress(b"kind\na\n")).table.columns["kind"] == ["a"]


@pytest.mark.parametrize(
    ("name", "body", "error"),
    [
        ("rows.csv", b"", MalformedBody),
        ("rows.csv", b"\n\n", MalformedBody),
        ("rows.csv", b"a,a\n1,2\n", MalformedBody),
        ("rows.csv", b'a,b\n"1,2\n', MalformedBody),
        ("rows.parquet", b"PAR1 and no more\x00", MalformedBody),
        ("rows.csv.gz", gzip.compress(b"kind\na\n", mtime=0)[:-9], MalformedBody),
        ("rows.xlsx", b"PK\x03\x04 a workbook \x00\x01", UnsupportedMedia),
    ],
)
def test_what_cannot_be_read_is_an_error_that_names_no_path(name, body, error):
    with pytest.raises(error) as told:
        read_upload(name, body)
    assert "tmp" not in str(told.value)
    assert "/" not in str(told.value)


def test_too_many_rows_are_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr(upload_module, "MOST_ROWS", 3)
    with pytest.raises(TooLarge) as told:
        uploaded("kind\n" + "a\n" * 4)
    assert "aweigh predict" in told.value.hint
    with pytest.raises(TooLarge):
        read_upload("rows.parquet", parquet(pa.table({"kind": ["a"] * 4})))


def test_columns_are_found_missing_near_and_extra():
    fit = fitted(DOMAIN, uploaded("Kind,length,id\na,1,7\n"), taken={})
    assert [(match.name, match.source, match.near) for match in fit.matches] == [
        ("length_mm", None, "length"),
        ("kind", None, "Kind"),
    ]
    assert fit.extra == ("Kind", "length", "id")
    assert [match.name for match in fit.lacking] == ["kind"]
    taken = fitted(DOMAIN, uploaded("Kind,length,id\na,1,7\n"), taken={"kind": "Kind", "length_mm": "length"})
    assert taken.lacking == ()
    assert taken.extra == ("id",)
    assert taken.table["length_mm"].cells() == [1.0]


def test_bad_cells_are_shown_as_they_stand_and_counted():
    fit = fitted(DOMAIN, uploaded("kind,length_mm\na,1\n,2\nb,12 kg\n"), taken={})
    assert fit.bad.tolist() == [False, True, True]
    assert [(cell.row, cell.column, cell.text, cell.message) for cell in fit.cells] == [
        (1, "kind", "", "a value is required"),
        (2, "length_mm", "12 kg", "expected a number, got '12 kg'"),
    ]
    assert (fit.total, fit.good) == (2, 1)


def test_rows_outside_what_the_model_has_seen_are_bad_ones_where_the_policy_refuses_them():
    text = "kind,length_mm\na,1\nz,2\nb,12\n,3\n"
    fit = fitted(Domain(SCHEMA, Policy(columns="reject", named={"kind": "flag"})), uploaded(text), taken={})
    assert fit.bad.tolist() == [False, False, True, True]
    assert [(cell.row, cell.column, cell.text) for cell in fit.cells] == [(2, "length_mm", "12"), (3, "kind", "")]
    assert (fit.total, fit.refused, fit.good) == (2, 1, 2)
    assert fit.reasons[2] == "12 lies outside what the model has seen, 1 to 9"


class _Answers(BaseHTTPRequestHandler):
    """A server whose model is another one from the second request on, and stays that one."""

    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["rows"]
        self.server.asked += 1
        version = "b" * 12 if self.server.asked > 1 else "a" * 12
        answer = {"label": "x", "probabilities": {"x": 0.75, "y": 0.25}}
        document = {"model": {"name": "m", "version": version}, "predictions": [answer] * len(rows), "warnings": []}
        body = json.dumps({"id": "1", **document}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_file_is_answered_by_one_model_though_another_takes_its_place():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        server.asked = 0
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        api = Api(f"http://127.0.0.1:{server.server_port}")
        fit = fitted(DOMAIN, uploaded("kind,length_mm\n" + "a,1\n" * 60), taken={})
        scoring = Scoring.of(DOMAIN, fit)
        scoring.step(api)
        assert scoring.version == "a" * 12
        assert 0 < scoring.done < 60
        scoring.step(api)
        assert isinstance(scoring.error, AnotherModel)
        assert sum(scoring.answered) == scoring.done, "nothing of the other model's was kept"
        scoring.go_on()
        assert (scoring.done, sum(scoring.answered)) == (0, 0)
        while scoring.running:
            scoring.step(api)
        assert (scoring.finished, scoring.version) == (True, "b" * 12)
        server.shutdown()


FORMULAS = "kind,length_mm,note,id\na,-1.5,=1+1,-7\nb,2,@x,+07\na,abc,-cmd|x,007\n"


def scored(text=FORMULAS):
    fit = fitted(DOMAIN, uploaded(text), taken={})
    scoring = Scoring.of(DOMAIN, fit)
    for row in scoring.order:
        answer = cells_of(SCHEMA.output, {"label": "x", "probabilities": {"x": 0.75, "y": 0.25}})
        for column, cell in zip(scoring.columns, answer, strict=True):
            column[row] = cell
        scoring.answered[row] = 1
    scoring.done = len(scoring.order)
    scoring.warned = {0: ["Length: unusual"]}
    return scoring


def test_a_csv_has_the_answer_first_disarms_text_and_leaves_numbers_numbers():
    body = csv_bytes(results_of(scored()))
    assert body.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
    assert list(rows[0]) == [
        "species", "probability_x", "probability_y", "answer_note", "kind", "length_mm", "note", "id",
    ]  # fmt: skip
    assert [row["length_mm"] for row in rows] == ["-1.5", "2", "abc"]
    assert [row["note"] for row in rows] == ["'=1+1", "'@x", "'-cmd|x"]
    assert [row["id"] for row in rows] == ["-7", "7", "007"]
    assert [row["species"] for row in rows] == ["x", "x", ""]
    assert rows[0]["answer_note"] == "Length: unusual"
    assert rows[2]["answer_note"] == "not answered: expected a number, got 'abc'"


def test_a_column_of_the_file_is_not_written_over():
    results = results_of(scored("kind,length_mm,species\na,1,old\n"))
    assert next(name for name, _ in results.answers) == "predicted_species"
    assert results.columns[2] == ("species", ["old"])


def test_parquet_has_the_inputs_in_their_types():
    scoring = scored()
    table = pq.read_table(io.BytesIO(parquet_bytes(scoring, results_of(scoring))))
    assert table["length_mm"].to_pylist() == [-1.5, 2.0, None]
    assert table["probability_x"].to_pylist() == [0.75, 0.75, None]
    assert table["note"].to_pylist() == ["=1+1", "@x", "-cmd|x"]  # no spreadsheet runs Parquet


def test_the_answers_are_pictured_together():
    assert "2 · 100" in picture(scored()).replace("\u202f", " ")
    scoring = scored()
    scoring.schema = Schema(columns=SCHEMA.columns, output=Output(task="number", name="y"))
    scoring.columns = [[1.0, 9.0, None]]
    drawn = picture(scoring)
    assert 'aria-label="The answers go from 1 to 9; half of them are below 9."' in drawn
    scoring.answered = bytearray(3)
    assert picture(scoring) == ""


def test_every_error_of_a_file_is_one_of_ours():
    for body in (b"\x00\x01\x02", b"a\x00b,c\n1,2\n", b"%PDF-1.4\x00", bytes(range(256))):
        with pytest.raises(AweighError):
            read_upload("rows.csv", body)


@pytest.mark.parametrize(
    ("output", "prediction"),
    [
        (SCHEMA.output, {"label": "x", "probabilities": {"x": 0.5, "y": 0.5}}),
        (Output(task="class", name="grade", classes=(1, True)), {"label": 1}),
        (Output(task="number", name="y"), {"value": None}),
        (Output(task="numbers", name="y", names=("a", "b")), {"values": {"a": 1.0, "b": None}}),
        (Output(task="transform", name="t", names=("a",)), {"values": {"a": 1.0}}),
        (Output(task="cluster", name="cluster"), {"cluster": 0}),
        (Output(task="outlier", name="outlier", scores=True), {"outlier": False, "score": 0.5}),
        (Output(task="outlier", name="outlier"), {"outlier": True}),
    ],
)
def test_an_answer_has_as_many_cells_as_columns(output, prediction):
    assert len(cells_of(output, prediction)) == len(names_of(output))
    assert cells_of(output, prediction)[0] == next(iter(prediction.get("values", prediction).values()))
