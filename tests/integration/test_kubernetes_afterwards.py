"""After a deployment the golden rows are asked again by whatever starts pods, and what fails is undone."""

import base64
import json

import pytest
from tests.conftest import ROOT
from tests.kubernetes.api import Fault
from tests.kubernetes.documents import APP, NAMESPACE, labels, objects
from tests.kubernetes.fixtures import client, connection
from tests.kubernetes.stand_in import HASTE, go, image_of, standing_in, wait_until

from aweigh.errors import RemoteError, UsageError
from aweigh.secret import Secret
from aweigh.targets.errors import AnswersDiffer
from aweigh.targets.kubernetes import after, history
from aweigh.targets.kubernetes.client import open_client
from aweigh.targets.kubernetes.preview import preview
from aweigh.targets.live import golden_of
from aweigh.targets.ssh.telling import Telling

__all__ = ["client", "connection"]

BUNDLE = ROOT / "tests" / "bundles" / "format-1-onnx.aweigh"


@pytest.fixture(scope="module")
def golden():
    return golden_of(BUNDLE)


@pytest.fixture(scope="module")
def app(start_server):
    """Return the port of a real server of that bundle, without a door."""
    return int(start_server(BUNDLE, "--auth", "none", "--no-ui").url.rpartition(":")[2])


@pytest.fixture
def api(app):
    with standing_in() as found:
        found.backend = app
        yield found


def kept(api):
    """The names of the Secrets that hold golden rows."""
    return [one["metadata"]["name"] for one in api.of("secrets") if "golden" in one["metadata"]["name"]]


def lie(api):
    """Have the cluster keep other answers to the golden rows."""
    place, (name,) = api.place("secrets"), kept(api)
    data = api.of("secrets", name)["data"]
    told = json.loads(base64.b64decode(data["golden.json"]))
    told["predictions"] = [*told["predictions"][1:], told["predictions"][0]]
    data = {"data": {"golden.json": base64.b64encode(json.dumps(told).encode()).decode()}}
    api.store.merge(place, name, data, manager="somebody", status=False)


def test_whatever_starts_pods_asks_them_the_golden_rows_again(api, client, connection, golden):
    go(connection, objects(bundle=golden.version), golden=golden)
    go(connection, objects("registry.example/penguins:2", "r2", bundle=golden.version), golden=golden)
    assert kept(api) == [f"penguins-golden-{golden.version}"]
    told = []
    telling = Telling(line=lambda name, text, _: told.append((name, text)))
    after.scale(client, APP, {"web": 2}, patience=HASTE, telling=telling)
    after.set_config(client, APP, {"AWEIGH_SWEEPS": Secret("off")}, patience=HASTE, telling=telling)
    history.rollback(client, APP, patience=HASTE, telling=telling)
    agreed = ("answers", f"{len(golden.rows)} golden rows agree with the original")
    assert told == [("ready", "its pods serve"), agreed] * 3
    # What runs on nothing is asked nothing.
    told.clear()
    after.scale(client, APP, {"web": 0}, patience=HASTE, telling=telling)
    assert told == [("ready", "its pods serve")]


def test_what_answers_otherwise_afterwards_is_undone(api, client, connection, golden):
    go(connection, objects(bundle=golden.version), golden=golden)
    go(connection, objects("registry.example/penguins:2", "r2", bundle=golden.version), golden=golden)
    lie(api)
    with pytest.raises(AnswersDiffer, match="there are as many replicas as before again"):
        after.scale(client, APP, {"web": 3}, patience=HASTE)
    assert api.of("deployments", "penguins-web")["spec"]["replicas"] == 1
    with pytest.raises(AnswersDiffer, match="the old release still serves"):
        after.set_config(client, APP, {"AWEIGH_SWEEPS": Secret("off")}, patience=HASTE)
    assert after.config(client, APP) == []
    with pytest.raises(AnswersDiffer, match="the old release still serves"):
        history.rollback(client, APP, patience=HASTE)
    wait_until(lambda: image_of(api) == "registry.example/penguins:2")


