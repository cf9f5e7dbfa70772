"""A release whose store is asked by several at once, or by nobody; one request put to two models; who may change it."""

import asyncio
import contextlib
import dataclasses
import sys
import threading
import time
from types import SimpleNamespace

import anyio
import numpy as np
import pytest
from tests.unit.test_release_app import OURS, Failing, change, exactly, other, tried
from tests.unit.test_server_app import SCHEMA, doubled, predictor_of

from aweigh.errors import Busy, DataError
from aweigh.guard.guard import open_guard
from aweigh.guard.identity import Role
from aweigh.runtime.release import state as states
from aweigh.runtime.release.compare import compile_compare
from aweigh.runtime.release.policy import Limits
from aweigh.runtime.release.state import Change
from aweigh.runtime.release.tally import Tally
from aweigh.schema import Answers, Column, Schema
from aweigh.secret import Secret
from aweigh.server.access.asked import Place
from aweigh.server.access.door import IDENTITY, METER, Door
from aweigh.server.access.meter import Meter, OverBudget
from aweigh.server.asking import Question
from aweigh.server.metrics import Counters
from aweigh.server.release.shadow import MOST_ROWS, Answered, Shadow
from aweigh.server.release.store import MemoryStore
from aweigh.server.release.told import metrics_text
from aweigh.server.release.trial import Terms, Trial
from aweigh.server.release.ways import Ways
from aweigh.server.service import Service
from aweigh.server.settings import Settings
from aweigh.table import Table, Values


def trial_on(store, *, min_requests=5):
    made = [Service(one, settings=Settings(), counters=Counters()) for one in (predictor_of(doubled), other(exactly))]
    terms = Terms(mode="canary", percent=100, limits=Limits(min_requests=min_requests))
    trial = Trial(*made, terms=terms, store=store, tell=lambda state: None)
    trial.is_fit = True
    trial.step()
    return trial


def change_of(**more):
    return Change(by="ana", at=time.time(), **more)


def begin(trial, salt):
    return trial.change(lambda state: states.started(state, "canary", 50.0, change_of(salt=salt)))


class Slow(MemoryStore):
    """A store whose answers to one question are slow to arrive."""

    def __init__(self, question):
        super().__init__()
        self.question = question
        self.asked, self.go = threading.Event(), threading.Event()
        self.slow = None

    def _arrives(self, question, found):
        if question == self.question and threading.current_thread() is self.slow:
            self.asked.set()
            assert self.go.wait(20)
        return found

    def read(self):
        return self._arrives("read", super().read())

    def total(self, salt):
        return self._arrives("total", super().total(salt))


def while_somebody_asks(trial, store, act):
    """Act while the answer to a question of somebody's is under way, if that can be."""
    store.slow = threading.Thread(target=trial.refresh)
    store.slow.start()
    assert store.asked.wait(20)
    other = threading.Thread(target=act)
    other.start()
    other.join(0.3)
    store.go.set()
    for one in (store.slow, other):
        one.join(20)
        assert not one.is_alive()


def test_a_state_that_was_read_before_a_change_does_not_come_after_it():
    store = Slow("read")
    trial = trial_on(store)
    while_somebody_asks(trial, store, lambda: trial.change(lambda state: states.aborted(state, change_of())))
    assert (trial.state.mode, trial.view.mode) == ("aborted", "aborted")


def test_a_trial_is_not_judged_by_the_counts_of_the_one_before():
    store = Slow("total")
    trial = trial_on(store)
    for _ in range(100):
        trial.view.tally.candidate.failed()
    while_somebody_asks(trial, store, lambda: begin(trial, "new"))
    trial.step()
    assert (trial.state.mode, trial.view.mode, trial.state.salt) == ("canary", "canary", "new")
    assert trial.total.candidate.errors == 0


def test_the_followers_thread_outlives_requests_that_count_while_the_store_is_away(caplog):
    """What is looked at then is what requests go on to count in."""
    store = Failing()
    trial = trial_on(store, min_requests=10**6)
    for key in range(700):
        trial.view.tally.current.times[key] = trial.view.tally.candidate.times[key] = 30
    times, done = trial.view.tally.current.times, threading.Event()

    def count():
        while not done.is_set():
            times[767] = 1
            done.is_set()  # where another thread may go on
            del times[767]

    store.is_down = True
    interval, counting = sys.getswitchinterval(), threading.Thread(target=count)
    sys.setswitchinterval(1e-6)
    counting.start()
    try:
        for _ in range(300):
            trial.step()
    finally:
        sys.setswitchinterval(interval)
        done.set()
        counting.join()
    assert "cannot be followed" not in caplog.text
    assert trial.view.mode == "canary"


