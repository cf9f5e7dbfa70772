"""What a pod says of itself: that it serves, at which port, and whether its server refuses its own golden rows."""

from collections.abc import Sequence

from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.errors import NoForward
from aweigh.targets.kubernetes.labels import template_of
from aweigh.targets.kubernetes.portforward import forwarded
from aweigh.targets.kubernetes.resources import at, name_of
from aweigh.targets.live import check_itself, get

PORT = 8080
"""Where a container that names no port is asked."""


def is_ready(pod: Object) -> bool:
    """Whether a pod serves, and is not about to end."""
    conditions = at(pod, "status", "conditions") or ()
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
    return ready and at(pod, "metadata", "deletionTimestamp") is None


def port_of(deployment: Object) -> int:
    """The port at which its pods answer."""
    found = at(template_of(deployment), "spec", "containers", 0, "ports", 0, "containerPort")
    return int(found) if isinstance(found, int) else PORT


def check_pods(client: Client, deployment: Object, pods: Sequence[Object]) -> None:
    """Asks the first pod that runs and is not ready, where a port is forwarded, whether it ever will be.

    Raises:
        AnswersDiffer: its own golden rows came out otherwise than when it was packed.
    """
    waiting = next((one for one in pods if _runs(one) and not is_ready(one)), None)
    if waiting is None:
        return
    try:
        with forwarded(client, name_of(waiting), port_of(deployment)) as url:
            reply = get(url, "/health/ready")
    except NoForward:
        return
    if reply is not None:
        check_itself(reply)


def _runs(pod: Object) -> bool:
    statuses = at(pod, "status", "containerStatuses") or ()
    return bool(statuses) and all(at(one, "state", "running") is not None for one in statuses)
