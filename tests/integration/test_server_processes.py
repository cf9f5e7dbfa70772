"""Several processes under load: killed, stopped, replaced; every answer is looked at, and every failure counted."""

import hashlib
import http.client
import json
import os
import shutil
import signal
import threading
import time
import zipfile
from urllib.parse import urlsplit

import httpx
import pandas as pd
import psutil
import pytest

from aweigh import pack
from aweigh.bundle.examples import load_examples
from aweigh.bundle.verify import verify

NO_DELAY = {"AWEIGH_DRAIN_DELAY_S": "0"}


class Load:
    """Clients that ask for golden rows one after another; half keep their connection, half open one a request.

    ``wrong`` are answers that differ from the original model's, ``refused`` other statuses, ``broken`` when a
    connection broke, ``took_s`` the longest time of one request.
    """

    def __init__(self, url, rows, answers, *, clients=4):
        self.answered, self.wrong, self.refused, self.broken, self.took_s = 0, [], [], [], 0.0
        self._address = urlsplit(url).netloc
        self._asked = [(json.dumps({"rows": [row]}), answer) for row, answer in zip(rows, answers, strict=True)]
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(i % 2 == 0,)) for i in range(clients)]

    def __enter__(self):
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for one in self._threads:
            one.join(30)

    def _ask(self, keep):
        connection = None
        i = 0
        while not self._stop.is_set():
            body, answer = self._asked[i % len(self._asked)]
            i += 1
            connection = connection or http.client.HTTPConnection(self._address, timeout=20)
            begun = time.monotonic()
            try:
                connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                content = reply.read()
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.broken.append((time.monotonic(), repr(error)))
                connection.close()
                connection = None
                continue
            with self._lock:
                self.answered += 1
                self.took_s = max(self.took_s, time.monotonic() - begun)
                if reply.status != 200:
                    self.refused.append((reply.status, content))
                elif not same(json.loads(content)["predictions"][0], answer):
                    self.wrong.append(content)
            if not keep or reply.will_close:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def more(self, count):
        """Wait until so many more have been answered."""
        aim = self.answered + count
        wait_for(lambda: self.answered >= aim)


def same(one, other):
    """Return whether two answers are one."""
    return one["label"] == other["label"] and one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def wait_for(true, *, seconds=40):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def children(server):
    """Return the processes of a server by what the parent calls them: the API's first, in the order of their start."""
    return psutil.Process(server.process.pid).children()


@pytest.fixture(scope="module")
def golden(penguins):
    """Return the golden rows and what the original model said to them."""
    examples = load_examples(verify(penguins.path).read("examples.json"))
    return examples.rows, examples.predictions


@pytest.fixture(scope="module")
def crowd(start_server, penguins):
    """Return a server of two API processes and two for the app."""
    pytest.importorskip("streamlit")
    return start_server(penguins.path, "--workers", 2, "--ui-processes", 2, env=NO_DELAY)


@pytest.mark.slow
def test_whichever_is_killed_no_answer_is_wrong_and_all_is_back_soon(crowd, golden):
    assert crowd.line("workers") == "2 processes answer the API, 2 the app"
    with Load(crowd.url, *golden) as load:
        load.more(50)
        for i in range(4):
            before = children(crowd)
            assert len(before) == 4
            broken = len(load.broken)
            before[i % 2].kill() if i < 2 else before[0].kill()
            killed = time.monotonic()
            wait_for(lambda before=before: len(set(children(crowd)) - set(before)) == 1)
            load.more(100)
            # Only what was under way with the one that was killed: a request of each client at the most.
            assert len(load.broken) - broken <= 4
            assert all(when - killed < 1.0 for when, _ in load.broken[broken:])
            time.sleep(0.3)
    assert (load.wrong, load.refused) == ([], [])


