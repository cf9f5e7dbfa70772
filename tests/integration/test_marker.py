"""A marker is sent through every path, good and bad; afterwards it is nowhere but with its sender.

Every logger is told to tell everything, the model quotes the cell in what it raises and warns of, and then fails on
its golden rows: a log holds no cell of that. When the jobs are forgotten, nothing is left of them either.
"""

import io
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pandas as pd
import pyarrow as pa
import pytest
import redis
from streamlit.testing.v1 import AppTest
from tests.partly import partly_slow

from aweigh.bundle.manifest import to_json
from aweigh.ui import app as app_module
from aweigh.ui.api import close_all

WHO = "zqmarker-7f3a91"
AMOUNT = 918273.645091
DAY = "1907-03-09"
NEEDLES = [WHO.encode(), b"918273.645", b"918273645", DAY.encode(), b"zqmarker", WHO.encode("utf-16-le")]
ROW = {"who": WHO, "amount": AMOUNT, "day": DAY}
WAIT_S = 60
MODEL = """
import warnings

broken = []


def answer(rows):
    for who in rows["who"].dropna():
        if who.startswith("zqmarker-warn"):
            warnings.warn(f"odd: {who}")
        if who.startswith("zqmarker-fail"):
            try:
                float(who)
            except ValueError as error:
                raise KeyError(who) from error
        if who.startswith("zqmarker-break"):
            broken.append(who)
    if broken:
        raise RuntimeError(f"broken by {broken}")
    return rows["amount"].fillna(0.0) * 2
"""
# Every logger of every library at its most talkative, as somebody who looks for a fault would have it.
TELLING = (
    "import logging, sys; logging.basicConfig(level=1, format='%(name)s %(message)s'); "
    "from aweigh.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("telling")
    (folder / "telling.py").write_text(MODEL)
    days = pd.date_range("2020-01-01", periods=40).strftime("%Y-%m-%d")
    frame = pd.DataFrame({"who": ["a", "b"] * 20, "amount": [float(i) / 4 for i in range(40)], "day": days})
    frame.to_csv(folder / "sample.csv", index=False)
    command = [sys.executable, "-m", "aweigh", "pack", "telling:answer", "--data", "sample.csv", "-o", "t.aweigh"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "t.aweigh"


class Place:
    """Where a server keeps things: its folders, and the database that it was given."""

    def __init__(self, folder, kind, found):
        self.folder, self.kind, self.found = folder, kind, found
        (folder / "tmp").mkdir()
        self.env = {
            "AWEIGH_STATE_DIR": str(folder / "state"),
            "TMPDIR": str(folder / "tmp"),
            "AWEIGH_CACHE_BYTES": "100000",
        }
        self.env |= {"AWEIGH_JOBS_LEASE_S": "1", "AWEIGH_DRAIN_DELAY_S": "0", "PYTHONFAULTHANDLER": "1"}
        if kind == "postgres":
            self.env["DATABASE_URL"] = found.replace("postgresql://", "postgres://")
        if kind == "valkey":
            self.env["REDIS_URL"] = found.url

    def holding(self):
        """Return what holds the marker: files by name, or keys and tables."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        found = [str(path.relative_to(self.folder)) for path in files if has(path.read_bytes())]
        if self.kind == "valkey":
            with redis.Redis.from_url(self.found.url) as client:
                found += [key for key in client.scan_iter() if has(key + client.dump(key) + whole(client, key))]
        if self.kind == "postgres":
            import psycopg

            with psycopg.connect(self.found) as connection:
                tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
                for (table,) in tables:
                    rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
                    found += [table for row in rows if has(b" ".join(map(bytes_of, row)))]
        return found


def bytes_of(cell):
    return bytes(cell) if isinstance(cell, bytes | memoryview) else str(cell).encode()


def whole(client, key):
    """Return all that a key of Redis holds."""
    kind = client.type(key)
    if kind == b"hash":
        return b" ".join(one for pair in client.hgetall(key).items() for one in pair)
    if kind == b"string":
        return client.get(key)
    if kind in {b"set", b"zset"}:
        return b" ".join(client.smembers(key) if kind == b"set" else client.zrange(key, 0, -1))
    return b""


def has(content):
    return any(needle in content for needle in NEEDLES)


@pytest.fixture(params=partly_slow("postgres", slow=["disk", "valkey"]))
def place(request, tmp_path):
    needed = {"postgres": "postgres", "valkey": "valkey"}.get(request.param)
    return Place(tmp_path, request.param, needed and request.getfixturevalue(needed))


def test_a_marker_is_nowhere_but_with_its_sender(place, bundle, start_server, monkeypatch):
    server = start_server(bundle, env=place.env, program=["-c", TELLING])
    with server.client() as client:
        ready(client)
        others = [client.post("/v1/predict", json={"rows": [{"who": "a"}, {"size": 1}]}) for _ in range(2)]
        send_rows(client)
        send_pages(server.url, monkeypatch)
        ids = send_jobs(client)
        others += [client.get("/v1/jobs/" + "0" * 32), client.get("/metrics"), client.get("/v1/model")]
        # Everything else was told to its sender alone; what the server keeps of jobs, it lets go of.
        for job_id in ids:
            assert client.delete(f"/v1/jobs/{job_id}").status_code in {200, 204}
            client.delete(f"/v1/jobs/{job_id}")  # one that was cancelled by the first
            assert client.get(f"/v1/jobs/{job_id}").status_code == 404
        crash(client)
        others += [client.post("/v1/predict", json={"rows": [{"who": "a"}]}), client.get("/health/ready")]
        others += [client.get("/metrics")]
    assert not any(has(reply.content) or has(repr(reply.headers).encode()) for reply in others)
    server.stop()
    told = server.errors()
    assert "Traceback (most recent call last)" in told
    assert "RuntimeError (message withheld)" in told
    assert "UserWarning (message withheld)" in told
    assert not has(told.encode()), [line for line in told.splitlines() if has(line.encode())][:5]
    assert not has("\n".join(server.told).encode())
    assert not any(job_id in told for job_id in ids)
    assert place.holding() == []


def ready(client):
    end = time.monotonic() + WAIT_S
    while client.get("/health/ready").status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.1)


def send_rows(client):
    """Every way to ask: JSON, CSV, Arrow and the Open Inference Protocol, each good and each bad."""
    good = client.post("/v1/predict", json={"rows": [ROW, ROW]})
    assert good.json()["predictions"][0] == {"value": AMOUNT * 2}
    assert has(good.content)  # the warnings quote the cell to its sender
    bad = [
        [{"who": "a", "amount": WHO}], [{"who": "a", "day": WHO}], [{"who": AMOUNT}], [{WHO: 1}], [{"who": [WHO]}],
        [{"amount": "1e999" + WHO}], [{"who": WHO + "\x00"}], [ROW] * 3 + [{"amount": WHO}],
    ]  # fmt: skip
    for rows in bad:
        reply = client.post("/v1/predict", json={"rows": rows})
        assert reply.status_code == 422, rows
    for who in ("zqmarker-warn", "zqmarker-fail"):
        reply = client.post("/v1/predict", json={"rows": [ROW | {"who": who}, ROW]})
        assert reply.status_code == (422 if "fail" in who else 200), reply.text
    for path in (f"/v1/predict?{WHO}=1", f"/v1/{WHO}", f"/{WHO}/x", f"/v2/models/{WHO}", f"/v1/jobs/{WHO}"):
        client.get(path, headers={"X-Request-Id": WHO, "User-Agent": WHO, "Cookie": f"a={WHO}"})
    client.post(
        "/v1/predict", content=b'{"rows": [{"who": "' + WHO.encode(), headers={"Content-Type": "application/json"}
    )
    client.post("/v1/predict", content=WHO, headers={"Content-Type": f"text/{WHO}"})
    client.post("/v1/predict", content=b"\xff" + WHO.encode(), headers={"Content-Type": "text/csv"})
    client.post("/v1/predict", content=(WHO * 2_000_000), headers={"Content-Type": "text/csv"})
    csv = {"Content-Type": "text/csv"}
    for text in (f"who,amount,day\n{WHO},{AMOUNT},{DAY}\n", f"who,amount,day\n{WHO},x{AMOUNT},{DAY}\n", f"{WHO}\n1\n"):
        client.post("/v1/predict", content=text, headers=csv)
    table = pa.table({"who": [WHO], "amount": [AMOUNT], "day": [DAY]})
    for one in (table, table.set_column(1, "amount", pa.array([WHO])), table.append_column(WHO, pa.array([1]))):
        client.post("/v1/predict", content=arrow(one), headers={"Content-Type": "application/vnd.apache.arrow.stream"})
    client.post(
        "/v1/predict", content=arrow(table)[:-20], headers={"Content-Type": "application/vnd.apache.arrow.stream"}
    )
    name = client.get("/v1/model").json()["name"]
    tensors = [
        {"name": "who", "shape": [1], "datatype": "BYTES", "data": [WHO]},
        {"name": "amount", "shape": [1], "datatype": "FP64", "data": [AMOUNT]},
        {"name": "day", "shape": [1], "datatype": "BYTES", "data": [DAY]},
    ]
    for inputs in (tensors, [*tensors[:1], {**tensors[1], "data": [WHO]}], [{**tensors[0], "name": WHO}]):
        client.post(f"/v2/models/{name}/infer", json={"id": WHO, "inputs": inputs})


def arrow(table):
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return out.getvalue()


def send_pages(url, monkeypatch):
    """The form, by hand and by an address that cannot be read, and a file in the batch page."""
    monkeypatch.setenv("AWEIGH_API_URL", url)
    test = AppTest.from_file(str(Path(app_module.__file__)), default_timeout=60)
    test.query_params["amount"] = WHO
    test.query_params["who"] = WHO
    test.run()
    next(one for one in test.number_input if "amount" in one.label.lower()).set_value(AMOUNT)
    test.run()
    assert not test.exception
    close_all()
    httpx.get(f"{url}/?who={WHO}&amount={AMOUNT}", trust_env=False)
    # What a browser's session sends: an upload to a session that there is none of, and a socket that talks at random.
    httpx.put(f"{url}/_stcore/upload_file/{WHO}/{WHO}", files={"file": (WHO, WHO)}, trust_env=False)


def send_jobs(client):
    """Files of every kind, good ones and bad ones; the jobs' ids."""
    frame = pd.DataFrame([ROW] * 20)
    wrong = frame.assign(amount=[WHO] * 10 + [AMOUNT] * 10)
    failing = frame.assign(who="zqmarker-fail")
    parquet = io.BytesIO()
    frame.to_parquet(parquet)
    sent = [
        (frame.to_csv(index=False).encode(), "text/csv", "csv"),
        (wrong.to_csv(index=False).encode(), "text/csv", "csv"),
        (failing.to_csv(index=False).encode(), "text/csv", "csv"),
        (wrong.to_json(orient="records", lines=True).encode(), "application/x-ndjson", "jsonl"),
        (parquet.getvalue(), "application/vnd.apache.parquet", "parquet"),
        (arrow(pa.table(frame)), "application/vnd.apache.arrow.stream", "arrow"),
        (b'{"rows": [' + to_json(ROW) + b', {"who": [1]}, "' + WHO.encode() + b'"]}', "application/json", "jsonl"),
        (frame.assign(**{WHO: 1}).to_csv(index=False).encode(), "text/csv", "csv"),
        (b"PK\x03\x04" + WHO.encode(), "text/csv", "csv"),
    ]
    jobs = []
    for content, media, output in sent:
        reply = client.post(
            f"/v1/jobs?output={output}", content=content, headers={"Content-Type": media, "Idempotency-Key": WHO}
        )
        assert reply.status_code in {202, 400, 415, 422}, reply.text
        if reply.status_code == 202:
            jobs.append(reply.json()["id"])
    assert len(jobs) >= 6
    end = time.monotonic() + WAIT_S
    states = {}
    while time.monotonic() < end:
        states = {one: client.get(f"/v1/jobs/{one}").json() for one in jobs}
        if not {one["state"] for one in states.values()} & {"queued", "running"}:
            break
        time.sleep(0.1)
    assert "done" in {one["state"] for one in states.values()}
    for one in states.values():
        assert one["state"] in {"done", "failed"}, one
        for link in ("result", "bad"):
            client.get(one["links"].get(link, "/health/live"))
    return jobs


def crash(client):
    """The model breaks for good: from here on the fault is the server's, and its log has all of it but cells."""
    reply = client.post("/v1/predict", json={"rows": [ROW | {"who": "zqmarker-break"}]})
    end = time.monotonic() + WAIT_S
    while reply.status_code != 500:  # the golden rows are asked again every few seconds only
        assert time.monotonic() < end
        time.sleep(0.5)
        # A row that nobody has asked: what is known already is answered all the same.
        reply = client.post("/v1/predict", json={"rows": [ROW | {"who": f"{WHO} {time.monotonic()}"}]})
    assert re.search(r'"id":"[0-9A-Z]{26}"', reply.text)
    assert not has(reply.content)
