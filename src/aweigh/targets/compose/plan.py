"""What is to run: a release with its image, how many of what, and within which limits; kept with each release as JSON.

Everything that reaches a document is looked at here: names and sizes by allow-lists, texts by what no reader takes for
more than a text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from aweigh.errors import UsageError
from aweigh.oci.reference import parse_reference
from aweigh.targets.app_name import check_app
from aweigh.targets.compose.sizes import check_count, check_cpus, check_memory
from aweigh.targets.image.build import words_of
from aweigh.targets.live import golden_of
from aweigh.targets.release import START, Release

WEB, WORKER, MIGRATE = "web", "worker", "migrate"
POSTGRES, VALKEY, PROXY = "postgres", "valkey", "proxy"
OF_STORES: Mapping[str, str] = {"postgresql": POSTGRES, "redis": VALKEY}
"""Which container holds what."""
IMAGES: Mapping[str, str] = {
    POSTGRES: "docker.io/library/postgres:18-alpine",
    VALKEY: "docker.io/valkey/valkey:8-alpine",
    PROXY: "docker.io/library/caddy:2-alpine",
}
"""What the others run, by tags of one major version; an app stays with what it has."""
Slot = Literal["a", "b"]
SERVICES: Mapping[Slot, str] = {"a": WEB, "b": "web-b"}
"""The web containers, by slot: while one is asked the next release starts in the other."""
RESERVED = frozenset({MIGRATE, SERVICES["b"], *IMAGES})
PROXIES, HOSTS = "AWEIGH_PROXIES", "AWEIGH_HOSTS"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
MOST_PROXIES = 15
"""The app believes one more."""
MEMORY = "512M"
CPUS = "1"
PORT = 8000
MOST_VALUE = 8000

PROCESS = re.compile(r"[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*")


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for. ``replicas``: None is as many as there are, at first one.

    ``public``: the port is opened to other machines, not to this one alone; ``hosts`` are the names that it is asked
    by. ``images`` are others than the usual ones, by container (``postgres``, ``valkey``, ``proxy``); what is not named
    stays as it is. ``proxy``: one in front of a single web container, too, so that releases leave no gap; None: as it
    is.
    """

    app: str
    port: int = PORT
    replicas: int | None = None
    memory: str = MEMORY
    cpus: str = CPUS
    public: bool = False
    hosts: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    proxy: bool | None = None


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that the documents are made of; the same plan, the same documents."""

    app: str
    image: str
    """As the engine finds it: a name that holds the digest."""
    digest: str
    processes: dict[str, tuple[str, ...]]
    """By name, the words to run; ``web`` runs what the image says, and has none."""
    replicas: dict[str, int]
    port: int
    public: bool
    memory: str
    cpus: str
    config: dict[str, str]
    stores: tuple[str, ...]
    images: dict[str, str]
    bundle: str | None = None
    """The short digest of the bundle that is served."""
    is_ours: bool = True
    """Whether ``aweigh serve`` answers, which says when it is ready."""
    pulled: bool = False
    """Whether the image is a registry's; else it was built here."""
    proxy: bool = False
    """Whether a proxy is wanted before a single web container, too."""
    base: dict[str, str] | None = None
    """What the release itself says of the settings; None in what older versions kept."""
    settings: dict[str, str] = {}
    """The owner's own, over it."""

    @property
    def project(self) -> str:
        """What compose calls it: no other project of this machine is meant by the name of an app."""
        return f"aweigh-{self.app}"

    @property
    def url(self) -> str:
        """Where it answers, from this machine."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def has_proxy(self) -> bool:
        """Whether a proxy passes the requests on to the web replicas."""
        return self.proxy or self.replicas.get(WEB, 1) > 1

    @property
    def proxies(self) -> int:
        """How many proxies of the owner's own stand in front of the port, as they have said."""
        return int(self.settings.get(PROXIES, "0"))


@dataclass(frozen=True, slots=True)
class Chosen:
    """An image: how the engine finds it, its digest, and whether it comes from a registry."""

    name: str
    digest: str
    pulled: bool = False


def check_wish(wish: Wish) -> None:
    """What can be said without asking anybody.

    Raises:
        UsageError: a name, a size or a number that cannot be.
    """
    check_app(wish.app)
    check_memory(wish.memory)
    check_cpus(wish.cpus)
    if not 1 <= wish.port <= 65535:
        raise UsageError(f"{wish.port} is no port.", hint="a number from 1 to 65535")
    if wish.replicas is not None:
        check_count(WEB, wish.replicas)
    for host in wish.hosts:
        if HOST.fullmatch(host) is None or len(host) > 253:
            raise UsageError(f"{host[:60]!a} is no name of a host.", hint="--host models.example.org")
    for kind, image in wish.images.items():
        if kind not in IMAGES:
            raise UsageError(f"There is no container {kind[:40]!a} to choose an image for.")
        parse_reference(image)