@pytest.mark.slow
def test_sighup_replaces_all_without_a_failed_request(crowd, golden):
    before = set(children(crowd))
    with Load(crowd.url, *golden) as load:
        load.more(20)
        crowd.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not set(children(crowd)) & before, seconds=90)
        load.more(50)
    assert (load.wrong, load.refused, load.broken) == ([], [], [])
    wait_for(lambda: "all processes are replaced" in crowd.errors())
    assert len(children(crowd)) == 4
    ready = httpx.get(crowd.url + "/health/ready", trust_env=False).json()
    assert ready["processes"] == {"wanted": 4, "up": 4}


def test_sigterm_to_all_of_them_at_once_finishes_what_is_under_way(crowd, golden):
    """As Heroku does it. What is refused comes after the port is closed, and nothing breaks off in the middle."""
    ours = children(crowd)
    with Load(crowd.url, *golden) as load:
        load.more(20)
        os.killpg(crowd.process.pid, signal.SIGTERM)
        assert crowd.process.wait(20) == 0
    assert (load.wrong, load.refused) == ([], [])
    assert {why.split("(")[0] for _, why in load.broken} <= {"ConnectionRefusedError", "ConnectionResetError"}
    assert not any(one.is_running() for one in ours)
    assert crowd.told[-1].split()[0] == "stopped"


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_waits_no_longer(start_server, penguins, sent):
    """Ctrl-C reaches all of them, as a terminal sends it: the parent decides for all."""
    server = start_server(penguins.path, "--workers", 2, "--no-ui", env={"AWEIGH_DRAIN_DELAY_S": "60"})
    assert server.url
    ours = children(server)
    os.killpg(server.process.pid, sent)
    if sent == signal.SIGTERM:
        time.sleep(0.5)
        assert all(one.is_running() for one in ours)
        assert httpx.get(server.url + "/health/ready", trust_env=False).status_code == 503
        server.process.send_signal(sent)
    assert server.process.wait(20) == 0
    assert not any(one.is_running() for one in ours)
    assert "Traceback" not in server.errors()


# -- another version, a damaged one, one that answers otherwise ------------------------------------------------------


def write_version(folder, files, manifest, **changed):
    """Write a bundle as a folder, some of its files changed and its manifest made to fit."""
    folder.mkdir()
    for name, content in (files | {name.replace("__", "."): content for name, content in changed.items()}).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def versions(penguins, tmp_path_factory):
    """Return folders of three bundles: as packed, with another card, and with another answer to a golden row."""
    bundle = verify(penguins.path)
    files = {name: bundle.read(name) for name in bundle.names}
    with zipfile.ZipFile(penguins.path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    folder = tmp_path_factory.mktemp("versions")
    examples = json.loads(files["examples.json"])
    examples["predictions"][0]["probabilities"] = {"Adelie": 0.5, "Chinstrap": 0.25, "Gentoo": 0.25}
    return (
        write_version(folder / "first", files, manifest),
        write_version(folder / "second", files, manifest, card__md=b"# Another card\n"),
        write_version(folder / "wrong", files, manifest, examples__json=json.dumps(examples).encode()),
    )


def test_sighup_takes_a_new_version_and_no_bad_one(start_server, versions, golden, tmp_path):
    first, second, wrong = versions
    served = tmp_path / "served"

    def put(folder):
        link = tmp_path / "next"
        link.symlink_to(folder)
        link.replace(served)

    put(first)
    server = start_server(served, "--workers", 2, "--no-ui", env=NO_DELAY)

    def version():
        return httpx.get(server.url + "/health/ready", trust_env=False).json()["model"]["version"]

    old = version()
    before = children(server)
    with Load(server.url, *golden) as load:
        put(tmp_path)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "Everything stays as it is" in server.errors())
        put(wrong)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "the golden rows are not answered" in server.errors())
        load.more(20)
        assert children(server) == before
        assert version() == old
        put(second)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "all processes are replaced" in server.errors())
        load.more(20)
        assert not set(children(server)) & set(before)
    assert (load.wrong, load.refused, load.broken) == ([], [], [])
    assert {version() for _ in range(6)} == {verify(second).version} != {old}


# -- one that hangs, one that grows, one that cannot be started any more ---------------------------------------------


