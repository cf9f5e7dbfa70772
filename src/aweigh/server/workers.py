"""Several processes behind one port: started by fork, replaced when they die, hang or grow, stopped together.

The parent stays small: it holds the socket, the counters and the board, asks no model, and only watches. What the app
imports it has imported, for all of the app's processes to share.
A place is what one process at a time fills. Its next process answers before the old one is told to leave, so that
nothing is refused in between; of all places one at a time changes hands.
"""

import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait

from aweigh.errors import AweighError
from aweigh.server.board import SEATS, Board
from aweigh.server.child import HURRY, LEAVE, Child, Work, start

WATCH_S = 0.2
YOUNG_S = 5.0
"""A process that dies younger than this dies of something that a new one may well die of, too."""

BACK_OFF_S = 0.5
MOST_BACK_OFF_S = 30.0
MEMORY_EVERY_S = 2.0
RECYCLE_EVERY_S = 30.0
"""How long a place keeps a process, however much memory it takes, or nothing else would be done."""

START_S = 300.0
"""How long a successor may take to load its model and answer the golden rows."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the parent is: seconds to stop, seconds of a still event loop, bytes of memory; 0 is no limit."""

    grace_s: float
    watchdog_s: float = 0.0
    memory_bytes: int = 0


@dataclass(slots=True)
class _Place:
    """What one process at a time fills."""

    number: int
    work: Work
    current: Child | None = None
    coming: Child | None = None
    leaving: Child | None = None
    deaths: int = 0
    not_before: float = 0.0
    lost: float | None = None
    """When its process ended and nobody took its place, by the monotonic clock; None: it has one that answers."""

    @property
    def children(self) -> list[Child]:
        return [one for one in (self.current, self.coming, self.leaving) if one is not None]

    def start(self, work: Work, board: Board, *, alone: bool) -> Child:
        taken = {one.seat % SEATS for one in self.children}
        seat = self.number * SEATS + next(one for one in range(SEATS) if one not in taken)
        board.take(seat)
        return start(work, seat=seat, alone=alone)

    def delay_s(self) -> float:
        """How long to wait before the next start: not at all after the first death."""
        return min(MOST_BACK_OFF_S, BACK_OFF_S * 2 ** (self.deaths - 2)) if self.deaths > 1 else 0.0


