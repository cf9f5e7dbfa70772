"""The commands after a deployment to Kubernetes, typed against the server that stands in for its API."""

import json
import os

import httpx
import pytest
from tests.kubernetes import shows
from tests.kubernetes.api import running_api
from tests.kubernetes.controllers import acting
from tests.kubernetes.documents import APP, NAMESPACE, kubeconfig, objects

from aweigh.__main__ import main
from aweigh.cli import kubernetes_after as commands
from aweigh.errors import ConfigError, UsageError
from aweigh.targets.kubernetes.deploy import Manner, deploy
from aweigh.targets.kubernetes.kubeconfig import find_connection
from aweigh.targets.kubernetes.rollout import Patience


@pytest.fixture
def api(tmp_path, monkeypatch):
    with running_api() as found, httpx.Client(base_url=found.url, trust_env=False) as client:
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(found.url)))
        monkeypatch.setenv("KUBECONFIG", str(path))
        with acting(client, NAMESPACE):
            yield found


@pytest.fixture
def deployed(api):
    """Return what deploys a release."""

    def go(image="registry.example/penguins:1", release="r1", **more):
        connection = find_connection({"KUBECONFIG": os.environ["KUBECONFIG"]})
        manner = Manner(patience=Patience(ready_s=20, window_s=1))
        secrets = ("AWEIGH_DEPLOY_SECRET",)
        return deploy(
            objects(image, release, **more), app=APP, namespace=NAMESPACE, connection=connection, secrets=secrets,
            manner=manner,
        )  # fmt: skip

    go()
    return go


def typed(capsys, command, *words, code=0):
    """Type a command; what it printed."""
    try:
        command.main(["--app", APP, *words], standalone_mode=False)
        left = 0
    except SystemExit as error:
        left = error.code
    assert left == code
    return capsys.readouterr().out


@shows("status", "releases", "rollback", "scale", "config", "logs", "destroy", how="stand-in program")
def test_every_verb_says_what_the_other_places_say(api, deployed, capsys):
    deployed("registry.example/penguins:2", "r2", bundle="b2")
    document = json.loads(typed(capsys, commands.status_kubernetes, "--json"))
    assert document == {
        "name": APP, "state": "up", "url": None, "release": "v2", "bundle": "b2", "replicas": {"web": 1},
        "notes": [],
    }  # fmt: skip
    assert "penguins: up" in typed(capsys, commands.status_kubernetes)
    listed = json.loads(typed(capsys, commands.releases_kubernetes, "--json"))["releases"]
    assert [(one["version"], one["current"], one["source"]) for one in listed] == [(2, True, "r2"), (1, False, "r1")]
    assert json.loads(typed(capsys, commands.rollback_kubernetes, "v1", "--json")) == {"to": 1, "as": 3}
    assert json.loads(typed(capsys, commands.scale_kubernetes, "2", "--json")) == {
        "replicas": {"web": 2}, "size": {"web": None}, "changed": True,
    }  # fmt: skip
    assert "web" in typed(capsys, commands.scale_kubernetes)
    said = json.loads(typed(capsys, commands.config_kubernetes, "AWEIGH_DOMAIN=reject", "--json"))
    names = {"AWEIGH_DEPLOY_SECRET": None, "AWEIGH_DOMAIN": None}
    assert said == {"config": names, "changed": ["AWEIGH_DOMAIN"]}
    assert "(in the cluster alone)" in typed(capsys, commands.config_kubernetes)
    pod = next(one["metadata"]["name"] for one in api.of("pods") if "web" in one["metadata"]["name"])
    api.logs[pod] = "2026-01-01T00:00:01.5Z ready \x1b[2J\n"
    assert typed(capsys, commands.logs_kubernetes) == f"2026-01-01T00:00:01Z {pod} ready \\x1b[2J\n"
    out = typed(capsys, commands.destroy_kubernetes, "--yes", "--keep-data", "--namespace", NAMESPACE)
    assert "left      Secret penguins-secrets" in out
    assert json.loads(typed(capsys, commands.destroy_kubernetes, "--yes", "--json")) == {"destroyed": APP}
    out = typed(capsys, commands.status_kubernetes, "--namespace", NAMESPACE, code=1)
    assert "aweigh deploy kubernetes PATH --app penguins --namespace models" in out


