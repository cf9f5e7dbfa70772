"""A second bundle in real servers: who gets it, on several processes and replicas, and what becomes of a bad one."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest

from aweigh import pack
from aweigh.bundle.manifest import short
from aweigh.guard.guard import open_guard
from aweigh.guard.identity import Role

HOMES = """\
import time

import pandas as pd


def current(homes: pd.DataFrame) -> pd.Series:
    return 20_000 + 3_100 * homes["area"] + 12_000 * homes["rooms"]


def candidate(homes: pd.DataFrame) -> pd.Series:
    if (homes["rooms"] == 90).any():
        raise RuntimeError("ninety")
    if (homes["rooms"] == 91).any():
        time.sleep(0.05)
    return current(homes).where(homes["rooms"] != 92, 0.0)
"""


@pytest.fixture(scope="session")
def flats_next(flats, bundles):
    """Return a bundle that answers a little differently from the flats."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    source = np.random.default_rng(0)
    frame = pd.DataFrame(source.normal(size=(300, 8)).round(4), columns=[f"x{i}" for i in range(8)])
    price = frame.to_numpy() @ np.arange(8) + source.normal(size=300)
    model = make_pipeline(StandardScaler(), Ridge(alpha=5.0)).fit(frame, price)
    folder = bundles / "next"
    folder.mkdir(exist_ok=True)
    return pack(model, frame.assign(price=price), target="price", name="flats", output=folder)


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """Return two bundles of functions: the second fails, takes long, or answers otherwise, as the row says."""
    folder = tmp_path_factory.mktemp("homes")
    (folder / "homes_now.py").write_text(HOMES)
    (folder / "homes_next.py").write_text(HOMES)
    lines = [f"{40 + i},{1 + i % 5}" for i in range(40)]
    (folder / "homes.csv").write_text("\n".join(["area,rooms", *lines]) + "\n")
    found = []
    for name in ("homes_now:current", "homes_next:candidate"):
        out = folder / name.partition(":")[0]
        out.mkdir()
        command = ["pack", name, "--data", "homes.csv", "--name", "homes", "-o", str(out)]
        run(*command, cwd=folder)
        found.append(next(out.glob("*.aweigh")))
    return found


