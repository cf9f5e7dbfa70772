"""The ticket between the two steps of a sign-in: that somebody knew the password a moment ago, and nothing more.

It stands in the form that asks for the code, so that the password does not. It is sealed with what is kept of the
password, which nobody outside knows and every replica has: a new password ends it, and nothing of it is stored. By
itself it opens nothing, and each code is still taken once only.
"""

import base64
import binascii
import hashlib
import hmac

from aweigh.guard.people import Row
from aweigh.secret import Secret

LASTS_S = 300
"""How long somebody may look for their phone."""

_PURPOSE = b"aweigh: second step\0"
_LONGEST = 512


def ticket_of(row: Row, *, now: float) -> Secret:
    """The ticket of somebody whose password was right just now."""
    content = f"{row.id} {int(now) + LASTS_S}"
    text = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
    return Secret(f"{text}.{_seal(row, content)}")


def named_in(ticket: str) -> tuple[str, float] | None:
    """The person's id in a ticket and when it ends, not looked at yet; None: it is none."""
    text, _, seal = ticket.partition(".")
    if not seal or len(ticket) > _LONGEST or not ticket.isascii():
        return None
    try:
        content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    person, _, ends = content.partition(" ")
    return (person, float(ends)) if ends.isdecimal() and len(ends) < 16 else None


def is_good(ticket: str, row: Row, *, now: float) -> bool:
    """Whether it was made for this person, with the password that they still have, and not too long ago."""
    named = named_in(ticket)
    if named is None or named[0] != row.id or named[1] < now or row.password is None:
        return False
    seal = ticket.partition(".")[2]
    return hmac.compare_digest(seal, _seal(row, f"{row.id} {int(named[1])}"))


def _seal(row: Row, content: str) -> str:
    key = hashlib.sha256(_PURPOSE + (row.password or "").encode()).digest()
    return base64.urlsafe_b64encode(hmac.digest(key, content.encode(), "sha256")).decode().rstrip("=")
