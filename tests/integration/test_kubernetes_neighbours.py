"""What is others' in a namespace stays theirs, and what was beside a release comes back with it."""

import copy
from dataclasses import replace

import pytest
from tests.kubernetes.api import Fault
from tests.kubernetes.documents import APP, NAMESPACE, deployment, labels, objects
from tests.kubernetes.fixtures import api, client, connection
from tests.kubernetes.stand_in import HASTE, QUICK, go, image_of, wait_until
from tests.partly import partly_slow

from aweigh.errors import UsageError
from aweigh.targets.errors import NotUp
from aweigh.targets.kubernetes import after
from aweigh.targets.kubernetes.apply import apply
from aweigh.targets.kubernetes.before import applied_document
from aweigh.targets.kubernetes.deploy import deploy
from aweigh.targets.kubernetes.destroy import destroy
from aweigh.targets.kubernetes.errors import KubernetesRefused, MigrationFailed
from aweigh.targets.ssh.telling import Telling

__all__ = ["api", "client", "connection"]


def policy(port, app=APP):
    """Who may be asked at which port."""
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": app, "namespace": NAMESPACE, "labels": labels()},
        "spec": {"podSelector": {"matchLabels": {"a": "b"}}, "egress": [{"ports": [{"port": port}]}]},
    }  # fmt: skip


def ingress(host):
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {
            "name": APP, "namespace": NAMESPACE, "labels": labels("web"),
            "annotations": {"nginx.ingress.kubernetes.io/affinity": host},
        },
        "spec": {"rules": [{"host": host}]},
    }  # fmt: skip


def account(**meta):
    return {
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": APP, "namespace": NAMESPACE, **meta},
        "automountServiceAccountToken": False,
    }  # fmt: skip


def test_the_volumes_of_a_helm_release_of_the_same_name_are_not_destroyed(api, client, connection):
    go(connection, objects())
    for name in ("data-penguins-postgresql-0", "redis-data-penguins-redis-master-0", "data-penguins-redis-0"):
        claim = {"metadata": {"name": name, "labels": {"app.kubernetes.io/instance": APP}}}
        api.store.put(api.place("persistentvolumeclaims"), name, claim, before=None, dry_run=False)
    done = destroy(client, APP)
    assert [one for one in done.gone if "Volume" in one] == ["PersistentVolumeClaim data-penguins-redis-0"]
    assert {one["metadata"]["name"] for one in api.of("persistentvolumeclaims")} == {
        "data-penguins-postgresql-0", "redis-data-penguins-redis-master-0",
    }  # fmt: skip


def test_what_somebody_else_has_made_is_not_taken_over_unasked(api, client, connection):
    theirs = {**account(), "metadata": {"name": APP, "annotations": {"eks.amazonaws.com/role-arn": "x"}}}
    api.store.put(api.place("serviceaccounts"), APP, theirs, before=None, dry_run=False)
    documents = [account(labels=labels()), *objects()]
    with pytest.raises(UsageError, match="There is a ServiceAccount penguins in the namespace models that") as caught:
        go(connection, documents, secrets=("AWEIGH_DEPLOY_SECRET",))
    assert "--force-conflicts" in caught.value.hint
    assert api.of("secrets") == api.of("deployments") == []
    assert "labels" not in api.of("serviceaccounts", APP)["metadata"]
    assert go(connection, documents, manner=replace(QUICK, force=True)).changed


def test_an_app_whose_name_ends_as_an_object_of_another_does_is_told_of_it(api, connection):
    web = {**policy(5432, "penguins-web"), "metadata": {"name": "penguins-web", "labels": labels("web")}}
    go(connection, [web, *objects()])
    other = copy.deepcopy(policy(6379, "penguins-web"))
    other["metadata"]["labels"]["app.kubernetes.io/instance"] = "penguins-web"
    for manner in (QUICK, replace(QUICK, force=True)):
        with pytest.raises(UsageError, match=r"NetworkPolicy penguins-web in .* belongs to the app penguins"):
            go(connection, [other], app="penguins-web", manner=manner)
    assert api.of("networkpolicies", "penguins-web")["spec"] == web["spec"]


