"""A registry's host as something to ask: where its addresses begin, who is signed in, and which redirects are followed.

A credential goes to the registry's own address alone. Redirects are followed for reading only, never from TLS to what
is not, and never from elsewhere to this machine.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from aweigh.errors import RemoteError
from aweigh.oci.auth import Authority
from aweigh.oci.challenges import parse_challenges
from aweigh.oci.errors import RegistryRefused, name_of
from aweigh.oci.line import Line, Reply, Request
from aweigh.oci.reference import is_loopback

if TYPE_CHECKING:
    import httpx

MOST_HOPS = 6
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
# Compressed on the way, bytes are not those that a digest was taken of.
_AS_IT_IS = {"Accept-Encoding": "identity"}


@dataclass(slots=True)
class Connection:
    """One registry: ``base`` is its address (``https://ghcr.io``)."""

    base: str
    line: Line
    authority: Authority

    @property
    def host(self) -> str:
        """The registry's host, with its port."""
        return self.line.host

    def url(self, repository: str, rest: str) -> str:
        """The address of something in a repository; both are checked by then."""
        return f"{self.base}/v2/{repository}/{rest}"

    def ask(self, request: Request) -> Reply:
        """The answer to a request.

        Raises:
            RegistryRefused: the answer's status is none of the request's ``good`` ones.
            RegistrySilent: there is no answer.
            RemoteError: it is too large, or leads somewhere it may not.
        """
        return self.line.ask(request, self.opened)

    @contextmanager
    def opened(self, request: Request) -> "Iterator[httpx.Response]":
        """The answer to a request that is sent once, before its body is read; httpx's errors are raised as they are."""
        url, rounds = request.url, 0
        for _ in range(MOST_HOPS):
            own = self.is_own(url)
            found = self.line.client.send(self._built(request, url, own=own), stream=True)
            try:
                if found.status_code == 401 and own:
                    rounds += 1
                    challenges = parse_challenges(found.headers.get_list("www-authenticate"))
                    if self.authority.accept(challenges, request.scope, again=rounds > 1):
                        continue
                elif found.status_code in _REDIRECTS and request.method in ("GET", "HEAD"):
                    url = self.follow(url, found.headers.get("location", ""))
                    continue
                yield found
                return
            finally:
                found.close()
        raise RemoteError(f"{name_of(self.host)} leads round in circles when it is asked to {request.what}.")

    def _built(self, request: Request, url: str, *, own: bool) -> "httpx.Request":
        import httpx

        headers = {**_AS_IT_IS, **request.headers}
        said = self.authority.header(request.scope) if own else None
        if said is not None:
            headers["Authorization"] = said
        client = self.line.client
        timeout = httpx.Timeout(request.answer_s, connect=client.timeout.connect)
        content = request.content() if callable(request.content) else request.content
        try:
            return client.build_request(request.method, url, content=content, headers=headers, timeout=timeout)
        except httpx.InvalidURL:
            raise self._lost() from None

    def is_own(self, url: str) -> bool:
        """Whether an address is the registry's own: the same scheme, host and port."""
        return _origin(url) == _origin(self.base)

    def follow(self, url: str, location: str) -> str:
        """Where a ``Location`` leads from an address; credentials go along only to the registry's own.

        Raises:
            RemoteError: it is none, or leads to what is not encrypted, or from elsewhere to this machine.
        """
        try:
            found = urljoin(url, location)
            parts, own = urlsplit(found), urlsplit(self.base)
            place, port = parts.hostname, parts.port
        except ValueError:
            raise self._lost() from None
        if not location or not place or "@" in parts.netloc or not found.isascii() or not found.isprintable():
            raise self._lost()
        if parts.scheme == "http" and own.scheme == "https" and place == own.hostname and port in (None, 80, own.port):
            # A registry behind a proxy that speaks TLS for it may not know that it does.
            parts = parts._replace(scheme="https", netloc=own.netloc)
        near = is_loopback(parts.netloc)
        if near and not is_loopback(own.netloc):
            raise self._lost()
        if parts.scheme != "https" and not (parts.scheme == "http" and near and urlsplit(url).scheme == "http"):
            raise self._lost()
        return parts.geturl()

    def _lost(self) -> RemoteError:
        return RemoteError(
            f"{name_of(self.host)} leads to an address that nothing is sent to, or asked of.",
            hint="the registry's settings have to name its own address, over TLS",
        )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", None, None


def missing_is_none(ask: Callable[[], Reply]) -> Reply | None:
    """The answer; None where there is nothing of that name."""
    try:
        return ask()
    except RegistryRefused as error:
        if error.status == 404:
            return None
        raise
