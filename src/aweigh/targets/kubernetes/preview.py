"""What a deployment would change, as the cluster itself says by a dry run; nothing is changed."""

from collections.abc import Sequence

from aweigh.targets.kubernetes.apply import MANAGER, Difference, differences
from aweigh.targets.kubernetes.before import read_before
from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.former import settled
from aweigh.targets.kubernetes.labels import MANAGED, deployments_of, named
from aweigh.targets.kubernetes.resources import at, kind_of, path_to


def preview(client: Client, app: str, objects: Sequence[Object], *, force: bool = False) -> list[Difference]:
    """What applying the documents would do, each as a deployment would send it.

    Raises:
        UsageError: a name is another's; or the cluster lacks something that is asked for.
        KubernetesRefused, KubernetesSilent: the API refuses, or stays away.
    """
    for one in objects:
        path_to(client, one)
    for one in named(objects, "Namespace"):
        there = client.find(path_to(client, one), what=f"to read the {kind_of(one)}")
        if there is None:
            # Nothing can be asked of what is to be in it.
            return [Difference(kind_of(each), "creates") for each in objects]
        if at(there, "metadata", "labels", MANAGED) != MANAGER:
            objects = [each for each in objects if each is not one]
    read_before(client, app, objects, force=force)
    former = deployments_of(client, app)
    wanted = [settled(one, former, objects) for one in objects]
    return differences(client, wanted, force=force)
