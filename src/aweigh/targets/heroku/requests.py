"""What is asked of the Platform API, as values: ``api.py`` sends them, ``--dry-run`` shows them, tests compare them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aweigh.secret import Secret

AFFINITY = "http-session-affinity"
"""A visitor's requests go to the dyno that they came to first: a page's session lives in one process."""

REVIEW = ".review-apps"
_DYNO = re.compile(r"\.|-[0-9a-z]{8,10}-[0-9a-z]{5}\Z")
"""What the name of a dyno has and that of a process type has not: ``web.1``, or of Fir ``web-1234abcde-123ab``."""

IMAGES = ".docker-releases"

Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request; ``what`` is what it is for, in words that follow a verb: ``to create the app penguins``.

    ``body`` may hold ``Secret`` values. One that is not ``repeatable`` is sent once: what it makes must not be made
    twice, and if its answer is lost it is looked for. ``part`` is the ``Range`` of a list. ``variant`` stands
    behind the API's version in ``Accept``, where Heroku's own command line has one.
    """

    method: Method
    path: str
    what: str
    body: Mapping[str, Any] | None = None
    repeatable: bool = True
    part: str | None = None
    variant: str = ""


def newest(field: str, *, most: int) -> str:
    """The ``Range`` of a list's newest entries."""
    return f"{field} ..; max={most}, order=desc"


def find_app(app: str) -> Request:
    """Ask for an app."""
    return Request("GET", f"/apps/{app}", f"to find the app {app}")


def create_app(
    app: str, *, region: str | None = None, stack: str | None = None, team: str | None = None, space: str | None = None
) -> Request:
    """Create an app, of a team's and in a private space if such are named."""
    wishes = {"region": region, "stack": stack, "team": team, "space": space}
    body = {"name": app} | {key: value for key, value in wishes.items() if value is not None}
    path = "/apps" if team is None and space is None else "/teams/apps"
    return Request("POST", path, f"to create the app {app}", body, repeatable=False)


def change_stack(app: str, stack: str) -> Request:
    """Build on another stack from the next build on."""
    return Request("PATCH", f"/apps/{app}", f"to change the stack of {app}", {"build_stack": stack})


def destroy_app(app: str) -> Request:
    """Destroy an app with all that belongs to it."""
    return Request("DELETE", f"/apps/{app}", f"to destroy the app {app}")


def list_addons(app: str) -> Request:
    """All add-ons of an app."""
    return Request("GET", f"/apps/{app}/addons", f"to list the add-ons of {app}")


def add_addon(app: str, plan: str) -> Request:
    """Add an add-on of a plan: ``heroku-postgresql:essential-0``."""
    return Request("POST", f"/apps/{app}/addons", f"to add {plan} to {app}", {"plan": plan}, repeatable=False)


def get_addon(app: str, addon: str) -> Request:
    """One add-on."""
    return Request("GET", f"/apps/{app}/addons/{addon}", f"to look at an add-on of {app}")


def get_config(app: str) -> Request:
    """All settings of an app."""
    return Request("GET", f"/apps/{app}/config-vars", f"to read the settings of {app}")


def set_config(app: str, changes: Mapping[str, str | Secret | None]) -> Request:
    """Change settings, all in one release; None takes one away."""
    return Request("PATCH", f"/apps/{app}/config-vars", f"to change settings of {app}", dict(changes))


def new_source() -> Request:
    """A place for a source; one that is not used goes by itself."""
    return Request("POST", "/sources", "to get a place for the source")


def create_build(app: str, *, url: str, checksum: str, version: str, description: str) -> Request:
    """Build a source; ``checksum`` is ``SHA256:`` and hex digits."""
    blob = {"url": url, "checksum": checksum, "version": version, "version_description": description}
    return Request("POST", f"/apps/{app}/builds", f"to build {app}", {"source_blob": blob}, repeatable=False)


