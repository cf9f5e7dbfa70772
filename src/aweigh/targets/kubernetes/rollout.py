"""A rollout waited for: a Job until it has ended, a Deployment until its new pods serve or cannot."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aweigh.targets.errors import NotUp
from aweigh.targets.kubernetes.apply import apply, delete
from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.errors import MigrationFailed, quote
from aweigh.targets.kubernetes.labels import BATCH, is_web, matching, pods_of, released, replica_sets_of, template_of
from aweigh.targets.kubernetes.pods import check_pods
from aweigh.targets.kubernetes.resources import at, kind_of, name_of, path_of, path_to
from aweigh.targets.kubernetes.trouble import Trouble, events_of, last_line, not_made, of_deployment, troubles_of
from aweigh.targets.kubernetes.watch import Watched, watch


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take, in seconds: ``ready_s`` each replica of a Deployment, ``job_s`` a Job.

    And how long what looks wrong may still right itself: a node that comes (``room_s``), a probe (``probe_s``, as long
    as a replica has to start), a mount (``mount_s``), a Secret that an operator is about to write (``secret_s``).
    """

    ready_s: float = 600.0
    job_s: float = 900.0
    room_s: float = 90.0
    probe_s: float = 300.0
    mount_s: float = 30.0
    secret_s: float = 90.0
    window_s: int = 2
    clock: Callable[[], float] = field(default=time.monotonic)

    def of(self, trouble: Trouble) -> float:
        """How long such a trouble may last."""
        found = {"room": self.room_s, "probe": self.probe_s, "mount": self.mount_s, "secret": self.secret_s}
        return found.get(trouble.kind, 0.0)


@dataclass(slots=True)
class _Seen:
    """Since when each kind of trouble is there."""

    patience: Patience
    since: dict[str, float] = field(default_factory=dict)

    def lasting(self, troubles: Sequence[Trouble]) -> Trouble | None:
        """The first that has lasted for too long."""
        now = self.patience.clock()
        kinds = {one.kind for one in troubles}
        self.since = {kind: self.since.get(kind, now) for kind in kinds}
        return next((one for one in troubles if now - self.since[one.kind] >= self.patience.of(one)), None)


def lasting_of(patience: Patience) -> Callable[[Sequence[Trouble]], Trouble | None]:
    """What says which of the troubles that there are now has lasted for too long."""
    return _Seen(patience).lasting


def run_job(client: Client, job: Object, *, patience: Patience, force: bool = False) -> bool:
    """Runs a Job to its end; False: this very one has succeeded before.

    Raises:
        MigrationFailed: it failed, or did not end.
        KubernetesRefused, KubernetesSilent: the API refuses, or stays away.
    """
    path = path_to(client, job)
    there = client.find(path, what=f"to read the {kind_of(job)}")
    if there is not None:
        is_same = released(template_of(there)) == released(template_of(job))
        if condition(there, "Complete") and is_same:
            return False
        # One that is still at work is waited for: ended in the middle, it would have to begin anew.
        if condition(there, "Failed") or not is_same:
            _clear(client, there, patience=patience)
    apply(client, job, force=force)
    until = patience.clock() + patience.job_s
    seen, last = _Seen(patience), job
    watched = Watched(
        path_of(client, BATCH, "Job"), f"to watch the {kind_of(job)}", fields=f"metadata.name={name_of(job)}"
    )
    for event in watch(client, watched, until=until, window_s=patience.window_s, clock=patience.clock):
        if event.kind == "deleted":
            raise MigrationFailed(f"Somebody deleted the {kind_of(job)}.", hint="deploy once more")
        last = event.object or last
        if condition(last, "Complete"):
            return True
        if (failed := condition(last, "Failed")) is not None:
            raise _job_failed(client, last, failed)
        if event.kind == "quiet" and (trouble := seen.lasting(_job_troubles(client, last))) is not None:
            raise MigrationFailed(
                f"The {kind_of(job)} does not run: {_small(trouble.sentence)}; what ran before runs on.",
                hint=trouble.hint,
            )
    raise MigrationFailed(
        f"The {kind_of(job)} did not end in {patience.job_s:.0f} s; what ran before runs on.",
        hint=f"it goes on: kubectl logs job/{name_of(job)} -n {client.namespace} -f",
    )


def _job_troubles(client: Client, job: Object) -> list[Trouble]:
    pods = _pods_of_job(client, job)
    if not pods:
        refused = [one for one in events_of(client, job) if one.get("reason") == "FailedCreate"]
        return [not_made(str(refused[-1].get("message", "")))] if refused else []
    return troubles_of(client, pods)


def _pods_of_job(client: Client, job: Object) -> list[Object]:
    selector = matching(job) or f"job-name={name_of(job)}"
    found, _ = client.listed(path_of(client, "v1", "Pod"), what="to list the Job's pods", selector=selector)
    return sorted(found, key=lambda one: str(at(one, "metadata", "creationTimestamp")))


def _job_failed(client: Client, job: Object, condition: Object) -> MigrationFailed:
    pods = _pods_of_job(client, job)
    container = str(at(template_of(job), "spec", "containers", 0, "name"))
    line = last_line(client, pods[-1], container) if pods else ""
    told = line or quote(str(condition.get("message", ""))) or "it does not say why"
    return MigrationFailed(
        f"The {kind_of(job)} failed: {told}; what ran before runs on.",
        hint=f"kubectl logs job/{name_of(job)} -n {client.namespace}; then deploy once more",
    )


