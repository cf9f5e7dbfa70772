"""What is rendered, applied to a real kube-apiserver: it validates more than its schemas say.

It is Kubernetes 1.20: what came with later versions goes there as its forerunner, whose fields are the same.
"""

import copy

import pytest
from tests.kube_plans import ALONE, ENTRIES, SCALINGS, STORES, plan

from aweigh.errors import RemoteError
from aweigh.targets.kubernetes.before import applied_document
from aweigh.targets.kubernetes.objects import objects_of

pytestmark = [pytest.mark.slow, pytest.mark.needs("kube-apiserver")]
LATER = {"autoscaling/v2": "autoscaling/v2beta2", "policy/v1": "policy/v1beta1"}
ADDED = ("keda.sh", "serving.kserve.io", "gateway.networking.k8s.io", "postgresql.cnpg.io")


@pytest.fixture(scope="module")
def applied(tmp_path_factory):
    """Return what applies an object there."""
    from tests.kubernetes.apiserver import running_apiserver

    from aweigh.targets.kubernetes.apply import apply
    from aweigh.targets.kubernetes.client import open_client
    from aweigh.targets.kubernetes.kubeconfig import find_connection

    with running_apiserver(tmp_path_factory.mktemp("cluster")) as cluster:
        connection = find_connection({"KUBECONFIG": str(cluster.certified("deployer", "system:masters"))})
        with open_client(connection) as client:
            yield lambda one: apply(client, known(one), force=True, dry_run=one["kind"] != "Namespace")


def known(one):
    """The object as that version of the cluster has it."""
    found = copy.deepcopy(one)
    found["apiVersion"] = LATER.get(one["apiVersion"], one["apiVersion"])
    if one["kind"] == "PodDisruptionBudget":
        found["spec"].pop("unhealthyPodEvictionPolicy")
    return found


@pytest.mark.parametrize("stores", STORES)
@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("entry", ENTRIES)
def test_a_real_cluster_takes_every_object_of_its_own(applied, entry, scaling, stores):
    chosen = plan(
        entry=ENTRIES[entry], scaling=SCALINGS[scaling], stores=STORES[stores], makes_namespace=True,
        metrics_namespace="monitoring", pull_secret="registry", settings={"AWEIGH_NOTE": "$(x) {{ y }} --- \U0001f427"},
    )  # fmt: skip
    for one in objects_of(chosen):
        if one["apiVersion"].partition("/")[0] not in ADDED:
            found = applied(one)
            assert found["metadata"]["name"] == one["metadata"]["name"]
            if one["kind"] not in {"Deployment", "StatefulSet", "Job", "Namespace"}:
                # By whose fields are whose the document is found again that puts an object back.
                again = applied_document(found)
                assert {**again, "metadata": {**again["metadata"], "namespace": "models"}} == known(one)


def test_a_misspelt_field_is_refused_by_it(applied):
    (one,) = [one for one in objects_of(plan(ALONE)) if one["kind"] == "Deployment"]
    applied(one)
    one["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(RemoteError, match="livenesProbe"):
        applied(one)
