"""Asking a provider: one request, one answer of a bounded size in a bounded time; no redirect is followed.

What is on the way may be slow, broken or hostile. The answer is asked for as it is, and never unpacked, so that a small
one cannot become a large one.
"""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar
from urllib.parse import quote_plus

import anyio
import httpx
import msgspec

from aweigh.guard.oidc.failures import down, refused
from aweigh.guard.oidc.settings import is_endpoint, is_on_this_machine
from aweigh.secret import Secret

T = TypeVar("T")

MOST_BYTES = 512 * 1024
"""Of any answer. The keys of the large providers are some 10 kB."""

CONNECT_S, ANSWER_S = 4.0, 8.0
"""For the connection, and for the whole of it up to the last byte."""

_ERROR_STATUSES = frozenset({400, 401, 403})


class TokenError(msgspec.Struct, frozen=True):
    """What a provider says when it gives no token (RFC 6749, 5.2)."""

    error: str = ""


@dataclass(frozen=True)
class Web:
    """How a provider is reached; ``loopback``: it is on this machine, where http will do."""

    loopback: bool
    answer_s: float = ANSWER_S

    async def get(self, url: str, kind: type[T], *, bearer: str | None = None) -> T:
        """The document at an address.

        Raises:
            SignInFailed: there is none, or not one like that.
        """
        headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
        status, body = await self._ask("GET", url, headers=headers)
        if status != httpx.codes.OK:
            raise down(f"{_named(url)} answers with the status {status}.")
        return _decoded(body, kind, url)

    async def post(self, url: str, kind: type[T], form: Mapping[str, str], *, basic: tuple[str, Secret] | None) -> T:
        """The document that a form is answered with.

        Raises:
            SignInFailed: it is refused, or there is none like that.
        """
        headers = {}
        if basic is not None:
            # RFC 6749, 2.3.1: both are encoded as in a form, first of all.
            pair = f"{quote_plus(basic[0])}:{quote_plus(basic[1].reveal())}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        status, body = await self._ask("POST", url, headers=headers, form=form)
        if status in _ERROR_STATUSES:
            raise refused(f"{_named(url)} gives no token: {_error_of(body)}.")
        if status != httpx.codes.OK:
            raise down(f"{_named(url)} answers with the status {status}.")
        return _decoded(body, kind, url)

    async def _ask(
        self, method: str, url: str, *, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        if not is_endpoint(url, loopback=self.loopback):
            raise down(f"{_named(url)} is no address that a provider may have.")
        asked = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "aweigh", **headers}
        # A proxy of the environment is for the world outside.
        client = httpx.AsyncClient(
            verify=self._tls,
            follow_redirects=False,
            trust_env=not is_on_this_machine(url),
            timeout=httpx.Timeout(self.answer_s, connect=min(CONNECT_S, self.answer_s)),
        )
        try:
            with anyio.fail_after(self.answer_s):
                async with client, client.stream(method, url, headers=asked, data=form) as reply:
                    return reply.status_code, await _read(reply, url)
        except TimeoutError as error:
            raise down(f"{_named(url)} does not answer within {self.answer_s:g} s.") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise down(f"{_named(url)} cannot be asked: {type(error).__name__}.") from error

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()


async def _read(reply: httpx.Response, url: str) -> bytes:
    if reply.headers.get("content-encoding", "identity").strip().lower() not in {"identity", ""}:
        raise down(f"{_named(url)} packs its answer, which it was not asked to.")
    found = bytearray()
    async for piece in reply.aiter_raw():
        found += piece
        if len(found) > MOST_BYTES:
            raise down(f"{_named(url)} answers with more than {MOST_BYTES // 1024} kB.")
    return bytes(found)


def _decoded(body: bytes, kind: type[T], url: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise down(f"{_named(url)} answers with what is no such document.") from error


def _error_of(body: bytes) -> str:
    try:
        word = msgspec.json.decode(body, type=TokenError).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        word = ""
    return word[:60] if word.isascii() and word.isprintable() and word else "it does not say why"


def _named(url: str) -> str:
    """An address as the log has it: without what may be secret in its query."""
    return repr(url.partition("?")[0][:120])
