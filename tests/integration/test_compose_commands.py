"""``aweigh deploy compose`` and what comes after it, typed as people type it, against a stand-in for Docker.

The stand-in's containers are processes of this machine: what answers the golden rows is a real server.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.asking import asked_all_the_while
from tests.compose import Docker

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
def port(free_port):
    return str(free_port())


@pytest.fixture
def run(docker, typed):
    """Return a function that types a command where that program is Docker."""
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


@pytest.mark.slow
def test_the_log_of_one_process_and_no_codes_of_a_terminal(run, live, tmp_path):
    code, out, _ = run("logs", "compose", "--app", APP, "--lines", "3", "--process", "web")
    assert code == 0
    assert "Ctrl-C" in out
    assert "\\x1b" not in out
    code, _, err = run("logs", "compose", "--app", APP, "--process", "nothing")
    assert (code, "no process" in err) == (2, True)
    assert run("destroy", "compose", "--app", APP, "--yes")[0] == 0
    assert not (tmp_path / "data" / "aweigh" / "compose" / APP).exists()


@pytest.mark.slow
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
        pytest.param("up", {"err": "write /x: no space left on device"}, "disk is full", marks=pytest.mark.slow),
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


def test_a_web_line_of_ones_own_has_no_door_before_it_and_that_is_said_or_refused(run, folder):
    (folder / "Procfile").write_text("web: python -m http.server $PORT\n")
    words = ("deploy", "compose", str(folder), "--app", APP, "--dry-run")
    code, out, _ = run(*words)
    assert (code, "anybody may come in" in out) == (0, True)
    code, _, err = run(*words, "--auth", "password")
    assert (code, "no --auth password stands before it" in err) == (2, True)
    (folder / "Procfile").write_text(f"web: {WEB}\n")
    code, _, err = run(*words, "--auth", "password")
    assert (code, "says --auth none, and --auth password is asked for" in err) == (2, True)
    assert run(*words, "--auth", "none")[0] == 0


def test_several_replicas_are_shown_with_what_stands_before_them(run, folder):
    code, out, _ = run("deploy", "compose", str(folder), "--app", APP, "--replicas", "2", "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["documents"].keys() == {"compose.yaml", "Caddyfile"}


# -- releases beside what runs ---------------------------------------------------------------------------------------

ROW = {"rows": [{"island": "Biscoe", "bill_length_mm": 50.0}]}


@pytest.mark.slow
def test_with_a_proxy_a_release_leaves_no_request_unanswered(run, live, docker, port, tmp_path):
    place = tmp_path / "data" / "aweigh" / "compose" / APP
    code, out, _ = run(*live, "--proxy")
    assert code == 0, out
    with asked_all_the_while(port, ROW["rows"][0]) as told:
        code, out, err = run(*live[:-1], TWO)
        assert (code, err) == (0, ""), out
        assert "beside what runs" in out
        assert (place / "live" / "b").exists()
        assert f"aweigh-{APP}-web-b-1" in docker.containers()
        code, out, err = run("config", "compose", "--app", APP, "--secret", "AWEIGH_METRICS_TOKEN", said="tok-1\n")
        assert code == 0, err

        # What does not start is never asked, and what runs is not touched.
        before = docker.containers()
        code, _, err = run("config", "compose", "--app", APP, "AWEIGH_DRAIN_S=nonsense")
        assert (code, "runs again" in err) == (4, True), err
        assert docker.containers() == before
        assert not (place / "compose.next.yaml").exists()
    assert told["failed"] == []
    assert told["asked"] > 10
    code, out, _ = run("status", "compose", "--app", APP, "--json")
    assert (code, json.loads(out)["release"]) == (0, "v4")
    assert json.loads(out)["replicas"] == {"proxy": 1, "web": 1}
    code, out, _ = run("logs", "compose", "--app", APP, "--process", "web")
    assert (code, f"{APP}-web" in out) == (0, True)


@pytest.mark.slow
def test_a_release_that_was_cut_off_beside_what_runs_is_gone_on_with(run, live, docker, port, tmp_path):
    assert run(*live, "--proxy")[0] == 0
    web_b = f"aweigh-{APP}-web-b-1"
    docker.says(f"port aweigh-{APP}-proxy-1", code=0, out="")  # it is waited for in vain
    words = [sys.executable, "-m", "aweigh", *live[:-1], TWO]
    killed = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: web_b in docker.containers())
    killed.kill()
    killed.wait()
    docker.quiet()
    code, out, _ = run("status", "compose", "--app", APP, "--json")
    assert (code, json.loads(out)["state"], json.loads(out)["release"]) == (0, "up", "v2")
    assert json.loads(out)["replicas"]["web"] == 1
    assert any(web_b in note for note in json.loads(out)["notes"])
    code, out, err = run(*live[:-1], TWO)
    assert code == 0, out + err
    assert not (tmp_path / "data" / "aweigh" / "compose" / APP / "compose.next.yaml").exists()
    code, out, _ = run("status", "compose", "--app", APP, "--json")
    assert (json.loads(out)["release"], json.loads(out)["notes"]) == ("v4", [])


@pytest.mark.slow
def test_an_owners_document_for_the_web_containers_holds_in_every_release(run, live, docker, tmp_path):
    place = tmp_path / "data" / "aweigh" / "compose" / APP
    assert run(*live, "--proxy")[0] == 0
    assert run(*live[:-1], TWO)[0] == 0
    assert (place / "live" / "b").exists()
    (place / "compose.override.yaml").write_text("services:\n  web:\n    cpus: 2\n")
    code, out, err = run(*live)
    assert code == 0, out + err
    assert docker.containers()[f"aweigh-{APP}-web-1"]["service"]["cpus"] == 2
    assert f"aweigh-{APP}-web-b-1" not in docker.containers()


@pytest.mark.slow
def test_by_podman_a_release_and_a_secret_take_the_place_of_what_runs(run, folder, docker, port, tmp_path):
    (docker.bin / "docker").unlink()
    docker.install("podman")
    docker.install("podman-compose", "compose")
    words = ("deploy", "compose", str(folder), "--app", APP, "--port", port, "--proxy", "--image")
    code, out, err = run(*words, ONE)
    assert code == 0, out + err
    first = docker.containers()[f"aweigh-{APP}-web-1"]["pid"]
    code, _, err = run("config", "compose", "--app", APP, "--secret", "AWEIGH_METRICS_TOKEN", said="tok-1\n")
    assert code == 0, err
    assert docker.containers()[f"aweigh-{APP}-web-1"]["pid"] != first  # it is told the new secret
    assert not (tmp_path / "data" / "aweigh" / "compose" / APP / "live" / "b").exists()
    assert not any("--wait" in one or "--no-deps" in one for one in docker.asked())


@pytest.mark.slow
def test_a_first_deployment_that_was_killed_is_gone_on_with(run, folder, docker, port):
    words = ("deploy", "compose", str(folder), "--app", APP, "--port", port, "--image", ONE)
    killed = subprocess.Popen(
        [sys.executable, "-m", "aweigh", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: docker.containers() and answers(int(port)))
    killed.kill()
    killed.wait()
    code, out, err = run(*words)  # its own container has the port
    assert (code, err) == (0, ""), out


def wait_for(true, timeout_s=60):
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def answers(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_images_that_no_release_names_any_more_go(run, live, docker, version):
    for app in (APP, f"{APP}-2"):
        docker.add_image(f"localhost/aweigh-{app}:{'7' * 64}", b"", version=version)
    assert run(*live)[0] == 0
    left = docker.images()
    assert f"localhost/aweigh-{APP}:{'7' * 64}" not in left
    assert f"localhost/aweigh-{APP}-2:{'7' * 64}" in left


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_release_that_is_gone_back_to_brings_its_settings_and_they_can_be_set_again(run, live):
    assert run("config", "compose", "--app", APP, "AWEIGH_SWEEPS=off")[0] == 0
    assert run("rollback", "compose", "v1", "--app", APP)[0] == 0
    code, out, _ = run("config", "compose", "--app", APP, "AWEIGH_SWEEPS=off", "--json")
    assert (code, json.loads(out)["changed"]) == (0, ["AWEIGH_SWEEPS"])  # and not "as it was"


@pytest.mark.slow
def test_what_became_a_secret_stays_one_when_an_earlier_release_comes_back(run, live, docker, tmp_path):
    place = tmp_path / "data" / "aweigh" / "compose" / APP
    assert run("config", "compose", "--app", APP, "MY_TOKEN=plain-and-old")[0] == 0
    assert run("config", "compose", "--app", APP, "--secret", "MY_TOKEN", said="new-and-hidden\n")[0] == 0
    code, out, err = run("rollback", "compose", "v2", "--app", APP)
    assert code == 0, out + err
    assert "plain-and-old" not in (place / "compose.yaml").read_text()
    code, out, _ = run("config", "compose", "--app", APP, "--json")
    assert (code, json.loads(out)["config"]["MY_TOKEN"]) == (0, None)
    assert "new-and-hidden" in (place / "app.env").read_text()


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_volumes_that_no_document_names_any_more_go_too(run, live, docker):
    for name in ("database", "state"):
        (docker.folder / "volumes" / f"aweigh-{APP}_{name}").mkdir(parents=True)
    assert run("destroy", "compose", "--app", APP, "--yes")[0] == 0
    assert list((docker.folder / "volumes").iterdir()) == []


@pytest.mark.slow
def test_an_app_whose_folder_was_deleted_by_hand_is_destroyed_whole(run, live, docker, tmp_path):
    shutil.rmtree(tmp_path / "data")
    (docker.folder / "volumes" / f"aweigh-{APP}_database").mkdir(parents=True)
    code, out, err = run("destroy", "compose", "--app", APP, "--yes")
    assert code == 0, out + err
    assert docker.containers() == {}
    assert list((docker.folder / "volumes").iterdir()) == []


@pytest.mark.slow
def test_a_volume_that_cannot_be_taken_away_is_told_and_the_folder_stays(run, live, docker, tmp_path):
    (docker.folder / "volumes" / f"aweigh-{APP}_state").mkdir(parents=True)
    docker.says("volume rm", err="Error response from daemon: volume is in use")
    code, _, err = run("destroy", "compose", "--app", APP, "--yes")
    assert (code, "volume is in use" in err) == (4, True)
    assert (tmp_path / "data" / "aweigh" / "compose" / APP / "releases").is_dir()


@pytest.mark.slow
def test_an_app_that_is_being_changed_is_not_destroyed(run, live, docker):
    with project_of(APP, environ=os.environ).locked():
        code, _, err = run("destroy", "compose", "--app", APP, "--yes")
    assert (code, "at this moment" in err) == (4, True)
    assert len(docker.containers()) == 1


def test_the_folder_of_another_app_is_neither_deployed_to_nor_destroyed(run, live, docker, tmp_path):
    place = tmp_path / "data" / "aweigh" / "compose" / APP
    more = ("--app", "other", "--dir", str(place))
    for words in ((*live[:3], *more, *live[-2:]), ("destroy", "compose", *more, "--yes"), ("status", "compose", *more)):
        code, _, err = run(*words)
        assert (code, f"that of the app '{APP}'" in err) == (2, True), words
    assert run("status", "compose", "--app", APP)[0] == 0


@pytest.mark.slow
def test_another_projects_folder_is_neither_written_to_nor_taken_away(run, live, docker, folder, tmp_path):
    other = tmp_path / "other"
    for name in ("compose.yaml", "app.env", "secrets/key", "releases/notes.md"):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_text(f"somebody's own {name}")
    before = {one: one.read_text() for one in other.rglob("*") if one.is_file()}
    typed = len(docker.asked())
    code, _, err = run("destroy", "compose", "--app", APP, "--dir", str(other), "--yes")
    assert (code, "other files" in err) == (2, True)
    assert not any("down" in one for one in docker.asked()[typed:])
    code, _, err = run("deploy", "compose", str(folder), "--app", APP, "--dir", str(other), "--image", ONE)
    assert (code, "other files" in err) == (2, True), err
    assert {one: one.read_text() for one in other.rglob("*") if one.is_file()} == before


def test_a_folder_with_other_things_in_it_is_refused(run, folder, docker, port, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").write_text("x")
    words = ("deploy", "compose", str(folder), "--app", APP, "--port", port, "--image", ONE)
    code, _, err = run(*words, "--dir", str(tmp_path / "work"))
    assert (code, "other files" in err) == (2, True)


# -- what runs for months ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_was_started_again_long_ago_is_no_crash_of_today(run, live, docker):
    path = docker.folder / "containers" / f"aweigh-{APP}-web-1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "restarts": 5}))
    code, out, _ = run("status", "compose", "--app", APP, "--json")
    assert (code, json.loads(out)["state"]) == (0, "up")
    assert run(*live)[0] == 0