def test_one_that_hangs_is_killed_and_replaced(start_server, penguins, golden):
    server = start_server(penguins.path, "--workers", 2, "--no-ui", env=NO_DELAY | {"AWEIGH_WATCHDOG_S": "1"})
    assert server.url
    before = children(server)
    time.sleep(1.5)
    with Load(server.url, *golden) as load:
        load.more(20)
        before[0].suspend()
        wait_for(lambda: "hangs: killed" in server.errors())
        wait_for(lambda: len(set(children(server)) - set(before)) == 1)
        load.more(20)
    assert (load.wrong, load.refused) == ([], [])
    assert len(load.broken) <= 4
    assert before[1] in children(server)


LEAK = """
kept = []


def predict(frame):
    kept.append(b"x" * (1 << 21))
    return frame["x"] * 2.0
"""
IMPATIENT = "import sys, aweigh.server.workers as w, aweigh.__main__ as m; w.RECYCLE_EVERY_S = 2; sys.exit(m.main())"


@pytest.mark.slow
def test_one_that_grows_is_replaced_without_a_failed_request(start_server, tmp_path, monkeypatch):
    (tmp_path / "leaking.py").write_text(LEAK)
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.5, 4.0] * 5})
    packed = pack("leaking:predict", frame, name="leaking", output=tmp_path)
    server = start_server(
        packed.path, "--workers", 2, "--no-ui",
        env=NO_DELAY | {"AWEIGH_MAX_PROCESS_MB": "450"}, program=("-c", IMPATIENT),
    )  # fmt: skip
    assert server.url
    before = set(children(server))
    refused, asked = [], 0
    with server.client() as client:
        end = time.monotonic() + 60
        while "replaced" not in server.errors() or set(children(server)) == before:
            assert time.monotonic() < end
            asked += 1  # another row each time: none is answered from memory
            reply = client.post("/v1/predict", json={"rows": [{"x": float(asked)}]})
            if reply.status_code != 200 or reply.json()["predictions"] != [{"value": 2.0 * asked}]:
                refused.append(reply.text)
            time.sleep(0.02)
    assert refused == []


@pytest.mark.slow
def test_one_that_cannot_be_started_any_more_is_tried_again_while_the_others_answer(start_server, versions, tmp_path):
    folder = tmp_path / "served"
    shutil.copytree(versions[0], folder)
    server = start_server(folder, "--workers", 2, "--no-ui", env=NO_DELAY)
    assert server.url
    card = (folder / "card.md").read_bytes()
    schema = (folder / "schema.json").rename(tmp_path / "schema.json")
    (folder / "examples.json").rename(tmp_path / "examples.json")
    children(server)[0].kill()
    wait_for(lambda: "starting another in 1 s" in server.errors())

    def ready():
        return httpx.get(server.url + "/health/ready", trust_env=False)

    assert ready().status_code == 200
    assert ready().json()["processes"] == {"wanted": 2, "up": 1}
    schema.rename(folder / "schema.json")
    (tmp_path / "examples.json").rename(folder / "examples.json")
    wait_for(lambda: ready().json()["processes"]["up"] == 2)
    assert card == (folder / "card.md").read_bytes()


@pytest.mark.slow
def test_what_a_killed_server_left_is_swept_up(start_server, penguins, tmp_path):
    env = NO_DELAY | {"TMPDIR": str(tmp_path)}
    server = start_server(penguins.path, "--workers", 2, "--no-ui", env=env)
    assert server.url
    ours = children(server)
    server.process.kill()
    wait_for(lambda: not any(one.is_running() for one in ours))
    left = list(tmp_path.glob("aweigh-run-*"))
    assert len(left) == 1
    other = start_server(penguins.path, "--workers", 2, "--no-ui", env=env)
    assert other.url
    assert not left[0].exists()
    assert len(list(tmp_path.glob("aweigh-run-*"))) == 1
    assert other.stop() == 0
    assert not list(tmp_path.glob("aweigh-run-*"))
