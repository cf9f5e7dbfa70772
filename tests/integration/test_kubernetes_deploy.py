"""A deployment to Kubernetes on a server that stands in for its API, with faults that a real one has not on demand."""

import copy
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from tests.kubernetes import shows
from tests.kubernetes.api import Fault
from tests.kubernetes.documents import APP, NAMESPACE, deployment, labels, objects
from tests.kubernetes.fixtures import api, client, connection
from tests.kubernetes.stand_in import HASTE, QUICK, go, image_of, still_serving, wait_until

from aweigh.errors import ConfigError, RemoteError, UsageError
from aweigh.secret import Secret
from aweigh.targets.errors import AnswersDiffer, NotUp
from aweigh.targets.kubernetes import after, history
from aweigh.targets.kubernetes.apply import apply, differences
from aweigh.targets.kubernetes.deploy import deploy
from aweigh.targets.kubernetes.destroy import destroy
from aweigh.targets.kubernetes.errors import FieldConflict, KubernetesRefused, KubernetesSilent, MigrationFailed
from aweigh.targets.kubernetes.log import log
from aweigh.targets.kubernetes.portforward import forwarded
from aweigh.targets.kubernetes.replay import Place, ask_golden
from aweigh.targets.kubernetes.trouble import troubles_of
from aweigh.targets.live import get, golden_of
from aweigh.targets.ssh.telling import Telling

__all__ = ["api", "client", "connection"]

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "tests" / "bundles" / "format-1-onnx.aweigh"
SECRET = Secret("s" * 40)


@pytest.fixture(scope="module")
def app(start_server):
    """Return the port of a real server behind a door, which opens to the deployment's key."""
    env = {"AWEIGH_DEPLOY_SECRET": SECRET.reveal()}
    return int(start_server(BUNDLE, "--auth", "password", "--no-ui", env=env).url.rpartition(":")[2])


@shows("deploy", how="stand-in program")
def test_a_release_is_applied_waited_for_and_asked(api, connection, app):
    api.backend = app
    told = []
    secrets = {"AWEIGH_DEPLOY_SECRET": SECRET, "AWEIGH_METRICS_TOKEN": None}
    deployed = go(connection, objects(replicas=2), told=told, golden=golden_of(BUNDLE), secrets=secrets)
    assert (deployed.version, deployed.release, deployed.bundle) == ("v1", "r1", "b1")
    assert deployed.changed
    assert deployed.golden_rows > 0
    assert "port-forward -n models service/penguins 8080:80" in deployed.notes[0]
    assert [name for name, _ in told] == ["cluster", "secrets", "migrate", "applied", "ready", "answers"]
    assert set(api.of("secrets", "penguins-secrets")["data"]) == secrets.keys()
    # A pod was asked through the API, the migration was waited for before, and fields are ours.
    assert any(one == "WS" for one, _ in api.asked)
    order = [
        path.partition("?")[0].rpartition("/")[2] for method, path in api.asked if method == "PATCH" and "force" in path
    ]
    assert order == ["penguins-release", "penguins-migrate-r1", "penguins", "penguins-web"]
    assert api.of("deployments")[0]["metadata"]["managedFields"][0]["manager"] == "aweigh"
    again = go(connection, objects(replicas=2), golden=golden_of(BUNDLE), secrets=secrets)
    assert not again.changed
    assert again.golden_rows == deployed.golden_rows


def test_secrets_are_made_up_once_and_never_written_over(api, connection):
    go(connection, objects(), secrets=("AWEIGH_DEPLOY_SECRET",))
    first = copy.deepcopy(api.of("secrets", "penguins-secrets")["data"])
    documents = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "penguins-secrets"}, "data": {}},
        *objects(),
    ]
    go(connection, documents, secrets=("AWEIGH_DEPLOY_SECRET", "AWEIGH_METRICS_TOKEN"))
    now = api.of("secrets", "penguins-secrets")["data"]
    assert now["AWEIGH_DEPLOY_SECRET"] == first["AWEIGH_DEPLOY_SECRET"]
    assert len(now["AWEIGH_METRICS_TOKEN"]) > 60
    with pytest.raises(UsageError) as caught:
        go(connection, objects(), secrets=("DATABASE_URL",))
    assert "--secret DATABASE_URL" in caught.value.hint


