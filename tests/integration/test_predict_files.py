"""`aweigh predict`: files of every kind, any size, in constant memory, with every row answered or told of."""

import csv
import datetime as dt
import gzip
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import Ridge

from aweigh import load, pack
from aweigh.__main__ import main
from aweigh.cli.demo import CHOICES, NUMBERS, pipeline
from aweigh.data import penguins_path
from aweigh.errors import InvalidRows, MalformedBody, MissingExtra, UnsupportedMedia, UsageError
from aweigh.runtime.score import STDOUT, ScoreOptions, bad_path_for, score

INPUTS = [*CHOICES, *NUMBERS]
ANSWERS = ["species", "probability_Adelie", "probability_Chinstrap", "probability_Gentoo"]
PREDICTED = ["predicted_species", *ANSWERS[1:]]
MOST_MEMORY_BYTES = 30_000_000


@pytest.fixture(scope="module")
def predictor(penguins):
    return load(penguins.path).predictor


@pytest.fixture(scope="module")
def flat_predictor(flats):
    return load(flats.path).predictor


@pytest.fixture(scope="module")
def frame():
    return pd.read_csv(penguins_path())


@pytest.fixture(scope="module")
def expected(frame):
    """What scikit-learn says of each penguin: label, then probabilities."""
    model = pipeline().fit(frame[INPUTS], frame["species"])
    inputs = frame[INPUTS]
    return [
        (label, *row) for label, row in zip(model.predict(inputs), model.predict_proba(inputs).tolist(), strict=True)
    ]


def plain(frame):
    """A frame's rows as JSON values."""
    return json.loads(frame.to_json(orient="records"))


def write_arrow(frame, path):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    new = pa.ipc.new_stream if path.suffix == ".arrows" else pa.ipc.new_file
    with new(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)


WRITE = {
    "in.csv": lambda frame, path: frame.to_csv(path, index=False),
    "semicolon.csv": lambda frame, path: frame.to_csv(path, index=False, sep=";"),
    "in.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "quoted.csv": lambda frame, path: frame.to_csv(path, index=False, quoting=csv.QUOTE_ALL),
    "mark.csv": lambda frame, path: frame.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n"),
    "in.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "in.parquet": lambda frame, path: frame.to_parquet(path, index=False, row_group_size=100),
    "in.arrow": write_arrow,
    "in.arrows": write_arrow,
    "in.json": lambda frame, path: frame.to_json(path, orient="records"),
    "in.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
}


def read(path):
    """Any file that comes out, as rows of plain values."""
    name = path.name
    if name.endswith((".csv", ".tsv", ".csv.gz")):
        return plain(pd.read_csv(path, sep=None, engine="python", encoding="utf-8-sig"))
    if name.endswith(".parquet"):
        return pq.read_table(path).to_pylist()
    if name.endswith(".arrow"):
        return pa.ipc.open_file(path).read_all().to_pylist()
    text = gzip.decompress(path.read_bytes()).decode() if name.endswith(".gz") else path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def cells_of(path):
    """A CSV's rows as they stand there, the header first."""
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def column_of(path, name):
    """One column of a CSV."""
    header, *rows = cells_of(path)
    return [row[header.index(name)] for row in rows]


def numbers(value):
    return None if value is None or pd.isna(value) else float(value)


@pytest.mark.parametrize(
    "out", ["out.csv", "out.tsv", "out.csv.gz", "out.parquet", "out.arrow", "out.jsonl", "out.jsonl.gz"]
)
@pytest.mark.parametrize("name", WRITE)
def test_every_kind_of_file_gives_the_answers_of_the_original_in_order(name, out, tmp_path, predictor, frame, expected):
    source, path = tmp_path / name, tmp_path / out
    WRITE[name](frame, source)
    scored = score(predictor, source, path, options=ScoreOptions(chunk_rows=100))
    assert (scored.rows, scored.good, scored.bad, scored.answers) == (344, 344, 0, tuple(PREDICTED))
    rows = read(path)
    assert list(rows[0]) == [*frame.columns, *PREDICTED]
    for row, given, (label, *probabilities) in zip(rows, plain(frame), expected, strict=True):
        assert [row["species"], row["island"], row["sex"]] == [given["species"], given["island"], given["sex"]]
        assert [numbers(row[column]) for column in NUMBERS] == [numbers(given[column]) for column in NUMBERS]
        assert row["predicted_species"] == label
        assert [row[head] for head in PREDICTED[1:]] == pytest.approx(probabilities, abs=1e-6)


