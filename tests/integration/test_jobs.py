"""``/v1/jobs`` of real servers and workers: from the file to the result, and through all that may come between."""

import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from tests.partly import partly_slow

from aweigh.cli.demo import CHOICES, NUMBERS
from aweigh.data import penguins_path
from aweigh.jobs.job import Mark
from aweigh.jobs.store import open_store

FRAME = pd.read_csv(penguins_path())[[*CHOICES, *NUMBERS]]
CSV = {"Content-Type": "text/csv"}
WAIT_S = 60.0
SOON = {"AWEIGH_JOBS_LEASE_S": "1", "AWEIGH_DRAIN_DELAY_S": "0"}


def csv_of(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


BIG = csv_of(pd.concat([FRAME] * 600, ignore_index=True))
"""Enough to be in the middle of: some seconds, a part taking less than a tenth of one."""
LONG = csv_of(pd.concat([FRAME] * 1800, ignore_index=True))
"""Enough for a mark in the middle."""


def post(client: httpx.Client, content: bytes, headers=CSV, query="", status=202) -> dict:
    reply = client.post(f"/v1/jobs{query}", content=content, headers=headers)
    assert reply.status_code == status, reply.text
    if status == 202:
        assert reply.headers["location"] == reply.json()["links"]["self"]
    return reply.json()


def look(client: httpx.Client, job: dict) -> dict:
    reply = client.get(job["links"]["self"])
    assert reply.status_code == 200, reply.text
    return reply.json()


def until(client: httpx.Client, job: dict, *states: str, rows: int = 0, attempts: int = 0) -> dict:
    """Return the job when it is in one of the states, so many rows are done, and it has been tried so often."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        found = look(client, job)
        if found["state"] in states and found["progress"]["rows"] >= rows and found["attempts"] >= attempts:
            return found
        assert found["state"] in {"queued", "running"}, found
        time.sleep(0.05)
    pytest.fail(f"the job is still {found}", pytrace=False)


def direct(bundle: Path, content: bytes, folder: Path, name="in.csv", out="out.csv") -> bytes:
    """Return what `aweigh predict` makes of the same file."""
    (folder / name).write_bytes(content)
    arguments = ["predict", bundle, folder / name, "-o", folder / out, "--force"]
    done = subprocess.run(
        [sys.executable, "-m", "aweigh", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return (folder / out).read_bytes()


@pytest.fixture(scope="module")
def big_result(penguins, tmp_path_factory):
    return direct(penguins.path, BIG, tmp_path_factory.mktemp("direct"))


class Working:
    """`aweigh worker` with this environment, until it is stopped."""

    def __init__(self, bundle: Path, env: dict[str, str], log: Path, *arguments: str) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "aweigh", "worker", str(bundle), *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | env,
            )

    def health(self) -> httpx.Client:
        """Return a client of its health address, when it is there."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            found = re.search(r"http://[\d.]+:(\d+)/health/ready", self.log.read_text())
            if found:
                return httpx.Client(base_url=f"http://127.0.0.1:{found[1]}", timeout=WAIT_S)
            time.sleep(0.05)
        pytest.fail(self.log.read_text(), pytrace=False)

    def stop(self, sent: int = signal.SIGTERM) -> int:
        self.process.send_signal(sent)
        return self.process.wait(WAIT_S)


@pytest.fixture
def start_worker(tmp_path):
    running = []

    def start(bundle: Path, env: dict[str, str], *arguments: str) -> Working:
        running.append(Working(bundle, env, tmp_path / f"worker-{len(running)}.log", *arguments))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.stop()


@pytest.fixture(scope="module")
def server(start_server, penguins, tmp_path_factory):
    """Return a server that runs its jobs itself."""
    env = SOON | {"AWEIGH_JOBS_MAX_BYTES": str(10 * 2**20), "AWEIGH_STATE_DIR": str(tmp_path_factory.mktemp("state"))}
    found = start_server(penguins.path, "--no-ui", env=env)
    found.state = Path(env["AWEIGH_STATE_DIR"])
    return found


@pytest.fixture
def client(server):
    with server.client() as found:
        yield found


def worker_of(server) -> psutil.Process:
    """Return the worker beside a server, waiting until there is one."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        for one in psutil.Process(server.process.pid).children(recursive=True):
            if "worker" in one.cmdline():
                return one
        time.sleep(0.02)
    pytest.fail("the server has started no worker", pytrace=False)


# -- from the file to the result -------------------------------------------------------------------------------------


def test_a_file_becomes_the_very_file_that_predict_writes(client, server, penguins, tmp_path):
    spoilt = FRAME.astype(object)
    spoilt.loc[3, "bill_length_mm"] = "long"
    content = csv_of(spoilt)
    job = post(client, content)
    assert (job["state"], job["model"]["name"]) == ("queued", "penguins")
    done = until(client, job, "done")
    assert done["rows"] == {"answered": len(FRAME) - 1, "bad": 1, "problems": {"wrong_type": 1}}
    assert done["progress"] == {"rows": len(FRAME), "total": len(FRAME), "share": 1.0, "bad": 1}
    assert done["created"] <= done["started"] <= done["finished"] < done["expires"]
    reply = client.get(done["links"]["result"])
    assert reply.content == direct(penguins.path, content, tmp_path)
    assert int(reply.headers["content-length"]) == len(reply.content)
    assert reply.headers["content-type"].startswith("text/csv")
    assert re.fullmatch(r'attachment; filename="penguins-[0-9a-f]{8}\.csv"', reply.headers["content-disposition"])
    bad = client.get(done["links"]["bad"])
    assert bad.content == (tmp_path / "out.csv.bad.jsonl").read_bytes()
    assert bad.headers["content-type"] == "application/x-ndjson"
    assert client.head(done["links"]["result"]).headers["content-length"] == str(len(reply.content))
    assert worker_of(server).nice() == 10


def test_a_result_comes_in_ranges(client):
    done = until(client, post(client, csv_of(FRAME)), "done")
    address = done["links"]["result"]
    whole = client.get(address)
    size, etag = len(whole.content), whole.headers["etag"]
    for said, start, end in ((b"bytes=0-9", 0, 10), (b"bytes=100-", 100, size), (b"bytes=-5", size - 5, size)):
        reply = client.get(address, headers={"Range": said, "If-Range": etag})
        assert (reply.status_code, reply.content) == (206, whole.content[start:end])
        assert reply.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    for headers in ({"Range": "bytes=5-2"}, {"Range": "lines=1-2"}, {"Range": "bytes=0-1", "If-Range": '"other"'}):
        assert client.get(address, headers=headers).status_code == 200
    beyond = client.get(address, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "unsatisfiable_range")
    assert beyond.headers["content-range"] == f"bytes */{size}"


def test_files_of_all_kinds_are_read_and_written(client):
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    parquet, arrow = io.BytesIO(), io.BytesIO()
    pa.parquet.write_table(table, parquet)
    pa.feather.write_feather(table, arrow)
    lines = FRAME.to_json(orient="records", lines=True).encode()
    sent = {
        "application/vnd.apache.parquet": parquet.getvalue(),
        "application/vnd.apache.arrow.file": arrow.getvalue(),
        "application/x-ndjson": lines,
        "application/json": b'{"rows": [%b]}' % b",".join(lines.splitlines()),
        "application/gzip": gzip.compress(lines),
        "application/octet-stream": parquet.getvalue(),
    }
    jobs = {kind: post(client, content, {"Content-Type": kind}) for kind, content in sent.items()}
    asked = {one: post(client, csv_of(FRAME), query=f"?output={one}&answers_only=true") for one in ("parquet", "jsonl")}
    assert [job["output"] for job in jobs.values()] == ["parquet", "arrow", "jsonl", "jsonl", "jsonl", "parquet"]
    labels = []
    for job in (*jobs.values(), *asked.values()):
        done = until(client, job, "done")
        content = io.BytesIO(client.get(done["links"]["result"]).content)
        read = {
            "parquet": pd.read_parquet,
            "arrow": pd.read_feather,
            "jsonl": lambda one: pd.read_json(one, lines=True),
        }
        labels.append(read[done["output"]](content)["species"].astype(str).tolist())
    assert len(labels[0]) == len(FRAME)
    assert all(one == labels[0] for one in labels)


def test_the_same_key_and_file_are_the_same_job(client):
    content = csv_of(FRAME.head(3))
    headers = CSV | {"Idempotency-Key": "3 rows"}
    first = post(client, content, headers)
    assert post(client, content, headers)["id"] == first["id"]
    assert post(client, csv_of(FRAME.head(4)), headers)["id"] != first["id"]
    assert post(client, content, headers, "?output=jsonl")["id"] != first["id"]
    assert post(client, content)["id"] != first["id"]


# -- what cannot be ------------------------------------------------------------------------------------------------


def parquet_of(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    pa.parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), file)
    return file.getvalue()


PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
CASES = {
    "An empty file": (b"", CSV, ""),
    "HDF5 said to be CSV": (b"\x89HDF\r\n\x1a\n", CSV, ""),
    "A zip archive or a workbook": (b"PK\x03\x04....", {"Content-Type": "application/octet-stream"}, ""),
    "Columns that are none of the model's": (b"a,b\n1,2\n", CSV, ""),
    "One column more than the model has": (csv_of(FRAME.assign(extra=1)), CSV, ""),
    "A required column is not there": (csv_of(FRAME.drop(columns="island")), CSV, ""),
    "Parquet without a required column": (parquet_of(FRAME.drop(columns="island")), PARQUET, ""),
    "Parquet with text in place of a number": (parquet_of(FRAME.astype({"body_mass_g": str})), PARQUET, ""),
    "Parquet cut short": (parquet_of(FRAME)[:-9], PARQUET, ""),
    "A gzip file cut short": (gzip.compress(csv_of(FRAME))[:40], CSV, ""),
    "JSON that is no table": (b'{"rows": 5}', {"Content-Type": "application/json"}, ""),
    "CSV said to be JSON lines": (csv_of(FRAME), {"Content-Type": "application/x-ndjson"}, ""),
    "A file type that is not read": (csv_of(FRAME), {"Content-Type": "text/html"}, ""),
    "No type at all": (csv_of(FRAME), {}, ""),
    "`Content-Encoding: br`": (csv_of(FRAME), CSV | {"Content-Encoding": "br"}, ""),
    "A key of 300 characters": (csv_of(FRAME), CSV | {"Idempotency-Key": "k" * 300}, ""),
    "An output that is not written": (csv_of(FRAME), CSV, "?output=xlsx"),
    "A parameter that there is none of": (csv_of(FRAME), CSV, "?colour=red"),
    "A delimiter of two characters": (csv_of(FRAME), CSV, "?delimiter=ab"),
    "A column to keep that the file does not have": (csv_of(FRAME), CSV, "?keep=nothing"),
    "Columns to keep and none to keep": (csv_of(FRAME), CSV, "?keep=sex&answers_only=true"),
    "A flag that is neither true nor false": (csv_of(FRAME), CSV, "?ignore_extra=perhaps"),
    "A query that is not UTF-8": (csv_of(FRAME), CSV, "?keep=%ff"),
    "A file over the limit": (BIG * 2, CSV, ""),
}
PAGE = (Path(__file__).parents[2] / "docs/reference/errors.md").read_text(encoding="utf-8").partition("## Jobs")[2]
TABLE_ROW = re.compile(r"^\| (.+?) \| (\d{3}) \| `(\w+)` \|$", re.MULTILINE)
TOLD = {name: (int(status), code) for name, status, code in TABLE_ROW.findall(PAGE)}


def test_the_page_of_bad_input_tells_of_every_case():
    assert TOLD.keys() == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_what_can_be_seen_at_once_is_refused_at_once(name, client, server):
    (content, headers, query), (status, code) = CASES[name], TOLD[name]
    problem = post(client, content, headers, query, status)
    assert (problem["code"], problem["status"]) == (code, status)
    assert "--" not in problem.get("hint", ""), "a hint for the command line"
    assert str(server.state) not in json.dumps(problem)
    assert list((server.state / "jobs").glob("incoming/in-*")) == []


def test_a_body_without_its_length_is_bounded_as_well(client, server):
    reply = client.post("/v1/jobs", content=(BIG[: 2**20] for _ in range(60)), headers=CSV)
    assert (reply.status_code, reply.json()["code"]) == (413, "too_large")
    assert list((server.state / "jobs").glob("incoming/in-*")) == []


def test_what_shows_later_fails_the_job_with_the_problem_that_predict_tells(client):
    torn = csv_of(FRAME) + b'"' + b"x" * 70_000_0
    late = FRAME.to_json(orient="records", lines=True).encode()
    lines = [*late.splitlines()[:150], b"[1]"]
    done = until(client, post(client, b"\n".join(lines), {"Content-Type": "application/x-ndjson"}), "done")
    assert done["rows"]["bad"] == 1
    assert until(client, post(client, torn), "done", "failed")


@pytest.mark.parametrize(
    "name", ["x", "0" * 31, "0" * 33, "G" * 32, "A" * 32, "..%2F..%2Fetc", "%2e%2e", "0" * 32, "incoming", "a%00b"]
)
def test_what_is_no_id_is_not_found(client, name):
    for tail in ("", "/result", "/bad"):
        reply = client.get(f"/v1/jobs/{name}{tail}")
        assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")
    assert client.delete(f"/v1/jobs/{name}").status_code == 404


def test_jobs_are_not_listed_and_take_only_their_methods(client):
    assert client.get("/v1/jobs").status_code == 405
    assert client.get("/v1/jobs").headers["allow"] == "POST"
    assert client.put(f"/v1/jobs/{'0' * 32}").headers["allow"] == "GET, HEAD, DELETE"
    assert client.get(f"/v1/jobs/{'0' * 32}/other").status_code == 404


def test_a_client_that_hangs_up_leaves_nothing(client, server):
    until(client, post(client, csv_of(FRAME)), "done")  # the folder is made by the first one
    before = set((server.state / "jobs").iterdir())
    with server.connect() as sock:
        sock.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: [::1]\r\nContent-Type: text/csv\r\nContent-Length: 5000000\r\n\r\n"
        )
        sock.sendall(BIG[:3_000_000])
        end = time.monotonic() + WAIT_S
        while not list((server.state / "jobs").glob("incoming/in-*")) and time.monotonic() < end:
            time.sleep(0.01)
        assert len(list((server.state / "jobs").glob("incoming/in-*"))) == 1
    while list((server.state / "jobs").glob("incoming/in-*")) and time.monotonic() < end:
        time.sleep(0.01)
    assert list((server.state / "jobs").glob("incoming/in-*")) == []
    assert set((server.state / "jobs").iterdir()) == before


# -- cancelling ------------------------------------------------------------------------------------------------------


def test_a_running_job_is_cancelled_and_a_finished_one_removed(client, server):
    job = post(client, BIG)
    until(client, job, "running", rows=1)
    early = client.get(job["links"]["self"] + "/result")
    assert (early.status_code, early.json()["code"]) == (409, "no_result")
    begun = time.monotonic()
    cancelled = client.delete(job["links"]["self"])
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    after = until(client, post(client, csv_of(FRAME)), "done")  # the worker is free again, before it could be done
    assert time.monotonic() - begun < WAIT_S
    assert look(client, job)["state"] == "cancelled"
    assert not (server.state / "jobs" / job["id"]).exists()
    assert client.delete(job["links"]["self"]).status_code == 204
    assert client.delete(job["links"]["self"]).status_code == 404
    assert client.delete(after["links"]["self"]).status_code == 204
    assert client.get(after["links"]["result"]).status_code == 404
    assert not (server.state / "jobs" / after["id"]).exists()


# -- surviving -------------------------------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced_and_the_result_is_the_very_same(client, server, big_result):
    job = post(client, BIG)
    until(client, job, "running", rows=1)
    worker_of(server).kill()
    done = until(client, job, "done")
    assert done["attempts"] == 2
    assert client.get(done["links"]["result"]).content == big_result


def until_marked(environ: dict[str, str], job: dict) -> Mark:
    """Return the job's first mark, read from where it is kept."""
    store = open_store(environ, state_dir=environ["AWEIGH_STATE_DIR"])
    end = time.monotonic() + WAIT_S
    try:
        while time.monotonic() < end:
            found, _ = store.records.get(job["id"])
            if found.mark is not None:
                return found.mark
            assert found.open, found
            time.sleep(0.02)
    finally:
        store.close()
    pytest.fail("no mark was made", pytrace=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "output"),
    [
        ("disk", "csv"),
        ("disk", "parquet"),
        ("postgres", "csv"),
        ("valkey", "csv"),
    ],
)
def test_a_job_whose_worker_is_killed_goes_on_where_it_was(
    kind, output, request, start_server, start_worker, penguins, tmp_path
):
    shared = {}
    if kind != "disk":
        found = request.getfixturevalue(kind)
        shared = {"DATABASE_URL": found} if kind == "postgres" else {"REDIS_URL": found.url}
    env = SOON | shared | {"AWEIGH_JOBS": "worker", "AWEIGH_STATE_DIR": str(tmp_path / "state")}
    server = start_server(penguins.path, "--no-ui", env=env)
    content = LONG.replace(b",39.1,", b",long,", 1)
    with server.client() as client:
        job = post(client, content, query=f"?output={output}")
        first = start_worker(penguins.path, env)
        mark = until_marked(env, job)
        first.stop(signal.SIGKILL)
        found = until(client, job, "running", rows=mark.rows)
        assert found["progress"]["bad"] == 1, "bad rows are counted as the job goes"
        second = start_worker(penguins.path, env)
        done = until(client, job, "done")
        assert (done["attempts"], done["rows"]["bad"]) == (2, 1)
        result = client.get(done["links"]["result"]).content
        bad = client.get(done["links"]["bad"]).content
    assert result == direct(penguins.path, content, tmp_path, out=f"out.{output}")
    assert bad == (tmp_path / f"out.{output}.bad.jsonl").read_bytes()
    told = re.search(rf"job {job['id'][:8]} was begun by another: it goes on behind row (\d+)", second.log.read_text())
    assert int(told[1]) >= mark.rows > 0


