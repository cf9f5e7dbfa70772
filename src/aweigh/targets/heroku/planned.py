"""What a first deployment would ask of Heroku, request by request, without asking anybody: ``--dry-run``."""

from collections.abc import Mapping, Sequence
from typing import Any

from aweigh.secret import Secret
from aweigh.targets.heroku import requests as ask
from aweigh.targets.heroku.formation import formation_updates
from aweigh.targets.heroku.requests import Request
from aweigh.targets.heroku.settings import config_changes, plans_of
from aweigh.targets.heroku.wish import Packed, Wish, check_wish
from aweigh.targets.release import Release

FROM_HEROKU = "(as Heroku says)"
FROM_BUILD = "(the digest of the image's config)"
WITHHELD = "(made up when it is sent)"


def planned(release: Release, packed: Packed, wish: Wish) -> list[Request]:
    """The requests that change something, in their order; a second deployment asks fewer of them.

    Raises:
        UsageError: Heroku would refuse it.
    """
    check_wish(wish)
    app = wish.app
    updates, web = formation_updates(release, (), wish, first=True)
    changes = config_changes(release, {})
    return [
        ask.find_app(app),
        ask.create_app(app, region=wish.region, stack=wish.stack, team=wish.team, space=wish.space),
        *(ask.add_addon(app, plan) for plan in plans_of(release, wish, {})),
        *([ask.set_config(app, changes)] if changes else []),
        *(_released_images(release, app) if wish.container else _built_there(release, packed, app)),
        *([ask.set_feature(app)] if web > 1 and release.has_ui else []),
        ask.scale(app, updates),
    ]


def _built_there(release: Release, packed: Packed, app: str) -> list[Request]:
    return [
        ask.new_source(),
        Request("PUT", FROM_HEROKU, f"to upload {len(packed.content):,} bytes, without the token"),
        ask.create_build(
            app,
            url=FROM_HEROKU,
            checksum=f"SHA256:{packed.sha256}",
            version=packed.version,
            description=f"aweigh: {release.name}",
        ),
    ]


def _released_images(release: Release, app: str) -> list[Request]:
    pushed = [
        Request("PUT", f"/v2/{app}/{kind}/manifests/latest", f"to push the image of {kind} to Heroku's registry")
        for kind in release.processes
    ]
    updates = [{"type": kind, "docker_image": FROM_BUILD} for kind in release.processes]
    return [*pushed, ask.release_images(app, updates)]


def shown(requests: Sequence[Request]) -> list[dict[str, Any]]:
    """Requests as documents for the eye: no secret is in them."""
    found = []
    for one in requests:
        document = {"method": one.method, "path": one.path, "what": one.what}
        found.append(document | ({} if one.body is None else {"body": _redacted(one.body)}))
    return found


def _redacted(value: Any) -> Any:
    if isinstance(value, Secret):
        return WITHHELD
    if isinstance(value, Mapping):
        return {key: _redacted(one) for key, one in value.items()}
    return [_redacted(one) for one in value] if isinstance(value, list | tuple) else value
