"""One answer, however asked: `/v1` in every format, `/v2`, `aweigh predict` and Python, against the original model."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.partly import partly_slow

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "property"), str(HERE.parent / "models")]

from asking import (  # noqa: E402  the path must be set first
    ARROW_STREAM,
    as_arrow,
    as_csv,
    as_frame,
    as_json,
    as_original,
    as_tensors,
    close,
    fits_csv,
    said_by,
)
from suite import cases  # noqa: E402
from suite.case import fresh_table  # noqa: E402

import aweigh  # noqa: E402
from aweigh.models.parity import RELATIVE_TOLERANCE  # noqa: E402

ROWS = 150
MODELS = partly_slow(
    "RandomForestClassifier, columns",
    slow=["CatBoostClassifier, text", "TransformedTargetRegressor, scaler", "TfidfVectorizer"],
)


@pytest.fixture(scope="module", params=MODELS)
def asked(request, tmp_path_factory, start_server):
    """A served bundle, rows that nobody has seen, and what the original says of them."""
    folder = tmp_path_factory.mktemp("one-answer")
    case = next(case for case in cases() if case.name == request.param)
    model, sample = case.fitted(), case.frame()
    packed = aweigh.pack(model, sample, name="one", output=folder)
    served = aweigh.load(packed.path)
    table = fresh_table(case, served.schema)
    rows = [row for row in table.iter_rows() if fits_csv(served.schema, [row])]
    rows = [rows[place] for place in np.linspace(0, len(rows) - 1, ROWS).astype(int)]
    wanted = said_by(model, as_original(sample, rows), served.schema)
    server = start_server(packed.path, "--no-ui")
    return packed, served, server, rows, wanted


def agrees(got, wanted, served):
    tolerance = served.predictor.manifest.proof.absolute_tolerance
    return close(got, wanted, relative=RELATIVE_TOLERANCE, absolute=tolerance)


def scored(bundle, data, out):
    command = [sys.executable, "-m", "aweigh", "predict", bundle, data, "-o", out, "--answers-only"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_way_to_ask_gives_the_answer_of_the_original(asked, tmp_path):
    packed, served, server, rows, wanted = asked
    schema = served.schema
    python = served.predict(rows)
    assert agrees(python, wanted, served)

    with server.client() as client:

        def post(path, body, media):
            reply = client.post(path, content=body, headers={"Content-Type": media})
            assert reply.status_code == 200, reply.text
            return reply.json()

        assert post("/v1/predict", as_json(rows), "application/json")["predictions"] == python
        assert post("/v1/predict", as_csv(schema, rows), "text/csv")["predictions"] == python
        assert post("/v1/predict", as_arrow(schema, rows), ARROW_STREAM)["predictions"] == python
        for row, answer in list(zip(rows, python, strict=True))[:10]:
            alone = post("/v1/predict", as_json([row]), "application/json")["predictions"]
            assert close(alone, [answer], relative=1e-12, absolute=1e-12)
        tensors = post("/v2/models/one/infer", as_tensors(schema, rows), "application/json")
    outputs = {one["name"]: one for one in tensors["outputs"]}
    first = outputs.get("label") or tensors["outputs"][0]
    assert first["data"] == [next(iter(answer.values())) for answer in python]

    frame = served.predict(as_frame(schema, rows))
    assert frame.iloc[:, 0].tolist() == [next(iter(answer.values())) for answer in python]

    (tmp_path / "in.csv").write_bytes(as_csv(schema, rows))
    scored(packed.path, tmp_path / "in.csv", tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [next(iter(line.values())) for line in lines] == [next(iter(answer.values())) for answer in python]
    as_frame(schema, rows).to_parquet(tmp_path / "in.parquet")
    scored(packed.path, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").column(0).to_pylist() == frame.iloc[:, 0].tolist()
