"""An InferenceService of KServe: waited for until it is ready."""

from collections.abc import Sequence

from aweigh.targets.errors import NotUp
from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.errors import quote
from aweigh.targets.kubernetes.labels import APPS, RELEASE, SERVICE, released, template_of
from aweigh.targets.kubernetes.resources import annotations_of, at, kind_of, name_of, path_of, path_to
from aweigh.targets.kubernetes.rollout import Patience, condition, is_rolled_out, lasting_of, new_pods
from aweigh.targets.kubernetes.trouble import troubles_of
from aweigh.targets.kubernetes.watch import Watched, watch

VERSION = "serving.kserve.io/v1beta1"
BELONGS = "serving.kserve.io/inferenceservice"
"""The label of all that KServe makes of one."""


def services_before(client: Client, objects: Sequence[Object]) -> list[Object]:
    """What of the documents' InferenceServices is in the cluster already."""
    wanted = [one for one in objects if one.get("kind") == SERVICE]
    found = [client.find(path_to(client, one), what=f"to read the {kind_of(one)}") for one in wanted]
    return [one for one in found if one is not None]


def wait_for_service(client: Client, applied: Object, *, patience: Patience) -> Object:
    """What answers when KServe says that it is ready: the Deployment that it made, else the InferenceService.

    Raises:
        NotUp: it does not get ready.
        KubernetesRefused, KubernetesSilent: the API refuses, or stays away.
    """
    until = patience.clock() + patience.ready_s
    last, lasting = applied, lasting_of(patience)
    watched = Watched(
        path_of(client, VERSION, SERVICE),
        f"to watch the {kind_of(applied)}",
        fields=f"metadata.name={name_of(applied)}",
    )
    for event in watch(client, watched, until=until, window_s=patience.window_s, clock=patience.clock):
        if event.kind == "deleted":
            raise NotUp(f"Somebody deleted the {kind_of(applied)}.", hint="deploy once more")
        last = event.object or last
        made = _deployments(client, last)
        if condition(last, "Ready") is not None and _is_current(last, made):
            return made[0] if made else last
        if event.kind == "quiet":
            troubles = [trouble for one in made for trouble in troubles_of(client, new_pods(client, one))]
            found = lasting(troubles)
            if found is not None:
                raise NotUp(f"{found.sentence}.", hint=found.hint)
    told = quote(str((condition(last, "Ready", "False") or {}).get("message") or "")) or "it does not say why"
    raise NotUp(
        f"The {kind_of(applied)} did not get ready in {patience.ready_s:.0f} s: {told}.",
        hint=f"kubectl describe inferenceservice {name_of(applied)} -n {client.namespace}",
    )


def _deployments(client: Client, service: Object) -> list[Object]:
    """What KServe made of it, where it does without Knative."""
    selector = f"{BELONGS}={name_of(service)}"
    found, _ = client.listed(path_of(client, APPS, "Deployment"), what="to list what KServe made", selector=selector)
    return found


def _is_current(service: Object, made: Sequence[Object]) -> bool:
    """Whether it is ready as it was told last, and not still as it was before.

    Without Knative the generation that KServe tells is the Deployment's: the release that its pods are annotated with
    says more.
    """
    release = annotations_of(service).get(RELEASE)
    if release is not None and made:
        return all(
            released(template_of(one))[0] == release and is_rolled_out(one, int(at(one, "metadata", "generation") or 0))
            for one in made
        )
    return int(at(service, "status", "observedGeneration") or 0) >= int(at(service, "metadata", "generation") or 0)
