"""The watch for sweeps of a process: bounded in memory and work, told once a day, and told again when that failed."""

import logging

import numpy as np
import pytest

from aweigh.errors import StorageDown
from aweigh.guard.identity import SCOPES_OF, Identity, Role
from aweigh.guard.sweep import Looks
from aweigh.server.access.sweeps import (
    AGAIN_S,
    DAY_S,
    MOST_BYTES,
    MOST_CLIENTS,
    ROWS_EACH,
    ROWS_TOGETHER,
    Sweeps,
)
from aweigh.table import Table, Values


def somebody(number=0):
    return Identity("key", f"k_{number}", f"key {number}", Role.PREDICTOR, SCOPES_OF[Role.PREDICTOR])


def rows(count, *, first=0.0, strange=True):
    numbers = np.arange(count, dtype=np.float64) + first
    return Table({"x": Values(numbers if strange else -1 - numbers)}, count)


class Reference:
    """Finds rows above nought strange, and says how many it has looked at."""

    def __init__(self):
        self.looked_at = []

    def look(self, table):
        x = table["x"].data
        self.looked_at.append(x.tolist())
        return Looks(x >= 0, None, x.view(np.uint64))


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def reference():
    return Reference()


@pytest.fixture
def told():
    return []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sweeps(reference, told, clock):
    made = Sweeps(lambda: reference, lambda identity, verdict: told.append((identity.id, verdict.rows)), clock=clock)
    yield made
    made.close()


def test_what_is_gathered_is_looked_at_before_the_end(sweeps, reference, told):
    for i in range(60):
        sweeps(somebody(), rows(1, first=float(i)), 100)
    sweeps(somebody(1), rows(60, strange=False), 100)
    sweeps.close()
    assert sorted(x for one in reference.looked_at for x in one) == [*range(-60, 0), *range(60)]
    assert told == [("k_0", 60)]


def test_each_client_is_judged_by_its_own_rows(sweeps, told):
    sweeps.look([(somebody(i % 3), rows(1, first=float(i), strange=i % 3 == 1)) for i in range(240)])
    assert told == [("k_1", 80)]


def test_a_suspicion_is_told_once_a_day(sweeps, told, clock):
    for turn in range(5):
        sweeps.look([(somebody(), rows(100, first=turn * 100.0))])
    assert len(told) == 1
    clock.now += DAY_S - clock.now % DAY_S
    sweeps.look([(somebody(), rows(1, first=999.0))])
    assert len(told) == 2


def test_what_could_not_be_told_is_told_later(reference, clock, caplog):
    tries = []

    def tell(identity, verdict):
        tries.append(identity.id)
        if len(tries) == 1:
            raise StorageDown("The database cannot be reached.")

    sweeps = Sweeps(lambda: reference, tell, clock=clock)
    sweeps.look([(somebody(), rows(100))])
    sweeps.look([(somebody(), rows(1))])
    assert len(tries) == 1
    clock.now += AGAIN_S
    sweeps.look([(somebody(), rows(1))])
    sweeps.look([(somebody(), rows(1))])
    assert len(tries) == 2
    assert [one.levelno for one in caplog.records] == [logging.WARNING]


def test_of_many_rows_some_of_all_of_them_are_looked_at(sweeps, reference):
    sweeps(somebody(), rows(100_000), 10**6)
    sweeps(somebody(), rows(10), 100)
    sweeps.close()
    (looked_at,) = reference.looked_at
    assert len(looked_at) == ROWS_EACH
    assert (looked_at[0], looked_at[-1]) == (0.0, 99_999.0)
    assert np.diff(looked_at).max() < 500


def test_what_waits_is_bounded_in_rows_and_bytes(sweeps, reference):
    for i in range(20):
        sweeps(somebody(i), rows(ROWS_EACH), 100)
    sweeps.close()
    assert sum(map(len, reference.looked_at)) <= ROWS_TOGETHER
    other = Sweeps(lambda: reference, lambda *_: None)
    reference.looked_at.clear()
    for i in range(20):
        other(somebody(i), rows(1), MOST_BYTES // 2)
    other.close()
    assert sum(map(len, reference.looked_at)) == 2


def test_so_many_clients_are_remembered_and_no_more(sweeps):
    for i in range(MOST_CLIENTS + 50):
        sweeps.look([(somebody(i), rows(1))])
    assert len(sweeps) == MOST_CLIENTS


def test_rows_that_it_fails_on_are_logged_once_and_the_next_are_looked_at(told, caplog):
    class Failing(Reference):
        def look(self, table):
            if table.rows == 3:
                raise ValueError("no such rows")
            return super().look(table)

    failing = Failing()
    for turn in range(3):
        sweeps = Sweeps(lambda: failing, lambda identity, verdict: told.append(identity.id))
        sweeps._failed = bool(turn)
        sweeps(somebody(), rows(3), 10)
        sweeps.close()
    assert [one.levelno for one in caplog.records] == [logging.ERROR]


def test_rows_as_two_models_read_them_are_all_looked_at(sweeps, told):
    """A candidate may know a column more than the current model."""
    for i in range(30):
        sweeps(somebody(2), rows(2, first=float(2 * i)), 100)
        more = rows(2, first=float(2 * i))
        sweeps(somebody(1), Table({"y": more["x"], "x": more["x"]}, 2), 100)
    sweeps.close()
    assert sorted(name for name, _ in told) == ["k_1", "k_2"]
