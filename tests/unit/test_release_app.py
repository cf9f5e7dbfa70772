"""Two models in one app, in this process: a candidate that errs, stands still, disagrees, and one that does not."""

import asyncio
import dataclasses
import threading
import time
from contextlib import contextmanager

import httpx
import msgspec
import numpy as np
import pytest
from tests.unit.test_server_app import SCHEMA, doubled, predictor_of, serving, wait_until_ready

from aweigh.errors import StorageDown, UsageError
from aweigh.guard.deploy_key import new_key
from aweigh.guard.guard import open_guard
from aweigh.guard.identity import Role
from aweigh.runtime.release.policy import Limits
from aweigh.runtime.release.state import State
from aweigh.runtime.release.tally import Tally
from aweigh.schema import Answers, Column, Output, Schema
from aweigh.secret import Secret
from aweigh.server.access.asked import Place
from aweigh.server.access.door import Door
from aweigh.server.access.entrance import Entrance
from aweigh.server.access.known import Known
from aweigh.server.app import create_app
from aweigh.server.release.opening import Candidate
from aweigh.server.release.shadow import MOST_BYTES, MOST_WAITING, Answered, Shadow
from aweigh.server.release.store import MemoryStore, SqlStore, open_store
from aweigh.server.release.trial import Terms, Trial
from aweigh.server.settings import Settings

OURS, THEIRS = "ab" * 6, "cd" * 6


def other(answer, **more):
    return dataclasses.replace(predictor_of(answer, **more), digest="cd" * 32)


def near(table):
    """Say almost the same as the current model."""
    return Answers(SCHEMA.output, table.rows, values=table["x"].data.reshape(-1, 1) * 2.000001)


def exactly(table):
    return doubled(table)


def failing(table):
    """Answer the golden row, and fail on large numbers."""
    if (table["x"].data > 10).any():
        msg = "/srv/secret"
        raise RuntimeError(msg)
    return doubled(table)


@contextmanager
def tried(answer=exactly, *, current=doubled, store=None, said=2.0, **settings):
    """Serve the current model with a candidate beside it; the client, and the store."""
    store = store or MemoryStore()
    told = Settings(**({"release_mode": "canary", "release_percent": 50.0} | settings))
    app = create_app(predictor_of(current), settings=told, candidate=Candidate(other(answer, said=said), store))
    with serving(app) as client:
        wait_until_ready(client)
        yield client


def ask(client, *numbers, **headers):
    return client.post("/v1/predict", json={"rows": [{"x": x} for x in numbers]}, headers=headers)


def versions(client, count, *, first=0.0):
    found = []
    for i in range(count):
        reply = ask(client, first + i / 1000)
        assert reply.status_code == 200
        found.append(reply.json()["model"]["version"])
    return found


def status(client):
    return client.get("/v1/release").json()


def change(client, **asked):
    return client.post("/v1/release", json=asked)


def wait_for(client, true, *, seconds=10):
    end = time.monotonic() + seconds
    while not true(found := status(client)):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


# -- canary ----------------------------------------------------------------------------------------------------------


def test_half_of_the_rows_are_answered_by_each_and_the_same_row_by_the_same():
    with tried() as client:
        got = versions(client, 400)
        assert 150 < got.count(THEIRS) < 250
        assert versions(client, 400) == got
        found = status(client)
        assert (found["current"]["requests"], found["candidate"]["requests"]) == (
            2 * got.count(OURS),
            2 * got.count(THEIRS),
        )
        assert found["state"]["by"] == "the start of the server"


def test_who_says_on_whose_behalf_gets_one_model_for_them():
    with tried() as client:
        got = {
            who: {ask(client, i, **{"X-Aweigh-Sticky": who}).json()["model"]["version"] for i in range(10)}
            for who in map(str, range(40))
        }
        assert all(len(one) == 1 for one in got.values())
        assert {next(iter(one)) for one in got.values()} == {OURS, THEIRS}


