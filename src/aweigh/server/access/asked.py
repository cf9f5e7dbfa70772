"""What a request says of where it comes from: its client, its host, its origin. Proxies are believed when told to be.

Nothing here is proof of who somebody is. It says which machine is throttled, whether a browser was sent here by another
site, and whether this server is what the browser thinks that it is talking to (DNS rebinding).
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.types import Scope

from aweigh.errors import ConfigError
from aweigh.guard.rules import is_access_page

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""

SAME_SITE_FETCHES = frozenset({b"", b"same-origin", b"none"})
"""What ``Sec-Fetch-Site`` says, if anything, where this site's own page or the address bar has asked."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
LONGEST_HOST = 255
MOST_HOSTS = 256
"""So many good names are remembered, with their ports: whoever asks chooses the header."""

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_MOST_DIGITS = 6
"""Of a port in ``Host``: one more than there are, so that what is cut off there is still none."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server stands.

    ``hosts`` are the names that it is asked by, empty: any. ``origins`` are other sites whose pages may ask it.
    ``proxies`` is how many stand in front, each of which adds what it saw to ``X-Forwarded-For``; 0: none, and what
    the headers say of proxies is a client's own words.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    proxies: int = 0
    _good: dict[bytes, bool] = field(default_factory=dict, compare=False, repr=False)

    def client_of(self, scope: Scope) -> str:
        """The address of whoever asks, as the outermost proxy that is believed has seen it."""
        peer = str((scope.get("client") or ("",))[0])
        if not self.proxies:
            return peer
        said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
        hops = [one.strip() for one in said.split(",") if one.strip()]
        if len(hops) < self.proxies:
            return peer
        return _address(hops[-self.proxies]) or peer

    def is_secure(self, scope: Scope) -> bool:
        """Whether the browser came by TLS."""
        if scope["scheme"] in {"https", "wss"}:
            return True
        said = header(scope, b"x-forwarded-proto").rpartition(b",")[2].strip().lower() if self.proxies else b""
        return said in {b"https", b"wss"}

    def knows_host(self, host: bytes) -> bool:
        """Whether the server is asked by a name of its own."""
        if not self.hosts:
            return True
        known = self._good.get(host)
        if known is None:
            known = name_of(host.decode("latin-1")) in self.hosts
            if known and len(host) <= LONGEST_HOST and len(self._good) < MOST_HOSTS:
                self._good[host] = known
        return known

    def lets_read(self, scope: Scope) -> bytes | None:
        """The other site whose page asks and may read the answer (CORS); None: no site but this one may."""
        origin = header(scope, b"origin") if self.origins else b""
        return origin if origin and origin.decode("latin-1") in self.origins else None

    def is_same_site(self, scope: Scope) -> bool:
        """Whether a page of this server, or of a site that may, has asked; a program, which says nothing, may be one.

        By ``Origin``, which browsers send with everything that is not a plain GET or HEAD and with WebSockets; where
        there is none, by ``Sec-Fetch-Site``.
        """
        origin = header(scope, b"origin").decode("latin-1")
        if origin:
            if origin in self.origins and not is_access_page(scope["path"]):
                return True
            try:
                parts = urlsplit(origin)
                port = parts.port or _PORTS.get(parts.scheme)
            except ValueError:
                return False
            host, own_port = _split(header(scope, b"host").decode("latin-1"))
            secure = self.is_secure(scope)
            # Behind a proxy that says nothing of TLS a page's https origin meets a server that sees http.
            schemes = {"https"} if secure else {"http", "https"}
            expected = own_port if own_port is not None else _PORTS.get(parts.scheme)
            return parts.scheme in schemes and (parts.hostname or "") == host and port == expected
        return header(scope, b"sec-fetch-site") in SAME_SITE_FETCHES


def place_of(*, hosts: str | None, origins: str | None, proxies: int, loopback: bool, own: str = "") -> Place:
    """The place that settings name: hosts and origins with commas between them.

    On loopback, where nobody says otherwise, the server answers only by the names of this machine; ``*`` is any name.

    Raises:
        ConfigError: one of them cannot be.
    """
    anything = (hosts or "").strip() == "*"
    named = frozenset() if anything else frozenset(name_of(one) for one in _listed(hosts))
    if any(not one or "/" in one for one in named):
        raise ConfigError("AWEIGH_HOSTS holds what is no name of a host.", hint="write models.example.org,10.0.0.7")
    if not named and loopback and not anything:
        named = LOOPBACK_NAMES
    if named and own:  # by which the app's own pages ask the API: nobody else is led here by it
        named |= {name_of(own)}
    sites = frozenset(one.rstrip("/") for one in _listed(origins))
    for one in sites:
        if not _is_site(one):
            raise ConfigError(f"AWEIGH_ORIGINS holds {one[:60]!r}.", hint="write https://site.example.org")
    return Place(named, sites, proxies)


def _is_site(text: str) -> bool:
    """Whether it is an origin as browsers say it: scheme and host, perhaps a port, and nothing behind them."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.path and not parts.query


def _listed(text: str | None) -> Iterable[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def name_of(host: str) -> str:
    """The name in a ``Host`` header, without its port, in lower case."""
    return _split(host)[0]


def _split(host: str) -> tuple[str, int | None]:
    host = host.strip().lower()
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name, _port(rest[1:])
    name, _, port = host.partition(":")
    return name.rstrip("."), _port(port)


def _port(text: str) -> int | None:
    return int(text[:_MOST_DIGITS]) if text.isascii() and text.isdecimal() else None


def _address(text: str) -> str | None:
    text = text.removeprefix("[").partition("]")[0] if text.startswith("[") else text
    for one in (text, text.rpartition(":")[0]):
        try:
            return str(ipaddress.ip_address(one))
        except ValueError:
            continue
    return None


def header(scope: Scope, name: bytes) -> bytes:
    """The first header of that name; empty where there is none."""
    return next((value for one, value in scope["headers"] if one == name), b"")
