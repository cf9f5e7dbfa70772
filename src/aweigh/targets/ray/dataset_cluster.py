"""Joining a Ray for a run over a data set, and what has to hold on its nodes before the first partition goes there."""

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from aweigh.errors import AweighError, RemoteError
from aweigh.runtime.dataset.partitions import Partition
from aweigh.runtime.dataset.place import open_place
from aweigh.runtime.dataset.work import Task
from aweigh.targets.ray.cluster import check_address, check_nodes, connected, nodes

ROOM_S = 600
"""How long a cluster may take to have one CPU to spare, with a node that it starts for that."""
NODE_S = 120.0
"""How long a node may take to start a first process and look at the places."""
HERE = "ray"
SEEN = "_aweigh.node-"


@contextmanager
def joined(on: str) -> Iterator[Any]:
    """The module ``ray``, connected; left at the end, and ended if it was started for this.

    Raises:
        UsageError: ``on`` is no address.
        ClusterSilent: no Ray is there, or lets us in.
        RemoteError: it ended the run.
    """
    started = {"include_dashboard": False} if on == HERE else {}
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # this process only: it logs what it then copes with
    with connected("local" if on == HERE else check_address(on), **started) as ray:
        settle(ray)
        try:
            yield ray
        except (ray.exceptions.RayError, ConnectionError) as error:
            text = " ".join(str(error).split())[:300]
            raise RemoteError(
                f"Ray has ended the run: {text}", hint="the same command goes on with what is not finished"
            ) from error


def settle(ray: Any) -> None:
    """Keeps Ray Data from drawing bars, from telling of its plans, and from waiting for ever for a CPU."""
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.wait_for_min_actors_s = ROOM_S


def check_places(ray: Any, task: Task, partition: Partition) -> None:
    """Whether every node has this aweigh, sees the data, and writes where this machine reads.

    Raises:
        RemoteError: a node does not.
    """
    check_nodes(nodes())
    asked = [one for one in ray.nodes() if one["Alive"] and one["Resources"].get("CPU")]
    if not asked:
        raise RemoteError("The Ray has no node with a CPU.", hint="ray status tells of its nodes")
    nonce = secrets.token_hex(8)
    try:
        told = _on_each(ray, asked, look, task, partition, nonce)
        for node, problem in zip(asked, told, strict=True):
            _check_seen(node, problem, task, nonce)
    finally:
        out = open_place(task.out)
        for node in asked:
            with contextlib.suppress(AweighError, OSError):
                out.remove(SEEN + node["NodeID"])


def _on_each(ray: Any, nodes: list[Any], what: Any, *words: Any) -> list[Any]:
    """The answers of a function that runs once on every node."""
    pinned = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    asked = ray.remote(what)
    places = [pinned(node["NodeID"], soft=False) for node in nodes]
    refs = [asked.options(num_cpus=0, scheduling_strategy=one).remote(*words) for one in places]
    return list(ray.get(refs, timeout=NODE_S))


def look(task: Task, partition: Partition, nonce: str) -> str:
    """On a node: sees the first partition, and leaves a mark where the answers go; what is wrong, or nothing."""
    node = import_module("ray").get_runtime_context().get_node_id()
    try:
        found = open_place(task.data).one(partition.name)
        if found is None or found.size_bytes != partition.size_bytes:
            return f"does not see {partition.name} of {task.data}"
        out = open_place(task.out)
        if out.one("_aweigh.json") is None:
            return f"does not see {task.out} as this machine does"
        out.write(SEEN + node, nonce.encode())
    except AweighError as error:
        return f"cannot use the data or the answers' place: {error.message}"
    except OSError as error:
        return f"cannot use the data or the answers' place: {error.strerror or error}"
    return ""


def _check_seen(node: Any, problem: str, task: Task, nonce: str) -> None:
    out = open_place(task.out)
    content = None if problem else out.read(SEEN + node["NodeID"])
    if not problem and content != nonce.encode():
        problem = f"writes to a {task.out} that this machine does not see"
    if problem:
        raise RemoteError(
            f"{_name(node)} {problem}.",
            hint="data and answers have to be where all nodes see them: a shared folder, or an address (s3://, gs://)",
        )


def _name(node: Any) -> str:
    return f"Node {node.get('NodeName') or node['NodeManagerAddress']} ({node['NodeID'][:8]})"
