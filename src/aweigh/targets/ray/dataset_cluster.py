"""Joining a Ray for a run over a data set, and what has to hold on its nodes before the first partition goes there."""

import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module, metadata
from typing import Any

from aweigh.errors import AweighError, RemoteError, UsageError
from aweigh.runtime.dataset.partitions import Partition
from aweigh.runtime.dataset.place import open_place
from aweigh.runtime.dataset.work import Task

REACH_S = 10.0
NODE_S = 120.0
"""How long a node may take to start a first process and look at the places."""
CLIENT = "ray://"
HERE, RUNNING = "ray", "auto"
SEEN = "_aweigh.node-"


@contextmanager
def joined(on: str) -> Iterator[Any]:
    """The module ``ray``, connected; left at the end, and ended if it was started for this.

    Raises:
        RemoteError: no Ray is there, or it is of another version of Python or of Ray.
        UsageError: ``on`` is no address.
    """
    ray = import_module("ray")
    import_module("ray.data")
    _reach(on)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if on == HERE:
        options |= {"address": "local", "include_dashboard": False}
    else:
        options |= {"address": on}
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # this process only: it logs what it then copes with
    try:
        ray.init(**options)
    except ConnectionError as error:
        raise _not_there(on) from error
    except (RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())
        if "mismatch" in text.lower():
            raise RemoteError(
                f"The Ray at {on} has another Python, or another Ray, than this machine: {text[:300]}",
                hint="install here what the cluster has, or run the command on one of its nodes",
            ) from error
        raise RemoteError(f"Ray cannot be joined: {text[:300]}", hint="ray status tells how it is") from error
    quiet(ray)
    try:
        yield ray
    except ray.exceptions.RayError as error:
        text = " ".join(str(error).split())[:300]
        raise RemoteError(
            f"Ray has ended the run: {text}", hint="the same command goes on with what is not finished"
        ) from error
    finally:
        ray.shutdown()


def quiet(ray: Any) -> None:
    """Keeps Ray Data from drawing bars and telling of its plans."""
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    ray.data.DataContext.get_current().enable_progress_bars = False


def _reach(on: str) -> None:
    """Whether somebody listens at an address: Ray itself asks for minutes."""
    if on in {HERE, RUNNING}:
        return
    host, _, port = on.removeprefix(CLIENT).rstrip("/").rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"{on!r} is no Ray.", hint="ray, auto, HOST:6379, or ray://HOST:10001")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except OSError as error:
        raise _not_there(on) from error


def _not_there(on: str) -> RemoteError:
    if on == RUNNING:
        return RemoteError("No Ray runs here.", hint="--on ray starts one, --on HOST:6379 names one")
    return RemoteError(f"No Ray answers at {on}.", hint="ray start --head starts one; its log says the address")


def check_nodes(ray: Any, task: Task, partition: Partition) -> None:
    """Whether every node has this aweigh, sees the data, and writes where this machine reads.

    Raises:
        RemoteError: a node does not.
    """
    nodes = [one for one in ray.nodes() if one["Alive"] and one["Resources"].get("CPU")]
    if not nodes:
        raise RemoteError("The Ray has no node with a CPU.", hint="ray status tells of its nodes")
    here = metadata.version("aweigh")
    with _told():
        for node, there in zip(nodes, _on_each(ray, nodes, metadata.version, "aweigh"), strict=True):
            if there != here:
                raise RemoteError(
                    f"{_name(node)} has aweigh {there}, and this machine {here}.",
                    hint="install the same version on all nodes and here",
                )
        nonce = secrets.token_hex(8)
        told = _on_each(ray, nodes, look, task, partition, nonce)
    for node, problem in zip(nodes, told, strict=True):
        _check_seen(node, problem, task, nonce)


def _on_each(ray: Any, nodes: list[Any], what: Any, *words: Any) -> list[Any]:
    """The answers of a function that runs once on every node."""
    pinned = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    asked = ray.remote(what)
    places = [pinned(node["NodeID"], soft=False) for node in nodes]
    refs = [asked.options(num_cpus=0, scheduling_strategy=one).remote(*words) for one in places]
    return list(ray.get(refs, timeout=NODE_S))


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong in a node before aweigh is known to be there."""
    try:
        yield
    except AweighError:
        raise
    except Exception as error:
        cause = getattr(error, "cause", None) or error
        if isinstance(cause, ModuleNotFoundError | metadata.PackageNotFoundError):
            raise RemoteError(
                "The nodes of the Ray have no aweigh.",
                hint=f"install aweigh {metadata.version('aweigh')} on all of them, with what the bundle needs",
            ) from error
        text = " ".join(str(cause).split())[:300]
        raise RemoteError(f"The nodes of the Ray cannot be asked: {text}", hint="ray status tells how it is") from error


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
    with contextlib.suppress(AweighError, OSError):
        out.remove(SEEN + node["NodeID"])
    if not problem and content != nonce.encode():
        problem = f"writes to a {task.out} that this machine does not see"
    if problem:
        raise RemoteError(
            f"{_name(node)} {problem}.",
            hint="data and answers have to be where all nodes see them: a shared folder, or an address (s3://, gs://)",
        )


def _name(node: Any) -> str:
    return f"Node {node.get('NodeName') or node['NodeManagerAddress']} ({node['NodeID'][:8]})"
