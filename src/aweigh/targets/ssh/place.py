"""Where an app lives on a host: its names, folders and ports, and what somebody asks for, all of it allow-listed.

``/opt/aweigh/NAME`` belongs to root and holds releases, environments, the settings and the marker that says which slot
is live; ``/var/lib/aweigh/NAME`` is the app's own, and the only place that it may write to.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from aweigh.errors import UsageError

Slot = Literal["a", "b"]
SLOTS: tuple[Slot, ...] = get_args(Slot)

ROOT = "/opt/aweigh"
STATE = "/var/lib/aweigh"
UNITS = "/etc/systemd/system"
CADDYFILE = "/etc/caddy/Caddyfile"
SITES = "/etc/caddy/aweigh"
ADMIN_ADDRESS = "localhost:2019"
"""Where Caddy is administered unless its file says otherwise: by whoever has a process on the host."""
ADMIN_SOCKET = "/var/lib/caddy/admin.sock"
"""A socket that only root and Caddy may write to."""
IMPORT = f"import {SITES}/*.caddy"
"""The line of the host's own Caddyfile by which Caddy reads the sites of all apps."""

FIRST_PORT, BLOCK, MOST_BLOCKS = 20_000, 20, 500
"""Each app has twenty ports of the loopback: ten for each slot."""
MOST_REPLICAS = 10
PORT = 8080
"""Where Caddy listens for an app that has no domain."""
MEMORY = "1G"
LEAST_MEMORY_BYTES = 128 * 2**20

_APP = re.compile(r"[a-z](?:[a-z0-9-]{0,21}[a-z0-9])?")
"""With ``aweigh-`` before it a name of a user, of which Linux takes 32 characters."""
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_IPV6 = re.compile(r"[0-9a-fA-F:]{2,39}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_MEMORY = re.compile(r"([1-9][0-9]{0,6})([MG])")
_PYTHON = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./+-]{0,199}")
_PRIVATE_ENDS = frozenset({
    "local", "localhost", "localdomain", "internal", "intranet", "private", "test", "invalid", "example", "arpa", "lan",
    "home", "corp", "mail", "onion",
})  # fmt: skip
"""The last part of names that no public authority certifies (RFC 2606, 6761, 6762, ICANN's reserved ones)."""


@dataclass(frozen=True, slots=True)
class Address:
    """Whom ssh is to reach; None: as the user's own configuration says."""

    host: str
    user: str | None = None
    port: int | None = None

    @property
    def typed(self) -> str:
        """As somebody types it for ``--host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'' if self.user is None else f'{self.user}@'}{host}{'' if self.port is None else f':{self.port}'}"

    @property
    def destination(self) -> str:
        """As ssh is told, without the port."""
        return self.host if self.user is None else f"{self.user}@{self.host}"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for; what is None stays as it is there, or takes the default."""

    app: str
    address: Address
    domain: str | None = None
    port: int | None = None
    memory: str | None = None
    replicas: Mapping[str, int] = field(default_factory=dict)
    python: str | None = None
    """An interpreter on the host, by its name or path."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Every name of an app on a host; ``app`` has passed the allow-list."""

    app: str

    @property
    def user(self) -> str:
        """The system user that it runs as."""
        return f"aweigh-{self.app}"

    @property
    def root(self) -> str:
        """Its folder."""
        return f"{ROOT}/{self.app}"

    @property
    def state(self) -> str:
        """What it may write to."""
        return f"{STATE}/{self.app}"

    @property
    def env(self) -> str:
        """The file of settings and secrets, root's alone."""
        return f"{self.root}/shared/env"

    @property
    def place(self) -> str:
        """What was asked for when it was last deployed."""
        return f"{self.root}/shared/place.json"

    @property
    def history(self) -> str:
        """A line for each time that something went live."""
        return f"{self.root}/shared/history"

    @property
    def live(self) -> str:
        """The folder of the marker: a file in it, as ``b2``, is all that says where Caddy sends a request."""
        return f"{self.root}/live"

    def marker(self, slot: Slot, web: int) -> str:
        """The file that is there while so many replicas of a slot are live: Caddy looks for it at each request."""
        return f"{self.live}/{marker_name(slot, web)}"

    @property
    def lock(self) -> str:
        """What a deployment holds while it runs."""
        return f"{self.root}/shared/lock"

    @property
    def site(self) -> str:
        """The app's part of Caddy's configuration."""
        return f"{SITES}/{self.app}.caddy"

    @property
    def taken(self) -> str:
        """The site as Caddy took it last: what only lies there differs from it."""
        return f"{self.root}/shared/site"

    @property
    def base(self) -> str:
        """The first of the app's ports, its own from the first deployment on."""
        return f"{self.root}/shared/base"

    def release(self, digest: str) -> str:
        """The folder of a release."""
        return f"{self.root}/releases/{digest}"

    def slot(self, slot: Slot) -> str:
        """What is said of a slot: which release it runs, and how many replicas of it."""
        return f"{self.root}/shared/slot-{slot}.json"

    def unit(self, kind: str, slot: Slot, number: int | None = None) -> str:
        """The unit of a process type: without a number the template."""
        return f"{self.prefix}{kind}.{slot}@{'' if number is None else number}.service"

    def migration(self, slot: Slot) -> str:
        """The unit that runs once before a release."""
        return f"{self.prefix}release.{slot}.service"

    @property
    def installing(self) -> str:
        """The unit in which pip runs."""
        return f"{self.prefix}install.service"

    @property
    def prefix(self) -> str:
        """How the names of all its units begin: with a dot at the end, so that no other app's begin so."""
        return f"aweigh-{self.app}."


