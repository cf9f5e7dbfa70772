"""Review apps: an app of its own for each branch, made from ``app.json`` and gone when the branch is.

Heroku makes them: it reads ``environments.review`` of the source's ``app.json`` (one small dyno of each process, the
smallest add-ons, secrets of their own), and builds. Then it is checked like any deployment, and a later source of the
same branch is deployed to the same app.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from aweigh.errors import RemoteError, UsageError
from aweigh.secret import Secret
from aweigh.secret.read import read_secret
from aweigh.targets.errors import AGAIN, quote
from aweigh.targets.heroku import requests as ask
from aweigh.targets.heroku.api import Api
from aweigh.targets.heroku.boot import Patience
from aweigh.targets.heroku.building import new_source
from aweigh.targets.heroku.deploy import deploy
from aweigh.targets.heroku.documents import App, AppSetup, Pipeline, ReviewApp, ReviewConfig
from aweigh.targets.heroku.errors import BuildFailed, HerokuRefused, HerokuSilent, build_failed
from aweigh.targets.heroku.pipelines import the_pipeline
from aweigh.targets.heroku.render import asked_of
from aweigh.targets.heroku.settings import url_of
from aweigh.targets.heroku.stream import follow
from aweigh.targets.heroku.wish import Deployed, Packed, Wish
from aweigh.targets.release import Release
from aweigh.targets.telling import Telling

KEPT_LINES = 60
MOST_BRANCH = 200
_OVER = frozenset({"deleting", "deleted"})


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A review app as it is listed; ``app`` and ``url`` are empty where Heroku has not made it yet, or no longer."""

    branch: str
    status: str
    app: str = ""
    url: str = ""
    created: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A review app: of which branch, in which pipeline; ``environment`` is told it beside what ``app.json`` says."""

    pipeline: str
    branch: str
    environment: Mapping[str, Secret] = field(default_factory=dict)


def reviews(api: Api, pipeline: str) -> list[Reviewed]:
    """The review apps of a pipeline, by their branches.

    Raises:
        UsageError: there is no such pipeline.
        RemoteError: Heroku refuses.
    """
    found = []
    for one in _all(api, the_pipeline(api, pipeline)):
        app = _app_of(api, one)
        told = {} if app is None else {"app": app.name, "url": url_of(api, app)}
        why = "" if one.status != "errored" else quote(one.message or one.error_status or "")
        found.append(Reviewed(one.branch, one.status, created=one.created_at, why=why, **told))
    return sorted(found, key=lambda one: one.branch)


def enable(api: Api, pipeline: str, repository: str, *, stale_days: int | None = None) -> bool:
    """Has a pipeline make review apps of a repository that is connected to Heroku; whether that is new.

    Raises:
        UsageError: there is no such pipeline, or this is no repository.
        RemoteError: Heroku refuses: the repository is not connected, or not seen by this account.
    """
    owner, _, name = repository.partition("/")
    if not owner or not name or "/" in name or repository.split() != [repository]:
        raise UsageError(f"{repository[:60]!r} is no repository.", hint="write OWNER/NAME, as GitHub has it")
    found = the_pipeline(api, pipeline)
    there = _config_of(api, found)
    if there is None:
        api.send(ask.enable_review(found.id, repository=repository, stale_days=stale_days))
        return True
    if stale_days is not None and (not there.destroy_stale_apps or there.stale_days != stale_days):
        api.send(ask.change_review_config(found.id, stale_days=stale_days))
        return True
    return False


def _config_of(api: Api, pipeline: Pipeline) -> ReviewConfig | None:
    try:
        return api.ask(ask.get_review_config(pipeline.id), ReviewConfig)
    except HerokuRefused as error:
        if error.status == 404:
            return None
        raise


def given_here(release: Release, environ: Mapping[str, str]) -> dict[str, Secret]:
    """What only the owner knows and a review app is to be told, from this machine's environment.

    Raises:
        UsageError: something of it is not there.
    """
    found = {name: read_secret(environ, name) for name in asked_of(release)}
    missing = [name for name, value in found.items() if value is None]
    if missing:
        raise UsageError(
            f"A review app of it has to be told {', '.join(missing)}.", hint="set these here, and type it again"
        )
    return {name: value for name, value in found.items() if value is not None}


def create(
    api: Api,
    release: Release,
    packed: Packed,
    wanted: Wanted,
    *,
    telling: Telling | None = None,
    patience: Patience | None = None,
) -> Deployed:
    """A review app of a branch, made or brought up to this source, then checked as every deployment is.

    One that is being made is waited for; one that could not be made is taken away and made anew.

    Raises:
        UsageError: there is no such pipeline, it has no review apps, or a branch that cannot be.
        RemoteError: Heroku refuses or fails, it cannot be made, or it does not come up or agree.
    """
    telling, patience = telling or Telling(), patience or Patience()
    branch = wanted.branch
    if not branch.strip() or len(branch) > MOST_BRANCH or not branch.isprintable():
        raise UsageError(f"No branch can be named {branch[:40]!r}.", hint="write --branch as git has it")
    line = the_pipeline(api, wanted.pipeline)
    if _config_of(api, line) is None:
        raise UsageError(
            f"The pipeline {line.name} makes no review apps.",
            hint=f"connect its repository to it at dashboard.heroku.com, then: aweigh review heroku enable "
            f"--pipeline {line.name} --repo OWNER/NAME",
        )
    started = time.monotonic()
    found = next((one for one in _all(api, line) if one.branch == branch), None)
    if found is not None and found.status == "errored":
        api.send(ask.destroy_review(found.id))
        telling.line("review", f"the one of {branch} that could not be made is taken away", 0.0)
        found = None
    created = found is None
    if found is None:
        found = _begun(api, line, wanted, packed=packed, telling=telling)
    if found.status != "created":
        found = _wait(api, found, telling=telling, patience=patience)
    app = _app_of(api, found)
    if app is None:
        raise RemoteError(f"The review app of {branch} is gone.", hint=AGAIN)
    told = "created" if created else "found"
    telling.line("review", f"{app.name}, {told}, of {branch}", time.monotonic() - started)
    # From here on it is an app like any other: with this very source live it is only checked.
    done = deploy(api, release, packed, Wish(app.name), telling=telling, patience=patience)
    return replace(done, created=created, changed=created or done.changed)


def is_new(api: Api, wanted: Wanted) -> bool:
    """Whether there is no review app of the branch yet."""
    return all(one.branch != wanted.branch for one in _all(api, the_pipeline(api, wanted.pipeline)))


def destroy(api: Api, pipeline: str, branch: str) -> str:
    """Destroys the review app of a branch, with its add-ons and their data; the name of the app, if it had one.

    Raises:
        UsageError: there is none.
        RemoteError: Heroku refuses.
    """
    found = find_review(api, pipeline, branch)
    app = _app_of(api, found)
    api.send(ask.destroy_review(found.id))
    return "" if app is None else app.name


def find_review(api: Api, pipeline: str, branch: str) -> ReviewApp:
    """The review app of a branch.

    Raises:
        UsageError: there is none.
    """
    known = _all(api, the_pipeline(api, pipeline))
    found = next((one for one in known if one.branch == branch), None)
    if found is None:
        others = ", ".join(sorted(one.branch for one in known)[:5])
        raise UsageError(f"There is no review app of {branch[:60]!r}.", hint=f"there are: {others or 'none'}")
    return found


def _all(api: Api, pipeline: Pipeline) -> list[ReviewApp]:
    return [one for one in api.ask(ask.list_reviews(pipeline.id), list[ReviewApp]) if one.status not in _OVER]


def _app_of(api: Api, review: ReviewApp) -> App | None:
    if review.app is None or not review.app.id:
        return None
    try:
        return api.ask(ask.find_app(review.app.id), App)
    except HerokuRefused as error:
        if error.status == 404:
            return None
        raise


def _begun(api: Api, pipeline: Pipeline, wanted: Wanted, *, packed: Packed, telling: Telling) -> ReviewApp:
    url = new_source(api, packed, telling=telling)
    request = ask.create_review(
        pipeline.id, branch=wanted.branch, url=url, version=packed.version, environment=wanted.environment
    )
    try:
        return api.ask(request, ReviewApp)
    except HerokuSilent:
        found = next((one for one in _all(api, pipeline) if one.branch == wanted.branch), None)
        if found is None:
            raise
        return found


def _wait(api: Api, review: ReviewApp, *, telling: Telling, patience: Patience) -> ReviewApp:
    """Waits until it is made, its build's log heard on the way.

    Raises:
        RemoteError: it cannot be made, or is not in time.
    """
    until = time.monotonic() + patience.addon_s + patience.build_s
    kept: list[str] = []
    heard: set[str] = set()

    def hear(line: str) -> None:
        kept.append(line)
        del kept[:-KEPT_LINES]
        telling.hear(line)

    while review.status in {"pending", "creating"}:
        if time.monotonic() > until:
            raise RemoteError(f"The review app of {review.branch} is still being made.", hint=AGAIN)
        setup = _setup_of(api, review)
        stream = None if setup is None or setup.build is None else setup.build.output_stream_url
        if stream and stream not in heard:
            heard.add(stream)
            goes_on = lambda: _is_building(_setup_of(api, review))  # noqa: B023, E731  asked before the next turn
            follow(api, stream, hear=hear, what="to follow the build", until=until, opened=goes_on)
        else:
            api.pause(patience.poll_s)
        review = api.ask(ask.get_review(review.id), ReviewApp)
    if review.status != "created":
        raise _failed(review, _setup_of(api, review), kept)
    return review


def _setup_of(api: Api, review: ReviewApp) -> AppSetup | None:
    if review.app_setup is None or not review.app_setup.id:
        return None
    return api.ask(ask.get_setup(review.app_setup.id), AppSetup)


def _is_building(setup: AppSetup | None) -> bool:
    return setup is not None and setup.build is not None and setup.build.status == "pending"


def _failed(review: ReviewApp, setup: AppSetup | None, lines: Sequence[str]) -> RemoteError:
    """Why it could not be made: the build's own words, or those of who reads ``app.json``."""
    if setup is not None and setup.build is not None and setup.build.status == "failed":
        return build_failed(lines)
    said = [] if setup is None else [*(setup.manifest_errors or ()), setup.failure_message or ""]
    told = next((one for one in [*said, review.message or "", review.error_status or ""] if one), "it does not say why")
    return BuildFailed(
        f"Heroku could not make the review app of {review.branch}: {quote(told)}.",
        hint="change what it names and run the same command again: what is left of this one is taken away first",
    )