def list_builds(app: str, *, most: int = 50) -> Request:
    """The newest builds."""
    part = newest("created_at", most=most)
    return Request("GET", f"/apps/{app}/builds", f"to list the builds of {app}", part=part)


def get_build(app: str, build: str) -> Request:
    """One build."""
    return Request("GET", f"/apps/{app}/builds/{build}", f"to look at the build of {app}")


def list_releases(app: str, *, most: int = 50) -> Request:
    """The newest releases."""
    part = newest("version", most=most)
    return Request("GET", f"/apps/{app}/releases", f"to list the releases of {app}", part=part)


def get_release(app: str, release: str) -> Request:
    """One release, by its id or version."""
    return Request("GET", f"/apps/{app}/releases/{release}", f"to look at a release of {app}")


def roll_back(app: str, release: str) -> Request:
    """Release once more what an earlier release was, by its id."""
    path = f"/apps/{app}/releases"
    return Request("POST", path, f"to roll {app} back", {"release": release}, repeatable=False)


def list_formation(app: str) -> Request:
    """How many dynos of each type there are to be."""
    return Request("GET", f"/apps/{app}/formation", f"to read the formation of {app}")


def scale(app: str, updates: Sequence[Mapping[str, Any]]) -> Request:
    """Change how many there are to be, and of which size."""
    return Request("PATCH", f"/apps/{app}/formation", f"to scale {app}", {"updates": [dict(one) for one in updates]})


def release_images(app: str, updates: Sequence[Mapping[str, Any]]) -> Request:
    """Release images that were pushed: of each process type the id of its image."""
    body = {"updates": [dict(one) for one in updates]}
    return Request("PATCH", f"/apps/{app}/formation", f"to release images in {app}", body, variant=IMAGES)


def of_type(kind: str, *, quantity: int | None = None, size: str | None = None) -> dict[str, Any]:
    """One update of a formation."""
    found: dict[str, Any] = {"type": kind}
    if quantity is not None:
        found["quantity"] = quantity
    if size is not None:
        found["dyno_size"] = {"name": size}
    return found


def get_feature(app: str, feature: str = AFFINITY) -> Request:
    """Whether something is switched on."""
    return Request("GET", f"/apps/{app}/features/{feature}", f"to look at {feature} of {app}")


def set_feature(app: str, feature: str = AFFINITY, *, enabled: bool = True) -> Request:
    """Switch something on or off."""
    path = f"/apps/{app}/features/{feature}"
    return Request("PATCH", path, f"to switch {feature} of {app}", {"enabled": enabled})


def list_dynos(app: str) -> Request:
    """The dynos that there are."""
    return Request("GET", f"/apps/{app}/dynos", f"to list the dynos of {app}")


def open_log(app: str, *, lines: int, tail: bool = False, process: str | None = None, is_fir: bool = False) -> Request:
    """A place to read the log at for a while; of the generation Fir there are no last lines to be asked for."""
    body: dict[str, Any] = {} if is_fir else {"lines": lines, "tail": tail}
    if process is not None:
        body["dyno_name" if _DYNO.search(process) else "type"] = process
    return Request("POST", f"/apps/{app}/log-sessions", f"to read the log of {app}", body)


def get_account() -> Request:
    """Whose the token is."""
    return Request("GET", "/account", "to see whose the token is")


def find_coupling(app: str) -> Request:
    """Where an app stands in a pipeline."""
    return Request("GET", f"/apps/{app}/pipeline-couplings", f"to find the pipeline of {app}")


def find_pipeline(pipeline: str) -> Request:
    """A pipeline, by its name or id."""
    return Request("GET", f"/pipelines/{pipeline}", f"to find the pipeline {pipeline}")


def create_pipeline(pipeline: str, *, owner: str, owner_type: Literal["user", "team"] = "user") -> Request:
    """Create a pipeline of a user's or a team's, by the id."""
    body = {"name": pipeline, "owner": {"id": owner, "type": owner_type}}
    return Request("POST", "/pipelines", f"to create the pipeline {pipeline}", body, repeatable=False)