def test_every_way_in_is_split_alike_and_says_who_answered():
    """JSON by the lane and by the ordinary way, CSV, Arrow, and the protocol of others."""
    with tried() as client:
        for who in map(str, range(20)):
            head = {"X-Aweigh-Sticky": who}
            version = ask(client, 1.0, **head).json()["model"]["version"]
            assert ask(client, *[1.0] * 5000, **head).json()["model"]["version"] == version
            csv = {"Content-Type": "text/csv", "Accept": "text/csv"}
            got = client.post("/v1/predict", content=b"x\n1.0\n", headers=head | csv)
            assert got.headers["x-aweigh-model"] == f"doubler@{version}"
            inputs = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
            got = client.post("/v2/models/doubler/infer", json=inputs, headers=head).json()
            assert got["model_version"] == version


def test_a_model_may_be_asked_for_by_name():
    with tried(release_percent=0.0) as client:
        assert set(versions(client, 50)) == {OURS}
        head = {"X-Aweigh-Release": "candidate"}
        assert ask(client, 1, **head).json()["model"]["version"] == THEIRS
        assert ask(client, 1, **{"X-Aweigh-Release": "current"}).json()["model"]["version"] == OURS
        assert ask(client, 1, **{"X-Aweigh-Release": "x"}).status_code == 404
        inputs = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
        for version in (OURS, THEIRS):
            got = client.post(f"/v2/models/doubler/versions/{version}/infer", json=inputs)
            assert got.json()["model_version"] == version
        assert client.post("/v2/models/doubler/versions/ffffffffffff/infer", json=inputs).status_code == 404
        assert status(client)["candidate"]["requests"] == 0, "who chooses is in no sample"


def test_what_the_candidate_fails_on_is_answered_by_the_current_model():
    with tried(failing, release_percent=100.0, release_auto="off") as client:
        assert versions(client, 20) == [THEIRS] * 20
        for i in range(10):
            reply = ask(client, 50 + i)
            assert (reply.status_code, reply.json()["model"]["version"]) == (200, OURS)
            assert reply.json()["predictions"] == [{"value": 2.0 * (50 + i)}]
        found = status(client)["candidate"]
        assert (found["requests"], found["errors"]) == (30, 10)


def test_what_no_model_takes_is_the_clients_own_and_counts_nothing():
    with tried(release_percent=100.0) as client:
        for body in ({"rows": [{"x": "text"}]}, {"rows": [{"y": 1}]}, {"rows": 1}):
            assert client.post("/v1/predict", json=body).status_code in {400, 422}
        assert status(client)["candidate"]["requests"] == 0


def test_what_a_stricter_candidate_refuses_counts_against_it():
    strict = Schema(columns=(Column(name="x", type="number", dtype="float64", upper_limit=10.0),), output=SCHEMA.output)
    candidate = dataclasses.replace(other(doubled), schema=strict)
    settings = Settings(release_mode="canary", release_percent=100.0, release_auto="off")
    app = create_app(predictor_of(doubled), settings=settings, candidate=Candidate(candidate, MemoryStore()))
    with serving(app) as client:
        wait_until_ready(client)
        assert ask(client, 5).json()["model"]["version"] == THEIRS
        reply = ask(client, 50)
        assert (reply.status_code, reply.json()["model"]["version"]) == (200, OURS)
        assert status(client)["candidate"]["errors"] == 1


def test_a_candidate_that_errs_is_given_up_and_no_client_notices():
    with tried(failing, release_min_requests=10) as client:
        end = time.monotonic() + 20
        i = 0
        while status(client)["state"]["mode"] == "canary":
            assert time.monotonic() < end
            i += 1
            assert ask(client, 11 + i).status_code == 200
        found = status(client)
        assert (found["state"]["mode"], found["state"]["limit"]) == ("aborted", "errors")
        assert found["state"]["by"] == "the server itself"
        assert "it failed on" in found["state"]["reason"]
        assert set(versions(client, 50)) == {OURS}
        text = client.get("/metrics").text
        assert 'aweigh_release_aborted{limit="errors"} 1' in text
        assert "aweigh_release_percent 0" in text


@pytest.mark.slow
def test_a_slow_candidate_is_given_up():
    def slow(table):
        time.sleep(0.03)
        return doubled(table)

    with tried(slow, release_min_requests=20) as client:
        end = time.monotonic() + 30
        i = 0
        while status(client)["state"]["mode"] == "canary":
            assert time.monotonic() < end
            i += 1
            ask(client, i)
        found = status(client)["state"]
        assert (found["mode"], found["limit"]) == ("aborted", "latency")