def test_the_rows_of_releases_that_are_gone_are_not_kept(api, client, connection, golden):
    gone = {"app.kubernetes.io/component": "golden", **labels("golden")}
    old = {"metadata": {"name": "penguins-golden-old", "labels": gone, "annotations": {"aweigh.io/bundle": "old"}}}
    api.store.put(api.place("secrets"), "penguins-golden-old", old, before=None, dry_run=False)
    go(connection, objects(bundle=golden.version), golden=golden)
    assert kept(api) == [f"penguins-golden-{golden.version}"]


@pytest.mark.parametrize(
    ("said", "secrets", "is_told"),
    [
        ({}, (), True),
        ({"AWEIGH_JOBS": "off"}, (), False),
        pytest.param({}, ("REDIS_URL",), False, marks=pytest.mark.slow),
    ],
)
def test_replicas_that_share_no_jobs_are_told_of(api, client, connection, said, secrets, is_told):
    documents = objects()
    documents[0]["data"] |= said
    (container,) = documents[-1]["spec"]["template"]["spec"]["containers"]
    container["command"] = ["aweigh", "serve", "penguins.aweigh"]
    container["envFrom"] = [{"configMapRef": {"name": "penguins-release"}}]
    go(connection, documents, secrets={name: Secret("redis://x") for name in secrets})
    told = []
    telling = Telling(line=lambda name, text, _: told.append((name, text)))
    after.scale(client, APP, {"web": 2}, patience=HASTE, telling=telling)
    assert any(name == "note" and "its own jobs alone" in text for name, text in told) is is_told
    told.clear()
    after.scale(client, APP, {"web": 1}, patience=HASTE, telling=telling)
    assert [name for name, _ in told] == ["ready"]


def test_settings_that_cannot_be_put_back_are_told_and_the_pods_still_are(api, connection):
    go(connection, objects())
    with open_client(connection) as client:
        client.pause = lambda _: api.faults.append(Fault("PATCH", "secrets/penguins-config", times=5))
        api.faults = [Fault("GET", r"deployments\?.*watch=true", times=5, status=500)]
        with pytest.raises(RemoteError) as caught:
            after.set_config(client, APP, {"AWEIGH_SWEEPS": Secret("off")}, patience=HASTE)
    assert "the settings could not be put back" in caught.value.message
    assert caught.value.message.endswith("; the old release still serves.")
    annotations = api.of("deployments", "penguins-web")["spec"]["template"]["metadata"]["annotations"]
    assert "aweigh.io/secrets" not in annotations


# -- what would change ---------------------------------------------------------------------------------------------


def test_settings_that_were_changed_since_are_no_difference(api, client, connection):
    go(connection, objects())
    after.set_config(client, APP, {"AWEIGH_SWEEPS": Secret("off")}, patience=HASTE)
    found = {one.object: one.does for one in preview(client, APP, objects()[2:])}
    assert found == {"Service penguins": "nothing", "Deployment penguins-web": "nothing"}


def test_all_of_a_namespace_that_is_to_be_made_would_be_new(api, connection):
    place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels()}}
    with open_client(connection) as client:
        assert {one.does for one in preview(client, APP, [place, *objects()])} == {"creates"}
        assert not [path for method, path in api.written if method == "PATCH"]
        # One of others' stays as it is.
        where = api.place("namespaces", "")
        api.store.put(where, NAMESPACE, {"metadata": {"name": NAMESPACE}}, before=None, dry_run=False)
        assert "Namespace models" not in {one.object for one in preview(client, APP, [place, *objects()])}


def test_a_name_that_is_anothers_is_told_by_what_would_change(api, client, connection):
    go(connection, objects())
    with pytest.raises(UsageError, match="belongs to the app penguins"):
        preview(client, "another", objects())
