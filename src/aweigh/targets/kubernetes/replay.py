"""The golden rows asked of the new pods: through a forwarded port, else the API's proxy, else the public address."""

from dataclasses import dataclass
from typing import Literal

from aweigh.errors import RemoteError
from aweigh.secret import Secret
from aweigh.targets.errors import AnswersDiffer
from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.errors import NoForward
from aweigh.targets.kubernetes.labels import named
from aweigh.targets.kubernetes.pods import is_ready, port_of
from aweigh.targets.kubernetes.portforward import forwarded
from aweigh.targets.kubernetes.proxied import proxied
from aweigh.targets.kubernetes.resources import at, name_of
from aweigh.targets.kubernetes.rollout import new_pods
from aweigh.targets.kubernetes.secrets import deploy_secret
from aweigh.targets.live import Golden, Reply, get, is_private, replay

Way = Literal["pod", "service", "address"]


@dataclass(frozen=True, slots=True)
class Asked:
    """How many golden rows agreed, and what is to be said of it."""

    rows: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a release can be asked: its web Deployment, its Service and its public address."""

    deployment: Object
    service: Object | None
    url: str | None


def ask_golden(client: Client, app: str, place: Place, golden: Golden, *, way: Way = "pod") -> Asked:
    """Asks the rows, and holds the answers against the original's.

    Raises:
        AnswersDiffer: one differs.
        RemoteError: what runs does not answer, or for another bundle.
    """
    # Where there is no door, nobody looks at the key.
    secret = deploy_secret(client, app)
    if way == "address":
        if place.url is None or (secret is not None and not is_private(place.url)):
            return Asked(0, ("the golden rows were not asked: there is no public address with TLS to ask them at",))
        return _asked(place.url, golden, secret)
    if way == "service":
        return _by_service(client, place, golden, secret, why="")
    pods = [one for one in new_pods(client, place.deployment) if is_ready(one)]
    if not pods:
        raise RemoteError("No pod of the new release is ready to be asked.", hint="run the same command again")
    try:
        with forwarded(client, name_of(pods[-1]), port_of(place.deployment)) as url:
            return _asked(url, golden, secret)
    except NoForward as error:
        return _by_service(client, place, golden, secret, why=error.message)


def _by_service(client: Client, place: Place, golden: Golden, secret: Secret | None, *, why: str) -> Asked:
    told = f": {why.rstrip('.')}" if why else ""
    if place.service is None or secret is not None:
        door = "" if secret is None else ", and the API's proxy takes no key for the app"
        note = f"the golden rows were not asked{told}{door}; ask them at its address: --check-at address"
        return Asked(0, (note,))
    port = at(place.service, "spec", "ports", 0, "port") or 80
    with proxied(client, name_of(place.service), int(port)) as url:
        reply = get(url, "/health/live")
        if reply is None or _is_of_api(reply):
            # The pods are ready: it is the way to them that is closed, by a policy or for this user.
            told = f"{told}, and" if told else ":"
            return Asked(0, (f"the golden rows were not asked{told} the API's proxy does not reach the app",))
        return _asked(url, golden, None)


def _is_of_api(reply: Reply) -> bool:
    """Whether the cluster's API answered itself, and not the app behind it."""
    found = reply.document
    return reply.status >= 400 and (found is None or (isinstance(found, dict) and found.get("kind") == "Status"))


def _asked(url: str, golden: Golden, secret: Secret | None) -> Asked:
    found = replay(url, golden, secret=secret)
    if not found.ok:
        raise AnswersDiffer(
            f"The new release answers differently: {found.problems[0]}.",
            hint="does the image hold the bundle that was deployed, and does it fit the machine? aweigh verify BUNDLE",
        )
    notes = (f"{found.skipped} golden rows are refused by AWEIGH_DOMAIN",) if found.skipped else ()
    return Asked(found.rows - found.skipped, notes)


def place_of(web: Object, objects: list[Object]) -> Place:
    """Where it is asked, by the documents beside it."""
    services = [one for one in named(objects, "Service") if at(one, "spec", "clusterIP") != "None"]
    return Place(web, services[0] if services else None, url_of(objects))


def url_of(objects: list[Object]) -> str | None:
    """The public address, by an Ingress or an HTTPRoute; None: it is reached within the cluster alone."""
    for one in named(objects, "Ingress"):
        host = at(one, "spec", "rules", 0, "host")
        if host:
            return f"{'https' if at(one, 'spec', 'tls', 0) is not None else 'http'}://{host}"
    for one in named(objects, "HTTPRoute"):
        host = at(one, "spec", "hostnames", 0)
        if host:
            return f"https://{host}"
    return None