@pytest.mark.parametrize(
    ("image", "sentence", "fix"),
    [
        ("registry.example/missing:2", "cannot pull the image registry.example/missing:2", "does it exist"),
        ("registry.example/crash:2", "crashes (exit code 3): no such table", "aweigh logs kubernetes"),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (
                ("registry.example/unready:2", "does not get ready: Readiness probe failed", "its log says"),
                ("registry.example/room:2", "No node of the cluster takes its pods: 0/3 nodes", "aweigh plan"),
                ("registry.example/quota:2", "A quota of the namespace does not allow its pods", "larger quota"),
            )
        ),
    ],
)
def test_a_release_that_does_not_come_up_leaves_the_old_one_serving(api, connection, image, sentence, fix):
    go(connection, objects())
    for one in range(3):
        api.logs[f"penguins-web-{one}"] = ""
    api.logs = Logs("no such table\n")
    with pytest.raises(NotUp) as caught:
        go(connection, objects(image, "r2"))
    assert sentence in caught.value.message
    assert fix in caught.value.hint
    assert "the old release still serves" in caught.value.message
    assert caught.value.message.count("\n") == 0
    wait_until(lambda: image_of(api) == "registry.example/penguins:1" and still_serving(api) == ["r1"])
    # What the template of the second release brought is gone, and a third goes live.
    assert go(connection, objects("registry.example/penguins:3", "r3")).release == "r3"
    wait_until(lambda: still_serving(api) == ["r3"])


class Logs(dict):
    """The same log for every pod."""

    def __init__(self, text):
        self.text = text

    def get(self, *_):
        return self.text


