"""What is told to Ray Serve and to KubeRay, and what the cluster keeps, without a cluster."""

import json
from pathlib import Path

import msgspec
import pytest
import yaml
from tests.kube_plans import held

from aweigh.__main__ import main
from aweigh.errors import DamagedBundle, RemoteError, UsageError
from aweigh.runtime.measured import Measured, Memory, Request
from aweigh.targets.errors import NotUp, Occupied
from aweigh.targets.ray import after
from aweigh.targets.ray.cluster import check_address
from aweigh.targets.ray.deploy import Going, go_live
from aweigh.targets.ray.errors import ServeRefused, silent
from aweigh.targets.ray.kept import (
    LOCK_S,
    MOST_KEPT_BYTES,
    PIECE_BYTES,
    App,
    Release,
    alone,
    forget_app,
    get_bundle,
    put_bundle,
    read_app,
    read_secrets,
    write_app,
    write_secrets,
)
from aweigh.targets.ray.manifest import FILE, README, Setting, documents_of, ray_service
from aweigh.targets.ray.plan import Wish, application_of, check_wish, in_flight_of, sized
from aweigh.targets.ray.serving import Running, reason

BUNDLE = Path(__file__).parents[2] / "bundles" / "format-1-onnx.aweigh"
IMAGE = "ghcr.io/team/penguins@sha256:" + "a" * 64
MEMORY = Memory(alone=80 * 2**20, both=None, parent=0, worker=80 * 2**20, ui=None, files=0, peak=60 * 2**20)
RELEASE = Release(
    number=3,
    at_s=1.0,
    name="penguins.aweigh",
    bundle="e418a8d97a7f",
    sha256="0" * 64,
    size_bytes=10,
    auth="password",
    route="/",
    replicas=2,
    least=0,
    most=0,
    cpus=0.5,
    memory_bytes=320 * 2**20,
    in_flight=50,
    target=25.0,
    batch_rows=32,
    config={"AWEIGH_DRAIN_S": "20"},
    trust={},
    loopback=False,
    aweigh="1",
)
SCALED = msgspec.structs.replace(RELEASE, least=2, most=6)
SETTING = Setting("models", IMAGE, "2.60.0")


class Kept(dict):
    """A store of keys and bytes as the cluster's is."""

    def put(self, key, value, *, overwrite=True):
        there = key in self
        if overwrite or not there:
            self[key] = bytes(value)
        return there

    def drop(self, key):
        self.pop(key, None)

    def names(self, prefix):
        return sorted(one for one in self if one.startswith(prefix))


def measured(*requests):
    return Measured(memory=MEMORY, largest_rows=1, largest_bytes=1, requests=requests)


@pytest.mark.parametrize(
    ("cpu_us", "cpus", "expected"), [(1000, 1.0, 50), (1000, 0.5, 25), (10, 1.0, 256), (50_000, 1.0, 8)]
)
def test_a_replica_is_given_what_it_answers_in_time(cpu_us, cpus, expected):
    assert in_flight_of(measured(Request(rows=100, cpu_us=9e9), Request(rows=1, cpu_us=cpu_us)), cpus=cpus) == expected


def test_what_a_replica_takes_is_what_was_measured_unless_said():
    found = sized(Wish("penguins", cpus="2"), measured(Request(rows=1, cpu_us=500.0)))
    assert (found.cpus, found.in_flight, found.target, found.is_estimated) == (2.0, 200, 100.0, False)
    assert found.memory_bytes >= 140 * 2**20
    assert sized(Wish("penguins", memory="2G"), measured()).memory_bytes == 2 * 2**30
    assert sized(Wish("penguins"), measured()).is_estimated


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish("Penguins"), "No app can be called"),
        (Wish("penguins", route="penguins"), "no prefix"),
        (Wish("penguins", route="/-/routes"), "no prefix"),
        (Wish("penguins", route="/a/../b"), "no prefix"),
        (Wish("penguins", replicas=2, most=3), "is to change by itself"),
        (Wish("penguins", least=4, most=3), "no range"),
        (Wish("penguins", replicas=300), "no 300 replicas"),
        (Wish("penguins", replicas=0), "one replica of an app at least"),
    ],
)
def test_what_cannot_be_is_said(wish, said):
    with pytest.raises(UsageError, match=said):
        check_wish(wish)


