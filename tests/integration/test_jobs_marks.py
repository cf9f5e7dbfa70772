"""A job that is taken up again goes on behind its last mark, and its result is the very file of one run."""

import io
import threading
from dataclasses import replace

import msgspec
import pandas as pd
import pytest
from tests.partly import partly_slow

from aweigh import load
from aweigh.cli.demo import CHOICES, NUMBERS
from aweigh.data import penguins_path
from aweigh.errors import StorageDown
from aweigh.jobs import attempt
from aweigh.jobs.job import MAX_ATTEMPTS, Job, Wish, new_id
from aweigh.jobs.run import run
from aweigh.jobs.store import claim, open_store, remove
from aweigh.runtime.score import CHUNK_ROWS, ScoreOptions, score

FRAME = pd.read_csv(penguins_path())[[*CHOICES, *NUMBERS]]
PARTS = 6
DAY_S = 86_400.0


class Killed(BaseException):
    """Stands for the death of a worker: nobody catches it."""


class Dying:
    """A predictor that counts the rows it is asked for, and takes its worker with it at the so manieth part."""

    def __init__(self, predictor, *, dies_at: int | None = None, stop: threading.Event | None = None) -> None:
        self._predictor = predictor
        self._left = dies_at
        self._stop = stop
        self.rows = 0

    def __getattr__(self, name):
        return getattr(self._predictor, name)

    def predict(self, table):
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                if self._stop is None:
                    raise Killed
                self._stop.set()
        self.rows += table.rows
        return self._predictor.predict(table)


class Away:
    """The files of a store that cannot be reached the first so many times."""

    def __init__(self, files, *, times: int) -> None:
        self._files = files
        self._left = times

    def __getattr__(self, name):
        return getattr(self._files, name)

    def fetch(self, *what):
        self._left -= 1
        if self._left >= 0:
            raise StorageDown("It is away.")
        return self._files.fetch(*what)


@pytest.fixture(scope="module")
def predictor(penguins):
    return load(penguins.path).predictor


@pytest.fixture(autouse=True)
def mark_after_each_part(monkeypatch):
    monkeypatch.setattr(attempt, "MARK_S", 0.0)
    monkeypatch.setattr(attempt, "MARK_SHARE", 1e9)


