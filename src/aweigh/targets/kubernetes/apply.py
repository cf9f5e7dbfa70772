"""Objects into the cluster by server-side apply: each says its fields, and what others set stays as they set it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aweigh.targets.kubernetes.client import APPLY, MERGE, Client, Object, Request
from aweigh.targets.kubernetes.errors import FieldConflict, KubernetesRefused
from aweigh.targets.kubernetes.resources import at, kind_of, path_to

MANAGER = "aweigh"
"""As whom fields are set."""
OURS = frozenset({"aweigh"})
_UNSAID = frozenset(
    {"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink", "ownerReferences"}
)
"""Of the metadata: what the cluster says, and nobody asks for."""
WITHHELD = "(withheld)"


@dataclass(frozen=True, slots=True)
class Change:
    """A field that would change; ``before`` is None where it is new, ``after`` where it goes."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """What applying an object would do."""

    object: str
    does: Literal["creates", "changes", "nothing"]
    changes: tuple[Change, ...] = ()


def apply(client: Client, wanted: Object, *, force: bool = False, dry_run: bool = False) -> Object:
    """The object as it is in the cluster after it was applied.

    Fields that a command of ours set by itself (a scale, a rollback) are taken back unasked; those of others only by
    ``force``.

    Raises:
        FieldConflict: another field manager has set one of its fields to something else.
        KubernetesRefused: the API answers with another error.
        UsageError: the cluster has no such things.
    """
    query = {"fieldManager": MANAGER, "force": "true" if force else "false", **({"dryRun": "All"} if dry_run else {})}
    # Newer clusters name a field that they do not know; older ones pass over the question.
    query["fieldValidation"] = "Strict"
    what = f"to apply the {kind_of(wanted)}"
    path = path_to(client, wanted)
    try:
        found: Object = client.send(Request("PATCH", path, what, query, wanted, APPLY))
    except FieldConflict as error:
        if force or not error.managers or not error.managers <= OURS:
            raise
        return apply(client, wanted, force=True, dry_run=dry_run)
    return found


def merge(client: Client, path: str, change: Object, *, what: str) -> Object:
    """Changes fields of an object that is there; None takes a field away."""
    found: Object = client.send(Request("PATCH", path, what, {"fieldManager": MANAGER}, change, MERGE))
    return found


def create(client: Client, wanted: Object) -> Object:
    """The object, made if there was none: one that is there stays as it is."""
    what = f"to create the {kind_of(wanted)}"
    path = path_to(client, wanted)
    try:
        made: Object = client.send(Request("POST", path.rpartition("/")[0], what, {"fieldManager": MANAGER}, wanted))
    except KubernetesRefused as error:
        if error.status != 409 or error.reason != "AlreadyExists":
            raise
        found = client.find(path, what=what)
        if found is None:
            raise
        return found
    return made


def delete(client: Client, path: str, *, what: str, propagation: str = "Background") -> bool:
    """Deletes what lies there, and what it owns; False: nothing did."""
    try:
        client.send(Request("DELETE", path, what, {"propagationPolicy": propagation}))
    except KubernetesRefused as error:
        if error.status != 404:
            raise
        return False
    return True


def differences(client: Client, objects: Sequence[Object], *, force: bool = False) -> list[Difference]:
    """What applying would do, as the cluster itself says by a dry run; nothing is changed.

    Raises:
        KubernetesRefused: as of ``apply``.
    """
    found = []
    for wanted in objects:
        before = client.find(path_to(client, wanted), what=f"to read the {kind_of(wanted)}")
        after = apply(client, wanted, force=force, dry_run=True)
        name = kind_of(wanted)
        if before is None:
            found.append(Difference(name, "creates"))
            continue
        is_secret = wanted.get("kind") == "Secret"
        changes = tuple(_changes(said(before), said(after), "", hidden=is_secret))
        found.append(Difference(name, "changes" if changes else "nothing", changes))
    return found


def said(found: Object) -> Object:
    """An object without what the cluster adds to it by itself."""
    meta = {key: value for key, value in (found.get("metadata") or {}).items() if key not in _UNSAID}
    rest = {key: value for key, value in found.items() if key not in {"status", "metadata"}}
    return {**rest, "metadata": meta}


def _changes(before: Any, after: Any, field: str, *, hidden: bool) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            hides = hidden and field in {".data", ".stringData"}
            yield from _changes(before.get(key), after.get(key), f"{field}.{key}", hidden=hidden or hides)
    elif isinstance(before, list) and isinstance(after, list) and _is_named([*before, *after]):
        own, new = ({one["name"]: one for one in part} for part in (before, after))
        for name in dict.fromkeys([*own, *new]):
            yield from _changes(own.get(name), new.get(name), f"{field}[{name}]", hidden=hidden)
    elif before != after:
        shows = not (hidden and field.startswith((".data", ".stringData")))
        yield Change(
            field.removeprefix("."),
            before if shows or before is None else WITHHELD,
            after if shows or after is None else WITHHELD,
        )


def _is_named(items: list[Any]) -> bool:
    """Whether a list's items are told apart by their names, as containers are."""
    return bool(items) and all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in items)


def managers_of(found: Object, *path: str) -> set[str]:
    """Who has set a field of an object, as in ``managers_of(deployment, "spec", "replicas")``."""
    names = [f"f:{one}" for one in path]
    return {
        str(one.get("manager"))
        for one in at(found, "metadata", "managedFields") or ()
        if at(one.get("fieldsV1"), *names) is not None
    }