@pytest.mark.parametrize("out", ["out.csv", "out.jsonl"])
@pytest.mark.parametrize("name", ["in.csv", "quoted.csv", "in.parquet", "in.arrow", "in.jsonl"])
def test_the_size_of_the_parts_changes_nothing(name, out, tmp_path, predictor, frame):
    source = tmp_path / name
    WRITE[name](frame, source)
    written = []
    for chunk_rows in (7, 1000):
        path = tmp_path / f"{chunk_rows}{out}"
        score(predictor, source, path, options=ScoreOptions(chunk_rows=chunk_rows))
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_what_is_written_is_what_the_api_says(tmp_path, penguins, predictor, frame):
    path = tmp_path / "out.jsonl"
    score(predictor, penguins_path(), path)
    answers = load(penguins.path).predict(plain(frame[INPUTS]))
    for row, answer in zip(read(path), answers, strict=True):
        assert row["predicted_species"] == answer["label"]
        assert {head: row[f"probability_{head}"] for head in answer["probabilities"]} == answer["probabilities"]


def test_types_survive_from_parquet_to_parquet(tmp_path, flat_predictor):
    table = pa.table(
        {f"x{i}": pa.array(np.arange(4) / 8, pa.float32() if i else pa.float64()) for i in range(8)}
        | {
            "id": pa.array([1, 2, 3, 4], pa.int8()),
            "kind": pa.array(["a", "b", None, "a"]).dictionary_encode(),
            "deep": pa.array([[1], [2, 3], None, []]),
            "day": pa.array([dt.date(2026, 1, 31)] * 4),
        }
    )
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(table, source)
    score(flat_predictor, source, out, options=ScoreOptions(ignore_extra=True))
    back = pq.read_table(out)
    assert back.select(table.column_names).equals(table)
    assert back.schema.field("price").type == pa.float64()
    with pytest.raises(UnsupportedMedia, match="Column 'deep' is of Arrow type list"):
        score(flat_predictor, source, tmp_path / "out.csv", options=ScoreOptions(ignore_extra=True))
    score(
        flat_predictor,
        source,
        tmp_path / "out.csv",
        options=ScoreOptions(keep=("id", "day", "kind"), ignore_extra=True),
    )
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("1,a,2026-01-31,")


def test_an_index_that_pandas_kept_is_carried(tmp_path, predictor, frame):
    source, out = tmp_path / "in.parquet", tmp_path / "out.csv"
    names = [f"penguin {i}" for i in range(344)]
    frame.assign(id=names).set_index("id").to_parquet(source)
    score(predictor, source, out)
    assert column_of(out, "id") == names
    frame.iloc[::-1].to_parquet(source)
    score(predictor, source, out, options=ScoreOptions(force=True))
    assert list(pd.read_csv(out).columns) == [*frame.columns, *PREDICTED]


# -- rows that cannot be answered --------------------------------------------------------------------------------------

HEADER = ",".join(INPUTS)
GOOD = "Biscoe,male,45.0,15.0,210,4500,2008"
BAD_CSV = (
    f"{HEADER}\n{GOOD}\nBiscoe,male,much,15.0,210,4500,2008\nBiscoe,male\n,,,,,,\n{GOOD}\nBiscoe,unknown,1,2,3,-4,x\n"
)


