"""The client of Kubernetes' API: plain JSON in and out, asked again where that does no harm.

All that is sent here may be sent twice: reads, server-side apply, deletions (gone the second time is gone), and objects
created under a name of their own. Credentials go to the cluster's address and nowhere else: nobody is followed.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote as escaped
from urllib.parse import urlencode

import msgspec

from aweigh._version import __version__
from aweigh.errors import RemoteError
from aweigh.registry import require
from aweigh.targets.kubernetes.credentials import Credentials, Wallet, tls_context
from aweigh.targets.kubernetes.errors import Asked, KubernetesRefused, refusal, silent
from aweigh.targets.kubernetes.kubeconfig import Connection
from aweigh.targets.live import is_loopback

if TYPE_CHECKING:
    import httpx

Object = dict[str, Any]
"""An object of Kubernetes as its JSON is."""

CONNECT_S, ANSWER_S = 10.0, 60.0
TRIES = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
MOST_BYTES = 64 * 2**20
PAGE = 250
MOST_PAGES = 1000
JSON, MERGE, APPLY = "application/json", "application/merge-patch+json", "application/apply-patch+yaml"
"""Of the bodies; JSON is YAML, so what is applied is written as JSON."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request: ``what`` is what it is for, as in ``to read the Deployment penguins``."""

    method: str
    path: str
    what: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