def run(*command, cwd=None, check=True, **environ):
    done = subprocess.run(
        [sys.executable, "-m", "aweigh", *command],
        env=os.environ | environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def release(server, *command, **environ):
    return json.loads(run("release", *command, "--url", server.url, "--json", **environ).stdout)


def row(seed):
    source = random.Random(seed)
    return {f"x{i}": round(source.gauss(0, 1), 4) for i in range(8)}


def ask(client, seed=0, **headers):
    reply = client.post("/v1/predict", json={"rows": [row(seed)]}, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.json()["model"]["version"]


def wait_for(true, *, seconds=20):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def fresh(server):
    """Return a client of its own, and so of whichever process takes the connection."""
    return httpx.Client(base_url=server.url, timeout=30, trust_env=False)


# -- several processes -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_agree_on_who_gets_it_and_on_what_becomes_of_it(start_server, flats, flats_next, tmp_path):
    state = {"AWEIGH_STATE_DIR": str(tmp_path / "state"), "AWEIGH_DRAIN_DELAY_S": "0"}
    arguments = (flats.path, "--candidate", flats_next.path, "--canary", 30, "--no-ui", "--workers", 2)
    server = start_server(*arguments, env=state)
    assert server.line("candidate").startswith(f"flats {short(flats_next.digest)}, to answer 30 % of the requests")

    def of(who):
        found = set()
        for _ in range(3):
            with fresh(server) as client:
                found.add(ask(client, random.random(), **{"X-Aweigh-Sticky": who}))
        return found

    with ThreadPoolExecutor(4) as pool:
        got = dict(zip(map(str, range(40)), pool.map(of, map(str, range(40))), strict=True))
    assert all(len(one) == 1 for one in got.values())
    assert {next(iter(one)) for one in got.values()} == {short(flats.digest), short(flats_next.digest)}
    with server.client() as client:
        many = Counter(ask(client, seed) for seed in range(1500))
    assert abs(many[short(flats_next.digest)] / 1500 - 0.3) < 0.05
    with server.client() as client:
        found = wait_for(lambda: one if sum_of(one := release_of(client)) == 1620 else None)
    assert 0.2 < found["candidate"]["share"] < 0.4
    # Somebody is killed: who had which model has it still.
    victim = psutil.Process(server.process.pid).children()[0]
    os.kill(victim.pid, signal.SIGKILL)
    wait_for(lambda: len(psutil.Process(server.process.pid).children()) == 2)
    assert {who: of(who) for who in list(got)[:8]} == {who: got[who] for who in list(got)[:8]}
    # Replaced one by one, and started anew: it goes on from where it was, whatever the flags say.
    release(server, "abort", "--reason", "enough")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "all processes are replaced" in server.errors())
    assert of("1") | of("2") | of("3") | of("4") == {short(flats.digest)}
    server.stop()
    server = start_server(*arguments, env=state)
    found = release(server, "status")["state"]
    assert (found["mode"], found["reason"]) == ("aborted", "enough")


def sum_of(found):
    return found["current"]["requests"] + found["candidate"]["requests"]


def test_promoting_and_aborting_under_load_fail_no_request(start_server, flats, flats_next):
    server = start_server(flats.path, "--candidate", flats_next.path, "--no-ui", "--workers", 2)
    assert release(server, "status")["state"]["mode"] == "off"
    stop, failures, latest = threading.Event(), [], deque(maxlen=200)

    def load(number):
        with fresh(server) as client:
            for i in range(10**6):
                if stop.is_set():
                    return
                reply = client.post("/v1/predict", json={"rows": [row(f"{number} {i}")]})
                if reply.status_code != 200:
                    failures.append(reply.text)
                else:
                    latest.append(reply.json()["model"]["version"])

    def all_from(packed):
        latest.clear()
        wait_for(lambda: len(latest) == latest.maxlen and set(latest) == {short(packed.digest)})

    threads = [threading.Thread(target=load, args=(number,)) for number in range(3)]
    for one in threads:
        one.start()
    try:
        all_from(flats)
        release(server, "start", "--canary", "50", "--candidate", short(flats_next.digest))
        wait_for(lambda: len(set(latest)) == 2)
        assert release(server, "promote")["state"]["mode"] == "promoted"
        all_from(flats_next)
        release(server, "abort")
        all_from(flats)
    finally:
        stop.set()
        for one in threads:
            one.join()
    assert failures == []


# -- a bad candidate -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_candidate_that_fails_is_slow_or_disagrees_is_given_up(start_server, homes):
    pytest.importorskip("cryptography")
    current, candidate = homes
    server = start_server(current, "--candidate", candidate, "--no-ui", "--workers", 2)
    wrong = {"errors": 90, "latency": 91, "disagreement": 92}
    for limit, rooms in wrong.items():
        release(server, "start", *(["--shadow"] if limit == "disagreement" else ["--canary", "50"]))
        area, end = 0, time.monotonic() + 30
        with server.client() as one, server.client() as two:
            while release_of(one)["state"]["mode"] != "aborted":
                assert time.monotonic() < end, release_of(one)
                for client in (one, two):
                    for _ in range(10):
                        area += 1
                        reply = client.post("/v1/predict", json={"rows": [{"area": area, "rooms": rooms}]})
                        assert reply.status_code == 200
                        if limit != "latency":
                            value = 20_000 + 3_100 * area + 12_000 * rooms
                            assert reply.json()["predictions"] == [{"value": value}]
        found = release(server, "status")["state"]
        assert (found["limit"], found["by"]) == (limit, "the server itself")
        assert f"the candidate {candidate.stem.rpartition('-')[2]} is given up" in server.errors()
    text = run("release", "status", "--url", server.url).stdout
    assert "the candidate answers nobody any more" in text
    assert "it says something else on" in text


def release_of(client):
    return client.get("/v1/release").json()


# -- refused at the start --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param(["--canary", "10"], "Nothing is there to be tried", marks=pytest.mark.slow),
        (["--candidate", "{flats}", "--canary", "10", "--shadow"], "a canary or a shadow, and not both"),
        (["--candidate", "{penguins}"], "The candidate cannot take the current model's place: it is named 'penguins'"),
        pytest.param(["--candidate", "absent.aweigh"], "absent.aweigh", marks=pytest.mark.slow),
        (["--candidate", "{damaged}"], "The candidate damaged.aweigh: "),
    ],
)
def test_what_cannot_be_tried_is_refused_at_the_start(flats, penguins, tmp_path, arguments, why):
    damaged = tmp_path / "damaged.aweigh"
    content = bytearray(flats.path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    paths = {"flats": flats.path, "penguins": penguins.path, "damaged": damaged}
    done = run("serve", str(flats.path), "--port", "0", *[one.format(**paths) for one in arguments], check=False)
    assert done.returncode in {2, 3}
    assert why in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_same_bundle_twice_is_no_trial(start_server, flats, tmp_path):
    copy = tmp_path / "copy.aweigh"
    shutil.copyfile(flats.path, copy)
    server = start_server(flats.path, "--candidate", copy, "--shadow", "--no-ui")
    assert server.url
    assert "the candidate is the bundle that is served: nothing is tried" in "\n".join(server.told)
    done = run("release", "status", "--url", server.url, check=False)
    assert done.returncode == 4
    assert "That server has no candidate." in done.stderr


# -- replicas, and a door --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_servers_on_one_postgresql_are_one_release_behind_their_door(
    start_server, flats, flats_next, postgres, tmp_path
):
    pytest.importorskip("argon2")
    arguments = (flats.path, "--candidate", flats_next.path, "--canary", 50, "--no-ui", "--auth", "password")
    servers = []
    for name in ("one", "two"):
        environ = {"DATABASE_URL": postgres, "AWEIGH_STATE_DIR": str(tmp_path / name)}
        servers.append(start_server(*arguments, env=environ))
    guard = open_guard({"DATABASE_URL": postgres}, state_dir=str(tmp_path / "state"))
    person = guard.person("releasing") or guard.add_person("releasing", Role.ADMIN, by=None)
    admin = guard.add_key(person, "admin", ["admin"], by=None)[1].reveal()
    keys = [guard.add_key(person, f"key {i}", ["predict"], by=None)[1].reveal() for i in range(16)]
    got = {}
    for server in servers:
        with server.client() as client:
            for key in keys:
                head = {"Authorization": f"Bearer {key}"}
                got.setdefault(key, set()).update(ask(client, random.random(), **head) for _ in range(3))
            # The scope says who may; being let in to predict does not.
            assert client.get("/v1/release").status_code == 401
            assert client.get("/v1/release", headers={"Authorization": f"Bearer {keys[0]}"}).status_code == 403
            told = client.post("/v1/release", json={"action": "abort"}, headers={"Authorization": f"Bearer {keys[0]}"})
            assert told.status_code == 403
    assert all(len(one) == 1 for one in got.values()), "a key gets one model on both servers"
    assert set.union(*got.values()) == {short(flats.digest), short(flats_next.digest)}
    one, two = servers
    wait_for(lambda: sum_of(release(one, "status", AWEIGH_KEY=admin)) == 96)
    release(two, "promote", AWEIGH_KEY=admin)
    with one.client() as client:
        head = {"Authorization": f"Bearer {keys[0]}"}
        wait_for(lambda: {ask(client, random.random(), **head) for _ in range(5)} == {short(flats_next.digest)})
    done = run("release", "abort", "--url", one.url, "--reason", "it was late", AWEIGH_KEY=keys[0], check=False)
    assert (done.returncode, "may not do this" in done.stderr) == (4, True)
    assert keys[0] not in done.stderr + done.stdout
    release(one, "abort", "--reason", "it was late", AWEIGH_KEY=admin)
    entries = [(entry.event, entry.by_name, entry.what) for entry in guard.latest_audit(40)]
    told = [(event, what["mode"], what.get("reason", "")) for event, _, what in entries if event.startswith("release.")]
    assert told == [("release.aborted", "aborted", "it was late"), ("release.promoted", "promoted", "")]
    guard.close()


def test_a_key_is_sent_to_nobody_in_the_clear(tmp_path):
    done = run("release", "status", "--url", "http://model.example.com", check=False, AWEIGH_KEY="aw_secret")
    assert (done.returncode, "not encrypted" in done.stderr, "aw_secret" in done.stderr) == (2, True, False)
    for url, code in (("ftp://x", 2), ("http://[", 2), ("http://127.0.0.1:9", 4)):
        done = run("release", "status", "--url", url, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False)
