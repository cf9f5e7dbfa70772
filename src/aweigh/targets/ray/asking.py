"""The golden rows, asked on a node of the cluster through Ray's own proxy there: a key never leaves the machine."""

from collections.abc import Mapping
from typing import Any

from aweigh.errors import RemoteError
from aweigh.targets.live import Golden, Replayed

ASK_S = 90.0


def replayed(golden: Golden, *, node: str, host: str, port: int, path: str, door: tuple[str, int] | None) -> Replayed:
    """What comes of asking the proxy of that node, at a path below it.

    ``door`` is the app and the number of the release that asks who comes; None: it asks nobody.

    Raises:
        RemoteError: it does not answer, lets nobody in, or answers for another bundle.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    where = NodeAffinitySchedulingStrategy(node, soft=False)
    task: Any = ray.remote(ask_here).options(num_cpus=0, scheduling_strategy=where, max_retries=2)
    url = f"http://{_reached(host)}:{port}{path.rstrip('/')}"
    rows = [dict(one) for one in golden.rows]
    predictions = [dict(one) for one in golden.predictions]
    said = (golden.name, golden.version, rows, predictions, golden.absolute_tolerance)
    reference = task.remote(url, said, door)
    try:
        found: dict[str, Any] = ray.get(reference, timeout=ASK_S)
    except Exception as error:
        ray.cancel(reference, force=True)
        raise RemoteError(
            f"The node that was to ask the golden rows did not ({type(error).__name__}).",
            hint="ray status says how it is",
        ) from error
    if "error" in found:
        raise RemoteError(found["error"], hint=found["hint"])
    return Replayed(found["rows"], tuple(found["problems"]), found["skipped"])


def ask_here(url: str, said: tuple[Any, ...], door: tuple[str, int] | None) -> Mapping[str, Any]:
    """On the node: asks, and says in plain words what came of it, as an exception of ours would not travel."""
    from aweigh.guard.deploy_key import VARIABLE
    from aweigh.secret import Secret
    from aweigh.targets.live import replay
    from aweigh.targets.ray.kept import RayStore, read_secrets

    secret = None if door is None else read_secrets(RayStore(), *door).get(VARIABLE)
    try:
        found = replay(url, Golden(*said), secret=None if secret is None else Secret(secret))
    except RemoteError as error:
        return {"error": error.message, "hint": error.hint}
    return {"rows": found.rows, "problems": list(found.problems), "skipped": found.skipped}


def _reached(host: str) -> str:
    """How a node reaches its own proxy that listens on an address."""
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104  an address to be told apart, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
