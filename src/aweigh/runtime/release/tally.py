"""Tallies: what came of a trial, counted, so that those of several processes add up."""

import math

import msgspec

SIZES_BYTES = (512, 2048, 8192, 32_768, 262_144)
"""Requests are told apart by the size of their bodies: a table of a thousand rows is no slow answer to one row."""

FASTEST_S, STEPS = 5e-5, 4
"""Times are told apart by factors of the fourth root of two (1.19), from 50 microseconds on."""

SLOTS = 128
"""Of times for one size; the last is anything over two days."""


class Side(msgspec.Struct, kw_only=True):
    """Requests that one model answered, and how long each took.

    ``errors``: of the candidate, requests that it failed on and the other model answered; of the current one, all that
    it failed on. ``late`` are those of them that had no answer in time. ``times``: how many there were of each size and
    time, ``size * SLOTS + slot``.
    """

    requests: int = 0
    errors: int = 0
    late: int = 0
    times: dict[int, int] = {}

    def answered(self, seconds: float, size_bytes: int) -> None:
        """A request of that size was answered in that time."""
        self.requests += 1
        key = size_of(size_bytes) * SLOTS + slot_of(seconds)
        self.times[key] = self.times.get(key, 0) + 1

    def failed(self) -> None:
        """A request had no answer."""
        self.requests += 1
        self.errors += 1

    def was_late(self) -> None:
        """A request had no answer in time."""
        self.failed()
        self.late += 1

    def add(self, other: "Side") -> None:
        """Adds what another process has counted."""
        self.requests += other.requests
        self.errors += other.errors
        self.late += other.late
        for key, count in other.times.items():
            self.times[key] = self.times.get(key, 0) + count


class Shadow(msgspec.Struct, kw_only=True):
    """What a shadow said beside the answers that were given.

    ``requests`` is how many were looked at, ``errors`` on how many of them it failed. Of their ``rows`` so many were
    ``differing``: of those ``labels`` had another label, and ``largest`` is the largest difference of two numbers.
    ``drawn`` is one row of each request, ``drawn_differing`` how many of these differ: rows of one request hang
    together, and those of several do not. ``dropped`` were not looked at, as too much waited. No row is kept.
    """

    requests: int = 0
    errors: int = 0
    rows: int = 0
    differing: int = 0
    labels: int = 0
    largest: float = 0.0
    drawn: int = 0
    drawn_differing: int = 0
    dropped: int = 0
    seconds: float = 0.0

    def add(self, other: "Shadow") -> None:
        """Adds what another process has counted."""
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, max(mine, theirs) if name == "largest" else mine + theirs)


class Tally(msgspec.Struct, kw_only=True):
    """All that was counted in a trial."""

    current: Side = msgspec.field(default_factory=Side)
    candidate: Side = msgspec.field(default_factory=Side)
    shadow: Shadow = msgspec.field(default_factory=Shadow)

    def add(self, other: "Tally") -> None:
        """Adds what another process has counted."""
        self.current.add(other.current)
        self.candidate.add(other.candidate)
        self.shadow.add(other.shadow)


def size_of(size_bytes: int) -> int:
    """Which of the sizes a body has, from 0 on."""
    return next((i for i, most in enumerate(SIZES_BYTES) if size_bytes <= most), len(SIZES_BYTES))


def slot_of(seconds: float) -> int:
    """Which of the times it is, from 0 on."""
    if seconds <= FASTEST_S:
        return 0
    return min(SLOTS - 1, 1 + int(math.log2(seconds / FASTEST_S) * STEPS))


def slot_begins_s(slot: int) -> float:
    """The least time of a slot, in seconds; the largest is where the next begins."""
    return 0.0 if slot == 0 else FASTEST_S * 2 ** ((slot - 1) / STEPS)


def quantile_s(slots: dict[int, float], share: float) -> float:
    """The time within which such a share of the requests was answered, a fifth too long at most; 0 of none."""
    total = sum(slots.values())
    passed = 0.0
    for slot in sorted(slots):
        passed += slots[slot]
        if passed >= share * total - 1e-9:
            return slot_begins_s(slot + 1)
    return 0.0


def slots_of(side: Side) -> dict[int, float]:
    """How many requests took each time, of whatever size."""
    found: dict[int, float] = {}
    for key, count in side.times.items():
        found[key % SLOTS] = found.get(key % SLOTS, 0.0) + count
    return found
