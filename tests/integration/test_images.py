"""Images of a bundle, from the command line to a right answer: read by skopeo and umoci, run by podman."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import pytest
from tests.containers import PYTHON, Podman, answers, base_in, post, skopeo
from tests.registry_server import USERNAME, DockerRegistry, running, with_passwords

from aweigh import Packed
from aweigh.bundle.examples import load_examples
from aweigh.bundle.resolver import find_uv, uv_environment
from aweigh.bundle.verify import verify
from aweigh.locking.interpreter import find_interpreter

pytestmark = pytest.mark.needs("docker-registry", "skopeo", "mmdebstrap")


@pytest.fixture(scope="module")
def base(image_registry: DockerRegistry) -> str:
    """A Debian in the registry."""
    return base_in(image_registry)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the tests of this module share, as a person's commands do."""
    return tmp_path_factory.mktemp("cache")


def aweigh(
    *arguments: str, cache: Path, check: bool = True, cwd: Path | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """One command."""
    done = subprocess.run(
        [sys.executable, "-m", "aweigh", *arguments], capture_output=True, text=True, check=False, timeout=300, cwd=cwd,
        env=os.environ | {"XDG_CACHE_HOME": str(cache)} | environ,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr
    return done


def build(bundle: Path, base: str, *options: str, cache: Path, **environ: str) -> dict[str, object]:
    """``aweigh image`` of the API alone, as a document."""
    words = ["image", str(bundle), "--base", base, "--insecure", "--no-ui", "--auth", "none", "--json", *options]
    return json.loads(aweigh(*words, cache=cache, **environ).stdout)


def golden(bundle: Path) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The golden rows of a bundle and the original's answers."""
    found = load_examples(verify(bundle).read("examples.json"))
    return list(found.rows), list(found.predictions)


@pytest.mark.slow
@pytest.mark.needs("podman", "runc")
def test_from_a_bundle_to_a_right_answer(penguins: Packed, base, image_registry, cache, tmp_path, free_port):
    name = f"{image_registry.host}/team/penguins:1.0"
    built = build(penguins.path, base, "-t", name, "--push", cache=cache)
    assert built["pushed"]["sent_blobs"] >= 3
    podman, port = Podman(tmp_path), free_port()
    podman("pull", "-q", "--tls-verify=false", name)
    with podman.running(name, "--read-only", "--memory", "256m", port=port) as container:
        rows, expected = golden(penguins.path)
        answer = post(f"http://127.0.0.1:{port}/v1/predict", {"rows": rows})
        assert [one["label"] for one in answer["predictions"]] == [one["label"] for one in expected]
        assert podman("exec", container, "id", "-u").strip() == "10001"
        with pytest.raises(subprocess.SubprocessError, match="Read-only"):
            podman("exec", container, "touch", "/app/x")
        podman("exec", container, "touch", "/state/x")  # what it has to keep has a place
        podman("stop", "-t", "25", container)
        assert podman("inspect", container, "--format", "{{.State.ExitCode}}").strip() == "0", "SIGTERM as process 1"
        assert "what was under way is finished" in podman("logs", container)
    assert not answers(f"http://127.0.0.1:{port}/health/ready")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.needs("podman", "runc")
def test_the_how_to_s_three_commands(penguins, base, image_registry, cache, tmp_path, free_port, root):
    page = (root / "docs" / "how-to" / "build-an-image.md").read_text()
    commands = (
        page.partition("run by tests/integration/test_images.py -->\n```sh\n")[2].partition("```")[0].splitlines()
    )
    assert [one.split()[0] for one in commands] == ["aweigh", "podman", "curl"]
    (tmp_path / "penguins.aweigh").write_bytes(penguins.path.read_bytes())
    podman, port = Podman(tmp_path), free_port()
    # Here there are no networks of containers, no names of Docker Hub's, and others may have the ports.
    image, run, ask = (one.replace("127.0.0.1:5000", image_registry.host) for one in commands)
    image, run = f"{image} --base {base}", run.replace("-p 8000:8000", f"-e PORT={port}")
    aweigh(*image.split()[1:], cache=cache, cwd=tmp_path)
    name = podman(*run.split()[1:]).strip()
    try:
        end = time.monotonic() + 60
        while not answers(f"http://127.0.0.1:{port}/health/ready"):
            assert time.monotonic() < end, podman("logs", name)
            time.sleep(0.05)
        told = subprocess.run(ask.replace("8000", str(port)).split(), capture_output=True, text=True, check=True)
        assert json.loads(told.stdout)["digest"] == penguins.digest
    finally:
        podman("stop", "-t", "20", name)


@pytest.mark.slow
def test_the_same_image_from_another_folder_and_another_cache(penguins, base, image_registry, cache, tmp_path):
    first = build(penguins.path, base, cache=cache)
    copied = tmp_path / "elsewhere" / penguins.path.name
    copied.parent.mkdir()
    copied.write_bytes(penguins.path.read_bytes())
    again = build(copied, base, cache=tmp_path / "cache", TMPDIR=str(tmp_path), PYTHONHASHSEED="7")
    assert first["digest"] == again["digest"]


@pytest.mark.slow
def test_the_same_image_from_another_python(penguins, base, cache, tmp_path, root):
    others = [one for one in ("3.12", "3.13", "3.11") if one != PYTHON and find_interpreter(one) is not None]
    if not others:
        pytest.skip("this machine has no other Python that aweigh runs on")
    environment = tmp_path / "venv"
    for words in (
        ["venv", "-q", "--python", str(find_interpreter(others[0])), str(environment)],
        ["pip", "install", "-q", "--python", str(environment / "bin" / "python"), "-e", f"{root}[deploy,trust]"],
    ):
        subprocess.run(
            [find_uv(), *words], check=True, capture_output=True, timeout=300, env=uv_environment(os.environ)
        )
    words = ["image", str(penguins.path), "--base", base, "--insecure", "--no-ui", "--auth", "none", "--json"]
    done = subprocess.run(
        [environment / "bin" / "python", "-m", "aweigh", *words], capture_output=True, text=True, check=False,
        timeout=300, env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == build(penguins.path, base, cache=cache)["digest"]


DOCKERD = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--exec-opt", "native.cgroupdriver=cgroupfs",
           "--default-ulimit", "nofile=1024:1024")  # fmt: skip
"""How Docker runs without rights over the network."""


@pytest.mark.slow
@pytest.mark.needs("dockerd", "docker")
@pytest.mark.skipif(os.geteuid() != 0, reason="dockerd takes root")
def test_docker_runs_it_and_sees_that_it_is_well(penguins, base, cache, tmp_path, free_port):
    build(penguins.path, base, "-t", "penguins:1", "-o", str(tmp_path / "image.tar"), cache=cache)
    with tempfile.TemporaryDirectory(prefix="docker-") as short:
        host = f"unix://{short}/docker.sock"
        places = ["--data-root", str(tmp_path / "data"), "--exec-root", f"{short}/exec", "-p", f"{short}/pid"]
        with (tmp_path / "dockerd.log").open("w") as log:
            daemon = subprocess.Popen(["dockerd", *DOCKERD, *places, "-H", host], stdout=log, stderr=log)

        def docker(*words: str) -> str:
            done = subprocess.run(
                ["docker", "-H", host, *words], capture_output=True, text=True, check=True, timeout=120
            )
            return done.stdout.strip()

        try:
            end = time.monotonic() + 60
            while subprocess.run(["docker", "-H", host, "version"], capture_output=True, check=False).returncode:
                assert time.monotonic() < end, (tmp_path / "dockerd.log").read_text()[-2000:]
                time.sleep(0.2)
            assert "penguins:1" in docker("load", "-i", str(tmp_path / "image.tar"))
            port = free_port()
            options = ["--network", "host", "--read-only", "--tmpfs", "/tmp", "--memory", "256m", "-e", f"PORT={port}"]
            name = docker("run", "-d", *options, "penguins:1")
            end = time.monotonic() + 60
            while docker("inspect", name, "--format", "{{.State.Health.Status}}") != "healthy":
                assert time.monotonic() < end, docker("logs", name)
                time.sleep(0.5)
            rows, expected = golden(penguins.path)
            answer = post(f"http://127.0.0.1:{port}/v1/predict", {"rows": rows})
            assert [one["label"] for one in answer["predictions"]] == [one["label"] for one in expected]
            assert docker("exec", name, "id", "-u") == "10001"
            docker("stop", "-t", "25", name)
            assert docker("inspect", name, "--format", "{{.State.ExitCode}}") == "0"
        finally:
            daemon.terminate()
            daemon.wait(60)
            subprocess.run(["umount", "-l", f"{short}/exec/netns/default"], capture_output=True, check=False)


@pytest.mark.slow
def test_of_a_new_model_only_its_own_layer_is_sent(penguins, base, image_registry, cache, tmp_path):
    name = f"{image_registry.host}/team/again"
    build(penguins.path, base, "-t", f"{name}:1", "--push", cache=cache)
    aweigh("keygen", "key", "-o", str(tmp_path), cache=cache)
    changed = tmp_path / penguins.path.name
    changed.write_bytes(penguins.path.read_bytes())
    aweigh("sign", str(changed), "--key", str(tmp_path / "key.key"), cache=cache)
    pushed = build(changed, base, "-t", f"{name}:2", "--push", cache=cache)["pushed"]
    assert pushed["sent_blobs"] == 2, "the bundle's layer, and the config that names it"
    assert pushed["sent_bytes"] < changed.stat().st_size + 10_000
    assert build(changed, base, "-t", f"{name}:2", "--push", cache=cache)["pushed"]["sent_blobs"] == 0


@pytest.mark.slow
def test_others_read_it(penguins, base, image_registry, cache, tmp_path):
    name = f"{image_registry.host}/team/read:1"
    built = build(penguins.path, base, "-t", name, "--push", "-o", str(tmp_path / "image.tar"), cache=cache)
    seen = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))
    assert seen["Digest"] == built["digest"]
    assert seen["Labels"]["org.opencontainers.image.version"] == penguins.digest[:12]
    config = json.loads(skopeo("inspect", "--tls-verify=false", "--config", f"docker://{name}"))["config"]
    assert (config["User"], config["StopSignal"]) == ("10001:10001", "SIGTERM")
    assert config["Cmd"][:2] == ["aweigh", "serve"]
    read = json.loads(skopeo("inspect", f"oci-archive:{tmp_path / 'image.tar'}"))
    assert read["Layers"] == seen["Layers"]
    old = json.loads(skopeo("inspect", f"docker-archive:{tmp_path / 'image.tar'}"))
    assert len(old["Layers"]) == len(seen["Layers"])
    skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path / 'copied'}")


