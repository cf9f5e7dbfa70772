"""A slice of the soak: a quarter of a minute, two processes killed, every answer looked at."""

import json

import httpx
import pytest
from bench.soak import Wanted, run
from bench.soak_client import said

from aweigh.bundle.examples import load_examples
from aweigh.bundle.verify import verify
from aweigh.runtime.predictor import same_document

SLICE = Wanted(seconds=16, kill_every_s=6, share=0.5, connections=8, probe_s=2)
TYPE = {"content-type": "application/json"}


@pytest.fixture
def server(start_server, penguins):
    return start_server(penguins.path, "--workers", 2, "--no-ui", env={"AWEIGH_DRAIN_DELAY_S": "0"})


@pytest.fixture(scope="module")
def golden(penguins):
    """Return bodies of one golden row each, and what the original model said to it."""
    examples = load_examples(verify(penguins.path).read("examples.json"))
    bodies = [json.dumps({"rows": [row]}).encode() for row in examples.rows]
    return list(zip(bodies, examples.predictions, strict=True))


def test_no_answer_is_wrong_and_nothing_fails_but_what_was_under_way(server, golden):
    with server.client() as client:
        asked = [(body, said(client.post("/v1/predict", content=body, headers=TYPE).content)) for body, _ in golden]
    for (_, right), (_, original) in zip(asked, golden, strict=True):
        assert same_document(json.loads(right)[0], original, 1e-6)
    found = run(httpx.URL(server.url).port, server.process.pid, asked, SLICE, tell=print)
    assert found["answered"] > 100
    assert (found["wrong"], found["refused"], found["not_let_in"]) == (0, {}, 0)
    assert len(found["kills"]) == len(found["back_s"]) == 2
    # A request of each connection at the most, and all of them when a process was killed.
    assert found["broken"] == sum(found["broken_at_kills"])
    assert max(found["broken_at_kills"]) <= SLICE.connections
    assert all(mb > 10 for _, mb in [*found["memory"], *found["oldest_memory"]])


def test_a_wrong_answer_is_seen(server, golden):
    asked = [(golden[0][0], b'[{"label":"Gull"}]'), (b"{}", b"")]
    wanted = Wanted(seconds=1, kill_every_s=10, share=0.2, connections=2, probe_s=0.5)
    found = run(httpx.URL(server.url).port, server.process.pid, asked, wanted, tell=print)
    assert found["wrong"] > 0
    assert found["refused"].keys() == {"422"}
    assert found["wrong"] + found["refused"]["422"] == found["answered"]