def test_bad_rows_keep_their_place_and_are_told_of(tmp_path, predictor):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(BAD_CSV)
    scored = score(predictor, source, out, options=ScoreOptions(chunk_rows=2))
    assert (scored.rows, scored.good, scored.bad) == (6, 2, 4)
    assert column_of(out, "species") == ["Gentoo", "", "", "", "Gentoo", ""]
    assert column_of(out, "bill_length_mm") == ["45.0", "much", "", "", "45.0", "1"]
    assert scored.bad_path == tmp_path / "out.csv.bad.jsonl"
    told = [json.loads(line) for line in scored.bad_path.read_text().splitlines()]
    assert [(one["row"], one["line"], [problem["code"] for problem in one["problems"]]) for one in told] == [
        (1, 3, ["wrong_type"]),
        (2, 4, ["ragged_row"]),
        (3, 5, ["missing_value", "missing_value"]),
        (5, 7, ["not_allowed", "out_of_range", "wrong_type"]),
    ]
    assert told[0]["problems"][0]["message"] == "column 'bill_length_mm', row 1: expected a number, got 'much'"
    assert told[0]["values"]["bill_length_mm"] == "much"
    assert told[1]["values"] == ["Biscoe", "male"]
    assert scored.problems == {
        "wrong_type": 2,
        "ragged_row": 1,
        "missing_value": 2,
        "not_allowed": 1,
        "out_of_range": 1,
    }
    assert scored.first_problem is not None
    assert scored.first_problem.row == 1


@pytest.mark.parametrize("out", ["out.parquet", "out.arrow", "out.jsonl"])
def test_a_row_without_an_answer_has_nulls_in_every_kind_of_file(out, tmp_path, predictor):
    source, path = tmp_path / "in.csv", tmp_path / out
    source.write_text(BAD_CSV)
    score(predictor, source, path, options=ScoreOptions(chunk_rows=4))
    rows = read(path)
    assert [row["species"] for row in rows] == ["Gentoo", None, None, None, "Gentoo", None]
    assert rows[1]["probability_Gentoo"] is None
    assert rows[1]["bill_length_mm"] == ("much" if out == "out.jsonl" else None)


def test_bad_rows_of_parquet_and_json_are_told_with_their_values(tmp_path, predictor, frame):
    frame = frame[INPUTS].head(3).assign(sex=["male", "other", "female"], day=dt.date(2026, 1, 31))
    source = tmp_path / "in.parquet"
    frame.to_parquet(source)
    scored = score(predictor, source, tmp_path / "out.csv", options=ScoreOptions(ignore_extra=True))
    (told,) = [json.loads(line) for line in scored.bad_path.read_text().splitlines()]
    assert (told["row"], told["values"]["sex"], told["values"]["day"]) == (1, "other", "2026-01-31")
    assert "line" not in told


def test_json_lines_are_each_their_own(tmp_path, predictor):
    good = dict(zip(INPUTS, ["Biscoe", "male", 45.0, 15.0, 210, 4500, 2008], strict=True))
    partly = {key: value for key, value in good.items() if key != "sex"}
    lines = [
        json.dumps(good),
        json.dumps(partly),
        "",
        "{oops",
        json.dumps(good | {"flipper": 1}),
        json.dumps(good | {"year": "2008"}),
        json.dumps(good | {"species": "Gentoo"}),
        "[1]",
    ]
    source, out = tmp_path / "in.jsonl", tmp_path / "out.csv"
    source.write_text("\n".join(lines))
    scored = score(predictor, source, tmp_path / "out.jsonl")
    assert (scored.rows, scored.good) == (7, 3)
    rows = read(tmp_path / "out.jsonl")
    assert [row["predicted_species"] for row in rows] == ["Gentoo", "Gentoo", None, None, None, "Gentoo", None]
    assert rows[1].keys() == {*partly, *PREDICTED}
    told = [json.loads(line) for line in scored.bad_path.read_text().splitlines()]
    assert [(one["line"], one["problems"][0]["code"]) for one in told] == [
        (4, "unreadable_row"),
        (5, "unknown_column"),
        (6, "wrong_type"),
        (8, "unreadable_row"),
    ]
    assert told[1]["problems"][0]["column"] == "flipper"
    assert score(predictor, source, out).good == 3
    assert column_of(out, "predicted_species") == ["Gentoo", "Gentoo", "", "", "", "Gentoo", ""]


