"""A deployment to a real kube-apiserver: what it validates, who it lets in, whose fields are whose.

It is Kubernetes 1.20 (Debian's; `make kubernetes` builds it): autoscaling/v2 and policy/v1 came later and are absent.
No controllers run there and no nodes: controllers.py says how Deployments, pods and Jobs are, as they would.
"""

import copy
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from tests.conftest import ROOT, require_tool
from tests.integration.conftest import Serving
from tests.kubernetes import shows
from tests.kubernetes.apiserver import running_apiserver
from tests.kubernetes.controllers import acting
from tests.kubernetes.documents import APP, deployment, labels, migration, objects, service
from tests.kubernetes.kubelet import running_kubelet

from aweigh.errors import UsageError
from aweigh.secret import Secret
from aweigh.targets.errors import AnswersDiffer, NotUp
from aweigh.targets.kubernetes import after, history
from aweigh.targets.kubernetes.apply import apply, differences, managers_of, merge
from aweigh.targets.kubernetes.client import APPLY, Request, open_client
from aweigh.targets.kubernetes.credentials import not_after
from aweigh.targets.kubernetes.deploy import Manner, deploy
from aweigh.targets.kubernetes.destroy import destroy
from aweigh.targets.kubernetes.errors import (
    FieldConflict,
    KubernetesRefused,
    KubernetesSilent,
    MigrationFailed,
    NoForward,
)
from aweigh.targets.kubernetes.kubeconfig import find_connection
from aweigh.targets.kubernetes.labels import pods_of
from aweigh.targets.kubernetes.log import log
from aweigh.targets.kubernetes.portforward import forwarded
from aweigh.targets.kubernetes.proxied import proxied
from aweigh.targets.kubernetes.resources import path_of, path_to
from aweigh.targets.kubernetes.rollout import Patience
from aweigh.targets.kubernetes.watch import Watched, watch
from aweigh.targets.live import get, golden_of