@pytest.mark.slow
@pytest.mark.needs("umoci")
def test_umoci_unpacks_the_layout(penguins, base, cache, tmp_path):
    build(penguins.path, base, "-t", "penguins:1", "-o", str(tmp_path / "layout"), cache=cache)
    subprocess.run(
        ["umoci", "unpack", "--rootless", "--image", f"{tmp_path / 'layout'}:1", str(tmp_path / "unpacked")],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    root = tmp_path / "unpacked" / "rootfs"
    assert (root / "app" / "penguins.aweigh").read_bytes() == penguins.path.read_bytes()
    run = json.loads((tmp_path / "unpacked" / "config.json").read_text())["process"]
    assert run["args"][:3] == ["aweigh", "serve", "penguins.aweigh"]
    assert run["cwd"] == "/app"


@pytest.mark.slow
def test_docker_s_schema_and_an_index_of_two_machines(penguins, base, image_registry, cache, tmp_path):
    name = f"{image_registry.host}/team/kinds"
    docker = build(penguins.path, base, "-t", f"{name}:docker", "--push", "--format", "docker", cache=cache)
    raw = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}:docker"))
    assert raw["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert docker["images"][0]["digest"] == docker["digest"]
    missing = aweigh(
        "image", str(penguins.path), "--base", base, "--insecure", "--platform", "linux/arm64", cache=cache, check=False
    )
    assert missing.returncode == 1
    assert "is for linux/amd64, and linux/arm64 is asked for" in missing.stderr
    # A base for both machines: the same files, said to be another machine's. Nothing of it is run here.
    skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{base}", f"dir:{tmp_path / 'base'}")
    both = _base_for_two(image_registry.host, base)
    options = ["--platform", "linux/amd64", "--platform", "linux/arm64", "-t", f"{name}:both", "--push"]
    built = build(penguins.path, both, *options, cache=cache)
    index = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}:both"))
    assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
    assert [one["digest"] for one in index["manifests"]] == [one["digest"] for one in built["images"]]
    skopeo("copy", "-q", "--all", "--src-tls-verify=false", f"docker://{name}:both", f"dir:{tmp_path / 'both'}")
    compiled = _compiled_of(tmp_path / "both", built["images"][1]["layers"][0]["digest"])
    assert compiled == {183}, "wheels of the other machine"