def test_what_may_still_right_itself_is_no_trouble(api, client):
    def pod(name, told, **status):
        place = api.place("pods")
        found = api.store.put(place, name, {"metadata": {"name": name}, "status": status}, before=None, dry_run=False)
        for i, (reason, message) in enumerate(told):
            event = {"involvedObject": {"name": name}, "reason": reason, "message": message, "metadata": {}}
            api.store.put(api.place("events"), f"{name}.{i}", event, before=None, dry_run=False)
        return found

    homeless = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
    starting = {"name": "web", "ready": False, "restartCount": 0, "state": {"running": {}}}
    slow = {"reason": "ErrImagePull", "message": "i/o timeout"}
    pods = [
        pod("a", [("Unhealthy", "Startup probe failed: connection refused")], containerStatuses=[starting]),
        pod("b", [("TriggeredScaleUp", "pod triggered scale-up")], conditions=[homeless]),
        pod("c", [], containerStatuses=[{**starting, "state": {"waiting": {"reason": "ContainerCreating"}}}]),
        pod("d", [], containerStatuses=[{**starting, "state": {"waiting": slow}}]),
    ]
    assert troubles_of(client, pods) == []
    killed = {**starting, "restartCount": 2, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    told = {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}
    unset = {**starting, "state": {"waiting": told}}
    wrong = [
        pod("e", [], containerStatuses=[killed]),
        pod("f", [], containerStatuses=[unset]),
        pod("g", [("FailedMount", 'configmap "x" not found')], containerStatuses=[]),
    ]
    assert [one.sentence for one in troubles_of(client, wrong)] == [
        'The container cannot be started: secret "x" not found',
        "The container web takes more memory than its limit and is killed",
        'A pod waits for what is mounted into it: configmap "x" not found',
    ]


def test_another_deployment_that_came_in_between_is_left_as_it_is(api, client, connection):
    go(connection, objects())
    third = objects("registry.example/penguins:3", "r3")[-1]
    api.backend = 9

    def meanwhile(name, *_):
        if name == "ready":
            apply(client, third)

    with pytest.raises(RemoteError, match="another deployment came in between, and was left as it is"):
        deploy(
            objects("registry.example/penguins:2", "r2"), app=APP, namespace=NAMESPACE, connection=connection,
            golden=golden_of(BUNDLE), telling=Telling(meanwhile), manner=QUICK,
        )  # fmt: skip
    assert image_of(api) == "registry.example/penguins:3"


@pytest.mark.slow
def test_a_first_release_that_does_not_come_up_says_that_nothing_ran_before(api, connection):
    with pytest.raises(NotUp, match="nothing ran before it"):
        go(connection, objects("registry.example/missing:1"))


def test_credentials_that_are_lost_midway_are_told_with_what_that_means(api, connection, tmp_path):
    (tmp_path / "token").write_text("ada-token")
    user = replace(connection.user, token=None, token_file=tmp_path / "token")
    lost = replace(connection, user=user)
    go(lost, objects())

    def meanwhile(name, *_):
        if name == "applied":
            (tmp_path / "token").unlink()

    with pytest.raises(ConfigError, match=r"cannot be read: .*; the former release could not be put back"):
        deploy(
            objects("registry.example/penguins:2", "r2"), app=APP, namespace=NAMESPACE, connection=lost,
            telling=Telling(meanwhile), manner=QUICK,
        )  # fmt: skip


def test_what_is_interrupted_says_what_runs(api, connection):
    go(connection, objects())
    told = []

    def meanwhile(name, text, *_):
        told.append((name, text))
        if name == "applied":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy(
            objects("registry.example/penguins:2", "r2"), app=APP, namespace=NAMESPACE, connection=connection,
            telling=Telling(meanwhile), manner=QUICK,
        )  # fmt: skip
    assert told[-1] == ("stopped", "the old release still serves")
    assert image_of(api) == "registry.example/penguins:1"


def test_a_first_release_that_is_refused_says_that_nothing_ran_before(api, connection):
    api.faults = [Fault("PATCH", "configmaps/", status=403, body={"kind": "Status", "code": 403, "message": "no"})]
    with pytest.raises(KubernetesRefused, match="nothing ran before it"):
        go(connection, objects())


def test_an_address_that_is_kept_is_told_where_another_is_given(api, connection):
    given = {"DATABASE_URL": Secret("postgresql://a:hush@one"), "AWEIGH_DEPLOY_SECRET": None}
    told = []
    go(connection, objects(), secrets=given, told=told)
    go(connection, objects(), secrets=given, told=told)
    assert not any("is kept" in text for _, text in told)
    go(connection, objects(), secrets=given | {"DATABASE_URL": Secret("postgresql://a:hush@two")}, told=told)
    (text,) = [text for _, text in told if "is kept" in text]
    assert "--app penguins --namespace models --secret DATABASE_URL" in text
    assert "hush" not in str(told)


def test_a_failed_migration_leaves_everything_as_it_was(api, connection):
    go(connection, objects())
    api.logs = Logs("relation jobs already exists\n")
    with pytest.raises(MigrationFailed, match="relation jobs already exists; what ran before runs on"):
        go(connection, objects("registry.example/badmigration:2", "r2"))
    assert image_of(api) == "registry.example/penguins:1"
    # The failed Job is taken away and run anew by the next.
    documents = objects("registry.example/penguins:2", "r2")
    assert go(connection, documents).release == "r2"


def test_answers_that_differ_put_the_old_release_back(api, connection, app):
    api.backend = app
    go(connection, objects(), secrets={"AWEIGH_DEPLOY_SECRET": SECRET})
    golden = golden_of(BUNDLE)
    wrong = replace(golden, predictions=[*golden.predictions[1:], golden.predictions[0]])
    with pytest.raises(AnswersDiffer) as caught:
        go(connection, objects("registry.example/penguins:2", "r2"), golden=wrong)
    assert "golden row" in caught.value.message
    assert "the old release still serves" in caught.value.message
    assert image_of(api) == "registry.example/penguins:1"


@pytest.mark.slow
def test_where_no_port_is_forwarded_an_open_app_is_asked_through_the_service(api, connection, start_server):
    api.forwards = False
    api.backend = int(start_server(BUNDLE, "--auth", "none", "--no-ui").url.rpartition(":")[2])
    assert go(connection, objects(), golden=golden_of(BUNDLE)).golden_rows > 0
    assert api.counted("POST", "/services/http:penguins:80/proxy/v1/predict")
    # Behind a door it cannot be asked so, and that is said.
    (note, _) = go(connection, objects(), golden=golden_of(BUNDLE), secrets=("AWEIGH_DEPLOY_SECRET",)).notes
    assert "the golden rows were not asked" in note
    assert "--check-at address" in note


def test_no_key_goes_to_an_address_that_is_not_encrypted(api, client, connection):
    go(connection, objects(), secrets=("AWEIGH_DEPLOY_SECRET",))
    place = Place(api.of("deployments")[0], None, "http://penguins.example.org")
    asked = ask_golden(client, APP, place, golden_of(BUNDLE), way="address")
    assert asked.rows == 0
    assert "no public address with TLS" in asked.notes[0]


# -- faults of the API ---------------------------------------------------------------------------------------------


def test_429_waits_as_long_as_it_says_and_500_and_a_broken_connection_are_tried_again(api, connection):
    waits = []
    api.faults = [
        Fault("PATCH", "deployments/penguins-web", status=429, headers={"Retry-After": "7"}),
        Fault("PATCH", "services/penguins", times=2, status=500),
        Fault("GET", "apps/v1/namespaces/models/deployments", cut=True),
        Fault("GET", "/apis/batch/v1", status=503),
    ]
    deployed = go(connection, objects(), manner=replace(QUICK, pause=waits.append))
    assert deployed.release == "r1"
    assert 7.0 in waits
    assert len(waits) == 5


@pytest.mark.parametrize(
    ("status", "sentence", "fix"),
    [(429, "is asked too much just now", "wait a minute"), (500, "failed (status 500)", "run the same command again")],
)
def test_what_does_not_end_is_told_and_the_old_release_still_serves(api, connection, status, sentence, fix):
    go(connection, objects())
    api.faults = [Fault("PATCH", "deployments/penguins-web", times=5, status=status)]
    with pytest.raises(KubernetesRefused) as caught:
        go(connection, objects("registry.example/penguins:2", "r2"))
    assert sentence in caught.value.message
    assert fix in caught.value.hint
    assert "what ran before runs on" in caught.value.message
    assert still_serving(api) == ["r1"]


def test_a_server_that_is_not_there_is_told_with_its_address(connection):
    gone = replace(connection, server="http://127.0.0.1:9")
    with pytest.raises(KubernetesSilent, match=r"At http://127\.0\.0\.1:9 nothing answers"):
        go(gone, objects())


def test_a_watch_cut_in_the_middle_goes_on_and_a_forgotten_one_begins_anew(api, connection):
    forgotten = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    api.faults = [
        Fault("GET", r"deployments\?watch=true", cut=True),
        Fault("GET", r"jobs\?watch=true", cut=True),
        Fault("GET", r"deployments\?watch=true", status=410, body=forgotten),
    ]
    assert go(connection, objects()).release == "r1"
    assert [one.times for one in api.faults] == [0, 0, 0]


def test_410_within_a_stream_and_in_the_middle_of_pages_begins_anew(api, client):
    api.page = 1
    for name in ("a", "b", "c"):
        one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {}}, "data": {"k": name}}
        apply(client, one)
    api.faults = [Fault("GET", r"configmaps\?.*continue=1", status=410)]
    found, version = client.listed("/api/v1/namespaces/models/configmaps", what="to list")
    assert [one["metadata"]["name"] for one in found] == ["a", "b", "c"]
    assert found[0]["kind"] == "ConfigMap"
    assert version


