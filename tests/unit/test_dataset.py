"""A run over a data set, and what it must not trust: its place, an earlier record, the names of files."""

import errno
import json
import time
from pathlib import Path

import pytest

from aweigh.errors import UsageError
from aweigh.runtime.dataset import lock
from aweigh.runtime.dataset.errors import StoreFailed
from aweigh.runtime.dataset.partitions import find_partitions
from aweigh.runtime.dataset.place import Store
from aweigh.runtime.dataset.record import Done, Failed, Options
from aweigh.runtime.dataset.run import HOPELESS, score_set
from aweigh.runtime.dataset.work import Cannot, Task, score_partition


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("x\n1\n")
    return folder


def writes(*failing, then=None):
    """Make a runner that writes each partition's name as its answers; ``then`` ends it after the first one."""

    def runner(task, partitions, on_share):
        for one in partitions:
            if one.name in failing:
                yield one.name, Failed("system", "It cannot be read.")
                continue
            path = Path(task.out, one.out)
            path.write_text(task.digest + one.name)
            yield one.name, Done(one.size_bytes, one.mark, one.out, path.stat().st_size, rows=1, good=1, bad=0)
            if then is not None:
                raise then

    return runner


def scored(data, out, runner, *, kind=None, digest="0" * 64, force=False):
    found = find_partitions(str(data), kind=kind)
    options = Options(kind=kind)
    task = Task(bundle=data, digest=digest, data=found.place.address, out=str(out), options=options)
    return score_set(found, task, name="penguins", runner=runner, force=force)


def files(out):
    return {one.name: one.read_text() for one in out.iterdir() if not one.name.startswith("_aweigh")}


# -- what earlier runs left ------------------------------------------------------------------------------------------


def test_answers_that_are_fresh_are_not_taken_for_those_of_a_run_before_that_was_ended(tmp_path, data):
    out = tmp_path / "out"
    scored(data, out, writes(), kind="csv")
    with pytest.raises(KeyboardInterrupt):
        scored(data, out, writes(then=KeyboardInterrupt()), kind="parquet", force=True)
    found = scored(data, out, writes(), kind="csv", digest="1" * 64, force=True)
    assert (found.good, found.stale) == (2, ())
    assert files(out) == {"a.csv": "1" * 64 + "a.csv", "b.csv": "1" * 64 + "b.csv"}


def test_a_run_that_is_gone_on_with_keeps_what_it_writes_under_an_old_name(tmp_path, data):
    out = tmp_path / "out"
    scored(data, out, writes())
    (data / "a.csv").rename(tmp_path / "a.csv")
    with pytest.raises(KeyboardInterrupt):
        scored(data, out, writes(then=KeyboardInterrupt()), digest="1" * 64, force=True)
    (tmp_path / "a.csv").rename(data / "a.csv")
    scored(data, out, writes(), digest="1" * 64)
    assert set(files(out)) == {"a.csv", "b.csv"}


def test_a_record_cannot_have_files_removed_that_are_none_of_the_answers(tmp_path, data):
    out, victim = tmp_path / "out", tmp_path / "victim.txt"
    scored(data, out, writes())
    victim.write_text("mine")
    record = json.loads((out / "_aweigh.json").read_text())
    record["stale"] = ["../victim.txt", str(victim), "../data/a.csv"]
    (out / "_aweigh.json").write_text(json.dumps(record))
    scored(data, out, writes())
    assert victim.read_text() == "mine"
    assert (data / "a.csv").exists()


def test_old_answers_of_what_cannot_be_scored_are_told_of_and_go_when_all_is(tmp_path, data):
    out = tmp_path / "out"
    scored(data, out, writes())
    found = scored(data, out, writes("a.csv"), digest="1" * 64, force=True)
    assert (set(found.failed), found.stale) == ({"a.csv"}, ("a.csv",))
    assert json.loads((out / "_aweigh.json").read_text())["stale"] == ["a.csv"]
    assert scored(data, out, writes(), digest="1" * 64).stale == ()
    assert files(out)["a.csv"] == "1" * 64 + "a.csv"


