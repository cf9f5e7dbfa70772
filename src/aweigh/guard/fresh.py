"""What was found out about a credential, remembered for a few seconds: asked at every request, it asks nobody."""

import threading
from collections.abc import Callable
from math import inf
from typing import Any

from aweigh.guard.identity import UNKNOWN, Identity, Unknown

FRESH_S = 5.0
"""How long an answer holds: what was revoked elsewhere is gone after so long at the latest."""
AGES_S = 4.0
"""From this age on who goes on asking is looked up anew, while the answer still holds, so that nobody waits for it."""
MOST = 10_000
"""How many answers of each kind are remembered. The oldest makes room, and a no never drives out a yes."""
LONGEST = 128
"""Bytes: no credential is longer."""


class Fresh:
    """Answers by credential: a dict look-up and a clock, so that a request is not delayed by it."""

    def __init__(self, *, clock: Callable[[], float], most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._yes: dict[bytes, tuple[float, Identity, float]] = {}
        self._no: dict[bytes, float] = {}
        self.turn = 0

    def known(self, credential: bytes) -> Identity | Unknown | None:
        """What is remembered."""
        found = self._yes.get(credential)
        if found is not None and found[0] > self._clock():
            return found[1]
        until = self._no.get(credential)
        if until is not None and until > self._clock():
            return None
        return UNKNOWN

    def is_due(self, credential: bytes) -> bool:
        """Whether a yes is so old that it is to be asked for again; True once for each answer."""
        found = self._yes.get(credential)
        if found is None or found[2] > self._clock():
            return False
        with self._lock:
            if self._yes.get(credential) is not found:
                return False
            self._yes[credential] = (found[0], found[1], inf)
            return True

    def remember(self, credential: bytes, identity: Identity | None, *, turn: int, lives_s: float = FRESH_S) -> None:
        """Remembers an answer, unless something was forgotten since ``turn``: then it may have been right no longer."""
        if len(credential) > LONGEST:
            return
        now = self._clock()
        until = now + min(lives_s, FRESH_S)
        with self._lock:
            if turn != self.turn:
                return
            self._yes.pop(credential, None)
            self._no.pop(credential, None)
            if identity is not None:
                _make_room(self._yes, self._most)
                self._yes[credential] = (until, identity, now + AGES_S)
            else:
                _make_room(self._no, self._most)
                self._no[credential] = until

    def forget(self, is_meant: Callable[[Identity], bool]) -> None:
        """Forgets what is known of some."""
        with self._lock:
            self.turn += 1
            for credential in [one for one, (_, identity, _) in self._yes.items() if is_meant(identity)]:
                del self._yes[credential]

    def __len__(self) -> int:
        return len(self._yes) + len(self._no)


def _make_room(kept: dict[bytes, Any], most: int) -> None:
    while len(kept) >= most:
        del kept[next(iter(kept))]
