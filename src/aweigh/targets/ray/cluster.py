"""The connection to a cluster, and what its nodes have: looked at before anything is changed there."""

import logging
import os
import platform
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from aweigh.errors import UsageError
from aweigh.origin import install_command
from aweigh.registry import require
from aweigh.targets.ray.errors import ClusterUnfit, silent

AUTH_MODE = "RAY_AUTH_MODE"
CONNECT_S = 10.0
LOOK_S = 60.0
"""How long the nodes have to say what they have: a worker has to start on each."""
HERE_TOO = ("aweigh", "ray")
"""What has to be the same on every node as here."""
CLIENT = "ray://"
_ADDRESS = re.compile(r"auto|ray://[A-Za-z0-9._-]{1,253}:[0-9]{1,5}|[A-Za-z0-9._-]{1,253}:[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Node:
    """A node: Ray's id of it, its address, its Python, and the versions of what is installed there (None: nothing)."""

    id: str
    address: str
    python: str
    versions: dict[str, str | None]


def check_address(text: str) -> str:
    """The address of a cluster, if it can be one.

    Raises:
        UsageError: it cannot.
    """
    if _ADDRESS.fullmatch(text) is None:
        raise UsageError(f"{text[:80]!a} is no address of a Ray cluster.", hint="auto, ray://HOST:10001 or HOST:6379")
    return text


@contextmanager
def connected(address: str, **more: Any) -> Iterator[Any]:
    """The module ``ray``, connected to a cluster: ``auto``, ``ray://HOST:10001``, or ``HOST:6379`` on a machine of it.

    ``local`` starts one, for the block; ``more`` is what else Ray is to be told.

    Raises:
        MissingExtra: there is no Ray here.
        ClusterSilent: nobody answers there, or lets us in.
    """
    _check_answers(address)
    ray = ray_module()
    try:
        ray.init(
            address=address,
            namespace="aweigh",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **more,
        )
    except Exception as error:  # Ray raises whatever its parts do
        raise silent(error, address=address) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def ray_module(*parts: str, what: str = "Ray") -> Any:
    """The module ``ray``, with those of its ``parts`` that are named imported, too.

    Raises:
        MissingExtra: there is no Ray here.
    """
    if AUTH_MODE not in os.environ and _has_token():
        # As ``ray start`` does for the cluster; a driver is left without by Ray. It is read when Ray is imported.
        os.environ[AUTH_MODE] = "token"
    for part in parts:
        require(part, what=what, extra="ray")
    return require("ray", what=what, extra="ray")


def _has_token() -> bool:
    """Whether this user has a token for clusters where Ray looks for one."""
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or (Path.home() / ".ray" / "auth_token").is_file()


def _check_answers(address: str) -> None:
    """Passes where somebody listens: Ray itself asks for minutes whether nobody might, after all.

    Raises:
        ClusterSilent: nobody does.
    """
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    if not host:
        return
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_S):
            pass
    except (OSError, OverflowError) as error:
        raise silent(error, address=address) from error


def nodes(*, distributions: Sequence[str] = ()) -> list[Node]:
    """The living nodes and what each of them has.

    Raises:
        ClusterUnfit: one does not answer.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def look(names: tuple[str, ...]) -> tuple[str, dict[str, str | None]]:
        # Sent as it stands here: the node may have no aweigh, and nothing but Python's own is used.
        import importlib.metadata
        import platform

        found: dict[str, str | None] = {}
        for name in names:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found[name] = None
        return platform.python_version(), found

    names = tuple(dict.fromkeys((*HERE_TOO, *distributions)))
    living = [one for one in ray.nodes() if one["Alive"]]
    asked = {}
    for one in living:
        where = NodeAffinitySchedulingStrategy(one["NodeID"], soft=False)
        task: Any = ray.remote(look).options(num_cpus=0, scheduling_strategy=where, max_retries=2)
        asked[task.remote(names)] = one
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_S)
    if late:
        raise ClusterUnfit(
            f"The node {_address(asked[late[0]])} does not say in {LOOK_S:.0f} s what it has.",
            hint="ray status says how it is; take it away, or deploy once it is well",
        )
    found = []
    for reference in ready:
        one = asked[reference]
        try:
            python, versions = ray.get(reference)
        except Exception as error:
            raise ClusterUnfit(
                f"The node {_address(one)} cannot run a task ({type(error).__name__}).",
                hint="ray status says how it is",
            ) from error
        found.append(Node(one["NodeID"], _address(one), python, versions))
    return sorted(found, key=lambda one: one.address)


def _address(node: dict[str, Any]) -> str:
    return str(node.get("NodeManagerAddress", "?"))


def check_nodes(found: Sequence[Node], *, needed: Sequence[str] = (), extra: str = "ray") -> None:
    """Passes where every node can run what is deployed from here; ``needed`` names more packages, those of the bundle.

    Raises:
        ClusterUnfit: one lacks something, or has another version of it.
    """
    here = {name: metadata.version(name) for name in HERE_TOO}
    python = ".".join(platform.python_version_tuple()[:2])
    for node in found:
        where = f"The node {node.address}"
        if node.python.rpartition(".")[0] != python:
            raise ClusterUnfit(
                f"{where} runs Python {node.python}, and this machine {platform.python_version()}.",
                hint=f"deploy from an environment with Python {node.python.rpartition('.')[0]}",
            )
        for name in dict.fromkeys((*here, *needed)):
            has = node.versions.get(name)
            if has is None:
                raise ClusterUnfit(f"{where} has no {name}.", hint=_install_there(extra))
            if name in here and has != here[name]:
                raise ClusterUnfit(
                    f"{where} has {name} {has}, and this machine {here[name]}.",
                    hint=f"install the same on both: what is deployed is what was tried here ({_install_there(extra)})",
                )


def _install_there(extra: str) -> str:
    return f"in the environment that Ray runs in there: {install_command(extra, elsewhere=True)}"
