"""What lies outside what the model has seen gets one verdict, whichever way a row comes: flagged, refused or let be."""

import contextlib
import io
import json
import subprocess
import sys
import time

import pandas as pd
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest
from tests.partly import partly_slow

from aweigh import load
from aweigh.cli.demo import CHOICES, NUMBERS
from aweigh.data import penguins_path
from aweigh.errors import InvalidRows
from aweigh.server.media import ARROW_STREAM
from aweigh.ui import host
from aweigh.ui.api import Api, close_all
from aweigh.ui.fitting import fitted
from aweigh.ui.scoring import Scoring
from aweigh.ui.upload import read_upload

STRANGE = {"island": "Torgersen", "bill_depth_mm": 20.5, "flipper_length_mm": 230, "body_mass_g": 3000}
REJECT = {"AWEIGH_DOMAIN": "reject"}


@pytest.fixture(scope="module")
def frame():
    """Forty penguins, of which every tenth is not one: out of range, of nowhere, or put together by mistake."""
    found = pd.read_csv(penguins_path())[[*CHOICES, *NUMBERS]].dropna().iloc[::8].head(40).reset_index(drop=True)
    found.loc[5, "body_mass_g"] = 50_000
    found.loc[15, "island"] = "Atlantis"
    for row in (25, 35):
        for name, value in STRANGE.items():
            found.loc[row, name] = value
    return found


@pytest.fixture(scope="module")
def rows(frame):
    return json.loads(frame.to_json(orient="records"))


@pytest.fixture(scope="module")
def expected(penguins, rows):
    """The row, column and code of all that is outside, as each row alone gives it in a notebook."""
    model = load(penguins.path)
    find = model.predictor.domain.compile("flag", limit=None)
    from aweigh.schema.check import check_rows

    alone = [(i, one.column, one.code) for i, row in enumerate(rows) for one in find(check_rows(model.schema, [row]))]
    found = {row: code for row, _, code in alone}
    assert found.keys() >= {5, 15, 25, 35}
    assert found[25] == found[35] == "unlikely_combination"
    return alone


def bodies(frame, rows):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return {
        "application/json": json.dumps({"rows": rows}).encode(),
        "text/csv": frame.to_csv(index=False).encode(),
        ARROW_STREAM: out.getvalue(),
    }


@pytest.fixture(scope="module")
def strict(start_server, penguins):
    return start_server(penguins.path, "--no-ui", env=REJECT)


def told(problems):
    return [(one["row"], one["column"], one["code"]) for one in problems]


@pytest.mark.parametrize("media", ["application/json", "text/csv", ARROW_STREAM])
def test_the_api_flags_and_refuses_the_same_rows_in_every_form(api, strict, frame, rows, expected, media):
    body = bodies(frame, rows)[media]
    with api.client() as client:
        flagged = client.post("/v1/predict", content=body, headers={"Content-Type": media})
    assert told(flagged.json()["warnings"]) == expected
    assert len(flagged.json()["predictions"]) == 40
    with strict.client() as client:
        refused = client.post("/v1/predict", content=body, headers={"Content-Type": media})
    assert (refused.status_code, refused.json()["code"]) == (422, "outside_domain")
    assert told(refused.json()["problems"]) == expected


def test_a_row_alone_is_refused_as_it_is_among_others(strict, rows, expected):
    outside = {row for row, _, _ in expected}
    with strict.client() as client:
        for i, row in enumerate(rows):
            reply = client.post("/v1/predict", json={"rows": [row]})
            assert reply.status_code == (422 if i in outside else 200), (i, reply.text)
            tensors = {
                "inputs": [
                    {"name": name, "shape": [1], "data": [cell],
                     "datatype": "BYTES" if isinstance(cell, str) else "INT64" if isinstance(cell, int) else "FP64"}
                    for name, cell in row.items()
                ]
            }  # fmt: skip
            also = client.post("/v2/models/penguins/infer", json=tensors)
            assert also.status_code == (400 if i in outside else 200), (i, also.text)


