"""Who gets the candidate, what counts as evidence against it, and when it is given up: the pure pieces of a release."""

import math
from statistics import NormalDist

import msgspec
import numpy as np
import pytest

from aweigh.runtime.release import state as states
from aweigh.runtime.release.compare import compile_compare
from aweigh.runtime.release.compatible import incompatible
from aweigh.runtime.release.evidence import ALPHA, is_more, log_evidence
from aweigh.runtime.release.policy import Limits, decide, slowness
from aweigh.runtime.release.share import place_of, threshold, who_asks
from aweigh.runtime.release.state import Change, State, WrongState
from aweigh.runtime.release.tally import Side, Tally, quantile_s, slot_begins_s, slot_of, slots_of
from aweigh.schema import Answers, Column, Output, Schema

CANARY, SHADOW = State(mode="canary", percent=10, salt="s"), State(mode="shadow", salt="s")


# -- the split -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [0, 1, 10, 33.3, 50, 99, 100])
def test_the_share_is_what_was_asked_for(percent):
    """20,000 people: within four standard deviations, and exactly none and all at the ends."""
    people = 20_000
    got = sum(place_of(b"salt", b"i:p_%d:" % i) < threshold(percent) for i in range(people))
    share = percent / 100
    assert abs(got - share * people) <= 4 * math.sqrt(people * share * (1 - share))


def test_more_get_it_and_nobody_loses_it_when_the_share_grows():
    places = [place_of(b"salt", b"i:p_%d:" % i) for i in range(2000)]
    few, many = ({i for i, one in enumerate(places) if one < threshold(percent)} for percent in (10, 25))
    assert few < many


def test_another_trial_picks_other_people():
    """Of those whom one trial picks, another picks a tenth again, as of all."""
    first, second = (
        {i for i in range(20_000) if place_of(salt, b"i:%d:" % i) < threshold(10)} for salt in (b"a", b"b")
    )
    assert 0.07 < len(first & second) / len(first) < 0.13


def test_who_asks_is_told_apart_and_no_two_ways_meet():
    many = {
        who_asks("k_1", None, b"{}"),
        who_asks("k_1", b"ana", b"{}"),
        who_asks("k_1:ana", None, b"{}"),
        who_asks(None, b"k_1:ana", b"{}"),
        who_asks(None, None, b"{}"),
        who_asks(None, None, b"{ }"),
        who_asks(None, None, b"x" * 20_000),
        who_asks(None, None, b"x" * 20_001),
    }
    assert len(many) == 8
    assert who_asks("k_1", None, b"{}") == who_asks("k_1", None, b"[]")


# -- evidence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("asked", [1, 20, 200])
def test_at_the_limit_the_evidence_is_one_on_average(allowed, asked):
    """That is what makes it a martingale: the sum over all outcomes of the binomial distribution is exactly 1."""
    logs = [
        math.log(math.comb(asked, k))
        + k * math.log(allowed)
        + (asked - k) * math.log(1 - allowed)
        + log_evidence(k, asked, allowed)
        for k in range(asked + 1)
    ]
    mean = sum(math.exp(one) for one in logs)
    assert mean == pytest.approx(1, abs=1e-9)


def test_below_the_limit_it_is_less():
    mean = sum(
        math.comb(100, k) * 0.01**k * 0.99 ** (100 - k) * math.exp(log_evidence(k, 100, 0.05)) for k in range(101)
    )
    assert mean < 0.5


@pytest.mark.parametrize("allowed", [0.02, 0.2])
def test_looking_after_every_request_gives_no_more_false_alarms_than_were_allowed(allowed):
    """A candidate exactly at the limit, asked 300 times, looked at 300 times; alpha is 5 % here, to be seen at all.

    A test for one look only would cry wolf in a third of these trials.
    """
    random = np.random.default_rng(7)
    trials, alpha = 400, 0.05
    alarms = 0
    for happened in (random.random((trials, 300)) < allowed).cumsum(axis=1).tolist():
        alarms += any(is_more(count, i + 1, allowed, alpha=alpha) for i, count in enumerate(happened))
    assert alarms <= trials * alpha + 3 * math.sqrt(trials * alpha * (1 - alpha))


@pytest.mark.parametrize(("share", "within"), [(1.0, 5), (0.5, 15), (0.2, 60), (0.05, 700)])
def test_what_is_broken_is_found_soon(share, within):
    """With 1 % allowed: in nine of ten trials within so many requests, at the alpha that is in use."""
    random = np.random.default_rng(3)
    found = sum(
        any(is_more(count, i + 1, 0.01) for i, count in enumerate(happened))
        for happened in (random.random((60, within)) < share).cumsum(axis=1).tolist()
    )
    assert found >= 54


