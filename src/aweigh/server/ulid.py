"""Request ids: ULIDs, 26 characters that sort by time (48 bits of milliseconds, 80 bits of chance)."""

import os
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O or U."""

_PAIRS = [one + other for one in ALPHABET for other in ALPHABET]
_TIME_SHIFTS = range(40, -1, -10)
_CHANCE_SHIFTS = range(70, -1, -10)
_CHANCE_BYTES = 10
_AT_ONCE = 400
"""So many ids' worth of chance is taken from the system at once: asking it takes as long as the rest of an id."""

_chance: list[bytes] = []
_latest = (-1, "")


def _forget() -> None:
    _chance.clear()


# Two processes must not give the same ids out of what one of them had taken.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def ulid() -> str:
    """A new id; may be called from several threads."""
    global _latest  # noqa: PLW0603  the milliseconds are the same for many requests, and take a third of the work
    now = time.time_ns() // 1_000_000
    latest, prefix = _latest
    if now != latest:
        prefix = "".join([_PAIRS[now >> shift & 1023] for shift in _TIME_SHIFTS])
        _latest = (now, prefix)
    try:
        chance = _chance.pop()
    except IndexError:
        taken = os.urandom(_CHANCE_BYTES * _AT_ONCE)
        _chance.extend(taken[i : i + _CHANCE_BYTES] for i in range(_CHANCE_BYTES, len(taken), _CHANCE_BYTES))
        chance = taken[:_CHANCE_BYTES]
    bits = int.from_bytes(chance, "big")
    return prefix + "".join([_PAIRS[bits >> shift & 1023] for shift in _CHANCE_SHIFTS])