@pytest.fixture(scope="module")
def content():
    """Return a CSV of six parts, with rows that are bad in the first and in the last."""
    rows = pd.concat([FRAME] * (PARTS * CHUNK_ROWS // len(FRAME)), ignore_index=True).astype({"bill_length_mm": object})
    rows.loc[[3, len(rows) - 2], "bill_length_mm"] = "long"
    return rows.to_csv(index=False).encode()


def post(store, content, output) -> Job:
    now = store.records.now()
    job = Job(
        id=new_id(), state="queued", model="m", digest="", source="input.csv", size_bytes=len(content),
        wish=Wish(output=output), created=now, expires=now + DAY_S,
    )  # fmt: skip
    job = msgspec.structs.replace(job, digest=job.id * 2)  # nobody else's job is taken
    spool = store.spool()
    (spool / job.id).write_bytes(content)
    store.files.adopt(job.id, job.source, spool / job.id)
    store.leave(spool)
    return store.records.add(job)


def attempt_at(store, job, predictor, *, stop=None):
    while (taken := claim(store, job.digest, owner="me", lease_s=0.0, ttl_s=DAY_S)) is None:
        end_lease(store, job)
    return run(store, predictor, taken, lease_s=30.0, ttl_s=DAY_S, stop=stop or threading.Event())


def die_in(store, job, predictor, part):
    """Let a worker die in the so manieth part that it is asked for; the mark that it leaves."""
    with pytest.raises(Killed):
        attempt_at(store, job, Dying(predictor, dies_at=part))
    end_lease(store, job)
    return store.records.get(job.id)[0].mark


def end_lease(store, job):
    found, revision = store.records.get(job.id)
    assert found.state == "running"
    store.records.replace(msgspec.structs.replace(found, until=0.0), revision)


def read(store, job, name):
    read, at = b"", 0
    while piece := store.files.read(job.id, name, at, 2**20):
        read += piece
        at += len(piece)
    return read


@pytest.fixture(scope="module", params=partly_slow("csv", slow=["parquet", "jsonl", "arrow"]))
def expected(request, predictor, content, tmp_path_factory):
    """Return a kind of file, and what one run makes of the rows: the answers and what is told of bad rows."""
    folder = tmp_path_factory.mktemp("once")
    source, out, bad = folder / "in.csv", folder / "out", folder / "bad"
    source.write_bytes(content)
    score(predictor, source, out, options=ScoreOptions(kind=request.param, bad_path=bad))
    return request.param, out.read_bytes(), bad.read_bytes()


def assert_done(store, job, expected):
    done, _ = store.records.get(job.id)
    assert (done.state, done.bad, done.problems, done.mark) == ("done", 2, {"wrong_type": 2}, None)
    assert (read(store, job, done.result), read(store, job, done.told)) == expected[1:]
    assert (done.result_bytes, done.told_bytes) == tuple(map(len, expected[1:]))


def test_a_job_goes_on_behind_its_last_mark(store, predictor, content, expected):
    job = post(store, content, expected[0])
    first = die_in(store, job, predictor, 3)
    assert (first.rows > CHUNK_ROWS, first.bad) == (True, 1)
    found, _ = store.records.get(job.id)
    assert (found.rows, found.bad) == (first.rows, 1)
    second = die_in(store, job, predictor, 2)
    assert second.rows > first.rows
    assert read(store, job, first.kept) == b"", "what nobody goes on with is removed"
    # Bytes that were stored when the worker died, before it could record them: they are not gone on with.
    spool = store.spool()
    (spool / "more").write_bytes(read(store, job, second.kept) + b"half a row" * 1000)
    store.files.adopt(job.id, second.kept, spool / "more")
    store.leave(spool)
    counting = Dying(predictor)
    assert attempt_at(store, job, counting) == "done"
    assert_done(store, job, expected)
    assert counting.rows == content.count(b"\n") - 1 - second.rows - 1, "the model was asked again for what was done"
    for name in (job.source, second.kept, second.told):
        assert read(store, job, name) == b""
    remove(store, job.id)


def test_a_worker_that_stops_loses_nothing(store, predictor, content):
    job = post(store, content, "csv")
    stop = threading.Event()
    assert attempt_at(store, job, Dying(predictor, dies_at=2, stop=stop), stop=stop) == "given back"
    found, _ = store.records.get(job.id)
    assert (found.state, found.attempts, found.rows) == ("queued", 0, found.mark.rows)
    assert found.mark.rows > CHUNK_ROWS
    counting = Dying(predictor)
    assert attempt_at(store, job, counting) == "done"
    assert counting.rows == content.count(b"\n") - 1 - found.mark.rows - 1
    remove(store, job.id)


def test_a_worker_that_stops_at_a_file_without_rows_leaves_no_half_of_it(store, predictor, expected, tmp_path):
    content = FRAME.head(0).to_csv(index=False).encode()
    (tmp_path / "in.csv").write_bytes(content)
    score(predictor, tmp_path / "in.csv", tmp_path / "out", options=ScoreOptions(kind=expected[0]))
    job = post(store, content, expected[0])
    stop = threading.Event()
    stop.set()
    assert attempt_at(store, job, predictor, stop=stop) == "given back"
    assert attempt_at(store, job, predictor) == "done"
    done, _ = store.records.get(job.id)
    assert read(store, job, done.result) == (tmp_path / "out").read_bytes()
    remove(store, job.id)


@pytest.mark.parametrize("what", partly_slow("gone", "of other parts", slow=["by another version", "too short"]))
def test_a_mark_that_does_not_fit_is_not_gone_on_with(what, store, predictor, content, expected):
    job = post(store, content, expected[0])
    mark = die_in(store, job, predictor, 3)
    if what == "gone":
        store.files.remove(job.id, mark.kept)
    else:
        other = {
            "by another version": {"by": "0.0.1"}, "too short": {"kept_bytes": mark.kept_bytes + 10**7},
            "of other parts": {"rows": mark.rows - 1},
        }[what]  # fmt: skip
        found, revision = store.records.get(job.id)
        assert store.records.replace(
            msgspec.structs.replace(found, mark=msgspec.structs.replace(mark, **other)), revision
        )
    counting = Dying(predictor)
    assert attempt_at(store, job, counting) == "done"
    assert counting.rows == content.count(b"\n") - 1 - 2
    assert_done(store, job, expected)
    remove(store, job.id)


def test_a_job_that_comes_further_each_time_is_not_given_up(store, predictor, content):
    """Each worker dies in its second part: what counts is how often nothing lasting was done."""
    job = post(store, content, "csv")
    marks = [die_in(store, job, predictor, 2).rows for _ in range(MAX_ATTEMPTS + 1)]
    assert marks == sorted(set(marks))
    for _ in range(MAX_ATTEMPTS):
        die_in(store, job, predictor, 1)
    assert claim(store, job.digest, owner="me", lease_s=0.0, ttl_s=DAY_S) is None
    assert store.records.get(job.id)[0].failure.code == "worker_lost"
    remove(store, job.id)


def test_a_worker_that_has_lost_its_job_leaves_what_another_goes_on_with(store, predictor, content):
    """The slow one wakes up when another has gone on behind its mark, and removes only what nobody needs."""
    job = post(store, content, "csv")
    claimed = claim(store, job.digest, owner="slow", lease_s=0.0, ttl_s=DAY_S)

    class Slow(Dying):
        def predict(self, table):
            if self.rows > CHUNK_ROWS:
                die_in(store, job, self._predictor, 1)
                self._left = None
            return super().predict(table)

    slow = Slow(predictor)
    assert run(store, slow, claimed, lease_s=0.3, ttl_s=DAY_S, stop=threading.Event()) == "lost"
    assert attempt_at(store, job, Dying(predictor)) == "done"
    done, _ = store.records.get(job.id)
    out = io.BytesIO(read(store, job, done.result))
    assert len(pd.read_csv(out)) == content.count(b"\n") - 1
    remove(store, job.id)


@pytest.mark.slow
def test_an_outage_of_the_store_is_no_work_of_the_job(predictor, tmp_path):
    store = open_store({}, state_dir=str(tmp_path / "state"))
    job = post(store, FRAME.to_csv(index=False).encode(), "csv")
    taken = claim(store, job.digest, owner="me", lease_s=30.0, ttl_s=DAY_S)
    limits = attempt.Limits(seconds=2 * attempt.RETRY_S)
    away = replace(store, files=Away(store.files, times=3))
    assert run(away, predictor, taken, lease_s=30.0, ttl_s=DAY_S, stop=threading.Event(), limits=limits) == "done"
    assert store.records.get(job.id)[0].seconds < 2 * attempt.RETRY_S
    store.close()
