"""The Platform API's client: it sends ``Request`` values and gives back what Heroku answers, as plain JSON.

What is lost on the way is sent again where that does no harm; where it might, it is sent once. The token goes to the
endpoint and nowhere else: sources are uploaded, and logs read, at addresses that carry their own permission.
"""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from aweigh._version import __version__
from aweigh.errors import ConfigError, RemoteError
from aweigh.registry import require
from aweigh.secret import Secret
from aweigh.secret.read import read_secret
from aweigh.targets.heroku.documents import read_document
from aweigh.targets.heroku.errors import HerokuRefused, refusal, silent
from aweigh.targets.heroku.requests import Request
from aweigh.targets.live import is_loopback

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

ENDPOINT = "https://api.heroku.com"
ENDPOINT_VARIABLE = "AWEIGH_HEROKU_ENDPOINT"
TOKEN_VARIABLE = "HEROKU_API_KEY"  # noqa: S105  a variable's name
ACCEPT = "application/vnd.heroku+json; version=3"

CONNECT_S, ANSWER_S, UPLOAD_S = 10.0, 60.0, 600.0
TRIES = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
FEW_LEFT = 100
"""From so few calls left on, of the 4500 an hour, each waits a moment: about 75 come back every minute."""
SLOWLY_S = 0.8
MOST_BYTES = 64 * 2**20
"""Of one answer: a list of a thousand releases is about one."""
MOST_PAGES = 200
_AS_IT_IS = {"Accept": "text/plain", "Accept-Encoding": "identity"}

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+\Z")
"""RFC 6750, 2.1."""