def _base_for_two(host: str, base: str) -> str:
    """An index of the base twice, once as it is and once as an image for arm64."""
    from aweigh.oci.client import open_registry
    from aweigh.oci.documents import OCI_CONFIG, OCI_MANIFEST, Platform, descriptor_of, encode, index_of, read_manifest
    from aweigh.oci.image import read_config

    with open_registry(host, insecure=True, environ={}) as registry:
        import io

        import msgspec

        pulled = registry.pull_manifest("base", "debian")
        manifest = read_manifest(pulled.content)
        config = read_config(registry.pull_bytes("base", manifest.config))
        content = encode(msgspec.structs.replace(config, architecture="arm64"))
        named = descriptor_of(content, OCI_CONFIG)
        registry.push_blob("base", named, lambda: io.BytesIO(content))
        other = encode(msgspec.structs.replace(manifest, config=named, media_type=OCI_MANIFEST))
        registry.push_manifest("base", "arm64", other, OCI_MANIFEST)
        index = index_of(
            [
                descriptor_of(pulled.content, pulled.media_type, platform=Platform("amd64", "linux")),
                descriptor_of(other, OCI_MANIFEST, platform=Platform("arm64", "linux")),
            ]
        )
        registry.push_manifest("base", "both", encode(index), index.media_type)
    return f"{base.rpartition(':')[0]}:both"