@dataclass(slots=True)
class _Change:
    """Places that are to get another process, in turn. ``works`` are on trial until the first of them is ready."""

    places: deque[int]
    works: Sequence[Work] | None = None
    not_before: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Runs each work in a process of its own, in a place of its own, until SIGTERM or SIGINT.

    ``on_ready`` is called once, when all have settled, with whether all of them are ready. ``renew`` is called on
    SIGHUP and gives the works of the next generation, as many as there are; it raises an ``AweighError`` where there
    can be none.
    """

    works: Sequence[Work]
    board: Board
    limits: Limits
    on_ready: Callable[[bool], None]
    renew: Callable[[], Sequence[Work]]
    _places: list[_Place] = field(default_factory=list)
    _signals: list[int] = field(default_factory=list)
    _change: _Change | None = None
    _ready: bool | None = None

    def run(self) -> None:
        """Starts them, watches over them, and stops them all when told to.

        Raises:
            AweighError: a process cannot start the first time.
        """
        caught = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        on_terminal = os.isatty(0)
        before = {one: signal.signal(one, lambda sig, _: self._signals.append(sig)) for one in caught}
        stop: signal.Signals = HURRY
        try:
            self._places = [_Place(i, work) for i, work in enumerate(self.works)]
            for place in self._places:
                place.current = place.start(place.work, self.board, alone=True)
            told = self._watch(on_terminal=on_terminal)
            stop = signal.SIGTERM if told == signal.SIGTERM else HURRY
        finally:
            self._stop(stop)
            for one, handler in before.items():
                signal.signal(one, handler)

    def _watch(self, *, on_terminal: bool) -> int:
        """Until a signal says to stop; returns which."""
        tick = looked = time.monotonic()
        while True:
            while self._signals:
                sent = self._signals.pop(0)
                if sent != signal.SIGHUP or (on_terminal and not os.isatty(0)):  # the terminal was closed
                    return sent
                self._renew()
            waited = [one for place in self._places for child in place.children for one in child.waited_for()]
            wait(waited, timeout=WATCH_S)  # type: ignore[arg-type]  # sentinels are numbers here
            now = time.monotonic()
            passed_s, tick = min(now - tick, 2 * WATCH_S), now
            for place in self._places:
                self._look_after(place, passed_s=passed_s)
            if self._ready is None and all(one.current and one.current.settled is not None for one in self._places):
                self._ready = all(one.current is not None and one.current.settled for one in self._places)
                self.board.open()
                self.on_ready(self._ready)
            if self.limits.memory_bytes and now - looked > MEMORY_EVERY_S:
                looked = now
                self._weigh()
            self._carry_on()

    # -- one place -----------------------------------------------------------------------------------------------------

    def _look_after(self, place: _Place, *, passed_s: float) -> None:
        for child in place.children:
            child.hear()
        if place.leaving is not None:
            self._see_off(place, place.leaving)
        if place.coming is not None:
            self._receive(place, place.coming)
        if place.current is not None:
            self._check(place, place.current, passed_s=passed_s)
        is_empty = place.current is None and place.coming is None
        if is_empty and time.monotonic() >= place.not_before and not self._signals:  # which may say that all is to end
            place.current = place.start(place.work, self.board, alone=not self._ready)

    def _check(self, place: _Place, current: Child, *, passed_s: float) -> None:
        """Whether the place's process lives, answers as it should, and turns its event loop; if not, it is buried."""
        if not current.alive:
            current.hear()
            self._bury(place, current)
        elif current.settled is False and self._ready:
            _LOG.error("%s (process %s) does not answer the golden rows as it should", place.work.name, current.pid)
            current.end()
            self._bury(place, current)
        elif current.settled is not None:
            if self.board.seat(place.number) is None:
                self._answers(place, current)
            if current.is_hung(self.board, passed_s=passed_s, limit_s=self.limits.watchdog_s):
                _LOG.error("%s (process %s) hangs: killed", place.work.name, current.pid)
                current.end()
                self._bury(place, current)

    def _answers(self, place: _Place, child: Child) -> None:
        """The place's process is ready, and no client has made it grow yet."""
        self.board.answers(place.number, seat=child.seat)
        if place.lost is not None:
            _LOG.warning(
                "%s is back after %.2f s (process %s)", place.work.name, time.monotonic() - place.lost, child.pid
            )
            place.lost = None
        if self.limits.memory_bytes:
            child.fresh_bytes = child.memory_bytes()
            if child.fresh_bytes > self.limits.memory_bytes:
                size = child.fresh_bytes // 10**6
                _LOG.error("%s takes %d MB from the start: no ceiling for it", place.work.name, size)

    def _bury(self, place: _Place, dead: Child) -> None:
        """The process of a place has ended, which nobody asked of it: its successor, or another, soon.

        Raises:
            AweighError: the server never was ready, and the process says why it cannot start, or dies again.
        """
        dead.end()
        place.current = None
        place.lost = place.lost or time.monotonic()
        self.board.answers(place.number, seat=None)
        fresh = dead.settled is None or dead.age_s < YOUNG_S
        place.deaths = place.deaths + 1 if fresh else 1
        if self._ready is None:
            if dead.reason is not None:
                raise AweighError(dead.reason[0], hint=dead.reason[1])
            if place.deaths > 1:
                raise AweighError(f"A process of the server ended with {dead.ended_with}, again and again.")
        why = dead.ended_with if dead.reason is None else dead.reason[0]
        delay_s = place.delay_s()
        place.not_before = time.monotonic() + delay_s
        after = f" in {delay_s:g} s" if delay_s else ""
        _LOG.error("%s (process %s) ended: %s: starting another%s", place.work.name, dead.pid, why, after)

    def _receive(self, place: _Place, coming: Child) -> None:
        """The successor of a place's process: when it is ready it takes over, and if it cannot, all stays as it was."""
        if coming.settled and coming.alive:
            old, place.current, place.coming, place.deaths = place.current, coming, None, 0
            self._answers(place, coming)
            if old is not None:
                place.leaving = old
                old.tell(LEAVE)
            self._took_over()
            return
        if coming.settled is None and coming.alive and coming.age_s < START_S:
            return
        coming.end()
        coming.hear()
        place.coming = None
        if coming.settled is False:
            why = "the golden rows are not answered as when the model was packed"
        else:
            why = coming.reason[0] if coming.reason is not None else coming.ended_with
        self._did_not(place, why)

    def _see_off(self, place: _Place, leaving: Child) -> None:
        waited_s = time.monotonic() - (leaving.told_to_go or 0.0)
        if not leaving.alive or waited_s > self.limits.grace_s:
            leaving.end()
            place.leaving = None

    # -- a change of all places, or of one -----------------------------------------------------------------------------

    def _renew(self) -> None:
        """SIGHUP: every place gets a new process, of the next generation."""
        if self._ready is None:
            return
        try:
            works = self.renew()
        except AweighError as error:
            _LOG.error("SIGHUP: %s Everything stays as it is.", error.message)
            return
        except Exception:  # noqa: BLE001  whatever is wrong with the next generation, this one goes on
            _LOG.exception("SIGHUP: something unforeseen happened. Everything stays as it is.")
            return
        for place in self._places:
            if place.coming is not None:
                place.coming.end()
                place.coming = None
        _LOG.warning("SIGHUP: %d processes are replaced, one after another", len(self._places))
        self._change = _Change(deque(range(len(self._places))), works)

    def _carry_on(self) -> None:
        """The next step of a change, when the last one is done."""
        change = self._change
        if change is None or any(one.coming or one.leaving for one in self._places):
            return
        if not change.places:
            self._change = None
            if change.works is None:
                return
            _LOG.warning("all processes are replaced")
            return
        if time.monotonic() >= change.not_before:
            place = self._places[change.places[0]]
            work = change.works[place.number] if change.works else place.work
            place.coming = place.start(work, self.board, alone=False)

    def _took_over(self) -> None:
        change = self._change
        if change is None:
            return
        change.places.popleft()
        if change.works is not None:
            for one in self._places:  # whoever dies from here on is followed by one of the new generation
                one.work = change.works[one.number]

    def _did_not(self, place: _Place, why: str) -> None:
        change = self._change
        if change is None:
            return
        if change.works is not None and place.work is not change.works[place.number]:
            _LOG.error("the next %s is not taken: %s. Everything stays as it is.", place.work.name, why.rstrip("."))
            self._change = None
            return
        place.deaths += 1
        change.not_before = time.monotonic() + max(BACK_OFF_S, place.delay_s())
        _LOG.error("the next %s did not come: %s; it is tried again", place.work.name, why.rstrip("."))

    def _weigh(self) -> None:
        """A process that has grown over the ceiling is followed by a fresh one, if nothing else is being changed."""
        if self._change is not None or self._ready is None:
            return
        for place in self._places:
            child = place.current
            if child is None or child.settled is None:
                continue
            size = child.memory_bytes()
            if child.fresh_bytes <= self.limits.memory_bytes < size and child.age_s > RECYCLE_EVERY_S:
                _LOG.warning("%s (process %s) takes %d MB: replaced", place.work.name, child.pid, size // 10**6)
                self._change = _Change(deque([place.number]))
                return

    # -- the end -------------------------------------------------------------------------------------------------------

    def _stop(self, told: signal.Signals) -> None:
        """Tells all to stop, and waits; a further signal hurries them, and the next one kills."""
        children = [one for place in self._places for one in place.children]
        for one in children:
            one.tell(told)
        end = time.monotonic() + self.limits.grace_s
        while time.monotonic() < end and any(one.alive for one in children):
            wait([one.waited_for()[0] for one in children if one.alive], timeout=WATCH_S)  # type: ignore[misc]
            for sent in self._signals:
                if sent != signal.SIGHUP:
                    for one in children:
                        one.tell(HURRY)
            self._signals.clear()
        for one in children:
            if one.alive:
                _LOG.error("process %s did not stop in %g s: killed", one.pid, self.limits.grace_s)
            one.end()