def test_a_candidate_that_hangs_keeps_nobody_waiting_for_long_and_is_given_up():
    proceed = threading.Event()

    def hanging(table):
        if (table["x"].data > 10).any():
            proceed.wait(60)
        else:
            time.sleep(0.01)  # not so quick that it is asked on the event loop
        return doubled(table)

    try:
        with tried(hanging, release_percent=100.0, release_max_wait_s=0.3) as client:
            for number in (20, 21, 22):
                begun = time.monotonic()
                reply = ask(client, number)
                assert (reply.status_code, reply.json()["model"]["version"]) == (200, OURS)
                assert reply.json()["predictions"] == [{"value": 2.0 * number}]
                assert time.monotonic() - begun < 5
            found = wait_for(client, lambda found: found["state"]["mode"] == "aborted")["state"]
            assert found["limit"] == "latency"
            assert "3 requests had no answer of it within 0.3 s" in found["reason"]
            proceed.set()
    finally:
        proceed.set()


# -- shadow ----------------------------------------------------------------------------------------------------------


def test_a_shadow_is_asked_what_was_answered_and_nobody_sees_it():
    def tripled(table):
        factor = np.where(table["x"].data > 1, 3, 2)  # the golden row is right
        return Answers(SCHEMA.output, table.rows, values=(table["x"].data * factor).reshape(-1, 1))

    with tried(tripled, release_mode="shadow", release_auto="off") as client:
        for i in range(20):
            assert ask(client, i).json() | {"id": ""} == {
                "id": "",
                "model": {"name": "doubler", "version": OURS},
                "predictions": [{"value": 2.0 * i}],
                "warnings": [],
            }
        ask(client, *range(5000))
        client.post("/v1/predict", content=b"x\n1.0\n", headers={"Content-Type": "text/csv"})
        inputs = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [7.0]}]}
        client.post("/v2/models/doubler/infer", json=inputs)
        shadow = wait_for(client, lambda found: found["shadow"]["requests"] == 23)["shadow"]
        assert (shadow["errors"], shadow["dropped"], shadow["rows"], shadow["drawn"]) == (0, 0, 122, 23)
        assert shadow["differing"] == 18 + 99 + 0 + 1
        assert shadow["largest"] == 4999
        assert ask(client, 1, **{"X-Aweigh-Release": "candidate"}).status_code == 404


def test_a_shadow_that_disagrees_is_given_up():
    def wrong(table):
        return Answers(SCHEMA.output, table.rows, values=np.where(table["x"].data == 1, 2.0, -9.0).reshape(-1, 1))

    with tried(wrong, release_mode="shadow") as client:
        for i in range(60):
            ask(client, i)
        found = wait_for(client, lambda found: found["state"]["mode"] == "aborted")["state"]
        assert found["limit"] == "disagreement"


def test_a_shadow_that_agrees_is_left_alone():
    with tried(near, said=2.000002, release_mode="shadow") as client:
        for i in range(200):
            ask(client, i)
        found = wait_for(client, lambda found: found["shadow"]["requests"] == 200)
        assert found["shadow"]["differing"] == 0
        assert 0 < found["shadow"]["largest"] < 0.001
        assert found["state"]["mode"] == "shadow"


def test_a_shadow_delays_nobody_and_what_is_too_much_is_left_out():
    """It stands still; answers come all the same, what waits is bounded, and the server ends."""
    may_go = threading.Event()

    def stuck(table):
        if threading.current_thread().name == "shadow":
            may_go.wait(20)
        return doubled(table)

    with tried(stuck, release_mode="shadow") as client:
        begun = time.monotonic()
        for i in range(MOST_WAITING + 44):
            assert ask(client, i).status_code == 200
        assert time.monotonic() - begun < 15
        assert 40 <= wait_for(client, lambda found: found["shadow"]["dropped"] > 0)["shadow"]["dropped"] <= 44
        may_go.set()
        wait_for(client, lambda found: found["shadow"]["requests"] >= MOST_WAITING)


