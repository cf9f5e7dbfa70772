"""What ``AWEIGH_OIDC_*`` and ``AWEIGH_PUBLIC_URL`` say of the provider that people sign in with."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from aweigh.errors import ConfigError
from aweigh.guard.oidc.roles import VARIABLE as ROLES
from aweigh.guard.oidc.roles import Roles, read_roles
from aweigh.secret import Secret
from aweigh.secret.read import read_secret

PREFIX = "AWEIGH_OIDC_"
ISSUER, CLIENT_ID, SCOPES = f"{PREFIX}ISSUER", f"{PREFIX}CLIENT_ID", f"{PREFIX}SCOPES"
CLIENT_SECRET, CLIENT_SECRET_FILE = f"{PREFIX}CLIENT_SECRET", f"{PREFIX}CLIENT_SECRET_FILE"
DOMAINS, NAME, PUBLIC_URL = f"{PREFIX}DOMAINS", f"{PREFIX}NAME", "AWEIGH_PUBLIC_URL"
_KNOWN = frozenset({ISSUER, CLIENT_ID, CLIENT_SECRET, CLIENT_SECRET_FILE, SCOPES, ROLES, DOMAINS, NAME})

DEFAULT_SCOPES = "openid email profile"
MOST_URL_CHARACTERS = 2048
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")
_DOMAIN = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """A provider, who we are to it, and whom of those that it knows we let in.

    ``domains``: only with a verified e-mail address of one of these; empty: any. ``public_url`` is the address by which
    browsers come here, without a path; None: whatever host was asked for, which only a server that knows its own hosts
    may take.
    """

    issuer: str
    client_id: str
    client_secret: Secret | None
    scopes: tuple[str, ...]
    roles: Roles
    domains: frozenset[str]
    public_url: str | None
    name: str


def read_oidc(environ: Mapping[str, str]) -> OidcSettings | None:
    """The provider that the environment names; None where it names none.

    Raises:
        ConfigError: something of it is missing, or cannot be.
    """
    said = {name: environ.get(name, "").strip() for name in _KNOWN}
    for name in environ:
        if name.startswith(PREFIX) and name not in _KNOWN:
            raise ConfigError(f"There is no setting {name[:60]}.", hint=f"those of a provider are {_listed(_KNOWN)}")
    issuer = said[ISSUER]
    if not issuer:
        others = sorted(name for name, value in said.items() if value)
        if others:
            raise ConfigError(f"{others[0]} is set, and {ISSUER} is not.", hint=f"name the provider in {ISSUER}")
        return None
    if not is_endpoint(issuer, loopback=True) or "?" in issuer:
        hint = "write the https address that the provider calls itself by; http only for one on this machine"
        raise ConfigError(f"{ISSUER} is {issuer[:80]!r}.", hint=hint)
    if not said[CLIENT_ID]:
        raise ConfigError(f"{CLIENT_ID} is not set.", hint="register this server at the provider, which gives it one")
    if not said[ROLES]:
        hint = f"write {ROLES}='groups: data=predictor, ops=operator', or *=viewer for all whom the provider knows"
        raise ConfigError(f"{ROLES} does not say whom the provider's people are here.", hint=hint)
    return OidcSettings(
        issuer=issuer,
        client_id=said[CLIENT_ID],
        client_secret=read_secret(environ, CLIENT_SECRET),
        scopes=_scopes(said[SCOPES] or DEFAULT_SCOPES),
        roles=read_roles(said[ROLES]),
        domains=_domains(said[DOMAINS]),
        public_url=read_public_url(environ),
        name=(said[NAME] or urlsplit(issuer).hostname or issuer)[:60],
    )


def read_public_url(environ: Mapping[str, str]) -> str | None:
    """``AWEIGH_PUBLIC_URL`` as scheme, host and port; None where it is not set.

    Raises:
        ConfigError: it is no such address.
    """
    text = environ.get(PUBLIC_URL, "").strip()
    if not text:
        return None
    origin = text.rstrip("/")
    if not is_endpoint(origin, loopback=True) or urlsplit(origin).path or "?" in origin:
        hint = "write https://models.example.org, without a path; http only on this machine"
        raise ConfigError(f"{PUBLIC_URL} is {text[:80]!r}.", hint=hint)
    return origin


def is_endpoint(url: str, *, loopback: bool) -> bool:
    """Whether an address may be asked: https, or http on this machine where ``loopback`` says so.

    Never one with a name and password in it, nor with a link-local address, where clouds keep their machines' secrets.
    """
    if len(url) > MOST_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or "#" in url:
        return False
    if host in _LOOPBACK:
        return loopback and parts.scheme in {"http", "https"}
    return parts.scheme == "https" and not _is_no_server(host)


def is_on_this_machine(url: str) -> bool:
    """Whether an address is one of this machine's own."""
    return urlsplit(url).hostname in _LOOPBACK


def _is_no_server(host: str) -> bool:
    host = host.rstrip(".")
    last = host.rpartition(".")[2]
    if last.isdecimal() or last.startswith("0x"):
        # A number in any of the ways in which an address of four bytes can be written, or one.
        try:
            address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.IPv4Address(host)
        except ValueError:
            return True
    else:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return address.is_link_local or address.is_multicast or address.is_unspecified or address.is_loopback


def _scopes(text: str) -> tuple[str, ...]:
    scopes = tuple(dict.fromkeys(text.split()))
    if "openid" not in scopes or not all(_SCOPE.fullmatch(one) for one in scopes):
        raise ConfigError(f"{SCOPES} is {text[:80]!r}.", hint=f"write words with blanks between: {DEFAULT_SCOPES}")
    return scopes


def _domains(text: str) -> frozenset[str]:
    found = frozenset(one.strip().lower() for one in text.split(",") if one.strip())
    for one in found:
        if not _DOMAIN.fullmatch(one):
            raise ConfigError(f"{DOMAINS} holds {one[:60]!r}.", hint="write example.org, example.com")
    return found


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