def test_a_namespace_of_others_is_not_shut_in(api, connection):
    levels = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/managed-by": "aweigh"}
    wanted = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": levels}}
    place = api.place("namespaces", "")
    api.store.put(place, NAMESPACE, {"metadata": {"name": NAMESPACE, "labels": {}}}, before=None, dry_run=False)
    told = []
    go(connection, [wanted, *objects()], told=told)
    assert api.of("namespaces", NAMESPACE, "")["metadata"]["labels"] == {}
    assert ("namespace", "models is there already, and stays as it is") in told
    # Where there is none it is made, and where it is ours kept up.
    api.store.delete(place, NAMESPACE)
    go(connection, [wanted, *objects()])
    go(connection, [wanted, *objects()])
    assert api.of("namespaces", NAMESPACE, "")["metadata"]["labels"] == levels


@pytest.mark.parametrize(
    ("image", "error"),
    [("missing", NotUp), pytest.param("badmigration", MigrationFailed, marks=pytest.mark.slow)],
)
def test_what_leads_to_an_app_and_limits_it_is_put_back_with_it(api, client, connection, image, error):
    go(connection, [policy(5432), *objects(), ingress("old.example.org")])
    kept = copy.deepcopy([api.of("networkpolicies", APP), api.of("ingresses", APP)])
    worker = deployment(f"registry.example/{image}:2", "r2", component="worker")
    scaler = {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "penguins-web", "labels": labels("web")}, "spec": {"minReplicas": 3},
    }  # fmt: skip
    second = [policy(6379), *objects(f"registry.example/{image}:2", "r2"), worker, scaler, ingress("new.example.org")]
    with pytest.raises(error):
        go(connection, second)
    now = [api.of("networkpolicies", APP), api.of("ingresses", APP)]
    for was, found in zip(kept, now, strict=True):
        assert found["spec"] == was["spec"]
        assert found["metadata"].get("annotations") == was["metadata"].get("annotations")
    assert api.of("horizontalpodautoscalers") == []
    assert [one["metadata"]["name"] for one in api.of("deployments")] == ["penguins-web"]
    wait_until(lambda: image_of(api) == "registry.example/penguins:1")
    # The next one finds all its fields where it would have put them.
    assert go(connection, [policy(6379), *objects("registry.example/penguins:3", "r3")]).release == "r3"
    assert after.status(client, APP).state == "up"


def test_a_document_is_found_again_in_an_object_by_the_fields_that_are_ours(client):
    wanted = ingress("models.example.org")
    wanted["spec"]["tls"] = [{"hosts": ["models.example.org"], "secretName": "models"}]
    found = apply(client, wanted)
    found["metadata"]["annotations"]["theirs"] = "stays theirs"
    found["spec"]["ingressClassName"] = "theirs"
    again = applied_document(found)
    again["metadata"]["namespace"] = NAMESPACE
    assert again == wanted
    assert applied_document({**found, "metadata": {"name": APP}}) is None


def test_what_others_have_added_to_the_cluster_need_not_be_seen(api, client, connection):
    api.added = {
        "keda.sh/v1alpha1": [("scaledobjects", "ScaledObject", True)],
        "gateway.networking.k8s.io/v1": [("httproutes", "HTTPRoute", True)],
        "monitoring.coreos.com/v1": [("podmonitors", "PodMonitor", True)],
        "postgresql.cnpg.io/v1": [("clusters", "Cluster", True)],
    }
    assert go(connection, objects()).release == "r1"
    assert after.status(client, APP).state == "up"
    assert after.scale(client, APP, {"web": 2}, patience=HASTE)[1]
    done = destroy(client, APP)
    assert "Deployment penguins-web" in done.gone
    assert api.of("deployments") == []
    # What the role should have is missed.
    forbidden = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "ingresses is forbidden"}
    api.faults = [Fault("GET", "/ingresses", times=9, status=403, body=forbidden)]
    with pytest.raises(KubernetesRefused, match="may not list each Ingress"):
        destroy(client, APP)


