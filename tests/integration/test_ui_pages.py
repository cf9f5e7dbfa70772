"""The pages without a browser: Streamlit's own test runner draws them, a real server answers them."""

import contextlib
import gzip
import io
import json
import re
import socket
import subprocess
import sys
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from backports import zstd
from streamlit.testing.v1 import AppTest

from aweigh.data import penguins_path
from aweigh.ui import app as app_module
from aweigh.ui import predict_page
from aweigh.ui.api import Api, close_all
from aweigh.ui.fitting import fitted
from aweigh.ui.influence import influence
from aweigh.ui.results import csv_bytes, results_of
from aweigh.ui.row import example_row, start_row
from aweigh.ui.scoring import Scoring
from aweigh.ui.upload import read_upload
from aweigh.ui.words import figure
from aweigh.wire.coding import WORTH_BYTES

APP = Path(app_module.__file__)


@pytest.fixture(autouse=True)
def kept_connections():
    """Close what the pages would keep until the process ends."""
    yield
    close_all()


@pytest.fixture
def app(api, monkeypatch):
    return opened(api.url, monkeypatch)


@pytest.fixture
def client(api):
    with contextlib.closing(Api(api.url)) as found:
        yield found


def opened(url, monkeypatch, **query):
    monkeypatch.setenv("AWEIGH_API_URL", url)
    test = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        test.query_params[name] = value
    return test.run()


def htmls(test):
    return [one.proto.body for one in test.get("html")]