@pytest.mark.slow
def test_a_killed_server_takes_its_jobs_up_again(start_server, penguins, tmp_path, big_result):
    env = SOON | {"AWEIGH_STATE_DIR": str(tmp_path / "state")}
    first = start_server(penguins.path, "--no-ui", env=env)
    with first.client() as client:
        running, waiting = post(client, BIG), post(client, csv_of(FRAME))
        until(client, running, "running", rows=1)
        worker = worker_of(first)
    first.stop(signal.SIGKILL)
    worker.wait(WAIT_S)  # it hears that it is alone, and gives the job back
    second = start_server(penguins.path, "--no-ui", env=env)
    with second.client() as client:
        done = until(client, running, "done")
        assert client.get(done["links"]["result"]).content == big_result
        assert done["attempts"] == 1
        until(client, waiting, "done")


def test_a_stopped_server_gives_the_job_back(start_server, penguins, tmp_path):
    env = SOON | {"AWEIGH_STATE_DIR": str(tmp_path / "state"), "AWEIGH_JOBS_LEASE_S": "600"}
    first = start_server(penguins.path, "--no-ui", env=env)
    with first.client() as client:
        job = post(client, BIG)
        until(client, job, "running", rows=1)
    assert first.stop() == 0
    second = start_server(penguins.path, "--no-ui", env=env | {"AWEIGH_JOBS": "worker"})
    with second.client() as client:
        found = look(client, job)
        assert (found["state"], found["attempts"]) == ("queued", 0)