def test_status_says_what_is_wrong_and_how_to_mend_it(api, deployed, capsys):
    connection = find_connection({"KUBECONFIG": os.environ["KUBECONFIG"]})
    from aweigh.targets.kubernetes.apply import apply
    from aweigh.targets.kubernetes.client import open_client

    with open_client(connection) as client:
        apply(client, objects("registry.example/missing:2", "r2")[-1])
    while "penguins-web" not in str([one for one in api.of("pods") if "missing" in str(one.get("status"))]):
        pass
    out = typed(capsys, commands.status_kubernetes)
    assert "cannot pull the image registry.example/missing:2" in out
    assert "fix: does it exist" in out


def test_settings_may_be_there_before_the_app(api, capsys):
    out = typed(capsys, commands.config_kubernetes, "DATABASE_URL=postgresql://db/x")
    assert "nothing runs yet" in out
    assert "postgresql://db" not in out


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a-", "a" * 41, "../x", "é"])
def test_nothing_odd_is_the_name_of_an_app(name):
    with pytest.raises(UsageError, match="No app can be called"):
        commands.status_kubernetes.main(["--app", name], standalone_mode=False)


def test_a_context_that_is_not_there_is_told_with_those_that_are(api, capsys):
    with pytest.raises(ConfigError, match="has no context 'prod'") as caught:
        typed(capsys, commands.status_kubernetes, "--context", "prod")
    assert caught.value.hint == "it has local"


@pytest.mark.parametrize(
    "command",
    [commands.releases_kubernetes, commands.rollback_kubernetes, commands.scale_kubernetes, commands.config_kubernetes,
     commands.logs_kubernetes],
)  # fmt: skip
def test_an_app_that_is_not_there_is_told_alike(api, capsys, command):
    with pytest.raises(UsageError, match="There is no app 'penguins' in the namespace models") as caught:
        typed(capsys, command)
    assert caught.value.hint.startswith("aweigh deploy kubernetes PATH --app penguins makes one")


@pytest.fixture
def folder(tmp_path, root):
    """Somebody's own folder, that names all that is to be installed, so that no index is asked."""
    found = tmp_path / "folder"
    found.mkdir()
    (found / "penguins.aweigh").write_bytes((root / "tests/bundles/format-1-onnx.aweigh").read_bytes())
    (found / "Procfile").write_text("web: aweigh serve penguins.aweigh --host 0.0.0.0 --auth none --no-ui\n")
    (found / "requirements.txt").write_text("aweigh\n")
    (found / ".python-version").write_text("3.11\n")
    return found


def test_what_would_change_is_asked_of_the_cluster_and_nothing_is_changed(api, folder, capsys):
    words = ["deploy", "kubernetes", str(folder), "--app", APP, "--image", "registry.example/penguins:1", "--diff"]
    assert main([*words, "--json"]) in {0, None}
    told = json.loads(capsys.readouterr().out)["objects"]
    assert {one["does"] for one in told} == {"creates"}
    assert f"Deployment {APP}-web" in {one["object"] for one in told}
    assert api.of("deployments") == api.of("services") == []
    assert main(words) in {0, None}
    out = capsys.readouterr().out
    assert "creates" in out
    assert "--push builds it" in out


def test_a_difference_is_asked_of_the_cluster_and_documents_of_nobody(api, folder, capsys):
    words = ["deploy", "kubernetes", str(folder), "--app", APP, "--image", "registry.example/penguins:1", "--diff"]
    assert main([*words, "--dry-run"]) == 2
    assert "choose one" in capsys.readouterr().err
