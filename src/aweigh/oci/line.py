"""One question to a server and its answer: tried again where that helps, and bounded in every way.

What is lost on the way, refused for being one too many (429), or failed at the other side (5xx) is sent again after a
pause that doubles, or after as long as the server asks for; everything else is told at once.
"""

import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from aweigh.errors import RemoteError
from aweigh.oci.documents import MAX_DOCUMENT_BYTES
from aweigh.oci.errors import Asked, RegistryRefused, causes, name_of, refusal, silent

if TYPE_CHECKING:
    import httpx

CONNECT_S, ANSWER_S, COMMIT_S = 10.0, 60.0, 300.0
"""How long is waited for a connection, for the next bytes, and for a registry to take in a large blob."""
DOCUMENT_S = 120.0
"""How long a document may take from its first byte to its last, however slowly they drip."""
TRIES = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
AGAIN_AT = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Request:
    """A question: ``what`` it asks as words (``pull team/app:1.2``), of what ``thing``, under which ``scope`` of token.

    ``good`` are the statuses that are no error to who asks, ``tries`` how often it may be sent at most.
    """

    method: str
    url: str
    what: str
    thing: str
    scope: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Callable[[], Iterator[bytes]] | None = None
    good: frozenset[int] = frozenset({200})
    tries: int = TRIES
    answer_s: float = ANSWER_S


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: the names of its headers in small letters; ``url`` is where it came from in the end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(slots=True)
class Line:
    """The way to one registry, and to where it sends us. ``account`` says where who is signed in is known from."""

    client: "httpx.Client"
    host: str
    pause: Callable[[float], None] = field(default=time.sleep)
    has_answered: bool = False
    account: str = ""

    def ask(self, request: Request, opened: "Callable[[Request], AbstractContextManager[httpx.Response]]") -> Reply:
        """The answer to a request, which ``opened`` sends once.

        Raises:
            RegistryRefused: the answer's status is none of the request's ``good`` ones.
            RegistrySilent: there is no answer.
            RemoteError: it is too large.
        """
        import httpx

        for attempt in range(1, request.tries + 1):
            last = attempt == request.tries
            try:
                with opened(request) as found:
                    reply = Reply(found.status_code, found.headers, self.read(found, request), str(found.url))
            except httpx.TransportError as error:
                if last or not self.is_worth_another(error):
                    raise silent(error, host=self.host, what=request.what) from error
                self.wait(attempt)
                continue
            self.has_answered = True
            if reply.status in request.good:
                return reply
            refused = self.refusal(reply, request)
            if last or not may_pass(refused):
                raise refused
            self.wait(attempt, asked_s=refused.retry_after_s)
        raise AssertionError

    def refusal(self, reply: Reply, request: Request) -> RegistryRefused:
        """The error of an answer that is not good."""
        asked = Asked(self.host, request.what, request.thing, self.account)
        again_s = retry_after_s(reply.headers.get("retry-after"))
        return refusal(reply.status, reply.body, asked, retry_after_s=again_s)

    def read(self, found: "httpx.Response", request: Request) -> bytes:
        """A whole body, as it came over the line.

        Raises:
            RemoteError: it is larger than any document, or drips for too long.
        """
        if request.method == "HEAD":
            return b""
        body, end = bytearray(), time.monotonic() + DOCUMENT_S
        for piece in found.iter_raw():
            body += piece
            if len(body) > MAX_DOCUMENT_BYTES or time.monotonic() > end:
                how = "too large" if len(body) > MAX_DOCUMENT_BYTES else "too slow"
                raise RemoteError(
                    f"The answer of {name_of(self.host)} is {how} when it is asked to {request.what}.",
                    hint="check that the host is a registry",
                )
        return bytes(body)

    def is_worth_another(self, error: BaseException) -> bool:
        """Whether what broke may go better next time: a wrong certificate will not, nor a host that never answered."""
        for one in causes(error):
            if isinstance(one, ssl.SSLError):
                return isinstance(one, ssl.SSLEOFError)
            if isinstance(one, socket.gaierror):
                return one.errno == socket.EAI_AGAIN
            if isinstance(one, ConnectionRefusedError):
                return self.has_answered
        return True

    def wait(self, attempt: int, *, asked_s: float | None = None) -> None:
        """Waits before the next try: twice as long as before the last one, or as long as the server asks for."""
        spread = random.uniform(0.75, 1.25)  # noqa: S311  spreads, hides nothing
        seconds = FIRST_PAUSE_S * 2 ** (attempt - 1) * spread if asked_s is None else asked_s
        self.pause(min(seconds, LONGEST_PAUSE_S))


def may_pass(error: RegistryRefused) -> bool:
    """Whether what was refused may be taken a little later."""
    return error.status in AGAIN_AT and (error.retry_after_s or 0.0) <= LONGEST_PAUSE_S


def retry_after_s(header: str | None) -> float | None:
    """How long a server asks to be left alone, in seconds from now: it says a number of them, or a date.

    >>> retry_after_s("7")
    7.0
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
