"""Where a client is sent: by its cookie, to the fewest sessions, together with its other pages, by its address."""

from collections import Counter
from pathlib import Path

import pytest

from aweigh.server.board import Board
from aweigh.server.sticky import Sticky

PLACES = range(1, 4)


def scope(*, cookie=None, host="app.example", page=True, client="10.0.0.1", agent="x", forwarded=None, kind="http"):
    headers = {"host": host, "accept": "text/html" if page else "*/*", "user-agent": agent}
    headers |= {"cookie": cookie} if cookie is not None else {}
    headers |= {"x-forwarded-for": forwarded} if forwarded else {}
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": kind, "method": "GET", "scheme": "http", "headers": pairs, "client": (client, 1)}


@pytest.fixture
def board():
    """Return a board of one process in front and three of the app, in their second seats."""
    board = Board(places=4)
    for place in PLACES:
        board.answers(place, seat=place * 2 + 1)
    return board


@pytest.fixture
def sticky(board):
    return Sticky(board, places=PLACES, folder=Path("sockets"))


def test_the_cookie_decides(sticky):
    for place in PLACES:
        choice = sticky.choose(scope(cookie=f"a=b; aweigh_app={place}; c=d"))
        assert (choice.place, choice.cookie, choice.path) == (place, None, f"sockets/app-{place * 2 + 1}")


@pytest.mark.parametrize(("host", "name"), [("a.example:8501", "aweigh_app_8501"), ("[::1]", "aweigh_app")])
def test_servers_on_other_ports_have_other_cookies(sticky, host, name):
    assert sticky.choose(scope(host=host)).cookie.startswith(name.encode() + b"=")
    assert sticky.choose(scope(host=host, cookie=f"{name}=2")).cookie is None


@pytest.mark.parametrize("value", ["0", "4", "-1", "", "\u0662", "9" * 4000, "1e0", "../x"])
def test_a_bad_value_is_none(sticky, value):
    choice = sticky.choose(scope(cookie=f"aweigh_app={value}"))
    assert choice.place in PLACES
    assert choice.cookie == b"aweigh_app=%d; Path=/; HttpOnly; SameSite=Lax" % choice.place


def test_new_clients_go_where_the_fewest_sessions_are(sticky, board):
    board.count_session(3, 1)
    board.count_session(7, 1)
    assert {sticky.choose(scope(agent=str(i))).place for i in range(5)} == {2}
    board.count_session(5, 1)
    board.count_session(5, 1)
    assert Counter(sticky.choose(scope(agent=f"more {i}")).place for i in range(10)) == {1: 5, 3: 5}


def test_new_clients_with_nothing_to_choose_by_are_spread(sticky):
    assert Counter(sticky.choose(scope(agent=str(i))).place for i in range(30)) == {1: 10, 2: 10, 3: 10}


def test_pages_opened_at_once_are_sent_together_and_what_takes_no_cookie_after_them(sticky, board):
    """As the next process in front does it, too: they share the board."""
    other = Sticky(board, places=PLACES, folder=Path("sockets"))
    for i in range(9):
        place = sticky.choose(scope(agent=str(i))).place
        assert other.choose(scope(agent=str(i))).place == place
        assert other.choose(scope(agent=str(i), page=False, kind="websocket")).place == place


def test_one_without_cookie_or_page_is_told_by_its_address(sticky, board):
    def asked(**more):
        return sticky.choose(scope(page=False, **more)).place

    assert {asked(client=f"10.0.0.{i}") for i in range(30)} == set(PLACES)
    assert {asked(forwarded=f"192.0.2.{i}, 10.1.1.1") for i in range(30)} == set(PLACES)
    before = {i: asked(agent=str(i)) for i in range(30)}
    board.answers(2, seat=None)
    after = {i: asked(agent=str(i)) for i in range(30)}
    assert all(after[i] == place for i, place in before.items() if place != 2)
    assert 2 not in after.values()


def test_one_whose_process_has_gone_is_sent_to_another_and_stays_there(sticky, board):
    board.answers(2, seat=None)
    choice = sticky.choose(scope(cookie="aweigh_app=2"))
    assert choice.place != 2
    assert choice.cookie is not None
    board.answers(2, seat=4)
    assert sticky.choose(scope(cookie=f"aweigh_app={choice.place}")).place == choice.place
    assert sticky.choose(scope(cookie="aweigh_app=2")).path == "sockets/app-4"


def test_without_any_process_there_is_no_choice(sticky, board):
    assert sticky.choose(scope(cookie="aweigh_app=2"), without=frozenset({2})).place in {1, 3}
    assert sticky.choose(scope(), without=frozenset(PLACES)) is None
    for place in PLACES:
        board.answers(place, seat=None)
    assert sticky.choose(scope()) is None


@pytest.mark.parametrize(
    ("said", "secure"), [("https", True), ("HTTPS, http", True), ("http, https", False), ("", False)]
)
def test_the_cookie_is_for_tls_alone_where_the_browser_came_by_it(sticky, said, secure):
    asked = scope()
    asked["headers"].append((b"x-forwarded-proto", said.encode()))
    assert sticky.choose(asked).cookie.endswith(b"; Secure") == secure


def test_one_process_needs_no_cookie(board):
    sticky = Sticky(board, places=range(1, 2), folder=Path("sockets"))
    assert sticky.choose(scope()).cookie is None
    assert sticky.choose(scope(cookie="aweigh_app=3")).place == 1