def check_setting(name: str, value: str) -> None:
    """A setting that a document may hold.

    Raises:
        UsageError: no variable has such a name, or no environment such a value.
    """
    if VARIABLE.fullmatch(name) is None:
        raise UsageError(f"No setting can be named {name[:60]!a}.", hint="write NAME=VALUE")
    if len(value) > MOST_VALUE or "\0" in value or not value.isprintable():
        raise UsageError(f"The value of {name} cannot be one of an environment.", hint="one line of text")
    if name == PROXIES and not (re.fullmatch(r"[0-9]{1,2}", value, re.ASCII) and int(value) <= MOST_PROXIES):
        raise UsageError(
            f"{PROXIES} is how many proxies of your own stand in front of the port, and no {value[:20]!a}.",
            hint=f"0 to {MOST_PROXIES}; the one that is made here is counted by itself",
        )


def plan_of(
    release: Release,
    wish: Wish,
    image: Chosen,
    *,
    settings: Mapping[str, str] | None = None,
    before: Plan | None = None,
) -> Plan:
    """The plan of a release; ``settings`` are the owner's own, over what the release says.

    What the wish leaves open is as ``before``: how many replicas there are, the images beside them, and the proxy.

    Raises:
        UsageError: something in it cannot be.
    """
    check_wish(wish)
    counts = ({} if before is None else before.replicas) | ({} if wish.replicas is None else {WEB: wish.replicas})
    base = {name: value for name, value in release.config.items() if name != PROXIES}
    if not wish.public or wish.hosts:
        base[HOSTS] = ",".join((*wish.hosts, *LOOPBACK))
    processes = _processes_of(release)
    kept = dict(IMAGES) | ({} if before is None else before.images) | dict(wish.images)
    # Of a store that is left out its image is remembered: its data is still there.
    needed = {*(OF_STORES[store] for store in release.stores), PROXY, *(() if before is None else before.images)}
    plan = Plan(
        app=wish.app,
        image=image.name,
        digest=image.digest,
        pulled=image.pulled,
        processes=processes,
        replicas={name: counts.get(name, 1) for name in processes if name != MIGRATE},
        port=wish.port,
        public=wish.public,
        memory=check_memory(wish.memory),
        cpus=check_cpus(wish.cpus),
        config={},
        stores=tuple(release.stores),
        images={name: str(parse_reference(kept[name])) for name in sorted(needed)},
        bundle=None if release.bundle is None else golden_of(release.files[release.bundle]).version,
        is_ours=START in release.processes.get(WEB, ""),
        proxy=(before is not None and before.proxy) if wish.proxy is None else wish.proxy,
        base=base,
    )
    return configured(plan, settings or {})


def configured(plan: Plan, settings: Mapping[str, str]) -> Plan:
    """The plan with these settings of the owner's: what is not set any more is as the release says.

    Raises:
        UsageError: something in them cannot be.
    """
    base = dict(plan.config if plan.base is None else plan.base)
    alone = {"AWEIGH_JOBS": "off"} if plan.replicas[WEB] > 1 and not plan.stores else {}
    config = base | alone | dict(settings)  # several replicas without a store would know their own jobs alone
    for name, value in config.items():
        check_setting(name, value)
    if HOSTS in config and config[HOSTS].strip() != "*":  # by which the deployment is looked at
        config[HOSTS] = ",".join(dict.fromkeys((*config[HOSTS].split(","), *LOOPBACK)))
    config[PROXIES] = str(int(settings.get(PROXIES, "0")) + plan.has_proxy)
    return msgspec.structs.replace(
        plan, base=base, settings=dict(sorted(settings.items())), config=dict(sorted(config.items()))
    )


def scaled(plan: Plan, counts: Mapping[str, int]) -> Plan:
    """The plan with other numbers of replicas.

    Raises:
        UsageError: there is no such process, or there can be not so many.
    """
    for name, count in counts.items():
        if name not in plan.replicas:
            raise UsageError(f"The app has no process {name[:40]!a}.", hint=f"it has {', '.join(plan.replicas)}")
        check_count(name, count)
    return configured(msgspec.structs.replace(plan, replicas=plan.replicas | dict(counts)), plan.settings)


def _processes_of(release: Release) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, line in release.processes.items():
        called = MIGRATE if name == "release" else name
        if PROCESS.fullmatch(called) is None or (name != "release" and called in RESERVED):
            raise UsageError(
                f"A process called {name[:60]!a} cannot be a container here.",
                hint="small letters, digits and hyphens, and none of " + ", ".join(sorted(RESERVED)),
            )
        words = tuple(words_of(line))
        if any("\0" in one or not one.isprintable() for one in words):
            raise UsageError(f"The line of the process {name!a} has characters that no command has.")
        found[called] = () if called == WEB else words
    if WEB not in found:
        raise UsageError("The release has no web process.", hint="write web: into its Procfile")
    return found
