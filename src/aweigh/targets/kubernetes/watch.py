"""What changes in a list, as it changes.

A stream that ends or breaks goes on from where it was; one whose place the cluster has forgotten (410) is begun anew
with the list.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from aweigh.targets.kubernetes.client import TRIES, Client, Object, Request
from aweigh.targets.kubernetes.errors import KubernetesRefused, silent

if TYPE_CHECKING:
    import httpx

WINDOW_S = 2
"""So long a stream is kept where nothing happens: then whoever waits looks at other things."""
GRACE_S = 5.0
PAUSE_S = 0.5
MOST_LINE_BYTES = 16 * 2**20

Kind = Literal["listed", "added", "modified", "deleted", "quiet"]
_KINDS: dict[str, Kind] = {"ADDED": "added", "MODIFIED": "modified", "DELETED": "deleted"}


@dataclass(frozen=True, slots=True)
class Event:
    """One change. ``quiet``: nothing happened for a while, and there is no object."""

    kind: Kind
    object: Object


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at: a list's path, and what it is for, as in ``to watch the Deployments``."""

    path: str
    what: str
    selector: str = ""
    fields: str = ""


class _Line(msgspec.Struct, frozen=True):
    type: str
    object: Any


class _Forgotten(Exception):  # noqa: N818  an answer, not a fault
    """The cluster no longer knows from where the stream is to go on."""


def watch(
    client: Client,
    watched: Watched,
    *,
    until: float,
    window_s: int = WINDOW_S,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Event]:
    """First all that there is (``listed``), then each change, until that time of the clock.

    Raises:
        KubernetesRefused, KubernetesSilent: the API refuses, stays away, or forgets at once what it lists.
    """
    version, failures = "", 0
    while True:
        started, came = time.monotonic(), False
        try:
            if not version:
                found, version = client.listed(
                    watched.path, what=watched.what, selector=watched.selector, fields=watched.fields
                )
                yield from (Event("listed", one) for one in found)
            for line in _lines(client, watched, version, window_s):
                version, failures, came = _version_of(line, version), 0, True
                if line.type in _KINDS:
                    yield Event(_KINDS[line.type], line.object)
        except _Forgotten:
            version, failures = "", failures + 1
            _give_up(client, watched, failures)
            continue
        except _broken() as error:
            failures += 1
            if failures >= TRIES:
                raise silent(error, what=watched.what, server=client.connection.server) from error
        yield Event("quiet", {})
        if clock() >= until:
            return
        if not came and time.monotonic() - started < window_s / 2:
            # Something on the way lets no stream live, or what it says is no event: not at once again.
            client.pause(PAUSE_S)


def _broken() -> "tuple[type[Exception], ...]":
    import httpx

    return (httpx.HTTPError,)


def _give_up(client: Client, watched: Watched, failures: int) -> None:
    if failures >= TRIES:
        raise KubernetesRefused(
            f"The cluster forgets at once what it lists, {watched.what}.", status=410, reason="Expired",
            hint="its store is too busy: try again later",
        )  # fmt: skip
    if failures > 1:
        client.pause(1.0)


def _lines(client: Client, watched: Watched, version: str, window_s: int) -> Iterator[_Line]:
    query = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(window_s),
        **({"labelSelector": watched.selector} if watched.selector else {}),
        **({"fieldSelector": watched.fields} if watched.fields else {}),
    }
    try:
        with client.stream(Request("GET", watched.path, watched.what, query), read_s=window_s + GRACE_S) as reply:
            for text in _whole_lines(reply):
                try:
                    line = msgspec.json.decode(text, type=_Line)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    # Cut off in the middle of a line: it comes again.
                    return
                if line.type == "ERROR":
                    _raise(line.object, watched)
                yield line
    except KubernetesRefused as error:
        if error.status == 410:
            raise _Forgotten from error
        raise


def _raise(status: Any, watched: Watched) -> None:
    code = status.get("code") if isinstance(status, dict) else None
    if code == 410:
        raise _Forgotten
    from aweigh.targets.kubernetes.errors import (
        Asked,
        refusal,
    )

    raise refusal(code if isinstance(code, int) else 500, msgspec.json.encode(status), Asked(watched.what))


def _whole_lines(reply: "httpx.Response") -> Iterator[bytes]:
    held = bytearray()
    for piece in reply.iter_bytes():
        held += piece
        *lines, rest = held.split(b"\n")
        yield from (bytes(one) for one in lines if one.strip())
        held = bytearray(rest)
        if len(held) > MOST_LINE_BYTES:
            return


def _version_of(line: _Line, version: str) -> str:
    """From where to go on: bookmarks say it, too."""
    meta = line.object.get("metadata") if isinstance(line.object, dict) else None
    found = meta.get("resourceVersion") if isinstance(meta, dict) else None
    return str(found) if found else version