pytestmark = [pytest.mark.slow, pytest.mark.needs("kube-apiserver")]
HASTE = Patience(ready_s=30, job_s=30, room_s=0, probe_s=0, mount_s=0, window_s=1)
QUICK = Manner(patience=HASTE)
BUNDLE = ROOT / "tests" / "bundles" / "format-1-onnx.aweigh"
SECRET = Secret("s" * 40)
BACKEND = {"service": {"name": APP, "port": {"name": "http"}}}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with running_apiserver(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def namespace(cluster, request):
    """Return a namespace of the test's own."""
    name = f"n{abs(hash(request.node.name)) % 10**8}-{time.monotonic_ns() % 10**6}"
    with cluster.client() as client:
        client.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()
    return name


@pytest.fixture
def connection(cluster, namespace):
    path = cluster.certified("deployer", "system:masters")
    return find_connection({"KUBECONFIG": str(path)}, namespace=namespace)


@pytest.fixture
def client(connection):
    with open_client(connection) as found:
        yield found


@pytest.fixture
def controllers(cluster, namespace):
    with cluster.client() as client:
        with acting(client, namespace) as found:
            yield found
        assert found.failed == []


def own(documents, namespace):
    """The documents in another namespace."""
    found = copy.deepcopy(documents)
    for one in found:
        one["metadata"]["namespace"] = namespace
    return found


def go(connection, documents, **more):
    return deploy(
        own(documents, connection.namespace), app=APP, namespace=connection.namespace, connection=connection,
        **{"manner": QUICK, **more},
    )  # fmt: skip


@shows("deploy", "status", "releases", "rollback", "scale", "config", "destroy", how="real control plane")
def test_a_whole_life(connection, client, controllers):
    deployed = go(connection, objects(replicas=2), secrets=("AWEIGH_DEPLOY_SECRET",))
    assert (deployed.version, deployed.release, deployed.changed) == ("v1", "r1", True)
    assert not go(connection, objects(replicas=2), secrets=("AWEIGH_DEPLOY_SECRET",)).changed
    documents = objects("registry.example/penguins:2", "r2", replicas=2)
    documents[-1]["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "NEW", "value": "1"})
    assert go(connection, documents).version == "v2"
    found = after.status(client, APP)
    assert (found.state, found.replicas) == ("up", {"web": 2})
    assert [(one.number, one.release) for one in history.releases(client, APP)] == [(2, "r2"), (1, "r1")]
    was, now = history.rollback(client, APP, patience=HASTE)
    assert (was.number, now.number, now.release) == (1, 3, "r1")
    web = after.known(client, APP)[0]
    assert [one["name"] for one in web["spec"]["template"]["spec"]["containers"][0]["env"]] == ["PORT"]
    assert managers_of(web, "spec", "template", "spec") >= {"aweigh"}
    assert after.scale(client, APP, {"web": 3}, patience=HASTE) == ({"web": 3}, True)
    assert after.set_config(client, APP, {"AWEIGH_DOMAIN": Secret("reject")}, patience=HASTE)
    assert after.config(client, APP) == ["AWEIGH_DEPLOY_SECRET", "AWEIGH_DOMAIN"]
    assert go(connection, documents).release == "r2"
    done = destroy(client, APP)
    assert {"Deployment penguins-web", "Service penguins", "Secret penguins-secrets"} <= set(done.gone)
    assert done.left == ()
    assert after.status(client, APP).state == "absent"


@pytest.mark.parametrize("image", ["missing", "crash", "unready", "room", "quota"])
def test_what_does_not_come_up_is_put_back(connection, client, controllers, image):
    go(connection, objects())
    with pytest.raises(NotUp, match="the old release still serves") as caught:
        go(connection, objects(f"registry.example/{image}:2", "r2"))
    assert caught.value.hint
    web = after.known(client, APP)[0]
    assert web["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/penguins:1"


def test_what_was_beside_a_release_that_failed_is_put_back(connection, client, controllers):
    def beside(port, host):
        policy = {
            "podSelector": {"matchLabels": {"a": "b"}},
            "egress": [{"ports": [{"port": port, "protocol": "TCP"}]}],
        }
        kinds = {"NetworkPolicy": policy, "Ingress": {"rules": [{"host": host}], "defaultBackend": BACKEND}}
        return [
            {
                "apiVersion": "networking.k8s.io/v1", "kind": kind, "spec": spec,
                "metadata": {"name": APP, "labels": labels(), "annotations": {"example.org/host": host}},
            }
            for kind, spec in kinds.items()
        ]  # fmt: skip

    go(connection, [*beside(5432, "old.example.org"), *objects()])
    before = [client.find(path_to(client, one), what="to read") for one in beside(1, "x")]
    with pytest.raises(NotUp, match="the old release still serves"):
        go(connection, [*beside(6379, "new.example.org"), *objects("registry.example/missing:2", "r2")])
    for old in before:
        now = client.find(path_to(client, old), what="to read")
        assert now["spec"] == old["spec"]
        assert now["metadata"]["annotations"] == {"example.org/host": "old.example.org"}
    assert go(connection, [*beside(6379, "new.example.org"), *objects("registry.example/penguins:3", "r3")]).changed


def test_a_failed_migration_touches_nothing(connection, client, controllers):
    go(connection, objects())
    with pytest.raises(MigrationFailed, match="what ran before runs on"):
        go(connection, objects("registry.example/badmigration:2", "r2"))
    assert go(connection, objects("registry.example/penguins:2", "r2")).release == "r2"


def test_a_rejected_typo_names_the_field(client, namespace):
    (wanted,) = own([deployment("registry.example/penguins:1", "r1")], namespace)
    wanted["spec"]["replica"] = 2
    with pytest.raises(KubernetesRefused) as caught:
        apply(client, wanted)
    assert "knows no field .spec.replica in Deployment penguins-web" in caught.value.message
    assert "typing error" in caught.value.hint
    (wanted,) = own([deployment("registry.example/penguins:1", "r1")], namespace)
    wanted["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = 99999
    wanted["spec"]["template"]["spec"]["containers"][0]["image"] = ""
    with pytest.raises(KubernetesRefused) as caught:
        apply(client, wanted)
    assert "spec.template.spec.containers[0].ports[0].containerPort: " in caught.value.message
    assert "between 1 and 65535" in caught.value.message


def test_a_conflict_with_another_field_manager_is_explained(client, namespace):
    (first,) = own([deployment("registry.example/penguins:1", "r1")], namespace)
    apply(client, first)
    theirs = {key: first[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": "penguins-web"}}
    query = {"fieldManager": "gitops", "force": "true"}
    body = {**theirs, "spec": {"replicas": 4}}
    client.send(Request("PATCH", path_to(client, first), "to apply", query, body, APPLY))
    with pytest.raises(FieldConflict) as caught:
        apply(client, first)
    assert (
        caught.value.message == "A field of Deployment penguins-web is set to something else by gitops: .spec.replicas."
    )
    assert "--force-conflicts" in caught.value.hint
    assert apply(client, first, force=True)["spec"]["replicas"] == 1


def test_a_dry_run_tells_what_would_change_and_changes_nothing(client, namespace):
    (first,) = own([deployment("registry.example/penguins:1", "r1")], namespace)
    apply(client, first)
    (second, other) = own([deployment("registry.example/penguins:2", "r1", replicas=3), service()], namespace)
    found = {one.object: one for one in differences(client, [first, second, other])}
    assert found["Service penguins"].does == "creates"
    changes = {one.field: (one.before, one.after) for one in found["Deployment penguins-web"].changes}
    assert changes == {
        "spec.replicas": (1, 3),
        "spec.template.spec.containers[web].image": ("registry.example/penguins:1", "registry.example/penguins:2"),
    }
    now = client.find(path_to(client, first), what="to read")
    assert now["spec"]["replicas"] == 1
    assert differences(client, [first])[0].does == "nothing"


def test_what_a_cluster_of_that_age_does_not_know_is_said(client, namespace):
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"}}
    with pytest.raises(UsageError, match="knows no HorizontalPodAutoscaler of autoscaling/v2") as caught:
        apply(client, scaler)
    assert "1.23" in caught.value.hint


def test_an_expired_certificate_is_told_with_its_date(cluster, namespace):
    connection = find_connection({"KUBECONFIG": str(cluster.certified("late", "system:masters", ended=True))})
    ended = not_after(connection.user.certificate)
    assert 1 < (datetime.now(UTC) - ended).days < 3
    with open_client(connection) as client, pytest.raises(KubernetesRefused) as caught:
        after.status(client, APP)
    assert caught.value.message == f"The client certificate of late ended on {ended:%Y-%m-%d %H:%M} UTC."
    assert "new kubeconfig" in caught.value.hint


def test_a_revoked_token_is_told(cluster, namespace):
    with cluster.client() as admin:
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        admin.post(account, json={"metadata": {"name": "ci"}}).raise_for_status()
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]}]
        admin.post(f"{rbac}/roles", json={"metadata": {"name": "ci"}, "rules": rules}).raise_for_status()
        binding = {
            "metadata": {"name": "ci"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ci"},
            "subjects": [{"kind": "ServiceAccount", "name": "ci", "namespace": namespace}],
        }
        admin.post(f"{rbac}/rolebindings", json=binding).raise_for_status()
        token = admin.post(f"{account}/ci/token", json={"spec": {}}).raise_for_status().json()["status"]["token"]
        path = cluster.kubeconfig(f"ci-{namespace}", {"token": token}, namespace=namespace)
        connection = find_connection({"KUBECONFIG": str(path)})
        with open_client(connection) as client:
            assert after.status(client, APP).state == "absent"
            admin.delete(f"{account}/ci").raise_for_status()
            until = time.monotonic() + 30
            # The server remembers for 10 s whom it has let in.
            while True:
                try:
                    after.status(client, APP)
                except KubernetesRefused as error:
                    found = error
                    break
                assert time.monotonic() < until
                threading.Event().wait(0.5)
    assert found.message == f"The cluster does not accept the credentials of ci-{namespace}."
    assert token not in f"{found}{found.hint}"


def test_who_may_not_is_told_what_and_by_whom(cluster, namespace):
    connection = find_connection({"KUBECONFIG": str(cluster.certified("bob"))}, namespace=namespace)
    with open_client(connection) as client, pytest.raises(KubernetesRefused) as caught:
        after.status(client, APP)
    assert caught.value.status == 403
    assert (
        "bob may not list the Deployments of penguins in this cluster: deployments.apps is forbidden"
        in caught.value.message
    )
    assert f"kubectl auth can-i --list -n {namespace}" in caught.value.hint


def test_a_namespace_that_is_not_there_is_told_with_its_fix(connection):
    gone = replace(connection, namespace="no-such")
    with pytest.raises(KubernetesRefused, match="The cluster has no namespace no-such") as caught:
        go(gone, objects(), secrets=("AWEIGH_DEPLOY_SECRET",))
    assert "kubectl create namespace no-such" in caught.value.hint


def test_a_server_of_another_authority_or_name_is_not_talked_to(cluster, connection):
    unknown = pytest.raises(KubernetesSilent, match="of an authority that the kubeconfig does not name")
    with open_client(replace(connection, authority=None), pause=lambda _: None) as client, unknown:
        after.status(client, APP)
    elsewhere = replace(connection, server=connection.server.replace("127.0.0.1", "localhost"))
    with open_client(elsewhere, pause=lambda _: None) as client:
        with pytest.raises(KubernetesSilent, match="made for another name") as caught:
            after.status(client, APP)
        assert "tls-server-name" in caught.value.hint
    with open_client(replace(elsewhere, server_name="kubernetes.tests")) as client:
        assert after.status(client, APP).state == "absent"


@contextmanager
def cutting(port):
    """A way to the server that cuts its first watch after some bytes of what it says."""
    listener = socket.create_server(("127.0.0.1", 0))
    cut: list[int] = []
    opened: list[socket.socket] = []

    def pump(one, other, limit=None):
        total = 0
        try:
            while piece := one.recv(4096):
                total += len(piece)
                if limit is not None and total > limit and not cut:
                    cut.append(total)
                    break
                other.sendall(piece)
        except OSError:
            pass
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def serve():
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", port))
            opened.extend((near, far))
            threading.Thread(target=pump, args=(near, far), daemon=True).start()
            threading.Thread(target=pump, args=(far, near, 12_000), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], cut
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for one in opened:
            one.close()


def test_a_watch_cut_in_the_middle_loses_nothing(cluster, connection, client):
    port = int(cluster.url.rpartition(":")[2])
    names = [f"c{i}" for i in range(12)]
    with cutting(port) as (other, cut), open_client(replace(connection, server=f"https://127.0.0.1:{other}")) as far:
        path = f"/api/v1/namespaces/{connection.namespace}/configmaps"
        seen, begun = [], False
        for event in watch(far, Watched(path, "to watch"), until=time.monotonic() + 20, window_s=2):
            if event.kind != "quiet":
                seen.append(event.object["metadata"]["name"])
            if not begun:
                begun = True
                for name in names:
                    text = {
                        "apiVersion": "v1",
                        "kind": "ConfigMap",
                        "metadata": {"name": name},
                        "data": {"k": "x" * 2000},
                    }
                    apply(client, text)
            if set(names) <= set(seen):
                break
    assert cut
    assert [one for one in seen if one in names] == names


def test_what_the_store_has_forgotten_is_listed_anew(client, cluster):
    """Compacted in etcd: the server's own 410, in the middle of a watch and between two pages."""
    path = path_of(client, "v1", "ConfigMap")

    def applied(*names):
        for name in names:
            apply(client, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "x"}})

    def compact():
        applied("last")
        revision = int(client.listed(path, what="to list")[1])
        body = {"revision": str(revision), "physical": True}
        httpx.post(f"{cluster.store}/v3/kv/compaction", json=body, trust_env=False).raise_for_status()

    applied("a")
    _, old = client.listed(path, what="to list")
    applied("b", "c")
    compact()
    asked = []

    class Late:
        """The client, whose first list was long ago."""

        def __getattr__(self, name):
            return getattr(client, name)

        def listed(self, *arguments, **more):
            found, version = client.listed(*arguments, **more)
            asked.append(version)
            return (found, version) if len(asked) > 1 else (found[:1], old)

    events = list(watch(Late(), Watched(path, "to watch"), until=time.monotonic(), window_s=1))
    assert len(asked) == 2
    assert [one.object["metadata"]["name"] for one in events if one.kind == "listed"] == ["a", "a", "b", "c", "last"]
    first = client.send(Request("GET", path, "to list", {"limit": "1"}))
    applied("d")
    compact()
    late = {"limit": "1", "continue": first["metadata"]["continue"]}
    with pytest.raises(KubernetesRefused) as caught:
        client.send(Request("GET", path, "to list", late))
    assert caught.value.status == 410


def _address():
    """An address of this machine that is not loopback: the API's proxy goes to no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        try:
            found.connect(("192.0.2.1", 9))
            return found.getsockname()[0]
        except OSError:
            return "127.0.0.1"


def test_a_service_is_asked_through_the_api(client, namespace):
    import http.server

    address = _address()
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "ready"}')

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((address, 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (wanted,) = own([service()], namespace)
    del wanted["spec"]["selector"]
    apply(client, wanted)
    # The API asks only addresses that a pod has.
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "a", "image": "b"}]},
    }
    apply(client, pod)
    own_address = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
    merge(client, f"{path_to(client, pod)}/status", own_address, what="to say where it is")
    port = {"name": "http", "port": server.server_port}
    target = {"kind": "Pod", "name": "p", "namespace": namespace}
    ends = {
        "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": APP},
        "subsets": [{"addresses": [{"ip": address, "targetRef": target}], "ports": [port]}],
    }  # fmt: skip
    apply(client, ends)
    try:
        with proxied(client, APP, 80) as url:
            assert get(url, "/health/ready").document == {"status": "ready"}
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """Run a real server of a bundle behind a door; its port."""
    folder = tmp_path_factory.mktemp("app")
    env = {"AWEIGH_STATE_DIR": str(folder / "state"), "AWEIGH_DEPLOY_SECRET": SECRET.reveal()}
    words = [BUNDLE, "--auth", "password", "--no-ui", "--port", "0"]
    server = Serving(*words, log=folder / "errors.log", env=env)
    yield int(server.url.rpartition(":")[2])
    server.stop()


@shows("deploy", "logs", "golden rows", how="real control plane")
def test_golden_rows_go_through_the_api_to_a_pod_behind_its_door(cluster, connection, client, app):
    """The API passes the WebSocket on to the node; the node is ours, the bytes between are the API's own."""
    with cluster.client() as admin, running_kubelet(cluster, admin) as kubelet:
        kubelet.backend = app
        with acting(admin, connection.namespace, node="node") as controllers:
            secrets = {"AWEIGH_DEPLOY_SECRET": SECRET}
            deployed = go(connection, objects(), secrets=secrets, golden=golden_of(BUNDLE))
            assert deployed.golden_rows > 0
            headers, query = kubelet.asked[-1]
            assert query == "port=8080"
            assert headers["sec-websocket-protocol"] == "v4.channel.k8s.io"
            golden = golden_of(BUNDLE)
            wrong = replace(golden, predictions=[*golden.predictions[1:], golden.predictions[0]])
            with pytest.raises(AnswersDiffer, match="the old release still serves"):
                go(connection, objects("registry.example/penguins:2", "r2"), secrets=secrets, golden=wrong)
            names = [pod["metadata"]["name"] for pod in pods_of(client, after.known(client, APP)[0])]
            kubelet.logs = {one: f"2026-01-01T00:00:01.5Z of {one}\n" for one in names}
            assert [one.rpartition(" ")[2] for one in log(client, APP, lines=5)] == sorted(names)
        assert controllers.failed == []


def test_the_rights_of_the_how_to_are_enough_for_a_whole_life(cluster, namespace, controllers):
    import yaml

    page = (ROOT / "docs" / "how-to" / "give-a-pipeline-rights.md").read_text(encoding="utf-8")
    role = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    role["metadata"]["namespace"] = namespace
    with cluster.client() as admin:
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        admin.post(f"{rbac}/roles", json=role).raise_for_status()
        binding = {
            "metadata": {"name": "pipeline"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]},
            "subjects": [{"kind": "User", "name": "pipeline", "apiGroup": "rbac.authorization.k8s.io"}],
        }
        admin.post(f"{rbac}/rolebindings", json=binding).raise_for_status()
    path = cluster.certified("pipeline")
    connection = find_connection({"KUBECONFIG": str(path)}, namespace=namespace)
    go(connection, objects(), secrets=("AWEIGH_DEPLOY_SECRET",))
    with pytest.raises(NotUp, match=r"Readiness probe failed.*the old release still serves"):
        go(connection, objects("registry.example/unready:2", "r2"))
    go(connection, objects("registry.example/penguins:3", "r3"))
    with open_client(connection) as client:
        assert history.rollback(client, APP, patience=HASTE)[0].release == "r1"
        assert [one.failed for one in history.releases(client, APP) if one.release == "r2"] == [True]
        assert after.scale(client, APP, {"web": 2}, patience=HASTE)[1]
        assert after.set_config(client, APP, {"AWEIGH_DOMAIN": Secret("warn")}, patience=HASTE)
        assert after.status(client, APP).state == "up"
        assert destroy(client, APP).left == ()


@pytest.mark.parametrize("verbs", [["list", "get"], ["list", "get", "create"]])
def test_who_may_not_forward_ports_is_told_what_it_takes(cluster, namespace, verbs):
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    name = f"watcher{len(verbs)}"
    with cluster.client() as admin:
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]
        admin.post(f"{rbac}/roles", json={"metadata": {"name": name}, "rules": rules}).raise_for_status()
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        subjects = [{"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}]
        binding = {"metadata": {"name": name}, "roleRef": role, "subjects": subjects}
        admin.post(f"{rbac}/rolebindings", json=binding).raise_for_status()
    connection = find_connection({"KUBECONFIG": str(cluster.certified(name))}, namespace=namespace)
    with open_client(connection) as client, pytest.raises(NoForward) as caught, forwarded(client, "p", 8080):
        pass
    assert "this user may not (it takes get and create on pods/portforward)" in caught.value.message


# -- somebody else's client ----------------------------------------------------------------------------------------


def kubectl(cluster, name, namespace):
    """The vendor's own client, from its wheel or from the vendor, as a user of the cluster's."""
    config = str(cluster.certified(name, "system:masters"))
    return [require_tool("kubectl"), "--kubeconfig", config, "-n", namespace]


@shows("deploy", how="vendor's client")
def test_kubectl_reads_what_was_applied_and_sees_no_difference(cluster, connection, controllers, tmp_path):
    import yaml

    go(connection, objects(replicas=2))
    words = kubectl(cluster, "reader", connection.namespace)
    said = subprocess.run(
        [*words, "get", "deployment", "penguins-web", "-o", "yaml", "--show-managed-fields"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    found = yaml.safe_load(said)
    entry = next(one for one in found["metadata"]["managedFields"] if one["manager"] == "aweigh")
    assert entry["operation"] == "Apply"
    assert "f:replicas" in entry["fieldsV1"]["f:spec"]
    assert found["spec"]["template"]["metadata"]["annotations"]["aweigh.io/release"] == "r1"
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all(own(objects(replicas=2), connection.namespace)))
    diff = [*words, "diff", "--server-side", "--field-manager=aweigh", "-f", str(path)]
    same = subprocess.run(diff, capture_output=True, text=True, check=False, timeout=60)
    assert (same.returncode, same.stdout) == (0, "")
    path.write_text(yaml.safe_dump_all(own(objects(replicas=3), connection.namespace)))
    other = subprocess.run(diff, capture_output=True, text=True, check=False, timeout=60)
    assert other.returncode == 1
    assert "+  replicas: 3" in other.stdout
    rollout = [*words, "rollout", "status", "deployment/penguins-web", "--timeout=20s"]
    told = subprocess.run(rollout, capture_output=True, text=True, check=False, timeout=60)
    assert "successfully rolled out" in told.stdout


def test_what_kubectl_sets_is_a_conflict_that_names_it(cluster, connection, client, controllers):
    go(connection, objects(replicas=2))
    words = kubectl(cluster, "operator", connection.namespace)
    subprocess.run(
        [*words, "set", "image", "deployment/penguins-web", "web=registry.example/other:9"],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    with pytest.raises(FieldConflict, match="set to something else by kubectl-set"):
        go(connection, objects("registry.example/penguins:3", "r3", replicas=2))
    forced = Manner(patience=HASTE, force=True)
    assert go(connection, objects("registry.example/penguins:3", "r3", replicas=2), manner=forced).release == "r3"


def test_a_job_that_was_changed_is_run_anew(connection, client, controllers):
    (first,) = own([migration("registry.example/badmigration:1", "r1")], connection.namespace)
    from aweigh.targets.kubernetes.rollout import run_job

    with pytest.raises(MigrationFailed):
        run_job(client, first, patience=HASTE)
    first["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/penguins:1"
    assert run_job(client, first, patience=HASTE)
    assert not run_job(client, first, patience=HASTE)