def test_files_that_never_can_be_read_do_not_keep_new_ones_from_being_scored(tmp_path, data):
    out = tmp_path / "out"
    scored(data, out, writes())
    bad = [f"bad-{i:02}.csv" for i in range(HOPELESS + 2)]
    for name in [*bad, "new.csv"]:
        (data / name).write_text("x\n1\n")
    found = scored(data, out, writes(*bad))
    assert (found.rest, len(found.failed), len(found.done)) == (0, HOPELESS + 2, 3)


def test_what_ended_a_run_is_told_though_the_record_cannot_be_written(tmp_path, data):
    out = tmp_path / "out"

    def runner(task, partitions, on_share):
        yield partitions[0].name, Failed("system", "It cannot be read.")
        (out / "_aweigh.json").unlink()
        (out / "_aweigh.json").mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scored(data, out, runner)


def test_a_fault_of_ours_that_one_file_brings_out_is_told_and_stops_nothing(tmp_path, data):
    found = find_partitions(str(data))
    out = tmp_path / "out"
    task = Task(bundle=data, digest="", data=str(data), out=str(out), options=Options())
    outcome = score_partition(None, task, found.partitions[0], on_share=lambda _: None)
    assert (outcome.code, "--debug" in outcome.hint) == ("unforeseen", True)
    assert list(out.iterdir()) == []


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_file_is_taken_by_its_name_though_it_looks_like_a_pattern(data, scheme):
    (data / "a[1].csv").write_text("x\n1\n")
    (data / "a1.csv").write_text("x\n2\n")
    assert [one.name for one in find_partitions(f"{scheme}{data}/a[1].csv").partitions] == ["a[1].csv"]


def test_a_link_to_nothing_is_a_file_that_cannot_be_read_and_a_hidden_one_is_none(data):
    (data / ".#a.csv").symlink_to("somebody@machine.1")
    (data / "c.csv").symlink_to("nowhere.csv")
    assert [one.name for one in find_partitions(str(data)).partitions] == ["a.csv", "b.csv", "c.csv"]


class System:
    """What a store's package offers, where this machine's disk is full."""

    def get_file(self, *_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def invalidate_cache(self):
        pass

    def find(self, *_, **__):
        found = {"birds/in/a.csv": 1, "birds/inner/b.csv": 2}
        return {name: {"type": "file", "size": size, "ETag": "x"} for name, size in found.items()}


def test_a_disk_that_is_full_is_not_taken_for_a_store_that_refuses():
    store = Store("s3://birds/in", System(), "birds/in")
    with pytest.raises(OSError, match="No space left") as caught, store.reading("a.csv"):
        pass
    task = Task(bundle=None, digest="", data="", out="s3://birds/out", options=Options())
    assert "make room" in Cannot.of(caught.value, task).hint


def test_a_neighbour_whose_name_begins_alike_is_none_of_the_data():
    assert set(Store("s3://birds/in", System(), "birds/in").files()) == {"a.csv"}


# -- two at once -----------------------------------------------------------------------------------------------------


class Objects(dict):
    """A store of objects."""

    address = "s3://birds/out"

    def create(self, name, content):
        return self.setdefault(name, content) is content

    def read(self, name):
        return self.get(name)

    def write(self, name, content):
        self[name] = content

    def remove(self, name):
        self.pop(name, None)


def test_a_run_that_was_asleep_sees_that_another_has_its_place(monkeypatch):
    monkeypatch.setattr(lock, "BEAT_S", 0.05)
    place = Objects()
    with lock.only_run(place) as still:
        still()
        place.write(lock.NAME, b"another, beat 7\n")
        time.sleep(0.2)
        with pytest.raises(UsageError, match="Another run is writing"):
            still()
    assert place.read(lock.NAME) == b"another, beat 7\n"


def test_a_store_that_is_away_for_a_moment_ends_no_run(monkeypatch):
    monkeypatch.setattr(lock, "BEAT_S", 0.05)

    class Away(Objects):
        away = False

        def read(self, name):
            if self.away:
                raise StoreFailed("It is away.")
            return super().read(name)

    place = Away()
    with lock.only_run(place) as still:
        place.away = True
        time.sleep(0.12)
        place.away = False
        before = place.read(lock.NAME)
        time.sleep(0.2)
        still()
        assert place.read(lock.NAME) != before
    assert place.read(lock.NAME) is None
