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
        ask.new_source(),
        Request("PUT", FROM_HEROKU, f"to upload {len(packed.content):,} bytes, without the token"),
        ask.create_build(
            app,
            url=FROM_HEROKU,
            checksum=f"SHA256:{packed.sha256}",
            version=packed.version,
            description=f"aweigh: {release.name}",
        ),
        *([ask.set_feature(app)] if web > 1 and release.has_ui else []),
        ask.scale(app, updates),
    ]


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
