"""Policy: when a candidate is given up without anybody saying so. Pure functions of what was counted."""

import math

import msgspec

from aweigh.runtime.release.evidence import is_more
from aweigh.runtime.release.state import State
from aweigh.runtime.release.tally import SLOTS, Side, Tally, quantile_s, slot_begins_s, slots_of

SHARE_SLOW = 0.05
"""The 95th percentile is what all but so many are answered within."""

NORMAL_999 = 3.09
"""The 99.9 % quantile of the normal distribution."""

MOST_LATE = 3
"""A model that hangs is asked no twenty times: each time somebody has waited as long as he may."""

LEAST_OF_SIZE = 20
"""Sizes of which the current model has answered fewer say nothing about time."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate may do before it is given up. A limit of 0 is none.

    ``min_requests``: nothing is decided on fewer that it was asked. ``max_errors``: the share of requests that it fails
    on though the current model answers them. ``max_slower``: how many times the current model's 95th percentile its own
    may be; one within ``slow_floor_s`` is never slow. ``max_disagreement``: the share of rows, one drawn of each
    request, on which a shadow says something else. ``max_wait_s``: the current model is asked instead after it.
    """

    min_requests: int = 20
    max_errors: float = 0.01
    max_slower: float = 2.0
    slow_floor_s: float = 0.01
    max_disagreement: float = 0.05
    max_wait_s: float = 10.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Which limit is broken (``errors``, ``latency``, ``disagreement``), and how, in a sentence."""

    limit: str
    reason: str


class Slowness(msgspec.Struct, frozen=True, kw_only=True):
    """Times of the two models for requests of the same sizes.

    ``current_s`` and ``candidate_s`` are 95th percentiles; of ``asked`` requests of the candidate's ``slow`` took
    longer than ``most_s``.
    """

    current_s: float
    candidate_s: float
    most_s: float
    slow: int
    asked: int


def decide(state: State, tally: Tally, limits: Limits) -> Verdict | None:
    """Whether a candidate is to be given up now; None: not as far as anybody can tell."""
    if state.mode == "canary":
        return (
            _hanging(tally, limits)
            or _failing(tally.candidate.errors, tally.candidate.requests, limits)
            or _slow(tally, limits)
        )
    if state.mode == "shadow":
        return _failing(tally.shadow.errors, tally.shadow.requests, limits) or _disagreeing(tally, limits)
    return None


def _hanging(tally: Tally, limits: Limits) -> Verdict | None:
    if not limits.max_wait_s or tally.candidate.late < MOST_LATE:
        return None
    reason = f"{tally.candidate.late:,} requests had no answer of it within {limits.max_wait_s:g} s"
    return Verdict(limit="latency", reason=reason)


def _failing(errors: int, requests: int, limits: Limits) -> Verdict | None:
    if requests < limits.min_requests or not is_more(errors, requests, limits.max_errors):
        return None
    reason = (
        f"it failed on {errors:,} of {requests:,} requests that the current model answers "
        f"({errors / requests:.1%}; {limits.max_errors:.1%} are allowed)"
    )
    return Verdict(limit="errors", reason=reason)


def _slow(tally: Tally, limits: Limits) -> Verdict | None:
    found = slowness(tally, limits)
    if found is None or found.asked < limits.min_requests or not is_more(found.slow, found.asked, SHARE_SLOW):
        return None
    reason = (
        f"its 95th percentile is about {_milliseconds(found.candidate_s)}, the current model's for requests of the "
        f"same sizes {_milliseconds(found.current_s)}: {found.slow:,} of {found.asked:,} took longer than "
        f"{_milliseconds(found.most_s)}"
    )
    return Verdict(limit="latency", reason=reason)


def _disagreeing(tally: Tally, limits: Limits) -> Verdict | None:
    drawn, differing = tally.shadow.drawn, tally.shadow.drawn_differing
    if drawn < limits.min_requests or not is_more(differing, drawn, limits.max_disagreement):
        return None
    reason = (
        f"it says something else on {differing:,} of {drawn:,} rows, one of each request "
        f"({differing / drawn:.1%}; {limits.max_disagreement:.1%} are allowed)"
    )
    return Verdict(limit="disagreement", reason=reason)


def slowness(tally: Tally, limits: Limits) -> Slowness | None:
    """How the times compare; None: too little is known of the current model's.

    The current model's times are weighed as the candidate's requests are spread over the sizes of bodies. The most that
    is allowed goes by the upper end of what its 95th percentile may be, as so few were seen.
    """
    theirs, ours = _by_size(tally.candidate), _by_size(tally.current)
    sizes = [size for size in theirs if sum(ours.get(size, {}).values()) >= LEAST_OF_SIZE]
    seen = sum(sum(ours[size].values()) for size in sizes)
    if not limits.max_slower or seen < limits.min_requests:
        return None
    expected: dict[int, float] = {}
    taken: dict[int, float] = {}
    for size in sizes:
        weight = sum(theirs[size].values()) / sum(ours[size].values())
        for slot, count in ours[size].items():
            expected[slot] = expected.get(slot, 0.0) + weight * count
        for slot, count in theirs[size].items():
            taken[slot] = taken.get(slot, 0.0) + count
    share = 1 - SHARE_SLOW
    upper = min(1.0, share + NORMAL_999 * math.sqrt(share * SHARE_SLOW / seen))
    most_s = max(limits.slow_floor_s, limits.max_slower * quantile_s(expected, upper))
    return Slowness(
        current_s=quantile_s(expected, share),
        candidate_s=quantile_s(taken, share),
        most_s=most_s,
        slow=round(sum(count for slot, count in taken.items() if slot_begins_s(slot) >= most_s)),
        asked=round(sum(taken.values())),
    )


def p95_s(side: Side) -> float:
    """The 95th percentile of a model's times, whatever it was asked."""
    return quantile_s(slots_of(side), 1 - SHARE_SLOW)


def _by_size(side: Side) -> dict[int, dict[int, int]]:
    found: dict[int, dict[int, int]] = {}
    for key, count in side.times.items():
        found.setdefault(key // SLOTS, {})[key % SLOTS] = count
    return found


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"
