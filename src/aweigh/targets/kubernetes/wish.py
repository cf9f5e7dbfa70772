"""What somebody asks of a cluster: where, how much, how it is reached, how it grows. All of it is looked at here.

Names are held to what Kubernetes takes for a name, numbers to bounds; nothing that passes can be more than one word of
a document.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from aweigh.errors import UsageError
from aweigh.oci.reference import check_host
from aweigh.targets.app_name import check_app
from aweigh.targets.compose.plan import HOST
from aweigh.targets.compose.sizes import check_cpus, check_memory
from aweigh.targets.replica import check_count

By = Literal["fixed", "cpu", "queue", "keda"]
Way = Literal["none", "ingress", "gateway"]
Serving = Literal["deployment", "kserve"]
Store = Literal["address", "inside"]

ANYWHERE = "any"
"""In place of a namespace: whoever reaches the pods may ask."""
NGINX = "ingress-nginx"
LABEL_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""Of a namespace: a DNS label."""
OBJECT_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
"""Of a class, a Secret, an issuer, a Gateway: DNS labels with dots between."""
_SIZE = re.compile(r"[1-9][0-9]{0,5}(?:Mi|Gi|Ti)", re.ASCII)
_ADDRESS = re.compile(r"https?://([A-Za-z0-9.-]{1,253})(?::([0-9]{1,5}))?(?:/[A-Za-z0-9._/-]{0,200})?", re.ASCII)


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an app is reached from outside: by an Ingress, or by a route of a Gateway that is there.

    ``class_name`` is the Ingress class, ``tls_secret`` holds its certificate, ``issuer`` is the cert-manager issuer of
    the cluster that writes it there. ``namespace`` is where whatever stands in front runs, or ``any``; empty: the usual
    one. ``sticky``: whether a route asks for session persistence, which is in the Gateway API's experimental channel.
    """

    way: Way = "none"
    host: str = ""
    class_name: str = ""
    tls_secret: str = ""
    issuer: str = ""
    gateway: str = ""
    gateway_namespace: str = ""
    namespace: str = ""
    sticky: bool = True

    @property
    def front(self) -> str:
        """The namespace of whatever stands in front; of a Gateway its own; empty: the app's."""
        return self.namespace or (NGINX if self.way == "ingress" else self.gateway_namespace)

    @property
    def has_tls(self) -> bool:
        """Whether browsers come by https; a Gateway's listener is taken to have a certificate."""
        return self.way == "gateway" or bool(self.tls_secret)