def test_a_json_column_that_comes_late_is_told_where_a_table_cannot_grow(tmp_path, predictor):
    good = dict(zip(INPUTS, ["Biscoe", "male", 45.0, 15.0, 210, 4500, 2008], strict=True))
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in [good, good, good | {"note": [1]}]))
    few = ScoreOptions(ignore_extra=True, chunk_rows=2)
    with pytest.raises(UsageError, match="Row 2 has a column 'note' that the first rows do not have"):
        score(predictor, source, tmp_path / "out.csv", options=few)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]
    score(predictor, source, tmp_path / "out.jsonl", options=few)
    assert read(tmp_path / "out.jsonl")[2]["note"] == [1]
    score(predictor, source, tmp_path / "out.csv", options=ScoreOptions(keep=("note",), chunk_rows=2))
    assert (tmp_path / "out.csv").read_text().splitlines()[3].startswith("[1],Gentoo,")


# -- columns -----------------------------------------------------------------------------------------------------------


def test_columns_that_the_model_does_not_have(tmp_path, predictor, frame):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    frame.assign(id=range(344), note="x").to_csv(source, index=False)
    with pytest.raises(InvalidRows, match=r"the model has no column 'id' \(and 1 more problem\)") as caught:
        score(predictor, source, out)
    assert "--ignore-extra" in caught.value.hint
    assert not out.exists()

    def heads(**options):
        score(predictor, source, out, options=ScoreOptions(force=True, **options))
        return cells_of(out)[0]

    assert heads(ignore_extra=True) == [*frame.columns, "id", "note", *PREDICTED]
    assert heads(keep=("note", "id")) == ["id", "note", *ANSWERS]
    assert heads(keep=(), ignore_extra=True) == ANSWERS
    with pytest.raises(InvalidRows, match="no column 'note'"):
        heads(keep=("id",))
    with pytest.raises(UsageError, match="no column 'ids' to keep") as wrong:
        heads(keep=("ids",))
    assert wrong.value.hint == "did you mean 'id'?"


def test_a_column_that_is_not_there(tmp_path, predictor, frame):
    source = tmp_path / "in.csv"
    frame.rename(columns={"island": "Island"}).to_csv(source, index=False)
    with pytest.raises(InvalidRows, match="no column 'Island'; did you mean 'island'"):
        score(predictor, source, tmp_path / "out.csv")
    frame.drop(columns="sex").to_csv(source, index=False)  # it may be missing, so it may be left out
    assert score(predictor, source, tmp_path / "out.csv").bad == 0


@pytest.mark.slow
def test_names_with_blanks_around_them_are_found_in_a_csv_and_are_not_guessed_elsewhere(tmp_path):
    frame = pd.DataFrame({" lead": np.arange(40) / 8, "tail ": np.arange(40.0)[::-1]})
    bundle = pack(Ridge().fit(frame, frame[" lead"]), frame.assign(y=frame[" lead"]), target="y", output=tmp_path)
    lead = load(bundle.path).predictor
    frame.to_csv(tmp_path / "in.csv", index=False)
    score(lead, tmp_path / "in.csv", tmp_path / "out.parquet")
    answers = pq.read_table(tmp_path / "out.parquet").to_pandas()
    assert list(answers.columns) == ["lead", "tail", "y"]
    assert answers["y"].to_numpy() == pytest.approx(load(bundle.path).predict(frame)["y"].to_numpy())
    frame.rename(columns=str.strip).to_parquet(tmp_path / "in.parquet")
    with pytest.raises(InvalidRows, match="no column 'lead'; did you mean ' lead'"):
        score(lead, tmp_path / "in.parquet", tmp_path / "out.csv")


