"""What ran before, put back: a Deployment applied anew with the pod template of an earlier revision.

It is applied as a whole, and not patched: so whatever the later template had beyond it goes, and the next deployment
finds every field where it would have put it itself.
"""

import copy
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from aweigh.errors import AweighError, RemoteError
from aweigh.targets.kubernetes.apply import apply, merge
from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.labels import (
    CHANGED,
    FAILED,
    HASH,
    named,
    released,
    replica_sets_of,
    same_template,
    template_of,
)
from aweigh.targets.kubernetes.resources import annotations_of, at, kind_of, name_of, path_to

AUTOSCALERS = ("HorizontalPodAutoscaler", "ScaledObject")
_OWN_PREFIXES = ("app.kubernetes.io/", "aweigh.io/")


@dataclass(frozen=True, slots=True)
class PutBack:
    """What came of it: a sentence for whoever reads the error."""

    sentence: str


def with_template(deployment: Object, template: Object) -> Object:
    """The document that gives a Deployment, as it is in the cluster, another pod template."""
    template = copy.deepcopy(template)
    meta_of_pods = template.setdefault("metadata", {})
    meta_of_pods.pop("creationTimestamp", None)
    labels = meta_of_pods.get("labels")
    if labels is not None:
        labels.pop(HASH, None)
    found = as_it_was(deployment)
    return {**found, "spec": {**found["spec"], "template": template}}


def as_it_was(found: Object) -> Object:
    """The document that gives an object the spec that it had when it was read."""
    return {
        "apiVersion": found["apiVersion"],
        "kind": found["kind"],
        "metadata": {"name": name_of(found), **own_metadata(found)},
        "spec": found["spec"],
    }


def own_metadata(found: Object) -> Object:
    """The labels and annotations of an object that a deployment of ours gave it."""
    meta = found.get("metadata") or {}
    kept = {
        part: {key: value for key, value in (meta.get(part) or {}).items() if key.startswith(_OWN_PREFIXES)}
        for part in ("labels", "annotations")
    }
    return {part: values for part, values in kept.items() if values}


def mark(client: Client, deployment: Object, *, failed: bool) -> None:
    """Notes at the ReplicaSet of what a Deployment is to run whether that failed: nobody goes back to it unasked."""
    if deployment.get("kind") != "Deployment":
        return
    release = released(template_of(deployment))[0]
    with suppress(RemoteError):
        sets = [one for one in replica_sets_of(client, deployment) if released(template_of(one))[0] == release]
        if sets and (FAILED in annotations_of(sets[0])) != failed:
            note = {"metadata": {"annotations": {FAILED: "true" if failed else None}}}
            merge(client, path_to(client, sets[0]), note, what="to note how the release went")


def put_back(client: Client, former: Sequence[Object], now: Sequence[Object]) -> PutBack:
    """Gives what runs its former spec again; ``now`` is what was applied in the meantime.

    What somebody else has applied since is theirs, and left as it is.
    """
    before = {kind_of(one): one for one in former}
    failed: list[str] = []
    done = passed = 0
    for one in now:
        old = before.get(kind_of(one))
        if old is None:
            continue
        try:
            mark(client, one, failed=True)
            if _is_others(client, one):
                passed += 1
                continue
            apply(client, as_it_was(old), force=True)
            done += 1
        except AweighError as error:
            failed.append(f"{kind_of(old)}: {error.message}")
    if failed:
        return PutBack(f"the former release could not be put back ({failed[0].rstrip('.')})")
    if passed:
        return PutBack("another deployment came in between, and was left as it is")
    if done:
        return PutBack("the old release still serves")
    return PutBack("nothing ran before it")


def _is_others(client: Client, applied: Object) -> bool:
    """Whether what is there is no longer what was applied."""
    found = client.find(path_to(client, applied), what=f"to read the {kind_of(applied)}")
    if found is None:
        return True
    if applied.get("kind") != "Deployment":
        return bool(found.get("spec") != applied.get("spec"))
    return not same_template(template_of(found), template_of(applied))


def settled(
    wanted: Object, former: Sequence[Object], objects: Sequence[Object], *, keep_replicas: bool = False
) -> Object:
    """A document with what stays as it is in the cluster: how many replicas there are, and when settings changed."""
    there = next((one for one in former if kind_of(one) == kind_of(wanted)), None)
    if there is None or wanted.get("kind") != "Deployment":
        return wanted
    found = copy.deepcopy(wanted)
    is_autoscaled = any(
        name_of(wanted) == at(one, "spec", "scaleTargetRef", "name")
        for kind in AUTOSCALERS
        for one in named(objects, kind)
    )
    replicas = at(there, "spec", "replicas")
    if replicas is not None and (is_autoscaled or keep_replicas):
        # Left out, it would fall back to 1 until an autoscaler had looked.
        found["spec"]["replicas"] = replicas
    stamp = annotations_of(template_of(there)).get(CHANGED)
    if stamp is not None:
        notes = found["spec"]["template"].setdefault("metadata", {}).setdefault("annotations", {})
        notes.setdefault(CHANGED, stamp)
    return found