def test_counts_that_cannot_be_are_no_evidence():
    assert log_evidence(0, 0, 0.1) == log_evidence(5, 10, 0.0) == log_evidence(5, 10, 1.0) == 0
    assert is_more(10**9, 10**9, 0.01)
    assert not is_more(0, 10**9, 0.01)
    assert ALPHA == 0.001


# -- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 1e-9, 5e-5, 6e-5, 0.001, 0.2, 30, 1e6, 1e12])
def test_a_time_is_in_a_slot_that_holds_it(seconds):
    slot = slot_of(seconds)
    assert slot_begins_s(slot) <= seconds * (1 + 1e-12)
    assert slot == 127 or seconds <= slot_begins_s(slot + 1) * (1 + 1e-12)


def timed(seconds, size_bytes=300):
    side = Side()
    for one in seconds:
        side.answered(float(one), size_bytes)
    return side


def test_quantiles_of_slots_are_a_fifth_too_large_at_most():
    random = np.random.default_rng(1)
    seconds = np.exp(random.normal(-5, 1, 5000))
    got = quantile_s(slots_of(timed(seconds)), 0.95)
    assert 1 <= got / np.quantile(seconds, 0.95) < 1.2


def latencies(median_s, count, seed):
    return median_s * np.exp(np.random.default_rng(seed).normal(0, 0.5, count))


@pytest.mark.parametrize(("slower", "given_up"), [(1.0, False), (1.5, False), (1.9, False), (3.5, True), (10.0, True)])
def test_a_candidate_that_is_slower_than_allowed_is_given_up(slower, given_up):
    """Log-normal times around 20 ms: 500 of the candidate's, 5,000 of the current model's, twice is allowed."""
    tally = Tally(current=timed(latencies(0.02, 5000, 1)), candidate=timed(latencies(0.02 * slower, 500, 2)))
    verdict = decide(CANARY, tally, Limits())
    assert (verdict is not None and verdict.limit == "latency") == given_up


def test_equal_times_are_never_taken_for_slow_however_often_looked_at():
    alarms = 0
    for seed in range(60):
        tally = Tally(current=timed(latencies(0.02, 400, seed)))
        for one in latencies(0.02, 200, 1000 + seed):
            tally.candidate.answered(float(one), 300)
            alarms += decide(CANARY, tally, Limits(max_slower=1.0)) is not None
    assert alarms == 0


def test_larger_requests_are_no_slowness():
    """The candidate happens to get those who send large tables: its times are held against such."""
    small, large = latencies(0.002, 3000, 1), latencies(0.2, 300, 2)
    tally = Tally(current=timed(small), candidate=timed(latencies(0.2, 300, 3), 100_000))
    assert slowness(tally, Limits()) is None, "nothing is known of the current model's time for such"
    tally.current.add(timed(large, 100_000))
    assert decide(CANARY, tally, Limits()) is None
    assert slowness(tally, Limits()).current_s == pytest.approx(np.quantile(large, 0.95), rel=0.3)


def test_sizes_are_weighed_as_the_candidates_requests_are_spread():
    """Of the current model's requests 3 % are large, of the candidate's half: as quick, each for its size."""
    tally = Tally(current=timed(latencies(0.002, 2000, 1)), candidate=timed(latencies(0.002, 100, 3)))
    tally.current.add(timed(latencies(0.2, 60, 2), 100_000))
    tally.candidate.add(timed(latencies(0.2, 100, 4), 100_000))
    assert decide(CANARY, tally, Limits()) is None


def test_what_is_quick_enough_is_never_slow():
    tally = Tally(current=timed([1e-4] * 1000), candidate=timed([9e-3] * 1000))
    assert decide(CANARY, tally, Limits()) is None
    assert decide(CANARY, tally, Limits(slow_floor_s=0)).limit == "latency"


# -- decisions -------------------------------------------------------------------------------------------------------


def failed(errors, requests):
    tally = Tally(candidate=timed([0.001] * (requests - errors)), current=timed([0.001] * 1000))
    for _ in range(errors):
        tally.candidate.failed()
    return tally


