"""What requests take by their size, learned from those that were answered: may the event loop answer one itself?

Where a process has one connection alone, nobody else waits while the event loop works. Handing many rows to a thread
and back costs some hundred microseconds of CPU, most of it because another core has nothing of them at hand.
"""

import math

ALONE_BYTES = 2**20
ALONE_S = 0.02
"""What keeps the event loop for longer, as far as is known, goes to a thread: so long may a newcomer have to wait."""

FORGETS = 8
"""How many requests it takes until one that was slow counts for little."""


class Pace:
    """What requests of a kind take for each byte of their bodies; learned from several threads."""

    def __init__(self) -> None:
        self._byte_s: dict[str, float] = {}

    def is_quick(self, kind: str, size_bytes: int) -> bool:
        """Whether one of that size should be answered within ``ALONE_S``; of the first of a kind nobody knows."""
        return size_bytes <= ALONE_BYTES and size_bytes * self._byte_s.get(kind, math.inf) <= ALONE_S

    def learn(self, kind: str, size_bytes: int, seconds: float) -> None:
        """One took so long: a slow one counts at once and in full, a quick one a little."""
        took = seconds / max(1, size_bytes)
        known = self._byte_s.get(kind, 0.0)
        self._byte_s[kind] = took if took > known else known + (took - known) / FORGETS
