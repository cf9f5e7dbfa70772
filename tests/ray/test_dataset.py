"""`aweigh predict --on`: a data set on a real Ray of three nodes, of which workers and whole nodes are killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.data_set_memory import FILES as FILES_OF_50_MB
from tests.data_set_memory import RAY, make, measure
from tests.data_sets import BUNDLE, contents, many
from tests.ray.cluster import ray_cluster

pytestmark = pytest.mark.timeout(600)
FILES = 16


@pytest.fixture(scope="module")
def cluster():
    with ray_cluster(3) as found:
        yield found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    many(folder, files=FILES, count=60_000)
    return folder


@pytest.fixture(scope="module")
def answers(data, tmp_path_factory):
    """What one machine makes of the data."""
    out = tmp_path_factory.mktemp("here") / "out"
    code, told = Running(data, out, "--workers", "2").end()
    assert code == 0, told
    return contents(out)


class Running:
    """The command in a process of its own."""

    def __init__(self, data, out, *more, environ=None, bundle=BUNDLE):
        words = [sys.executable, "-m", "aweigh", "predict", bundle, data, "-o", out, "--ignore-extra", *more]
        self.out = out
        self.process = subprocess.Popen(
            [*map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ if environ is None else environ,
            start_new_session=True,
        )

    def files(self):
        return {name for name in contents(self.out) if name.endswith(".csv")} if self.out.exists() else set()

    def wait_for_files(self, count):
        end = time.monotonic() + 300
        while len(self.files()) < count:
            assert self.process.poll() is None, self.process.stdout.read()
            assert time.monotonic() < end
            time.sleep(0.05)

    def end(self, sent=0):
        if self.process.poll() is None:
            self.process.send_signal(sent)
        told, _ = self.process.communicate(timeout=400)
        return self.process.returncode, told


@pytest.fixture
def run():
    started = []

    def start(*words, **options):
        started.append(Running(*words, **options))
        return started[-1]

    yield start
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.communicate()


def document(told):
    return json.loads(told[told.index("{\n") :])


def test_workers_and_a_node_that_are_killed_lose_nothing(cluster, data, answers, tmp_path, run):
    out = tmp_path / "out"
    running = run(data, out, "--on", cluster.address, "--json", environ=cluster.environ)
    running.wait_for_files(2)
    scorers = [one for node in cluster.nodes for one in node.workers("MapWorker")]
    assert scorers
    scorers[0].kill()
    running.wait_for_files(5)
    node = next(one for one in cluster.nodes[1:] if one.workers("MapWorker"))
    assert len(running.files()) < FILES
    node.kill()
    code, told = running.end()
    assert code == 0, told
    assert document(told)["rows"] == FILES * 60_000
    assert contents(out) == answers
    assert json.loads((out / "_aweigh.json").read_text())["status"] == "finished"
    cluster.nodes.remove(node)
    cluster.add()


def test_ctrl_c_leaves_what_is_finished_and_the_next_run_goes_on(cluster, data, answers, tmp_path, run):
    """The first one by Ray's client, from a machine that need not be of the cluster."""
    out = tmp_path / "out"
    running = run(data, out, "--on", cluster.client_address, environ=cluster.environ)
    running.wait_for_files(3)
    code, told = running.end(signal.SIGINT)
    assert code == 130, told
    time.sleep(1)
    there = contents(out)
    assert 3 <= len(running.files()) < FILES
    assert there.items() <= answers.items()
    code, told = run(data, out, "--on", cluster.address, "--json", environ=cluster.environ).end()
    assert code == 0, told
    assert document(told)["finished_before"] >= 1
    assert contents(out) == answers


def test_what_a_node_refuses_is_told_in_a_sentence(cluster, tmp_path, run):
    """Signatures count on the nodes as they do here; another version is told before anything is done."""
    many(tmp_path / "data", files=2, count=10)
    other = tmp_path / "path" / "aweigh-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: aweigh\nVersion: 9.9\n")
    path = os.pathsep.join([str(other.parent), cluster.environ["PYTHONPATH"]])
    environ = {**cluster.environ, "PYTHONPATH": path}
    code, told = run(tmp_path / "data", tmp_path / "out", "--on", cluster.address, environ=environ).end()
    assert (code, "has aweigh" in told, "and this machine 9.9" in told) == (4, True, True), told
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("on", "code", "told"),
    [
        ("127.0.0.1:1", 4, "No Ray cluster answers at 127.0.0.1:1"),
        ("ray://127.0.0.1:1", 4, "No Ray cluster answers at ray://127.0.0.1:1"),
        ("somewhere", 2, "'somewhere' is no address of a Ray cluster."),
    ],
)
def test_where_there_is_no_ray_a_sentence_says_so(tmp_path, on, code, told, run):
    many(tmp_path / "data", files=1, count=10)
    ended, said = run(tmp_path / "data", tmp_path / "out", "--on", on).end()
    assert (ended, told in said) == (code, True), said


@pytest.mark.slow
def test_a_data_set_takes_no_more_memory_than_a_quarter_of_it_in_each_actor(cluster, tmp_path):
    make(tmp_path / "data", files=FILES_OF_50_MB)
    peak = measure(tmp_path / "data", tmp_path / "out", "--on", cluster.address, marked=RAY, environ=cluster.environ)
    assert peak.data_bytes > 4 * peak.most_bytes, peak.told()


def test_a_ray_is_started_here_for_the_run(tmp_path, data, answers, run):
    out = tmp_path / "out"
    code, told = run(data / "part-000.csv", out, "--on", "ray", "--json").end()
    assert code == 0, told
    assert contents(out).items() <= answers.items()
    assert set(contents(out)) == {"part-000.csv", "part-000.csv.bad.jsonl"}