def test_a_shadow_in_python_holds_no_answer_up():
    """It computes for 40 ms a row and never lets the interpreter go of itself: answers take nothing like that."""

    def busy(table):
        end = time.perf_counter() + (0.04 if threading.current_thread().name == "shadow" else 0)
        while time.perf_counter() < end:
            pass
        return doubled(table)

    with tried(busy, release_mode="shadow") as client:
        took = []
        for i in range(150):
            begun = time.perf_counter()
            ask(client, i)
            took.append(time.perf_counter() - begun)
        assert wait_for(client, lambda found: found["shadow"]["requests"] > 0)["shadow"]["errors"] == 0
        assert sorted(took)[len(took) // 2] < 0.02


def test_what_waits_for_the_shadow_is_bounded_by_its_bytes():
    class Slow:
        predictor = other(doubled)

    shadow = Shadow(Slow(), lambda ours, theirs: None)
    counts = Tally().shadow
    go, reading = threading.Event(), threading.Event()

    def read(_):
        reading.set()
        go.wait(20)
        raise ValueError

    one = Answered(read, Answers(SCHEMA.output, 1, values=np.zeros((1, 1))), MOST_BYTES, counts)
    shadow.show(one)
    assert reading.wait(20)
    shadow.show(one)
    shadow.show(one)
    assert counts.dropped == 1
    go.set()
    shadow.close()
    assert counts.requests >= 1
    assert counts.errors == counts.requests


# -- what may be changed, and by whom --------------------------------------------------------------------------------


def test_start_set_promote_and_abort_need_no_restart():
    with tried(release_mode="off") as client:
        assert set(versions(client, 30)) == {OURS}
        assert status(client)["state"]["mode"] == "off"
        assert change(client, action="promote").status_code == 409
        assert change(client, action="start", mode="canary", percent=50).json()["state"]["mode"] == "canary"
        half = versions(client, 300)
        assert 100 < half.count(THEIRS) < 200
        assert change(client, action="set", percent=100).json()["state"]["percent"] == 100
        assert set(versions(client, 30)) == {THEIRS}
        assert change(client, action="promote").json()["state"]["mode"] == "promoted"
        assert set(versions(client, 30)) == {THEIRS}
        for path in ("/v1/model", "/health/ready"):
            found = client.get(path).json()
            assert found.get("model", found)["version"] == THEIRS if path != "/v1/model" else found["version"] == THEIRS
        assert client.get("/v2/models/doubler").json()["versions"] == [THEIRS]
        assert f'version="{THEIRS}"' in client.get("/metrics").text
        back = change(client, action="abort", reason="no good").json()["state"]
        assert (back["mode"], back["reason"]) == ("aborted", "no good")
        assert set(versions(client, 30)) == {OURS}
        assert client.get("/v1/model").json()["version"] == OURS
        assert change(client, action="set", percent=5).json()["code"] == "wrong_state"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"null", 400),
        (b"[]", 400),
        (b'{"action": "explode"}', 400),
        (b'{"action": "set"}', 400),
        (b'{"action": "set", "percent": 101}', 400),
        (b'{"action": "set", "percent": -1}', 400),
        (b'{"action": "set", "percent": "5"}', 400),
        (b'{"action": "set", "percent": 1e999}', 400),
        (b'{"action": "start", "mode": "promoted"}', 400),
        (b'{"action": "start", "who": 1}', 400),
        (b'{"action": "start", "candidate": "ffff"}', 409),
        (b"[" * 3000, 400),
        (b"\xff\xfe", 400),
        (b'{"action": "abort", "reason": "' + b"x" * 5000 + b'"}', 413),
    ],
)
def test_what_is_no_change_changes_nothing(unchanged, body, status):
    reply = unchanged.post("/v1/release", content=body)
    assert reply.status_code == status, reply.text
    assert unchanged.get("/v1/release").json()["state"]["number"] == 1


@pytest.fixture(scope="module")
def unchanged():
    with tried() as client:
        yield client


def test_other_methods_are_refused_and_without_a_candidate_there_is_nothing(unchanged):
    assert unchanged.delete("/v1/release").status_code == 405
    with serving(create_app(predictor_of(doubled))) as client:
        wait_until_ready(client)
        assert client.get("/v1/release").status_code == 404


