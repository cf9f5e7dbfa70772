"""An InferenceService of KServe: waited for until it is ready."""

from collections.abc import Sequence

from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.errors import NotUp, quote
from aweigh.targets.kubernetes.resources import at, kind_of, name_of, path_of, path_to
from aweigh.targets.kubernetes.rollout import Patience, condition, lasting_of
from aweigh.targets.kubernetes.trouble import troubles_of
from aweigh.targets.kubernetes.watch import Watched, watch

KIND = "InferenceService"
VERSION = "serving.kserve.io/v1beta1"


def services_before(client: Client, objects: Sequence[Object]) -> list[Object]:
    """What of the documents' InferenceServices is in the cluster already."""
    wanted = [one for one in objects if one.get("kind") == KIND]
    found = [client.find(path_to(client, one), what=f"to read the {kind_of(one)}") for one in wanted]
    return [one for one in found if one is not None]


def wait_for_service(client: Client, applied: Object, *, patience: Patience) -> Object:
    """The InferenceService when KServe says that it is ready.

    Raises:
        NotUp: it does not get ready.
        KubernetesRefused, KubernetesSilent: the API refuses, or stays away.
    """
    until = patience.clock() + patience.ready_s
    generation = int(at(applied, "metadata", "generation") or 0)
    last, lasting = applied, lasting_of(patience)
    watched = Watched(
        path_of(client, VERSION, KIND), f"to watch the {kind_of(applied)}", fields=f"metadata.name={name_of(applied)}"
    )
    for event in watch(client, watched, until=until, window_s=patience.window_s, clock=patience.clock):
        if event.kind == "deleted":
            raise NotUp(f"Somebody deleted the {kind_of(applied)}.", hint="deploy once more")
        last = event.object or last
        observed = int(at(last, "status", "observedGeneration") or 0)
        if observed >= generation and condition(last, "Ready") is not None:
            return last
        if event.kind == "quiet" and observed >= generation:
            pods, _ = client.listed(
                path_of(client, "v1", "Pod"),
                what="to list its pods",
                selector=f"serving.kserve.io/inferenceservice={name_of(applied)}",
            )
            found = lasting(troubles_of(client, pods))
            if found is not None:
                raise NotUp(f"{found.sentence}.", hint=found.hint)
    told = quote(str((condition(last, "Ready", "False") or {}).get("message") or "")) or "it does not say why"
    raise NotUp(
        f"The {kind_of(applied)} did not get ready in {patience.ready_s:.0f} s: {told}.",
        hint=f"kubectl describe inferenceservice {name_of(applied)} -n {client.namespace}",
    )
