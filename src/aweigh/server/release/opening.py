"""Two models in the place of one: what the app asks of each address when a candidate is being tried."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from aweigh.errors import AweighError, UsageError
from aweigh.runtime.predictor import Predictor
from aweigh.runtime.release.compatible import incompatible
from aweigh.runtime.release.policy import Limits
from aweigh.runtime.release.state import State
from aweigh.schema import Schema
from aweigh.server.access.door import Door
from aweigh.server.api import Predict
from aweigh.server.asking import one_model
from aweigh.server.metrics import Beside, Counters
from aweigh.server.oip import OpenInference
from aweigh.server.readiness import Readiness
from aweigh.server.release.routes import Release
from aweigh.server.release.store import Store
from aweigh.server.release.told import audited, metrics_text
from aweigh.server.release.trial import Terms, Trial, Which
from aweigh.server.release.ways import Ways
from aweigh.server.service import Service
from aweigh.server.settings import Settings

SHOWN = 5

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A second bundle, loaded, and where the state of the release is kept."""

    predictor: Predictor
    store: Store


class Either:
    """An ASGI app that is the current model's or the candidate's, whichever answers everybody who is in no trial."""

    def __init__(self, trial: Trial, apps: dict[Which, ASGIApp]) -> None:
        self._trial = trial
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._apps[self._trial.answers_all](scope, receive, send)


class Versions:
    """The Open Inference Protocol of two models: an address with a version in it is that model's, if it answers."""

    def __init__(self, trial: Trial, either: Either, alone: dict[Which, ASGIApp]) -> None:
        self._trial = trial
        self._either = either
        self._alone = alone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        _, found, rest = scope["path"].partition("/versions/")
        which = self._named(rest.partition("/")[0]) if found else None
        await (self._either if which is None else self._alone[which])(scope, receive, send)

    def _named(self, version: str) -> Which | None:
        candidate = self._trial.candidate.predictor
        if version in {candidate.version, candidate.digest} and self._trial.view.mode in {"canary", "promoted"}:
            return "candidate"
        current = self._trial.current.predictor
        return "current" if version in {current.version, current.digest} else None


@dataclass(frozen=True, slots=True)
class TwoModels:
    """What the app is made from where there are two models."""

    trial: Trial
    predict: ASGIApp
    at_once: Callable[..., tuple[int, bytes, bytes] | None]
    oip: ASGIApp
    routes: list[Route]
    candidate: Predictor

    def stands(self) -> Predictor:
        """Whose answers everybody gets who is in no trial."""
        return self.trial.service(self.trial.answers_all).predictor

    def either(self, current: ASGIApp, candidate: ASGIApp) -> Either:
        """The one's or the other's, whichever answers everybody who is in no trial."""
        return Either(self.trial, {"current": current, "candidate": candidate})

    def counters(self) -> str:
        """The lines of ``/metrics``."""
        return metrics_text(self.trial)


def two_models(
    current: Service,
    candidate: Candidate,
    *,
    settings: Settings,
    counters: Counters,
    readiness: Readiness,
    door: Door,
) -> TwoModels:
    """The trial of a candidate beside the service of the current model, and what answers at each address.

    Raises:
        UsageError: the candidate cannot be asked what the current model is asked.
    """
    named = candidate.predictor.manifest.name
    check_candidate((current.predictor.manifest.name, current.schema), (named, candidate.predictor.schema))
    other = Service(candidate.predictor, settings=settings, counters=Beside(counters), discreet=door.is_closed)

    def tell(state: State) -> None:
        try:
            audited(door, state, candidate.predictor)
        except AweighError as error:
            _LOG.warning("what became of the release could not be written into the audit log: %s", error.message)

    trial = Trial(current, other, terms=terms_of(settings), store=candidate.store, tell=tell)
    ways = Ways(trial, door)
    make: dict[str, Any] = {"readiness": readiness, "settings": settings}
    predicts = [Predict(one, ask=ways.ask, **make) for one in (current, other)]
    both: dict[Which, ASGIApp] = {
        "current": OpenInference(current, ask=ways.ask, **make),
        "candidate": OpenInference(other, ask=ways.ask, **make),
    }
    alone: dict[Which, ASGIApp] = {
        "current": OpenInference(current, ask=one_model(current), **make),
        "candidate": OpenInference(other, ask=one_model(other), **make),
    }
    return TwoModels(
        trial=trial,
        predict=predicts[0],
        at_once=ways.at_once(*predicts),
        oip=Versions(trial, Either(trial, both), alone),
        routes=[
            Route("/v1/release", Release(trial, door=door, token=settings.release_token, proxies=settings.proxies))
        ],
        candidate=candidate.predictor,
    )


def check_candidate(current: tuple[str, Schema], candidate: tuple[str, Schema]) -> None:
    """Passes a candidate that can be asked what the current model is asked; of both their name and their schema.

    Raises:
        UsageError: it cannot; the message says why.
    """
    found = list(incompatible(current[1], candidate[1]))
    if candidate[0] != current[0]:
        found.insert(
            0, f"it is named {candidate[0]!r}, and the current model, by whose name it is asked, {current[0]!r}"
        )
    if not found:
        return
    more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    raise UsageError(
        f"The candidate cannot take the current model's place: {'; '.join(found[:SHOWN])}{more}.",
        hint="clients would have to ask otherwise: serve it at an address of its own, or pack it to fit",
    )


def terms_of(settings: Settings) -> Terms:
    """How the settings say that a release begins, and when it ends by itself."""
    return Terms(
        mode=settings.release_mode,  # type: ignore[arg-type]  # one of the words that the settings take
        percent=settings.release_percent,
        limits=Limits(
            min_requests=settings.release_min_requests,
            max_errors=settings.release_max_errors,
            max_slower=settings.release_max_slower,
            slow_floor_s=settings.release_slow_floor_s,
            max_disagreement=settings.release_max_disagreement,
            max_wait_s=settings.release_max_wait_s,
        ),
        automatic=settings.release_auto == "on",
        tolerance=settings.release_tolerance,
    )
