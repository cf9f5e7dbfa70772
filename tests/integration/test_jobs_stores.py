"""Where jobs are kept: the same steps on this machine's disk, in PostgreSQL and in Valkey; two cannot make one step."""

import logging
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import redis
from tests.partly import partly_slow

from aweigh.database.place import check_readable, private_folder, state_folder
from aweigh.errors import ConfigError, StorageDown, StorageFull
from aweigh.jobs import store as steps
from aweigh.jobs.job import MAX_ATTEMPTS, Failure, Job, Wish, ended, new_id
from aweigh.jobs.lease import Lease
from aweigh.jobs.local import Folder, storage
from aweigh.jobs.store import cancel, claim, has_work, let_go, open_store, remove, sweep

DIGEST = "d" * 64
OTHER = "e" * 64
DAY_S = 86_400.0


@pytest.fixture
def store(store):
    yield store
    for digest in (DIGEST, OTHER):
        for job, _ in list(store.records.to_do(digest)):
            remove(store, job.id)


def post(store, content=b"a,b\n1,2\n", **more) -> Job:
    now = store.records.now()
    made = {"model": "m", "digest": DIGEST, "source": "input.csv", "size_bytes": len(content), "created": now}
    made |= {"expires": now + DAY_S} | more
    job = Job(id=new_id(), state="queued", wish=Wish(output="csv"), **made)
    spool = store.spool()
    (spool / job.id).write_bytes(content)
    store.files.adopt(job.id, job.source, spool / job.id)
    store.leave(spool)
    return store.records.add(job)


def take(store, owner="me:1", **more):
    return claim(store, DIGEST, **{"owner": owner, "lease_s": 30.0, "ttl_s": DAY_S} | more)


def test_the_oldest_job_is_taken_first_and_only_once(store):
    first, second = post(store), post(store)
    assert has_work(store, DIGEST)
    taken = [take(store), take(store), take(store)]
    assert [one and one[0].id for one in taken] == [first.id, second.id, None]
    assert not has_work(store, DIGEST)
    job, revision = store.records.get(first.id)
    assert (job, revision) == taken[0]
    assert (job.state, job.attempts, job.owner, job.expires) == ("running", 1, "me:1", None)


def test_a_job_is_taken_by_one_of_many_who_want_it(store):
    posted = {post(store).id for _ in range(6)}
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda i: take(store, owner=f"me:{i}"), range(12)))
    assert sorted(one[0].id for one in taken if one) == sorted(posted)


def test_another_bundles_worker_does_not_take_it(store):
    post(store, digest=OTHER)
    assert take(store) is None
    assert not has_work(store, DIGEST)


def test_a_job_whose_worker_is_silent_is_taken_up_again_and_given_up_in_the_end(store):
    job = post(store)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert take(store, lease_s=0.0)[0].attempts == attempt
    assert take(store) is None
    failed, _ = store.records.get(job.id)
    assert (failed.state, failed.failure.code) == ("failed", "worker_lost")
    assert store.records.counts()["failed"] >= 1


def test_a_worker_that_is_known_to_be_gone_is_not_waited_for(store):
    post(store)
    take(store)
    assert take(store, owner="me:2") is None
    let_go(store, DIGEST, owner="me:1", ttl_s=DAY_S, blame=True)
    assert take(store, owner="me:2")[0].attempts == 2
    let_go(store, DIGEST, owner="me:2", ttl_s=DAY_S, blame=False)
    assert take(store, owner="me:3")[0].attempts == 2


@pytest.mark.parametrize("store", partly_slow("disk", slow=["postgres", "valkey"]), indirect=True)
def test_a_lease_is_renewed_tells_how_far_it_is_and_hears_that_it_is_lost(store):
    post(store)
    job, revision = take(store, lease_s=1.5)
    with Lease(store, job, revision, lease_s=1.5) as lease:
        lease.tell(3, 10, 1)
        time.sleep(1.8)
        assert take(store) is None
        found, _ = store.records.get(job.id)
        assert (found.rows, found.total, found.bad) == (3, 10, 1)
        assert cancel(store, job.id, ttl_s=DAY_S).state == "cancelled"
        end = time.monotonic() + 5
        while not lease.lost and time.monotonic() < end:
            time.sleep(0.02)
        assert lease.lost
        assert not lease.settle(lambda job: ended(job, "done", now=0.0, ttl_s=1.0))
    assert store.records.get(job.id)[0].state == "cancelled"