@pytest.mark.slow
def test_any_of_several_processes_answers_and_one_worker_runs(start_server, penguins, big_result):
    server = start_server(penguins.path, "--no-ui", "--workers", 3, env=SOON)
    jobs = []
    for _ in range(6):  # each from a connection of its own, so that several processes take some
        with server.client() as client:
            jobs.append(post(client, csv_of(FRAME)))
    with server.client() as client:
        jobs.append(post(client, BIG))
        until(client, jobs[-1], "running", rows=1)
    workers = [one for one in psutil.Process(server.process.pid).children(recursive=True) if "worker" in one.cmdline()]
    assert len(workers) == 1
    for job in jobs:
        with server.client() as client:
            until(client, job, "done")
    with server.client() as client:
        assert client.get(jobs[-1]["links"]["self"] + "/result").content == big_result


@pytest.mark.parametrize("kind", partly_slow("postgres", slow=["valkey"]))
def test_server_and_workers_that_share_no_disk(
    kind, request, start_server, start_worker, penguins, tmp_path, big_result
):
    """One worker is killed in the middle of a job, one is stopped, and the third one finishes what both had begun."""
    found = request.getfixturevalue(kind)
    shared = {"DATABASE_URL": found} if kind == "postgres" else {"REDIS_URL": found.url}
    env = SOON | shared | {"AWEIGH_JOBS": "worker", "AWEIGH_STATE_DIR": str(tmp_path / "server")}
    server = start_server(penguins.path, "--no-ui", env=env)
    mine = env | {"AWEIGH_STATE_DIR": str(tmp_path / "worker"), "TMPDIR": str(tmp_path)}
    with server.client() as client:
        job, small = post(client, BIG), post(client, csv_of(FRAME), query="?output=parquet")
        assert look(client, job)["state"] == "queued"
        first = start_worker(penguins.path, mine)
        until(client, job, "running", rows=1)
        first.stop(signal.SIGKILL)
        second = start_worker(penguins.path, mine)
        until(client, job, "running", rows=1, attempts=2)
        assert second.stop() == 0
        assert look(client, job)["state"] == "queued"
        third = start_worker(penguins.path, mine)
        done = until(client, job, "done")
        assert client.get(done["links"]["result"]).content == big_result
        part = client.get(done["links"]["result"], headers={"Range": "bytes=1048570-1048590"})
        assert part.content == big_result[1048570:1048591]
        assert len(
            pd.read_parquet(io.BytesIO(client.get(until(client, small, "done")["links"]["result"]).content))
        ) == len(FRAME)
        begun = time.monotonic()
        until(client, post(client, csv_of(FRAME)), "done")
        assert time.monotonic() - begun < WAIT_S
        assert client.delete(job["links"]["self"]).status_code == 204
        assert "aweigh_jobs_total" in client.get("/metrics").text
    assert third.stop() == 0
    assert f"{job['id'][:8]} given back" in second.log.read_text()
    assert f"{job['id'][:8]} done" in third.log.read_text()
    assert job["id"] not in third.log.read_text()
    assert "Traceback" not in first.log.read_text() + second.log.read_text() + third.log.read_text()
    assert list((tmp_path / "worker" / "spools").iterdir())[1:] == [], "only the killed one leaves a copy"


