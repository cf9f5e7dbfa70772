"""Budgets: a minute, a day and in all; nobody gets more, whoever asks at once; a request asks nobody."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from aweigh.database.sqlite import Sqlite
from aweigh.errors import ConfigError
from aweigh.guard.budget import NEVER_S, Budget, budget_of
from aweigh.guard.guard import open_guard
from aweigh.guard.identity import NOBODY, Identity, Role
from aweigh.guard.limits import Limits, SqlLeases
from aweigh.guard.tables import GUARD

OTHER = Identity("key", "k_other", "other", Role.VIEWER, frozenset())


@pytest.fixture
def database(tmp_path):
    opened = Sqlite(tmp_path / "state" / "x.sqlite", parts=(GUARD,))
    yield opened
    opened.close()


@pytest.fixture
def limits(database, clock):
    clock.now = 1_800_000_000.0  # the start of a minute, not of a day
    return lambda **budget: Limits(Budget(**budget), SqlLeases(database, clock=clock), clock=clock)


def test_without_a_budget_nothing_is_counted(limits):
    free = limits()
    assert free.spend(NOBODY, rows=10**9) == 0.0
    assert free.spend_held(NOBODY, rows=10**9) == 0.0
    assert len(free) == 0


def test_rows_are_counted_and_come_back_with_the_next_minute(limits, clock):
    one = limits(per_minute=100)
    assert one.spend(NOBODY, rows=60) == 0.0
    assert one.spend(NOBODY, rows=41) == 60.0
    assert one.spend(NOBODY, rows=40) == 0.0
    clock.now += 12
    assert one.spend(NOBODY) == 48.0
    assert one.spend(OTHER) == 0.0
    clock.now += 48
    assert one.spend(NOBODY, rows=100) == 0.0


def test_the_longest_wait_is_told_and_what_has_to_wait_spends_nothing(limits, clock):
    one = limits(per_minute=10, per_day=15, total=1000)
    assert one.spend(NOBODY, rows=10) == 0.0
    assert one.spend(NOBODY, rows=10) == 86_400 - clock.now % 86_400
    assert one.spend(NOBODY, rows=5) == 60.0
    clock.now += 60
    assert one.spend(NOBODY, rows=5) == 0.0


def test_what_is_more_than_there_ever_is_is_told_so_and_takes_nothing_from_others(limits):
    one, other = limits(per_minute=10), limits(per_minute=10)
    assert one.spend(NOBODY, rows=11) == NEVER_S
    assert other.spend(NOBODY, rows=10) == 0.0


def test_a_total_does_not_come_back_with_time_or_a_restart(limits, clock):
    one = limits(total=10)
    assert one.spend(NOBODY, rows=4) == 0.0
    one.close()
    clock.now += 10**8
    again = limits(total=10)
    assert again.spend(NOBODY, rows=6) == 0.0
    assert again.spend(NOBODY) == NEVER_S


def test_a_request_within_a_lease_asks_nobody(limits, database):
    one = limits(per_minute=1000)
    assert one.spend_held(NOBODY) is None
    assert one.spend(NOBODY) == 0.0
    database.close()
    for _ in range(49):
        assert one.spend_held(NOBODY) == 0.0
    assert one.spend_held(NOBODY) is None
    assert database._connection is None


def test_processes_share_a_budget_and_nobody_gets_more(limits):
    processes = [limits(per_minute=500) for _ in range(4)]

    def ask(at):
        return sum(processes[at % 4].spend(NOBODY) == 0.0 for _ in range(100))

    with ThreadPoolExecutor(8) as pool:
        given = sum(pool.map(ask, range(8)))
    assert 500 - 3 * 25 <= given <= 500


def test_threads_of_one_process_get_all_of_a_budget(limits):
    one = limits(per_minute=300)
    with ThreadPoolExecutor(8) as pool:
        given = sum(pool.map(lambda _: sum(one.spend(NOBODY) == 0.0 for _ in range(60)), range(8)))
    assert given == 300


def test_what_was_held_is_given_back_when_a_process_ends(limits):
    for _ in range(20):
        one = limits(total=100)
        assert one.spend(NOBODY) == 0.0
        one.close()
    last = limits(total=100)
    assert last.spend(NOBODY, rows=80) == 0.0
    assert last.spend(NOBODY) > 0


def test_windows_do_not_fill_the_memory(limits, monkeypatch):
    monkeypatch.setattr("aweigh.guard.limits.MOST", 10)
    one = limits(per_minute=10, total=10)
    for at in range(50):
        one.spend(Identity("key", f"k_{at}", "x", Role.VIEWER, frozenset()))
    assert len(one) == 10


def test_old_counts_do_not_fill_the_table(limits, database, clock):
    one = limits(per_minute=1)
    for _ in range(205):
        clock.now += 120
        one.spend(NOBODY)
    ((count,),) = database.run("SELECT count(*) FROM aweigh_spent")
    assert count <= 101


def test_the_budget_comes_from_the_environment(tmp_path):
    guard = open_guard({"AWEIGH_ROWS_PER_DAY": "7"}, state_dir=str(tmp_path / "s"))
    assert guard.limits.budget == Budget(per_day=7)
    assert guard.limits.spend(NOBODY, rows=8) == NEVER_S
    guard.close()
    for text in ("-1", "0", "many", "1.5", "²"):
        with pytest.raises(ConfigError, match="AWEIGH_ROWS_TOTAL"):
            budget_of({"AWEIGH_ROWS_TOTAL": text})
    with pytest.raises(ConfigError, match="AWEIGH_TOTP_FROM"):
        open_guard({"AWEIGH_TOTP_FROM": "boss"})