def couple(app: str, pipeline: str, stage: str) -> Request:
    """Put an app into a pipeline, by its id."""
    body = {"app": app, "pipeline": pipeline, "stage": stage}
    return Request("POST", "/pipeline-couplings", f"to put {app} into the pipeline", body, repeatable=False)


def change_stage(coupling: str, stage: str) -> Request:
    """Put an app of a pipeline into another stage."""
    return Request("PATCH", f"/pipeline-couplings/{coupling}", "to change the stage of the app", {"stage": stage})


def list_couplings(pipeline: str) -> Request:
    """All apps of a pipeline."""
    return Request("GET", f"/pipelines/{pipeline}/pipeline-couplings", "to list the apps of the pipeline")


def promote(pipeline: str, *, source: str, release: str, targets: Sequence[str]) -> Request:
    """Promote a release to other apps of its pipeline; all by their ids."""
    body = {
        "pipeline": {"id": pipeline},
        "source": {"app": {"id": source}, "release": {"id": release}},
        "targets": [{"app": {"id": one}} for one in targets],
    }
    return Request("POST", "/pipeline-promotions", "to promote the release", body, repeatable=False)


def get_promotion(promotion: str) -> Request:
    """How a promotion goes."""
    return Request("GET", f"/pipeline-promotions/{promotion}", "to look at the promotion")


def promotion_targets(promotion: str) -> Request:
    """How a promotion goes in each app."""
    return Request("GET", f"/pipeline-promotions/{promotion}/promotion-targets", "to look at the promotion")


def get_review_config(pipeline: str) -> Request:
    """How a pipeline makes review apps."""
    path = f"/pipelines/{pipeline}/review-app-config"
    return Request("GET", path, "to see whether the pipeline has review apps", variant=REVIEW)


def enable_review(pipeline: str, *, repository: str, stale_days: int | None = None) -> Request:
    """Have a pipeline make review apps of a repository (``owner/name``) that the account has connected."""
    body: dict[str, Any] = {"repo": repository, "automatic_review_apps": False}
    if stale_days is not None:
        body |= {"destroy_stale_apps": True, "stale_days": stale_days}
    path = f"/pipelines/{pipeline}/review-app-config"
    return Request("POST", path, "to switch review apps on", body, repeatable=False, variant=REVIEW)


def change_review_config(pipeline: str, *, stale_days: int) -> Request:
    """Change after how many days without a deployment a review app is destroyed."""
    body = {"destroy_stale_apps": True, "stale_days": stale_days}
    path = f"/pipelines/{pipeline}/review-app-config"
    return Request("PATCH", path, "to change the review apps' settings", body, variant=REVIEW)


def create_review(
    pipeline: str, *, branch: str, url: str, version: str, environment: Mapping[str, str | Secret]
) -> Request:
    """Create a review app of a source for a branch."""
    body: dict[str, Any] = {"pipeline": pipeline, "branch": branch, "source_blob": {"url": url, "version": version}}
    if environment:
        body["environment"] = dict(environment)
    return Request("POST", "/review-apps", f"to create a review app of {branch}", body, repeatable=False)


def list_reviews(pipeline: str) -> Request:
    """All review apps of a pipeline."""
    return Request("GET", f"/pipelines/{pipeline}/review-apps", "to list the review apps")


def get_review(review: str) -> Request:
    """One review app."""
    return Request("GET", f"/review-apps/{review}", "to look at the review app")


def destroy_review(review: str) -> Request:
    """Destroy a review app with all that belongs to it."""
    return Request("DELETE", f"/review-apps/{review}", "to destroy the review app")


def get_setup(setup: str) -> Request:
    """How the making of an app from its app.json goes."""
    return Request("GET", f"/app-setups/{setup}", "to look at the app's setup")
