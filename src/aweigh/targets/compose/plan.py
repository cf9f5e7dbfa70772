"""What is to run: a release with its image, how many of what, and within which limits; kept with each release as JSON.

Everything that reaches a document is looked at here: names and sizes by allow-lists, texts by what no reader takes for
more than a text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from aweigh.errors import UsageError
from aweigh.oci.reference import parse_reference
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
"""What the others run, by tags that get their makers' fixes; never another major version by itself."""
RESERVED = frozenset({MIGRATE, *IMAGES})
MOST_REPLICAS = 20
MEMORY = "512M"
CPUS = "1"
PORT = 8000
LEAST_MEMORY_BYTES = 64 * 2**20
MOST_CPUS = 256
MOST_VALUE = 8000

NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")
"""Of an app: part of the names of containers, volumes and a folder."""
PROCESS = re.compile(r"[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*")
_MEMORY = re.compile(r"([1-9][0-9]{0,9})([MmGg])[Bb]?", re.ASCII)
_CPUS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,2})?", re.ASCII)
_UNITS = {"m": 2**20, "g": 2**30}


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for. ``replicas``: None is as many as there are, at first one.

    ``public``: the port is opened to other machines, not to this one alone; ``hosts`` are the names that it is asked
    by. ``images`` are others than the usual ones, by container (``postgres``, ``valkey``, ``proxy``).
    """

    app: str
    port: int = PORT
    replicas: int | None = None
    memory: str = MEMORY
    cpus: str = CPUS
    public: bool = False
    hosts: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)


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
        """Whether a proxy shares the requests out among several web replicas."""
        return self.replicas.get(WEB, 1) > 1


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
    if NAME.fullmatch(wish.app) is None:
        raise UsageError(
            f"No app can be called {wish.app[:60]!a}.",
            hint="1 to 40 small letters, digits and hyphens, the first a letter, the last no hyphen",
        )
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


def check_memory(text: str) -> str:
    """A size as Docker reads it, if it is one.

    Raises:
        UsageError: it is none, or less than any server needs.
    """
    found = _MEMORY.fullmatch(text)
    if found is None or int(found[1]) * _UNITS[found[2].lower()] < LEAST_MEMORY_BYTES:
        raise UsageError(f"{text[:40]!a} is no size for a server's memory.", hint="write 512M or 2G; 64M at least")
    return f"{found[1]}{found[2].upper()}"


def memory_bytes(text: str) -> int:
    """How much a size is, as Docker reads it: ``512M``, ``2G``.

    Raises:
        UsageError: it is none.
    """
    size = check_memory(text)
    return int(size[:-1]) * _UNITS[size[-1].lower()]


def check_cpus(text: str) -> str:
    """A number of processors, if it is one.

    Raises:
        UsageError: it is none.
    """
    if _CPUS.fullmatch(text) is None or not 0.05 <= float(text) <= MOST_CPUS:
        raise UsageError(f"{text[:40]!a} is no number of processors.", hint="write 1, 0.5 or 2")
    return text


def check_count(process: str, count: int) -> int:
    """How many replicas, if so many can be.

    Raises:
        UsageError: not so many.
    """
    if not 0 <= count <= MOST_REPLICAS:
        raise UsageError(f"There can be no {count} replicas of {process[:40]!a}.", hint=f"0 to {MOST_REPLICAS}")
    return count


def check_setting(name: str, value: str) -> None:
    """A setting that a document may hold.

    Raises:
        UsageError: no variable has such a name, or no environment such a value.
    """
    if VARIABLE.fullmatch(name) is None:
        raise UsageError(f"No setting can be named {name[:60]!a}.", hint="write NAME=VALUE")
    if len(value) > MOST_VALUE or "\0" in value or not value.isprintable():
        raise UsageError(f"The value of {name} cannot be one of an environment.", hint="one line of text")


def plan_of(
    release: Release,
    wish: Wish,
    image: Chosen,
    *,
    settings: Mapping[str, str] | None = None,
    counts: Mapping[str, int] | None = None,
) -> Plan:
    """The plan of a release; ``settings`` are the owner's own, over what the release says.

    ``counts`` are how many replicas there are now, by process: so many there will be, where the wish names no number.

    Raises:
        UsageError: something in it cannot be.
    """
    check_wish(wish)
    counts = dict(counts or {}) | ({} if wish.replicas is None else {WEB: wish.replicas})
    web = counts.get(WEB, 1)
    config = {name: value for name, value in release.config.items() if name != "AWEIGH_PROXIES"}
    config["AWEIGH_PROXIES"] = "1" if web > 1 else "0"
    if not wish.public or wish.hosts:
        config["AWEIGH_HOSTS"] = ",".join(dict.fromkeys((*wish.hosts, "localhost", "127.0.0.1", "[::1]")))
    if web > 1 and not release.stores:
        config["AWEIGH_JOBS"] = "off"  # each replica would know its own alone
    config |= settings or {}
    for name, value in config.items():
        check_setting(name, value)
    processes = _processes_of(release)
    images = {OF_STORES[one]: wish.images.get(OF_STORES[one], IMAGES[OF_STORES[one]]) for one in release.stores}
    images[PROXY] = wish.images.get(PROXY, IMAGES[PROXY])
    return Plan(
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
        config=dict(sorted(config.items())),
        stores=tuple(release.stores),
        images={name: str(parse_reference(one)) for name, one in sorted(images.items())},
        bundle=None if release.bundle is None else golden_of(release.files[release.bundle]).version,
        is_ours=START in release.processes.get(WEB, ""),
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
    replicas = plan.replicas | dict(counts)
    config = dict(plan.config)
    if config.get("AWEIGH_PROXIES") in {"0", "1"}:
        config["AWEIGH_PROXIES"] = "1" if replicas[WEB] > 1 else "0"
    if replicas[WEB] > 1 and not plan.stores:
        config["AWEIGH_JOBS"] = "off"
    return msgspec.structs.replace(plan, replicas=replicas, config=config)


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
