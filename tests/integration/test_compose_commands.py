"""``aweigh deploy compose`` and what comes after it, typed as people type it, against a stand-in for Docker.

The stand-in's containers are processes of this machine: what answers the golden rows is a real server.
"""

import io
import json
import os
import socket
import sys
from pathlib import Path

import pytest
from tests.compose import Docker

from aweigh.__main__ import main
from aweigh.bundle.manifest import short
from aweigh.bundle.verify import open_bundle
from aweigh.errors import UsageError
from aweigh.targets.compose.deploy import Going, make_secrets
from aweigh.targets.compose.kept import project_of
from aweigh.targets.compose.plan import Chosen, Wish, plan_of
from aweigh.targets.compose.program import find_programs
from aweigh.targets.release import Release

STORED = Path(__file__).parents[1] / "bundles"
SOURCE = Path(__file__).parents[2] / "src"
BUNDLE = STORED / "format-1-onnx.aweigh"
APP = "typed-penguins"
WEB = "aweigh serve penguins.aweigh --host 0.0.0.0 --auth none --no-ui"
ONE, TWO = (f"127.0.0.1:9/penguins@sha256:{digit * 64}" for digit in "12")


@pytest.fixture(scope="module")
def version():
    return short(open_bundle(BUNDLE).digest)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of somebody's own, with a bundle and all that is read of it, so that no index is asked."""
    found = tmp_path_factory.mktemp("folder")
    (found / "penguins.aweigh").write_bytes(BUNDLE.read_bytes())
    (found / "Procfile").write_text(f"web: {WEB}\n")
    (found / "requirements.txt").write_text("aweigh\n")
    (found / ".python-version").write_text(f"{sys.version_info.major}.{sys.version_info.minor}\n")
    return found


@pytest.fixture
def docker(tmp_path, monkeypatch, version):
    found = Docker(tmp_path / "docker")
    for name, value in found.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in (ONE, TWO):
        found.add_image(name, BUNDLE.read_bytes(), version=version)
    yield found
    found.stop()


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture
def run(docker, monkeypatch, capsys):
    """Return a function that types a command: its exit code, and what it printed to both."""

    def typed(*arguments, said=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(said))
        try:
            code = main([*arguments])
        except SystemExit as ended:
            code = ended.code
        return code or 0, *capsys.readouterr()

    return typed


@pytest.fixture
def live(run, folder, port):
    """An app that runs, and the words that deploy it."""
    words = ("deploy", "compose", str(folder), "--app", APP, "--port", port, "--image", ONE)
    code, out, err = run(*words)
    assert (code, err) == (0, ""), out
    assert "golden rows agree with the original" in out
    assert f"http://127.0.0.1:{port}, v1" in out
    return words


def test_the_log_of_one_process_and_no_codes_of_a_terminal(run, live, tmp_path):
    code, out, _ = run("logs", "compose", "--app", APP, "--lines", "3", "--process", "web")
    assert code == 0
    assert "Ctrl-C" in out
    assert "\\x1b" not in out
    code, _, err = run("logs", "compose", "--app", APP, "--process", "nothing")
    assert (code, "no process" in err) == (2, True)
    assert run("destroy", "compose", "--app", APP, "--yes")[0] == 0
    assert not (tmp_path / "data" / "aweigh" / "compose" / APP).exists()


def test_what_answers_for_another_bundle_is_taken_back(run, live, docker, tmp_path):
    place = tmp_path / "data" / "aweigh" / "compose" / APP
    docker.add_image("other", (STORED / "format-1-native.aweigh").read_bytes(), version="x")
    (place / "compose.override.yaml").write_text("services:\n  web:\n    image: other\n")
    code, _, err = run(*live[:-1], TWO)
    assert code == 4
    assert "v1 runs again" in err
    (place / "compose.override.yaml").unlink()
    code, out, _ = run("releases", "compose", "--app", APP, "--json")
    assert [one["status"] for one in json.loads(out)["releases"]] == ["failed", "live"]
    assert run(*live)[0] == 0


