"""`aweigh doctor --target compose` and `--target ssh`, as people type them: what the place lacks, and the release."""

import json
import os
import socket
import sys
from pathlib import Path

import pytest
from tests.compose import Docker
from tests.sshd_server import open_sshd

from aweigh.__main__ import main
from aweigh.targets.compose.doctor import Asked, platform_of
from aweigh.targets.doctor.released import measured_line

STORED = Path(__file__).parents[1] / "bundles"
SOURCE = Path(__file__).parents[2] / "src"
BUNDLE = STORED / "format-1-onnx.aweigh"
NO_PLACE = "127.0.0.1:9/python:3.11"


@pytest.fixture
def folder(tmp_path):
    """Somebody's own folder, that names all that is to be installed, so that no index is asked."""
    found = tmp_path / "app"
    found.mkdir()
    (found / "penguins.aweigh").write_bytes(BUNDLE.read_bytes())
    (found / "Procfile").write_text("web: aweigh serve penguins.aweigh --host 0.0.0.0 --auth none --no-ui\n")
    (found / "requirements.txt").write_text("aweigh\n")
    (found / ".python-version").write_text(f"{sys.version_info.major}.{sys.version_info.minor}\n")
    return found


@pytest.fixture
def doctor(capsys, monkeypatch):
    """Return a function that types the command: its exit code and its findings by their code."""
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))

    def typed(*words):
        try:
            code = main(["doctor", *words, "--json"])
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        told = json.loads(out)
        return code or 0, {one["code"]: one for one in told.get("findings", ())}, told.get("error", err)

    return typed


@pytest.fixture
def docker(tmp_path, monkeypatch):
    found = Docker(tmp_path / "docker")
    monkeypatch.setenv("PATH", f"{found.bin}:{os.environ['PATH']}")
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    yield found
    found.stop()


def test_a_machine_that_runs_containers_and_a_release_that_would_run_there(doctor, docker, folder):
    code, found, err = doctor(str(folder), "--target", "compose", "--no-measure", "--base", NO_PLACE)
    assert found["engine"]["level"] == "pass", err
    assert "docker runs" in found["engine"]["what"]
    assert found["release"]["level"] == "pass"
    assert "penguins.aweigh" in found["release"]["what"]
    assert (code, found["base"]["level"]) == (1, "fail")
    assert "the base cannot be had" in found["base"]["what"]


def test_what_compose_lacks_is_said_with_its_fix(doctor, docker, folder):
    docker.says("version", err="Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
    (folder / "secret.py").write_text("import streamlit\nopen('kept.txt', 'w')\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        words = (str(folder), "--target", "compose", "--engine", "docker", "--no-measure", "--offline", "--port", port)
        code, found, _ = doctor(*words, "--memory", "900000G")
    assert code == 1
    assert found["no_containers"]["fix"].startswith("start it")
    assert found["machine_memory"]["level"] == "fail"
    assert found["port"]["level"] == "warn"
    assert "the container's disk" in found["disk_state"]["what"]
    assert found["release"]["fix"] == "leave --offline out"
    assert not any("Heroku" in one["what"] + one["fix"] or "dyno" in one["what"] for one in found.values())


def test_a_bundle_that_is_damaged_is_a_finding_and_nothing_is_run(doctor, docker, tmp_path):
    broken = tmp_path / "broken.aweigh"
    content = bytearray(BUNDLE.read_bytes())
    content[len(content) // 2] ^= 1
    broken.write_bytes(content)
    code, found, _ = doctor(str(broken), "--target", "compose", "--base", NO_PLACE)
    assert code == 1
    assert {one["code"] for one in found.values() if one["level"] == "fail"} == {"base", "damaged_bundle"}
    assert "boot" not in found


def test_a_server_without_systemd_is_told_all_that_it_lacks(doctor, folder, tmp_path):
    place = tmp_path / "sshd"
    place.mkdir()
    with open_sshd(place) as port:
        user = f"root@127.0.0.1:{port}" if os.getuid() == 0 else f"127.0.0.1:{port}"
        words = (str(folder), "--target", "ssh", "--host", user, "--ssh-config", str(place / "good"))
        code, found, err = doctor(*words, "--no-measure")
    assert code == 1, err
    assert found["host_unfit"]["level"] == "fail"
    assert found["host"]["level"] == "warn"
    assert found["release"]["level"] == "pass"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--target", "ssh"), "--host root@example.org"),
        (("--target", "ssh", "--size", "basic"), "--size does not go with --target ssh"),
        (("--target", "heroku", "--memory", "1G"), "--memory does not go with --target heroku"),
        (("--target", "compose", "--memory", "$(id)"), "no size"),
        (("--target", "ssh", "--host", "a b;c"), "no address of a host"),
    ],
)
def test_what_cannot_be_asked_is_said(doctor, folder, words, said):
    code, found, err = doctor(str(folder), *words)
    assert code == 2
    assert said in f"{err['message']} {err['hint']}"
    assert found == {}


@pytest.mark.parametrize(
    ("line", "measured"),
    [
        (
            "aweigh serve m.aweigh --host 0.0.0.0 --auth none --workers auto",
            "aweigh serve m.aweigh --host 127.0.0.1 --auth none --workers 1",
        ),
        ("streamlit run app.py --server.address 0.0.0.0", "streamlit run app.py --server.address 0.0.0.0"),
    ],
)
def test_what_is_measured_is_asked_from_here_alone_and_has_a_containers_processor(line, measured):
    assert measured_line(line, platform_of(Asked())) == measured


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_bundle_is_installed_run_and_held_to_the_memory_that_it_is_to_get(doctor, docker):
    words = (str(BUNDLE), "--target", "compose", "--base", NO_PLACE)
    _, found, err = doctor(*words, "--memory", "512M")
    assert {code: found[code]["level"] for code in ("boot", "memory", "requests", "keep_alive", "image_size")} == {
        **dict.fromkeys(("boot", "memory", "requests", "keep_alive", "image_size"), "pass")
    }, err
    assert "--memory 512M has 512 MB" in found["memory"]["what"]
    _, found, _ = doctor(*words, "--memory", "65M")
    assert found["memory"]["level"] == "fail"
    assert "by the kernel" in found["memory"]["what"]
