"""What is there under the names of a release, read before anything is changed, and put back where the release fails.

What is another app's, or nobody's of ours, is not taken over: its owner would lose it, and ``destroy`` would end it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aweigh.errors import AweighError, UsageError
from aweigh.targets.kubernetes.apply import MANAGER, apply, delete, merge, said
from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.errors import KubernetesRefused
from aweigh.targets.kubernetes.labels import INSTANCE, MANAGED, template_of
from aweigh.targets.kubernetes.prune import KINDS
from aweigh.targets.kubernetes.resources import at, kind_of, name_of, path_to

Before = Mapping[str, Object | None]
"""Objects by kind and name; None: there was none. What this user may not read is not in it."""
PASSED_OVER = frozenset({"Namespace", "Job", "Secret"})
"""A namespace is everybody's, a Job has a release's name, and a Secret is never written over."""
LEADS_THERE = frozenset({"Ingress", "HTTPRoute"})
_ENDS = frozenset({kind for _, kind in KINDS} - {"ConfigMap"})
"""What of a release that failed is taken away where it was new: pods that are kept may still read a ConfigMap."""


def read_before(client: Client, app: str, objects: Sequence[Object], *, force: bool = False) -> Before:
    """What is there of the documents' objects.

    Raises:
        UsageError: one belongs to another app; or to nobody of ours, unless that is taken over by ``force``.
        KubernetesRefused, KubernetesSilent: the API refuses, or stays away.
    """
    found: dict[str, Object | None] = {}
    for one in objects:
        if one.get("kind") in PASSED_OVER:
            continue
        try:
            there = client.find(path_to(client, one), what=f"to read the {kind_of(one)}")
        except KubernetesRefused as error:
            if error.status != 403:
                raise
            continue
        if there is not None:
            _check_own(there, app, client.namespace, force=force)
        found[kind_of(one)] = there
    return found


def _check_own(there: Object, app: str, namespace: str, *, force: bool) -> None:
    labels = at(there, "metadata", "labels") or {}
    is_ours = labels.get(MANAGED) == MANAGER
    if is_ours and labels.get(INSTANCE) == app:
        return
    if is_ours:
        raise UsageError(
            f"The {kind_of(there)} in the namespace {namespace} belongs to the app {labels.get(INSTANCE)}.",
            hint="call this app something else (--app), or deploy it into another namespace",
        )
    if not force:
        raise UsageError(
            f"There is a {kind_of(there)} in the namespace {namespace} that aweigh has not made.",
            hint="call the app something else (--app), or take that over, to the end of the app: --force-conflicts",
        )


def restore(client: Client, before: Before, applied: Sequence[Object]) -> list[str]:
    """Gives what leads to an app and limits it its former fields, and takes away what was new; what failed of that.

    What somebody else has changed since is theirs, and left as it is.
    """
    failed = []
    for one in reversed(applied):
        if kind_of(one) not in before:
            continue
        old = before[kind_of(one)]
        try:
            _restored(client, old, one)
        except AweighError as error:
            failed.append(f"{kind_of(one)}: {error.message}")
    return failed


def _restored(client: Client, old: Object | None, now: Object) -> None:
    path = path_to(client, now)
    if old is not None and said(old) == said(now):
        return
    there = client.find(path, what=f"to read the {kind_of(now)}")
    if there is None or _asked_of(there) != _asked_of(now):
        return
    if old is None:
        if now.get("kind") in _ENDS:
            delete(client, path, what=f"to delete the {kind_of(now)}")
        return
    document = applied_document(old)
    if document is not None:
        there = apply(client, document, force=True)
    # What was taken over (by force) is in no document of ours.
    change = _changed_back(said(old), said(now), said(there))
    if change:
        merge(client, path, change, what=f"to put back what others had set of the {kind_of(now)}")


def _changed_back(old: Object, now: Object, there: Object) -> Object:
    """The merge patch that gives fields which became others in between what they were, where they are not so again."""
    change: Object = {}
    for key in {*old, *now}:
        was, became, stands = old.get(key), now.get(key), there.get(key)
        if was in (became, stands):
            continue
        if isinstance(was, dict) and isinstance(became, dict) and isinstance(stands, dict):
            inside = _changed_back(was, became, stands)
            change |= {key: inside} if inside else {}
        else:
            change[key] = was
    return change


def _asked_of(found: Object) -> Object:
    """What is asked of an object, without what controllers and autoscalers write into it."""
    if found.get("kind") == "Deployment":
        return template_of(found)
    spec: Object | None = found.get("spec")
    return said(found) if spec is None else spec


def applied_document(found: Object) -> Object | None:
    """The document by which we applied an object, of the fields that are ours in it; None: we applied none."""
    fields = next(
        (
            one.get("fieldsV1")
            for one in at(found, "metadata", "managedFields") or ()
            if one.get("manager") == MANAGER
            and one.get("operation") == "Apply"
            and one.get("apiVersion") in {None, found.get("apiVersion")}
        ),
        None,
    )
    if not fields:
        return None
    own: Object = _picked(found, fields)
    meta = {"name": name_of(found), **(own.get("metadata") or {})}
    return {**own, "apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": meta}


def _picked(value: Any, fields: Mapping[str, Any]) -> Any:
    """The parts of a value that ``fieldsV1`` names: ``f:`` a key, ``k:`` an item by its keys, ``v:`` one by itself."""
    if not fields:
        return value
    if isinstance(value, dict):
        named = {key[2:]: inside for key, inside in fields.items() if key.startswith("f:")}
        return {key: _picked(value[key], inside) for key, inside in named.items() if key in value}
    if not isinstance(value, list):
        return value
    items = []
    for one in value:
        for key, inside in fields.items():
            if key.startswith("v:") and one == json.loads(key[2:]):
                items.append(one)
            elif key.startswith("k:") and isinstance(one, dict) and json.loads(key[2:]).items() <= one.items():
                items.append(_picked(one, inside))
    return items
