"""Pipelines: apps of one product in stages, from development to production, and what is live promoted along them."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aweigh.errors import RemoteError, UsageError
from aweigh.targets.errors import AGAIN, quote
from aweigh.targets.heroku import requests as ask
from aweigh.targets.heroku.after import releases
from aweigh.targets.heroku.api import Api
from aweigh.targets.heroku.boot import Patience
from aweigh.targets.heroku.building import current_of
from aweigh.targets.heroku.documents import App, Coupling, Named, Pipeline, Promotion, PromotionTarget
from aweigh.targets.heroku.errors import HerokuRefused, HerokuSilent

Stage = Literal["development", "staging", "production"]
STAGES: tuple[Stage, ...] = ("development", "staging", "production")
_NAME = re.compile(r"[a-z][a-z0-9-]{2,29}\Z")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """An app and its stage in a pipeline."""

    app: str
    stage: str


def find_pipeline(api: Api, pipeline: str) -> Pipeline | None:
    """The pipeline of that name or id; None: there is none.

    Raises:
        UsageError: none can be named so.
        RemoteError: Heroku cannot be asked, or refuses.
    """
    if _NAME.match(pipeline) is None and _ID.match(pipeline) is None:
        raise UsageError(
            f"No pipeline can be named {pipeline[:40]!r}.", hint="3 to 30 small letters, digits and -, first a letter"
        )
    try:
        return api.ask(ask.find_pipeline(pipeline), Pipeline)
    except HerokuRefused as error:
        if error.status == 404:
            return None
        raise


def the_pipeline(api: Api, pipeline: str) -> Pipeline:
    """The pipeline of that name or id.

    Raises:
        UsageError: there is none.
    """
    found = find_pipeline(api, pipeline)
    if found is None:
        raise UsageError(
            f"There is no pipeline {pipeline!r}.",
            hint=f"aweigh pipeline heroku {pipeline} --app NAME --stage staging makes one",
        )
    return found


def places(api: Api, pipeline: str) -> list[Place]:
    """The apps of a pipeline, in the order of its stages; review apps first.

    Raises:
        UsageError: there is no such pipeline.
    """
    couplings = api.ask(ask.list_couplings(the_pipeline(api, pipeline).id), list[Coupling])
    found = [Place(_name_of(api, one.app.id), one.stage) for one in couplings]
    return sorted(found, key=lambda one: (_rank(one.stage), one.app))


def couple(api: Api, pipeline: str, app: str, stage: Stage) -> tuple[Place, bool]:
    """Puts an app into a stage of a pipeline, which is made if there is none; its place, and whether that is new.

    Raises:
        UsageError: there is no such app, or it is in another pipeline.
        RemoteError: Heroku refuses.
    """
    found = find_pipeline(api, pipeline)
    there = api.ask(ask.find_app(app), App)
    now = coupling_of(api, app)
    if now is not None and (found is None or now.pipeline.id != found.id):
        raise UsageError(
            f"{app} is in another pipeline already.", hint="an app has one: take it out there, or name that pipeline"
        )
    if now is not None and now.stage == stage:
        return Place(there.name, stage), False
    if now is not None:
        api.send(ask.change_stage(now.id, stage))
        return Place(there.name, stage), True
    found = found or _created(api, pipeline, there)
    try:
        api.send(ask.couple(there.id, found.id, stage))
    except HerokuSilent:
        if coupling_of(api, app) is None:
            raise
    return Place(there.name, stage), True


def _created(api: Api, pipeline: str, of: App) -> Pipeline:
    """A pipeline: of the team whose app it is, else of whoever makes it."""
    if of.is_fir:
        raise UsageError(
            f"There is no pipeline {pipeline}, and one of the generation Fir is not made here.",
            hint=f"heroku pipelines:create {pipeline} --app {of.name} --stage STAGE makes it",
        )
    owner = of.team or api.ask(ask.get_account(), Named)
    kind: Literal["user", "team"] = "user" if of.team is None else "team"
    try:
        return api.ask(ask.create_pipeline(pipeline, owner=owner.id, owner_type=kind), Pipeline)
    except HerokuSilent:
        found = find_pipeline(api, pipeline)  # the answer was lost, and perhaps only the answer
        if found is None:
            raise
        return found


def coupling_of(api: Api, app: str) -> Coupling | None:
    """An app's place; None: it is in no pipeline.

    Raises:
        RemoteError: there is no such app, or Heroku refuses.
    """
    try:
        return api.ask(ask.find_coupling(app), Coupling)
    except HerokuRefused as error:
        if error.status == 404 and api.ask(ask.find_app(app), App):
            return None
        raise


def _name_of(api: Api, app: str) -> str:
    """An app's name; its id where this account may not see it."""
    try:
        return api.ask(ask.find_app(app), App).name
    except HerokuRefused as error:
        if error.status in {403, 404}:
            return app
        raise


def _rank(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else -1


# -- promotion -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Promoted:
    """How a promotion went in one app; ``why`` is empty where it went well."""

    app: str
    why: str = ""


def promote(api: Api, app: str, to: Sequence[str] = (), *, patience: Patience | None = None) -> list[Promoted]:
    """Promotes what is live to other apps of the app's pipeline: those named, else all of the next stage.

    Raises:
        UsageError: the app is in no pipeline, or nothing comes after it there.
        RemoteError: Heroku refuses.
    """
    patience = patience or Patience()
    place = coupling_of(api, app)
    if place is None:
        raise UsageError(
            f"{app} is in no pipeline.", hint=f"aweigh pipeline heroku PIPELINE --app {app} --stage staging"
        )
    names = {}
    for one in api.ask(ask.list_couplings(place.pipeline.id), list[Coupling]):
        if one.app.id != place.app.id and (to or one.stage == _following(place.stage)):
            names[one.app.id] = _name_of(api, one.app.id)
    if to:
        missing = sorted(set(to) - set(names.values()))
        if missing:
            raise UsageError(
                f"{missing[0]!r} is not in the pipeline of {app}.",
                hint="aweigh pipeline heroku NAME --app APP --stage STAGE",
            )
        names = {key: name for key, name in names.items() if name in to}
    current = current_of(releases(api, app))
    if not names or current is None:
        raise UsageError(f"Nothing comes after {app} in its pipeline.", hint="name apps with --to")
    begun = api.ask(
        ask.promote(place.pipeline.id, source=place.app.id, release=current.id, targets=sorted(names)), Promotion
    )
    until = time.monotonic() + patience.release_s
    ended = api.ask(ask.promotion_targets(begun.id), list[PromotionTarget])
    # An app with a release phase is not done when the promotion is.
    while begun.status == "pending" or any(one.status == "pending" for one in ended):
        if time.monotonic() > until:
            raise RemoteError("The promotion is still under way.", hint=AGAIN)
        api.pause(patience.poll_s)
        begun = api.ask(ask.get_promotion(begun.id), Promotion)
        ended = api.ask(ask.promotion_targets(begun.id), list[PromotionTarget])
    return [
        Promoted(
            names.get(one.app.id, one.app.id),
            "" if one.status == "succeeded" else quote(one.error_message or one.status),
        )
        for one in ended
    ]


def _following(stage: str) -> str:
    at = _rank(stage) if stage in STAGES else len(STAGES)
    return STAGES[at + 1] if at + 1 < len(STAGES) else ""