@pytest.mark.parametrize("text", ["", "http://a:1", "ray://a", "auto ", "a:1;b", "ray://a:1/x", "-a"])
def test_what_is_no_address(text):
    with pytest.raises(UsageError, match="no address"):
        check_address(text)


def test_serve_is_told_names_and_numbers_and_no_secret():
    found = application_of("penguins", RELEASE, route="/p")
    assert found["name"] == "penguins.v3"
    assert found["args"] == {"app": "penguins", "release": 3}
    (deployment,) = found["deployments"]
    assert deployment["num_replicas"] == 2
    assert deployment["max_ongoing_requests"] == 50
    assert deployment["ray_actor_options"] == {"num_cpus": 0.5, "memory": 320 * 2**20}
    (scaled,) = application_of("penguins", SCALED, route="/")["deployments"]
    assert "num_replicas" not in scaled
    assert scaled["autoscaling_config"]["target_ongoing_requests"] == 25.0
    assert (scaled["autoscaling_config"]["min_replicas"], scaled["autoscaling_config"]["max_replicas"]) == (2, 6)


# -- what the cluster keeps ------------------------------------------------------------------------------------------


def test_a_bundle_is_kept_once_and_comes_back_whole():
    store, content = Kept(), bytes(range(256)) * (PIECE_BYTES // 128)
    digest, sent = put_bundle(store, content)
    assert sent == len(content)
    assert put_bundle(store, content) == (digest, 0)
    assert get_bundle(store, digest) == content
    store[f"bundle:{digest}:0001"] = b"other"
    with pytest.raises(DamagedBundle, match="not the bundle's bytes"):
        get_bundle(store, digest)


def test_a_bundle_that_was_cut_off_is_sent_again():
    store, content = Kept(), b"a" * 100
    digest, _ = put_bundle(store, content)
    store.drop(f"bundle:{digest}")
    with pytest.raises(DamagedBundle):
        get_bundle(store, digest)
    assert put_bundle(store, content) == (digest, 100)


def test_old_releases_and_their_bundles_go_and_the_live_one_stays():
    store = Kept()
    digests = [put_bundle(store, b"%d" % n)[0] for n in range(30)]
    every = tuple(msgspec.structs.replace(RELEASE, number=n + 1, sha256=one) for n, one in enumerate(digests))
    app = write_app(store, App(name="penguins", releases=every, current=2))
    assert [one.number for one in app.releases] == [2, *range(11, 31)]
    assert get_bundle(store, digests[1]) == b"1"
    assert not store.names(f"bundle:{digests[0]}")
    assert read_app(store, "penguins") == app
    write_secrets(store, "penguins", 2, {"A": "b"})
    write_app(store, App(name="other", releases=every[-1:], current=30))
    forget_app(store, "penguins")
    assert read_app(store, "penguins") is None
    assert store.names("secrets:penguins") == []
    assert {one.split(":")[1] for one in store.names("bundle:")} == {digests[-1]}


def test_what_another_version_wrote_is_not_guessed():
    with pytest.raises(ServeRefused, match="another version of aweigh"):
        read_app(Kept({"app:penguins": b'{"name":"penguins","more":1}'}), "penguins")


def test_two_do_not_change_one_app():
    store = Kept()
    with alone(store, "penguins"):
        with pytest.raises(Occupied, match="Somebody else"), alone(store, "penguins"):
            pass
        with alone(store, "other"):
            pass
    with alone(store, "penguins", clock=1000.0):
        pass
    store["lock:penguins"] = b"900.0 x"  # of somebody who was cut off long ago
    with alone(store, "penguins", clock=1000.0):
        pass
    ahead = 1000.0 + LOCK_S + 5.0  # by the clock of another machine, that has just said that it goes on
    store["lock:penguins"] = b"%f x" % ahead
    with pytest.raises(Occupied), alone(store, "penguins", clock=1000.0):
        pass


def test_who_was_asleep_leaves_the_app_to_who_has_taken_over():
    store = Kept()
    with alone(store, "penguins") as still:
        still()
        theirs = store["lock:penguins"] = b"9.0 another"
        with pytest.raises(Occupied):
            still()
    assert store["lock:penguins"] == theirs


def test_an_app_of_another_aweigh_keeps_its_bundles_and_hinders_nobody():
    store = Kept({"app:other": b'{"name":"other","more":1}', "bundle:abc": b"1", "bundle:abc:0000": b"x"})
    write_app(store, App(name="penguins", releases=(RELEASE,), current=3))
    assert "bundle:abc:0000" in store
    assert read_app(store, "penguins").live == RELEASE


def test_no_more_bundles_are_kept_than_the_head_holds():
    large = [
        msgspec.structs.replace(RELEASE, number=n, sha256=f"{n:064}", size_bytes=MOST_KEPT_BYTES // 2)
        for n in range(1, 6)
    ]
    app = write_app(Kept(), App(name="penguins", releases=tuple(large), current=1))
    assert [one.number for one in app.releases] == [1, 4, 5]


# -- a release that fails --------------------------------------------------------------------------------------------


class Controller:
    """What Ray Serve's controller does with applications; none of them ever starts."""

    def __init__(self, *running):
        self.running = {one["name"]: one for one in running}
        self.refuses = False

    def applications(self):
        return {name: Running(name, "RUNNING", "", one["route_prefix"], 1, 1, ()) for name, one in self.running.items()}

    def apply(self, wanted, *, without):
        if self.refuses:
            raise ServeRefused("Ray Serve is away.")
        self.running = {name: one for name, one in self.running.items() if not without(name)}
        self.running |= {one["name"]: one for one in wanted}

    def wait_for(self, name, *, until):
        raise NotUp(f"{name} does not start.")

    def wait_until_gone(self, name, *, until):
        return name not in self.running


@pytest.fixture
def live():
    """Return an app of one release, and the cluster that serves it."""
    store = Kept()
    write_app(store, App(name="penguins", releases=(RELEASE,), current=3))
    write_secrets(store, "penguins", 3, {"DATABASE_URL": "old"})
    return Going(Controller(application_of("penguins", RELEASE, route="/")), store, "http://a")


def attempt(going, **more):
    kept = read_app(going.store, "penguins")
    go_live(going, kept, RELEASE, golden=None, content=None, secrets={"DATABASE_URL": "new"}, **more)


def test_a_release_that_fails_leaves_what_runs_its_secrets(live):
    with pytest.raises(RemoteError, match="v4 does not start; what ran before runs on"):
        attempt(live)
    assert set(live.serve.running) == {"penguins.v3"}
    assert read_secrets(live.store, "penguins", 3) == {"DATABASE_URL": "old"}
    assert read_app(live.store, "penguins").live == RELEASE


def test_where_what_ran_before_cannot_be_put_back_nobody_says_that_it_runs_on(live):
    def refuse(name, *, until):
        live.serve.refuses = True
        raise NotUp("It does not start.")

    live.serve.wait_for = refuse
    with pytest.raises(RemoteError) as caught:
        attempt(live)
    assert "could not be put back: Ray Serve is away" in caught.value.message
    assert "runs on" not in caught.value.message
    assert "type the same again" in caught.value.hint


@pytest.mark.parametrize("ended", [KeyboardInterrupt, RuntimeError])
def test_whatever_ends_a_deployment_no_candidate_is_left(live, ended):
    def end(name, *, until):
        raise ended

    live.serve.wait_for = end
    with pytest.raises(ended):
        attempt(live)
    assert set(live.serve.running) == {"penguins.v3"}


def test_who_has_lost_the_app_takes_nothing_away(live):
    def lost(name, *, until):
        live.serve.running["penguins.v9"] = {"name": "penguins.v9", "route_prefix": "/"}  # somebody else's
        raise Occupied("Somebody else changes penguins at this moment.")

    live.serve.wait_for = lost
    with pytest.raises(Occupied):
        attempt(live)
    assert "penguins.v9" in live.serve.running


def test_scaling_changes_what_is_live_at_that_moment(live):
    """A deployment that ends between a look and the lock is not undone."""

    class Late(Kept):
        def put(self, key, value, *, overwrite=True):
            if key.startswith("lock:"):
                newer = msgspec.structs.replace(RELEASE, number=4, bundle="other")
                super().put(
                    "app:penguins", msgspec.json.encode(App(name="penguins", releases=(RELEASE, newer), current=4))
                )
                live.serve.running = {"penguins.v4": application_of("penguins", newer, route="/")}
            return super().put(key, value, overwrite=overwrite)

    store = Late(live.store)
    assert after.scale(live.serve, store, "penguins", {"web": 5}) == ({"web": 5}, True)
    assert set(live.serve.running) == {"penguins.v4"}
    assert [(one.number, one.replicas) for one in read_app(store, "penguins").releases] == [(3, 2), (4, 5)]


def test_what_another_version_keeps_can_be_destroyed(live):
    live.store["app:penguins"] = b'{"name":"penguins","more":1}'
    live.serve.running.clear()
    after.destroy(live.serve, live.store, "penguins")
    assert live.store.names("") == []


def test_the_same_release_is_the_same_whenever_it_was_deployed():
    assert RELEASE.same_as(RELEASE.with_number(9, at_s=5.0))
    assert not RELEASE.same_as(SCALED)


# -- in words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("x\nRuntimeError: aweigh refuses to start: It is damaged.\nmore", "It is damaged"),
        ("The deployment failed to start 3 times\nValueError: no such thing.\n", "ValueError: no such thing"),
        ("", "it does not say why"),
    ],
)
def test_why_a_replica_does_not_start(message, said):
    assert reason(message) == said


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (RuntimeError("Version mismatch: The cluster was started with: Ray: 2.50.0"), "other versions"),
        (ConnectionError("Could not find any running Ray instance."), "No Ray runs on this machine"),
        (ConnectionError("Unauthenticated: RPC error: InvalidAuthToken"), "asks for a token"),
        (OSError("Connection refused"), "No Ray cluster answers at a:1"),
    ],
)
def test_why_there_is_no_cluster(raised, said):
    found = silent(raised, address="a:1")
    assert said in found.message
    assert found.hint
    assert found.exit_code == 4


