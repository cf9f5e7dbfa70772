"""The end of an app: all that carries its labels, and a word on what was left."""

import re
from dataclasses import dataclass

from aweigh.targets.kubernetes.after import absent
from aweigh.targets.kubernetes.apply import delete
from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.errors import KubernetesRefused
from aweigh.targets.kubernetes.labels import INSTANCE, selector_of
from aweigh.targets.kubernetes.resources import all_of, kind_of, name_of, path_of
from aweigh.targets.kubernetes.secrets import config_name, secrets_name

KINDS = (
    ("networking.k8s.io/v1", "Ingress"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("autoscaling/v1", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("policy/v1beta1", "PodDisruptionBudget"),
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("v1", "ConfigMap"),
    ("v1", "ServiceAccount"),
    ("v1", "Secret"),
)
"""What an app may have, in the order in which it goes: first what leads there, last what others refer to."""
DATABASE = ("postgresql.cnpg.io/v1", "Cluster")
CLAIMS = ("v1", "PersistentVolumeClaim")


@dataclass(frozen=True, slots=True)
class Destroyed:
    """What is gone and what was left, as ``Deployment penguins-web``."""

    gone: tuple[str, ...]
    left: tuple[str, ...]


def destroy(client: Client, app: str, *, data: bool = True) -> Destroyed:
    """Deletes an app; without ``data`` the volumes, the database and the secrets that open them stay.

    Raises:
        UsageError: there is nothing of it.
        RemoteError: the cluster cannot be asked.
    """
    gone: list[str] = []
    left: list[str] = []
    kinds = [*KINDS, *([DATABASE] if data else [])]
    for version, kind in kinds:
        for one in _found(client, version, kind, selector_of(app)):
            if not data and kind == "Secret" and name_of(one) in {secrets_name(app), config_name(app)}:
                left.append(kind_of(one))
            else:
                _delete(client, version, kind, one, gone=gone, left=left)
    # A StatefulSet's claims carry its selector's labels, as those of a Helm release of that name do: their name tells.
    of_ours = re.compile(rf"data-{re.escape(app)}-redis-\d+")
    for one in _found(client, *CLAIMS, f"{INSTANCE}={app}"):
        if of_ours.fullmatch(name_of(one)) is None:
            continue
        if data:
            _delete(client, *CLAIMS, one, gone=gone, left=left)
        else:
            left.append(kind_of(one))
    if not data:
        left += [kind_of(one) for one in _found(client, *DATABASE, selector_of(app))]
    for name in (secrets_name(app), config_name(app)) if data else ():
        # Made by hand, as with files: without labels it may be somebody's that is read elsewhere, too.
        if client.find(path_of(client, "v1", "Secret", name), what=f"to read the Secret {name}") is not None:
            left.append(f"Secret {name} (aweigh has not made it)")
    if not gone and not left:
        raise absent(client, app)
    return Destroyed(tuple(dict.fromkeys(gone)), tuple(dict.fromkeys(left)))


def _found(client: Client, version: str, kind: str, selector: str) -> list[Object]:
    return all_of(client, version, kind, what=f"to list each {kind} of the app", selector=selector)


def _delete(client: Client, version: str, kind: str, one: Object, *, gone: list[str], left: list[str]) -> None:
    try:
        delete(client, path_of(client, version, kind, name_of(one)), what=f"to delete the {kind_of(one)}")
        gone.append(kind_of(one))
    except KubernetesRefused as error:
        if error.status != 403:
            raise
        left.append(f"{kind_of(one)} (this user may not delete it)")