def given_up_alone(store):
    trial = trial_on(store)
    for _ in range(20):
        trial.view.tally.candidate.failed()
    store.is_down = True
    trial.step()
    assert trial.view.mode == "aborted"
    return trial


def test_what_a_process_gave_up_alone_is_in_its_counters():
    trial = given_up_alone(Failing())
    assert 'aweigh_release_aborted{limit="errors"} 1' in metrics_text(trial)
    assert 'mode="aborted"' in metrics_text(trial)


def test_what_somebody_promotes_while_a_process_was_alone_answers_there_too():
    store = Failing()
    trial = given_up_alone(store)
    store.is_down = False
    trial_on(store).change(lambda state: states.promoted(state, change_of()))
    trial.step()
    assert (trial.state.mode, trial.view.mode) == ("promoted", "promoted")


def test_what_is_promoted_in_the_meantime_is_not_given_up_by_itself():
    store = MemoryStore()
    trial, elsewhere = trial_on(store), trial_on(store)
    for _ in range(100):
        trial.view.tally.candidate.failed()
    total = trial.tell_counts()
    elsewhere.change(lambda state: states.promoted(state, change_of()))
    trial._judge(total)
    assert (store.read().mode, trial.view.mode) == ("promoted", "promoted")


# -- two models, one request ------------------------------------------------------------------------------------------


def test_rows_are_charged_and_shown_once_when_the_candidate_has_no_room_after_it_has_read_them(tmp_path):
    """And that it has no room says nothing against it."""
    pytest.importorskip("argon2")
    guard = open_guard({"AWEIGH_ROWS_TOTAL": "100"}, state_dir=str(tmp_path / "state"))
    person = guard.add_person("ana", Role.PREDICTOR, by=None)
    identity = guard.identify(guard.add_key(person, "key", ["predict"], by=None)[1].reveal().encode(), "key")
    shown = []
    meter = Meter(guard.limits, identity, None, lambda who, table, size: shown.append(table.rows))
    table = Table({"x": Values(np.ones(2), None, "number")}, 2)
    trial = trial_on(MemoryStore())

    async def attempt(service, meter, seen):
        meter(table, 10)
        if service is trial.candidate:
            raise Busy(retry_after_s=1)
        return service.predictor.version

    async def answered():
        ways = Ways(trial, Door(Place()))
        question = Question({"headers": [], METER: meter, IDENTITY: identity}, b"{}", lambda service: table)
        found = 0
        for _ in range(60):
            try:
                assert await ways.ask(attempt, question) == OURS
            except OverBudget:
                continue
            found += 1
        return found

    assert asyncio.run(answered()) == 50
    assert sum(shown) == 100
    assert trial.view.tally.candidate.requests == trial.view.tally.candidate.errors == 0
    guard.close()


def asked_late(trial, attempt, *, times=3, meter=None):
    """Ask so often, with a limit of a tenth of a second; the tally of the candidate."""
    trial.terms = dataclasses.replace(trial.terms, limits=Limits(max_wait_s=0.1))

    async def asking():
        ways = Ways(trial, Door(Place()))
        scope = {"headers": [(b"x-aweigh-sticky", b"a")], METER: meter}
        for _ in range(times):
            with contextlib.suppress(DataError):
                await ways._candidate(attempt, Question(scope, b"{}", lambda service: None), trial.view)

    asyncio.run(asking())
    return trial.view.tally.candidate


def test_a_candidate_is_late_only_where_the_current_model_is_not_and_takes_the_request():
    trial = trial_on(MemoryStore())

    async def both_slow(service, meter, seen):
        await asyncio.sleep(0.15)
        return service.predictor.version

    async def nobodys(service, meter, seen):
        if service is trial.candidate:
            await asyncio.sleep(0.3)
        raise DataError("no model takes it")

    async def own(service, meter, seen):
        if service is trial.candidate:
            raise TimeoutError
        return service.predictor.version

    async def hanging(service, meter, seen):
        if service is trial.candidate:
            await asyncio.sleep(0.3)
        return service.predictor.version

    assert asked_late(trial, both_slow).late == 0
    assert asked_late(trial, nobodys).late == 0
    assert (asked_late(trial, own).late, trial.view.tally.candidate.errors) == (0, 3)
    assert asked_late(trial, hanging).late == 3