def test_a_candidate_that_fails_is_given_up_with_its_reason():
    verdict = decide(CANARY, failed(10, 40), Limits())
    assert verdict.limit == "errors"
    assert verdict.reason.startswith("it failed on 10 of 40 requests that the current model answers (25.0%; 1.0%")
    assert decide(CANARY, failed(1, 100), Limits()) is None
    assert decide(CANARY, failed(19, 19), Limits()) is None, "fewer than the least"
    assert decide(CANARY, failed(40, 40), Limits(max_errors=0)) is None, "no limit"


@pytest.mark.parametrize("mode", ["off", "promoted", "aborted"])
def test_nothing_is_given_up_that_is_not_being_tried(mode):
    assert decide(State(mode=mode), failed(100, 100), Limits()) is None


def test_a_shadow_that_disagrees_or_fails_is_given_up():
    tally = Tally()
    tally.shadow.requests = tally.shadow.drawn = 200
    tally.shadow.drawn_differing = 60
    assert decide(SHADOW, tally, Limits()).limit == "disagreement"
    assert decide(SHADOW, tally, Limits(max_disagreement=0.4)) is None
    tally.shadow.errors = 50
    assert decide(SHADOW, tally, Limits(max_disagreement=0.4)).limit == "errors"
    assert decide(CANARY, tally, Limits()) is None, "what a shadow said is no matter of a canary"


def test_counts_of_processes_add_up_and_travel_as_json():
    one, two = failed(2, 10), failed(3, 20)
    one.shadow.largest, two.shadow.largest = 1.5, 0.5
    total = Tally()
    for part in (one, two):
        total.add(msgspec.json.decode(msgspec.json.encode(part), type=Tally))
    assert (total.candidate.requests, total.candidate.errors, total.current.requests) == (30, 5, 2000)
    assert sum(total.candidate.times.values()) == 25
    assert total.shadow.largest == 1.5


# -- the state -------------------------------------------------------------------------------------------------------

BY = Change(by="ana", at=5.0, salt="new", reason="")


def test_a_release_goes_its_way():
    first = states.started(State(), "canary", 10, BY)
    assert (first.mode, first.percent, first.salt, first.number, first.by) == ("canary", 10, "new", 1, "ana")
    more = states.resized(first, 50, Change(by="bo", at=6.0))
    assert (more.percent, more.salt, more.begun, more.number) == (50, "new", 5.0, 2)
    done = states.promoted(more, Change(by="bo", at=7.0))
    back = states.aborted(done, Change(by="bo", at=8.0, reason="x" * 1000, limit="errors"))
    assert (done.mode, back.mode, back.percent, back.number, back.limit) == ("promoted", "aborted", 0, 4, "errors")
    assert len(back.reason) == 300
    again = states.started(back, "shadow", 99, BY)
    assert (again.mode, again.percent, again.reason, again.limit) == ("shadow", 0, "", "")


@pytest.mark.parametrize(
    ("step", "modes"),
    [
        (lambda state: states.resized(state, 5, BY), ["off", "shadow", "promoted", "aborted"]),
        (lambda state: states.promoted(state, BY), ["off", "promoted", "aborted"]),
        (lambda state: states.aborted(state, BY), ["off", "aborted"]),
    ],
)
def test_what_does_not_follow_is_refused(step, modes):
    for mode in modes:
        with pytest.raises(WrongState, match=mode):
            step(State(mode=mode))


# -- comparing -------------------------------------------------------------------------------------------------------


def answers(output, **arrays):
    rows = len(next(iter(arrays.values())))
    return Answers(output, rows, **{name: np.array(one) for name, one in arrays.items()})


