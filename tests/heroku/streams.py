"""What is written while it is read: output of builds and release processes, and the log of an app."""

import asyncio
import datetime as dt
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

MOST_LINES = 1500
LONGEST_LINE_BYTES = 10_000


def now() -> str:
    """Return the time as the API writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Signal:
    """Wakes all who wait that something changed."""

    def __init__(self) -> None:
        self._event: asyncio.Event | None = None

    def notify(self) -> None:
        """Wake them."""
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the next change; return whether there was one."""
        self._event = self._event or asyncio.Event()
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return False
        return True


class Stream:
    """Text that grows until it is closed."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.closed = False
        self._changed = Signal()

    def write(self, text: str) -> None:
        """Add to it."""
        self.data += text.encode()
        self._changed.notify()

    def line(self, text: str = "") -> None:
        """Add a line."""
        self.write(text + "\n")

    def close(self) -> None:
        """Let its readers end."""
        self.closed = True
        self._changed.notify()

    async def read(self, start: int, keepalive_s: float) -> AsyncIterator[bytes]:
        """Yield what comes from an offset on, in bytes; b"" where nothing came for a while."""
        while True:
            if start < len(self.data):
                chunk = bytes(self.data[start:])
                start += len(chunk)
                yield chunk
            elif self.closed:
                return
            elif not await self._changed.wait(keepalive_s):
                yield b""


@dataclass(frozen=True, slots=True)
class Line:
    """``source`` is ``app`` or ``heroku``, ``dyno`` is ``web.1`` or ``router`` or ``api``."""

    number: int
    at: str
    source: str
    dyno: str
    text: str

    def __str__(self) -> str:
        return f"{self.at} {self.source}[{self.dyno}]: {self.text}"


class Log:
    """The last lines of an app."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque(maxlen=MOST_LINES)
        self._number = 0
        self._closed = False
        self._changed = Signal()

    def add(self, source: str, dyno: str, text: str) -> None:
        """Add a line, split where it is too long."""
        at = dt.datetime.now(dt.UTC).isoformat()
        raw = text.encode()
        for start in range(0, max(len(raw), 1), LONGEST_LINE_BYTES):
            self._number += 1
            part = raw[start : start + LONGEST_LINE_BYTES].decode(errors="replace")
            self._lines.append(Line(self._number, at, source, dyno, part))
        self._changed.notify()

    def texts(self) -> list[str]:
        """Return all that is kept."""
        return [str(line) for line in list(self._lines)]

    def close(self) -> None:
        """Let its readers end."""
        self._closed = True
        self._changed.notify()

    async def read(self, wanted: "Wanted", keepalive_s: float) -> AsyncIterator[Line | None]:
        """Yield the last lines that are wanted and, when tailing, those that come; None where none came for a while."""
        first = [line for line in self._lines if wanted.takes(line)]
        last = self._number
        for line in first[max(0, len(first) - wanted.lines) :] if wanted.lines else ():
            yield line
        while wanted.tail and not self._closed:
            fresh = [line for line in self._lines if line.number > last]
            last = self._number
            for line in fresh:
                if wanted.takes(line):
                    yield line
            if last == self._number and not await self._changed.wait(keepalive_s):
                yield None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a log session asks for."""

    lines: int = 100
    tail: bool = False
    source: str | None = None
    dyno: str | None = None
    type: str | None = None

    def takes(self, line: Line) -> bool:
        """Whether a line is of it."""
        if self.source is not None and line.source != self.source:
            return False
        if self.dyno is not None and self.dyno != line.dyno and not line.dyno.startswith(f"{self.dyno}."):
            return False
        return self.type is None or line.dyno.split(".")[0] == self.type
