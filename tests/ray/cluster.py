"""A real Ray of several nodes on this machine: `ray start` starts each, with ports and a folder of its own.

Any of them can be killed. A node takes 5 to 30 seconds to start, and 600 MB: start a cluster once a module.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tests.conftest import any_port

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"
START_S = 120.0
ATTEMPTS = 3
STOP_S = 20.0
STORE_BYTES = 100 * 2**20
"""Shared memory of a node, the least that Ray takes without a word."""
WORKER_PORTS = range(20_000, 32_000, 40)
"""A node's workers listen on ports of a range of its own, which begin here; ``any_port`` gives none of them."""
NO_WORKERS = ("ray::IDLE", "ray::Dashboard", "ray::RuntimeEnvAgent")
ENVIRON = {
    # Ray asks the internet who uses it, and for time zones of a cloud.
    "RAY_USAGE_STATS_ENABLED": "0",
    # A head takes a token that lies in the user's folder by itself, and the nodes that are to join it do not.
    "RAY_AUTH_MODE": "disabled",
    # A node that was killed is dead after five seconds; one that is slow, on a busy machine, is not.
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "10000",
    "RAY_health_check_failure_threshold": "5",
}


@dataclass(eq=False)
class Node:
    """One node: the process that `ray start --block` is, and all that it started."""

    name: str
    process: subprocess.Popen[bytes]
    folder: Path
    log: Path
    ports: socket.socket

    def processes(self) -> list[psutil.Process]:
        """Every living process of the node: Ray's own, and the workers. All are of one session, orphans as well."""
        found = []
        for one in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                if os.getsid(one.pid) == self.process.pid and one.status() != psutil.STATUS_ZOMBIE:
                    found.append(one)
        return found

    def workers(self, name: str = "") -> list[psutil.Process]:
        """The processes in which tasks and actors run at the moment; of those whose title holds ``name``."""
        found = []
        for one in self.processes():
            with suppress(psutil.Error):
                title = " ".join(one.cmdline())
                if title.startswith("ray::") and name in title and not title.startswith(NO_WORKERS):
                    found.append(one)
        return found

    def kill(self) -> None:
        """End it as a machine ends whose power fails: every process of it at once, by SIGKILL."""
        for one in self.processes():
            with suppress(psutil.Error):
                one.suspend()  # so that none starts another or tells anybody
        for one in self.processes():
            with suppress(psutil.Error):
                one.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        self.ports.close()


@dataclass(eq=False)
class Cluster:
    """Nodes on this machine, the first of which is the head.

    ``address`` is for `ray.init` on a machine of the cluster, ``client_address`` (`ray://...`) for Ray's client,
    ``dashboard_url`` answers only where a dashboard was asked for.
    """

    address: str
    client_address: str
    dashboard_url: str
    environ: Mapping[str, str]
    folder: Path
    cpus: int
    nodes: list[Node] = field(default_factory=list)
    started: int = 0

    @property
    def head(self) -> Node:
        return self.nodes[0]

    def add(self) -> Node:
        """Start one more node, which the head knows then."""
        return self.start(f"--address={self.address}")

    def alive(self) -> int:
        """How many nodes the head believes to be there."""
        from ray._raylet import GcsClient

        nodes = GcsClient(address=self.address).get_all_node_info().values()
        return sum(one.state == 0 for one in nodes)

    def kept(self) -> list[str]:
        """The keys of what aweigh keeps in the cluster's own store."""
        from ray._raylet import GcsClient

        return sorted(
            one.decode() for one in GcsClient(address=self.address).internal_kv_keys(b"", b"aweigh", timeout=30)
        )

    def wait_for(self, count: int) -> None:
        """Wait until the head believes that so many nodes are there."""
        end = time.monotonic() + START_S
        while self.alive() != count:
            if time.monotonic() > end:
                raise TimeoutError(f"there are {self.alive()} nodes, not {count}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End every node, the head last."""
        for node in reversed(self.nodes):
            node.kill()

    def start(self, *options: str) -> Node:
        """Start a node; on a machine that is busy Ray gives up after half a minute, and it is tried again."""
        for _ in range(ATTEMPTS):
            self.started += 1
            node = self._start(f"n{self.started}", options)
            if self._is_up(node):
                self.nodes.append(node)
                return node
            node.kill()
        raise RuntimeError(f"node {node.name} did not start:\n{node.log.read_text()}")

    def _start(self, name: str, options: Sequence[str]) -> Node:
        folder = self.folder / name
        folder.mkdir()
        ports, first, last = own_ports()
        words = [
            sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options,
            f"--node-ip-address={LOOPBACK}",
            f"--num-cpus={self.cpus}",
            f"--object-store-memory={STORE_BYTES}",
            f"--temp-dir={folder}",
            f"--node-manager-port={any_port()}",
            f"--object-manager-port={any_port()}",
            f"--runtime-env-agent-port={any_port()}",
            f"--metrics-export-port={any_port()}",
            f"--dashboard-agent-grpc-port={any_port()}",
            f"--dashboard-agent-listen-port={any_port()}",
            f"--min-worker-port={first}",
            f"--max-worker-port={last}",
            "--include-log-monitor=false",
            "--disable-usage-stats",
        ]  # fmt: skip
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                words, stdout=out, stderr=subprocess.STDOUT, env=self.environ, start_new_session=True
            )
        return Node(name, process, folder, log, ports)

    def _is_up(self, node: Node) -> bool:
        end = time.monotonic() + START_S
        while time.monotonic() < end and node.process.poll() is None:
            if b"Ray runtime started" in node.log.read_bytes():
                return True
            time.sleep(0.1)
        return False


@contextmanager
def ray_cluster(
    nodes: int = 3, *, cpus: int = 1, dashboard: bool = False, environ: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """Start so many nodes of ``cpus`` each; all are killed at the end, whatever happened."""
    # A socket's path may have 107 bytes, and pytest's folders have more.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    port, client, page = any_port(), any_port(), any_port()
    python_path = os.pathsep.join([str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    given = {**os.environ, **ENVIRON, "PYTHONPATH": python_path, "PATH": path, **(environ or {})}
    given.pop("RAY_ADDRESS", None)
    cluster = Cluster(
        f"{LOOPBACK}:{port}", f"ray://{LOOPBACK}:{client}", f"http://{LOOPBACK}:{page}", given, folder, cpus
    )
    try:
        cluster.start(
            "--head",
            f"--port={port}",
            f"--ray-client-server-port={client}",
            f"--include-dashboard={str(dashboard).lower()}",
            f"--dashboard-host={LOOPBACK}",
            f"--dashboard-port={page}",
        )
        for _ in range(nodes - 1):
            cluster.add()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def own_ports() -> tuple[socket.socket, int, int]:
    """Ports in a row for a node's workers, the first and the last, and what keeps other nodes from taking them.

    Ray's servers share a port with whoever has it, without a word: chance is not enough.
    """
    while True:
        kept = secrets.choice(WORKER_PORTS)
        one = socket.socket()
        with suppress(OSError):
            one.bind((LOOPBACK, kept))
            return one, kept + 1, kept + WORKER_PORTS.step - 1
        one.close()
