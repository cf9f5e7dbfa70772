"""The line to the API: kept connections of the standard library, whose price is a third of httpx's (0.13 ms for 0.43).

Every rerun asks one row, so that a tenth of its CPU time went into a client that finds out about proxies, cookies,
redirects and codings, none of which there are between a page and the API of its own process.
"""

import http.client
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit

from aweigh.errors import RemoteError

MOST_KEPT = 16
_HUNG_UP = (http.client.BadStatusLine, ConnectionError)


@dataclass(frozen=True, slots=True)
class Response:
    """What the API said."""

    status: int
    content: bytes


class Line:
    """Connections to one address, taken by whoever asks and put back; may be used by several threads."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        parts = urlsplit(url)
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._path = parts.hostname or "", parts.port, parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._kept: deque[http.client.HTTPConnection] = deque()

    def ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        session: str | None = None,
        visit: str | None = None,
    ) -> Response:
        """The API's response to one request with a JSON body or none, in the name of a session.

        ``visit`` is whose requests should be answered by one and the same model, where nobody is asked who they are.

        Raises:
            RemoteError: nobody answers there, not in time, or not in HTTP.
        """
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if content else {})
        if session is not None:
            headers["Authorization"] = f"Aweigh-Session {session}"
        elif visit is not None:
            headers["X-Aweigh-Sticky"] = visit
        try:
            try:
                connection = self._kept.pop()
            except IndexError:
                return self._ask(self._open(), method, path, content, headers)
            try:
                return self._ask(connection, method, path, content, headers)
            except _HUNG_UP:
                # The server closed a kept connection just as it was used again; asking twice changes nothing.
                return self._ask(self._open(), method, path, content, headers)
        except TimeoutError as error:
            raise RemoteError(f"The model did not answer within {self._timeout_s:.0f} seconds.") from error
        except (OSError, http.client.HTTPException) as error:
            raise RemoteError("The model cannot be reached.") from error

    def close(self) -> None:
        """Close the kept connections."""
        while self._kept:
            self._kept.pop().close()

    def _open(self) -> http.client.HTTPConnection:
        return self._kind(self._host, self._port, timeout=self._timeout_s)

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        content: bytes | None,
        headers: dict[str, str],
    ) -> Response:
        try:
            connection.request(method, self._path + path, content, headers)
            response = connection.getresponse()
            found = Response(response.status, response.read())
        except BaseException:
            connection.close()
            raise
        # One that the server wants closed has no socket any more, and opens another when it is used again.
        if len(self._kept) < MOST_KEPT:
            self._kept.append(connection)
        else:
            connection.close()
        return found
