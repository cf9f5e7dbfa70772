"""The golden rows of what an app serves, kept in the cluster: a rollback, a scaling and a setting ask them again.

They are rows of somebody's data, so that a Secret holds them. There is one for each bundle of the releases that the
cluster keeps; where that is gone, or was never made (by kubectl, by helm), nothing is asked.
"""

import base64
import time
from collections.abc import Collection, Sequence
from contextlib import suppress

import msgspec

from aweigh.errors import RemoteError
from aweigh.targets.kubernetes.apply import MANAGER, create, delete
from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.labels import (
    BUNDLE,
    COMPONENT,
    INSTANCE,
    MANAGED,
    is_web,
    released,
    replica_sets_of,
    selector_of,
    template_of,
)
from aweigh.targets.kubernetes.replay import Place, ask_golden
from aweigh.targets.kubernetes.resources import annotations_of, at, kind_of, path_of
from aweigh.targets.kubernetes.rollout import Patience, wait_for
from aweigh.targets.live import Golden
from aweigh.targets.ssh.telling import Telling

GOLDEN, FILE = "golden", "golden.json"
MOST_BYTES = 700_000
"""A Secret takes a megabyte of base64: of a bundle with more rows none are kept."""


def keep(client: Client, app: str, web: Object, golden: Golden) -> None:
    """Keeps the rows of what has agreed, and lets go of those of releases that nobody can go back to."""
    content = msgspec.json.encode(golden)
    with suppress(RemoteError):
        if len(content) <= MOST_BYTES:
            create(client, _secret(app, golden.version, content))
        listed = {released(template_of(one))[1] for one in replica_sets_of(client, web)}
        _let_go(client, app, {golden.version, *(one for one in listed if one)})


def _let_go(client: Client, app: str, bundles: Collection[str]) -> None:
    selector = f"{selector_of(app)},{COMPONENT}={GOLDEN}"
    found, _ = client.listed(path_of(client, "v1", "Secret"), what="to list the golden rows", selector=selector)
    for one in found:
        if annotations_of(one).get(BUNDLE) not in bundles:
            path = path_of(client, "v1", "Secret", str(at(one, "metadata", "name")))
            delete(client, path, what=f"to delete the {kind_of(one)}")


def kept(client: Client, app: str, bundle: str) -> Golden | None:
    """The rows of a bundle; None: none are kept."""
    found = client.find(path_of(client, "v1", "Secret", _name(app, bundle)), what="to read the golden rows")
    text = at(found, "data", FILE)
    try:
        golden = msgspec.json.decode(base64.b64decode(str(text)), type=Golden) if text else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return golden if golden is not None and len(golden.rows) == len(golden.predictions) else None


def wait_and_ask(
    client: Client, app: str, applied: Sequence[Object], *, patience: Patience, telling: Telling | None = None
) -> None:
    """Waits until the Deployments serve, and asks them the golden rows that are kept of their bundle.

    Raises:
        NotUp: they do not come up.
        AnswersDiffer: what serves answers otherwise than the original.
        RemoteError: it cannot be asked.
    """
    telling = telling or Telling()
    started = time.monotonic()
    with telling.doing("ready"):
        live = [wait_for(client, one, patience=patience) for one in applied]
    if live:
        telling.line("ready", "its pods serve", time.monotonic() - started)
    for web in live:
        bundle = released(template_of(web))[1] if is_web(web) else None
        golden = kept(client, app, bundle) if bundle and at(web, "spec", "replicas") != 0 else None
        if golden is not None:
            _ask(client, app, web, golden, telling)


def _ask(client: Client, app: str, web: Object, golden: Golden, telling: Telling) -> None:
    started = time.monotonic()
    service = client.find(path_of(client, "v1", "Service", app), what="to read the Service")
    with telling.doing("answers"):
        asked = ask_golden(client, app, Place(web, service, None), golden)
    for note in asked.notes:
        telling.line("note", note, 0.0)
    if asked.rows:
        told = f"{asked.rows} golden rows agree with the original"
        telling.line("answers", told, time.monotonic() - started)


def _name(app: str, bundle: str) -> str:
    return f"{app}-{GOLDEN}-{bundle}"


def _secret(app: str, bundle: str, content: bytes) -> Object:
    labels = {"app.kubernetes.io/name": app, INSTANCE: app, MANAGED: MANAGER, COMPONENT: GOLDEN}
    meta = {"name": _name(app, bundle), "labels": labels, "annotations": {BUNDLE: bundle}}
    data = {FILE: base64.b64encode(content).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "immutable": True, "data": data}