def test_a_stream_that_says_nothing_of_sense_is_not_asked_for_at_once_again(api, connection):
    waits = []
    page = {"kind": "Page", "items": [], "message": "sign in first"}
    api.faults = [Fault("GET", r"deployments\?watch=true", times=3, status=200, body=page)]
    assert go(connection, objects(), manner=replace(QUICK, pause=waits.append)).release == "r1"
    assert waits.count(0.5) >= 1


def test_what_is_no_kubernetes_is_told(api, client):
    api.faults = [Fault("GET", "/api/v1", status=302, headers={"Location": "https://elsewhere.example"})]
    with pytest.raises(KubernetesRefused, match=r"refuses \(status 302\)"):
        client.listed("/api/v1/namespaces/models/pods", what="to list the pods")
    api.faults = [Fault("GET", "/api/v1", times=9, cut=True)]
    with pytest.raises(KubernetesSilent, match="could not be asked to list the pods"):
        client.listed("/api/v1/namespaces/models/pods", what="to list the pods")


def test_a_pod_at_whose_port_nobody_listens_ends_the_connection(api, client):
    api.backend = 9
    with forwarded(client, "penguins-web-1", 8080) as url:
        assert get(url, "/health/ready") is None


@pytest.mark.slow
def test_a_port_is_forwarded_for_many_connections_at_once_and_for_much(api, client):
    content = bytes(range(256)) * 40_000

    class Large(BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers["Content-Length"])
            taken = self.rfile.read(size)
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.write(taken)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Large)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    api.backend = server.server_port
    try:
        with forwarded(client, "penguins-web-1", 8080) as url, ThreadPoolExecutor(8) as pool:
            ask = partial(httpx.post, url, content=content, trust_env=False, timeout=30)
            assert all(one.content == content for one in pool.map(lambda _: ask(), range(8)))
    finally:
        server.shutdown()
        server.server_close()