def test_a_secret_that_was_made_by_hand_is_left_and_named(api, client, connection):
    place = api.place("secrets")
    api.store.put(place, "penguins-secrets", {"metadata": {"name": "penguins-secrets"}}, before=None, dry_run=False)
    go(connection, objects())
    assert destroy(client, APP).left == ("Secret penguins-secrets (aweigh has not made it)",)
    assert len(api.of("secrets")) == 1


def test_what_earlier_releases_read_is_kept_where_they_cannot_be_seen(api, client, connection):
    def release(number):
        documents = objects(f"registry.example/penguins:{number}", f"r{number}")
        documents[0]["metadata"]["name"] = f"penguins-release-{number}"
        (container,) = documents[-1]["spec"]["template"]["spec"]["containers"]
        container["envFrom"] = [{"configMapRef": {"name": f"penguins-release-{number}"}}]
        return documents

    go(connection, release(1))
    forbidden = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "replicasets is forbidden"}
    api.faults = [Fault("GET", r"/replicasets\?.*managed-by", times=9, status=403, body=forbidden)]
    assert go(connection, release(2)).release == "r2"
    assert api.faults[0].times < 9
    assert {one["metadata"]["name"] for one in api.of("configmaps")} == {"penguins-release-1", "penguins-release-2"}


@pytest.mark.parametrize("is_first", partly_slow(False, slow=[True]))
def test_what_a_release_that_failed_has_taken_over_is_its_owner_s_again(api, connection, is_first):
    if not is_first:
        go(connection, objects())
    theirs = {
        "metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"theirs": "yes"}},
        "spec": {"rules": [{"host": "theirs.example.org"}], "ingressClassName": "theirs"},
    }  # fmt: skip
    place = api.place("ingresses")
    api.store.apply(place, APP, theirs, manager="helm", force=False, dry_run=False)
    ours = ingress("ours.example.org")
    ours["spec"]["ingressClassName"] = "ours"
    ours["metadata"]["annotations"]["theirs"] = "no"
    with pytest.raises(NotUp):
        go(connection, [*objects("registry.example/missing:2", "r2"), ours], manner=replace(QUICK, force=True))
    found = api.of("ingresses", APP)
    assert found["spec"] == theirs["spec"]
    assert {part: found["metadata"].get(part) for part in theirs["metadata"]} == theirs["metadata"]


@pytest.mark.slow
def test_nobody_is_led_to_a_first_release_that_failed(api, connection):
    with pytest.raises(NotUp, match="nothing ran before it"):
        go(connection, [*objects("registry.example/missing:1"), ingress("new.example.org")])
    assert api.of("ingresses") == []
    assert len(api.of("deployments")) == 1
    go(connection, [*objects("registry.example/penguins:2", "r2"), ingress("new.example.org")])
    assert len(api.of("ingresses")) == 1


@pytest.mark.slow
def test_a_field_of_others_that_was_taken_over_comes_back_with_the_release(api, connection):
    go(connection, [*objects(), ingress("old.example.org")])
    theirs = {"metadata": {"annotations": {"cert-manager.io/cluster-issuer": "theirs"}}}
    api.store.apply(api.place("ingresses"), APP, theirs, manager="helm", force=False, dry_run=False)
    was = copy.deepcopy(api.of("ingresses", APP))
    second = ingress("new.example.org")
    second["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] = "ours"
    with pytest.raises(NotUp):
        go(connection, [*objects("registry.example/missing:2", "r2"), second], manner=replace(QUICK, force=True))
    found = api.of("ingresses", APP)
    assert found["spec"] == was["spec"]
    assert found["metadata"]["annotations"] == was["metadata"]["annotations"]


def test_what_could_not_be_put_back_is_told_of_a_migration_that_failed_too(api, connection):
    go(connection, [policy(5432), *objects()])

    def meanwhile(name, *_):
        if name == "secrets":
            api.faults = [Fault("GET", "/networkpolicies/penguins", times=99, status=500)]

    second = [policy(6379), *objects("registry.example/badmigration:2", "r2")]
    with pytest.raises(MigrationFailed, match="what ran before runs on, but not all beside it could be put back"):
        deploy(
            second, app=APP, namespace=NAMESPACE, connection=connection, secrets=("AWEIGH_DEPLOY_SECRET",),
            telling=Telling(meanwhile), manner=QUICK,
        )  # fmt: skip