def test_where_nobody_signs_in_it_is_for_this_machine_or_the_token():
    with tried(release_token=Secret("opens")) as client:
        proxied = {"X-Forwarded-For": "192.0.2.1"}
        for method in ("GET", "POST"):
            assert client.request(method, "/v1/release", headers=proxied).status_code == 403
        wrong = proxied | {"Authorization": "Bearer open"}
        assert client.get("/v1/release", headers=wrong).status_code == 403
        assert client.get("/v1/release", headers=proxied | {"Authorization": "Bearer opens"}).status_code == 200
        evil = {"Origin": "https://evil.example"}
        assert client.post("/v1/release", json={"action": "abort"}, headers=evil).status_code == 403


# -- when things fail ------------------------------------------------------------------------------------------------


def test_a_candidate_that_fails_its_golden_rows_is_never_asked():
    with tried(exactly, said=3.0) as client:
        assert set(versions(client, 50)) == {OURS}
        found = status(client)
        assert found["candidate"]["fit"] is False
        assert found["state"]["mode"] == "off"
        assert change(client, action="start", mode="canary").status_code == 409


def test_one_that_is_promoted_and_fails_its_golden_rows_is_given_up():
    store = MemoryStore()
    assert store.write(State(mode="promoted", salt="s", number=1))
    with tried(exactly, said=3.0, store=store) as client:
        assert set(versions(client, 20)) == {OURS}
        assert status(client)["state"]["limit"] == "golden_rows"


def test_what_was_aborted_stays_so_when_a_server_starts_again():
    store = MemoryStore()
    with tried(store=store) as client:
        change(client, action="abort")
    with tried(store=store) as client:
        assert status(client)["state"]["mode"] == "aborted"
        assert set(versions(client, 50)) == {OURS}


def test_candidates_that_do_not_fit_are_refused_at_the_start():
    text = Schema(columns=(Column(name="x", type="text", dtype="object"),), output=SCHEMA.output)
    candidate = dataclasses.replace(other(doubled), schema=text)
    with pytest.raises(UsageError, match="the column 'x' is text to the candidate, and number now"):
        create_app(predictor_of(doubled), candidate=Candidate(candidate, MemoryStore()))
    manifest = msgspec.structs.replace(candidate.manifest, name="tripler")
    candidate = dataclasses.replace(other(doubled), manifest=manifest)
    with pytest.raises(UsageError, match="it is named 'tripler'"):
        create_app(predictor_of(doubled), candidate=Candidate(candidate, MemoryStore()))


class Failing(MemoryStore):
    """A store that can be switched off."""

    def __init__(self):
        super().__init__()
        self.is_down = False

    def _ask(self):
        if self.is_down:
            raise StorageDown("The database cannot be reached, or fails.")

    def read(self):
        self._ask()
        return super().read()

    def write(self, state):
        self._ask()
        return super().write(state)

    def count(self, salt, process, tally, *, now):
        self._ask()
        super().count(salt, process, tally, now=now)

    def total(self, salt):
        self._ask()
        return super().total(salt)


@pytest.mark.slow
def test_without_its_store_a_release_goes_on_and_a_bad_candidate_is_given_up_here():
    store = Failing()
    with tried(failing, store=store, release_percent=100.0, release_min_requests=10) as client:
        assert versions(client, 5) == [THEIRS] * 5
        store.is_down = True
        assert client.get("/v1/release").status_code == 503
        assert change(client, action="abort").status_code == 503
        end = time.monotonic() + 20
        while (reply := ask(client, 20)).json()["model"]["version"] == OURS and ask(client, 1).json()["model"][
            "version"
        ] == THEIRS:
            assert time.monotonic() < end
        assert reply.status_code == 200
        assert set(versions(client, 20)) == {OURS}
        store.is_down = False
        found = wait_for(client, lambda found: found["state"]["mode"] == "aborted")["state"]
        assert found["limit"] == "errors"