def test_a_conflict_names_the_field_its_manager_and_what_to_do(api, client, connection):
    go(connection, objects(replicas=2))
    theirs = deployment("registry.example/penguins:1", "r1", replicas=5)
    path = "/apis/apps/v1/namespaces/models/deployments/penguins-web?fieldManager=kubectl&force=true"
    httpx.patch(api.url + path, content=json.dumps({"spec": theirs["spec"]}), trust_env=False)
    with pytest.raises(FieldConflict) as caught:
        go(connection, objects(replicas=2))
    assert (
        "A field of Deployment penguins-web is set to something else by kubectl: .spec.replicas" in caught.value.message
    )
    assert "--force-conflicts" in caught.value.hint
    assert "what ran before runs on" in caught.value.message
    assert go(connection, objects(replicas=2), manner=replace(QUICK, force=True)).changed
    assert api.of("deployments")[0]["spec"]["replicas"] == 2


def test_what_would_change_is_told_without_changing_it(api, client, connection):
    go(connection, objects())
    before = api.store.version
    found = {one.object: one for one in differences(client, objects("registry.example/penguins:2", "r2"))}
    assert api.store.version == before
    assert found["Job penguins-migrate-r2"].does == "creates"
    assert found["Service penguins"].does == "nothing"
    changes = {one.field: (one.before, one.after) for one in found["Deployment penguins-web"].changes}
    assert changes["spec.template.spec.containers[web].image"] == (
        "registry.example/penguins:1", "registry.example/penguins:2",
    )  # fmt: skip


def test_things_that_the_cluster_does_not_know_are_named(client):
    scaled = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "penguins-web"}}
    with pytest.raises(UsageError, match="knows no ScaledObject") as caught:
        apply(client, scaled)
    assert "install KEDA" in caught.value.hint


def test_credentials_that_are_refused_are_told_in_one_sentence(api, connection):
    api.tokens = {"another"}
    with pytest.raises(KubernetesRefused) as caught:
        go(connection, objects())
    assert caught.value.message == "The cluster does not accept the credentials of ada."
    assert "log in anew" in caught.value.hint
    assert "ada-token" not in f"{caught.value.message}{caught.value.hint}{caught.value!r}"


@pytest.mark.slow
def test_what_a_release_has_no_more_is_taken_away_when_the_next_is_live(api, client, connection):
    worker = deployment("registry.example/penguins:1", "r1", component="worker")
    scaler = {
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "penguins-web", "labels": labels("web")}, "spec": {},
    }  # fmt: skip
    maps = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"penguins-{one}", "labels": labels()}}
        for one in ("read", "unread")
    ]
    first = objects()
    first[-1]["spec"]["template"]["spec"]["containers"][0]["envFrom"].append(
        {"configMapRef": {"name": "penguins-read"}}
    )
    go(connection, [*maps, *first, worker, scaler])
    told = []
    with pytest.raises(NotUp):
        go(connection, objects("registry.example/missing:2", "r2"), told=told)
    assert len(api.of("deployments")) == 2
    go(connection, objects("registry.example/penguins:2", "r2"), told=told)
    gone = dict(told)["gone"]
    assert gone.startswith(
        "HorizontalPodAutoscaler penguins-web, Deployment penguins-worker, ConfigMap penguins-unread"
    )
    # The release before can be gone back to: what it reads is there.
    assert {one["metadata"]["name"] for one in api.of("configmaps")} == {"penguins-read", "penguins-release"}
    assert history.rollback(client, APP, patience=HASTE)[0].release == "r1"


def test_what_the_cluster_does_not_know_is_said_before_anything_is_changed(api, connection):
    route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "x"}}
    with pytest.raises(UsageError, match="knows no HTTPRoute of gateway"):
        go(connection, [*objects(), route], secrets=("AWEIGH_DEPLOY_SECRET",))
    assert api.of("secrets") == api.of("deployments") == []


