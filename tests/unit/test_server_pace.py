"""What is learned of how long requests take, and which of them the event loop may answer."""

import pytest

from aweigh.server.pace import ALONE_BYTES, ALONE_S, FORGETS, NotHere, Pace


def test_the_first_of_a_kind_is_not_counted_and_kinds_are_known_apart():
    pace = Pace()
    assert not pace.is_quick("json", 1)
    pace.learn("json", 10_000, 60.0)
    assert not pace.is_quick("json", 1)
    pace.learn("json", 10_000, ALONE_S / 2)
    assert pace.is_quick("json", 19_990)
    assert not pace.is_quick("json", 20_010)
    assert not pace.is_quick("arrow", 1)


def test_what_is_very_large_is_never_quick():
    pace = Pace()
    pace.learn("json", ALONE_BYTES, 0.0)
    pace.learn("json", ALONE_BYTES, 0.0)
    assert pace.is_quick("json", ALONE_BYTES)
    assert not pace.is_quick("json", ALONE_BYTES + 1)


def test_a_slow_one_counts_at_once_and_is_forgotten_slowly():
    pace = Pace()
    for seconds in (0.001, 0.001, 4 * ALONE_S):
        pace.learn("json", 1000, seconds)
    quick_again = 0
    while not pace.is_quick("json", 1000):
        pace.learn("json", 1000, 0.001)
        quick_again += 1
    assert FORGETS < quick_again < 3 * FORGETS


def test_many_rows_in_few_bytes_are_not_quick_whatever_long_bodies_of_one_row_have_taken():
    pace = Pace()
    for _ in range(10 * FORGETS):
        pace.learn("json", 900_000, ALONE_S / 20.5, rows=1)
    assert pace.is_quick("json", 900_000)
    pace.require_quick(20)
    with pytest.raises(NotHere) as refused:
        pace.require_quick(21)
    assert refused.value.expected_s > ALONE_S


def test_rows_are_unknown_until_some_were_answered():
    pace = Pace()
    pace.learn("json", 1000, 0.001)
    with pytest.raises(NotHere):
        pace.require_quick(1)


def test_nothing_at_all_takes_no_time():
    pace = Pace()
    for _ in range(2):
        pace.learn("csv", 0, 0.5)
    assert not pace.is_quick("csv", 1)