def test_what_hangs_in_a_thread_keeps_its_place_among_them():
    trial, proceed = trial_on(MemoryStore()), threading.Event()
    limiter = anyio.CapacityLimiter(2)

    async def attempt(service, meter, seen):
        if service is trial.candidate:
            if limiter.available_tokens == 0:
                raise Busy(retry_after_s=1)
            await anyio.to_thread.run_sync(proceed.wait, 20, limiter=limiter)
        return service.predictor.version

    before = threading.active_count()

    async def asking():
        trial.terms = dataclasses.replace(trial.terms, limits=Limits(max_wait_s=0.05))
        ways = Ways(trial, Door(Place()))
        for _ in range(12):
            question = Question({"headers": [], METER: None}, b"{}", lambda service: None)
            assert await ways._candidate(attempt, question, trial.view) == OURS
        at_work = threading.active_count() - before
        proceed.set()
        return at_work

    assert asyncio.run(asking()) <= 2


def test_rows_are_charged_once_when_the_store_of_budgets_outlasts_the_wait():
    spent = []

    class SlowBudget:
        """A budget whose store must be asked, and takes its time."""

        def spend_held(self, identity, *, rows):
            return None

        def spend(self, identity, *, rows):
            time.sleep(0.3)
            spent.append(rows)
            return 0.0

    trial = trial_on(MemoryStore())

    async def attempt(service, meter, seen):
        meter.charge(5)
        return service.predictor.version

    asked_late(trial, attempt, times=1, meter=Meter(SlowBudget(), None, None, None))
    assert spent == [5]


# -- the shadow -------------------------------------------------------------------------------------------------------


def test_of_a_large_request_no_more_answers_wait_for_the_shadow_than_are_compared():
    """A body of a few megabytes may have answers of a few gigabytes."""
    rows = 5000
    numbers = np.arange(rows, dtype=np.float64)
    table = Table({"x": Values(numbers, None, "number")}, rows)
    candidate = Service(other(exactly), settings=Settings(), counters=Counters())
    shadow = Shadow(candidate, compile_compare(SCHEMA.output, SCHEMA.output, tolerance=0.0))
    counts, go, reading = Tally().shadow, threading.Event(), threading.Event()

    def wait(_):
        reading.set()
        assert go.wait(20)
        return table

    answers = Answers(SCHEMA.output, rows, values=numbers.reshape(-1, 1) * 2)
    shadow.show(Answered(wait, answers, 10, counts))
    assert reading.wait(20)
    shadow.show(Answered(wait, answers, 10, counts))
    assert [one.answers.rows for one in shadow._waiting] == [MOST_ROWS]
    go.set()
    end = time.monotonic() + 20
    while counts.requests < 2:
        assert time.monotonic() < end
        threading.Event().wait(0.01)
    shadow.close()
    assert (counts.rows, counts.differing, counts.errors) == (2 * MOST_ROWS, 0, 0)


# -- who may change it ------------------------------------------------------------------------------------------------


def test_a_page_whose_name_leads_here_is_not_this_machine():
    """DNS rebinding: its origin is the host that it asks, and its connection is of this machine."""
    with tried() as client:
        evil = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}
        assert client.post("/v1/release", json={"action": "promote"}, headers=evil).status_code == 403
        assert client.get("/v1/release", headers=evil).status_code == 403
        assert client.post("/v1/release", json={"action": "promote"}).status_code == 200


def test_behind_proxies_nobody_is_taken_for_this_machine():
    """Not every proxy says that it is one."""
    with tried(proxies=1, release_token=Secret("opens")) as client:
        assert change(client, action="promote").status_code == 403
        assert client.get("/v1/release", headers={"Authorization": "Bearer opens"}).status_code == 200


# -- the page ---------------------------------------------------------------------------------------------------------


def test_what_the_page_finds_out_about_a_model_is_found_of_that_model():
    """It is kept for all who come: who is answered by the candidate must not find it out for them."""
    pytest.importorskip("streamlit")
    from aweigh.ui.api import Api, Documents
    from aweigh.ui.influence import influence

    ranged = Schema(
        columns=(Column(name="x", type="number", dtype="float64", minimum=0.0, maximum=1.0),), output=SCHEMA.output
    )
    with tried(release_percent=100.0) as client, contextlib.closing(Api(str(client.base_url))) as api:
        model = SimpleNamespace(version=OURS, examples=SimpleNamespace(rows=[]))  # a profile is no part of it
        documents = Documents(model, ranged)
        assert influence(api, documents) == {}
        assert change(client, action="abort").status_code == 200
        assert set(influence(api, documents)) == {"x"}


def test_limits_that_are_all_none_are_no_half_sentence():
    from aweigh.cli.release import _limits

    none = {"automatic": True, "max_errors": 0.0, "max_slower": 0.0, "max_disagreement": 0.0, "max_wait_s": 0.0}
    assert "beyond" not in _limits(none)
    assert _limits(none | {"max_slower": 2.0}) == "given up by itself beyond 2 x the time"
