"""Ways: which of the two models answers a request, and what is counted of it.

A request that the candidate cannot answer is answered by the current model, so that no client pays for a trial; that
also tells what is the candidate's own failure from what no model could answer.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from time import perf_counter

from starlette.types import Scope

from aweigh.errors import AweighError, Busy, DataError, StorageDown, StorageFull
from aweigh.guard.deploy_key import DEPLOYMENT
from aweigh.guard.identity import Identity
from aweigh.runtime.release.share import place_of, who_asks
from aweigh.runtime.release.tally import Side
from aweigh.schema.answers import Answers
from aweigh.server.access.door import IDENTITY, METER, Door
from aweigh.server.access.meter import Meter, Once, OverBudget, charged
from aweigh.server.api import JSON, Predict
from aweigh.server.asking import Attempt, Question
from aweigh.server.body import ClientGone
from aweigh.server.lane import INLINE_BYTES
from aweigh.server.problems import Refused, status_of
from aweigh.server.release.shadow import Answered
from aweigh.server.release.trial import Trial, View, Which
from aweigh.server.reply import Reply
from aweigh.server.service import Asked, NoAnswer, Service
from aweigh.table import Table

STICKY, WISH = b"x-aweigh-sticky", b"x-aweigh-release"
STICKY_BYTES = 200
"""So much of what a client says of on whose behalf it asks tells people apart."""

AtOnce = tuple[int, bytes, bytes] | None

_LOG = logging.getLogger(__name__)


class _Late(Exception):  # noqa: N818  an outcome: the other model is asked
    """The candidate has not answered in time."""


class Ways:
    """The two ways of one process; ``ask`` is an ``asking.Ask``."""

    def __init__(self, trial: Trial, door: Door) -> None:
        self._trial = trial
        self._door = door
        self._noted: Answers | None = None
        self._told = False
        self._left: set[asyncio.Task[Reply]] = set()  # the loop itself keeps no task
        trial.current.show(self._note)

    def _note(self, answers: Answers) -> None:
        self._noted = answers if self._trial.view.mode == "shadow" else None

    # -- the ordinary way --------------------------------------------------------------------------------------------

    async def ask(self, attempt: Attempt, question: Question) -> Reply:
        """The reply of the model whose turn it is.

        Raises:
            Refused: a model is asked for by name that answers nobody (404).
            Exception: as the model's own service.
        """
        trial, scope = self._trial, question.scope
        view, identity = trial.view, scope.get(IDENTITY)
        wish = _header(scope, WISH)
        if wish or identity is DEPLOYMENT:
            return await _asked(attempt, trial.service(_wished(wish, view)), scope)
        if view.mode == "canary":
            who = who_asks(_name(identity), _header(scope, STICKY)[:STICKY_BYTES], question.body)
            if place_of(view.salt, who) < view.threshold:
                return await self._candidate(attempt, question, view)
        if view.mode in {"canary", "shadow"}:
            return await self._current(attempt, question, view)
        return await _asked(attempt, trial.service(trial.answers_all), scope)

    async def _current(self, attempt: Attempt, question: Question, view: View) -> Reply:
        tally, seen, begun = view.tally, None, perf_counter()
        found: list[Answers] = []
        if view.mode == "shadow":
            seen = found.append
        try:
            reply = await charged(question.scope.get(METER), lambda meter: attempt(self._trial.current, meter, seen))
        except Exception as error:
            if _is_models(error):
                tally.current.failed()
            raise
        tally.current.answered(perf_counter() - begun, len(question.body))
        if found:
            self._show(question.read, found[-1], len(question.body), view)
        return reply

    async def _candidate(self, attempt: Attempt, question: Question, view: View) -> Reply:
        """The candidate's reply, or the current model's where it has none; what neither answers is nobody's fault."""
        trial, side, begun = self._trial, view.tally.candidate, perf_counter()
        said: Meter | None = question.scope.get(METER)
        meter = None if said is None else Once(said)
        try:
            reply = await self._in_time(charged(meter, lambda one: attempt(trial.candidate, one, None)))
        except _Late:
            again = perf_counter()
            reply = await charged(meter, lambda one: attempt(trial.current, one, None))
            if perf_counter() - again < trial.terms.limits.max_wait_s:  # else both are slow, and it is nobody's fault
                side.was_late()
            return reply
        except (ClientGone, OverBudget, StorageDown, StorageFull):
            raise
        except Exception as error:  # noqa: BLE001  whatever a model raises, the other one is asked
            return await self._instead(attempt, meter, side, error)
        side.answered(perf_counter() - begun, len(question.body))
        return reply

    async def _in_time(self, asked: Coroutine[object, object, Reply]) -> Reply:
        """The candidate's reply, if it comes in time. What a thread of its computes goes on, and is thrown away.

        Raises:
            _Late: it does not come.
        """
        most_s = self._trial.terms.limits.max_wait_s
        if not most_s:
            return await asked
        task = asyncio.create_task(asked)
        try:
            done, _ = await asyncio.wait({task}, timeout=most_s)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            # Left to end by itself: a thread that cannot be stopped keeps its place among those that there may be.
            task.add_done_callback(_forget)
            self._left.add(task)
            task.add_done_callback(self._left.discard)
            raise _Late
        return task.result()

    async def _instead(self, attempt: Attempt, meter: Meter | None, side: Side, error: Exception) -> Reply:
        reply = await charged(meter, lambda one: attempt(self._trial.current, one, None))
        if isinstance(error, Busy):  # that is how much is asked of it, and nothing that it says
            return reply
        side.failed()
        if not self._told:  # once: whoever can make it fail is not to fill the log
            _LOG.warning("the candidate fails on a request that the current model answers: %s", type(error).__name__)
        self._told = True
        return reply

    # -- the lane ----------------------------------------------------------------------------------------------------

    def at_once(self, current: Predict, candidate: Predict) -> Callable[..., AtOnce]:
        """What answers a small request without a task, of the two endpoints' own; None: ``ask`` is to look at it."""
        ways = {"current": current.at_once, "candidate": candidate.at_once}

        def answer(headers: Mapping[bytes, bytes], body: bytes, meter: Meter | None = None) -> AtOnce:
            view = self._trial.view
            if WISH in headers:
                return None
            which: Which = "candidate" if view.mode == "promoted" else "current"
            if view.mode not in {"canary", "shadow"}:
                return ways[which](headers, body, meter)
            if len(body) > INLINE_BYTES or headers.get(b"content-type") != JSON:
                return None  # no trial keeps the event loop for long
            if view.mode == "canary":
                identity = self._door.asker(headers)
                if identity is None and self._door.is_closed:
                    return None
                who = who_asks(_name(identity), headers.get(STICKY, b"")[:STICKY_BYTES], body)
                if place_of(view.salt, who) < view.threshold:
                    which = "candidate"
            self._noted = None
            begun = perf_counter()
            reply = ways[which](headers, body, meter)
            if reply is None or (reply[0] != 200 and which == "candidate"):
                return None  # the ordinary way asks the other model
            if reply[0] == 200:
                side = view.tally.candidate if which == "candidate" else view.tally.current
                side.answered(perf_counter() - begun, len(body))
                if view.mode == "shadow" and self._noted is not None:
                    asked = Asked("json", None, "json", body)
                    self._show(lambda service: service.read(asked), self._noted, len(body), view)
            self._noted = None
            return reply

        return answer

    def _show(self, read: Callable[[Service], Table], answers: Answers, size_bytes: int, view: View) -> None:
        """Lets the shadow have it, once the answer is on its way."""
        answered = Answered(read, answers, size_bytes, view.tally.shadow)
        asyncio.get_running_loop().call_soon(self._trial.shadow.show, answered)


