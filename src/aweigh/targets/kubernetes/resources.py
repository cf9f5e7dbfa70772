"""Where things lie in the API: asked of the cluster itself, so that what others added to it is found, too."""

from typing import Any

from aweigh.errors import UsageError
from aweigh.targets.kubernetes.client import Client, Object, Request, segment
from aweigh.targets.kubernetes.errors import KubernetesRefused

_ADDED = {
    "keda.sh": "install KEDA (https://keda.sh), or scale by CPU",
    "gateway.networking.k8s.io": "install the Gateway API's definitions, or use an Ingress",
    "serving.kserve.io": "install KServe, or deploy without it",
    "autoscaling": "autoscaling/v2 came with Kubernetes 1.23: bring the cluster up to date, or deploy without it",
    "policy": "policy/v1 came with Kubernetes 1.21: bring the cluster up to date",
}
ADDED = frozenset(
    {"keda.sh", "gateway.networking.k8s.io", "serving.kserve.io", "monitoring.coreos.com", "postgresql.cnpg.io"}
)
"""Groups that a cluster has of others, if at all."""


def kind_of(found: Object) -> str:
    """What an object is and is called, as in ``Deployment penguins``."""
    return f"{found.get('kind', '?')} {name_of(found)}"


def name_of(found: Object) -> str:
    """An object's name."""
    return str((found.get("metadata") or {}).get("name", "?"))


def annotations_of(found: Object) -> dict[str, str]:
    """An object's annotations."""
    return dict((found.get("metadata") or {}).get("annotations") or {})


def at(found: Any, *path: str | int) -> Any:
    """What lies so deep in an object; None where nothing does."""
    for key in path:
        if isinstance(key, int):
            found = found[key] if isinstance(found, list) and len(found) > key else None
        else:
            found = found.get(key) if isinstance(found, dict) else None
    return found


def knows(client: Client, version: str, kind: str) -> bool:
    """Whether the cluster has such things."""
    return kind in _kinds(client, version)


def all_of(client: Client, version: str, kind: str, *, what: str, selector: str = "") -> list[Object]:
    """All of a kind in the namespace; none where the cluster has no such things.

    What others have added to the cluster is not every role's to see, nor has every app some of it: to whoever may not
    look for it, there is none.
    """
    if not knows(client, version, kind):
        return []
    try:
        return client.listed(path_of(client, version, kind), what=what, selector=selector)[0]
    except KubernetesRefused as error:
        if error.status != 403 or not is_added(version):
            raise
        return []


def is_added(version: str) -> bool:
    """Whether a version is of a group that others have added to the cluster."""
    return version.partition("/")[0] in ADDED


def path_of(client: Client, version: str, kind: str, name: str | None = None) -> str:
    """Where a thing of that kind lies, or all of them in the namespace.

    Raises:
        UsageError: the cluster has no such things.
    """
    found = _kinds(client, version).get(kind)
    if found is None:
        group = version.partition("/")[0]
        raise UsageError(
            f"The cluster knows no {kind} of {version}.",
            hint=_ADDED.get(group, "bring the cluster up to date, or deploy without it"),
        )
    plural, is_within = found
    place = f"/namespaces/{segment(client.namespace)}" if is_within else ""
    return f"{_root(version)}{place}/{plural}" + ("" if name is None else f"/{segment(name)}")


def path_to(client: Client, found: Object) -> str:
    """Where an object lies, or is to lie."""
    return path_of(client, str(found["apiVersion"]), str(found["kind"]), name_of(found))


def _root(version: str) -> str:
    return f"/api/{version}" if "/" not in version else f"/apis/{version}"


def _kinds(client: Client, version: str) -> dict[str, tuple[str, bool]]:
    if version not in client.kinds:
        try:
            said = client.send(Request("GET", _root(version), f"to say what it knows of {version}"))
        except KubernetesRefused as error:
            if error.status != 404:
                raise
            said = {}
        client.kinds[version] = {
            str(one["kind"]): (str(one["name"]), bool(one.get("namespaced")))
            for one in said.get("resources") or ()
            if "/" not in str(one.get("name", "/"))
        }
    return client.kinds[version]
