"""What requests take, learned from those that were answered: may the event loop answer one itself?

While one client alone asks a process, nobody else waits for the event loop. Handing many rows to a thread and back
costs some hundred microseconds of CPU, most of it because another core has nothing of them at hand. But whoever comes
next waits, so that it must not take long: by its bytes, before it is read, and by its rows, once they are known.
Neither says it alone: a body may be long and hold one row, or short and hold many.
"""

import math

ALONE_AFTER_S = 0.1
"""Who is the only one to ask for so long is alone."""

ALONE_BYTES = 2**20
ALONE_S = 0.03
"""What keeps the event loop for longer, as far as is known, goes to a thread: so long may a newcomer have to wait."""

FORGETS = 32
"""How many requests it takes until one that was slow counts for little."""


class NotHere(Exception):  # noqa: N818  no error: the way on is another
    """The rows of a request would keep the event loop too long: for ``expected_s``, as far as is known."""

    def __init__(self, expected_s: float) -> None:
        super().__init__()
        self.expected_s = expected_s


class Pace:
    """What requests take for each byte of a kind of body, and for each row; learned from several threads."""

    def __init__(self) -> None:
        self._byte_s: dict[str, float] = {}
        self._row_s = math.inf

    def is_quick(self, kind: str, size_bytes: int) -> bool:
        """Whether a body of that size should be answered within ``ALONE_S``; of the first two of a kind nobody knows.

        The first is not learned from: see ``learn``.
        """
        return size_bytes <= ALONE_BYTES and size_bytes * self._byte_s.get(kind, math.inf) <= ALONE_S

    def require_quick(self, rows: int) -> None:
        """Passes when so many rows should be answered within ``ALONE_S``.

        Raises:
            NotHere: they should not.
        """
        if rows * self._row_s > ALONE_S:
            raise NotHere(rows * self._row_s)

    def learn(self, kind: str, size_bytes: int, seconds: float, *, rows: int = 0) -> None:
        """A body took so long; ``rows``: those that it held, when they were answered.

        The first of a kind is not counted: it pays for what is imported and made ready once.
        """
        known = self._byte_s.get(kind)
        if known is None:
            self._byte_s[kind] = math.inf
            return
        self._byte_s[kind] = _learned(known, seconds / max(1, size_bytes))
        if rows:
            self._row_s = _learned(self._row_s, seconds / rows)


def _learned(known: float, took: float) -> float:
    """A slow one counts at once and in full, a quick one a little."""
    if math.isinf(known) or took > known:
        return took
    return known + (took - known) / FORGETS
