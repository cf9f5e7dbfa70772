"""A suspected sweep is written down once a day of each, whichever replica sees it, and not when it could not be."""

import pytest

from aweigh.errors import StorageDown
from aweigh.guard.guard import SUSPECTED, open_guard
from aweigh.guard.sweep import Verdict

VERDICT = Verdict(120, 0.625, None)


@pytest.fixture
def other(environ, tmp_path, clock, guard):
    opened = open_guard(environ, state_dir=str(tmp_path / "state"), clock=clock)
    yield opened
    opened.close()


def entries(guard):
    return [one for one in guard.audit_log() if one.event == SUSPECTED]


def test_it_is_once_a_day_of_each_on_both_replicas(guard, other, ana, admin, enter, clock):
    one, two = enter("Ana")[0].identity, enter("root")[0].identity
    assert [here.suspect(one, VERDICT) for here in (guard, other, guard)] == [True, False, False]
    assert other.suspect(two, VERDICT)
    clock.now += 86_400
    assert other.suspect(one, VERDICT)
    assert [(told.by, dict(told.what)) for told in entries(guard)] == [
        (one.id, {"rows": "120", "unlikely rows": "62%"}),
        (two.id, {"rows": "120", "unlikely rows": "62%"}),
        (one.id, {"rows": "120", "unlikely rows": "62%"}),
    ]
    assert guard.verify_audit_log().first_bad is None


def test_the_last_time_is_found_by_whom_it_was(guard, ana, admin, enter, clock):
    one = enter("Ana")[0].identity
    assert guard.suspected(one.id) is None
    guard.suspect(one, VERDICT)
    guard.audit("model.loaded", by=one, what={"model": f'","event":"{SUSPECTED}","by":"{admin.id}'})
    clock.now += 86_400
    guard.suspect(one, VERDICT)
    assert guard.suspected(one.id) == entries(guard)[-1]
    assert guard.suspected(admin.id) is None


def test_what_the_log_does_not_take_is_not_spent(guard, ana, enter):
    one = enter("Ana")[0].identity
    database = guard._desk.database
    database.run("UPDATE aweigh_audit_head SET name = 'gone'")
    with pytest.raises(StorageDown):
        guard.suspect(one, VERDICT)
    database.run("UPDATE aweigh_audit_head SET name = 'head'")
    assert guard.suspect(one, VERDICT)
