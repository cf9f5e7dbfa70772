"""An app's releases, as the cluster keeps them: a ReplicaSet each, with a number; and the way back to one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aweigh.errors import AweighError, UsageError
from aweigh.targets.kubernetes.after import known, refuse_served, taken_back
from aweigh.targets.kubernetes.apply import apply
from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.former import with_template
from aweigh.targets.kubernetes.golden import wait_and_ask
from aweigh.targets.kubernetes.labels import (
    FAILED,
    is_web,
    released,
    replica_sets_of,
    revision_of,
    same_template,
    template_of,
)
from aweigh.targets.kubernetes.resources import annotations_of, at
from aweigh.targets.kubernetes.rollout import Patience
from aweigh.targets.ssh.telling import Telling


@dataclass(frozen=True, slots=True)
class Version:
    """A release as the cluster keeps it, as a ReplicaSet; ``at`` is when it was made, in seconds since the epoch."""

    number: int
    release: str | None
    bundle: str | None
    at: float
    current: bool
    failed: bool = False
    """Whether it did not come up, or did not agree, and was taken back."""

    @property
    def label(self) -> str:
        """As people write it."""
        return f"v{self.number}"


def releases(client: Client, app: str, *, most: int = 15) -> list[Version]:
    """The newest releases that the cluster keeps, the newest first.

    Raises:
        UsageError: there is no such app.
    """
    web = known(client, app)[0]
    runs = template_of(web)
    return [
        Version(
            revision_of(one),
            *released(template_of(one)),
            at=_time(one),
            current=same_template(template_of(one), runs),
            failed=FAILED in annotations_of(one),
        )
        for one in replica_sets_of(client, web)
    ][:most]


def rollback(
    client: Client,
    app: str,
    number: int | None = None,
    *,
    patience: Patience | None = None,
    telling: Telling | None = None,
) -> tuple[Version, Version]:
    """Takes live what a revision was, by default the last that was another release: that revision, and the new one.

    The workers go back to the same release, where the cluster keeps it. The golden rows of its bundle are asked, as at
    its deployment.

    Raises:
        UsageError: there is no such revision.
        RemoteError: it does not come up, or answers otherwise; what ran was put back.
    """
    patience = patience or Patience()
    found = known(client, app)
    refuse_served(found)
    listed = releases(client, app, most=1000)
    wanted = _wanted(listed, number, app)
    applied: list[Object] = []
    try:
        for one in found:
            template = _template_for(client, one, wanted)
            if template is not None:
                applied.append(apply(client, with_template(one, template), force=True))
        wait_and_ask(client, app, applied, patience=patience, telling=telling)
    except (AweighError, KeyboardInterrupt) as error:
        taken_back(client, found, applied, error)
        raise
    now = releases(client, app, most=1)
    return wanted, now[0] if now else wanted


def _wanted(listed: Sequence[Version], number: int | None, app: str) -> Version:
    current = next((one for one in listed if one.current), None)
    if number is None:
        wanted = next(
            (one for one in listed if current is not None and one.release != current.release and not one.failed), None
        )
    else:
        wanted = next((one for one in listed if one.number == number), None)
    if wanted is None:
        named = "earlier release" if number is None else f"release v{number}"
        raise UsageError(f"The cluster keeps no {named}.", hint=f"aweigh releases kubernetes --app {app}")
    return wanted


def _template_for(client: Client, deployment: Object, wanted: Version) -> Object | None:
    sets = replica_sets_of(client, deployment)
    if is_web(deployment):
        return next((template_of(one) for one in sets if revision_of(one) == wanted.number), None)
    return next((template_of(one) for one in sets if released(template_of(one))[0] == wanted.release), None)


def _time(found: Object) -> float:
    text = at(found, "metadata", "creationTimestamp")
    return datetime.fromisoformat(str(text)).timestamp() if text else 0.0