def test_labels_are_compared_by_what_they_say_and_not_by_their_place():
    ours = Output(task="class", name="y", classes=("a", "b", "c"), probabilities=True)
    theirs = Output(task="class", name="y", classes=("c", "a", "b"), probabilities=True)
    found = compile_compare(ours, theirs, tolerance=0.1)(
        answers(ours, index=[0, 1, 2], probabilities=[[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]),
        answers(theirs, index=[1, 0, 0], probabilities=[[0.1, 0.8, 0.1], [0.6, 0.1, 0.3], [0.8, 0.1, 0.1]]),
    )
    assert found.differs.tolist() == [False, True, False]
    assert found.labels == 1
    assert found.largest == pytest.approx(0.5)


def test_numbers_are_compared_with_what_the_answers_spread_over():
    output = Output(task="number", name="y")
    ours = answers(output, values=[[100.0], [0.01], [np.nan], [5.0], [np.inf]])
    theirs = answers(output, values=[[104.0], [0.4], [np.nan], [np.nan], [5.0]])
    known = compile_compare(output, output, tolerance=0.1, spreads={"y": 10.0})(ours, theirs)
    assert known.differs.tolist() == [True, False, False, True, True]
    assert known.largest == pytest.approx(4.0)
    unknown = compile_compare(output, output, tolerance=0.1)(ours, theirs)
    assert unknown.differs.tolist() == [False, True, False, True, True]


def test_several_numbers_are_compared_by_their_names():
    ours, theirs = (Output(task="numbers", name="y", names=names) for names in (("a", "b"), ("b", "a")))
    found = compile_compare(ours, theirs, tolerance=0.1)(
        answers(ours, values=[[1.0, 2.0], [1.0, 2.0]]), answers(theirs, values=[[2.0, 1.0], [1.0, 2.0]])
    )
    assert found.differs.tolist() == [False, True]


def test_clusters_and_outliers():
    output = Output(task="cluster", name="y")
    found = compile_compare(output, output, tolerance=0)(
        answers(output, cluster=[1, 2]), answers(output, cluster=[1, 3])
    )
    assert found.differs.tolist() == [False, True]
    output = Output(task="outlier", name="y", scores=True)
    found = compile_compare(output, output, tolerance=0)(
        answers(output, outlier=[True, False], scores=[0.1, 0.2]),
        answers(output, outlier=[True, True], scores=[0.1, 0.5]),
    )
    assert (found.differs.tolist(), found.largest) == ([False, True], pytest.approx(0.3))


# -- compatibility ---------------------------------------------------------------------------------------------------


def schema(*columns, **output):
    fields = {"task": "class", "name": "y", "classes": ("a", "b"), "probabilities": True} | output
    return Schema(columns=tuple(columns), output=Output(**fields))


def column(name="x", kind="number", **more):
    return Column(name=name, type=kind, dtype="float64", **more)


OURS = schema(column(), column("k", "category", nullable=True))


@pytest.mark.parametrize(
    "theirs",
    [
        OURS,
        schema(column("k", "text", nullable=True), column()),
        schema(column(), column("k", "category", nullable=True), column("new", nullable=True)),
        schema(column(lower_limit=0), column("k", "category", nullable=True, closed=True, categories=("a",))),
        schema(*OURS.columns, classes=("b", "a")),
    ],
)
def test_a_candidate_that_takes_the_same_may_come(theirs):
    assert incompatible(OURS, theirs) == ()


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        (schema(*OURS.columns, column("new")), "the column 'new' is required by the candidate"),
        (schema(column()), "the column 'k' is none of the candidate's"),
        (schema(column(kind="text"), OURS.columns[1]), "the column 'x' is text to the candidate, and number now"),
        (schema(column(kind="integer"), OURS.columns[1]), "the column 'x' is integer to the candidate"),
        (schema(column(), column("k", "category")), "the column 'k' may be missing now"),
        (schema(*OURS.columns, classes=("a", "b", "c")), "it has also 'c'"),
        (schema(*OURS.columns, classes=("a",)), "it lacks 'b'"),
        (schema(*OURS.columns, classes=("a", "b"), probabilities=False), "only one of the two gives probabilities"),
        (schema(*OURS.columns, task="number", classes=(), probabilities=False), "the candidate answers 'number'"),
        (schema(*OURS.columns, name="z"), "the candidate calls its answer 'z'"),
    ],
)
def test_a_candidate_that_must_be_asked_otherwise_is_refused(theirs, why):
    found = incompatible(OURS, theirs)
    assert len(found) == 1
    assert why in found[0]


def test_units_must_not_change_under_the_numbers():
    cm, mm = schema(column(unit="cm")), schema(column(unit="mm"))
    assert incompatible(cm, mm) == ("the column 'x' is in mm to the candidate, and in cm now",)
    assert incompatible(schema(column()), mm) == ()
    euro, dollar = (
        schema(column(), task="number", classes=(), probabilities=False, unit=one) for one in ("EUR", "USD")
    )
    assert incompatible(euro, dollar) == ("the candidate answers in USD, and the current model in EUR",)


def test_true_and_one_are_two_classes():
    assert incompatible(schema(column(), classes=(0, 1)), schema(column(), classes=(False, True))) != ()


def test_the_normal_quantile_is_the_one_that_it_says():
    from aweigh.runtime.release.policy import NORMAL_999

    assert pytest.approx(NormalDist().inv_cdf(0.999), abs=0.005) == NORMAL_999
