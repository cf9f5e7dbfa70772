"""Who is answered by the candidate: a number from 0 to 1 made of who asks, the same for as long as a trial lasts."""

import hashlib

WHOLE = 2**64
READ_BYTES = 16 * 1024
"""So much of a body says who asks, where nothing else does; its length says the rest."""


def threshold(percent: float) -> int:
    """Below which ``place_of`` somebody is answered by the candidate, of so many in a hundred."""
    return min(WHOLE, max(0, round(percent / 100 * WHOLE)))


def place_of(salt: bytes, who: bytes) -> int:
    """Where somebody stands among all, from 0 to 2**64 - 1; another salt puts everybody elsewhere.

    >>> place_of(b"one", b"ana") == place_of(b"one", b"ana"), place_of(b"one", b"ana") == place_of(b"two", b"ana")
    (True, False)
    """
    return int.from_bytes(hashlib.blake2b(who, digest_size=8, key=salt[:64]).digest(), "big")


def who_asks(identity: str | None, sticky: bytes | None, body: bytes) -> bytes:
    """What a request is known by: who is signed in or whose key it is, and on whose behalf they say that they ask.

    Without either it is the rows themselves: the same body is answered by the same model.

    >>> who_asks("k_1", b"ana", b"{}"), who_asks(None, b"ana", b"{}"), who_asks(None, None, b"{}")
    (b'i:k_1:ana', b's:ana', b'b:2:{}')
    """
    if identity is not None:
        return b"i:%b:%b" % (identity.encode(), sticky or b"")
    if sticky:
        return b"s:" + sticky
    return b"b:%d:%b" % (len(body), body[:READ_BYTES])
