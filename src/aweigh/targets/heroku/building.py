"""From a source to a release: uploaded, built and released, or found where an earlier run has done so."""

import time
from collections.abc import Collection, Sequence

from aweigh.errors import RemoteError
from aweigh.targets.errors import AGAIN, quote
from aweigh.targets.heroku import requests as ask
from aweigh.targets.heroku.api import Api
from aweigh.targets.heroku.boot import Patience
from aweigh.targets.heroku.documents import Build, HerokuRelease, Source
from aweigh.targets.heroku.errors import BuildFailed, HerokuSilent, ReleaseFailed, build_failed
from aweigh.targets.heroku.stream import follow
from aweigh.targets.heroku.wish import Going, Packed
from aweigh.targets.telling import Telling

KEPT_LINES = 60
"""Of a log, to say from why it failed."""


def begun(going: Going) -> tuple[Build, bool]:
    """The build of this source: one that is live or under way, else a new one; whether it is to be waited for.

    Raises:
        HerokuRefused: nothing was begun.
        HerokuSilent: whether it was is not known.
    """
    api, app = going.api, going.app
    builds = sorted(api.ask(ask.list_builds(app), list[Build]), key=lambda one: one.created_at, reverse=True)
    ours = [one for one in builds if one.source_blob.version == going.packed.version]
    releases = releases_of(going)
    current = current_of(releases)
    live = next((one for one in ours if one.status == "succeeded" and is_live(one, current, releases)), None)
    if live is not None:
        going.telling.line(
            "build", f"{going.packed.version} is live already, as {current.label if current else '?'}", 0.0
        )
        return live, False
    build = next((one for one in ours if one.status == "pending"), None)
    if build is None:
        return _new_build(going, known={one.id for one in builds}), True
    going.telling.line("build", f"{going.packed.version} is being built already: going on with that", 0.0)
    return build, True


def ended(going: Going, build: Build) -> Build:
    """A build when it has succeeded.

    Raises:
        BuildFailed: it failed, or is not done in time.
    """
    started = time.monotonic()
    build = _wait_for_build(going, build)
    going.telling.line("build", f"{going.packed.version} is built", time.monotonic() - started)
    return build


def new_source(api: Api, packed: Packed, *, telling: Telling) -> str:
    """Uploads a source; the address that it is built from.

    Raises:
        RemoteError: Heroku names no place for it, or does not take it.
    """
    started = time.monotonic()
    blob = api.ask(ask.new_source(), Source).source_blob
    if not blob.put_url or not blob.get_url:
        raise RemoteError("Heroku names no place for the source.", hint=AGAIN)
    api.upload(blob.put_url, packed.content)
    telling.line("upload", f"{len(packed.content) / 1e6:.1f} MB of source", time.monotonic() - started)
    return blob.get_url


def _new_build(going: Going, *, known: Collection[str]) -> Build:
    api, app, packed = going.api, going.app, going.packed
    url = new_source(api, packed, telling=going.telling)
    request = ask.create_build(
        app,
        url=url,
        checksum=f"SHA256:{packed.sha256}",
        version=packed.version,
        description=going.described,
    )
    try:
        return api.ask(request, Build)
    except HerokuSilent:
        builds = api.ask(ask.list_builds(app), list[Build])
        # It may have ended by now: it is known by not having been there before, not by being under way.
        lost = [one for one in builds if one.source_blob.version == packed.version and one.id not in known]
        if not lost:
            raise
        return max(lost, key=lambda one: one.created_at)


def _wait_for_build(going: Going, build: Build) -> Build:
    api, app = going.api, going.app
    until = time.monotonic() + going.patience.build_s
    kept: list[str] = []

    def hear(line: str) -> None:
        kept.append(line)
        del kept[:-KEPT_LINES]
        going.telling.hear(line)

    def again() -> Build:
        return api.ask(ask.get_build(app, build.id), Build)

    if build.output_stream_url:
        opened = lambda: again().status == "pending"  # noqa: E731  asked only where the stream ends
        follow(api, build.output_stream_url, hear=hear, what="to follow the build", until=until, opened=opened)
    build = again()
    while build.status == "pending" or (build.status == "succeeded" and build.release is None):
        if time.monotonic() > until:
            raise BuildFailed(f"The build is not done after {going.patience.build_s:.0f} s.", hint=AGAIN, ended=False)
        api.pause(going.patience.poll_s)
        build = again()
    if build.status == "failed":
        raise build_failed(kept)
    return build


