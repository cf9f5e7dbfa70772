"""One port, wired: the API, the protocol of others, health, counters and, last, the UI, behind one gate."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from aweigh.errors import AweighError
from aweigh.runtime.predictor import Predictor
from aweigh.server.access.asked import Place
from aweigh.server.access.door import Door
from aweigh.server.access.entrance import Entrance
from aweigh.server.api import Predict, model_document, schema_document
from aweigh.server.endpoints import (
    Get,
    Nothing,
    Pages,
    document,
    fail,
    live,
    me,
    metrics,
    ready,
    refuse,
    refuse_unknown,
)
from aweigh.server.gate import AtOnce, Gate
from aweigh.server.lifespan import UI, lifespan
from aweigh.server.metrics import Counters
from aweigh.server.oip import OpenInference
from aweigh.server.readiness import Readiness
from aweigh.server.service import Service
from aweigh.server.settings import Settings

if TYPE_CHECKING:
    from aweigh.guard.identity import Identity
    from aweigh.guard.sweep import Verdict
    from aweigh.server.access.sweeps import Sweeps
    from aweigh.server.docs import Page
    from aweigh.server.jobs.door import Door as Jobs
    from aweigh.server.release.opening import Candidate


def create_app(  # noqa: PLR0913  what the process that serves hands in, each by its name
    predictor: Predictor | None,
    *,
    settings: Settings | None = None,
    ui: UI | None = None,
    readiness: Readiness | None = None,
    counters: Counters | None = None,
    on_settled: Callable[[], None] | None = None,
    prove_first: bool = False,
    jobs: "Jobs | None" = None,
    entrance: Entrance | None = None,
    candidate: "Candidate | None" = None,
) -> ASGIApp:
    """The ASGI app of a predictor and a UI; without a predictor only the UI, health and counters answer.

    ``readiness`` and ``counters`` are given by a caller who wants to see them. ``on_settled`` is called once on the
    event loop, when the golden rows have been replayed, whether they agreed or not; with ``prove_first`` no request is
    let in before. Without ``jobs`` none are taken; without an ``entrance`` nobody is asked who they are. A
    ``candidate`` is tried beside the predictor.
    """
    settings, readiness, counters = settings or Settings(), readiness or Readiness(), counters or Counters()
    entrance = entrance or Entrance(Door(Place()))
    words = settings if jobs is not None else dataclasses.replace(settings, jobs="off")
    service = (
        None
        if predictor is None
        else Service(predictor, settings=settings, counters=counters, discreet=entrance.door.is_closed)
    )
    two = None
    if service is not None and candidate is not None:
        from aweigh.server.release.opening import two_models

        two = two_models(
            service, candidate, settings=settings, counters=counters, readiness=readiness, door=entrance.door
        )
    oip: ASGIApp = OpenInference(service, readiness=readiness, settings=settings) if two is None else two.oip
    stands = (lambda: predictor) if two is None else two.stands
    more = (lambda: "") if two is None else two.counters

    def told(make: Callable[..., Any], *, as_page: bool = False) -> ASGIApp:
        """What is made of the model that answers everybody who is in no trial."""
        kind: Callable[[Callable[[], Any]], ASGIApp] = Pages if as_page else document
        first = kind(partial(make, predictor))
        return first if two is None else two.either(first, kind(partial(make, two.candidate)))

    routes: list[Route | Mount] = []
    directly: dict[str, ASGIApp] = {}
    at_once: dict[str, AtOnce] = {}
    if service is not None and predictor is not None:
        predict: ASGIApp
        if two is None:
            one = Predict(service, readiness=readiness, settings=settings)
            predict, at_once = one, {"/v1/predict": one.at_once}
        else:
            predict, at_once = two.predict, {"/v1/predict": two.at_once}
        directly = {
            "/v1/predict": predict,
            f"/v2/models/{predictor.manifest.name}/infer": oip,
        }
        routes = [
            Route("/v1/schema", told(schema_document)),
            Route("/v1/model", told(partial(model_document, in_full=not settings.disclosure))),
            Route("/v1/me", Get(me)),
            *([] if two is None else two.routes),
            *([] if jobs is None else jobs.routes()),
        ]
    routes += [
        Route("/v1/openapi.json", told(partial(_openapi, settings=words))),
        Route("/v1/docs", told(partial(_docs, settings=words), as_page=True)),
        Route("/v2", oip),
        Route("/v2/{path:path}", oip),
        Route("/health/live", Get(live)),
        Route("/health/ready", Get(partial(ready, readiness=readiness, stands=stands))),
        Route(
            "/metrics", Get(partial(metrics, counters=counters, stands=stands, settings=settings, jobs=jobs, more=more))
        ),
        # Nothing of ours falls through to the UI, which answers 200 to every path it does not know.
        *[
            Route(f"/{first}{rest}", Nothing())
            for first in ("v1", "health", "metrics")
            for rest in ("", "/{rest:path}")
        ],
        Mount("/", ui) if ui is not None else Route("/", Pages(partial(_front, predictor))),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={AweighError: refuse, HTTPException: refuse_unknown, Exception: fail},
        lifespan=partial(
            lifespan,
            service=service,
            ui=ui,
            jobs=jobs,
            sweeps=_watched(entrance.door, predictor, settings=settings, counters=counters),
            trial=None if two is None else two.trial,
            readiness=readiness,
            on_settled=on_settled,
            prove_first=prove_first,
        ),
    )
    app.router.redirect_slashes = False
    return Gate(app, counters=counters, door=entrance.door, pages=entrance.pages, directly=directly, at_once=at_once)


def _watched(door: Door, predictor: Predictor | None, *, settings: Settings, counters: Counters) -> "Sweeps | None":
    """The watch for sweeps, where it is known who asks."""
    if predictor is None or not door.is_closed or settings.sweeps == "off":
        return None
    from aweigh.server.access.sweeps import Sweeps, reference_of

    def tell(identity: "Identity", verdict: "Verdict") -> None:
        if door.suspect(identity, verdict):
            counters.suspected()

    sweeps = Sweeps(partial(reference_of, predictor), tell)
    door.watch(sweeps)
    return sweeps


# What is written for people and their programs is made when somebody asks for it, and so are the modules that write it.


def _openapi(predictor: Predictor | None, *, settings: Settings) -> dict[str, object]:
    from aweigh._version import __version__
    from aweigh.server.openapi import openapi_document

    return openapi_document(predictor, settings=settings, version=__version__)


def _docs(predictor: Predictor | None, *, settings: Settings) -> "Page":
    from aweigh.server.docs import docs_page

    return docs_page(predictor, settings=settings)


def _front(predictor: Predictor | None) -> "Page":
    from aweigh.server.docs import front_page

    return front_page(predictor)
