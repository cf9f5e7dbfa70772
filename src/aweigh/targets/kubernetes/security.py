"""What a pod may do: as little as Kubernetes' restricted profile of pod security asks, and less where that goes."""

from typing import Any

from aweigh.targets.image.build import USER
from aweigh.targets.kubernetes.meta import Object, made
from aweigh.targets.kubernetes.plan import Plan

LEVEL = "restricted"


def pod_security(user: int = USER) -> Object:
    """Of a pod: not root, and only the system calls that the runtime's own list knows."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Object:
    """Of a container: no capability, no way to more rights, a root that cannot be written."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def service_account(plan: Plan) -> Object:
    """An account of the app's own, which may ask the cluster nothing and whose token is in no pod."""
    return made(plan, "v1", "ServiceAccount", plan.app, automountServiceAccountToken=False)


def namespace(plan: Plan) -> Object:
    """The namespace, in which no pod may be less shut in."""
    levels = {f"pod-security.kubernetes.io/{mode}": LEVEL for mode in ("enforce", "warn")}
    labels: dict[str, Any] = {"app.kubernetes.io/managed-by": "aweigh"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": plan.namespace, "labels": labels | levels}}