@pytest.mark.parametrize("out", ["out.csv", "out.parquet", "out.arrow", "out.jsonl"])
@pytest.mark.parametrize("name", ["in.csv", "in.parquet", "in.arrow", "in.jsonl"])
def test_a_file_of_no_rows_has_its_columns(name, out, tmp_path, predictor, frame):
    source, path = tmp_path / name, tmp_path / out
    if name == "in.jsonl":
        source.write_text("\n\n ")
        with pytest.raises(MalformedBody, match=r"'in\.jsonl' is empty"):
            score(predictor, source, path)
        return
    WRITE[name](frame.head(0), source)
    assert score(predictor, source, path).rows == 0
    if out == "out.csv":
        assert path.read_text() == ",".join([*frame.columns, *PREDICTED]) + "\n"
    elif out != "out.jsonl":
        table = pq.read_table(path) if out == "out.parquet" else pa.ipc.open_file(path).read_all()
        assert (table.num_rows, table.column_names) == (0, [*frame.columns, *PREDICTED])


# -- what a spreadsheet would run --------------------------------------------------------------------------------------


def test_cells_that_a_spreadsheet_would_run_are_disarmed_and_numbers_are_not(tmp_path, flat_predictor):
    columns = [f"x{i}" for i in range(8)]
    notes = ["=1+1", "-1.5", "+49 30 1234", "@x", "plain", "-", 'a "b", c', "two\nlines", "car\rriage", "\t=1"]
    notes += ["＝1", "\n=1"]
    frame = pd.DataFrame(dict.fromkeys(columns, -0.5) | {"=note": notes})
    for name in ("in.csv", "in.jsonl", "in.parquet"):
        source, out = tmp_path / name, tmp_path / f"{name}.csv"
        if name == "in.csv":
            frame.to_csv(source, index=False, quoting=csv.QUOTE_ALL)
        else:
            WRITE[name](frame, source)
        score(flat_predictor, source, out, options=ScoreOptions(ignore_extra=True))
        rows = cells_of(out)
        assert rows[0] == [*columns, "'=note", "price"]
        assert [row[8] for row in rows[1:]] == [
            "'=1+1", "-1.5", "'+49 30 1234", "'@x", "plain", "'-", 'a "b", c', "two\nlines", "car\rriage", "'\t=1",
            "'＝1", "'\n=1",
        ]  # fmt: skip
        assert {row[0] for row in rows[1:]} == {"-0.5"}


def test_a_choice_that_a_spreadsheet_would_run_is_disarmed(tmp_path, predictor):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(f"{HEADER}\n=cmd(),male,45.0,15.0,210,4500,2008\n")
    score(predictor, source, out)
    assert out.read_text().splitlines()[1].startswith("'=cmd(),male,")


# -- CSV as it comes ---------------------------------------------------------------------------------------------------


def test_a_spreadsheets_own_csv_comes_back_as_it_was(tmp_path, flat_predictor):
    columns = [f"x{i}" for i in range(8)]
    frame = pd.DataFrame({name: [1.5] for name in columns} | {"Straße": ["Zürich"]})
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    frame.to_csv(source, index=False, sep=";", encoding="utf-8-sig", lineterminator="\r\n")
    score(flat_predictor, source, out, options=ScoreOptions(keep=("Straße",)))
    assert out.read_bytes().startswith("\ufeffStraße;price\nZürich;".encode())
    frame.to_csv(source, index=False, encoding="windows-1252")
    with pytest.raises(MalformedBody, match="not utf-8") as caught:
        score(flat_predictor, source, out, options=ScoreOptions(keep=("Straße",), force=True))
    assert caught.value.hint.endswith("--encoding windows-1252")
    score(flat_predictor, source, out, options=ScoreOptions(keep=("Straße",), force=True, charset="windows-1252"))
    assert out.read_bytes().startswith("Straße,price\nZürich,".encode())


# -- files that are there ----------------------------------------------------------------------------------------------


