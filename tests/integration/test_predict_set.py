"""`aweigh predict` for many files: one file out for each that came, whole or not at all, gone on with, on all cores."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from tests.data_sets import BUNDLE, HEADS, contents, many, rows, write
from tests.partly import partly_slow

from aweigh.__main__ import main
from aweigh.runtime.dataset import pool
from aweigh.runtime.dataset.partitions import find_partitions
from aweigh.runtime.dataset.record import Options
from aweigh.runtime.dataset.work import ATTEMPTS, Task

EXTRA = "--ignore-extra"


def predict(data, out, *more, capsys=None):
    """Run the command; its exit code, and the document it printed where that was asked for."""
    code = main(["predict", str(BUNDLE), str(data), "-o", str(out), EXTRA, *map(str, more)])
    return code if capsys is None else (code, json.loads(capsys.readouterr().out))


def record(out):
    return json.loads((out / "_aweigh.json").read_text())


def alone(data, out, names):
    """Score each file by itself, as what the folder's answers must be."""
    for name, written in names.items():
        path = out / written
        path.parent.mkdir(parents=True, exist_ok=True)
        assert predict(data / name, path) == 0
    return contents(out)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    write(rows(300, seed=1, bad=2), folder / "a.csv")
    write(rows(200, seed=2), folder / "2026" / "b.csv.gz")
    write(rows(100, seed=3), folder / "2026" / "11" / "c.parquet")
    write(rows(50, seed=4, bad=1), folder / "d.jsonl")
    write(rows(20, seed=5), folder / "e.json")
    write(rows(5, seed=6), folder / "_tmp" / "f.csv")
    write(rows(5, seed=7), folder / ".hidden.csv")
    (folder / "notes.md").write_text("none of the data")
    return folder


NAMES = {
    "a.csv": "a.csv",
    "2026/b.csv.gz": "2026/b.csv.gz",
    "2026/11/c.parquet": "2026/11/c.parquet",
    "d.jsonl": "d.jsonl",
    "e.json": "e.jsonl",
}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_gives_a_folder_of_the_same_bytes_as_each_file_alone(tmp_path, data, workers, capsys):
    expected = alone(data, tmp_path / "alone", NAMES)
    capsys.readouterr()
    code, told = predict(data, tmp_path / "out", "--workers", workers, "--json", capsys=capsys)
    assert code == 0
    assert contents(tmp_path / "out") == expected
    assert {name for name in expected if name.endswith(".bad.jsonl")} == {"a.csv.bad.jsonl", "d.jsonl.bad.jsonl"}
    assert (told["partitions"], told["rows"], told["good"], told["bad"]) == (5, 670, 667, 3)
    assert (told["ignored"], told["failed"], told["problems"]) == (["notes.md"], {}, {"missing_value": 3})
    kept = record(tmp_path / "out")
    assert kept["status"] == "finished"
    assert {name: one["output"] for name, one in kept["partitions"].items()} == NAMES
    assert kept["partitions"]["a.csv"]["input_bytes"] == (data / "a.csv").stat().st_size
    assert not (tmp_path / "out" / "_aweigh.lock").exists()


def test_a_format_is_written_for_all(tmp_path, data):
    out = tmp_path / "out"
    assert predict(data, out, "--format", "parquet", "--workers", 1) == 0
    expected = {"a.parquet", "2026/b.parquet", "2026/11/c.parquet", "d.parquet", "e.parquet"}
    assert {name for name in contents(out) if not name.endswith(".jsonl")} == expected


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.csv", {"a.csv"}),
        ("**/*.csv*", {"a.csv", "2026/b.csv.gz"}),
        ("**", {*NAMES, "notes.md"}),
        ("20[0-9][0-9]/*", {"2026/b.csv.gz"}),
        ("[!a].json", {"e.json"}),
        ("?.json*", {"d.jsonl", "e.json"}),
        ("2026/**/c.*", {"2026/11/c.parquet"}),
    ],
)
def test_a_pattern_takes_what_it_says(data, pattern, found):
    base = find_partitions(str(data / pattern), kind="csv")
    prefix = "2026/" if pattern.startswith("2026/") else ""
    assert {prefix + one.name for one in base.partitions} == found


def test_an_address_of_a_folder_here_is_that_folder(tmp_path, data):
    assert predict(f"file://{data}/*.csv", f"file://{tmp_path}/out") == 0
    assert set(contents(tmp_path / "out")) == {"a.csv", "a.csv.bad.jsonl"}