def predict(bundle, source, out, *more):
    command = [sys.executable, "-m", "aweigh", "predict", bundle, source, "-o", out, "--json", "--force", *more]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("name", partly_slow("in.csv", slow=["in.jsonl", "in.parquet"]))
def test_the_command_counts_the_flagged_and_leaves_the_refused_without_an_answer(
    tmp_path, penguins, frame, expected, name
):
    source, out = tmp_path / name, tmp_path / "out.jsonl"
    if name.endswith("csv"):
        frame.to_csv(source, index=False)
    elif name.endswith("parquet"):
        frame.to_parquet(source, index=False)
    else:
        frame.to_json(source, orient="records", lines=True)
    outside = {row for row, _, _ in expected}
    code, document = predict(penguins.path, source, out)
    assert (code, document["bad"], document["flagged"]) == (0, 0, len(outside))
    assert sum(document["flags"].values()) == len(expected)
    code, document = predict(penguins.path, source, out, "--domain", "reject")
    assert (code, document["bad"], document["flagged"]) == (0, len(outside), 0)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl.bad.jsonl").read_text().splitlines()]
    assert [(one["row"], p["column"], p["code"]) for one in lines for p in one["problems"]] == expected
    assert [one["values"]["island"] for one in lines] == [frame["island"][row] for row in sorted(outside)]
    answers = [json.loads(line)["species"] for line in out.read_text().splitlines()]
    assert {row for row, answer in enumerate(answers) if answer is None} == outside


def test_a_job_leaves_the_refused_without_an_answer(start_server, penguins, frame, expected):
    server = start_server(penguins.path, "--no-ui", env=REJECT)
    with server.client() as client:
        job = client.post(
            "/v1/jobs", content=frame.to_csv(index=False).encode(), headers={"Content-Type": "text/csv"}
        ).json()
        end = time.monotonic() + 60
        while (found := client.get(job["links"]["self"]).json())["state"] in {"queued", "running"}:
            assert time.monotonic() < end, found
            time.sleep(0.1)
        assert found["state"] == "done", found
        assert found["rows"]["bad"] == len({row for row, _, _ in expected})
        lines = [json.loads(line) for line in client.get(found["links"]["bad"]).text.splitlines()]
    assert [(one["row"], p["column"], p["code"]) for one in lines for p in one["problems"]] == expected


def test_a_notebook_refuses_where_it_is_told_to(penguins, frame, rows, expected, monkeypatch):
    assert len(load(penguins.path).predict(rows)) == 40
    monkeypatch.setenv("AWEIGH_DOMAIN", "reject")
    model = load(penguins.path)
    for given in (rows, frame):
        with pytest.raises(InvalidRows) as caught:
            model.predict(given)
        assert [(one.row, one.column, one.code) for one in caught.value.problems] == expected


def test_the_pages_know_the_policy_of_their_server(strict, api, frame, expected):
    outside = {row for row, _, _ in expected}
    for server, refused in ((api, False), (strict, True)):
        with contextlib.closing(Api(server.url)) as client:
            documents = client.documents()
            fit = fitted(documents.domain, read_upload("rows.csv", frame.to_csv(index=False).encode()), taken={})
            scoring = Scoring.of(documents.domain, fit)
            while scoring.running:
                scoring.step(client)
            assert scoring.finished
            assert not scoring.refused
            assert set(fit.reasons if refused else scoring.warned) == outside
            assert fit.good == (40 - len(outside) if refused else 40)


def shown(test):
    return " ".join(one.proto.body for one in test.get("html"))


def test_the_page_shows_a_strange_row_with_care_or_refuses_it(api, strict, monkeypatch):
    import aweigh.ui.app as script

    for server, refused in ((api, False), (strict, True)):
        monkeypatch.setenv(host.API_URL_VARIABLE, server.url)
        test = AppTest.from_file(script.__file__, default_timeout=60)
        for name, value in STRANGE.items():
            test.query_params[name] = str(value)
        test.run()
        assert not test.exception
        assert ("The model cannot answer this yet" in shown(test)) is refused
        assert ("aw-refused" in shown(test)) is refused
        assert ("Take it with care" in shown(test)) is not refused
        assert "is a combination that the model has hardly seen" in shown(test)
        close_all()