@pytest.mark.slow
def test_a_database_that_goes_away_is_503_and_the_job_goes_on_when_it_is_back(
    valkey, start_server, start_worker, penguins, tmp_path, big_result
):
    env = SOON | {"REDIS_URL": valkey.url, "AWEIGH_JOBS": "worker", "AWEIGH_JOBS_LEASE_S": "20"}
    env |= {"AWEIGH_STATE_DIR": str(tmp_path)}
    server = start_server(penguins.path, "--no-ui", env=env)
    worker = start_worker(penguins.path, env)
    with server.client() as client:
        job = post(client, BIG)
        until(client, job, "running", rows=1)
        valkey.stop()
        try:
            for reply in (client.get(job["links"]["self"]), client.post("/v1/jobs", content=b"a", headers=CSV)):
                assert (reply.status_code, reply.json()["code"]) == (503, "storage_down")
                assert "retry-after" in reply.headers
            assert client.get("/metrics").status_code == 200
            assert client.get("/health/ready").status_code == 200
        finally:
            valkey.start()
        done = until(client, job, "done")
        assert client.get(done["links"]["result"]).content == big_result
        assert done["attempts"] == 1
    assert worker.stop() == 0


@pytest.mark.slow
def test_a_worker_tells_whether_it_can_work(valkey, start_server, start_worker, penguins, tmp_path):
    env = SOON | {"REDIS_URL": valkey.url, "AWEIGH_JOBS": "worker", "AWEIGH_STATE_DIR": str(tmp_path)}
    env |= {"AWEIGH_METRICS_TOKEN": "to see", "AWEIGH_JOBS_LEASE_S": "20"}
    server = start_server(penguins.path, "--no-ui", env=env)
    worker = start_worker(penguins.path, env, "--health-port", "0")
    with server.client() as client, worker.health() as health:
        ready = until_status(health, "/health/ready", 200).json()
        assert (ready["status"], ready["model"]["name"]) == ("ready", "penguins")
        assert health.get("/health/live").json() == {"status": "live"}
        until(client, post(client, csv_of(FRAME)), "done")
        text = until_text(health, "/metrics", 'aweigh_worker_jobs_total{outcome="done"} 1')
        assert "aweigh_worker_store_up 1" in text
        assert "aweigh_jobs_total" in text
        through_proxy = {"X-Forwarded-For": "203.0.113.1"}
        assert health.get("/metrics", headers=through_proxy).status_code == 403
        assert health.get("/metrics", headers=through_proxy | {"Authorization": "Bearer to see"}).status_code == 200
        assert [health.get("/v1/schema").status_code, health.post("/health/live").status_code] == [404, 405]
        valkey.stop()
        try:
            lost = until_status(health, "/health/ready", 503)
            assert (lost.json()["code"], "retry-after" in lost.headers) == ("storage_down", True)
            assert health.get("/health/live").status_code == 200
            assert "aweigh_worker_store_up 0" in health.get("/metrics").text
        finally:
            valkey.start()
        until_status(health, "/health/ready", 200)
        until(client, post(client, csv_of(FRAME)), "done")
    assert worker.stop() == 0
    assert "Traceback" not in worker.log.read_text()