def test_a_second_run_does_what_is_new_or_changed_and_nothing_else(tmp_path, data, capsys):
    out = tmp_path / "out"
    assert predict(data, out) == 0
    capsys.readouterr()
    inodes = {name: (out / name).stat().st_ino for name in contents(out)}
    assert predict(data, out, "--json", capsys=capsys)[1]["finished_before"] == 5
    assert {name: (out / name).stat().st_ino for name in contents(out)} == inodes

    write(rows(301, seed=8), data / "a.csv")  # changed, and none of it is bad
    write(rows(10, seed=9), data / "new.csv")
    (out / "2026" / "b.csv.gz").write_bytes(b"cut off")
    (out / "d.jsonl.bad.jsonl").unlink()
    (data / "e.json").unlink()
    code, told = predict(data, out, "--json", capsys=capsys)
    assert (code, told["finished_before"], told["partitions"], told["gone"]) == (0, 1, 5, ["e.json"])
    names = {name: one for name, one in NAMES.items() if name != "e.json"} | {"new.csv": "new.csv"}
    expected = alone(data, tmp_path / "alone", names)
    assert contents(out) == expected | {"e.jsonl": contents(out)["e.jsonl"]}


def test_another_bundle_other_options_or_other_data_are_refused_and_forced(tmp_path, data, capsys):
    out = tmp_path / "out"
    assert predict(data, out) == 0
    before = contents(out)
    other = BUNDLE.with_name("format-1-native.aweigh")
    assert main(["predict", str(other), str(data), "-o", str(out), EXTRA]) == 2
    assert "holds the answers of penguins e418a8d97a7f" in capsys.readouterr().err
    assert predict(data, out, "--keep", "id") == 2
    told = capsys.readouterr().err
    assert "keep was None, and is ('id',)" in told
    assert "--force" in told
    assert predict(data / "*.csv", out) == 2
    assert contents(out) == before
    assert predict(data, out, "--keep", "id", "--format", "csv", "--force") == 0
    # What the new run has no use for is gone: two answers for one row would be one too many.
    names = {"a.csv", "2026/b.csv.gz", "2026/11/c.csv", "d.csv", "e.csv", "a.csv.bad.jsonl", "d.csv.bad.jsonl"}
    assert set(contents(out)) == names
    assert (out / "a.csv").read_text().partition("\n")[0] == ",".join(["id", *HEADS])


def test_files_of_others_are_left_alone(tmp_path, data, capsys):
    out = tmp_path / "out"
    write(rows(3), out / "mine.csv")
    assert predict(data, out) == 2
    assert "holds files already" in capsys.readouterr().err
    assert set(contents(out)) == {"mine.csv"}
    assert predict(data, out, "--force") == 0
    assert "mine.csv" in contents(out)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{data}", "-o", "{data}"], "cannot go into the folder of the data"),
        (["{data}", "-o", "{data}/out"], "cannot go into the folder of the data"),
        (["{data}/2026", "-o", "{data}"], "cannot go into the folder of the data"),
        (["{data}", "-o", "-"], "do not fit on standard output"),
        (["{data}", "-o", "{tmp}/out.csv"], "is no folder"),
        (["{data}/a.csv", "-o", "s3://bucket/out.csv"], "is no folder"),
        (["-", "-o", "s3://bucket/out"], "Standard input is none"),
        (["{data}", "-o", "{data}/a.csv"], "is no folder"),
        (["{data}/*.orc", "-o", "{tmp}/out"], "No file of data is there"),
        (["{data}/**", "-o", "{tmp}/out"], "which kind of file is to be written for 'notes.md'"),
        (["{data}", "-o", "{tmp}/out", "--bad", "x"], "--bad names one file"),
        (["ftp://host/data", "-o", "{tmp}/out"], "No address begins with ftp://"),
        (["s3://name:word@bucket/data", "-o", "{tmp}/out"], "a name and a password"),
        (["{data}/a.csv", "-o", "{tmp}/out", "--workers", "2"], "--workers is for many files"),
        (["{tmp}/missing", "-o", "{tmp}/out"], "does not exist"),
        (["{data}/a.csv", "-o", "{data}"], "is a directory"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_done(tmp_path, data, arguments, told, capsys):
    before = contents(data)
    words = [one.format(data=data, tmp=tmp_path) for one in arguments]
    assert main(["predict", str(BUNDLE), *words]) == 2
    assert told in capsys.readouterr().err
    assert contents(data) == before
    assert not (tmp_path / "out" / "_aweigh.json").exists()


def test_a_store_without_its_package_is_told_with_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert main(["predict", str(BUNDLE), "s3://bucket/data", "-o", str(tmp_path / "out")]) == 2
    assert "'stores' extra" in capsys.readouterr().err


def test_two_files_that_would_be_one_are_refused(tmp_path, data, capsys):
    write(rows(3), data / "a.parquet")
    assert predict(data, tmp_path / "out", "--format", "csv") == 2
    assert "'a.csv' and 'a.parquet' would both be written as 'a.csv'" in capsys.readouterr().err
    write(rows(3), data / "a.csv.bad.jsonl")
    (data / "a.parquet").unlink()
    assert predict(data, tmp_path / "out") == 2


def test_a_file_that_cannot_be_read_does_not_stop_the_others(tmp_path, data, capsys):
    (data / "bad.parquet").write_bytes(b"PAR1 cut off")
    (data / "strange.csv").write_text("something,else\n1,2\n")
    code, told = predict(data, tmp_path / "out", "--json", "--workers", 2, capsys=capsys)
    assert (code, told["rows"], set(told["failed"])) == (1, 670, {"bad.parquet", "strange.csv"})
    assert told["failed"]["strange.csv"]["code"] == "invalid_rows"
    kept = record(tmp_path / "out")
    assert (kept["status"], set(kept["failed"])) == ("unfinished", {"bad.parquet", "strange.csv"})
    write(rows(7), data / "bad.parquet")
    write(rows(7), data / "strange.csv")
    code, told = predict(data, tmp_path / "out", "--json", capsys=capsys)
    assert (code, told["finished_before"], told["partitions"], told["failed"]) == (0, 5, 7, {})


def test_where_every_file_fails_the_rest_is_not_tried(tmp_path, capsys):
    for i in range(14):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"{i}.csv").write_text("something,else\n1,2\n")
    code, told = predict(tmp_path / "data", tmp_path / "out", "--json", "--workers", 1, capsys=capsys)
    assert (code, len(told["failed"]), told["not_begun"]) == (1, 10, 4)


