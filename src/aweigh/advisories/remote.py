"""Asking a server that speaks OSV's API: which advisories speak of which package, and what each of them says.

A source that cannot be asked is an error and never "nothing found". So is one that answers and knows nothing: every
question has beside it one after a release whose faults every database has known for years.
"""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from http.client import HTTPException, HTTPMessage
from typing import IO, Any

import msgspec

from aweigh._version import __version__
from aweigh.advisories import DEFAULT_SOURCE
from aweigh.advisories.osv import ECOSYSTEM, Advisory
from aweigh.advisories.report import Told, names_of, public
from aweigh.bundle.requirements import Pinned
from aweigh.errors import SourceSilent, UsageError

TIMEOUT_S = 20.0
"""For the other side to say anything at all."""
DEADLINE_S = 180.0
"""For all questions together."""
MAX_ANSWER_BYTES = 16 * 2**20
MAX_BATCH = 500
"""Questions at once; OSV takes a thousand."""
MAX_PAGES = 50
MAX_ADVISORIES = 2_000
CHUNK_BYTES = 64 * 1024
KNOWN_BAD = ("jinja2", "2.4.1")
"""A release whose faults have been known since 2014 (CVE-2014-0012): who does not know them knows none."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_INSTEAD = "ask again later; or audit with an export of the advisories, which needs no network: --advisories FILE"

Query = tuple[str, str]
"""Name and version."""


class _Named(msgspec.Struct):
    id: str


class _Result(msgspec.Struct):
    vulns: tuple[_Named, ...] | None = None
    next_page_token: str | None = None


class _Answer(msgspec.Struct):
    results: tuple[_Result, ...]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An address that sends elsewhere is not followed: who was asked is who answers."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Nothing is asked instead; the answer is an error of its own status."""


class Source:
    """One server, by its address; the environment's proxies (``HTTPS_PROXY``, ``NO_PROXY``) are used."""

    def __init__(self, address: str) -> None:
        parts = urllib.parse.urlsplit(address)
        if (
            parts.scheme not in {"https", "http"}
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.fragment
        ):
            raise UsageError(
                f"{address[:80]!r} is no address of a source of advisories.", hint=f"the default is {DEFAULT_SOURCE}"
            )
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise UsageError(
                "Advisories are asked for over https only: on the way anybody could take some of them out.",
                hint="give an https:// address, or an export that you have checked: --advisories FILE",
            )
        self.address = address.rstrip("/")
        self.host = parts.hostname
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._until = time.monotonic() + DEADLINE_S

    def ask(self, packages: Iterable[Pinned]) -> Told:
        """The advisories that speak of each of the packages.

        Raises:
            SourceSilent: it could not be asked, answered otherwise than OSV does, or knows nothing.
        """
        asked = {one: [(name, public(one.version)) for name in names_of(one)] for one in packages}
        queries = sorted({query for wanted in asked.values() for query in wanted} | {KNOWN_BAD})
        ids = self._ids(queries)
        if not ids[KNOWN_BAD]:
            raise SourceSilent(
                f"{self.host} answers and knows nothing: it has no advisory of {KNOWN_BAD[0]} {KNOWN_BAD[1]}, whose "
                "faults have been known since 2014.",
                hint=_INSTEAD,
            )
        wanted = {name for query, names in ids.items() for name in names if query != KNOWN_BAD or _is_asked(asked)}
        if len(wanted) > MAX_ADVISORIES:
            raise SourceSilent(f"{self.host} names {len(wanted):,} advisories, which cannot be.", hint=_INSTEAD)
        advisories = {name: self._advisory(name) for name in sorted(wanted)}
        found = {
            (one.name, one.version): tuple(
                advisories[name]
                for name in sorted({name for query in wanted_of for name in ids[query]})
                if advisories[name].withdrawn is None
            )
            for one, wanted_of in asked.items()
        }
        return Told(self.host, found)

    def _ids(self, queries: list[Query]) -> Mapping[Query, set[str]]:
        """The ids of the advisories that speak of each, every page of them."""
        found: dict[Query, set[str]] = {query: set() for query in queries}
        waiting: list[tuple[Query, str | None]] = [(query, None) for query in queries]
        for _ in range(MAX_PAGES):
            if not waiting:
                return found
            batch, waiting = waiting[:MAX_BATCH], waiting[MAX_BATCH:]
            results = self._batch(batch)
            for (query, _), result in zip(batch, results, strict=True):
                found[query] |= {one.id for one in result.vulns or ()}
                if result.next_page_token:
                    waiting.append((query, result.next_page_token))
        raise SourceSilent(f"{self.host} goes on and on with its answer.", hint=_INSTEAD)

    def _batch(self, batch: list[tuple[Query, str | None]]) -> tuple[_Result, ...]:
        queries = [
            {"package": {"name": name, "ecosystem": ECOSYSTEM}, "version": version}
            | ({"page_token": token} if token else {})
            for (name, version), token in batch
        ]
        answer: _Answer = self._json("/v1/querybatch", _Answer, body={"queries": queries})
        if len(answer.results) != len(batch):
            raise SourceSilent(
                f"{self.host} was asked about {len(batch)} packages and answered for {len(answer.results)}.",
                hint=_INSTEAD,
            )
        return answer.results

    def _advisory(self, name: str) -> Advisory:
        advisory: Advisory = self._json(f"/v1/vulns/{urllib.parse.quote(name, safe='')}", Advisory)
        if advisory.id != name:
            raise SourceSilent(f"{self.host} was asked for {name[:60]!r} and sent another advisory.", hint=_INSTEAD)
        return advisory

    def _json(self, path: str, kind: Any, *, body: object = None) -> Any:
        try:
            return msgspec.json.decode(self._fetch(path, body), type=kind)
        except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or not of the schema
            raise SourceSilent(
                f"{self.host} does not answer as OSV does ({path.split('/')[2]}).",
                hint="--source takes the address of a server of OSV's API, without /v1",
            ) from error

    def _fetch(self, path: str, body: object) -> bytes:
        """The bytes of an answer, at most so many, and none after the deadline."""
        data = None if body is None else json.dumps(body).encode()
        headers = {
            "User-Agent": f"aweigh/{__version__}",
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
        }
        request = urllib.request.Request(self.address + path, data=data, headers=headers)  # noqa: S310  checked above
        content = bytearray()
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                while chunk := answer.read1(CHUNK_BYTES):
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        raise SourceSilent(f"{self.host} answers with more than {MAX_ANSWER_BYTES // 2**20} MiB.")
                    if time.monotonic() > self._until:
                        raise SourceSilent(f"{self.host} takes longer than {DEADLINE_S:.0f} s.", hint=_INSTEAD)
                length = answer.headers.get("Content-Length", "")
                if length.isdecimal() and len(content) != int(length):
                    raise SourceSilent(f"{self.host} broke off in its answer.", hint=_INSTEAD)
        except urllib.error.HTTPError as error:
            error.close()
            sent = " and sends elsewhere, which is not followed" if 300 <= error.code < 400 else ""
            raise SourceSilent(f"{self.host} answers with status {error.code}{sent}.", hint=_INSTEAD) from error
        except (OSError, HTTPException) as error:
            raise SourceSilent(f"{self.host} cannot be asked: {_why(error)}.", hint=_INSTEAD) from error
        return bytes(content)


def _is_asked(asked: Mapping[Pinned, list[Query]]) -> bool:
    """Whether the release that every database knows is one that was to be audited."""
    return any(KNOWN_BAD in queries for queries in asked.values())


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    text = str(getattr(reason, "strerror", None) or reason or type(reason).__name__)
    return text.rstrip(".") or type(error).__name__
