"""Keys of programs: shown once, kept as a digest, made for something, until some day.

A key reads ``aw_`` + its id (12) + ``_`` + 256 bits (43 characters) + a checksum (6), so that what searches
repositories for leaked secrets can tell one, and what was cut short or made up is refused without asking a database.
"""

import base64
import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass

from aweigh.guard.identity import Scope
from aweigh.secret import Secret

PREFIX = "aw_"
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_CHARACTERS = 12
CHECKSUM_CHARACTERS = 6
SHAPE = re.compile(r"aw_([0-9a-z]{12})_([A-Za-z0-9_-]{43})([0-9A-Za-z]{6})\Z")
EACH = 100
"""The most that one person has."""
LONGEST_DAYS = 3650


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is shown afterwards: all of it but its secret."""

    id: str
    owner: str
    label: str
    scopes: frozenset[Scope]
    created: float
    expires: float | None
    revoked: float | None
    last_used: float | None

    def is_alive(self, now: float) -> bool:
        """Whether it opens anything, its owner allowing."""
        return self.revoked is None and (self.expires is None or self.expires > now)


def new_text() -> tuple[str, Secret]:
    """A new id (``k_...``) and the text that opens."""
    name = "".join(secrets.choice(ALPHABET) for _ in range(ID_CHARACTERS))
    body = f"{PREFIX}{name}_{base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip('=')}"
    return f"k_{name}", Secret(body + _checksum(body))


def id_of(text: str) -> str | None:
    """The id in a key's text; None when it is no key's."""
    found = SHAPE.match(text)
    if found is None or _checksum(text[:-CHECKSUM_CHARACTERS]) != found[3]:
        return None
    return f"k_{found[1]}"


def digest_of(text: str) -> str:
    """What is kept of a key's text. With 256 bits of chance in it there is nothing to guess, and no need of Argon2."""
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(body: str) -> str:
    number, found = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(BASE62))
        found = BASE62[digit] + found
    return found
