"""Ray Serve's controller, asked and told: what is deployed by configuration, what runs of it, where the proxies listen.

It is the way that ``serve deploy`` and KubeRay take, by the controller itself and not by the dashboard, which a cluster
may be without. The configuration is one for the whole cluster: what of it is not this app's is read and handed back as
it was.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aweigh.targets.errors import NotUp, quote
from aweigh.targets.ray.errors import ServeRefused

REFUSED = "aweigh refuses to start:"
"""As ``app.py`` begins the sentence of a replica that does not start."""
PROXIES_S = 60.0
ASK_S = 60.0
"""How long the controller has to answer: it may be starting anew on another node."""


@dataclass(frozen=True, slots=True)
class Running:
    """What Ray Serve says of one application: ``state`` is its own word for it.

    ``replicas`` are those that answer; ``logs`` are the nodes and the paths of their logs, below Ray's folder of logs.
    """

    name: str
    state: str
    message: str
    route: str | None
    replicas: int
    wanted: int
    logs: tuple[tuple[str, str], ...]


class Serve:
    """The controller of the connected cluster."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def listens(self) -> tuple[str, int]:
        """The host and the port of the proxies."""
        options = self._client.http_config
        return str(options.host), int(options.port)

    def details(self) -> dict[str, Any]:
        """All that the controller tells.

        Raises:
            ServeRefused: it does not answer.
        """
        import ray

        try:  # as ``get_serve_details`` of the client does, which waits for ever
            asked = self._client._controller.get_serve_instance_details.remote()  # noqa: SLF001
            found: dict[str, Any] = ray.get(asked, timeout=ASK_S)
        except Exception as error:
            raise _refused("says not what runs", error) from error
        return found

    def applications(self) -> dict[str, Running]:
        """What runs, by its name."""
        return {name: _running(name, one) for name, one in self.details().get("applications", {}).items()}

    def proxies(self) -> list[str]:
        """The ids of the nodes whose proxies are well."""
        proxies = self.details().get("proxies", {})
        return sorted(node for node, one in proxies.items() if _word(one.get("status")) == "HEALTHY")

    def apply(self, wanted: Sequence[Mapping[str, Any]], *, without: Callable[[str], bool]) -> None:
        """Has these applications run, and none more of those that ``without`` names; all others stay as they are.

        Where one takes the prefix of another, which is given one of its own by the same call, the proxies hear of both
        at once; the one that takes it has to stand first.

        Raises:
            ServeRefused: the controller does not take it.
        """
        from ray.serve.schema import ServeDeploySchema

        details = self.details()
        names = {one["name"] for one in wanted}
        others = [
            one["deployed_app_config"]
            for name, one in details.get("applications", {}).items()
            if one.get("deployed_app_config") and name not in names and not without(name)
            and _word(one.get("status")) != "DELETING"
        ]  # fmt: skip
        config: dict[str, Any] = {"applications": [*map(dict, wanted), *others]}
        if details.get("target_capacity") is not None:
            config["target_capacity"] = details["target_capacity"]
        try:
            schema = ServeDeploySchema.model_validate(config)
            self._client.deploy_apps(schema, _blocking=False)
        except Exception as error:
            raise _refused("does not take the application", error) from error

    def wait_for(self, name: str, *, until: float, pause_s: float = 0.25) -> Running:
        """The application, once all its replicas run.

        Raises:
            NotUp: it fails, or time is up; why, as far as Ray tells.
        """
        found = None
        while time.monotonic() < until:
            found = self.applications().get(name)
            if found is not None and found.state == "RUNNING":
                return found
            if found is not None and found.state in {"DEPLOY_FAILED", "UNHEALTHY"}:
                raise NotUp(f"The new release does not start: {reason(found.message)}.", hint="see aweigh logs ray")
            time.sleep(pause_s)
        told = reason(found.message) if found is not None and found.message else "Ray does not say why"
        raise NotUp(
            f"The new release was not ready in time: {told}.",
            hint="ray status says what the cluster has left; for a moment both releases need room",
        )

    def wait_until_gone(self, name: str, *, until: float) -> bool:
        """Whether the application is gone in time."""
        while name in self.applications():
            if time.monotonic() > until:
                return False
            time.sleep(0.5)
        return True


def running_serve() -> Serve | None:
    """Ray Serve as it runs on the connected cluster; None: it does not."""
    from ray.serve.context import _get_global_client
    from ray.serve.exceptions import RayServeException

    with suppress(RayServeException):
        return Serve(_get_global_client())
    return None


def started_serve(host: str, port: int) -> Serve:
    """Ray Serve, started with a proxy on every node where it does not run yet.

    Raises:
        ServeRefused: it does not start.
    """
    from ray import serve

    found = running_serve()
    if found is not None:
        return found
    try:
        serve.start(proxy_location="EveryNode", http_options={"host": host, "port": port})
    except Exception as error:
        raise _refused("does not start", error) from error
    found = running_serve()
    if found is None:
        raise ServeRefused("Ray Serve does not start.", hint="ray status says how the cluster is")
    until = time.monotonic() + PROXIES_S
    while not found.proxies() and time.monotonic() < until:
        time.sleep(0.25)
    return found


def reason(message: str) -> str:
    """Why a replica does not start: our own sentence where there is one, else the last words of Ray's."""
    begin = message.rfind(REFUSED)
    if begin >= 0:
        return quote(message[begin + len(REFUSED) :].split("\n", maxsplit=1)[0].rstrip(".' \"}])"))
    lines = [one.strip() for one in message.splitlines() if one.strip()]
    errors = [one for one in lines if "Error" in one.split(":")[0] or "Exception" in one.split(":")[0]]
    return quote((errors or lines or ["it does not say why"])[-1].rstrip("."))


def _running(name: str, found: Mapping[str, Any]) -> Running:
    deployments = found.get("deployments", {}).values()
    replicas = [one for each in deployments for one in each.get("replicas") or ()]
    told = [str(each.get("message") or "") for each in deployments]
    return Running(
        name=name,
        state=_word(found["status"]),
        message="\n".join(one for one in (str(found.get("message") or ""), *told) if one),
        route=found.get("route_prefix"),
        replicas=sum(_word(one["state"]) == "RUNNING" for one in replicas),
        wanted=sum(int(each.get("target_num_replicas") or 0) for each in deployments),
        logs=tuple((str(one["node_id"]), str(one["log_file_path"])) for one in replicas if one.get("log_file_path")),
    )


def _word(said: Any) -> str:
    """A state as Ray writes it, whether it comes as its enumeration or as a text."""
    return str(getattr(said, "value", said))


def _refused(what: str, error: Exception) -> ServeRefused:
    lines = [one for one in str(error).splitlines() if one.strip()]
    return ServeRefused(
        f"Ray Serve {what}: {quote(lines[-1] if lines else type(error).__name__).rstrip('.')}.",
        hint="serve status, on a machine of the cluster, says how it is",
    )