def test_a_worker_without_its_database_is_never_ready_and_stops_when_told(start_worker, penguins, tmp_path):
    env = SOON | {"DATABASE_URL": "postgres://u:p@127.0.0.1:1/x", "AWEIGH_STATE_DIR": str(tmp_path)}
    worker = start_worker(penguins.path, env, "--health-port", "0")
    with worker.health() as health:
        assert {health.get("/health/ready").status_code for _ in range(20)} == {503}
        assert "aweigh_worker_store_up 0" in health.get("/metrics").text
    begun = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - begun < 8


@pytest.mark.slow
def test_a_health_port_that_is_taken_is_told_at_once(start_server, start_worker, penguins, tmp_path):
    env = SOON | {"AWEIGH_JOBS": "worker", "AWEIGH_STATE_DIR": str(tmp_path / "state")}
    start_server(penguins.path, "--no-ui", env=env)
    worker = start_worker(penguins.path, env, "--health-port", "0")
    with worker.health() as health:
        assert until_status(health, "/health/ready", 200)
    taken = start_worker(penguins.path, env, "--health-port", str(health.base_url.port))
    assert taken.process.wait(WAIT_S) == 2
    assert "Traceback" not in taken.log.read_text()
    assert worker.stop() == 0


def until_text(client: httpx.Client, address: str, text: str) -> str:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        found = client.get(address).text
        if text in found:
            return found
        time.sleep(0.1)
    pytest.fail(found, pytrace=False)