def test_only_one_of_two_workers_records_a_result(store):
    post(store)
    slow = Lease(store, *take(store, lease_s=0.0), lease_s=30.0)
    quick = Lease(store, *take(store, owner="me:2"), lease_s=30.0)
    results = {"slow": slow, "quick": quick}
    settled = {
        name: lease.settle(lambda job, name=name: ended(job, "done", now=1.0, ttl_s=DAY_S, result=name))
        for name, lease in results.items()
    }
    assert settled == {"slow": False, "quick": True}


def test_a_last_step_whose_answer_was_lost_counts_as_made(store):
    post(store)
    job, revision = take(store)
    made = Lease(store, job, revision, lease_s=30.0)
    again = Lease(store, job, revision, lease_s=30.0)

    def step(job):
        return ended(job, "done", now=5.0, ttl_s=DAY_S, result="r")

    assert made.settle(step)
    assert again.settle(step)


def test_a_key_makes_two_posts_one_until_the_job_ends_without_a_result(store):
    key = new_id()
    first = post(store, key=key)
    assert post(store, key=key).id == first.id
    assert cancel(store, first.id, ttl_s=DAY_S) is not None
    assert cancel(store, first.id, ttl_s=DAY_S) is None
    assert post(store, key=key).id != first.id


def test_files_come_back_byte_for_byte(store, tmp_path):
    content = os.urandom(2 * 2**20 + 17)
    job = post(store, content)
    assert store.files.fetch(job.id, "input.csv", tmp_path).read_bytes() == content
    read, at = b"", 0
    while piece := store.files.read(job.id, "input.csv", at, 300_000):
        read += piece
        at += len(piece)
    assert read == content
    assert store.files.read(job.id, "nothing", 0, 10) == b""
    store.files.remove(job.id, "input.csv")
    assert store.files.read(job.id, "input.csv", 0, 10) == b""


def test_what_has_run_out_is_removed_in_two_steps(store):
    waiting = post(store, expires=store.records.now() - 1)
    done = post(store)
    found, revision = store.records.get(done.id)
    assert store.records.replace(ended(found, "done", now=0.0, ttl_s=1.0, result="input.csv"), revision)
    sweep(store, ttl_s=-1.0)
    for one in (waiting, done):
        assert store.records.get(one.id)[0].state == "expired"
        assert store.files.read(one.id, "input.csv", 0, 10) == b""
    sweep(store, ttl_s=DAY_S)
    assert [store.records.get(one.id) for one in (waiting, done)] == [None, None]


def test_files_of_nobody_are_removed(store, monkeypatch):
    known, unknown = post(store), post(store)
    store.records.remove(unknown.id)
    monkeypatch.setattr(steps, "ORPHAN_S", -60.0)
    sweep(store, ttl_s=DAY_S)
    assert store.files.read(known.id, "input.csv", 0, 3) == b"a,b"
    assert store.files.read(unknown.id, "input.csv", 0, 3) == b""


def test_sums_outlive_the_jobs(store):
    before = store.records.tallies().get("rows", 0.0)
    store.records.tally("rows", 3)
    store.records.tally("rows", 1.5)
    assert store.records.tallies()["rows"] == before + 4.5


def test_a_record_of_another_version_is_read(store):
    """A field that this version does not know does no harm: servers of two versions share the store for a while."""
    document = msgspec.to_builtins(post(store)) | {"from_tomorrow": 1}
    assert msgspec.convert(document, Job).id == document["id"]


# -- this machine ----------------------------------------------------------------------------------------------------


def test_nobody_else_may_look_into_the_folder(tmp_path):
    store = open_store({}, state_dir=str(tmp_path / "deep" / "state"))
    job = post(store)
    for path in (tmp_path / "deep").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (tmp_path / "deep/state/jobs" / job.id / "input.csv").is_file()
    store.close()


def test_a_folder_that_others_write_to_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="others may write"):
        private_folder(tmp_path)
    tmp_path.chmod(0o700)


def test_a_folder_that_is_shut_to_who_runs_it_is_told_at_the_start():
    with tempfile.TemporaryDirectory() as name:  # the folders of the tests are shut to others themselves
        state = Path(name) / "state"
        state.mkdir(mode=0o700)
        check_readable(state)
        check_readable(state / "none")
        Path(name).chmod(0o755)
        user = os.geteuid()
        if user == 0:
            os.seteuid(12345)
        else:
            state.chmod(0)
        try:
            with pytest.raises(ConfigError, match="belongs to another user") as caught:
                check_readable(state)
        finally:
            os.seteuid(user)
            state.chmod(0o700)
    assert "AWEIGH_STATE_DIR" in caught.value.hint