def marker_name(slot: Slot, web: int) -> str:
    """The name of a marker: slot and number of web replicas.

    >>> marker_name("b", 2)
    'b2'
    """
    return f"{slot}{web}"


def marker_order() -> list[tuple[Slot, int]]:
    """All that there can be, in the order in which they are looked for: where there are two, the first one counts."""
    return [(slot, web) for web in range(1, MOST_REPLICAS + 1) for slot in SLOTS] + [(slot, 0) for slot in SLOTS]


def port_of(base: int, slot: Slot, number: int) -> int:
    """The port of the loopback on which a replica listens."""
    return base + (0 if slot == "a" else MOST_REPLICAS) + number


def other(slot: Slot) -> Slot:
    """The slot beside it."""
    return "b" if slot == "a" else "a"


def read_address(text: str) -> Address:
    """The address that somebody typed: ``[user@]host[:port]``, an IPv6 address in brackets.

    Raises:
        UsageError: it is none.

    >>> read_address("root@192.0.2.7:2222")
    Address(host='192.0.2.7', user='root', port=2222)
    """
    user, sign, rest = text.rpartition("@")
    host, colon, port = rest.rpartition(":") if not rest.endswith("]") else (rest, "", "")
    if not colon:
        host = rest
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else None
    good = (
        (not sign or _USER.fullmatch(user) is not None)
        and (_HOST.fullmatch(host) if bare is None else _IPV6.fullmatch(bare)) is not None
        and (not colon or (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536))
    )
    if not good:
        raise UsageError(f"{text[:60]!a} is no address of a host.", hint="write user@host or user@host:port")
    return Address(bare or host, user or None, int(port) if colon else None)


def check_app(app: str) -> str:
    """The name, if an app on a server can have it.

    Raises:
        UsageError: it cannot.
    """
    if _APP.fullmatch(app) is None:
        raise UsageError(
            f"No app on a server can be named {app[:40]!a}.",
            hint="up to 23 small letters, digits and hyphens, the first a letter, the last no hyphen",
        )
    return app


def check_wish(wish: Wish) -> None:
    """What can be said without asking the host.

    Raises:
        UsageError: a name, a size or a number that cannot be.
    """
    check_app(wish.app)
    if wish.domain is not None:
        check_domain(wish.domain)
    if wish.domain is not None and wish.port is not None:
        raise UsageError("With --domain Caddy listens at 80 and 443.", hint="leave --port out")
    if wish.port is not None and not 0 < wish.port < 65536:
        raise UsageError(f"There is no port {wish.port}.")
    if wish.port is not None and FIRST_PORT <= wish.port < FIRST_PORT + BLOCK * MOST_BLOCKS:
        raise UsageError(
            f"Port {wish.port} is of those that the apps have.", hint="take one below 20000 or from 30000 on"
        )
    if wish.memory is not None:
        memory_bytes(wish.memory)
    if wish.python is not None and _PYTHON.fullmatch(wish.python) is None:
        raise UsageError(f"{wish.python[:40]!a} is no name of a Python.", hint="as python3.12, or a path")
    for kind, count in wish.replicas.items():
        if not 0 <= count <= MOST_REPLICAS:
            raise UsageError(
                f"There can be 0 to {MOST_REPLICAS} replicas of {kind[:40]!a} on a host.", hint="give it another host"
            )


def check_domain(domain: str) -> str:
    """The domain, if a public authority certifies such names.

    Raises:
        UsageError: it does not.
    """
    labels = domain.split(".")
    good = len(domain) <= 253 and len(labels) > 1 and all(_LABEL.fullmatch(one) for one in labels)
    if not good or labels[-1].isdigit() or labels[-1] in _PRIVATE_ENDS:
        raise UsageError(
            f"For {domain[:60]!a} nobody gives a certificate.",
            hint="give a public name in small letters that points at the host (app.example.org); or leave --domain out",
        )
    return domain


def memory_bytes(text: str) -> int:
    """How much a process may take, as systemd reads it: ``512M``, ``2G``.

    Raises:
        UsageError: it is no size, or too small for a server to start.
    """
    found = _MEMORY.fullmatch(text)
    size = 0 if found is None else int(found[1]) * (2**20 if found[2] == "M" else 2**30)
    if size < LEAST_MEMORY_BYTES:
        raise UsageError(f"{text[:20]!a} is no memory to run in.", hint="write 512M or 2G; 128M is the least")
    return size