@pytest.mark.slow
def test_an_inference_service_is_waited_for_and_put_back(api, client, connection, app):
    def served(image, release):
        return {
            "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService",
            "metadata": {"name": APP, "labels": labels("web"), "annotations": {"aweigh.io/release": release}},
            "spec": {"predictor": {"image": image}},
        }  # fmt: skip

    haste = replace(QUICK, patience=replace(HASTE, ready_s=2))
    api.backend = app
    own = {"AWEIGH_DEPLOY_SECRET": SECRET}
    first = [served("registry.example/penguins:1", "r1")]
    deployed = go(connection, first, manner=haste, golden=golden_of(BUNDLE), secrets=own)
    assert deployed.changed
    assert (deployed.release, deployed.golden_rows > 0) == ("r1", True)
    with pytest.raises(NotUp, match=r"cannot pull the image \S+missing:2.*; the old release still serves"):
        go(connection, [served("registry.example/missing:2", "r2")], manner=haste)
    assert api.of("inferenceservices", APP)["spec"]["predictor"]["image"] == "registry.example/penguins:1"
    wait_until(lambda: still_serving(api) == ["r1"])
    assert after.status(client, APP).replicas == {"web": 1}
    # What KServe has made is its own to change.
    for refused in (
        lambda: after.scale(client, APP, {"web": 2}),
        lambda: after.set_config(client, APP, {"A": Secret("1")}),
        lambda: history.rollback(client, APP),
    ):
        with pytest.raises(UsageError, match="is KServe's"):
            refused()
    assert "InferenceService penguins" in destroy(client, APP).gone


# -- what comes after ----------------------------------------------------------------------------------------------


@shows("status", "releases", "rollback", how="stand-in program")
def test_releases_are_read_back_from_the_cluster_and_gone_back_to(api, client, connection):
    assert after.status(client, APP).state == "absent"
    go(connection, objects())
    documents = objects("registry.example/penguins:2", "r2", bundle="b2")
    documents[-1]["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "NEW", "value": "1"})
    go(connection, documents)
    found = after.status(client, APP)
    assert (found.state, found.release, found.bundle, found.replicas) == ("up", "v2", "b2", {"web": 1})
    assert [(one.number, one.release, one.current) for one in history.releases(client, APP)] == [
        (2, "r2", True), (1, "r1", False),
    ]  # fmt: skip
    was, now = history.rollback(client, APP, patience=HASTE)
    assert (was.number, now.number, now.release) == (1, 3, "r1")
    env = api.of("deployments")[0]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [one["name"] for one in env] == ["PORT"]
    with pytest.raises(UsageError, match="keeps no release v9"):
        history.rollback(client, APP, 9)
    assert go(connection, documents).release == "r2"


@pytest.mark.slow
def test_going_back_to_what_does_not_come_up_puts_back_what_ran(api, client, connection):
    with pytest.raises(NotUp):
        go(connection, objects("registry.example/missing:1"))
    go(connection, objects("registry.example/penguins:2", "r2"))
    # Unasked nobody goes back to what failed.
    go(connection, objects("registry.example/penguins:3", "r3"))
    with pytest.raises(NotUp):
        go(connection, objects("registry.example/missing:4", "r4"))
    listed = {one.release: one for one in history.releases(client, APP)}
    assert (listed["r3"].current, listed["r3"].failed) == (True, False)
    assert (listed["r4"].current, listed["r4"].failed) == (False, True)
    assert history.rollback(client, APP, patience=HASTE)[0].release == "r2"
    with pytest.raises(NotUp, match="the old release still serves"):
        history.rollback(client, APP, 1, patience=HASTE)
    assert image_of(api) == "registry.example/penguins:2"


@shows("scale", how="stand-in program")
def test_scaling_is_refused_where_an_autoscaler_scales(api, client, connection):
    go(connection, objects())
    assert after.scale(client, APP, {"web": 3}, patience=HASTE) == ({"web": 3}, True)
    assert after.scale(client, APP, {"web": 3}, patience=HASTE) == ({"web": 3}, False)
    assert after.counts_of(client, APP) == {"web": 3}
    with pytest.raises(UsageError, match="no process 'worker'"):
        after.scale(client, APP, {"worker": 1})
    # A field that our own scaling set is no conflict for our own next deployment.
    go(connection, objects("registry.example/penguins:2", "r2", replicas=2))
    assert api.of("deployments")[0]["spec"]["replicas"] == 2
    scaler = {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "penguins-web"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "penguins-web"}},
    }  # fmt: skip
    documents = objects("registry.example/penguins:3", "r3")
    del documents[-1]["spec"]["replicas"]
    go(connection, [*documents, scaler])
    assert api.of("deployments")[0]["spec"]["replicas"] == 2
    with pytest.raises(UsageError, match="HorizontalPodAutoscaler penguins-web says how many") as caught:
        after.scale(client, APP, {"web": 5})
    assert "--min-replicas" in caught.value.hint


