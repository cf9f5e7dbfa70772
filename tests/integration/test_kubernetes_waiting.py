"""How long a deployment waits, for what, and what it does not mistake for the end."""

import itertools
import threading
import time

import pytest
from tests.conftest import ROOT
from tests.kubernetes.api import Fault
from tests.kubernetes.controllers import counted
from tests.kubernetes.documents import APP, deployment, migration, objects
from tests.kubernetes.fixtures import api, client, connection
from tests.kubernetes.stand_in import HASTE, connection_to, go

from aweigh.errors import RemoteError
from aweigh.targets.errors import NotUp
from aweigh.targets.kubernetes.apply import apply
from aweigh.targets.kubernetes.client import open_client
from aweigh.targets.kubernetes.errors import KubernetesRefused
from aweigh.targets.kubernetes.log import log
from aweigh.targets.kubernetes.rollout import Patience, run_job, wait_for
from aweigh.targets.kubernetes.trouble import troubles_of
from aweigh.targets.live import golden_of

__all__ = ["api", "client", "connection"]

BUNDLE = ROOT / "tests" / "bundles" / "format-1-onnx.aweigh"


@pytest.fixture
def alone():
    """Return a client of the stand-in where no controllers are at work."""
    from tests.kubernetes.api import running_api

    with running_api() as api, open_client(connection_to(api), pause=lambda _: None) as client:
        yield api, client


def later(act, seconds=0.3):
    threading.Timer(seconds, act).start()


def test_a_migration_that_is_still_at_work_is_waited_for_and_not_ended(alone):
    api, client = alone
    job = migration("registry.example/penguins:1", "r1")
    first = apply(client, job)
    done = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    place, name = api.place("jobs"), job["metadata"]["name"]
    later(lambda: api.store.merge(place, name, done, manager="controllers", status=True))
    assert run_job(client, job, patience=HASTE)
    assert api.of("jobs", name)["metadata"]["uid"] == first["metadata"]["uid"]
    assert api.counted("DELETE", "jobs") == 0
    assert not run_job(client, job, patience=HASTE)


@pytest.mark.slow
def test_many_replicas_may_take_longer_than_one_and_what_stands_still_is_given_up(alone):
    api, client = alone
    applied = apply(client, deployment("registry.example/penguins:1", "r1", replicas=4))
    place, name = api.place("deployments"), applied["metadata"]["name"]
    patience = Patience(ready_s=1.5, window_s=1)

    def ready(count):
        status = counted(4, count, count) | {"observedGeneration": applied["metadata"]["generation"]}
        api.store.merge(place, name, {"status": status}, manager="controllers", status=True)

    for count in range(1, 5):
        later(lambda count=count: ready(count), count * 0.8)
    started = time.monotonic()
    assert wait_for(client, applied, patience=patience)["status"]["availableReplicas"] == 4
    assert time.monotonic() - started > patience.ready_s
    ready(2)
    with pytest.raises(NotUp, match=r"did not come on for 2 s: 2 of 4 replicas are new, 2 serve"):
        wait_for(client, applied, patience=patience)


@pytest.mark.slow
def test_a_replica_that_comes_and_goes_is_not_waited_for_for_ever(alone):
    api, client = alone
    applied = apply(client, deployment("registry.example/penguins:1", "r1", replicas=2))
    place, name = api.place("deployments"), applied["metadata"]["name"]
    ended = threading.Event()

    def flap():
        for serve in itertools.cycle((1, 0)):
            status = counted(2, 2, serve) | {"observedGeneration": applied["metadata"]["generation"]}
            api.store.merge(place, name, {"status": status}, manager="controllers", status=True)
            if ended.wait(0.3):
                return

    flapping = threading.Thread(target=flap)
    flapping.start()
    try:
        started = time.monotonic()
        with pytest.raises(NotUp, match="did not come on for 2 s: 2 of 2 replicas are new"):
            wait_for(client, applied, patience=Patience(ready_s=2, window_s=1))
        assert time.monotonic() - started < 10
    finally:
        ended.set()
        flapping.join()


def test_a_secret_that_an_operator_is_about_to_write_is_waited_for(client):
    told = {"reason": "CreateContainerConfigError", "message": 'secret "penguins-db-app" not found'}
    status = {"name": "web", "ready": False, "restartCount": 0, "state": {"waiting": told}}
    (trouble,) = troubles_of(client, [{"metadata": {"name": "x"}, "status": {"containerStatuses": [status]}}])
    assert trouble.sentence == 'The container cannot be started: secret "penguins-db-app" not found'
    assert Patience().of(trouble) > 60
    told["message"] = "couldn't find key URI in Secret models/penguins-db-app"
    (trouble,) = troubles_of(client, [{"metadata": {"name": "x"}, "status": {"containerStatuses": [status]}}])
    assert Patience().of(trouble) == 0


def test_a_large_model_has_as_long_to_get_ready_as_its_server_to_start(client):
    from aweigh.targets.kubernetes.workload import START_S

    assert Patience().probe_s >= START_S


def test_a_way_to_the_app_that_is_closed_is_no_fault_of_the_release(api, connection):
    api.forwards = False
    closed = {"kind": "Status", "code": 503, "reason": "ServiceUnavailable", "message": "error trying to reach service"}
    api.faults = [Fault("GET", "/proxy/health/live", times=99, status=503, body=closed)]
    deployed = go(connection, objects(), golden=golden_of(BUNDLE))
    assert (deployed.release, deployed.golden_rows) == ("r1", 0)
    assert "the golden rows were not asked" in deployed.notes[0]
    assert deployed.notes[0].endswith("the API's proxy does not reach the app")


def test_whoever_may_not_read_a_log_is_told_so(api, client, connection):
    go(connection, objects())
    told = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "pods is forbidden"}
    api.faults = [Fault("GET", "/log", status=403, body=told)]
    with pytest.raises(KubernetesRefused, match=r"ada may not read the log of penguins-web-\S+ in this cluster"):
        list(log(client, APP, lines=5))


@pytest.mark.parametrize("answer", ["[]", '"sign in"', "", "null"])
def test_an_answer_that_is_no_object_is_of_no_kubernetes(alone, answer):
    api, client = alone
    api.faults = [Fault("GET", "/pods", status=200, text=answer)]
    with pytest.raises(RemoteError, match="is no Kubernetes") as caught:
        client.listed("/api/v1/namespaces/models/pods", what="to list the pods")
    assert "login page" in caught.value.hint


def test_a_change_at_the_same_moment_is_tried_again(api, connection):
    told = 'Operation cannot be fulfilled on resourcequotas "small": the object has been modified'
    late = {"kind": "Status", "code": 409, "reason": "Conflict", "message": told}
    api.faults = [Fault("PATCH", "services/penguins", times=2, status=409, body=late)]
    assert go(connection, objects()).release == "r1"
    api.faults = [Fault("PATCH", "services/penguins", times=9, status=409, body=late)]
    with pytest.raises(KubernetesRefused, match="Somebody else changed the same thing at this moment"):
        go(connection, objects("registry.example/penguins:2", "r2"))


def test_a_namespace_that_is_going_away_is_told(api, connection):
    told = 'secrets "x" is forbidden: unable to create new content in namespace models because it is being terminated'
    ending = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": told}
    api.faults = [Fault("PATCH", "configmaps/", status=403, body=ending)]
    with pytest.raises(KubernetesRefused, match="The namespace models is being deleted") as caught:
        go(connection, objects())
    assert "wait until it is gone" in caught.value.hint