@dataclass(slots=True)
class Client:
    """A cluster's API, asked in the name of the connection's user. Closed by ``with``."""

    connection: Connection
    wallet: Wallet
    pause: Callable[[float], None] = time.sleep
    kinds: dict[str, dict[str, tuple[str, bool]]] = field(default_factory=dict)
    """By group and version: plural name by kind, and whether it lies in a namespace (``resources.py`` fills it)."""
    _shown: Credentials | None = None
    _http: "httpx.Client | None" = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        if self._http is not None:
            self._http.close()

    @property
    def namespace(self) -> str:
        """Where things are looked for."""
        return self.connection.namespace

    def send(self, request: Request) -> Any:
        """The answer to a request, an object of Kubernetes.

        Raises:
            KubernetesRefused: the API answers with an error.
            KubernetesSilent: it cannot be reached, or its answer is lost.
            ConfigError: there are no credentials that are good.
        """
        body = self._tried(request)
        try:
            return msgspec.json.decode(body, type=Object)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RemoteError(
                f"What answers at {self.connection.server} {request.what} is no Kubernetes.",
                hint="check the kubeconfig's address; a proxy or a login page may stand in between",
            ) from error

    def find(self, path: str, *, what: str) -> Object | None:
        """What lies at a path; None: nothing."""
        try:
            found: Object = self.send(Request("GET", path, what))
        except KubernetesRefused as error:
            if error.status == 404:
                return None
            raise
        return found

    def listed(self, path: str, *, what: str, selector: str = "", fields: str = "") -> tuple[list[Object], str]:
        """All of a list, page by page, and the version at which it was so; a list forgotten midway is begun anew."""
        for attempt in range(TRIES):
            try:
                return self._pages(path, what=what, selector=selector, fields=fields)
            except KubernetesRefused as error:
                if error.status != 410 or attempt == TRIES - 1:
                    raise
        raise AssertionError

    def _pages(self, path: str, *, what: str, selector: str, fields: str) -> tuple[list[Object], str]:
        found: list[Object] = []
        query = {"limit": str(PAGE), **({"labelSelector": selector} if selector else {})}
        query |= {"fieldSelector": fields} if fields else {}
        for _ in range(MOST_PAGES):
            page = self.send(Request("GET", path, what, query))
            meta = page.get("metadata") or {}
            kind = str(page.get("kind", "")).removesuffix("List")
            # The items of a list do not say what they are.
            found += [{"apiVersion": page.get("apiVersion"), "kind": kind, **one} for one in page.get("items") or ()]
            following = meta.get("continue")
            if not following:
                return found, str(meta.get("resourceVersion", ""))
            query["continue"] = following
        raise RemoteError(f"The cluster's answer has no end, {what}.")

    @contextmanager
    def stream(self, request: Request, *, read_s: float) -> "Iterator[httpx.Response]":
        """An answer that comes bit by bit. httpx's errors are raised as they are while it is read.

        Raises:
            KubernetesRefused, KubernetesSilent, ConfigError: as of ``send``, before its first byte.
        """
        import httpx

        for attempt in range(1, TRIES + 1):
            opened = False
            try:
                with self._opened(request, read_s=read_s) as reply:
                    if reply.status_code < 300:
                        opened = True
                        yield reply
                        return
                    body = _read(reply)
            except httpx.HTTPError as error:
                if opened:
                    raise
                self._again(attempt, None, error, request)
                continue
            self._again(attempt, reply, body, request)

    def passed_on(self, request: Request) -> tuple[int, bytes]:
        """Status and body of what an app answers behind the API's proxy, asked once; its errors are answers, too.

        Raises:
            KubernetesSilent: nothing answers.
        """
        import httpx

        try:
            with self._opened(request, read_s=ANSWER_S) as reply:
                return reply.status_code, _read(reply)
        except httpx.HTTPError as error:
            raise silent(error, what=request.what, server=self.connection.server) from error

    def _tried(self, request: Request) -> bytes:
        import httpx

        for attempt in range(1, TRIES + 1):
            try:
                with self._opened(request, read_s=ANSWER_S) as reply:
                    body = _read(reply)
            except httpx.HTTPError as error:
                self._again(attempt, None, error, request)
                continue
            if reply.status_code < 300:
                return body
            self._again(attempt, reply, body, request)
        raise AssertionError

    def _again(
        self, attempt: int, reply: "httpx.Response | None", came: "bytes | httpx.HTTPError", request: Request
    ) -> None:
        """Waits until the same may be sent again, or raises what is wrong."""
        if reply is None or isinstance(came, Exception):
            assert isinstance(came, Exception)  # noqa: S101  what came is the error
            error = silent(came, what=request.what, server=self.connection.server)
            if attempt == TRIES or "ertificate" in error.message:
                raise error from came
            self._wait(attempt)
            return
        status = reply.status_code
        if status == 401 and attempt == 1 and self.wallet.forget():
            return
        # Older clusters answer so to a field that they do not know.
        is_unknown = status == 500 and b"not declared in schema" in came
        # Somebody else, or a quota's counter, was quicker: no field of anybody's is at odds.
        is_late = status == 409 and b"FieldManagerConflict" not in came and b"AlreadyExists" not in came
        if attempt < TRIES and (status in {429, 500, 502, 503, 504} or is_late) and not is_unknown:
            self._wait(attempt, asked=reply.headers.get("retry-after"))
            return
        user = self.connection.user.name
        asked = Asked(request.what, user, self.namespace, self.wallet.expired() if status == 401 else "")
        raise refusal(status, came, asked)

    @contextmanager
    def _opened(self, request: Request, *, read_s: float) -> "Iterator[httpx.Response]":
        import httpx

        http, headers = self._ready(), dict(self.headers())
        content = None
        if request.body is not None:
            content, headers["Content-Type"] = msgspec.json.encode(request.body), request.content_type
        name = self.connection.server_name
        with http.stream(
            request.method,
            self.connection.server + request.target,
            content=content,
            headers=[*headers.items(), *self.connection.user.impersonated],
            timeout=httpx.Timeout(read_s, connect=CONNECT_S),
            extensions={} if name is None else {"sni_hostname": name},
        ) as reply:
            yield reply

    def headers(self) -> dict[str, str]:
        """What is shown with each request."""
        token = self.wallet.credentials().token
        return {"Accept": JSON, **({} if token is None else {"Authorization": f"Bearer {token.reveal()}"})}

    def _ready(self) -> "httpx.Client":
        httpx = require("httpx", what="deploying to Kubernetes", extra="deploy")
        credentials = self.wallet.credentials()
        shown = self._shown
        if self._http is not None and shown is not None and shown.certificate == credentials.certificate:
            return self._http
        self.close()
        self._shown = credentials
        self._http = httpx.Client(
            verify=tls_context(self.connection, credentials),
            trust_env=not is_loopback(self.connection.server) and self.connection.proxy is None,
            proxy=self.connection.proxy,
            follow_redirects=False,
            headers={"User-Agent": f"aweigh/{__version__}"},
        )
        return self._http

    def _wait(self, attempt: int, *, asked: str | None = None) -> None:
        seconds = FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311  spreads, hides nothing
        if asked is not None and asked.strip().isdigit():
            seconds = float(asked)
        self.pause(min(seconds, LONGEST_PAUSE_S))


def _read(reply: "httpx.Response") -> bytes:
    found = bytearray()
    for piece in reply.iter_bytes():
        found += piece
        if len(found) > MOST_BYTES:
            raise RemoteError("The cluster's answer is too large.", hint="does the kubeconfig name a cluster?")
    return bytes(found)


def open_client(connection: Connection, *, pause: Callable[[float], None] = time.sleep) -> Client:
    """The client of a cluster; it asks nothing yet."""
    return Client(connection, Wallet(connection), pause)


def segment(name: str) -> str:
    """A name as a part of a path."""
    return escaped(name, safe="")
