"""Where a request's time went, as ``Server-Timing`` says it (w3.org/TR/server-timing): stage by stage, in milliseconds.

It is said with every answer, so it has to cost next to nothing: 2 microseconds for four stages.
"""

from functools import lru_cache
from time import perf_counter_ns

QUEUE = b"queue;dur="
"""Waiting for a thread, or for others to be asked together with."""
READ = b"read;dur="
"""From bytes to a table that fits the schema."""
MODEL = b"model;dur="
WARNINGS = b"warnings;dur="
"""Looking for what the model has not seen."""
WRITE = b"write;dur="
COMPRESS = b"compress;dur="


class Timing:
    """The stages of one request, which begins now."""

    __slots__ = ("_last", "_said")

    def __init__(self) -> None:
        self._said: list[bytes] = []
        self._last = perf_counter_ns()

    def mark(self, stage: bytes) -> None:
        """The stage is over; it began where the one before it ended. ``stage`` is its name and ``;dur=``."""
        now = perf_counter_ns()
        self._said.append(stage + _milliseconds((now - self._last) // 1000))
        self._last = now

    def waited(self, begun_s: float) -> None:
        """Waiting was over at that time of ``perf_counter``; what came after is the next stage's."""
        begun = int(begun_s * 1e9)
        self._said.append(QUEUE + _milliseconds(max(0, begun - self._last) // 1000))
        self._last = max(begun, self._last)

    def pass_over(self) -> None:
        """What happened since the last stage is told by none."""
        self._last = perf_counter_ns()

    def note(self, said: bytes) -> None:
        """Says something that takes no time, as the header has it: ``cache;desc=hit``."""
        self._said.append(said)

    def header(self) -> tuple[bytes, bytes]:
        """The header, with all that was said so far."""
        return b"server-timing", b", ".join(self._said)


def plain_timing(begun: int, read: int, answered: int, warned: int, written: int, compressed: int = 0) -> bytes:
    """The header line of a request that went straight through, from what ``perf_counter_ns`` said after each stage."""
    last = b", " + COMPRESS + _milliseconds((compressed - written) // 1000) if compressed else b""
    return b"server-timing: read;dur=%b, model;dur=%b, warnings;dur=%b, write;dur=%b%b\r\n" % (
        _milliseconds((read - begun) // 1000),
        _milliseconds((answered - read) // 1000),
        _milliseconds((warned - answered) // 1000),
        _milliseconds((written - warned) // 1000),
        last,
    )


@lru_cache(maxsize=4096)  # an eighth of what writing the number anew would take
def _milliseconds(microseconds: int) -> bytes:
    return b"%.3f" % (microseconds / 1000)