def _clear(client: Client, job: Object, *, patience: Patience) -> None:
    """Takes a former run away and waits until it is gone: a Job's pods cannot be changed."""
    path = path_to(client, job)
    delete(client, path, what=f"to delete the former {kind_of(job)}")
    until = patience.clock() + 60.0
    while client.find(path, what=f"to read the {kind_of(job)}") is not None:
        if patience.clock() >= until:
            raise MigrationFailed(
                f"The former {kind_of(job)} does not go away.", hint="see its finalizers: kubectl get job -o yaml"
            )
        client.pause(0.3)


def wait_for(client: Client, applied: Object, *, patience: Patience) -> Object:
    """The Deployment when all of its pods are of what was applied, and serve.

    Raises:
        NotUp: they do not come up.
        AnswersDiffer: their own golden rows come out otherwise than when they were packed.
        KubernetesRefused, KubernetesSilent: the API refuses, or stays away.
    """
    generation = int(at(applied, "metadata", "generation") or 0)
    last, seen, passed = applied, _Seen(patience), set[str]()
    until = patience.clock() + patience.ready_s
    watched = Watched(
        path_of(client, "apps/v1", "Deployment"),
        f"to watch the {kind_of(applied)}",
        fields=f"metadata.name={name_of(applied)}",
    )
    for event in watch(client, watched, until=math.inf, window_s=patience.window_s, clock=patience.clock):
        if event.kind == "deleted":
            raise NotUp(f"Somebody deleted the {kind_of(applied)}.", hint="deploy once more")
        last = event.object or last
        if is_rolled_out(last, generation):
            return last
        if (counts := _counts(last)) not in passed:
            # Replicas are changed one by one: many take long, and each has its own time. One that comes and goes
            # passes by where it was before.
            passed.add(counts)
            until = patience.clock() + patience.ready_s
        if patience.clock() >= until:
            break
        if int(at(last, "status", "observedGeneration") or 0) < generation:
            continue
        _check(client, last, seen, is_quiet=event.kind == "quiet")
    raise NotUp(
        f"The {kind_of(applied)} did not come on for {patience.ready_s:.0f} s: {_counts(last)}.",
        hint="see its pods: kubectl describe pods -l app.kubernetes.io/instance="
        f"{at(applied, 'metadata', 'labels', 'app.kubernetes.io/instance')} -n {client.namespace}",
    )


def _check(client: Client, deployment: Object, seen: _Seen, *, is_quiet: bool) -> None:
    """Raises what is wrong with it, if that will not right itself."""
    trouble = of_deployment(deployment)
    troubles = [trouble] if trouble is not None else []
    is_late = (condition(deployment, "Progressing", "False") or {}).get("reason") == "ProgressDeadlineExceeded"
    if is_quiet or is_late:
        pods = new_pods(client, deployment)
        troubles += troubles_of(client, pods)
        if is_web(deployment):
            check_pods(client, deployment, pods)
    found = troubles[0] if is_late and troubles else seen.lasting(troubles) if is_quiet or troubles else None
    if found is not None:
        raise NotUp(f"{found.sentence}.", hint=found.hint)
    if is_late:
        raise NotUp(
            f"The {kind_of(deployment)} makes no progress: {_counts(deployment)}.",
            hint=f"see its pods: kubectl get pods -n {client.namespace}, and its log: aweigh logs kubernetes",
        )


def new_pods(client: Client, deployment: Object) -> list[Object]:
    """The pods of the newest ReplicaSet, those that run longest first."""
    sets = replica_sets_of(client, deployment)
    pods = pods_of(client, deployment)
    if sets:
        uid = at(sets[0], "metadata", "uid")
        pods = [
            one for one in pods if uid in {each.get("uid") for each in at(one, "metadata", "ownerReferences") or ()}
        ]
    return sorted(pods, key=lambda one: str(at(one, "status", "startTime") or ""))


def is_rolled_out(deployment: Object, generation: int) -> bool:
    """Whether all its pods are of that generation, and serve; as ``kubectl rollout status`` has it."""
    status = deployment.get("status") or {}
    wanted = at(deployment, "spec", "replicas")
    wanted = 1 if wanted is None else int(wanted)
    updated = int(status.get("updatedReplicas") or 0)
    return (
        int(status.get("observedGeneration") or 0) >= generation
        and updated >= wanted
        and int(status.get("replicas") or 0) <= updated
        and int(status.get("availableReplicas") or 0) >= updated
    )


def _counts(deployment: Object) -> str:
    status = deployment.get("status") or {}
    wanted = at(deployment, "spec", "replicas")
    return (
        f"{int(status.get('updatedReplicas') or 0)} of {1 if wanted is None else wanted} replicas are new, "
        f"{int(status.get('availableReplicas') or 0)} serve"
    )


def condition(found: Object, kind: str, status: str = "True") -> Object | None:
    """The condition of that type and status, if an object has it."""
    conditions: Any = at(found, "status", "conditions") or ()
    return next((one for one in conditions if one.get("type") == kind and one.get("status") == status), None)


def _small(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
