"""`aweigh predict` from a store of objects into one: S3 as moto's server speaks it, and fsspec's own in memory."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import fsspec
import pytest
from tests.conftest import any_port
from tests.data_sets import BUNDLE, contents, many, rows, write

from aweigh.__main__ import main
from aweigh.errors import UsageError
from aweigh.runtime.dataset import lock
from aweigh.runtime.dataset.place import open_place

pytestmark = pytest.mark.timeout(300)
START_S = 60.0


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """Return the environment in which S3 is a server on this machine, and the file system that asks it."""
    url = f"http://127.0.0.1:{any_port()}"
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", url.rpartition(":")[2]]
    log = (tmp_path_factory.mktemp("moto") / "log.txt").open("wb")
    process = subprocess.Popen(words, stdout=log, stderr=log)
    environ = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            with suppress(OSError):
                urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
                break
            time.sleep(0.1)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            system = fsspec.filesystem("s3")
            system.mkdir("birds")
            yield system
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    many(folder, files=4, count=200)
    write(rows(100, seed=9, bad=1), folder / "deep" / "er" / "p.parquet")
    return folder


def predict(data, out, *more):
    return main(["predict", str(BUNDLE), str(data), "-o", str(out), "--ignore-extra", *map(str, more)])


def fetched(system, root, folder):
    """Return what is below an address, as `contents` of a folder."""
    folder.mkdir()
    for path in system.find(root):
        target = folder / path.removeprefix(root).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(system.cat_file(path))
    return contents(folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_from_s3_to_s3_the_same_bytes_as_here(s3, data, tmp_path, workers, capsys):
    name = f"birds/in{workers}"
    s3.put(str(data) + "/", name, recursive=True)
    assert predict(data, tmp_path / "here") == 0
    assert predict(f"s3://{name}", f"s3://birds/out{workers}", "--workers", workers) == 0
    assert fetched(s3, f"birds/out{workers}", tmp_path / "there") == contents(tmp_path / "here")
    assert not s3.exists(f"birds/out{workers}/_aweigh.lock")
    capsys.readouterr()
    # Gone on with: one object is another, one is new, and the rest is not asked for again.
    write(rows(50, seed=20), data / "part-000.csv")
    write(rows(50, seed=21), data / "new.csv")
    s3.put_file(str(data / "part-000.csv"), f"{name}/part-000.csv")
    s3.put_file(str(data / "new.csv"), f"{name}/new.csv")
    assert predict(f"s3://{name}/", f"s3://birds/out{workers}", "--json") == 2  # another text, another data set
    capsys.readouterr()
    assert predict(f"s3://{name}", f"s3://birds/out{workers}", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["partitions"], told["finished_before"]) == (6, 4)
    assert predict(data, tmp_path / "here") == 0
    assert fetched(s3, f"birds/out{workers}", tmp_path / "again") == contents(tmp_path / "here")


def test_a_pattern_and_one_object_are_taken(s3, data, tmp_path, capsys):
    s3.put(str(data) + "/", "birds/patterns", recursive=True)
    assert predict("s3://birds/patterns/**/*.parquet", tmp_path / "a") == 0
    assert {one for one in contents(tmp_path / "a") if not one.endswith("bad.jsonl")} == {"deep/er/p.parquet"}
    assert predict("s3://birds/patterns/part-000.csv", tmp_path / "b", "--format", "parquet") == 0
    assert set(contents(tmp_path / "b")) == {"part-000.parquet", "part-000.parquet.bad.jsonl"}
    assert predict("s3://birds/nothing", tmp_path / "c") == 2
    assert predict("s3://no-such-bucket/x", tmp_path / "c") in {2, 4}
    assert not (tmp_path / "c").exists()


def test_a_store_that_does_not_answer_is_one_sentence(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.filesystem("s3").clear_instance_cache()
    assert predict(data, "s3://birds/silent") == 4
    told = capsys.readouterr().err
    assert "s3://birds/silent cannot be used" in told
    assert len(told.strip().splitlines()) <= 6
    fsspec.filesystem("s3").clear_instance_cache()


def test_one_run_at_a_time_in_a_store_and_a_dead_one_is_taken_over(s3, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_S", 0.5)
    place = open_place("s3://birds/locked")
    other = open_place("s3://birds/locked")
    with lock.only_run(place):
        with pytest.raises(UsageError, match="Another run is writing"), lock.only_run(other):
            pass
        assert place.read(lock.NAME) is not None
    assert place.read(lock.NAME) is None
    place.write(lock.NAME, b"of a machine that is no more")
    with lock.only_run(other):
        assert b"of a machine" not in other.read(lock.NAME)


def test_a_killed_run_leaves_whole_objects_and_no_copy(s3, data, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()
    s3.put(str(data) + "/", "birds/killed", recursive=True)
    words = [sys.executable, "-m", "aweigh", "predict", BUNDLE, "s3://birds/killed", "-o", "s3://birds/kout"]
    process = subprocess.Popen([*map(str, words), "--ignore-extra", "--workers", "2"],
                               env={**os.environ, "TMPDIR": str(copies)})  # fmt: skip
    end = time.monotonic() + 60
    while not [one for one in open_place("s3://birds/kout").files() if one.endswith(".csv")]:
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while list(copies.glob("aweigh-set-*")):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert predict(data, tmp_path / "here") == 0
    assert fetched(s3, "birds/kout", tmp_path / "there").items() <= contents(tmp_path / "here").items()


def test_a_store_in_memory_is_of_this_process(data, tmp_path):
    memory = fsspec.filesystem("memory")
    memory.put(str(data) + "/", "/birds", recursive=True)
    assert predict("memory://birds", "memory://out") == 0
    assert predict(data, tmp_path / "here") == 0
    assert fetched(memory, "/out", tmp_path / "there") == contents(tmp_path / "here")
    assert predict("memory://birds", tmp_path / "ray", "--on", "ray") == 2


def test_one_place_has_one_address(s3, data, capsys):
    assert open_place("s3a://birds/one/") == open_place("S3://birds/one")
    s3.put(str(data) + "/", "birds/one", recursive=True)
    before = s3.find("birds/one")
    assert predict("s3a://birds/one", "s3://birds/one") == 2
    assert "cannot go into the folder of the data" in capsys.readouterr().err
    assert s3.find("birds/one") == before


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, capsys):
    memory = fsspec.filesystem("memory")
    memory.store["/evil/../../up.csv"] = memory.open("/tmp.csv", "wb")
    try:
        assert predict("memory://evil", tmp_path / "out") in {1, 2}
    finally:
        memory.store.clear()
    assert not (tmp_path / "up.csv").exists()
