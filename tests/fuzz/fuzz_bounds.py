"""What one input may cost: seconds of the processor, counted while it is read, and memory, of its whole process."""

import resource
import signal
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CPU_S = 3.0
"""Of one input of a few kilobytes, under the instruments that tell which lines it has reached."""
MEMORY_BYTES = 768 * 2**20
"""Above what the process holds before the first input: no parser needs a tenth of it for so few bytes."""

Run = Callable[[bytes], None]


class Found(Exception):
    """An input that was told apart: two ways that must agree do not, or what must hold does not."""


class TooSlow(BaseException):
    """An input that takes too long. No ``except Exception`` of a parser shall pass it over."""


def _too_slow(number: int, frame: types.FrameType | None) -> None:
    raise TooSlow(f"one input has taken {CPU_S:g} seconds of the processor")


@contextmanager
def clocked() -> Iterator[Callable[[Run], Run]]:
    """Turns what reads one input into what reads it in bounded time."""
    before = signal.signal(signal.SIGPROF, _too_slow)

    def bounded(run: Run) -> Run:
        def once(data: bytes) -> None:
            signal.setitimer(signal.ITIMER_PROF, CPU_S)
            try:
                run(data)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)

        return once

    try:
        yield bounded
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def bound_memory() -> None:
    """From here on this process may take so much more memory, and no more: what wants it gets a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    wanted, most = pages * resource.getpagesize() + MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))