# -- for KubeRay -----------------------------------------------------------------------------------------------------


@pytest.mark.needs("kubernetes-validate")
@pytest.mark.shows("ray", "render", how="schema")
@pytest.mark.parametrize("release", [RELEASE, SCALED, msgspec.structs.replace(RELEASE, auth="none")])
@pytest.mark.parametrize(
    "setting", [SETTING, Setting("models", IMAGE, "2.60.0", pull_secret="pull", gcs_redis="redis.models.svc:6379")]
)
def test_the_operator_takes_the_document(release, setting):
    found = documents_of("penguins", release, setting)
    assert set(found) == {FILE, README}
    service = yaml.safe_load(found[FILE])
    assert service == held(ray_service("penguins", release, setting))


def test_nodes_are_shut_in_and_named_by_digest():
    spec = ray_service("penguins", RELEASE, SETTING)["spec"]["rayClusterConfig"]
    assert spec["authOptions"] == {"mode": "token"}
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["image"] == IMAGE
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
        assert container["envFrom"] == [{"secretRef": {"name": "penguins-secrets", "optional": False}}]


def test_serves_configuration_is_what_ray_reads():
    spec = ray_service("penguins", SCALED, SETTING)["spec"]
    config = yaml.safe_load(spec["serveConfigV2"])
    (application,) = config["applications"]
    assert application["args"] == {"bundle": "/app/penguins.aweigh"}
    assert application["import_path"] == "aweigh.targets.ray.app:build"
    (workers,) = spec["rayClusterConfig"]["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["maxReplicas"]) == (2, 6)
    assert "secret" not in json.dumps(config).lower()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (Setting("Models", IMAGE, "2.60.0"), "No namespace"),
        (Setting("models", "ghcr.io/team/penguins:1", "2.60.0"), "by its digest"),
        (Setting("models", IMAGE, "2.60.0", gcs_redis="a b:6379"), "no address of a Redis"),
        (Setting("models", IMAGE, "2.60.0", gcs_redis="redis"), "no address of a Redis"),
    ],
)
def test_what_cannot_be_in_a_document_is_said(setting, said):
    with pytest.raises(UsageError, match=said):
        documents_of("penguins", RELEASE, setting)


@pytest.mark.parametrize("option", ["--image", "--ray-version", "--pull-secret", "--gcs-redis"])
def test_what_only_files_take_is_not_passed_over(option, capsys):
    code = main(["deploy", "ray", str(BUNDLE), "--app", "penguins", "--auth", "none", "--dry-run", option, "said"])
    assert code == 2
    assert f"{option} is for the documents of KubeRay alone." in capsys.readouterr().err