def test_a_release_that_does_not_start_is_taken_back_and_says_why(run, live):
    code, _, err = run("config", "compose", "--app", APP, "AWEIGH_DRAIN_S=nonsense")
    assert code == 4
    assert "AWEIGH_DRAIN_S" in err
    assert "v1 runs again" in err
    code, out, _ = run("status", "compose", "--app", APP, "--json")
    assert (code, json.loads(out)["state"], json.loads(out)["release"]) == (0, "up", "v1")
    code, out, _ = run("config", "compose", "--app", APP, "--json")
    assert json.loads(out)["config"].get("AWEIGH_DRAIN_S") != "nonsense"


def test_a_port_that_is_taken_is_told_before_anything_starts(run, folder, docker):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = str(taken.getsockname()[1])
        code, _, err = run("deploy", "compose", str(folder), "--app", APP, "--port", number, "--image", ONE)
    assert code == 2
    assert f"Port {number} is taken" in err
    assert docker.containers() == {}


def test_data_whose_password_is_gone_is_not_written_over(docker):
    (docker.folder / "volumes" / f"aweigh-{APP}_database").mkdir(parents=True)
    release = Release(APP, "3.12", {"web": WEB}, {}, stores=("postgresql",))
    going = Going(project_of(APP, environ=os.environ), find_programs())
    with pytest.raises(UsageError, match=r"volume .* already"):
        make_secrets(going, plan_of(release, Wish(APP), Chosen(ONE, "sha256:1")), release)


@pytest.mark.parametrize(
    ("words", "said", "told"),
    [
        ("version", {"err": "Cannot connect to the Docker daemon . Is the docker daemon running?"}, "does not run"),
        ("version", {"err": "permission denied while trying to connect to the Docker daemon socket"}, "may not talk"),
        ("version", {"code": 0, "out": "windows/amd64\n"}, "windows/amd64"),
        ("compose version", {"err": "docker: 'compose' is not a docker command."}, "no compose"),
        ("compose version", {"code": 0, "out": "docker-compose version 1.29.2, build unknown\n"}, "too old"),
        ("up", {"err": "Bind for 127.0.0.1:1 failed: port is already allocated"}, "port is taken"),
        ("up", {"err": "write /x: no space left on device"}, "disk is full"),
    ],
    ids=lambda one: str(one)[:30],
)  # fmt: skip
def test_what_is_wrong_here_is_a_sentence_and_a_fix(run, folder, docker, port, words, said, told):
    docker.says(words, **said)
    code, _, err = run("deploy", "compose", str(folder), "--app", APP, "--port", port, "--image", ONE)
    assert code == 4
    assert told in err
    assert "hint: " in err
    assert "Traceback" not in err


def test_without_any_program_it_says_what_to_install(run, folder, docker, port, monkeypatch):
    (docker.bin / "docker").unlink()
    code, _, err = run("deploy", "compose", str(folder), "--app", APP, "--port", port, "--image", ONE)
    assert code == 4
    assert "install Docker" in err


def test_an_image_of_another_architecture_or_bundle_is_refused(run, folder, docker, port, version):
    arm, other = (f"127.0.0.1:9/other@sha256:{digit * 64}" for digit in "34")
    docker.add_image(arm, b"", version=version, architecture="arm64")
    docker.add_image(other, b"", version="0" * 12)
    words = ("deploy", "compose", str(folder), "--app", APP, "--port", port, "--image")
    code, _, err = run(*words, arm)
    assert (code, "linux/arm64" in err) == (1, True)
    code, _, err = run(*words, other)
    assert (code, "holds the bundle" in err) == (2, True)
    code, _, err = run(*words, "127.0.0.1:9/none@sha256:" + "5" * 64)
    assert (code, "cannot be fetched" in err) == (4, True)


def test_several_replicas_are_shown_with_what_stands_before_them(run, folder):
    code, out, _ = run("deploy", "compose", str(folder), "--app", APP, "--replicas", "2", "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["documents"].keys() == {"compose.yaml", "Caddyfile"}