def test_no_file_is_overwritten_unasked(tmp_path, predictor):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(BAD_CSV)
    first = score(predictor, source, out)
    with pytest.raises(UsageError, match=r"out\.csv is there already"):
        score(predictor, source, out)
    out.unlink()
    with pytest.raises(UsageError, match=r"out\.csv\.bad\.jsonl is there already"):
        score(predictor, source, out)
    source.write_text(f"{HEADER}\n{GOOD}\n")
    again = score(predictor, source, out, options=ScoreOptions(force=True))
    assert again.bad_path is None
    assert not first.bad_path.exists(), "what an earlier run told is true no more"
    link = tmp_path / "link.csv"
    link.symlink_to(source)
    with pytest.raises(UsageError, match="overwrite the input"):
        score(predictor, source, link, options=ScoreOptions(force=True))
    with pytest.raises(UsageError, match="overwrite the input"):
        score(predictor, source, tmp_path / "new.csv", options=ScoreOptions(bad_path=source, force=True))
    with pytest.raises(UsageError, match="one file"):
        score(predictor, source, tmp_path / "new.csv", options=ScoreOptions(bad_path=tmp_path / "new.csv"))
    with pytest.raises(UsageError, match=r"which kind of file 'out\.xlsx' is to be"):
        score(predictor, source, tmp_path / "out.xlsx")


