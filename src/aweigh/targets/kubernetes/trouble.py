"""Why pods do not come up, read from the pods and from what is told of them: each as one sentence and a fix."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aweigh.errors import RemoteError
from aweigh.targets.invitations import discreet
from aweigh.targets.kubernetes.client import Client, Object, Request
from aweigh.targets.kubernetes.errors import quote
from aweigh.targets.kubernetes.resources import at, name_of, path_of

CRASHES = 2
"""So often a container ended before it is said to crash."""
LOG_LINES = 30
_NO_IMAGE = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull")
_COMING = frozenset({"TriggeredScaleUp", "Nominated"})
"""How autoscalers of nodes (the cluster's own, Karpenter) say that one is on its way."""
_NO_SETTINGS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_LAST = re.compile(r"not found|denied|unauthorized|forbidden|invalid|no such host|manifest unknown", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong; ``kind`` says how long it may still right itself (``rollout.Patience``)."""

    kind: str
    sentence: str
    hint: str


def troubles_of(client: Client, pods: Sequence[Object]) -> list[Trouble]:
    """What is wrong with pods, the worst first.

    Raises:
        KubernetesRefused, KubernetesSilent: the API refuses, or stays away.
    """
    found = [trouble for pod in pods for trouble in _of_pod(client, pod)]
    order = ("image", "settings", "secret", "crash", "mount", "probe", "room")
    return sorted(found, key=lambda one: order.index(one.kind))


def of_deployment(deployment: Object) -> Trouble | None:
    """What keeps a Deployment from making pods at all: a quota, a rule of the namespace."""
    for one in at(deployment, "status", "conditions") or ():
        if one.get("type") == "ReplicaFailure" and one.get("status") == "True":
            return not_made(str(one.get("message", "")))
    return None


def not_made(message: str) -> Trouble:
    """Why a pod is not made, by the cluster's words."""
    told = quote(message)
    if "exceeded quota" in message:
        return Trouble(
            "forbidden",
            f"A quota of the namespace does not allow its pods: {told}",
            "ask for fewer replicas or less memory, or for a larger quota (kubectl describe quota)",
        )
    if "PodSecurity" in message:
        return Trouble(
            "forbidden",
            f"The namespace's pod security forbids its pods: {told}",
            "what aweigh writes keeps to 'restricted': see what was changed in the documents",
        )
    return Trouble("forbidden", f"The cluster does not make its pods: {told}", "see the rule that is named")


def _of_pod(client: Client, pod: Object) -> Iterator[Trouble]:
    if at(pod, "metadata", "deletionTimestamp") is not None:
        return
    statuses = [*(at(pod, "status", "initContainerStatuses") or ()), *(at(pod, "status", "containerStatuses") or ())]
    for status in statuses:
        trouble = _of_container(client, pod, status)
        if trouble is not None:
            yield trouble
    for condition in at(pod, "status", "conditions") or ():
        is_homeless = condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable"
        if is_homeless and not _COMING & {str(one.get("reason")) for one in events_of(client, pod)}:
            yield Trouble(
                "room",
                f"No node of the cluster takes its pods: {quote(str(condition.get('message', '')))}",
                "ask for less memory or CPU (aweigh plan says what the model needs), or give the cluster more nodes",
            )
    if not statuses or not all(one.get("ready") for one in statuses):
        yield from _of_events(client, pod)


def _of_container(client: Client, pod: Object, status: Object) -> Trouble | None:
    waiting = at(status, "state", "waiting") or {}
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    image = quote(str(status.get("image", "")), 160)
    if reason in _NO_IMAGE and (reason != "ErrImagePull" or _LAST.search(message)):
        told = f": {quote(message)}" if message and "ack-off" not in message else ""
        return Trouble(
            "image",
            f"The cluster cannot pull the image {image}{told}",
            "does it exist, and may the cluster read it? (aweigh image --push; a pull secret for a private registry)",
        )
    if reason in _NO_SETTINGS:
        return Trouble(
            # The operator of a database writes its Secret while the first pods are waiting for it.
            "secret" if re.search(r'secret ".*" not found', message) else "settings",
            f"The container cannot be started: {quote(message) or reason}",
            "what is named there is missing: a Secret, a key of it, or the command",
        )
    ended = at(status, "state", "terminated") or at(status, "lastState", "terminated") or {}
    code = ended.get("exitCode")
    crashes = int(status.get("restartCount") or 0) >= CRASHES or reason == "CrashLoopBackOff"
    if code is None or not crashes:
        return None
    if ended.get("reason") == "OOMKilled":
        return Trouble(
            "crash",
            f"The container {status.get('name')} takes more memory than its limit and is killed",
            "raise its memory: aweigh plan says what the model needs",
        )
    line = last_line(client, pod, str(status.get("name")), previous=True)
    told = f": {line}" if line else ""
    return Trouble(
        "crash",
        f"The container {status.get('name')} crashes (exit code {code}){told}",
        "its log says more: aweigh logs kubernetes",
    )


def _of_events(client: Client, pod: Object) -> Iterator[Trouble]:
    for event in events_of(client, pod):
        reason, message = str(event.get("reason", "")), str(event.get("message", ""))
        # While it starts it is asked in vain: whoever does so for too long is ended, and crashes.
        if reason == "Unhealthy" and not message.startswith("Startup probe"):
            yield Trouble(
                "probe",
                f"A pod runs and does not get ready: {quote(message)}",
                "its log says what it waits for (aweigh logs kubernetes); a database that is not reached, a slow model",
            )
        elif reason in {"FailedMount", "FailedAttachVolume"}:
            yield Trouble(
                "mount",
                f"A pod waits for what is mounted into it: {quote(message)}",
                "make what is named there, or name another",
            )


def events_of(client: Client, found: Object) -> list[Object]:
    """What the cluster tells of an object, the newest last; nothing where that may not be read."""
    fields = f"involvedObject.name={name_of(found)}"
    with suppress(RemoteError):
        path = path_of(client, "v1", "Event")
        events, _ = client.listed(path, what=f"to read the events of {name_of(found)}", fields=fields)
        return sorted(events, key=_when)
    return []


def _when(event: Object) -> str:
    found: Any = event.get("lastTimestamp") or event.get("eventTime") or at(event, "metadata", "creationTimestamp")
    return str(found or "")


def last_line(client: Client, pod: Object, container: str, *, previous: bool = False) -> str:
    """The last line of a container's log that says something; empty where it has none."""
    lines = log_lines(client, pod, container, lines=LOG_LINES, previous=previous)
    return quote(discreet(lines[-1])) if lines else ""


def log_lines(client: Client, pod: Object, container: str, *, lines: int, previous: bool = False) -> list[str]:
    """The last lines of a container's log; none where it cannot be read."""
    import httpx

    query = {"tailLines": str(lines), "container": container, **({"previous": "true"} if previous else {})}
    path = f"{path_of(client, 'v1', 'Pod', name_of(pod))}/log"
    try:
        with client.stream(Request("GET", path, "to read a log", query), read_s=30.0) as reply:
            return [one.strip() for one in reply.iter_lines() if one.strip()][-lines:]
    except (RemoteError, httpx.HTTPError):
        return log_lines(client, pod, container, lines=lines) if previous else []
