"""Who is invited, and when."""

import pytest

from aweigh.errors import NotReady
from aweigh.server.board import Board
from aweigh.server.readiness import Readiness


def test_while_the_page_is_made_predictions_are_given_and_nobody_is_invited():
    readiness = Readiness(warming=True)
    readiness.prove(golden_rows=3)
    readiness.require_proof()
    with pytest.raises(NotReady, match="still being loaded"):
        readiness.require_ready()
    readiness.warming = False
    readiness.require_ready()


def test_nobody_is_invited_before_all_processes_have_started():
    board = Board(places=2)
    readiness = Readiness(board=board)
    readiness.prove(golden_rows=3)
    readiness.require_proof()
    board.answers(0, seat=0)
    with pytest.raises(NotReady, match="Not all processes"):
        readiness.require_ready()
    board.open()
    board.answers(0, seat=None)  # one that dies later is replaced while the others answer
    readiness.require_ready()