def test_a_file_that_breaks_off_leaves_nothing(tmp_path, predictor):
    source = tmp_path / "in.csv"
    source.write_bytes(BAD_CSV.encode() + f"{GOOD}\n".encode() * 50_000 + b"\xff\xfe\n")
    with pytest.raises(MalformedBody, match="not utf-8"):
        score(predictor, source, tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_parquet_out_without_pyarrow_says_what_to_install(tmp_path, predictor, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="Parquet"):
        score(predictor, penguins_path(), tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []


class Told:
    """What progress was told."""

    def __init__(self):
        self.steps = []

    def __call__(self, rows, total):
        self.steps.append((rows, total))


def test_progress_is_told_with_what_is_left(tmp_path, predictor, frame):
    for name in ("in.csv", "in.parquet", "in.jsonl", "in.csv.gz"):
        source = tmp_path / name
        WRITE[name](pd.concat([frame] * 20), source)
        told = Told()
        options = ScoreOptions(chunk_rows=1000)
        score(predictor, source, tmp_path / f"{name}.csv", options=options, on_progress=told)
        assert [rows for rows, _ in told.steps] == sorted(rows for rows, _ in told.steps)
        assert told.steps[-1] == (6880, 6880)


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_tells_what_came_of_it(tmp_path, penguins, capsys):
    out = tmp_path / "out.csv"
    assert main(["predict", str(penguins.path), str(penguins_path()), "-o", str(out)]) == 0
    told = capsys.readouterr().out
    assert "344 of 344 rows answered" in told
    assert "predicted_species" in told
    assert main(["predict", str(penguins.path), str(penguins_path()), "-o", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_bad_rows_and_the_exit_code(tmp_path, penguins, capsys):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(BAD_CSV)
    command = ["predict", str(penguins.path), str(source), "-o", str(out), "--force"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "4 rows without an answer" in told
    assert "the first: column 'bill_length_mm', row 1" in told
    assert "out.csv.bad.jsonl" in told
    assert main([*command, "--strict"]) == 1
    assert len(out.read_text().splitlines()) == 7
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["rows"], document["good"], document["bad"]) == (6, 2, 4)
    assert document["first_problem"]["row"] == 1
    source.write_text(f"{HEADER}\nBiscoe,male,much,15.0,210,4500,2008\n")
    assert main(command) == 1, "not one row could be answered"


def test_columns_of_another_table_are_told_with_the_way_out(tmp_path, penguins, capsys):
    source = tmp_path / "in.csv"
    source.write_text(f"{HEADER},id\n{GOOD},1\n")
    command = ["predict", str(penguins.path), str(source), "-o", str(tmp_path / "out.csv")]
    assert main(command) == 1
    told = capsys.readouterr().err
    assert "the model has no column 'id'" in told
    assert "--ignore-extra" in told
    assert main([*command, "--keep", "id"]) == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "id," + ",".join(ANSWERS)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--keep", "sex", "--answers-only"], "--keep carries columns along and --answers-only none"),
        (["--delimiter", "::"], "is not one character"),
        (["-o", "-", "--json"], "both print on standard output"),
    ],
)
def test_what_is_put_wrongly(more, words, tmp_path, penguins, capsys):
    out = ["-o", str(tmp_path / "out.csv")] if "-o" not in more else []
    assert main(["predict", str(penguins.path), str(penguins_path()), *out, *more]) == 2
    assert words in capsys.readouterr().err


def command(*arguments):
    return [sys.executable, "-m", "aweigh", "predict", *map(str, arguments)]


def test_standard_input_and_output(tmp_path, penguins):
    done = subprocess.run(
        command(penguins.path, "-", "-o", "-", "--format", "csv", "--answers-only"),
        input=BAD_CSV.encode(),
        capture_output=True,
        cwd=tmp_path,
        check=True,
        timeout=60,
    )
    lines = done.stdout.decode().splitlines()
    assert lines[0] == ",".join(ANSWERS)
    assert [line.split(",")[0] for line in lines[1:]] == ["Gentoo", "", "", "", "Gentoo", ""]
    assert b"2 of 6 rows answered" in done.stderr
    assert len((tmp_path / "stdin.bad.jsonl").read_text().splitlines()) == 4
    assert bad_path_for(Path("some/in.csv"), STDOUT) == Path("in.csv.bad.jsonl")


def test_scoring_a_csv_needs_none_of_the_heavy_packages(tmp_path, penguins):
    program = f"""
import sys
for name in ("pandas", "sklearn", "pyarrow", "scipy", "joblib"):
    sys.modules[name] = None
from aweigh.__main__ import main
sys.exit(main(["predict", {str(penguins.path)!r}, {str(penguins_path())!r}, "-o", {str(tmp_path / "out.csv")!r}]))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 345


def test_ctrl_c_leaves_nothing_half_written(tmp_path, penguins):
    process = subprocess.Popen(
        command(penguins.path, "-", "-o", tmp_path / "out.csv"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdin is not None
    process.stdin.write(BAD_CSV.encode() + f"{GOOD}\n".encode() * 20_000)
    process.stdin.flush()
    assert process.stdout is not None
    assert b"bundle" in process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert b"stopped: nothing was left half-written" in told
    assert list(tmp_path.iterdir()) == []


PEAK = """
import re, sys
from pathlib import Path
from aweigh.__main__ import main
code = main(sys.argv[1:])
print("peak", re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1], file=sys.stderr)
sys.exit(code)
"""


def peak_bytes(*arguments):
    """The most memory that the command took, as the kernel counts it for the program alone."""
    command = [sys.executable, "-c", PEAK, "predict", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return int(done.stderr.rpartition("peak ")[2]) * 1024


@pytest.mark.parametrize(
    ("suffix", "out"),
    [
        (".csv", ".csv"),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in ((".parquet", ".parquet"), (".csv", ".parquet"), (".parquet", ".csv"), (".jsonl", ".jsonl"))
        ),
    ],
)
def test_ten_times_the_rows_take_no_more_memory(suffix, out, tmp_path, flats):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(200_000, 8)).round(4), columns=[f"x{i}" for i in range(8)])
    took = []
    for rows in (20_000, 200_000):
        source = tmp_path / f"{rows}{suffix}"
        if suffix == ".parquet":
            frame.head(rows).to_parquet(source)
        elif suffix == ".csv":
            frame.head(rows).to_csv(source, index=False)
        else:
            frame.head(rows).to_json(source, orient="records", lines=True)
        took.append(peak_bytes(flats.path, source, "-o", tmp_path / f"{rows}{suffix}{out}", "--threads", 1))
    assert took[1] - took[0] < MOST_MEMORY_BYTES, [f"{one / 1e6:.0f} MB" for one in took]
