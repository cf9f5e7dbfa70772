"""From a release to a live, checked app: each step is a function on values, and looks first at what is there.

A run that was cut off anywhere is gone on with by the next: an app that exists is found, settings that hold are let be,
a build of the same source is waited for, and what is live already is only checked.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial

from aweigh.errors import AweighError, ImageError, RemoteError
from aweigh.guard import deploy_key
from aweigh.oci.errors import RegistryRefused
from aweigh.secret import Secret
from aweigh.targets.errors import AnswersDiffer, NotUp
from aweigh.targets.heroku import requests as ask
from aweigh.targets.heroku.api import Api
from aweigh.targets.heroku.boot import Patience, log_of, memory_notes, readiness, watch_boot
from aweigh.targets.heroku.building import begun, code_before, ended, released, releases_of, wait_for_release
from aweigh.targets.heroku.container import Images, images_of, released_images
from aweigh.targets.heroku.documents import HerokuRelease
from aweigh.targets.heroku.errors import BuildFailed, HerokuRefused, ReleaseFailed
from aweigh.targets.heroku.formation import apply_formation, undo_formation
from aweigh.targets.heroku.generation import check_generation, notes_of_fir
from aweigh.targets.heroku.settings import (
    add_addons,
    apply_config,
    change_stack,
    check_people,
    find_or_create,
    set_back,
    settings_of,
    url_of,
)
from aweigh.targets.heroku.wish import Deployed, Going, Packed, Wish, check_wish
from aweigh.targets.invitations import first_invitation
from aweigh.targets.live import Replayed, golden_of, replay
from aweigh.targets.release import START, Release
from aweigh.targets.telling import Telling


def deploy(
    api: Api,
    release: Release,
    packed: Packed,
    wish: Wish,
    *,
    telling: Telling | None = None,
    patience: Patience | None = None,
) -> Deployed:
    """Takes a release live and checks it; where it does not come up or answers differently, what was before runs again.

    Raises:
        UsageError: something is asked for that cannot be.
        RemoteError: Heroku refuses or fails, the build or the release fails, or the app does not come up or agree.
    """
    check_wish(wish)
    golden = None if release.bundle is None else golden_of(release.files[release.bundle])
    going = Going(api, wish, release, packed, telling or Telling(), patience or Patience(), golden)
    images = images_of(going, wish.base) if wish.container else None
    app, created = find_or_create(going)
    check_generation(app, release, wish, telling=going.telling)
    stack = None if created else change_stack(going, app)
    before = code_before(releases_of(going))
    add_addons(going)
    there = settings_of(going)
    check_people(going, there)
    there, was = apply_config(going, there)
    live, changed = _released(going, was, images, stack=stack)
    before = before if before is None or before.code != live.code else code_before(releases_of(going), but=live.code)
    web, undo = apply_formation(going, first=before is None)
    try:
        replayed = _proven(going, live, web=web, url=url_of(api, app), secret=there.get(deploy_key.VARIABLE))
    except (NotUp, AnswersDiffer) as error:
        raise _taken_back(going, before, undo, error) from error
    return Deployed(
        app=app.name,
        url=url_of(api, app),
        release=live.label,
        source=packed.version,
        bundle=None if golden is None else golden.version,
        created=created,
        changed=changed,
        golden_rows=0 if replayed is None else replayed.rows,
        notes=tuple(notes_of_fir(going, app)) if app.is_fir else memory_notes(api, going.app, live),
        invite=None if app.is_fir else first_invitation(url_of(api, app), log_of(api, going.app, process="web")),
    )


def _released(
    going: Going, was: Mapping[str, Secret | None], images: Images | None, *, stack: str | None
) -> tuple[HerokuRelease, bool]:
    """Builds and releases; whether anything was built. What ends in a failure leaves the settings as they were.

    Where nobody knows whether Heroku goes on with it, they are let be: the next run goes on from there.

    Raises:
        RemoteError: it cannot be begun, fails, or does not end.
    """
    if images is not None:
        try:
            return released_images(going, images)
        except (HerokuRefused, ReleaseFailed, ImageError, RegistryRefused):
            set_back(going, was, stack=stack)
            raise
    try:
        build, is_new = begun(going)
    except HerokuRefused as error:
        if error.status < 500:
            set_back(going, was, stack=stack)
        raise
    try:
        build = ended(going, build) if is_new else build
        return released(going, build), is_new
    except (BuildFailed, ReleaseFailed) as error:
        if error.ended:
            set_back(going, was, stack=stack)
        raise


def is_ours(release: Release) -> bool:
    """Whether ``aweigh serve`` answers."""
    return START in release.processes.get("web", "")


def ready_path(release: Release) -> str:
    """Where the web process says that it is ready."""
    # Streamlit's own address for this is called otherwise in each of its ages.
    return "/health/ready" if is_ours(release) else "/"


def _proven(going: Going, live: HerokuRelease, *, web: int, url: str, secret: str | None) -> Replayed | None:
    """Waits for the boot, then replays the golden rows; None where there is no bundle, or nobody to answer.

    Raises:
        NotUp: it does not come up.
        AnswersDiffer: it answers differently.
    """
    started = time.monotonic()
    if web == 0:
        going.telling.line("boot", "no web dyno is wanted: nothing to check", 0.0)
        return None
    ready = readiness(url, ready_path(going.release))
    watch_boot(going.api, going.app, live, web=web, ready=ready, patience=going.patience)
    going.telling.line("boot", f"{live.label} is up and ready", time.monotonic() - started)
    golden = going.golden
    if golden is None or not is_ours(going.release):
        return None
    started = time.monotonic()
    check = partial(replay, url, golden, secret=Secret(secret) if secret else None)
    try:
        replayed = check()
    except RemoteError as error:
        raise AnswersDiffer(error.message, hint=error.hint) from error
    replayed.check("What is live")
    going.telling.line(
        "answers", f"{replayed.rows - replayed.skipped} golden rows agree with the original", time.monotonic() - started
    )
    return replayed


def _taken_back(
    going: Going, before: HerokuRelease | None, undo: Sequence[Mapping[str, object]], error: RemoteError
) -> RemoteError:
    """What ran before runs again, on as many dynos as before, or nothing where nothing did; the error that says so."""
    api, app = going.api, going.app
    try:
        if before is None:
            api.send(ask.scale(app, [ask.of_type("web", quantity=0)]))
            done = "Nothing ran before it: its dynos are stopped."
        else:
            back = api.ask(ask.roll_back(app, before.id), HerokuRelease)
            back = wait_for_release(api, app, back, telling=going.telling, patience=going.patience)
            going.telling.line("rollback", f"to {before.label}, as {back.label}", 0.0)
            undo_formation(going, undo)
            done = f"{before.label} runs again, as {back.label}."
    except AweighError as failed:
        done = f"It could not be taken back: {failed.message}"
        return type(error)(
            f"{error.message} {done}", hint=f"aweigh rollback heroku --app {app}; {error.hint or ''}".rstrip("; ")
        )
    ended = "" if error.message.endswith((".", "!", "?")) else "."
    return type(error)(f"{error.message}{ended} {done}", hint=(error.hint or "").replace("NAME", app) or None)
