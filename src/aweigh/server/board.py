"""The board: what the processes of one server know of each other, in a few kilobytes of shared memory.

Every place of the server (one process that answers) has two seats, so that a process and the one that takes over from
it are told apart. Each number has one writer; only the list of recent visitors has several, and there a lost entry is
only forgotten.
"""

import mmap
import time

SEATS = 2
"""A process and its successor."""

VISITORS = 512
VISIT_S = 15.0
"""How long a client without a cookie is remembered: from its first page to the requests that carry one."""

_BEAT, _SESSIONS, _SEAT_NUMBERS = 0, 1, 2
_KEY, _PLACE, _TIME, _VISIT_NUMBERS = 0, 1, 2, 3
_BYTES = 8


class Board:
    """Numbers of every place and seat. Made before the processes part; nothing in it needs a lock."""

    def __init__(self, *, places: int) -> None:
        self.places = places
        seats = places * SEATS
        self._shared = mmap.mmap(-1, (1 + places + seats * _SEAT_NUMBERS + VISITORS * _VISIT_NUMBERS) * _BYTES)
        numbers = memoryview(self._shared).cast("d")
        self._opened, numbers = numbers[:1], numbers[1:]
        self._current = numbers[:places]
        self._seats = numbers[places : places + seats * _SEAT_NUMBERS]
        self._visits = numbers[places + seats * _SEAT_NUMBERS :]

    @property
    def is_open(self) -> bool:
        """Whether every place has had a process that settled: from then on callers are welcome."""
        return bool(self._opened[0])

    def open(self) -> None:
        """The first processes have all settled (the parent's to say); what becomes of one later changes nothing."""
        self._opened[0] = 1

    def seat(self, place: int) -> int | None:
        """The seat of the process that answers in a place; None while there is none."""
        seat = int(self._current[place])
        return seat - 1 if seat else None

    def answers(self, place: int, *, seat: int | None) -> None:
        """From now on the process in ``seat`` answers in the place, or nobody (the parent's to say)."""
        self._current[place] = 0 if seat is None else seat + 1

    def up(self) -> int:
        """How many places have a process that answers."""
        return sum(1 for one in self._current if one)

    def take(self, seat: int) -> None:
        """A process begins in the seat: what the one before it left there is over."""
        self._seats[seat * _SEAT_NUMBERS + _BEAT] = 0
        self._seats[seat * _SEAT_NUMBERS + _SESSIONS] = 0

    def beat(self, seat: int) -> None:
        """The process in the seat says that its event loop turns."""
        self._seats[seat * _SEAT_NUMBERS + _BEAT] += 1

    def beats(self, seat: int) -> int:
        """How often it has said so."""
        return int(self._seats[seat * _SEAT_NUMBERS + _BEAT])

    def count_session(self, seat: int, change: int) -> None:
        """A session was opened (1) or closed (-1) in the process of the seat."""
        self._seats[seat * _SEAT_NUMBERS + _SESSIONS] += change

    def sessions(self, seat: int) -> int:
        """How many sessions are open there."""
        return int(self._seats[seat * _SEAT_NUMBERS + _SESSIONS])

    def visited(self, key: int) -> int | None:
        """The place where a client of that key was sent a moment ago, if it was."""
        at = key % VISITORS * _VISIT_NUMBERS
        recent = time.monotonic() - self._visits[at + _TIME] < VISIT_S
        return int(self._visits[at + _PLACE]) if recent and self._visits[at + _KEY] == key else None

    def visit(self, key: int, place: int) -> None:
        """A client of that key was sent to the place."""
        at = key % VISITORS * _VISIT_NUMBERS
        self._visits[at + _KEY], self._visits[at + _PLACE] = key, place
        self._visits[at + _TIME] = time.monotonic()
