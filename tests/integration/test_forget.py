"""`aweigh forget`: a person's rows leave every store, nothing else does, and the bytes are gone from the files."""

import gzip
import io
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet
import pytest
import redis
from tests.partly import partly_slow

from aweigh import registry
from aweigh.cli.demo import CHOICES, NUMBERS
from aweigh.data import penguins_path
from aweigh.jobs.edit import find_rows, without_rows
from aweigh.jobs.job import Failure, Job, Wish, ended, new_id
from aweigh.jobs.store import ORPHAN_S, claim, open_store, sweep
from aweigh.runtime.subject import Subject
from aweigh.secret import Secret

WHO = "zqmarker-7f3a91@example.org"
SUBJECT = Subject("email", Secret(WHO))
FRAME = pd.read_csv(penguins_path())[[*CHOICES, *NUMBERS]].head(60)
FRAME.insert(0, "email", [WHO if i % 20 == 7 else f"someone{i}@example.org" for i in range(60)])
WAIT_S = 60
OTHERS = FRAME[FRAME["email"] != WHO]


@pytest.fixture(params=partly_slow("disk", slow=["postgres", "valkey"]))
def environ(request, tmp_path):
    found = {"AWEIGH_STATE_DIR": str(tmp_path / "state"), "AWEIGH_DRAIN_DELAY_S": "0"}
    if request.param == "postgres":
        found["DATABASE_URL"] = request.getfixturevalue("postgres").replace("postgresql://", "postgres://")
    if request.param == "valkey":
        found["REDIS_URL"] = request.getfixturevalue("valkey").url
    return found


def forget(environ, *arguments, value=WHO):
    command = [sys.executable, "-m", "aweigh", "forget", "--column", "email", "--subject", value, "--json", *arguments]
    done = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, check=False, input=WHO)
    assert done.returncode in {0, 1}, done.stderr
    assert WHO not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def jobs_of(document):
    return next(one for one in document["stores"] if one["store"].startswith("jobs"))


def bytes_below(folder):
    """Return every byte of the files below a folder, those left out that go meanwhile."""
    found = b""
    for path in Path(folder).rglob("*"):
        with suppress(FileNotFoundError):
            found += path.read_bytes() if path.is_file() else b""
    return found