@dataclass(slots=True)
class Api:
    """Heroku's Platform API at an endpoint, asked with a token."""

    endpoint: str
    token: Secret
    client: "httpx.Client"
    pause: Callable[[float], None] = field(default=time.sleep)

    def close(self) -> None:
        """Closes its connections."""
        self.client.close()

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine."""
        return is_loopback(self.endpoint)

    def ask(self, request: Request, kind: type[T]) -> T:
        """The answer to a request as a document; of a list, all of its pages.

        Raises:
            HerokuRefused: Heroku answers with an error.
            HerokuSilent: it cannot be reached, or its answer is lost.
            RemoteError: its answer is not understood.
        """
        return read_document(self.send(request), kind, what=request.what)

    def send(self, request: Request) -> Any:
        """The answer to a request as plain JSON; None where it has none. A list goes on until nothing is left of it.

        Raises:
            HerokuRefused, HerokuSilent, RemoteError: as ``ask``.
        """
        found, following = self._one(request, request.part)
        pages = 1
        while following is not None and isinstance(found, list) and request.part is None:
            if pages >= MOST_PAGES:
                raise RemoteError(f"Heroku's answer has no end {request.what}.")
            more, following = self._one(request, following)
            found += more if isinstance(more, list) else []
            pages += 1
        return found

    def _one(self, request: Request, part: str | None) -> tuple[Any, str | None]:
        reply, body = self._tried(request, {} if part is None else {"Range": part})
        self._go_slowly(reply.headers)
        following = reply.headers.get("next-range") if reply.status_code == 206 else None
        if not body.strip():
            return None, None
        try:
            return msgspec.json.decode(body), following
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RemoteError(
                f"Heroku answers with what is no JSON when it is asked {request.what}.",
                hint=f"check that {ENDPOINT_VARIABLE} names the Platform API",
            ) from error

    def _tried(self, request: Request, headers: Mapping[str, str]) -> "tuple[httpx.Response, bytes]":
        import httpx

        for attempt in range(1, TRIES + 1):
            last = attempt == TRIES
            try:
                reply, body = self._once(request, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                if last:
                    raise silent(request.what, why=_why(error), sent=False) from error
                self._wait(attempt)
                continue
            except httpx.HTTPError as error:
                if last or not request.repeatable:
                    raise silent(request.what, why=_why(error), sent=not request.repeatable) from error
                self._wait(attempt)
                continue
            if reply.status_code < 300:
                return reply, body
            # What was refused for being one too many was not carried out, whatever it was.
            again = reply.status_code == 429 or (reply.status_code >= 500 and request.repeatable)
            if last or not again:
                raise refusal(reply.status_code, body, what=request.what)
            self._wait(attempt, asked=reply.headers.get("retry-after"))
        raise AssertionError

    def _once(self, request: Request, headers: Mapping[str, str]) -> "tuple[httpx.Response, bytes]":
        content, kind = None, {}
        if request.body is not None:
            content, kind = msgspec.json.encode(revealed(request.body)), {"Content-Type": "application/json"}
        own = {"Authorization": f"Bearer {self.token.reveal()}", "Accept": ACCEPT + request.variant, **kind, **headers}
        with self.client.stream(request.method, self.endpoint + request.path, content=content, headers=own) as reply:
            found = bytearray()
            for piece in reply.iter_bytes():
                found += piece
                if len(found) > MOST_BYTES:
                    raise RemoteError(f"Heroku's answer is too large {request.what}.")
            return reply, bytes(found)

    def _wait(self, attempt: int, *, asked: str | None = None) -> None:
        seconds = FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311  spreads, hides nothing
        if asked is not None and asked.strip().isdigit():
            seconds = float(asked)
        self.pause(min(seconds, LONGEST_PAUSE_S))

    def _go_slowly(self, headers: Mapping[str, str]) -> None:
        left = headers.get("ratelimit-remaining", "")
        if left.isdigit() and int(left) < FEW_LEFT:
            self.pause(SLOWLY_S)

    def upload(self, url: str, content: bytes) -> None:
        """Puts a source where ``new_source`` said: without the token, and without a Content-Type, which is not signed.

        Raises:
            RemoteError: it is not taken.
        """
        import httpx

        self._check_elsewhere(url)
        what = "to take the source"
        for attempt in range(1, TRIES + 1):
            try:
                with elsewhere(url, read_s=UPLOAD_S) as client:
                    reply = client.put(url, content=content)
            except httpx.HTTPError as error:
                if attempt == TRIES:
                    raise silent(what, why=_why(error), sent=False) from error
            else:
                if reply.status_code < 300:
                    return
                if reply.status_code < 500 or attempt == TRIES:
                    raise HerokuRefused(
                        f"Heroku does not take the source (status {reply.status_code}).",
                        status=reply.status_code,
                        hint="its place is good for an hour: run the same command again",
                    )
            self._wait(attempt)

    @contextmanager
    def read_elsewhere(self, url: str, headers: Mapping[str, str], *, read_s: float) -> "Iterator[httpx.Response]":
        """A stream at an address that Heroku named, to be read as it comes. httpx's errors are raised as they are."""
        self._check_elsewhere(url)
        with (
            elsewhere(url, read_s=read_s) as client,
            client.stream("GET", url, headers={**_AS_IT_IS, **headers}) as reply,
        ):
            yield reply

    def _check_elsewhere(self, url: str) -> None:
        """An address that Heroku gave: over TLS, unless all of it is a server on this machine."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and self.is_local and is_loopback(url)):
            raise RemoteError("Heroku names an address that is not encrypted.", hint="run the same command again")


def open_api(
    environ: Mapping[str, str], *, endpoint: str | None = None, pause: Callable[[float], None] = time.sleep
) -> Api:
    """The API at ``endpoint``, else at that of ``AWEIGH_HEROKU_ENDPOINT``, with the environment's token.

    Raises:
        ConfigError: there is no token, or one that is none, or the endpoint is no address over TLS.
        MissingExtra: httpx is not installed.
    """
    httpx = require("httpx", what="deploying to Heroku", extra="deploy")
    place = (endpoint or environ.get(ENDPOINT_VARIABLE, "").strip() or ENDPOINT).rstrip("/")
    parts = urlsplit(place)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(place))):
        raise ConfigError(
            f"{place[:80]!r} is no address to send a token to.", hint=f"write https://HOST; unset it for {ENDPOINT}"
        )
    token = read_secret(environ, TOKEN_VARIABLE)
    if token is None:
        raise ConfigError(
            "There is no token for Heroku.",
            hint=f"put one into {TOKEN_VARIABLE}, or the path of its file into {TOKEN_VARIABLE}_FILE: "
            "'heroku authorizations:create' makes one",
        )
    if _TOKEN.match(token.reveal()) is None:
        raise ConfigError(f"{TOKEN_VARIABLE} holds what is no token.", hint="copy it anew, without quotes and spaces")
    client = httpx.Client(
        timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
        trust_env=not is_loopback(place),
        follow_redirects=False,
        headers={"User-Agent": f"aweigh/{__version__}"},
    )
    return Api(place, token, client, pause)


def elsewhere(url: str, *, read_s: float) -> "httpx.Client":
    """A client for an address outside the API: it knows no token, and follows nobody."""
    import httpx

    return httpx.Client(
        timeout=httpx.Timeout(read_s, connect=CONNECT_S), trust_env=not is_loopback(url), follow_redirects=False
    )


def revealed(value: Any) -> Any:
    """A body as it goes over the line: its secrets as the text that they are."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: revealed(one) for key, one in value.items()}
    return [revealed(one) for one in value] if isinstance(value, list | tuple) else value


def _why(error: Exception) -> str:
    return type(error).__name__