def test_the_folder_is_the_users_own_or_a_temporary_one(tmp_path):
    home = {"HOME": str(tmp_path)}
    assert state_folder(home) == tmp_path / ".local/state/aweigh"
    assert state_folder(home | {"XDG_STATE_HOME": str(tmp_path / "x")}) == tmp_path / "x/aweigh"
    assert state_folder(home, named=str(tmp_path / "y")) == tmp_path / "y"
    for nowhere in ({}, {"HOME": "/"}):
        assert state_folder(nowhere).name == f"aweigh-{os.getuid()}"


def test_a_full_disk_and_a_broken_one_are_told_apart():
    with pytest.raises(StorageFull), storage():
        raise OSError(28, "No space left on device")
    with pytest.raises(StorageDown), storage():
        raise OSError(5, "Input/output error")


def test_old_uploads_are_removed_and_new_ones_left(tmp_path):
    folder = Folder(tmp_path / "jobs")
    folder.open()
    old, new = folder.spool / "old", folder.spool / "new"
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))
    assert folder.orphans(60.0) == []
    assert (old.exists(), new.exists()) == (False, True)


def test_a_damaged_file_of_records_is_told_as_such(tmp_path):
    (tmp_path / "jobs.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageDown):
        open_store({}, state_dir=str(tmp_path)).records.counts()


# -- databases that are not there ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environ", [{"DATABASE_URL": "postgres://127.0.0.1:1/x?connect_timeout=1"}, {"REDIS_URL": "redis://127.0.0.1:1"}]
)
def test_a_database_that_cannot_be_reached_is_told_as_such(environ, monkeypatch, tmp_path):
    monkeypatch.setattr("aweigh.database.postgres.PATIENCE_S", 1.0)
    store = open_store(environ, state_dir=str(tmp_path))
    with pytest.raises(StorageDown):
        store.records.get(new_id())
    store.close()


def test_valkey_without_room_is_told_as_such(valkey, tmp_path):
    store = open_store({"REDIS_URL": valkey.url}, state_dir=str(tmp_path))
    job = post(store)
    client = store.records._client
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StorageFull):
            post(store)
    finally:
        client.config_set("maxmemory", 0)
    remove(store, job.id)
    store.close()


def test_threads_share_a_store(store):
    """The server asks from several threads at once."""
    failed = []

    def ask():
        try:
            for _ in range(5):
                remove(store, post(store).id)
        except Exception as error:  # noqa: BLE001  collected for the test to see
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failed == []


def test_a_database_that_refuses_is_told_of_at_once(tmp_path):
    """A pool tries again for seconds: a request, a scrape and a stop would each wait for it."""
    store = open_store({"DATABASE_URL": "postgres://u:p@127.0.0.1:1/x"}, state_dir=str(tmp_path))
    begun = time.monotonic()
    for _ in range(10):
        with pytest.raises(StorageDown):
            store.records.get("0" * 26)
    assert time.monotonic() - begun < 5.0, "ten calls wait less than one of a pool's"


def test_a_redis_that_throws_away_is_told_of_once(valkey, caplog, tmp_path):
    client = redis.Redis.from_url(valkey.url)
    client.config_set("maxmemory", "64mb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        store = open_store({"REDIS_URL": valkey.url}, state_dir=str(tmp_path))
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                remove(store, post(store).id)
        store.close()
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "0")
        client.close()
    assert caplog.text.count("maxmemory-policy allkeys-lru") == 1


def test_nothing_of_a_removed_record_is_left_in_the_file(tmp_path):
    """A record may say of a cell what was wrong with it: when it is removed, so are the bytes."""
    store = open_store({}, state_dir=str(tmp_path))
    beside = open_store({}, state_dir=str(tmp_path))
    for i in range(30):
        job = post(store)
        taken, revision = take(store)
        failed = Failure(code="data", message=f"zqmarker {i} is no number " + "x" * 400)
        store.records.replace(ended(taken, "failed", now=store.records.now(), ttl_s=DAY_S, failure=failed), revision)
        assert beside.records.get(job.id) is not None
    held = b"".join(path.read_bytes() for path in tmp_path.glob("jobs.sqlite*"))
    assert b"zqmarker" in held
    for job, _ in store.records.overdue(store.records.now() + 2 * DAY_S):
        remove(store, job.id)
    held = b"".join(path.read_bytes() for path in tmp_path.glob("jobs.sqlite*"))
    assert b"zqmarker" not in held
    store.close()
    beside.close()
