"""Requests that wait for a slow model, and answers that are known, seen by clients of a real server in this process."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
from tests.partly import partly_slow

from aweigh.bundle.examples import Examples
from aweigh.bundle.manifest import FORMAT, Manifest, Proof
from aweigh.runtime.predictor import Predictor
from aweigh.schema import Answers, Column, Output, Schema
from aweigh.server.app import create_app
from aweigh.server.readiness import Readiness
from aweigh.server.serve import bind, make_server, url_of
from aweigh.server.settings import Settings

NUMBER = Column(name="x", type="number", dtype="float64")
TEXT = Column(name="said", type="text", dtype="object", nullable=True)
OUTPUT = Output(task="number", name="y")
GOLDEN = ({"value": 2.0}, {"value": 4.0})
PROOF = Proof(
    rows=1, probe_rows=0, single_rows=1, absolute_tolerance=0, relative_tolerance=0, largest_difference=0, attempts=()
)


class Model:
    """A model that doubles numbers, slowly; it fails on 13 and stands still at 99 until it may go on."""

    def __init__(self, *, call_s=0.01):
        self.call_s = call_s
        self.calls = []
        self.stands = threading.Event()
        self.may_go = threading.Event()

    def __call__(self, table):
        numbers = table["x"].data
        self.calls.append(numbers.tolist())
        if 99 in numbers:
            self.stands.set()
            assert self.may_go.wait(20)
        time.sleep(self.call_s)
        if 13 in numbers:
            msg = "thirteen, of /srv/secret"
            raise RuntimeError(msg)
        return Answers(OUTPUT, table.rows, values=2 * numbers.reshape(-1, 1))

    def asked(self, first):
        """Return the calls from the one on that began with this number."""
        return self.calls[[one[0] for one in self.calls].index(first) :]


class Odd(Model):
    """A model of two classes that gives the probabilities which its schema promises for small numbers at most."""

    OUTPUT = Output(task="class", name="y", classes=("odd", "even"), probabilities=True)

    def __init__(self, *, call_s, up_to):
        super().__init__(call_s=call_s)
        self.up_to = up_to

    def __call__(self, table):
        super().__call__(table)
        even = (table["x"].data % 2 == 0).astype(np.int64)
        sure = np.eye(2)[even] if table["x"].data.max() <= self.up_to else None
        return Answers(self.OUTPUT, table.rows, index=even, probabilities=sure)


@contextmanager
def served(model, *, columns=(NUMBER,), runtime="sklearn", output=OUTPUT, golden=GOLDEN, **settings):
    """Serve the model from a thread; the client of it, once it is ready."""
    manifest = Manifest(
        format=FORMAT,
        name="doubler",
        family="sklearn",
        model="a doubler",
        runtime=runtime,
        runtime_reason="it is one",
        model_file="model/model.py",
        python="3.11",
        made_with={},
        proof=PROOF,
        files={},
    )
    predictor = Predictor(
        manifest=manifest,
        digest="ab" * 32,
        schema=Schema(columns=columns, output=output),
        examples=Examples(rows=[{"x": 1.0}, {"x": 2.0}], predictions=list(golden), titles=["", ""]),
        profile_json=b"{}",
        card="# Doubler",
        answer=model,
    )
    asked = Settings(drain_s=5, **settings)
    with bind("127.0.0.1", 0) as sock:
        server = make_server(
            create_app(predictor, settings=asked), settings=asked, readiness=Readiness(), websockets=False
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            with httpx.Client(
                base_url=url_of(sock), trust_env=False, timeout=20, limits=httpx.Limits(max_connections=60)
            ) as client:
                until(lambda: server.started and client.get("/health/ready").status_code == 200)
                yield client
        finally:
            model.may_go.set()
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


def until(holds):
    """Wait until it holds."""
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def ask(client, *numbers):
    return client.post("/v1/predict", json={"rows": [{"x": one} for one in numbers]})


def values(reply):
    assert reply.status_code == 200, reply.text
    return [one["value"] for one in reply.json()["predictions"]]


def infer(client, *numbers):
    tensor = {"name": "x", "datatype": "FP64", "shape": [len(numbers)], "data": list(numbers)}
    return client.post("/v2/models/doubler/infer", json={"inputs": [tensor]})


def counter(client, name):
    found = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name + " ")]
    assert len(found) == 1, (name, found)
    return float(found[0].rpartition(" ")[2])


def test_rows_of_several_requests_are_asked_together_by_either_protocol():
    model = Model()
    with served(model, cache_bytes=0) as client, ThreadPoolExecutor(20) as pool:
        held = pool.submit(ask, client, 99)
        assert model.stands.wait(10)
        some = [pool.submit(ask, client, i + 0.5) for i in range(9)]
        others = [pool.submit(infer, client, i + 100.5, i + 100.5) for i in range(5)]
        until(lambda: counter(client, "aweigh_queue_rows") == 19)
        model.may_go.set()
        assert values(held.result()) == [198.0]
        assert [values(one.result()) for one in some] == [[2 * i + 1.0] for i in range(9)]
        assert [one.result().json()["outputs"][0]["data"] for one in others] == [[2 * i + 201.0] * 2 for i in range(5)]
        assert [len(one) for one in model.asked(99)] == [1, 19]
        assert counter(client, 'aweigh_batch_rows_bucket{le="32"}') == 2
        assert counter(client, "aweigh_batch_rows_sum") == 20
        assert counter(client, "aweigh_queue_rows") == 0
        assert client.get("/health/live").status_code == 200


def test_a_quick_model_is_asked_on_the_loop_and_waits_for_nobody():
    model = Model(call_s=0)
    with served(model) as client:
        assert values(ask(client, 3)) == [6.0]
        assert counter(client, "aweigh_batch_rows_count") == 0
        assert counter(client, "aweigh_cache_misses_total") == 0


def test_a_model_of_a_millisecond_is_asked_together_on_the_loop():
    model = Model(call_s=0.001)
    with served(model, cache_bytes=0) as client, ThreadPoolExecutor(20) as pool:
        got = list(pool.map(lambda i: values(ask(client, i + 0.5)), range(60)))
        assert got == [[2 * i + 1.0] for i in range(60)]
        assert counter(client, "aweigh_batch_rows_sum") == 60
        assert counter(client, "aweigh_batch_rows_count") < 60


def test_a_full_queue_answers_at_once_and_says_when_to_come_again():
    model = Model()
    with served(model, queue_rows=3, cache_bytes=0) as client, ThreadPoolExecutor(20) as pool:
        held = pool.submit(ask, client, 99)
        assert model.stands.wait(10)
        waiting = [pool.submit(ask, client, i) for i in (1, 2, 3)]
        until(lambda: counter(client, "aweigh_queue_rows") == 3)
        for reply in (ask(client, 4), ask(client, 4, 5)):
            assert reply.status_code == 503
            assert 1 <= int(reply.headers["retry-after"]) <= 60
            assert reply.json()["code"] == "busy"
        assert client.post("/v1/predict", content=b"not read", headers={"Content-Type": "application/json"}).is_error
        reply = infer(client, 4)
        assert (reply.status_code, int(reply.headers["retry-after"])) == (503, 1)
        assert "More rows wait" in reply.json()["error"]
        assert client.get("/health/ready").status_code == 200
        assert counter(client, "aweigh_queue_refused_total") == 4
        assert not any(one.done() for one in (held, *waiting))
        model.may_go.set()
        assert [values(one.result()) for one in waiting] == [[2.0], [4.0], [6.0]]
        assert values(ask(client, 4)) == [8.0]
    assert [4.0] not in model.asked(99)[:2]


def test_a_client_that_has_gone_frees_its_place():
    model = Model()
    with served(model, queue_rows=2, cache_bytes=0) as client, ThreadPoolExecutor(20) as pool:
        held = pool.submit(ask, client, 99)
        assert model.stands.wait(10)
        impatient = httpx.Client(base_url=client.base_url, trust_env=False, timeout=0.3)
        with impatient, pytest.raises(httpx.ReadTimeout):
            ask(impatient, 7)
        stays = pool.submit(ask, client, 8)
        until(lambda: counter(client, "aweigh_queue_rows") == 1)
        comes = pool.submit(ask, client, 9)
        until(lambda: counter(client, "aweigh_queue_rows") == 2)
        model.may_go.set()
        assert [values(one.result()) for one in (held, stays, comes)] == [[198.0], [16.0], [18.0]]
    assert not any(7 in one for one in model.calls)


@pytest.mark.parametrize("cache_bytes", [0, 10**6], ids=["no cache", "cache"])
def test_a_bad_row_fails_alone_and_by_its_own_number(cache_bytes, caplog):
    model = Model()
    with served(model, cache_bytes=cache_bytes) as client, ThreadPoolExecutor(20) as pool:
        assert values(ask(client, 50)) == [100.0]
        held = pool.submit(ask, client, 99)
        assert model.stands.wait(10)
        good = [pool.submit(ask, client, i + 0.5) for i in range(6)]
        bad = pool.submit(ask, client, 50, 1, 13)
        until(lambda: counter(client, "aweigh_queue_rows") in {8, 9})
        model.may_go.set()
        assert values(held.result()) == [198.0]
        assert [values(one.result()) for one in good] == [[2 * i + 1.0] for i in range(6)]
        reply = bad.result()
        assert (reply.status_code, reply.json()["code"]) == (422, "no_answer")
        assert [one["row"] for one in reply.json()["problems"]] == [2]
        assert "secret" not in reply.text
    assert "RuntimeError" in caplog.text


def test_many_rows_go_alone_and_hold_up_nobody():
    model = Model()
    with served(model, cache_bytes=0) as client, ThreadPoolExecutor(20) as pool:
        held = pool.submit(ask, client, *([99.0] * 5_000))
        assert model.stands.wait(10)
        assert values(ask(client, 3)) == [6.0]
        model.may_go.set()
        assert values(held.result()) == [198.0] * 5_000
        assert ask(client).json()["predictions"] == []


def test_a_known_row_is_not_asked_again_by_either_protocol():
    model = Model()
    with served(model) as client:
        assert values(ask(client, 3, 4)) == [6.0, 8.0]
        asked = len(model.calls)
        assert values(ask(client, 4, 3, 4)) == [8.0, 6.0, 8.0]
        assert infer(client, 3, 4).json()["outputs"][0]["data"] == [6.0, 8.0]
        reply = client.post("/v1/predict", content="x\n3.0\n", headers={"Content-Type": "text/csv"})
        assert values(reply) == [6.0]
        assert len(model.calls) == asked
        assert "cache;desc=hit" in ask(client, 3).headers["server-timing"]
        some = ask(client, 3, 5)
        assert values(some) == [6.0, 10.0]
        assert re.search(r'queue;dur=[\d.]+, model;dur=\d\d\.\d+, cache;desc="1 of 2"', some.headers["server-timing"])
        assert model.calls[asked:] == [[5.0]]
        assert counter(client, 'aweigh_cache_hits_total{store="process"}') == 8
        assert counter(client, "aweigh_cache_misses_total") == 3
        assert counter(client, "aweigh_cache_hit_ratio") == pytest.approx(8 / 11, rel=1e-4)
        assert counter(client, "aweigh_cache_entries") == 3
        assert counter(client, "aweigh_cache_bytes") > 0


def test_a_full_queue_still_answers_what_is_known():
    model = Model()
    with served(model, queue_rows=1) as client, ThreadPoolExecutor(20) as pool:
        assert values(ask(client, 3)) == [6.0]
        held = pool.submit(ask, client, 99)
        assert model.stands.wait(10)
        waits = pool.submit(ask, client, 5)
        until(lambda: counter(client, "aweigh_queue_rows") == 1)
        assert ask(client, 6).status_code == 503
        assert values(ask(client, 3)) == [6.0]
        model.may_go.set()
        assert [values(one.result()) for one in (held, waits)] == [[198.0], [10.0]]


@pytest.mark.parametrize(("cache_bytes", "hits"), [(None, 0), (10**6, 1)], ids=["by default", "asked for"])
def test_free_text_is_not_kept_unless_asked_for(cache_bytes, hits):
    with served(Model(), columns=(NUMBER, TEXT), cache_bytes=cache_bytes) as client:
        for _ in range(2):
            reply = client.post("/v1/predict", json={"rows": [{"x": 1, "said": "hello"}]})
            assert values(reply) == [2.0]
        assert counter(client, 'aweigh_cache_hits_total{store="process"}') == hits


@pytest.mark.parametrize(("cache_bytes", "hits"), [(None, 0), (10**6, 1)], ids=["by default", "asked for"])
def test_the_answers_of_an_owners_function_are_not_kept_unless_asked_for(cache_bytes, hits):
    with served(Model(), runtime="python", cache_bytes=cache_bytes) as client:
        assert [values(ask(client, 1)) for _ in range(2)] == [[2.0]] * 2
        assert counter(client, 'aweigh_cache_hits_total{store="process"}') == hits


@pytest.mark.parametrize("call_s", partly_slow(0.0, slow=[0.01]), ids=["quick", "slow"])
@pytest.mark.parametrize("cache_bytes", [None, 10**6], ids=["by default", "asked for"])
@pytest.mark.parametrize("up_to", [0, 5], ids=["never", "not always"])
def test_answers_that_are_not_what_the_schema_says_are_given_and_not_kept(up_to, cache_bytes, call_s):
    model = Odd(call_s=call_s, up_to=up_to)
    golden = [{"label": "odd"}, {"label": "even"}]
    if up_to:
        sure = [{"odd": 1.0, "even": 0.0}, {"odd": 0.0, "even": 1.0}]
        golden = [one | {"probabilities": two} for one, two in zip(golden, sure, strict=True)]
    with served(model, output=Odd.OUTPUT, golden=golden, cache_bytes=cache_bytes) as client:
        for numbers in ((1, 2), (7, 8), (7, 8), (1, 8)):
            found = [one["label"] for one in ask(client, *numbers).json()["predictions"]]
            assert found == ["odd" if one % 2 else "even" for one in numbers]
        assert len([one for one in model.calls if 8 in one]) >= 3


@pytest.mark.parametrize(("count", "said"), [(1, True), (3000, False)])
def test_answers_are_not_kept_where_looking_for_one_takes_as_long_as_the_model(count, said):
    wide = tuple(Column(name=f"c{i}", type="number", dtype="float64", nullable=True) for i in range(count))
    with served(Model(call_s=0.001), columns=(NUMBER, *wide)) as client:
        assert ("cache;desc" in ask(client, 3).headers["server-timing"]) is said


def test_a_cached_row_is_still_warned_of():
    column = Column(name="x", type="number", dtype="float64", minimum=0, maximum=10)
    with served(Model(), columns=(column,)) as client:
        first, second = (ask(client, 50).json() for _ in range(2))
        assert counter(client, 'aweigh_cache_hits_total{store="process"}') == 1
    assert first["warnings"] == second["warnings"] != []
    assert first["id"] != second["id"]


def test_bodies_that_wait_for_a_thread_are_bounded():
    model = Model(call_s=0)
    rows = [99.0] * 3_000
    size = len(httpx.Request("POST", "http://x", json={"rows": [{"x": one} for one in rows]}).read())
    with served(model, max_body_bytes=size) as client, ThreadPoolExecutor(20) as pool:
        held = [pool.submit(ask, client, *rows) for _ in range(12)]
        until(lambda: sum(one.done() for one in held) == 4)
        refused = [one.result() for one in held if one.done()]
        assert [(one.status_code, one.headers["retry-after"]) for one in refused] == [(503, "1")] * 4
        model.may_go.set()
        assert sorted(one.result().status_code for one in held) == [200] * 8 + [503] * 4
        assert np.isclose(counter(client, "aweigh_queue_refused_total"), 4)