def shown(test):
    """Return the text of everything that the pages drew as HTML."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", " ".join(htmls(test)))).split())


def asked_row(test):
    """Return the row that the page says it asked for."""
    drawn = next(one for one in htmls(test) if "data-copy-text" in one)
    command = unescape(re.search(r'data-copy-text="([^"]+)"', drawn)[1])
    return json.loads(re.search(r"-d '(.*)'\n", command, re.DOTALL)[1])["rows"][0]


def answer(api, row):
    with api.client() as client:
        reply = client.post("/v1/predict", json={"rows": [row]})
    assert reply.status_code == 200, reply.text
    return reply.json()["predictions"][0]


def label_of(test):
    drawn = next(one for one in htmls(test) if "aw-answer" in one)
    return re.search(r"<strong>(.*?)</strong>", drawn)[1]


def test_the_first_sight_is_a_typical_row_already_answered(app, api, client):
    documents = client.documents()
    assert not app.exception
    assert asked_row(app) == start_row(documents.schema)
    assert label_of(app) == answer(api, asked_row(app))["label"]
    assert "Species" in shown(app)
    assert [one.label for one in app.button if (one.key or "").startswith("example-")] == [
        *documents.model.examples.titles[:3],
        "A typical row",
    ]


def test_an_example_fills_the_form_and_is_answered_as_the_original_did(app, api, client):
    documents = client.documents()
    for i in range(3):
        app.button(key=f"example-{i}").click().run()
        assert asked_row(app) == example_row(documents.schema, documents.model.examples.rows[i])
        assert label_of(app) == documents.model.examples.predictions[i]["label"]
    app.button(key="example-typical").click().run()
    assert asked_row(app) == start_row(documents.schema)


def test_what_is_typed_is_what_is_asked(app, api):
    app.number_input(key="in.bill_length_mm").set_value(33.25)
    app.segmented_control(key="in.island").set_value("Dream").run()
    row = asked_row(app)
    assert (row["bill_length_mm"], row["island"]) == (33.25, "Dream")
    assert label_of(app) == answer(api, row)["label"]


def test_unknown_is_null_and_what_was_there_comes_back(app, api):
    before = asked_row(app)["bill_length_mm"]
    app.checkbox(key="unknown.bill_length_mm").check().run()
    assert asked_row(app)["bill_length_mm"] is None
    assert app.number_input(key="in.bill_length_mm").value is None
    assert label_of(app) == answer(api, asked_row(app))["label"]
    app.checkbox(key="unknown.bill_length_mm").uncheck().run()
    assert asked_row(app)["bill_length_mm"] == before
    app.number_input(key="in.bill_length_mm").set_value(None).run()
    assert app.checkbox(key="unknown.bill_length_mm").value is True
    sex = app.segmented_control(key="in.sex")
    sex.set_value(sex.options[-1] if sex.options[-1] in {"female", "male"} else "\ufdd1").run()
    assert asked_row(app)["sex"] is None


def test_unseen_is_said_in_amber_and_answered_and_refused_is_said_in_red(app):
    app.number_input(key="in.bill_length_mm").set_value(75.0).run()
    assert any("aw-unusual" in one and "75 mm lies outside" in one for one in htmls(app))
    assert "Take it with care: Bill length lies outside what the model has seen." in shown(app)
    assert label_of(app) in {"Adelie", "Chinstrap", "Gentoo"}
    app.number_input(key="in.body_mass_g").set_value(-5).run()
    assert any("aw-refused" in one and "is below the least allowed, 0" in one for one in htmls(app))
    assert "The model cannot answer this yet" in shown(app)
    assert "Body mass: -5.0 is below the least allowed, 0. Change that input and the answer comes." in shown(app)
    app.number_input(key="in.body_mass_g").set_value(4000).run()
    assert label_of(app) in {"Adelie", "Chinstrap", "Gentoo"}


def test_a_link_opens_the_same_inputs_beyond_the_range_too(api, monkeypatch):
    test = opened(api.url, monkeypatch, bill_length_mm="75.5", sex="~", island="Atlantis", year="soon")
    row = asked_row(test)
    assert (row["bill_length_mm"], row["sex"], row["island"]) == (75.5, None, "Atlantis")
    assert "The link's value for Year could not be read" in shown(test)
    assert "'Atlantis' is a value that the model has not seen" in shown(test)
    assert test.segmented_control(key="in.island").value == "Atlantis"


def kept(test):
    """Return what the page tells the browser to keep for a session that knows nothing."""
    (drawn,) = [one for one in htmls(test) if "data-session" in one]
    return re.search(r'data-session="([0-9a-f]{8})" data-row="([^"]*)"', drawn).groups()


def test_the_row_and_its_session_are_kept_in_one_element_whether_it_is_answered_or_refused(app, api, monkeypatch):
    """In two elements the browser could draw one before the other, and the row of a new session hid the one typed."""
    session, first = kept(app)
    app.number_input(key="in.bill_length_mm").set_value(51.3).run()
    assert kept(app) == (session, first.replace("bill_length_mm=44.5", "bill_length_mm=51.3"))
    assert kept(opened(api.url, monkeypatch))[0] != session
    app.number_input(key="in.body_mass_g").set_value(-5).run()
    assert "The model cannot answer this yet" in shown(app)
    assert "body_mass_g=-5" in kept(app)[1]


def test_a_slow_model_waits_for_a_button_and_says_that_the_answer_is_old(app, monkeypatch):
    monkeypatch.setattr(predict_page, "CHEAP_S", 0.0)
    before = next(one for one in htmls(app) if "aw-answer" in one)
    app.number_input(key="in.bill_length_mm").set_value(58.0).run()
    stale = next(one for one in htmls(app) if "aw-answer" in one)
    assert "The inputs have changed since this answer." in stale
    assert re.search(r"<strong>.*?</strong>", stale)[0] == re.search(r"<strong>.*?</strong>", before)[0]
    app.button(key="ask").click().run()
    fresh = next(one for one in htmls(app) if "aw-answer" in one)
    assert "have changed" not in fresh
    assert "ask" not in [one.key for one in app.button]


def test_a_number_is_answered_with_its_place_among_the_samples(flats_api, monkeypatch):
    test = opened(flats_api.url, monkeypatch)
    assert not test.exception
    value = answer(flats_api, asked_row(test))["value"]
    assert label_of(test) == figure(value)
    assert "of the sample's answers" in shown(test)


def test_without_the_api_the_page_says_so_and_comes_back(api, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    test = opened(url, monkeypatch)
    assert not test.exception
    assert "No answer came" in shown(test)
    assert "The model cannot be reached. Your inputs are kept." in shown(test)
    monkeypatch.setenv("AWEIGH_API_URL", api.url)
    test.button(key="again").click().run()
    assert label_of(test) in {"Adelie", "Chinstrap", "Gentoo"}


def batch_script():
    from aweigh.ui import batch_page
    from aweigh.ui.api import api

    batch_page.show(api().documents())


def model_script():
    from aweigh.ui import model_page
    from aweigh.ui.api import api

    model_page.show(api().documents())


@pytest.fixture
def batch(api, monkeypatch):
    monkeypatch.setenv("AWEIGH_API_URL", api.url)
    return AppTest.from_function(batch_script, default_timeout=60).run()


BAD = b"island;bill_length_mm;bill_depth_mm;flipper_length_mm;body_mass_g;sex;year;id\n" + b"".join(
    b"Dream;%s;18.0;190;3700;female;2008;%d\n" % (length, i)
    for i, length in enumerate([b"39.1", b"abc", b"", b"75", b"40,1"])
)


def test_a_file_is_understood_answered_and_flagged(batch, api):
    assert "See what was understood" in shown(batch)
    batch.file_uploader(key="upload").set_value(("rows.csv", BAD, "text/csv")).run()
    assert not batch.exception
    assert "5 rows, 8 columns, CSV separated by semicolons" in shown(batch)
    assert "7 of 7 inputs found, 1 other column carried along" in shown(batch)
    assert "2 cells in 2 rows cannot be read." in shown(batch)
    assert "expected a number, got 'abc'" in shown(batch)
    batch.button(key="start").click().run()
    assert "3 answers , 1 row with something that the model has not seen, 2 rows not answered." in shown(batch)
    table = batch.dataframe[0].value
    assert table["species"].isna().tolist() == [False, True, False, False, True]
    row = {"island": "Dream", "bill_length_mm": 39.1, "bill_depth_mm": 18.0, "flipper_length_mm": 190}
    row |= {"body_mass_g": 3700, "sex": "female", "year": 2008}
    assert table["species"].iloc[0] == answer(api, row)["label"]
    assert table["species"].iloc[2] == answer(api, row | {"bill_length_mm": None})["label"]
    batch.segmented_control(key="which").set_value("flagged").run()
    assert batch.dataframe[0].value.index.tolist() == [2, 4, 5]


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (b"", "This file could not be read"),
        (b"island,year\n", "There are no rows"),
        (b"year\n2007\n", "The model needs more columns"),
        (b"island,year\n,2007\n", "No row can be answered"),
    ],
)
def test_a_file_that_cannot_be_answered_says_why(batch, body, title):
    batch.file_uploader(key="upload").set_value(("rows.csv", body, "text/csv")).run()
    assert not batch.exception
    assert title in shown(batch)
    assert "start" not in [one.key for one in batch.button]


def test_a_misspelt_column_is_taken_only_when_somebody_says_so(batch):
    body = BAD.replace(b"island;", b"isle;")
    batch.file_uploader(key="upload").set_value(("rows.csv", body, "text/csv")).run()
    assert "needed; did you mean isle?" in shown(batch)
    button = next(one for one in batch.button if "isle" in one.label)
    button.click().run()
    assert "read from isle" in shown(batch)
    batch.button(key="start").click().run()
    assert "3 answers" in shown(batch)


def test_the_template_is_answered_as_it_is(api, client):
    from aweigh.ui.batch_page import template

    documents = client.documents()
    fit = fitted(documents.domain, read_upload("template.csv", template(documents)), taken={})
    assert (fit.good, fit.total, fit.extra) == (2, 0, ())


def test_the_models_page_says_how_it_was_checked(api, monkeypatch, penguins):
    monkeypatch.setenv("AWEIGH_API_URL", api.url)
    test = AppTest.from_function(model_script, default_timeout=60).run()
    assert not test.exception
    proof = penguins.manifest.proof
    assert f"These answers were checked against the original model on {proof.rows:,} rows of its data" in shown(test)
    assert penguins.digest in shown(test)
    assert "32.1" in shown(test)
    assert "/v1/predict" in test.code[0].value


def test_a_stopped_scoring_keeps_what_it_has_and_goes_on(api, client):
    documents = client.documents()
    body = penguins_path().read_bytes() * 1 + b"".join(penguins_path().read_bytes().splitlines(keepends=True)[1:]) * 2
    fit = fitted(documents.domain, read_upload("penguins.csv", body), taken={})
    scoring = Scoring.of(documents.domain, fit)
    scoring.step(client)
    scoring.stop()
    scoring.step(client)  # the run that was stopped finishes the part that it had asked for
    assert not scoring.running
    assert 0 < scoring.done < len(scoring.order)
    assert "not answered: it was stopped before this row" in results_of(scoring).notes
    scoring.go_on()
    while scoring.running:
        scoring.step(client)
    assert scoring.finished
    assert scoring.done == 3 * 344
    with api.client() as http:
        asked = http.post(
            "/v1/predict",
            content=pd.read_csv(penguins_path()).drop(columns="species").to_csv(index=False),
            headers={"Content-Type": "text/csv"},
        )
    predictions = asked.json()["predictions"]
    table = pd.read_csv(io.BytesIO(csv_bytes(results_of(scoring))))
    assert table["predicted_species"].tolist() == 3 * [one["label"] for one in predictions]
    assert table["probability_Gentoo"].tolist() == 3 * [one["probabilities"]["Gentoo"] for one in predictions]


def test_a_scoring_that_loses_its_server_says_so_and_loses_nothing(api, client):
    documents = client.documents()
    fit = fitted(documents.domain, read_upload("rows.csv", BAD), taken={})
    scoring = Scoring.of(documents.domain, fit)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with contextlib.closing(Api(url)) as nobody:
        scoring.step(nobody)
    assert (scoring.running, scoring.done, scoring.error.code) == (False, 0, "remote")
    scoring.go_on()
    scoring.step(client)
    assert (scoring.finished, scoring.error) == (True, None)


def test_what_moves_the_answer_is_asked_of_the_model_itself(flats_api):
    with contextlib.closing(Api(flats_api.url)) as flats:
        moved = influence(flats, flats.documents())
    # The price is 0 x0 + 1 x1 + ... + 7 x7, and every x was drawn alike.
    assert max(moved, key=moved.get) in {"x6", "x7"}
    assert max(moved.values()) == 1.0
    assert moved["x0"] < moved["x2"] < moved["x5"] < moved["x7"]
    assert moved["x0"] < 0.1


# -- the page around, and scripts of one's own -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(start_server, penguins):
    return start_server(penguins.path)


def test_the_page_has_our_head_and_calls_no_other_host(served):
    with served.client() as client:
        page = client.get("/", headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert "<title>penguins</title>" in page.text
        assert ">Streamlit<" not in page.text
        assert "Streamlit app" not in page.text
        assert re.findall(r"https?://(?!www\.w3\.org)[^\"' ]+", page.text) == []
        assert re.search(r"<script(?![^>]*src=)", page.text) is None
        for asset in re.findall(r'(?:href|src)="\./(_aweigh/[^"]+)"', page.text):
            found = client.get(f"/{asset}")
            assert found.status_code == 200, asset
            assert "immutable" in found.headers["cache-control"]
        for other in ("/batch", "/model"):
            assert client.get(other).text == page.text


def test_what_the_page_loads_is_compressed_and_the_page_revalidated(served):
    with served.client() as client:
        page = client.get("/", headers={"Accept-Encoding": "gzip"})
        assert page.headers["content-encoding"] == "gzip"
        assert page.headers["cache-control"] == "private, no-cache"
        headers = {"Accept-Encoding": "gzip", "If-None-Match": page.headers["etag"]}
        assert client.get("/", headers=headers).status_code == 304
        scripts = re.findall(r'(?:href|src)="\./(static/(?:js|css)/[^"]+)"', page.text)
        assert len(scripts) > 2
        sent = whole = 0
        for one in scripts:
            plain = client.get(f"/{one}", headers={"Accept-Encoding": "identity"})
            assert "content-encoding" not in plain.headers
            if len(plain.content) < WORTH_BYTES:
                continue
            for coding, decode in (("gzip", gzip.decompress), ("zstd", zstd.decompress)):
                with client.stream("GET", f"/{one}", headers={"Accept-Encoding": coding}) as packed:
                    assert decode(b"".join(packed.iter_raw())) == plain.content
                assert "immutable" in packed.headers["cache-control"]
                media = "text/css" if one.endswith("css") else "text/javascript"
                assert packed.headers["content-type"].startswith(media)
            sent, whole = sent + int(packed.headers["content-length"]), whole + len(plain.content)
            head = client.head(f"/{one}", headers={"Accept-Encoding": "zstd"})
            assert head.headers["content-length"] == packed.headers["content-length"]
            part = client.get(f"/{one}", headers={"Accept-Encoding": "gzip", "Range": "bytes=0-9"})
            assert (part.status_code, part.content) == (206, plain.content[:10])
        assert sent < whole / 3
        assert client.get("/static/../index.html", headers={"Accept-Encoding": "gzip"}).status_code in {400, 404}


@pytest.mark.parametrize(
    "path", ["/nothing", "/batch/more", "/model/_stcore/health", "/_aweigh/x/none.css", "/predict/"]
)
def test_a_path_that_no_page_has_is_404(served, path):
    with served.client() as client:
        page = client.get(path, headers={"Accept": "text/html"})
        assert page.status_code == 404
        assert "There is no page here" in page.text or path.endswith("/")
        assert client.get(path, headers={"Accept": "application/json"}).status_code == 404


def test_streamlits_agent_interface_and_usage_statistics_are_off(served):
    with served.client() as client:
        assert client.post("/_stcore/agent/interact", json={}).status_code in {403, 404}


def test_eject_writes_a_script_that_gives_the_apps_answers(penguins, api, tmp_path, monkeypatch, client):
    folder = tmp_path / "own"
    command = [sys.executable, "-m", "aweigh", "eject", str(penguins.path), "-o", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"aweigh serve {penguins.path} --app {folder / 'app.py'}" in ran.stdout
    script = (folder / "app.py").read_text()
    assert len(script.splitlines()) < 100
    assert "aweigh.ui" not in script
    monkeypatch.setenv("AWEIGH_API_URL", api.url)
    test = AppTest.from_file(str(folder / "app.py"), default_timeout=60).run()
    assert not test.exception
    row = start_row(client.documents().schema)
    assert test.metric[0].value == answer(api, row)["label"]
    test.number_input(key="Bill length (mm)").set_value(None)
    test.segmented_control[0].set_value("Torgersen").run()
    row |= {"bill_length_mm": None, "island": "Torgersen"}
    assert test.metric[0].value == answer(api, row)["label"]


@pytest.mark.slow
def test_eject_writes_over_nothing_unless_told(penguins, tmp_path):
    (tmp_path / "app.py").write_text("mine\n")
    command = [sys.executable, "-m", "aweigh", "eject", str(penguins.path), "-o", str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert (tmp_path / "app.py").read_text() == "mine\n"
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]
    subprocess.run([*command, "--force"], capture_output=True, check=True)
    assert (tmp_path / "app.py").read_text() != "mine\n"