def test_a_bundle_that_is_damaged_writes_nothing(tmp_path, data):
    broken = tmp_path / "broken.aweigh"
    broken.write_bytes(BUNDLE.read_bytes()[:-200] + bytes(200))
    assert main(["predict", str(broken), str(data), "-o", str(tmp_path / "out"), EXTRA]) == 3
    assert not (tmp_path / "out").exists()


# -- killed, stopped, twice at once ----------------------------------------------------------------------------------


class Running:
    """The command in a process of its own."""

    def __init__(self, data, out, *more):
        words = [sys.executable, "-m", "aweigh", "predict", BUNDLE, data, "-o", out, EXTRA, *more]
        self.out = out
        self.process = subprocess.Popen(
            [*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def wait_for_files(self, count):
        """Wait until so many files of answers are there."""
        end = time.monotonic() + 60
        while len([name for name in contents(self.out) if name.endswith(".csv")] if self.out.exists() else []) < count:
            assert self.process.poll() is None, self.process.stdout.read()
            assert time.monotonic() < end
            time.sleep(0.02)

    def workers(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, sent=0):
        """Send it a signal, and wait until it has ended; its exit code, and what it has printed."""
        self.process.send_signal(sent)
        told, _ = self.process.communicate(timeout=60)
        return self.process.returncode, told


@pytest.fixture
def run():
    """Return what starts the command; whatever runs still is killed behind the test."""
    started = []

    def start(*words):
        started.append(Running(*words))
        return started[-1]

    yield start
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.communicate()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Twelve files that take a quarter of a second each."""
    folder = tmp_path_factory.mktemp("large")
    many(folder, files=12, count=40_000)
    return folder


@pytest.fixture(scope="module")
def answers(large, tmp_path_factory):
    """What each of them gives by itself."""
    names = {one.name: one.name for one in find_partitions(str(large)).partitions}
    return alone(large, tmp_path_factory.mktemp("alone"), names)


@pytest.mark.parametrize("sent", partly_slow(signal.SIGKILL, slow=[signal.SIGINT]))
def test_a_run_that_is_ended_leaves_whole_files_and_is_gone_on_with(large, answers, tmp_path, sent, run):
    out = tmp_path / "out"
    running = run(large, out, "--workers", "2")
    running.wait_for_files(2)
    workers = running.workers()
    code, told = running.end(sent)
    assert code == {signal.SIGKILL: -9, signal.SIGINT: 130}[sent], told
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
    there = contents(out)
    assert 2 <= len([name for name in there if name.endswith(".csv")]) < 12
    assert there.items() <= answers.items()
    assert predict(large, out) == 0
    assert contents(out) == answers


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(large, answers, tmp_path, run):
    out = tmp_path / "out"
    running = run(large, out, "--workers", "2")
    running.wait_for_files(1)
    killed = [one for one in running.workers() if "spawn_main" in " ".join(one.cmdline())]
    assert len(killed) == 2
    for one in killed:
        one.kill()
    code, told = running.end()
    assert code == 0, told
    assert contents(out) == answers


@pytest.mark.slow
def test_two_runs_at_once_are_not_let_into_one_folder(large, tmp_path, capsys, run):
    out = tmp_path / "out"
    running = run(large, out, "--workers", "1")
    running.wait_for_files(1)
    os.kill(running.process.pid, signal.SIGSTOP)
    assert predict(large, out) == 2
    assert "Another run is writing to" in capsys.readouterr().err
    assert predict(large, out, "--force") == 2
    os.kill(running.process.pid, signal.SIGCONT)
    assert running.end()[0] == 0


@pytest.mark.slow
def test_a_partition_whose_worker_dies_each_time_is_told_of_and_the_others_are_scored(tmp_path, run):
    data, out = tmp_path / "data", tmp_path / "out"
    write(rows(300_000, bad=1), data / "large.csv")
    write(rows(10), data / "small.csv")
    running = run(data, out, "--workers", "2", "--json")
    running.wait_for_files(1)
    killed = set()
    while running.process.poll() is None and len(killed) < ATTEMPTS:
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in running.workers():
                if one.pid not in killed and any("large.csv" in file.path for file in one.open_files()):
                    one.kill()
                    killed.add(one.pid)
        time.sleep(0.02)
    code, told = running.end()
    assert code == 1, told
    failed = json.loads(told[told.index("{") :])["failed"]
    assert set(failed) == {"large.csv"}
    assert "ended three times (signal 9)" in failed["large.csv"]["message"]
    assert set(contents(out)) == {"small.csv"}


@pytest.mark.slow
def test_want_of_memory_is_told_as_such(tmp_path):
    """A JSON array is read whole: this one takes more than the process may have."""
    data = tmp_path / "data"
    many(data, files=2, count=100)
    (data / "whole.json").write_text("[" + ",".join(['{"island":"Dream","bill_length_mm":1.5}'] * 2_000_000) + "]")
    code = (
        "import resource, sys\n"
        "import aweigh.runtime.dataset.pool, aweigh.runtime.load\n"
        "from aweigh.__main__ import main\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 400 * 2**20,) * 2)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = [sys.executable, "-c", code, "predict", BUNDLE, data, "-o", tmp_path / "out", EXTRA, "--workers", 1]
    done = subprocess.run([*map(str, words), "--json"], capture_output=True, text=True, check=False, timeout=100)
    told = json.loads(done.stdout)
    assert (done.returncode, set(told["failed"])) == (1, {"whole.json"}), done.stderr
    assert told["failed"]["whole.json"]["code"] == "out_of_memory"
    assert told["rows"] == 200


def test_every_process_asks_for_the_signature_that_the_command_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    many(tmp_path / "data", files=3, count=5)
    bundle = tmp_path / "b.aweigh"
    shutil.copy(BUNDLE, bundle)
    assert main(["keygen", "ana"]) == 0
    words = ["predict", str(bundle), "data", "-o", "out", EXTRA, "--workers", "2", "--trust", "ana.pub"]
    assert main(words) == 3
    assert not (tmp_path / "out").exists()
    assert main(["sign", str(bundle), "--key", "ana.key"]) == 0
    assert main(words) == 0
    assert len([name for name in contents(tmp_path / "out") if name.endswith(".csv")]) == 3


def test_a_worker_that_cannot_open_the_bundle_ends_the_run(tmp_path):
    many(tmp_path / "data", files=3, count=5)
    found = find_partitions(str(tmp_path / "data"))
    bundle = tmp_path / "b.aweigh"
    shutil.copy(BUNDLE, bundle)
    task = Task(bundle=bundle, digest="0" * 64, data=found.place.address, out=str(tmp_path / "out"), options=Options())
    with pytest.raises(pool.WorkerFailed, match="was changed"):
        list(pool.score_pool(task, found.partitions, workers=2, on_share=lambda *_: None))
