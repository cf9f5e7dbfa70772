"""Which of the app's processes a client belongs to: its sessions, uploads and pictures are in that one alone.

A cookie of our own says which. A client that has none yet, or whose process has gone, is sent where the fewest
sessions are. What the cookie says is only a number of a process: a made-up one leads to an app as any other.
"""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from starlette.types import Scope

from aweigh.server.board import Board

COOKIE = b"aweigh_app"
MAX_PORT_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Choice:
    """A process of the app: its place, the path of its socket, and the cookie to set if the client has another."""

    place: int
    path: str
    cookie: bytes | None


class Sticky:
    """The app's processes, which are those in ``places`` of the board; their sockets are in ``folder``."""

    def __init__(self, board: Board, *, places: range, folder: Path) -> None:
        self._board = board
        self._places = places
        self._folder = folder
        self._turn = os.getpid()  # not every process of the API begins with the same one

    def choose(self, scope: Scope, *, without: frozenset[int] = frozenset()) -> Choice | None:
        """The process that the request belongs to, other than those in places ``without``; None if there is none."""
        seats = {place: self._board.seat(place) for place in self._places if place not in without}
        there = {place: seat for place, seat in seats.items() if seat is not None}
        if not there:
            return None
        if len(self._places) == 1:
            return self._choice(self._places[0], there)
        name = _cookie_name(scope)
        said = _cookie(scope, name)
        if said is not None and said.isdigit() and len(said) <= len(b"1000") and int(said) in there:
            return self._choice(int(said), there)
        place = self._choose(scope, there, knows_cookies=said is not None)
        secure = b"; Secure" if _is_https(scope) else b""
        return self._choice(place, there, cookie=b"%b=%d; Path=/; HttpOnly; SameSite=Lax%b" % (name, place, secure))

    def _choice(self, place: int, there: dict[int, int], *, cookie: bytes | None = None) -> Choice:
        return Choice(place, socket_path(self._folder, seat=there[place]), cookie)

    def _choose(self, scope: Scope, there: dict[int, int], *, knows_cookies: bool) -> int:
        """A place for a client that has none.

        The pages that one client opens at the same moment must not be sent apart, as there is only one cookie for
        them: where it was sent is remembered for a few seconds. A client that takes no cookies is told by its address.
        """
        key = _key_of(scope)
        place = self._board.visited(key)
        if place in there:
            return place
        if not knows_cookies and not wants_html(scope):
            return max(there, key=lambda one: zlib.crc32(b"%d %d" % (key, one)))
        self._turn += 1
        sessions = {one: self._board.sessions(seat) for one, seat in there.items()}
        fewest = [one for one in there if sessions[one] == min(sessions.values())]
        place = fewest[self._turn % len(fewest)]
        self._board.visit(key, place)
        return place


def socket_path(folder: Path, *, seat: int) -> str:
    """Where the process of a seat listens."""
    return str(folder / f"app-{seat}")


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for one, value in scope["headers"] if one == name), b"")


def _cookie_name(scope: Scope) -> bytes:
    """Cookies know no ports: servers beside each other on one machine would take each other's."""
    port = _header(scope, b"host").rpartition(b":")[2]
    return COOKIE + b"_" + port if port.isdigit() and len(port) <= MAX_PORT_DIGITS else COOKIE


def _cookie(scope: Scope, name: bytes) -> bytes | None:
    for one, value in scope["headers"]:
        if one == b"cookie":
            for pair in value.split(b";"):
                key, _, found = pair.strip().partition(b"=")
                if key == name:
                    return bytes(found)
    return None


def _is_https(scope: Scope) -> bool:
    """Whether the browser came by TLS. A proxy says so, and a client that lies only spoils its own cookie."""
    said = _header(scope, b"x-forwarded-proto").partition(b",")[0].strip().lower()
    return said in {b"https", b"wss"} or scope["scheme"] in {"https", "wss"}


def wants_html(scope: Scope) -> bool:
    """Whether a browser asks for a page to show."""
    return scope["type"] == "http" and scope["method"] == "GET" and b"text/html" in _header(scope, b"accept")


def _key_of(scope: Scope) -> int:
    """A number that tells clients apart for a moment. Only where one without a cookie is sent rests on it."""
    client = scope.get("client") or ("",)
    parts = [str(client[0]).encode(), _header(scope, b"x-forwarded-for"), _header(scope, b"user-agent")]
    return zlib.crc32(b"\n".join([*parts, _header(scope, b"accept-language")]))