def test_of_several_who_give_it_up_one_does_it(tmp_path):
    """Four processes see the same at the same time: one change, told once."""
    told = []

    class Service:
        def __init__(self, predictor):
            self.predictor, self.schema = predictor, predictor.schema

        async def close(self):
            pass

    def trial():
        store = open_store({}, pair="a:b", state_dir=str(tmp_path / "state"))
        terms = Terms(mode="canary", percent=10, limits=Limits(min_requests=5))
        made = Trial(
            Service(predictor_of(doubled)), Service(other(doubled)), terms=terms, store=store, tell=told.append
        )
        made.is_fit = True
        made.step()
        return made

    trials = [trial() for _ in range(4)]
    assert len({one.state.salt for one in trials}) == 1
    for one in trials:
        for _ in range(10):
            one.view.tally.candidate.failed()
        one.tell_counts()
    for one in trials:
        one._looked_s = -10.0
    threads = [threading.Thread(target=one.step) for one in trials]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for one in trials:
        one.step()
        assert one.view.mode == "aborted"
    assert len(told) == 1
    assert trials[0].state.number == 2
    assert "of 40 requests" in trials[0].state.reason
    for one in trials:
        asyncio.run(one.close())


# -- the store -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    found = (
        MemoryStore() if request.param == "memory" else open_store({}, pair="a:b", state_dir=str(tmp_path / "state"))
    )
    yield found
    found.close()


def test_a_store_takes_the_next_state_and_no_other(store):
    assert store.read() is None
    first = State(mode="canary", percent=10, salt="s", number=1)
    assert store.write(first)
    assert not store.write(first)
    assert not store.write(msgspec.structs.replace(first, number=3))
    assert store.write(msgspec.structs.replace(first, number=2, percent=20))
    assert store.read().percent == 20


def test_a_store_adds_up_a_trial_and_forgets_the_one_before(store):
    store.write(State(mode="canary", salt="s", number=1))
    tally = Tally()
    tally.candidate.failed()
    for process in ("a", "b"):
        store.count("s", process, tally, now=1.0)
    store.count("s", "a", tally, now=2.0)
    assert store.total("s").candidate.errors == 2
    store.write(State(mode="canary", salt="t", number=2))
    assert store.total("t").candidate.errors == 0


def test_counts_of_bundles_that_nobody_serves_are_not_kept_for_ever(tmp_path):
    old, new = (open_store({}, pair=pair, state_dir=str(tmp_path / "state")) for pair in ("a:b", "a:c"))
    old.write(State(mode="canary", salt="s", number=1))
    tally = Tally()
    tally.candidate.failed()
    old.count("s", "p", tally, now=1000.0)
    new.write(State(mode="canary", salt="t", number=1, at=1000.0 + 80 * 86_400))
    assert old.total("s").candidate.errors == 1
    new.write(State(mode="canary", salt="t", number=2, at=1000.0 + 91 * 86_400))
    assert old.total("s").candidate.errors == 0
    old.close()
    new.close()


def test_pairs_of_bundles_know_nothing_of_each_other(tmp_path):
    one, two = (open_store({}, pair=pair, state_dir=str(tmp_path / "state")) for pair in ("a:b", "a:c"))
    one.write(State(mode="aborted", number=1))
    assert two.read() is None
    assert isinstance(one, SqlStore)
    one.close()
    two.close()


def test_what_a_newer_version_wrote_is_no_state(tmp_path):
    store = open_store({}, pair="a:b", state_dir=str(tmp_path / "state"))
    store._database.run(
        "INSERT INTO aweigh_release (pair, number, document) VALUES (?, ?, ?)", ("a:b", 7, '{"mode":"later","x":1}')
    )
    assert store.read() is None
    assert not store.write(State(mode="canary", number=1))
    store.close()


def test_answers_of_the_two_are_never_taken_for_each_other():
    """Known answers are kept by the bundle's digest, and each model has a cache of its own."""

    def halved(table):
        return Answers(SCHEMA.output, table.rows, values=np.where(table["x"].data == 1, 2.0, 0.5).reshape(-1, 1))

    with tried(halved, cache_bytes=2**20, release_auto="off") as client:
        for _ in range(3):
            for i in range(40):
                got = ask(client, 2.0 + i).json()
                said = got["predictions"][0]["value"]
                assert said == (0.5 if got["model"]["version"] == THEIRS else 2 * (2.0 + i))
        assert 'aweigh_cache_hits_total{store="process"} 80' in client.get("/metrics").text


