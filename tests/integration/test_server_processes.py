"""Several processes under load: killed, stopped, replaced; every answer is looked at, and every failure counted."""

import http.client
import json
import signal
import threading
import time
from urllib.parse import urlsplit

import psutil
import pytest

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
