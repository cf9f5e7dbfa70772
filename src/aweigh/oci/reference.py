"""Names of images: what people type (``python:3.12-slim``) as a host, a repository, a tag and a digest.

Only the characters that the distribution specification allows get through, so that a name can go into an address, a
file or a command line without being quoted. Docker Hub's short names are written out.
"""

import ipaddress
import re
from dataclasses import dataclass, replace

from aweigh.errors import UsageError

HUB = "registry-1.docker.io"
"""Where Docker Hub answers; its images are called docker.io's."""
HUB_NAME = "docker.io"
HUB_NAMES = frozenset({HUB_NAME, "index.docker.io", HUB})
DEFAULT_TAG = "latest"

MOST_CHARACTERS = 255
"""Of a host with its repository: what the specification says that many clients take."""
MOST_TYPED = 1024

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rf"(?P<name>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

_EXAMPLE = "write it as HOST/NAME:TAG, such as ghcr.io/team/app:1.2"


@dataclass(frozen=True, slots=True)
class Reference:
    """An image in a registry. ``digest`` decides where there is one; ``tag`` is empty where only a digest was named.

    >>> str(parse_reference("python:3.12-slim"))
    'docker.io/library/python:3.12-slim'
    >>> parse_reference("127.0.0.1:5000/team/app").repository
    'team/app'
    """

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        check_host(self.host)
        check_repository(self.repository)
        if self.tag:
            check_tag(self.tag)
        if self.digest:
            check_digest(self.digest)
        if len(f"{self.host}/{self.repository}") > MOST_CHARACTERS:
            raise UsageError(
                f"The name of an image has more than {MOST_CHARACTERS} characters.", hint="take a shorter one"
            )

    @property
    def wanted(self) -> str:
        """What a registry is asked for: the digest, else the tag, else ``latest``."""
        return self.digest or self.tag or DEFAULT_TAG

    def at(self, digest: str) -> "Reference":
        """The same name, pinned to a digest."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        host = HUB_NAME if self.host == HUB else self.host
        tag = f":{self.tag}" if self.tag else ""
        return f"{host}/{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"


def parse_reference(text: str) -> Reference:
    """What somebody typed for an image; without a tag and a digest it is ``latest`` that is meant.

    Raises:
        UsageError: it is no such name; says which part is wrong, and how it is written.
    """
    if not text:
        raise UsageError("The name of the image is empty.", hint=_EXAMPLE)
    if len(text) > MOST_TYPED:
        raise UsageError(f"The name of the image has more than {MOST_TYPED} characters.", hint=_EXAMPLE)
    if _SCHEME.match(text):
        raise UsageError(
            f"{_shown(text)} is an address, and no image's name.", hint="leave out what is before the host"
        )
    rest, at, digest = text.partition("@")
    if at:
        check_digest(digest)
    first, slash, last = rest.partition("/")
    # Docker's rule for what is a host: it has a dot or a port, or is localhost.
    is_host = bool(slash) and ("." in first or ":" in first or first.lower() == "localhost")
    host, path = (first.lower(), last) if is_host else (HUB_NAME, rest)
    repository, colon, tag = path.partition(":")
    if colon:
        check_tag(tag)
    if host in HUB_NAMES:
        host = HUB
        repository = repository if "/" in repository or not repository else f"library/{repository}"
    return Reference(host, repository, tag or ("" if digest else DEFAULT_TAG), digest)


def check_host(host: str) -> str:
    """A registry's host with its port, if it is one.

    Raises:
        UsageError: it is none.
    """
    found = _HOST.match(host) if len(host) <= MOST_CHARACTERS else None
    port = None if found is None else found["port"]
    if found is None or (port is not None and not 0 < int(port) < 2**16) or not _is_name_or_address(found["name"]):
        raise UsageError(
            f"{_shown(host)} is no registry's host.", hint="write a host and perhaps a port, such as ghcr.io"
        )
    return host


def check_repository(repository: str) -> str:
    """A repository's name, if it is one.

    Raises:
        UsageError: it has characters that no repository has.
    """
    if len(repository) > MOST_CHARACTERS or _REPOSITORY.match(repository) is None:
        raise UsageError(
            f"{_shown(repository)} is no repository's name.",
            hint="a name has small letters and digits, with '.', '_' or '-' between them, and '/' between its parts",
        )
    return repository


def check_tag(tag: str) -> str:
    """A tag, if it is one.

    Raises:
        UsageError: it has characters that no tag has, or more than 128.
    """
    if _TAG.match(tag) is None:
        raise UsageError(
            f"{_shown(tag)} is no tag.",
            hint="a tag has letters, digits, '_', '.' and '-', 128 at most; it begins with none of the last two",
        )
    return tag


def check_digest(digest: str) -> str:
    """A digest, if it is a sha256.

    Raises:
        UsageError: it is none.
    """
    if _DIGEST.match(digest) is None:
        raise UsageError(
            f"{_shown(digest)} is no digest.", hint="write sha256: and 64 hexadecimal digits in small letters"
        )
    return digest


def check_wanted(wanted: str) -> str:
    """A tag or a digest, if it is one.

    Raises:
        UsageError: it is neither.
    """
    return check_digest(wanted) if ":" in wanted else check_tag(wanted)


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine by its very name: no resolver is asked."""
    found = _HOST.match(host.lower())
    if found is None:
        return False
    name = found["name"].strip("[]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_name_or_address(name: str) -> bool:
    if not name.startswith("["):
        return True
    try:
        ipaddress.IPv6Address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else f"{text[:77]}...")