async def _asked(attempt: Attempt, service: Service, scope: Scope) -> Reply:
    return await charged(scope.get(METER), lambda meter: attempt(service, meter, None))


def _forget(task: asyncio.Task[Reply]) -> None:
    """Takes what came too late, so that nobody says that nobody took it."""
    if not task.cancelled():
        task.exception()


def _wished(wish: bytes, view: View) -> Which:
    """Which model a client asks for by name; a deployment asks for the current one.

    Raises:
        Refused: the candidate, which answers nobody; or there is no such model (404).
    """
    if wish in {b"", b"current"}:
        return "current"
    if wish == b"candidate" and view.mode in {"canary", "promoted"}:
        return "candidate"
    raise Refused(
        "not_found",
        "There is no candidate here that may be asked.",
        hint="X-Aweigh-Release is current, or candidate while there is a canary",
    )


def _name(identity: Identity | None) -> str | None:
    """Who asks; the app's own processes ask for nobody."""
    return None if identity is None or identity.kind == "nobody" else identity.id


def _is_models(error: Exception) -> bool:
    """Whether the model has failed, and not the client, its budget or a store."""
    if isinstance(error, NoAnswer):
        return True
    if isinstance(error, (ClientGone, DataError, OverBudget, StorageDown, StorageFull)):
        return False
    return not isinstance(error, AweighError) or status_of(error) >= 500


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")