@pytest.fixture
def without_the_queue(tmp_path):
    """Return an environment in which the extra `jobs` is not installed, for Python's own search."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text('import sys\nsys.modules["saq"] = None\n')
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path / "hidden"), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.parametrize("processes", partly_slow(1, slow=[2]))
def test_a_redis_for_the_cache_alone_leaves_jobs_on_this_machine(
    processes, valkey, start_server, penguins, tmp_path, without_the_queue
):
    env = SOON | without_the_queue | {"REDIS_URL": valkey.url, "AWEIGH_STATE_DIR": str(tmp_path / "state")}
    server = start_server(penguins.path, "--no-ui", "--workers", processes, env=env)
    with server.client() as client:
        done = until(client, post(client, csv_of(FRAME)), "done")
        assert len(pd.read_csv(io.BytesIO(client.get(done["links"]["result"]).content))) == len(FRAME)
        assert 'aweigh_jobs_total{end="done"} 1' in client.get("/metrics").text
    assert (tmp_path / "state/jobs.sqlite").is_file()
    server.stop()
    told = [line for line in server.log.read_text().splitlines() if "jobs are kept on this machine" in line]
    assert len(told) == 1
    assert "several replicas" in told[0]


def test_workers_of_their_own_need_the_redis_that_is_named(
    valkey, start_server, start_worker, penguins, tmp_path, without_the_queue
):
    env = SOON | without_the_queue | {"REDIS_URL": valkey.url, "AWEIGH_STATE_DIR": str(tmp_path / "state")}
    env |= {"AWEIGH_JOBS": "worker"}
    server = start_server(penguins.path, "--no-ui", env=env)
    with server.client() as client:
        refused = client.post("/v1/jobs", content=csv_of(FRAME), headers=CSV)
        assert (refused.status_code, refused.json()["code"]) == (503, "storage_down")
    worker = start_worker(penguins.path, env)
    assert worker.process.wait(WAIT_S) != 0
    assert "[jobs]" in worker.log.read_text()
    assert not (tmp_path / "state/jobs.sqlite").exists()


# -- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_job_expires_and_so_does_what_is_known_of_it(start_server, penguins):
    server = start_server(penguins.path, "--no-ui", env=SOON | {"AWEIGH_JOBS_TTL_S": "1"})
    with server.client() as client:
        done = until(client, post(client, csv_of(FRAME)), "done")
        gone = until_status(client, done["links"]["result"], 410)
        assert gone.json()["code"] == "expired"
        assert look(client, done)["state"] == "expired"
        until_status(client, done["links"]["self"], 404)


def until_status(client: httpx.Client, address: str, status: int) -> httpx.Response:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        reply = client.get(address)
        if reply.status_code == status:
            return reply
        time.sleep(0.1)
    pytest.fail(f"{address} is still {reply.status_code}", pytrace=False)


def test_no_more_jobs_wait_than_may(start_server, penguins):
    server = start_server(penguins.path, "--no-ui", env=SOON | {"AWEIGH_JOBS": "worker", "AWEIGH_JOBS_MAX_QUEUED": "1"})
    with server.client() as client:
        first = post(client, csv_of(FRAME))
        full = client.post("/v1/jobs", content=csv_of(FRAME), headers=CSV)
        assert (full.status_code, full.json()["code"]) == (503, "queue_full")
        assert full.headers["retry-after"]
        assert client.delete(first["links"]["self"]).status_code == 200
        post(client, csv_of(FRAME))


def test_a_server_without_jobs_has_no_such_address(start_server, penguins):
    server = start_server(penguins.path, "--no-ui", env={"AWEIGH_JOBS": "off"})
    with server.client() as client:
        assert client.post("/v1/jobs", content=b"x", headers=CSV).status_code == 404
        assert "/v1/jobs" not in client.get("/v1/openapi.json").json()["paths"]


def test_a_sender_that_is_too_slow_is_refused(start_server, penguins):
    server = start_server(penguins.path, "--no-ui", env=SOON | {"AWEIGH_BODY_TIMEOUT_S": "0.5"})
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: 5000\r\n\r\na,b"
    with server.connect() as sock:
        sock.sendall(head)
        assert sock.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_full_disk_refuses_the_file_and_leaves_nothing(start_server, penguins, tmp_path):
    """A limit of the size of files stands for the disk: the write fails in the same place."""
    env = SOON | {"AWEIGH_STATE_DIR": str(tmp_path / "state")}
    server = start_server(penguins.path, "--no-ui", env=env)
    limit = 2_000_000
    psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_FSIZE, (limit, limit))
    with server.client() as client:
        full = client.post("/v1/jobs", content=BIG, headers=CSV)
        assert (full.status_code, full.json()["code"]) == (507, "storage_full")
        assert list((tmp_path / "state/jobs/incoming").iterdir()) == []
        until(client, post(client, csv_of(FRAME)), "done")


@pytest.mark.slow
def test_a_job_without_room_for_its_result_fails_and_says_so(start_server, start_worker, penguins, tmp_path):
    env = SOON | {"AWEIGH_STATE_DIR": str(tmp_path / "state"), "AWEIGH_JOBS": "worker"}
    server = start_server(penguins.path, "--no-ui", env=env)
    with server.client() as client:
        job = post(client, BIG)
        worker = start_worker(penguins.path, env)
        psutil.Process(worker.process.pid).rlimit(psutil.RLIMIT_FSIZE, (2_000_000, 2_000_000))
        failed = until(client, job, "failed")
        assert (failed["error"]["code"], failed["error"]["status"]) == ("storage_full", 507)
        until(client, post(client, csv_of(FRAME)), "done")
    assert worker.stop() == 0


# -- limits ----------------------------------------------------------------------------------------------------------

LIMITED = {
    "bytes": ({"AWEIGH_JOBS_MAX_UNPACKED_BYTES": "1000000"}, "unpacks to more bytes"),
    "rows": ({"AWEIGH_JOBS_MAX_ROWS": "20000"}, "more than 20,000 rows"),
    "seconds": ({"AWEIGH_JOBS_MAX_S": "1"}, "takes more than 1 seconds"),
}


@pytest.mark.parametrize("name", partly_slow("bytes", slow=["rows", "seconds"]))
def test_a_job_is_bounded_by_what_it_becomes_and_not_by_what_was_sent(penguins, start_server, tmp_path, name):
    env, said = LIMITED[name]
    server = start_server(penguins.path, "--no-ui", env=SOON | env | {"AWEIGH_STATE_DIR": str(tmp_path / "state")})
    with server.client() as client:
        server.line("stop")
        packed = gzip.compress(LONG if name == "seconds" else BIG)
        job = post(client, packed)
        found = until(client, job, "failed")
        assert found["error"]["code"] == "too_large"
        assert said in found["error"]["detail"]
        assert found["attempts"] == 1
        small = post(client, gzip.compress(csv_of(FRAME.head(5))))
        assert until(client, small, "done")["rows"]["answered"] == 5
        client.delete(job["links"]["self"])
        client.delete(small["links"]["self"])
    left = [path for path in (tmp_path / "state" / "jobs").rglob("*") if path.is_file()]
    assert left == []