class Scaling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many web replicas there are, and by what that changes.

    ``cpu`` takes the share of the CPU that was asked for; ``queue`` the requests under way and the rows that wait, a
    replica, which takes an adapter of metrics; ``keda`` the same from the Prometheus at ``prometheus``.
    """

    by: By = "fixed"
    least: int = 1
    most: int = 1
    cpu_percent: int = 70
    in_flight: int = 8
    queue_rows: int = 32
    prometheus: str = ""


class Stores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where PostgreSQL and Redis are: at an address that a Secret holds, or made inside of the cluster.

    Inside, PostgreSQL is a Cluster of CloudNativePG's operator, and Redis a Valkey of one replica.
    """

    postgresql: Store = "address"
    redis: Store = "address"
    postgresql_port: int = 5432
    redis_port: int = 6379
    instances: int = 1
    size: str = "5Gi"
    postgresql_image: str = ""
    valkey_image: str = "docker.io/valkey/valkey:8-alpine"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for. ``replicas``: None is as many as there are, at first one.

    ``memory`` and ``cpus`` are what a web replica may take; without ``memory`` it is what was measured of the bundle.
    """

    app: str
    namespace: str = "default"
    replicas: int | None = None
    memory: str | None = None
    cpus: str = "1"
    entry: Entry = field(default_factory=Entry)
    scaling: Scaling = field(default_factory=Scaling)
    stores: Stores = field(default_factory=Stores)
    serving: Serving = "deployment"
    metrics_namespace: str = ""
    pull_secret: str = ""
    makes_namespace: bool = False
    https_out: bool = False


def check_wish(wish: Wish) -> None:
    """What can be said without asking anybody.

    Raises:
        UsageError: a name, a size or a number that cannot be.
    """
    check_app(wish.app)
    check_name(wish.namespace, what="namespace")
    if wish.metrics_namespace:
        check_name(wish.metrics_namespace, what="metrics namespace")
    if wish.pull_secret:
        check_object_name(wish.pull_secret, what="pull secret")
    if wish.replicas is not None:
        check_count(wish.replicas)
        if wish.scaling.by != "fixed":
            raise UsageError(
                "Their number is said, and is to change by itself.", hint="--replicas, or --scaling with --max-replicas"
            )
    check_cpus(wish.cpus)
    if wish.memory is not None:
        check_memory(wish.memory)
    _check_entry(wish.entry)
    _check_scaling(wish.scaling)
    _check_stores(wish.stores)


def check_name(text: str, *, what: str) -> str:
    """A name as Kubernetes takes it.

    Raises:
        UsageError: it is none.
    """
    if LABEL_NAME.fullmatch(text) is None:
        raise UsageError(
            f"No {what} can be called {text[:60]!a}.", hint="small letters, digits and hyphens, at most 63"
        )
    return text


def check_object_name(text: str, *, what: str) -> str:
    """The name of an object, which may have dots.

    Raises:
        UsageError: it is none.
    """
    if OBJECT_NAME.fullmatch(text) is None:
        raise UsageError(
            f"No {what} can be called {text[:60]!a}.", hint="small letters, digits, hyphens and dots, at most 253"
        )
    return text


def _check_entry(entry: Entry) -> None:
    if entry.way != "none" and (HOST.fullmatch(entry.host) is None or len(entry.host) > 253):
        raise UsageError(f"{entry.host[:60]!a} is no name of a host.", hint="--host models.example.org")
    if entry.way == "gateway" and not entry.gateway:
        raise UsageError("A route takes a Gateway that it belongs to.", hint="--gateway NAMESPACE/NAME")
    for name in ("class_name", "tls_secret", "issuer", "gateway"):
        if getattr(entry, name):
            check_object_name(getattr(entry, name), what=name.replace("_", " "))
    for name in ("gateway_namespace", "namespace"):
        if getattr(entry, name):
            check_name(getattr(entry, name), what=name.replace("_", " "))
    if entry.issuer and not entry.tls_secret:
        raise UsageError("A certificate takes a Secret to be kept in.", hint="--tls-secret NAME")


def _check_scaling(scaling: Scaling) -> None:
    for count in (scaling.least, scaling.most):
        check_count(count)
    if scaling.by != "fixed" and not 1 <= scaling.least <= scaling.most:
        raise UsageError(
            f"From {scaling.least} to {scaling.most} replicas is no range.",
            hint="--min-replicas 1 at least, and --max-replicas no fewer",
        )
    for name, most in (("cpu_percent", 100), ("in_flight", 100_000), ("queue_rows", 10_000_000)):
        if not 1 <= getattr(scaling, name) <= most:
            raise UsageError(f"{getattr(scaling, name)} cannot be scaled by.", hint=f"a number from 1 to {most}")
    if scaling.by == "keda" and not scaling.prometheus:
        raise UsageError("KEDA asks a Prometheus.", hint="--prometheus http://prometheus.monitoring.svc:9090")
    if scaling.prometheus:
        check_address(scaling.prometheus)


def check_address(text: str) -> str:
    """The address of a Prometheus: no account in it, no query.

    Raises:
        UsageError: it is none.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or (found[2] is not None and not 0 < int(found[2]) < 65536):
        raise UsageError(f"{text[:80]!a} is no address of a Prometheus.", hint="http://prometheus.monitoring.svc:9090")
    check_host(found[1].lower())
    return text


def _check_stores(stores: Stores) -> None:
    if _SIZE.fullmatch(stores.size) is None:
        raise UsageError(f"{stores.size[:40]!a} is no size of a volume.", hint="write 5Gi or 512Mi")
    if not 1 <= stores.instances <= 9:
        raise UsageError(f"There can be no {stores.instances} instances of PostgreSQL.", hint="1 to 9")
    for port in (stores.postgresql_port, stores.redis_port):
        if not 0 < port < 65536:
            raise UsageError(f"{port} is no port.", hint="a number from 1 to 65535")
