"""``/v1/predict`` of a real server: one answer, however it is asked for."""

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest
from tests.data_sets import ROW

from aweigh import load
from aweigh.cli.demo import CHOICES, NUMBERS
from aweigh.data import penguins_path
from aweigh.server.media import ARROW_FILE, ARROW_STREAM
from aweigh.table.arrow import read_arrow


@pytest.fixture(scope="module")
def frame():
    return pd.read_csv(penguins_path())[[*CHOICES, *NUMBERS]]


@pytest.fixture(scope="module")
def expected(penguins, frame):
    return load(penguins.path).predict(json.loads(frame.to_json(orient="records")))


def test_a_row_is_answered(api, penguins):
    with api.client() as client:
        reply = client.post("/v1/predict", json={"rows": [ROW]})
    document = reply.json()
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert document["model"] == {"name": "penguins", "version": penguins.digest[:12]}
    assert len(document["id"]) == 26
    assert document["predictions"][0]["label"] == "Gentoo"
    assert sum(document["predictions"][0]["probabilities"].values()) == pytest.approx(1)
    assert document["warnings"] == []


def test_ids_differ_and_sort_by_time(api):
    with api.client() as client:
        ids = [client.post("/v1/predict", json={"rows": [ROW]}).json()["id"] for _ in range(3)]
    assert len(set(ids)) == 3
    assert [one[:10] for one in ids] == sorted(one[:10] for one in ids)


def test_a_cell_outside_what_was_seen_is_warned_of_and_answered(api):
    with api.client() as client:
        document = client.post("/v1/predict", json={"rows": [ROW, ROW | {"body_mass_g": 50_000}]}).json()
    assert len(document["predictions"]) == 2
    assert [(one["row"], one["column"], one["code"]) for one in document["warnings"]] == [
        (1, "body_mass_g", "outside_reference_range")
    ]


@pytest.mark.parametrize("size", [1, 7, 344], ids=["alone", "a few", "all"])
@pytest.mark.parametrize("kind", ["json", "csv", "arrow stream", "arrow file"])
def test_a_row_gets_one_answer_in_any_company_and_format(api, frame, expected, kind, size):
    chosen = list(range(0, len(frame), 50)) if size == 1 else [0]
    with api.client() as client:
        for start in chosen:
            part = frame.iloc[start : start + size]
            media, body = {
                "json": lambda part: ("application/json", b'{"rows":' + part.to_json(orient="records").encode() + b"}"),
                "csv": lambda part: ("text/csv", part.to_csv(index=False).encode()),
                "arrow stream": lambda part: (ARROW_STREAM, arrow(part, file=False)),
                "arrow file": lambda part: (ARROW_FILE, arrow(part, file=True)),
            }[kind](part)
            reply = client.post("/v1/predict", content=body, headers={"Content-Type": media})
            assert reply.status_code == 200, reply.text
            assert reply.json()["predictions"] == expected[start : start + size]


def arrow(frame, *, file):
    import pyarrow as pa

    table = pa.Table.from_pandas(frame, preserve_index=False)
    out = io.BytesIO()
    with (pa.ipc.new_file if file else pa.ipc.new_stream)(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


@pytest.mark.parametrize(
    "missing",
    [
        lambda client, row: client.post("/v1/predict", json={"rows": [row | {"sex": None, "bill_depth_mm": None}]}),
        lambda client, row: client.post(
            "/v1/predict", json={"rows": [{k: v for k, v in row.items() if k not in {"sex", "bill_depth_mm"}}]}
        ),
        lambda client, row: client.post(
            "/v1/predict",
            content=pd.DataFrame([row | {"sex": None, "bill_depth_mm": None}]).to_csv(index=False),
            headers={"Content-Type": "text/csv"},
        ),
        lambda client, row: client.post(
            "/v1/predict",
            content=arrow(pd.DataFrame([row | {"sex": None, "bill_depth_mm": np.nan}]), file=False),
            headers={"Content-Type": ARROW_STREAM},
        ),
    ],
    ids=["null", "absent", "empty cell", "Arrow null"],
)
def test_every_kind_of_missing_is_the_same(api, penguins, missing):
    want = load(penguins.path).predict([ROW | {"sex": None, "bill_depth_mm": None}])
    with api.client() as client:
        assert missing(client, ROW).json()["predictions"] == want


def test_csv_comes_back_where_it_is_asked_for(api, expected, frame):
    with api.client() as client:
        body = b'{"rows":' + frame.to_json(orient="records").encode() + b"}"
        headers = {"Content-Type": "application/json", "Accept": "text/csv"}
        reply = client.post("/v1/predict", content=body, headers=headers)
    rows = list(csv.DictReader(io.StringIO(reply.text)))
    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.headers["x-aweigh-model"].startswith("penguins@")
    assert [row["species"] for row in rows] == [one["label"] for one in expected]
    assert float(rows[0]["probability_Adelie"]) == expected[0]["probabilities"]["Adelie"]


def test_arrow_comes_back_where_it_is_asked_for(api, expected, frame):
    with api.client() as client:
        reply = client.post(
            "/v1/predict",
            content=frame.to_csv(index=False),
            headers={"Content-Type": "text/csv", "Accept": f"{ARROW_STREAM};q=0.9, application/json;q=0.1"},
        )
    table = read_arrow(reply.content)
    assert reply.headers["content-type"] == ARROW_STREAM
    assert list(table.columns) == ["species", "probability_Adelie", "probability_Chinstrap", "probability_Gentoo"]
    assert table["species"].cells() == [one["label"] for one in expected]
    assert table["probability_Gentoo"].cells() == [one["probabilities"]["Gentoo"] for one in expected]


@pytest.mark.parametrize("accept", ["application/json", "text/csv", ARROW_STREAM])
def test_no_rows_get_no_predictions_in_any_format(api, accept):
    with api.client() as client:
        reply = client.post("/v1/predict", json={"rows": []}, headers={"Accept": accept})
    assert reply.status_code == 200
    if accept == "application/json":
        assert reply.json()["predictions"] == []
    elif accept == "text/csv":
        assert reply.text == "species,probability_Adelie,probability_Chinstrap,probability_Gentoo\n"
    else:
        assert read_arrow(reply.content).rows == 0


def test_many_rows_are_answered_in_order(api, expected, frame):
    times = 30
    body = pd.concat([frame] * times).to_csv(index=False)
    with api.client() as client:
        reply = client.post("/v1/predict", content=body, headers={"Content-Type": "text/csv"})
    assert reply.json()["predictions"] == expected * times


def test_a_number_is_a_value(flats_api, flats):
    row = {f"x{i}": i / 7 for i in range(8)}
    with flats_api.client() as client:
        found = client.post("/v1/predict", json={"rows": [row]}).json()["predictions"]
    assert found == load(flats.path).predict([row])
    assert list(found[0]) == ["value"]


def test_requests_at_once_are_answered_each_with_its_own(api, expected, frame):
    from concurrent.futures import ThreadPoolExecutor

    rows = json.loads(frame.to_json(orient="records"))

    def ask(i):
        with api.client() as client:
            return [client.post("/v1/predict", json={"rows": [rows[j]]}).json()["predictions"][0] for j in (i, i + 100)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(40)))
    assert found == [[expected[i], expected[i + 100]] for i in range(40)]
