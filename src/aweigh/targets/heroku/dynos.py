"""The sizes of dynos: memory, processors and price, of the generation Cedar.

From Heroku's pages on dyno types (2024-06-04), memory (2024-10-16) and limits (2025-01-09), and its command line.
"""

import re
from dataclasses import dataclass

MB = 2**20

MOST_SLUG_BYTES = 500 * MB
"""Of the compressed slug; beyond it a build fails."""
LARGE_SLUG_BYTES = 300 * MB
"""Beyond it a build warns, and boots slowly."""
BOOT_S = 60
"""Within it a web process has to listen on ``$PORT`` (R10)."""
FIRST_BYTE_S = 30
"""Within it an answer has to begin (H12)."""
IDLE_S = 55
"""A connection on which neither side says anything for so long is closed (H15), WebSockets too."""
STOP_S = 30
"""From SIGTERM to SIGKILL."""


@dataclass(frozen=True, slots=True)
class Dyno:
    """A size. ``quota_bytes`` is swapped beyond (R14); at ``kill_bytes`` the process is killed (R15)."""

    name: str
    quota_bytes: int
    kill_bytes: int
    web_concurrency: int
    """What the Python buildpack sets WEB_CONCURRENCY to."""
    dollars_a_month: int
    most: int | None = None
    """How many of one process type there may be; None: no bound of the size's own."""
    sleeps: bool = False


DYNOS = {
    dyno.name: dyno
    for dyno in (
        Dyno("eco", 512 * MB, 1024 * MB, 2, 5, most=1, sleeps=True),
        Dyno("basic", 512 * MB, 1024 * MB, 2, 7, most=1),
        Dyno("standard-1x", 512 * MB, 1024 * MB, 2, 25),
        Dyno("standard-2x", 1024 * MB, 2048 * MB, 4, 50),
        Dyno("performance-m", 2560 * MB, 5 * 1024 * MB, 5, 250),
        Dyno("performance-l", 14 * 1024 * MB, 28 * 1024 * MB, 17, 500),
        Dyno("performance-l-ram", 30 * 1024 * MB, 36 * 1024 * MB, 9, 500),
        Dyno("performance-xl", 62 * 1024 * MB, 74 * 1024 * MB, 17, 750),
        Dyno("performance-2xl", 126 * 1024 * MB, 151 * 1024 * MB, 33, 1500),
    )
}
"""By the name that the API and ``aweigh --size`` know them by, from the smallest."""


_FIR_SIZE = re.compile(r"dyno-(\d{1,3})c-(\d{1,4}(?:\.\d)?)gb\Z")
SMALLEST_FIR = "dyno-1c-0.5gb"
SIZES_OF_FIR = (SMALLEST_FIR, "dyno-1c-4gb", "dyno-2c-1gb", "dyno-2c-4gb")
"""Of the generation Fir, some of them: processors and memory stand in the name."""


def is_fir_size(size: str) -> bool:
    """Whether a size is one of the generation Fir, by its name.

    >>> is_fir_size("dyno-2c-1gb"), is_fir_size("standard-1x")
    (True, False)
    """
    return _FIR_SIZE.match(size.lower()) is not None
