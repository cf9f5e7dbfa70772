"""By what an app's objects are found in a cluster, and what they say of the release."""

from collections.abc import Sequence

from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.resources import annotations_of, at, path_of

INSTANCE = "app.kubernetes.io/instance"
MANAGED = "app.kubernetes.io/managed-by"
HASH = "pod-template-hash"
COMPONENT = "app.kubernetes.io/component"
RELEASE = "aweigh.io/release"
BUNDLE = "aweigh.io/bundle"
CHANGED = "aweigh.io/secrets"
"""On the pods: which time settings were changed, so that they start anew with them."""
FAILED = "aweigh.io/failed"
"""On a ReplicaSet: that this release did not come up, or did not agree, and was taken back."""
REVISION = "deployment.kubernetes.io/revision"
SERVICE = "InferenceService"
APPS, BATCH = "apps/v1", "batch/v1"


def selector_of(app: str) -> str:
    """What finds all that is an app's."""
    return f"{INSTANCE}={app},{MANAGED}=aweigh"


def deployments_of(client: Client, app: str) -> list[Object]:
    """The app's Deployments, those that KServe made for it among them: the web one first."""
    path = path_of(client, APPS, "Deployment")
    listed, _ = client.listed(path, what=f"to list the Deployments of {app}", selector=f"{INSTANCE}={app}")
    found = [one for one in listed if at(one, "metadata", "labels", MANAGED) == "aweigh" or is_served(one)]
    return sorted(found, key=lambda one: (not is_web(one), str(one["metadata"]["name"])))


def is_web(deployment: Object) -> bool:
    """Whether it is the one that answers: by its component, or by a port where it says none."""
    component = at(deployment, "metadata", "labels", COMPONENT)
    if deployment.get("kind") != "Deployment":
        return False
    if component is not None:
        return bool(component == "web")
    return at(deployment, "spec", "template", "spec", "containers", 0, "ports", 0) is not None


def same_template(one: Object, other: Object) -> bool:
    """Whether two pod templates are the same but for the hash that the cluster adds, as the cluster itself tells."""
    return _without_hash(one) == _without_hash(other)


def _without_hash(template: Object) -> Object:
    meta = template.get("metadata") or {}
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != HASH}
    rest = {key: value for key, value in meta.items() if key not in {"labels", "creationTimestamp"}}
    return {**template, "metadata": {**rest, "labels": labels}}


def is_served(deployment: Object) -> bool:
    """Whether it is KServe's, made of an InferenceService."""
    return SERVICE in {one.get("kind") for one in at(deployment, "metadata", "ownerReferences") or ()}


def kind_of_process(deployment: Object) -> str:
    """Which process of the app it runs: web, worker."""
    component = at(deployment, "metadata", "labels", COMPONENT)
    return str(component) if component is not None else ("web" if is_web(deployment) else "worker")


def template_of(deployment: Object) -> Object:
    """The pod template of a Deployment, a ReplicaSet or a Job."""
    found: Object = at(deployment, "spec", "template") or {}
    return found


def pods_of(client: Client, deployment: Object) -> list[Object]:
    """The pods of a Deployment, by its own selector."""
    found, _ = client.listed(path_of(client, "v1", "Pod"), what="to list the app's pods", selector=matching(deployment))
    return found


def container_of(pod: Object) -> str:
    """The container that runs the app: others may have put their own beside it, and before it."""
    names = [str(one.get("name")) for one in at(pod, "spec", "containers") or ()]
    said = (
        annotations_of(pod).get("kubectl.kubernetes.io/default-container"),
        at(pod, "metadata", "labels", COMPONENT),
        "kserve-container",
    )
    return next((one for one in said if one in names), names[0] if names else "")


def matching(deployment: Object) -> str:
    """The selector of a Deployment or a Job as a query has it."""
    labels = at(deployment, "spec", "selector", "matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def replica_sets_of(client: Client, deployment: Object) -> list[Object]:
    """The ReplicaSets that a Deployment owns, the newest revision first."""
    uid = at(deployment, "metadata", "uid")
    path = path_of(client, APPS, "ReplicaSet")
    found, _ = client.listed(path, what="to list the app's ReplicaSets", selector=matching(deployment))
    own = [one for one in found if uid in {each.get("uid") for each in at(one, "metadata", "ownerReferences") or ()}]
    return sorted(own, key=revision_of, reverse=True)


def revision_of(found: Object) -> int:
    """The revision of a ReplicaSet, or the one that a Deployment runs; 0 where it has none yet."""
    said = annotations_of(found).get(REVISION, "")
    return int(said) if said.isdigit() else 0


def released(template: Object) -> tuple[str | None, str | None]:
    """Release and bundle that a pod template is made for."""
    notes = annotations_of(template)
    return notes.get(RELEASE), notes.get(BUNDLE)


def named(objects: Sequence[Object], kind: str) -> list[Object]:
    """Those of a kind."""
    return [one for one in objects if one.get("kind") == kind]
