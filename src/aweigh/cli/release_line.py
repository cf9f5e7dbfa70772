"""The line to a server's ``/v1/release``, by the standard library: no extra is needed to abort a release."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from aweigh.errors import RemoteError, UsageError
from aweigh.secret import Secret

PATH = "/v1/release"
TIMEOUT_S = 30.0
MOST_BYTES = 2**20
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def ask(url: str, key: Secret | None, asked: dict[str, object] | None) -> dict[str, Any]:
    """How the release of a server stands, after what was asked for has been done.

    Raises:
        UsageError: the address is none, or the key would travel unencrypted.
        RemoteError: nobody answers, not in time, or with a refusal, which is told.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in {"http", "https"}:
        raise UsageError(f"{url[:100]!r} is no address of a server.", hint="write --url https://model.example.com")
    if key is not None and parts.scheme != "https" and host not in _LOOPBACK:
        raise UsageError("That address is not encrypted: no key is sent to it.", hint="write --url https://...")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {"Accept": "application/json", "User-Agent": "aweigh"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key.reveal()}"
    body = None
    if asked is not None:
        body = json.dumps(asked).encode()
        headers["Content-Type"] = "application/json"
    connection = kind(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET" if body is None else "POST", parts.path.rstrip("/") + PATH, body, headers)
        response = connection.getresponse()
        content = response.read(MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise RemoteError(
            f"The server at {url} does not answer ({type(error).__name__}).", hint="is it running, and is --url right?"
        ) from error
    finally:
        connection.close()
    return _read(response.status, content)


def _read(status: int, content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if status == 200 and isinstance(document, dict) and isinstance(document.get("state"), dict):
        return document
    said = document if isinstance(document, dict) else {}
    if status == 404:
        raise RemoteError("That server has no candidate.", hint="start it with --candidate NEXT.aweigh")
    if status in {401, 403}:
        raise RemoteError(
            f"The server does not let you: {said.get('detail') or status}",
            hint="AWEIGH_KEY takes the server's AWEIGH_RELEASE_TOKEN, or where people sign in a key of an admin: "
            "aweigh keys add LABEL --owner NAME --scope admin",
        )
    raise RemoteError(str(said.get("detail") or f"The server answers with the status {status}."), hint=said.get("hint"))