@shows("config", how="stand-in program")
def test_settings_start_the_pods_anew_and_are_put_back_where_those_do_not_come_up(api, client, connection):
    go(connection, objects(), secrets=("AWEIGH_DEPLOY_SECRET",))
    assert after.set_config(client, APP, {"AWEIGH_DOMAIN": Secret("reject")}, patience=HASTE)
    assert after.config(client, APP) == ["AWEIGH_DEPLOY_SECRET", "AWEIGH_DOMAIN"]
    assert len(api.of("replicasets")) == 2
    # The next deployment of the same release does not start them anew again.
    assert not go(connection, objects(), secrets=("AWEIGH_DEPLOY_SECRET",)).changed
    after.set_config(client, APP, {"AWEIGH_DOMAIN": None}, patience=HASTE)
    assert after.config(client, APP) == ["AWEIGH_DEPLOY_SECRET"]
    api.faults = [Fault("PATCH", "deployments/penguins-web[?]", times=5, status=500)]
    with pytest.raises(RemoteError):
        after.set_config(client, APP, {"AWEIGH_DOMAIN": Secret("warn")}, patience=HASTE)
    assert after.config(client, APP) == ["AWEIGH_DEPLOY_SECRET"]
    with pytest.raises(UsageError):
        after.set_config(client, APP, {"LD_PRELOAD": Secret("x")})


@shows("logs", how="stand-in program")
def test_the_log_is_of_all_pods_by_time_and_withholds_invitations(api, client, connection):
    go(connection, objects(replicas=2))
    first, second = sorted(one["metadata"]["name"] for one in api.of("pods") if one["metadata"].get("annotations"))
    token = "a" * 30
    api.logs[first] = f"2026-01-01T00:00:01.5Z one\n2026-01-01T00:00:03.5Z /invite/{token}\n"
    api.logs[second] = "2026-01-01T00:00:02.5Z two\n"
    assert [one.split(maxsplit=2)[2] for one in log(client, APP, lines=2)] == ["two", "/invite/(withheld)"]
    with pytest.raises(UsageError, match="There is no app 'another'"):
        list(log(client, "another", lines=1))


@pytest.mark.slow
def test_a_log_that_breaks_off_goes_on_where_it_was(api, client, connection):
    go(connection, objects())
    (pod,) = (one["metadata"]["name"] for one in api.of("pods") if "web" in one["metadata"]["name"])
    lines = [f"2026-01-01T00:00:{second:02}.5Z line {second}\n" for second in range(6)]
    api.logs[pod] = "".join(lines[:2])
    api.faults = [Fault("GET", r"log\?.*follow=true", cut=True)]
    following = log(client, APP, lines=1, tail=True)
    assert next(following).endswith("line 1")
    api.starting = [pod]
    api.logs[pod] = "".join(lines)
    assert [next(following).rpartition(" ")[2] for _ in range(4)] == ["2", "3", "4", "5"]
    assert api.faults[0].times == 0
    following.close()


@shows("destroy", how="stand-in program")
def test_destroying_takes_all_that_carries_the_labels_and_says_what_it_left(api, client, connection):
    go(connection, objects(), secrets=("AWEIGH_DEPLOY_SECRET",))
    claim = {"metadata": {"name": "data-penguins-redis-0", "labels": {"app.kubernetes.io/instance": APP}}}
    for name, own in (("data-penguins-redis-0", claim), ("data-other", {"metadata": {"name": "data-other"}})):
        api.store.put(api.place("persistentvolumeclaims"), name, own, before=None, dry_run=False)
    done = destroy(client, APP, data=False)
    assert "Deployment penguins-web" in done.gone
    assert "Service penguins" in done.gone
    assert set(done.left) == {"Secret penguins-secrets", "PersistentVolumeClaim data-penguins-redis-0"}
    again = destroy(client, APP)
    assert "PersistentVolumeClaim data-penguins-redis-0" in again.gone
    assert again.left == ()
    assert [one["metadata"]["name"] for one in api.of("persistentvolumeclaims")] == ["data-other"]
    assert api.of("deployments") == []
    assert api.of("secrets") == []
    with pytest.raises(UsageError, match="There is no app"):
        destroy(client, APP)
