"""One turn of the process that watches over the others."""

import os
import signal
import time

import pytest

from aweigh.server.board import Board
from aweigh.server.child import Child, Work
from aweigh.server.workers import Limits, Supervisor, _Place


def sleep(seat):
    """Do nothing, for long."""
    seat.settled(True)
    time.sleep(60)


@pytest.fixture
def watched():
    """Return a supervisor that was ready, and its one place, filled."""
    board = Board(places=1)
    supervisor = Supervisor([], board, Limits(grace_s=1), lambda _: None, list)
    supervisor._ready = True
    place = _Place(0, Work("sleeper", sleep))
    place.current = place.start(place.work, board, alone=False)
    yield supervisor, place
    for child in place.children:
        child.end()


def kill(child: Child) -> None:
    os.kill(child.pid, signal.SIGKILL)
    child._process.join()


def test_whoever_has_died_is_followed_in_the_same_turn(watched):
    supervisor, place = watched
    dead = place.current
    kill(dead)
    supervisor._look_after(place, passed_s=0)
    assert place.current not in {dead, None}
    assert place.current.alive


def test_whoever_dies_young_again_is_followed_after_a_while(watched):
    supervisor, place = watched
    for _ in range(2):
        kill(place.current)
        supervisor._look_after(place, passed_s=0)
    assert place.current is None
    assert place.not_before > time.monotonic()
    supervisor._look_after(place, passed_s=0)
    assert place.current is None
    place.not_before = 0.0
    supervisor._look_after(place, passed_s=0)
    assert place.current.alive


def test_nobody_follows_where_a_signal_may_say_that_all_is_to_end(watched):
    supervisor, place = watched
    kill(place.current)
    supervisor._signals.append(signal.SIGTERM)
    supervisor._look_after(place, passed_s=0)
    assert place.current is None


def test_whoever_is_back_is_told_with_the_time_it_took(watched, caplog):
    supervisor, place = watched

    def is_back():
        supervisor._look_after(place, passed_s=0)
        return "sleeper is back after" in caplog.text

    kill(place.current)
    assert not is_back()
    end = time.monotonic() + 20
    while not is_back():
        assert time.monotonic() < end
    assert f"(process {place.current.pid})" in caplog.text
    assert place.lost is None


def test_the_board_opens_when_the_first_processes_have_settled():
    board = Board(places=2)
    opened = []

    def tell(ready):
        opened.append((ready, board.is_open))
        os.kill(os.getpid(), signal.SIGTERM)

    assert not board.is_open
    Supervisor([Work("one", sleep), Work("two", sleep)], board, Limits(grace_s=1), tell, list).run()
    assert opened == [(True, True)]
    assert board.is_open
