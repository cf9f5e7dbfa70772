"""What tests of a deployment to the stand-in begin with: the API with its controllers, and how an app goes there."""

import threading
import time
from contextlib import contextmanager

import httpx
from tests.kubernetes.api import running_api
from tests.kubernetes.controllers import acting
from tests.kubernetes.documents import APP, NAMESPACE

from aweigh.secret import Secret
from aweigh.targets.kubernetes.deploy import Manner, deploy
from aweigh.targets.kubernetes.kubeconfig import Connection, User
from aweigh.targets.kubernetes.rollout import Patience
from aweigh.targets.ssh.telling import Telling

HASTE = Patience(ready_s=20, job_s=20, room_s=0, probe_s=0, mount_s=0, window_s=1)
QUICK = Manner(patience=HASTE, pause=lambda _: None)


@contextmanager
def standing_in():
    """The stand-in with controllers at work, none of which may fail."""
    with running_api() as found, httpx.Client(base_url=found.url, trust_env=False) as client:
        with acting(client, NAMESPACE) as controllers:
            yield found
        assert controllers.failed == []


def connection_to(api, namespace=NAMESPACE):
    """How somebody reaches it."""
    return Connection(api.url, User("ada", token=Secret("ada-token")), namespace, "test")


def go(connection, documents, *, manner=QUICK, told=None, app=APP, **more):
    """Deploy documents."""
    line = (lambda name, text, _: told.append((name, text))) if told is not None else (lambda *_: None)
    return deploy(
        documents, app=app, namespace=connection.namespace, connection=connection, telling=Telling(line),
        manner=manner, **more,
    )  # fmt: skip


def image_of(api, name="penguins-web"):
    """What a Deployment is to run."""
    return api.of("deployments", name)["spec"]["template"]["spec"]["containers"][0]["image"]


def still_serving(api):
    """The releases of the pods that are ready."""
    return [
        one["metadata"]["annotations"]["aweigh.io/release"]
        for one in api.of("pods")
        if any(each["type"] == "Ready" for each in one.get("status", {}).get("conditions", []))
    ]


def wait_until(holds):
    """Wait for what comes soon."""
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        threading.Event().wait(0.02)
