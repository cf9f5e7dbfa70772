"""Logs as they come: the build's and the release phase's, resumed where a connection broke off, and the app's own."""

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence

from aweigh.errors import RemoteError
from aweigh.targets.heroku.api import Api
from aweigh.targets.heroku.documents import App, LogSession
from aweigh.targets.heroku.errors import HerokuSilent, silent
from aweigh.targets.heroku.requests import find_app, open_log

QUIET_S = 60.0
"""Heroku sends a sign of life more often; a stream that is silent for longer is opened anew."""
LEAST_S = 0.5
LISTEN_S = 3.0
"""The generation Fir keeps no log: what is written in this time is all that there is to be had."""
OVERLAP = 100
"""Lines of a log that are read once more when its connection ended: the known ones among them are not told again."""
TRIES = 6
MOST_LINE_BYTES = 64 * 1024
_KEEP_ALIVE = b"\0"

_INVITE = re.compile(r"/invite/([A-Za-z0-9_-]{20,})")
INVITE_SHOWN = "/invite/(withheld)"


def follow(
    api: Api, url: str, *, hear: Callable[[str], None], what: str, until: float, opened: Callable[[], bool]
) -> None:
    """Hears the lines of a stream until it ends; ``opened`` says whether more of it is to come when it broke off.

    A stream is asked for from the byte on at which it broke off (``Range``); who does not understand that sends all of
    it again, of which the known part is skipped. ``until`` is a moment of ``time.monotonic`` at which it is left.

    Raises:
        HerokuSilent: it broke off again and again, without a byte in between.
    """
    import httpx

    lines = Lines(hear)
    silently = 0
    while (left_s := until - time.monotonic()) > 0:
        before = lines.bytes_read
        quiet_s = min(QUIET_S, max(left_s, LEAST_S))
        try:
            with api.read_elsewhere(url, {"Range": f"bytes={before}-"} if before else {}, read_s=quiet_s) as reply:
                if reply.status_code == 416 or (reply.status_code == 404 and before):
                    break  # nothing is behind what was read
                if reply.status_code >= 300:
                    why = f"status {reply.status_code}"
                    raise httpx.RemoteProtocolError(why)
                lines.skip(0 if reply.status_code == 206 else before)
                for piece in reply.iter_raw():
                    lines.take(piece)
                    if time.monotonic() > until:
                        break
            if not opened():
                break
            why = "ended early"
        except httpx.HTTPError as error:
            why = str(error) if str(error).startswith("status ") else type(error).__name__
        silently = 0 if lines.bytes_read > before else silently + 1
        if silently >= TRIES:
            if not opened():
                break
            raise silent(what, why=why, sent=False)
        api.pause(min(0.25 * 2**silently, 8.0))
    lines.end()


class Lines:
    """Bytes put together into lines of text; signs of life are no part of it."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear = hear
        self._rest = b""
        self._to_skip = 0
        self.bytes_read = 0

    def skip(self, count: int) -> None:
        """The next so many bytes are known."""
        self._to_skip = count

    def take(self, piece: bytes) -> None:
        """More of it."""
        piece = piece.replace(_KEEP_ALIVE, b"")
        known = min(self._to_skip, len(piece))
        self._to_skip -= known
        piece = piece[known:]
        self.bytes_read += len(piece)
        *whole, self._rest = (self._rest + piece).split(b"\n")
        for line in whole:
            self._tell(line)
        if len(self._rest) > MOST_LINE_BYTES:
            self.end()

    def end(self) -> None:
        """What has no line's end is a line, too."""
        if self._rest:
            self._tell(self._rest)
        self._rest = b""

    def _tell(self, line: bytes) -> None:
        self._hear(line.decode(errors="replace").rstrip("\r"))


def read_log(api: Api, app: str, *, lines: int = 100, tail: bool = False, process: str | None = None) -> Iterator[str]:
    """The last lines of an app's log, the oldest first; with ``tail`` those that come, until the reader stops.

    An app of the generation Fir has no last lines: those that it writes within three seconds are told.

    Raises:
        RemoteError: it cannot be read.
    """
    import httpx

    is_fir = api.ask(find_app(app), App).is_fir
    listens = is_fir and not tail
    session = api.ask(open_log(app, lines=lines, tail=tail, process=process, is_fir=is_fir), LogSession)
    found: list[str] = []
    taken = Lines(lambda line: found.extend(event(line)) if is_fir else found.append(line))
    what = f"to read the log of {app}"
    read_s = LISTEN_S if listens else 3600.0 if tail else QUIET_S
    until = time.monotonic() + (LISTEN_S if listens else math.inf)
    headers = {"Accept": "text/event-stream"} if is_fir else {}
    try:
        with api.read_elsewhere(session.logplex_url, headers, read_s=read_s) as reply:
            if reply.status_code >= 300:
                raise RemoteError(f"Heroku does not give the log (status {reply.status_code}).", hint="ask again")
            for piece in reply.iter_bytes():
                taken.take(piece)
                yield from found
                found.clear()
                if time.monotonic() > until:
                    break
        taken.end()
        yield from found
    except httpx.HTTPError as error:
        if listens and isinstance(error, httpx.ReadTimeout):
            return  # nothing more was written while it was listened to
        raise silent(what, why=type(error).__name__, sent=False) from error


def tail_log(api: Api, app: str, *, lines: int, process: str | None = None) -> Iterator[str]:
    """The last lines of a log and those that come; a connection that ends is opened again, and nothing is told twice.

    Raises:
        RemoteError: it cannot be read, again and again.
    """
    last: str | None = None
    failures = 0
    while True:
        waiting: list[str] = []
        is_known = last is not None
        try:
            most = lines if last is None else OVERLAP
            for line in read_log(api, app, lines=most, tail=True, process=process):
                failures = 0
                if is_known:
                    waiting.append(line)
                    if line != last and len(waiting) < OVERLAP:
                        continue
                    is_known, told = False, [] if line == last else waiting
                else:
                    told = [line]
                last = line
                yield from told
        except HerokuSilent:
            failures += 1
            if failures >= TRIES:
                raise
        api.pause(min(0.5 * 2**failures, 8.0))


def event(line: str) -> list[str]:
    """What a line of an event stream tells: the data of an event, and nothing of what holds events together.

    >>> event("data: heroku[web]: up"), event("id: 7"), event(": keep-alive"), event("")
    (['heroku[web]: up'], [], [], [])
    """
    if line.startswith("data:"):
        return [line.removeprefix("data:").removeprefix(" ")]
    return [] if not line or line.startswith((":", "id:", "event:", "retry:")) else [line]


def discreet(line: str) -> str:
    """A line without the token of an invitation in it."""
    return _INVITE.sub(INVITE_SHOWN, line)


def invitations(lines: Sequence[str]) -> list[str]:
    """The paths of the invitations that servers printed, each once, the last one first: ``/invite/...``."""
    found = [match[0] for line in lines for match in _INVITE.finditer(line)]
    return list(dict.fromkeys(reversed(found)))
