"""Request ids: ULIDs, 26 characters that sort by time (48 bits of milliseconds, 80 bits of chance)."""

import os
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O or U."""

_PAIRS = [one + other for one in ALPHABET for other in ALPHABET]
_SHIFTS = range(120, -1, -10)


def ulid() -> str:
    """A new id."""
    bits = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10), "big")
    return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])
