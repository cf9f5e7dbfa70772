"""Trial: a release as one process sees it. It follows the state that all share, counts, and gives the candidate up.

A thread of its own asks the store every second; requests ask nobody, they look at ``view``. Where the store cannot be
asked, what is known goes on to hold, and a candidate that breaks a limit here is given up here until all can be told.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import anyio.to_thread
import msgspec

from aweigh.errors import AweighError, Busy
from aweigh.profile import Profile
from aweigh.runtime.predictor import Predictor
from aweigh.runtime.release import state as states
from aweigh.runtime.release.compare import compile_compare, spreads_of
from aweigh.runtime.release.policy import Limits, Verdict, decide
from aweigh.runtime.release.share import threshold
from aweigh.runtime.release.state import Change, Mode, State
from aweigh.runtime.release.tally import Tally
from aweigh.server.release.shadow import Shadow
from aweigh.server.release.store import Store
from aweigh.server.service import Service

POLL_S = 1.0
COUNT_S = 2.0
"""How often what was counted is told to all, and looked at."""
TRIES = 5
JOIN_S = 10.0
GOLDEN_ROWS, UNFIT = "golden_rows", "it does not answer its golden rows as it should"
ITSELF, AT_START = "the server itself", "the start of the server"

Which = Literal["current", "candidate"]
Make = Callable[[State], State]
Tell = Callable[[State], None]
"""What becomes of a change that this process has made by itself; called in a thread."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a release begins where nobody has begun it yet, and its limits; ``automatic``: they are acted upon.

    ``tolerance`` is within what share of the distance that the middle half of its answers spreads over two numbers say
    the same.
    """

    mode: Literal["off", "canary", "shadow"] = "off"
    percent: float = 0.0
    limits: Limits = field(default_factory=Limits)
    automatic: bool = True
    tolerance: float = 0.1


@dataclass(frozen=True, slots=True)
class View:
    """What a request has to know; ``tally`` is where it is counted."""

    mode: Mode
    threshold: int
    salt: bytes
    tally: Tally


class Trial:
    """The current model and the candidate of one process, and the release that they are in."""

    def __init__(self, current: Service, candidate: Service, *, terms: Terms, store: Store, tell: Tell) -> None:
        self.current = current
        self.candidate = candidate
        self.terms = terms
        self.state = State()
        self.is_fit = False
        outputs = current.schema.output, candidate.schema.output
        compare = compile_compare(*outputs, tolerance=terms.tolerance, spreads=_spreads(current.predictor))
        self.shadow = Shadow(candidate, compare)
        self._store = store
        self._tell = tell
        self._process = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._asking = threading.RLock()
        self._total = Tally()
        self._given_up: tuple[str, Verdict] | None = None
        self._counted: tuple[object, ...] = ()
        self._begun = False
        self._is_down = False
        self._looked_s = -COUNT_S
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self.view = View("off", 0, b"", Tally())

    @property
    def answers_all(self) -> Which:
        """Whose documents are shown, and who answers whoever is in no trial."""
        return "candidate" if self.view.mode == "promoted" else "current"

    @property
    def stands(self) -> State:
        """What the release does here: what the store said last, unless this process had to give the candidate up."""
        state = self.state
        if self.view.mode != "aborted" or state.mode == "aborted":
            return state
        limit, reason = GOLDEN_ROWS, UNFIT
        if self._given_up is not None:
            limit, reason = self._given_up[1].limit, self._given_up[1].reason
        return msgspec.structs.replace(state, mode="aborted", percent=0.0, limit=limit, reason=reason)

    def service(self, which: Which) -> Service:
        """One of the two."""
        return self.candidate if which == "candidate" else self.current

    # -- start and stop ----------------------------------------------------------------------------------------------

    def prove(self) -> None:
        """Replays the candidate's golden rows; one that does not answer them is never asked, and given up for all."""
        try:
            replay = self.candidate.predictor.replay()
            if replay.ok:
                self.candidate.warm()
            problems = replay.problems
            self.is_fit = replay.ok
        except Exception as error:  # noqa: BLE001  whatever a model raises, the current one answers
            problems = (f"it fails on its golden rows ({type(error).__name__})",)
        for problem in problems[:10]:
            _LOG.error("the candidate is not tried: %s", problem)
        self.step()

    def open(self) -> None:
        """Begins to follow the others."""
        self.candidate.open()
        self._thread = threading.Thread(target=self._run, name="release", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Tells the last counts, and ends."""
        await anyio.to_thread.run_sync(self._end)
        await self.candidate.close()

    def _end(self) -> None:
        self._closed.set()
        self.shadow.close()
        if self._thread is not None:
            self._thread.join(JOIN_S)
        self._store.close()

    def _run(self) -> None:
        while not self._closed.wait(POLL_S):
            self.step()
        self._looked_s = -COUNT_S
        self.step()

    # -- what all share ----------------------------------------------------------------------------------------------

    # What is read of the store is taken before anybody else here asks it: an older state must not come after a newer
    # one, nor the counts of one trial after the next has begun.

    def step(self) -> None:
        """Learns what others have changed, tells what was counted, and gives the candidate up where it must."""
        try:
            with self._asking:
                self._step()
        except Exception:  # noqa: BLE001  the thread must outlive whatever it meets
            _LOG.exception("the release cannot be followed")

    def _step(self) -> None:
        try:
            self._follow()
            if time.monotonic() - self._looked_s >= COUNT_S:
                self._looked_s = time.monotonic()
                self.tell_counts()
            self._judge(self._total)
            self._is_down = False
        except AweighError as error:
            if not self._is_down:
                _LOG.warning("the release's state cannot be read or written: %s", error.message)
            self._is_down = True
            self._judge_alone()

    def _follow(self) -> None:
        found = self._store.read()
        if not self._begun:
            if found is None and self.terms.mode != "off" and self.is_fit:
                mode, percent = self.terms.mode, self.terms.percent
                salt = secrets.token_hex(8)
                now = Change(by=AT_START, at=time.time(), salt=salt)
                first = states.started(State(), mode, percent, now)
                found = first if self._store.write(first) else self._store.read()
            self._begun = True
        self.take(found or State())
        if not self.is_fit and self.state.mode in {"canary", "shadow", "promoted"}:
            self._give_up(Verdict(limit=GOLDEN_ROWS, reason=UNFIT))

    def take(self, state: State) -> None:
        """From now on this is what the release does."""
        with self._lock:
            given_up = self._given_up is not None and self._given_up[0] == state.salt and state.is_tried
            is_new = state.salt.encode() != self.view.salt
            tally = Tally() if is_new else self.view.tally
            if is_new:
                self._total = Tally()
            mode: Mode = "aborted" if given_up or not self.is_fit else state.mode
            self.state = state
            self.view = View(mode, threshold(state.percent), state.salt.encode(), tally)

    def refresh(self) -> Tally:
        """Learns at once what others have changed; what all have counted.

        Raises:
            StorageDown, StorageFull: the store cannot be asked.
        """
        with self._asking:
            if self._begun:
                self.take(self._store.read() or State())
            return self.tell_counts()

    def tell_counts(self) -> Tally:
        """Tells all what was counted here; what all have counted."""
        with self._asking:
            view = self.view
            if view.salt:
                salt, tally = view.salt.decode(), view.tally
                counted = (
                    salt,
                    tally.current.requests,
                    tally.candidate.requests,
                    tally.shadow.requests,
                    tally.shadow.dropped,
                )
                if counted != self._counted:
                    self._store.count(salt, self._process, tally, now=time.time())
                    self._counted = counted
                self._total = self._store.total(salt)
            return self._total

    @property
    def total(self) -> Tally:
        """What all have counted, as far as this process has heard."""
        return self._total

    def change(self, make: Make) -> State:
        """Changes the state for all, from whatever it is by then.

        Raises:
            WrongState: what is asked for does not follow on it.
            StorageDown, StorageFull: the store cannot be asked.
            Busy: others change it at the same time.
        """
        with self._asking:
            for _ in range(TRIES):
                new = make(self._store.read() or State())
                if self._store.write(new):
                    self._given_up = None
                    self.take(new)
                    return new
        raise Busy(retry_after_s=1)

    # -- giving up ---------------------------------------------------------------------------------------------------

    def _judge(self, tally: Tally) -> None:
        if self._given_up is not None and self._given_up[0] == self.state.salt and self.state.is_tried:
            self._give_up(self._given_up[1])
            return
        verdict = decide(self.state, tally, self.terms.limits) if self.terms.automatic else None
        if verdict is not None:
            self._give_up(verdict)

    def _judge_alone(self) -> None:
        """The store is silent: by what was counted here."""
        view = self.view
        if not self.terms.automatic or view.mode not in states.TRIED:
            return
        counted = msgspec.json.decode(
            msgspec.json.encode(view.tally), type=Tally
        )  # requests go on counting in the other
        verdict = decide(self.state, counted, self.terms.limits)
        if verdict is not None:
            self._given_up = self.state.salt, verdict
            _LOG.error("the candidate is given up by this process: %s", verdict.reason)
            self.take(self.state)

    def _give_up(self, verdict: Verdict) -> None:
        """Gives the candidate up, here at once and then for all; the one process that does so tells it."""
        salt = self.state.salt
        self._given_up = salt, verdict
        self.take(self.state)

        def make(state: State) -> State:
            if state.salt != salt:
                raise states.WrongState("Another trial has begun.")
            if state.mode == "promoted" and self.is_fit:
                raise states.WrongState("Somebody has promoted it meanwhile.")
            return states.aborted(state, Change(by=ITSELF, at=time.time(), reason=verdict.reason, limit=verdict.limit))

        try:
            new = self.change(make)
        except states.WrongState:  # another process was quicker
            self.take(self._store.read() or State())
            return
        _LOG.error("the candidate %s is given up: %s", self.candidate.predictor.version, verdict.reason)
        self._tell(new)


def _spreads(predictor: Predictor) -> dict[str, float]:
    try:
        return spreads_of(msgspec.json.decode(predictor.profile_json, type=Profile))
    except msgspec.DecodeError:
        return {}