def test_an_output_is_the_same_for_both_or_refused():
    named = Schema(columns=SCHEMA.columns, output=Output(task="number", name="z"))
    candidate = dataclasses.replace(other(doubled), schema=named)
    with pytest.raises(UsageError, match="calls its answer 'z'"):
        create_app(predictor_of(doubled), candidate=Candidate(candidate, MemoryStore()))


def test_a_client_that_goes_is_no_error_of_the_candidates():
    go = threading.Event()

    def slow(table):
        if (table["x"].data == 5).any():
            go.wait(20)
        return doubled(table)

    with tried(slow, release_percent=100.0, batch_rows=4) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/predict", json={"rows": [{"x": 5}]}, timeout=0.3)
        go.set()
        assert ask(client, 1).status_code == 200
        assert status(client)["candidate"]["errors"] == 0


# -- behind a door ---------------------------------------------------------------------------------------------------


@pytest.fixture
def guard(tmp_path):
    pytest.importorskip("argon2")
    found = open_guard({"AWEIGH_ROWS_TOTAL": "100"}, state_dir=str(tmp_path / "state"))
    yield found
    found.close()


def test_behind_a_door_rows_are_charged_once_and_what_is_given_up_is_in_the_audit_log(guard):
    """Of 100 rows 100 are answered: by the candidate, by the other in its place, and with a shadow behind them."""
    owner = guard.add_person("ana", Role.ADMIN, by=None)
    others = [guard.add_person(f"person {i}", Role.PREDICTOR, by=None) for i in range(3)]
    keys = [guard.add_key(one, "key", ["predict"], by=None)[1].reveal() for one in others]
    admin = guard.add_key(owner, "releases", ["admin"], by=None)[1].reveal()
    door = Door(Place(), known=Known(guard))
    settings = Settings(release_mode="canary", release_percent=100.0, release_min_requests=60, sweeps="off")
    app = create_app(
        predictor_of(doubled),
        settings=settings,
        entrance=Entrance(door),
        candidate=Candidate(other(failing), MemoryStore()),
    )
    with serving(app) as client:
        wait_until_ready(client)

        def answered(key, *, of):
            head = {"Authorization": f"Bearer {key}"}
            return sum(ask(client, of, of, **head).status_code == 200 for _ in range(60))

        assert answered(keys[0], of=1) == 50
        assert answered(keys[1], of=20) == 50
        head = {"Authorization": f"Bearer {admin}"}
        end = time.monotonic() + 10
        while client.get("/v1/release", headers=head).json()["state"]["mode"] != "aborted":
            assert time.monotonic() < end
            time.sleep(0.05)
        client.post("/v1/release", headers=head, json={"action": "start", "mode": "shadow"})
        assert answered(keys[2], of=1) == 50
        for method in ("GET", "POST"):
            assert client.request(method, "/v1/release").status_code == 401
            refused = {"Authorization": f"Bearer {keys[0]}"}
            assert client.request(method, "/v1/release", headers=refused).status_code == 403
    entries = [one for one in guard.latest_audit(10) if one.event.startswith("release.")][::-1]
    assert [(one.event, one.by_name) for one in entries] == [("release.aborted", ""), ("release.started", "releases")]
    assert entries[0].what["candidate"] == THEIRS
    assert "it failed on" in entries[0].what["reason"]
    assert entries[1].what["mode"] == "shadow"


def test_a_deployment_asks_the_bundle_that_it_deployed(guard):
    """Its golden rows are those of the first bundle, whoever else is answered by the candidate."""
    secret = Secret("x" * 40)
    door = Door(Place(), known=Known(guard, deploy_secret=secret))
    store = MemoryStore()
    store.write(State(mode="promoted", salt="s", number=1))
    app = create_app(
        predictor_of(doubled), entrance=Entrance(door), candidate=Candidate(other(exactly), store), settings=Settings()
    )
    with serving(app) as client:
        wait_until_ready(client)
        head = {"Authorization": f"Bearer {new_key(secret).reveal()}"}
        assert ask(client, 1, **head).json()["model"]["version"] == OURS
