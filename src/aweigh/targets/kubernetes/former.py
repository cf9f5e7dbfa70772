"""What ran before, put back: a Deployment applied anew with the pod template of an earlier revision.

It is applied as a whole, and not patched: so whatever the later template had beyond it goes, and the next deployment
finds every field where it would have put it itself.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from aweigh.errors import RemoteError
from aweigh.targets.kubernetes.apply import apply, said
from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.labels import template_of
from aweigh.targets.kubernetes.resources import kind_of

HASH = "pod-template-hash"
_OWN_PREFIXES = ("app.kubernetes.io/", "aweigh.io/")


@dataclass(frozen=True, slots=True)
class PutBack:
    """What came of it: a sentence for whoever reads the error."""

    sentence: str


def with_template(deployment: Object, template: Object) -> Object:
    """The document that gives a Deployment, as it is in the cluster, another pod template."""
    found = said(deployment)
    meta = found["metadata"]
    kept = {
        part: {key: value for key, value in (meta.get(part) or {}).items() if key.startswith(_OWN_PREFIXES)}
        for part in ("labels", "annotations")
    }
    template = copy.deepcopy(template)
    meta_of_pods = template.setdefault("metadata", {})
    meta_of_pods.pop("creationTimestamp", None)
    labels = meta_of_pods.get("labels")
    if labels is not None:
        labels.pop(HASH, None)
    return {
        "apiVersion": deployment.get("apiVersion", "apps/v1"),
        "kind": deployment.get("kind", "Deployment"),
        "metadata": {"name": meta["name"], **{part: values for part, values in kept.items() if values}},
        "spec": {**found["spec"], "template": template},
    }


def put_back(client: Client, former: Sequence[Object], now: Sequence[Object]) -> PutBack:
    """Gives Deployments their former templates again; ``now`` is what was applied in the meantime."""
    before = {one["metadata"]["name"]: one for one in former}
    failed: list[str] = []
    done = 0
    for deployment in now:
        old = before.get(deployment["metadata"]["name"])
        if old is None:
            continue
        try:
            apply(client, with_template(old, template_of(old)), force=True)
            done += 1
        except RemoteError as error:
            failed.append(f"{kind_of(old)}: {error.message}")
    if failed:
        return PutBack(f"the former release could not be put back ({failed[0].rstrip('.')})")
    if done:
        return PutBack("the old release still serves, and is what the cluster was told again")
    return PutBack("nothing ran before it")