def whole(environ):
    """Return every byte that the store has on disk."""
    found = bytes_below(environ["AWEIGH_STATE_DIR"])
    if "DATABASE_URL" in environ:
        with psycopg.connect(environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            (folder,) = connection.execute("SHOW data_directory").fetchone()
        found += bytes_below(f"{folder}/base")
    if "REDIS_URL" in environ:
        with redis.Redis.from_url(environ["REDIS_URL"]) as client:
            end = time.monotonic() + WAIT_S
            while client.info("persistence")["aof_rewrite_in_progress"] and time.monotonic() < end:
                time.sleep(0.1)
            found += bytes_below(client.config_get("dir")["dir"])
    return found


def sent():
    """Return a file of each kind, with the content type and the kind of result."""
    wrong = FRAME.astype({"bill_length_mm": object})
    wrong.loc[[7, 9], "bill_length_mm"] = "long"
    parquet, arrow = io.BytesIO(), io.BytesIO()
    FRAME.to_parquet(parquet)
    table = pa.table(FRAME)
    with pa.ipc.new_stream(arrow, table.schema) as stream:
        stream.write_table(table)
    csv = FRAME.to_csv(index=False).encode()
    return {
        "csv": (csv, "text/csv"),
        "bad": (wrong.to_csv(index=False).encode(), "text/csv"),
        "jsonl": (FRAME.to_json(orient="records", lines=True).encode(), "application/x-ndjson"),
        "json": (FRAME.to_json(orient="records").encode(), "application/json"),
        "parquet": (parquet.getvalue(), "application/vnd.apache.parquet"),
        "arrow": (arrow.getvalue(), "application/vnd.apache.arrow.stream"),
        "gzip": (gzip.compress(csv), "text/csv"),
    }


def test_done_jobs_lose_a_persons_rows_and_nothing_else(environ, penguins, start_server):
    server = start_server(penguins.path, "--no-ui", env=environ)
    with server.client() as client:
        server.line("stop")
        jobs = {}
        for name, (content, media) in sent().items():
            reply = client.post("/v1/jobs?ignore_extra=true", content=content, headers={"Content-Type": media})
            assert reply.status_code == 202, reply.text
            jobs[name] = reply.json()["links"]
        before = {}
        for name, links in jobs.items():
            end = time.monotonic() + WAIT_S
            while (state := client.get(links["self"]).json())["state"] != "done":
                assert time.monotonic() < end, state
                time.sleep(0.1)
            before[name] = client.get(f"{links['self']}/result").content
            assert WHO.encode() in before[name] or name in {"parquet", "arrow"}
        # Of each kind three rows; of the bad one a line of why, too.
        code, told = forget(environ, "--dry-run")
        assert (code, jobs_of(told)["found"]) == (1, 3 * len(jobs) + 1)
        assert client.get(f"{jobs['csv']['self']}/result").content == before["csv"]
        code, told = forget(environ)
        assert (code, jobs_of(told)["found"], jobs_of(told)["left"]) == (0, 22, 0), told
        for name, links in jobs.items():
            after = client.get(f"{links['self']}/result")
            if name in {"csv", "bad", "gzip", "jsonl", "json"}:
                kept = [line for line in before[name].splitlines(keepends=True) if WHO.encode() not in line]
                assert after.content == b"".join(kept), name
            else:
                read = pa.parquet.read_table if name == "parquet" else lambda file: pa.ipc.open_file(file).read_all()
                old, new = (read(io.BytesIO(one)).to_pandas() for one in (before[name], after.content))
                pd.testing.assert_frame_equal(new, old[old["email"] != WHO].reset_index(drop=True))
            assert client.get(links["self"]).json()["progress"]["rows"] == len(OTHERS)
        bad = client.get(f"{jobs['bad']['self']}/bad").text.splitlines()
        assert [json.loads(line)["row"] for line in bad] == [9]
    server.stop()
    assert WHO.encode() not in whole(environ)


@pytest.mark.slow
def test_a_job_that_is_worked_on_is_taken_away_from_its_worker(tmp_path, penguins, start_server):
    environ = {"AWEIGH_STATE_DIR": str(tmp_path / "state"), "AWEIGH_DRAIN_DELAY_S": "0"}
    server = start_server(penguins.path, "--no-ui", env=environ)
    content = pd.concat([FRAME] * 5000, ignore_index=True).to_csv(index=False).encode()
    with server.client() as client:
        server.line("stop")
        reply = client.post("/v1/jobs?ignore_extra=true", content=content, headers={"Content-Type": "text/csv"})
        link = reply.json()["links"]["self"]
        end = time.monotonic() + WAIT_S
        while client.get(link).json()["progress"]["rows"] == 0:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert client.get(link).json()["state"] == "running"
        code, told = forget(environ)
        assert (code, jobs_of(told)["left"]) == (0, 0), told
        after = client.get(link)
        # Where it was finished just before, it has lost the rows instead.
        assert after.status_code == 404 or after.json()["state"] == "done"
    server.stop()
    assert WHO.encode() not in bytes_below(tmp_path)


def post(store, content, name, **more):
    now = store.records.now()
    made = {"model": "m", "digest": "d" * 64, "source": name, "size_bytes": len(content), "created": now}
    job = Job(id=new_id(), state="queued", wish=Wish(output="csv"), expires=now + 9e5, key=new_id(), **made | more)
    spool = store.spool()
    (spool / job.id).write_bytes(content)
    store.files.adopt(job.id, job.source, spool / job.id)
    store.leave(spool)
    return store.records.add(job)


@pytest.fixture
def store(environ):
    opened = open_store(environ, state_dir=environ["AWEIGH_STATE_DIR"])
    yield opened
    for job, _ in opened.records.all():
        opened.records.remove(job.id)
        opened.files.drop(job.id)
    opened.close()


def content_of(store, job, tmp_path):
    return store.files.fetch(job.id, job.source, tmp_path).read_bytes()


def test_a_job_that_waits_loses_the_rows_and_one_that_cannot_be_edited_goes(store, environ, tmp_path):
    files = sent()
    waiting = {
        "csv": post(store, files["csv"][0], "input.csv"),
        "jsonl": post(store, files["jsonl"][0], "input.jsonl"),
        "json": post(store, files["json"][0], "input.json"),
        "parquet": post(store, files["parquet"][0], "input.parquet"),
        "arrow": post(store, files["arrow"][0], "input.arrow"),
    }
    other = post(store, OTHERS.to_csv(index=False).encode(), "input.csv")
    packed = post(store, files["gzip"][0], "input.csv")
    cut = post(store, files["parquet"][0][:-30], "input.parquet")
    code, told = forget(environ)
    assert (code, jobs_of(told)["left"]) == (0, 0)
    assert any("2 jobs were removed as a whole" in note for note in jobs_of(told)["notes"])
    assert store.records.get(packed.id) is None
    assert store.records.get(cut.id) is None
    assert store.files.names(packed.id) == store.files.names(cut.id) == []
    for name, job in waiting.items():
        after = store.records.get(job.id)[0]
        assert (after.state, after.key) == ("queued", None)
        assert store.files.names(job.id) == [after.source]
        path = tmp_path / f"x{after.source}"
        path.write_bytes(content_of(store, after, tmp_path))
        assert after.size_bytes == path.stat().st_size
        assert find_rows(path, Subject("email", Secret("someone3@example.org")), wish=job.wish).rows == len(OTHERS), (
            name
        )
    assert content_of(store, store.records.get(other.id)[0], tmp_path) == OTHERS.to_csv(index=False).encode()
    assert store.records.get(other.id)[0].key == other.key


def test_a_job_that_failed_on_the_value_and_files_of_nobody_go(store, environ):
    job = post(store, b"a\n1\n", "input.csv")
    taken, revision = claim(store, "d" * 64, owner="me:1", lease_s=30.0, ttl_s=9e5)
    failure = Failure(code="data", message=f"{WHO} is no number")
    store.records.replace(ended(taken, "failed", now=store.records.now(), ttl_s=9e5, failure=failure), revision)
    spool = store.spool()
    (spool / "x").write_bytes(WHO.encode())
    store.files.adopt(new_id(), "result-1", spool / "x")
    store.leave(spool)
    code, told = forget(environ)
    assert (code, jobs_of(told)["found"], jobs_of(told)["erased"], jobs_of(told)["left"]) == (0, 2, 2, 0)
    assert store.records.get(job.id) is None


def test_an_upload_on_its_way_is_told_and_left(tmp_path):
    environ = {"AWEIGH_STATE_DIR": str(tmp_path)}
    store = open_store({}, state_dir=str(tmp_path))
    store.records.counts()
    path = store.spool() / "in-1.csv"
    path.write_bytes(f"email\n{WHO}\n".encode())
    code, told = forget(environ)
    assert (code, jobs_of(told)["left"]) == (1, 1)
    os.utime(path, (time.time() - 3600,) * 2)
    assert forget(environ)[0] == 0
    assert not path.exists()
    store.close()


COPIES = "copies of files of jobs on this machine"


@pytest.mark.slow
@pytest.mark.parametrize("environ", ["postgres", "valkey"], indirect=True)
def test_a_copy_that_a_killed_worker_has_left_is_found_and_goes(store, environ, tmp_path):
    state = tmp_path / "state"
    store.records.counts()
    spool = store.spool()
    assert state in spool.parents
    assert (spool.parent.stat().st_mode & 0o777, spool.stat().st_mode & 0o777) == (0o700, 0o700)
    (spool / f"{new_id()}.input.parquet").write_bytes(sent()["parquet"][0])
    (spool / f"{new_id()}.bad-1").write_bytes(json.dumps({"row": 1, "values": {"email": WHO}}).encode())
    (spool / f"{new_id()}.input.csv").write_bytes(OTHERS.assign(note=WHO).to_csv(index=False).encode())
    code, told = forget(environ, "--dry-run")
    found = next(one for one in told["stores"] if one["store"] == COPIES)
    assert (code, found["found"]) == (1, 2)
    for path in (spool, *spool.iterdir()):
        os.utime(path, (time.time() - 3600,) * 2)
    code, told = forget(environ)
    found = next(one for one in told["stores"] if one["store"] == COPIES)
    assert (code, found["found"], found["erased"], found["left"]) == (0, 2, 2, 0)
    assert len(list(spool.iterdir())) == 1, "a file with the value in another column is nobody's business"
    assert list(spool.parent.iterdir()) == [spool], "what forget itself has copied is gone"


@pytest.mark.parametrize("environ", partly_slow("valkey", slow=["postgres"]), indirect=True)
def test_copies_that_nobody_writes_any_more_are_swept_away(store):
    old, used = store.spool(), store.spool()
    for spool in (old, used):
        (spool / "x.input.csv").write_bytes(b"a\n1\n")
    for path in (old, used, old / "x.input.csv", used / "x.input.csv"):
        os.utime(path, (time.time() - ORPHAN_S - 60,) * 2)
    (used / "x.result").write_bytes(b"still written")
    sweep(store, ttl_s=9e5)
    assert not old.exists()
    assert (used / "x.input.csv").exists()


def test_nobody_is_found_where_there_is_nothing_and_nothing_is_made(tmp_path):
    environ = {"AWEIGH_STATE_DIR": str(tmp_path / "state")}
    assert forget(environ, "--dry-run")[0] == 0
    assert not (tmp_path / "state").exists()
    code, told = forget(environ, value="-")
    assert (code, told["left"]) == (0, 0)


def test_known_answers_are_let_go_of_by_a_running_server_and_in_the_redis(penguins, start_server, tmp_path, valkey):
    environ = {"AWEIGH_STATE_DIR": str(tmp_path), "AWEIGH_CACHE_BYTES": "100000", "REDIS_URL": valkey.url}
    server = start_server(penguins.path, "--no-ui", env=environ | {"AWEIGH_JOBS": "off"})
    row = FRAME.drop(columns="email").iloc[0].to_dict()
    with server.client() as client, redis.Redis.from_url(valkey.url) as shared:
        server.line("stop")

        def asked():
            return client.post("/v1/predict", json={"rows": [row]}).headers["server-timing"]

        asked()
        assert "hit" in asked()
        end = time.monotonic() + WAIT_S
        while not list(shared.scan_iter("aweigh:answer:*")):
            assert time.monotonic() < end
            time.sleep(0.05)
        code, told = forget(environ)
        answers = next(one for one in told["stores"] if one["store"] == "answers in Redis")
        assert (code, answers["left"]) == (0, 0)
        assert answers["erased"] >= 1
        assert list(shared.scan_iter("aweigh:answer:*")) == []
        time.sleep(1.2)
        assert "miss" in asked()
        assert "hit" in asked()


def test_every_store_is_registered_in_one_place(tmp_path, valkey):
    found = [
        keeper.name
        for module in registry.keepers()
        for keeper in module.open_keepers({"REDIS_URL": valkey.url}, state=tmp_path)
    ]
    assert found == ["jobs in Redis", "answers in Redis", "answers in server processes"]


# -- files -----------------------------------------------------------------------------------------------------------

CSVS = {
    "quotes": b'id,email\n1,"a,b"\n2,"%s"\n3,"line one\nline two"\n4,c\n',
    "quoted lines around": b'email,t\n"%s","one\ntwo"\na,"three\nfour"\n"%s",x\nb,y\n',
    "windows lines": b"email,t\r\n%s,1\r\na,2\r\n",
    "semicolons": b"t;email\n1;a\n2;%s\n",
    "no last line end": b"email\na\n%s",
    "byte-order mark": b"\xef\xbb\xbfemail,t\na,1\n%s,2\n",
    "blank lines": b"email,t\n\na,1\n\n%s,2\n\nb,3\n",
    "only theirs": b"email,t\n%s,1\n%s,2\n",
    "ragged": b"email,t\na,1\n%s\nb,2,3\nc,4\n",
    "capitals and spaces": b"Email ,t\n ZQMARKER-7F3A91@example.ORG ,1\na,2\n",
}


@pytest.mark.parametrize("name", CSVS)
def test_a_csv_keeps_every_other_byte(tmp_path, name):
    given = CSVS[name].replace(b"%s", WHO.encode())
    (tmp_path / "in.csv").write_bytes(given)
    wish = Wish(output="csv")
    theirs = find_rows(tmp_path / "in.csv", SUBJECT, wish=wish)
    assert theirs.places
    assert without_rows(tmp_path / "in.csv", tmp_path / "out.csv", theirs, SUBJECT, wish=wish)
    kept = (tmp_path / "out.csv").read_bytes()
    assert WHO.encode() not in kept.lower()
    rest = given
    for line in [one for one in given.split(b"\n") if WHO.encode() in one.lower()]:
        rest = rest.replace(line + b"\n", b"").replace(line, b"")
    # Of a row that goes, all its lines go, and the blank ones behind it.
    odd = {"quoted lines around": b'email,t\na,"three\nfour"\nb,y\n', "blank lines": b"email,t\n\na,1\n\nb,3\n"}
    rest = odd.get(name, rest)
    assert kept == rest


@pytest.mark.parametrize(
    ("value", "cell", "same"),
    [
        ("42", 42, True), ("42.0", 42, True), ("42", "042", False), ("007", 7, False), ("007", "007", True),
        ("ana", "ANA ", True), ("ana", "anna", False),
        ("1961-05-17", pd.Timestamp("1961-05-17").to_pydatetime(), True), ("1", True, False), ("x", None, False),
        ("nan", float("nan"), True), ("1e3", 1000, True), ("1e3", "1000.0", True), (".5", "0.50", True),
        ("12345678901234567", 12345678901234568, False), ("12345678901234567", "12345678901234569", False),
        ("12345678901234567", float(12345678901234567), True), ("1001", "10_01", False), ("10_01", 1001, False),
        ("0", "-0.0", True), ("1e999999999", "1e999999998", False), (".", ".0", False),
        ("+49 30 1234", "'+49 30 1234", True), ("ana", "banana", False),
    ],
)  # fmt: skip
def test_a_cell_is_a_persons_when_it_says_the_same(value, cell, same):
    assert Subject("a", Secret(value)).is_in(cell) == same
    assert value not in repr(Subject("a", Secret(value)))