def releases_of(going: Going) -> list[HerokuRelease]:
    """The newest releases, the newest first."""
    found = going.api.ask(ask.list_releases(going.app), list[HerokuRelease])
    return sorted(found, key=lambda one: one.version, reverse=True)


def current_of(releases: Sequence[HerokuRelease]) -> HerokuRelease | None:
    """The release that is current."""
    return next((one for one in releases if one.current), None)


def is_live(build: Build, current: HerokuRelease | None, releases: Sequence[HerokuRelease] = ()) -> bool:
    """Whether what a build made is what the current release runs.

    An image (of the generation Fir) is no part of its build: it is known by the release that the build made, one of
    ``releases``, and may be current in a later one that only changed settings.
    """
    if current is None:
        return False
    if build.slug is not None and current.code:
        return build.slug.id == current.code
    if build.release is None:
        return False
    made = next((one for one in releases if one.id == build.release.id), None)
    return build.release.id == current.id or (made is not None and made.code != "" and made.code == current.code)


def code_before(releases: Sequence[HerokuRelease], *, but: str = "") -> HerokuRelease | None:
    """The release to go back to: the current one if it runs something else than ``but``, else the last that did."""
    usable = [
        one
        for one in releases
        if one.code not in {"", but}
        and one.status == "succeeded"
        and (one.current or one.eligible_for_rollback is not False)
    ]
    return next((one for one in usable if one.current), usable[0] if usable else None)


def released(going: Going, build: Build) -> HerokuRelease:
    """The release that is to be live, when its release phase has ended well.

    Raises:
        ReleaseFailed: it failed, or does not end; Heroku leaves what was live before.
    """
    started = time.monotonic()
    known = releases_of(going)
    newest = known[0]
    if newest.status == "succeeded" and is_live(build, newest, known):
        live = newest
    elif build.release is not None:
        live = going.api.ask(ask.get_release(going.app, build.release.id), HerokuRelease)
    else:
        live = newest
    live = wait_for_release(going.api, going.app, live, telling=going.telling, patience=going.patience)
    going.telling.line("release", f"{live.label}, {live.description or 'live'}", time.monotonic() - started)
    return live


def wait_for_release(
    api: Api, app: str, release: HerokuRelease, *, telling: Telling, patience: Patience
) -> HerokuRelease:
    """A release whose release phase, if it has one, ended well.

    Raises:
        ReleaseFailed: it did not.
    """
    until = time.monotonic() + patience.release_s
    kept: list[str] = []

    def hear(line: str) -> None:
        kept.append(line)
        del kept[:-KEPT_LINES]
        telling.hear(line)

    def again() -> HerokuRelease:
        return api.ask(ask.get_release(app, release.id), HerokuRelease)

    if release.status != "succeeded" and release.output_stream_url:
        opened = lambda: again().status == "pending"  # noqa: E731
        what = "to follow the release phase"
        follow(api, release.output_stream_url, hear=hear, what=what, until=until, opened=opened)
        release = again()
    while release.status == "pending":
        if time.monotonic() > until:
            raise ReleaseFailed(
                f"The release phase of {release.label} is still pending after {patience.release_s:.0f} s.",
                hint=f"what ran before runs on; {AGAIN}",
                ended=False,
            )
        api.pause(patience.poll_s)
        release = again()
    if release.status != "succeeded":
        last = next((line.strip() for line in reversed(kept) if line.strip()), "")
        raise ReleaseFailed(
            f"The release phase of {release.label} {release.status}{f': {quote(last)}' if last else '.'}",
            hint="the process 'release' of the Procfile failed; what ran before runs on",
        )
    return release