def _compiled_of(folder: Path, digest: str) -> set[int]:
    """For which machines (ELF's ``e_machine``) the compiled files of a layer are."""
    with tarfile.open(folder / digest.removeprefix("sha256:")) as archive:
        return {
            int.from_bytes(archive.extractfile(one).read(20)[18:20], "little")
            for one in archive
            if one.isfile() and re.search(r"\.so(\.\d+)*$", one.name)
        }


def test_a_bill_and_a_signature_lie_beside_it(penguins, base, image_registry, cache, tmp_path):
    from aweigh.bundle.keys import read_public
    from aweigh.oci.client import open_registry
    from aweigh.oci.documents import read_manifest

    name = f"{image_registry.host}/team/signed:1"
    aweigh("keygen", "key", "-o", str(tmp_path), cache=cache)
    built = build(penguins.path, base, "-t", name, "--push", "--key", str(tmp_path / "key.key"), cache=cache)
    with open_registry(image_registry.host, insecure=True, environ={}) as registry:
        (found,) = registry.referrers("team/signed", built["digest"])
        assert found.artifact_type == "application/vnd.cyclonedx+json"
        manifest = read_manifest(registry.pull_manifest("team/signed", found.digest).content)
        bill = json.loads(registry.pull_bytes("team/signed", manifest.layers[0]))
        signature = read_manifest(registry.pull_manifest("team/signed", built["pushed"]["signature"]).content).layers[0]
        payload = registry.pull_bytes("team/signed", signature)
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    names = {one["name"] for one in bill["components"]}
    assert {"onnxruntime", "aweigh", "penguins.aweigh"} <= names
    # Signed as OpenSSL checks it, which knows nothing of us.
    (tmp_path / "payload").write_bytes(payload)
    raw = base64.b64decode(signature.annotations["dev.cosignproject.cosign/signature"])
    (tmp_path / "signature").write_bytes(raw)
    words = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pub", "-rawin", "-in", "payload", "-sigfile"]
    checked = subprocess.run([*words, "signature"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    said = json.loads(payload)["critical"]
    assert said["image"]["docker-manifest-digest"] == built["digest"]
    assert said["identity"]["docker-reference"] == f"{image_registry.host}/team/signed"
    assert read_public((tmp_path / "key.pub").read_bytes(), name="key").verifies(raw, payload)


def test_bundles_travel_by_the_same_road(penguins, image_registry, cache, tmp_path):
    name = f"{image_registry.host}/bundles/penguins:1"
    pushed = json.loads(aweigh("push", str(penguins.path), name, "--insecure", "--json", cache=cache).stdout)
    assert pushed["sent"] is True
    again = json.loads(aweigh("push", str(penguins.path), name, "--insecure", "--json", cache=cache).stdout)
    assert (again["sent"], again["digest"]) == (False, pushed["digest"])
    target = tmp_path / "pulled.aweigh"
    pinned = f"{image_registry.host}/bundles/penguins@{pushed['digest']}"
    aweigh("pull", pinned, "--insecure", "-o", str(target), cache=cache)
    assert target.read_bytes() == penguins.path.read_bytes()
    refused = aweigh("pull", name, "--insecure", "-o", str(target), cache=cache, check=False)
    assert refused.returncode == 2
    assert "is there already" in refused.stderr
    aweigh("keygen", "key", "-o", str(tmp_path), cache=cache)
    unsigned = aweigh(
        "pull", name, "--insecure", "-o", str(tmp_path / "x.aweigh"), "--trust", str(tmp_path / "key.pub"),
        cache=cache, check=False,
    )  # fmt: skip
    assert unsigned.returncode == 3
    assert not (tmp_path / "x.aweigh").exists()
    assert not [*tmp_path.glob(".aweigh-pull-*")], "nothing is left of what was refused"


def test_what_is_no_bundle_is_not_pulled(base, image_registry, cache, tmp_path):
    refused = aweigh("pull", base, "--insecure", "-o", str(tmp_path / "x"), cache=cache, check=False)
    assert refused.returncode == 3
    assert "is no bundle of aweigh's" in refused.stderr
    missing = aweigh(
        "pull", f"{image_registry.host}/none:1", "--insecure", "-o", str(tmp_path / "x"), cache=cache, check=False
    )
    assert missing.returncode == 4
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-t", "example.org/a:1", "--push", "--base", "example.org/b:1"], "is not this machine"),
        (["--push"], "takes its name"),
        (["-t", "team/penguins:1", "--push"], "names no registry"),
        (["-t", "a b"], "no repository's name"),
        (["-t", "$(id):1"], "no repository's name"),
        (["-t", "a:1\nRUN x"], "no tag"),
        (["-t", "Team/App:1"], "no repository's name"),
        pytest.param(["--platform", "windows/amd64"], "No image is built for", marks=pytest.mark.slow),
        (["--key", "none.key"], "--push"),
        pytest.param(["-t", "a@sha256:" + "0" * 64], "named by a tag", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_built(penguins, base, cache, options, told):
    refused = aweigh("image", str(penguins.path), "--base", base, "--insecure", *options, cache=cache, check=False)
    assert refused.returncode == 2, refused.stderr
    assert told in refused.stderr


def test_a_registry_that_is_not_there_is_told_before_anything_is_built(penguins, base, cache, free_port):
    name = f"127.0.0.1:{free_port()}/team/penguins:1"
    refused = aweigh(
        "image", str(penguins.path), "--base", base, "--insecure", "-t", name, "--push", cache=cache, check=False
    )
    assert refused.returncode == 4
    assert "Nothing answers" in refused.stderr
    assert refused.stdout == "", "not a step was taken"


def test_a_wrong_account_is_told_before_anything_is_built(penguins, base, cache, tmp_path):
    with running(shutil.which("docker-registry"), tmp_path, **with_passwords(tmp_path)) as locked:
        words = ["image", str(penguins.path), "--base", base, "--insecure", "-t", f"{locked.host}/a:1", "--push"]
        account = {"AWEIGH_REGISTRY_HOST": locked.host, "AWEIGH_REGISTRY_USERNAME": USERNAME}
        refused = aweigh(*words, cache=cache, check=False, AWEIGH_REGISTRY_PASSWORD="wrong", **account)
        assert (refused.returncode, refused.stdout) == (4, "")
        assert "does not accept the account" in refused.stderr
        nowhere = aweigh(
            *words, cache=cache, check=False, AWEIGH_REGISTRY_PASSWORD="x", **(account | {"AWEIGH_REGISTRY_HOST": ""})
        )
        assert (nowhere.returncode, nowhere.stdout) == (2, "")
        assert f"here {locked.host}" in nowhere.stderr


def test_who_cannot_reach_docker_hub_is_told_of_other_bases(penguins, cache, free_port):
    proxy = f"http://127.0.0.1:{free_port()}"
    words = ["image", str(penguins.path), "--no-ui", "--auth", "none"]
    refused = aweigh(*words, cache=cache, check=False, HTTPS_PROXY=proxy, https_proxy=proxy)
    assert refused.returncode == 4
    assert "--base HOST/NAME:TAG" in refused.stderr


def test_a_folder_of_its_own_without_a_lock_or_a_door(base, cache, tmp_path):
    app = tmp_path / "my app"
    app.mkdir()
    (app / "app.py").write_text("import streamlit\n")
    (app / "requirements.txt").write_text("streamlit\n")
    (app / "Procfile").write_text("web: streamlit run app.py --server.port $PORT\n")
    unlocked = aweigh("image", str(app), "--base", base, "--insecure", cache=cache, check=False)
    assert (unlocked.returncode, unlocked.stdout) == (2, "")
    assert f"aweigh lock '{app}'" in unlocked.stderr
    (app / "requirements.txt").write_text(f"click==8.1.8 --hash=sha256:{'0' * 64}\n")
    asked = aweigh("image", str(app), "--base", base, "--insecure", "--auth", "password", cache=cache, check=False)
    assert asked.returncode == 2
    assert "no --auth password stands before it" in asked.stderr
    told = aweigh("image", str(app), "--base", f"{base}x", "--insecure", cache=cache, check=False)
    assert "anybody may come in" in told.stdout


@pytest.mark.slow
def test_what_is_typed_next_works_as_it_stands(penguins, base, image_registry, cache, tmp_path):
    name = f"{image_registry.host}/bundles/next:1"
    pushed = aweigh("push", str(penguins.path), name, "--insecure", cache=cache).stdout
    command = re.search(r"next +aweigh (pull .+)", pushed)[1].split()
    aweigh(*command, cache=cache, cwd=tmp_path)
    assert (tmp_path / "penguins.aweigh").read_bytes() == penguins.path.read_bytes()
    pinned = re.search(r"digest +(\S+)", pushed)[1]
    aweigh("pull", pinned, "--insecure", "-o", str(tmp_path / "again.aweigh"), cache=cache)
    left = tmp_path / ".aweigh-pull-killed"
    left.mkdir()
    os.utime(left, (1e9, 1e9))
    again = aweigh("pull", name, "--insecure", "-o", str(tmp_path / "third.aweigh"), cache=cache)
    assert again.returncode == 0
    assert not left.exists(), "what a killed command left is gone with the next"
    for words in (["push", str(penguins.path), "penguins"], ["pull", "penguins"]):
        assert "names no registry" in aweigh(*words, cache=cache, check=False, cwd=tmp_path).stderr


@pytest.mark.slow
def test_what_people_are_known_by_outlives_the_container(penguins, base, cache):
    words = ["image", str(penguins.path), "--base", base, "--insecure", "--no-ui"]
    open_door = aweigh(*words, "--auth", "none", "-o", "open.tar", cache=cache, cwd=cache).stdout
    assert ":/state" not in open_door
    guarded = aweigh(*words, "-o", "guarded.tar", cache=cache, cwd=cache).stdout
    assert "-v penguins-state:/state" in guarded


@pytest.mark.slow
def test_a_base_without_the_right_python_is_refused(penguins, image_registry, cache, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "os-release").write_text("ID=none\n")
    with tarfile.open(tmp_path / "bare.tar", "w") as archive:
        archive.add(tmp_path / "etc", "etc")
    bare = f"{image_registry.host}/bare:1"
    skopeo("copy", "-q", "--dest-tls-verify=false", f"tarball:{tmp_path / 'bare.tar'}", f"docker://{bare}")
    refused = aweigh("image", str(penguins.path), "--base", bare, "--insecure", cache=cache, check=False)
    assert refused.returncode == 1
    assert f"runs on Python {PYTHON}" in refused.stderr
