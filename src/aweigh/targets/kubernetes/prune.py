"""What earlier releases had and the present one has no more, taken away once that is live; data is never among it."""

from collections.abc import Iterator, Sequence

from aweigh.targets.kubernetes.apply import delete
from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.errors import KubernetesRefused
from aweigh.targets.kubernetes.labels import APPS, selector_of, template_of
from aweigh.targets.kubernetes.resources import at, kind_of, knows, name_of, path_of

KINDS = (
    ("networking.k8s.io/v1", "Ingress"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("autoscaling/v1", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("v1", "ConfigMap"),
)
"""What is taken away: no volumes, no databases, no secrets, and no Jobs, which end by themselves."""


def prune(client: Client, app: str, objects: Sequence[Object]) -> list[str]:
    """Deletes what carries the app's labels and is none of ``objects``, and says what that was.

    What another object owns is its owner's, and a ConfigMap stays as long as an earlier release that can be gone back
    to reads it. What this user may not see or delete is left.
    """
    wanted = {(str(one.get("kind")), name_of(one)) for one in objects}
    referred = _referred(client, app)
    gone = []
    for version, kind in KINDS:
        for one in _found(client, version, kind, app) or ():
            is_kept = kind == "ConfigMap" and (referred is None or name_of(one) in referred)
            if (kind, name_of(one)) in wanted or is_kept or at(one, "metadata", "ownerReferences"):
                continue
            try:
                delete(client, path_of(client, version, kind, name_of(one)), what=f"to delete the {kind_of(one)}")
            except KubernetesRefused as error:
                if error.status != 403:
                    raise
                continue
            gone.append(kind_of(one))
    return gone


def _found(client: Client, version: str, kind: str, app: str) -> list[Object] | None:
    """All of a kind that is the app's; None: this user may not see them."""
    try:
        if not knows(client, version, kind):
            return []
        what = f"to list each {kind} of the app"
        return client.listed(path_of(client, version, kind), what=what, selector=selector_of(app))[0]
    except KubernetesRefused as error:
        if error.status != 403:
            raise
        return None


def _referred(client: Client, app: str) -> set[str] | None:
    """The ConfigMaps that a release reads which the cluster keeps; None: that cannot be seen."""
    deployments, sets = (_found(client, APPS, kind, app) for kind in ("Deployment", "ReplicaSet"))
    if deployments is None or sets is None:
        return None
    return {name for one in (*deployments, *sets) for name in _read_by(at(template_of(one), "spec") or {})}


def _read_by(spec: Object) -> Iterator[str]:
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        for source in container.get("envFrom") or ():
            yield str(at(source, "configMapRef", "name"))
        for variable in container.get("env") or ():
            yield str(at(variable, "valueFrom", "configMapKeyRef", "name"))
    for volume in spec.get("volumes") or ():
        yield str(at(volume, "configMap", "name"))
