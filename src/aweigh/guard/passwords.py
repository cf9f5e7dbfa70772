"""Passwords: which are taken, how they are kept (Argon2id), and how one is held against what is kept.

The parameters are those of OWASP's cheat sheet: 19 MiB, two passes, one lane: 39 ms of CPU where this was measured. Two
at once in a process, or a crowd at the door would take the machine's memory and processors from those who are inside.
"""

import base64
import hashlib
import re
import secrets
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aweigh.errors import AweighError, Busy, UsageError
from aweigh.guard.names import same
from aweigh.registry import require

MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
SALT_BYTES = 16
DIGEST_BYTES = 32
PARAMETERS = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$"
"""How a hash begins that was made with today's parameters."""

SHORTEST = 12
LONGEST = 1024
"""In characters. The form of a page is bounded too; nothing that is let in is ever cut."""

AT_ONCE = 2
PATIENCE_S = 4.0
"""How long somebody waits for a turn, before being asked to come again."""
QUEUE = 16
"""How many wait at most: each holds a thread of the server, which those who are inside need as well."""
BUSY_RETRY_S = 5

LEGACY = re.compile(r"[0-9a-f]{64}\Z")
EDGES = re.compile(r"^[\W\d_]+|[\W\d_]+$")
ADVICE = "four or five words that do not belong together"
WORDS = re.compile(r"\w+")
LEAST_GUESSES = 5e8
"""Tried at 20 a second, where each takes 40 ms of a processor, that is most of a year."""
MOST_ESTIMATED = 72
"""Characters that the estimate takes into account."""


class TooManyAtOnce(Busy):
    """So many passwords are being checked that this one's turn did not come in time."""

    def __init__(self) -> None:
        AweighError.__init__(self, "Too many passwords are being checked at once.", hint="try again in a few seconds")
        self.retry_after_s = BUSY_RETRY_S


class Passwords:
    """Hashes passwords and checks them, a few at once; ``done`` counts the hashes that were computed."""

    def __init__(self) -> None:
        self._argon2: Any = require("argon2.low_level", what="signing in with a password", extra="auth")
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._count = threading.Lock()
        self._waiting = 0
        self.done = 0
        self._nobodys = ""

    def hash(self, password: str) -> str:
        """What is kept of a password.

        Raises:
            TooManyAtOnce: no turn came in time.
        """
        return self._hash(_bytes_of(password))

    def hash_legacy(self, sha256_hex: str) -> str:
        """What is kept of a password of which only an unsalted SHA-256 is known.

        Raises:
            UsageError: it is none.
        """
        if LEGACY.match(sha256_hex) is None:
            raise UsageError("That is no SHA-256.", hint="64 of the characters 0-9 and a-f")
        return self._hash(sha256_hex.encode())

    def matches(self, kept: str | None, password: str, *, legacy: bool = False) -> bool:
        """Whether it is the password; the same work where nothing is kept, or the password is none at all.

        Raises:
            TooManyAtOnce: no turn came in time.
        """
        against = self._nobody() if kept is None else kept
        possible = len(password) <= LONGEST
        given = _bytes_of(password) if possible else b""
        if legacy:
            # The sample that made it hashed the characters as they were typed.
            given = hashlib.sha256(password.encode(errors="surrogatepass")).hexdigest().encode() if possible else b""
        with self._turn():
            right = self._verify(against, given)
        return right and kept is not None and possible

    def is_of_today(self, kept: str) -> bool:
        """Whether it was hashed with today's parameters."""
        return kept.startswith(PARAMETERS)

    def _verify(self, against: str, given: bytes) -> bool:
        from argon2.exceptions import InvalidHash, VerificationError

        try:
            return bool(self._argon2.verify_secret(against.encode(), given, self._argon2.Type.ID))
        except (VerificationError, InvalidHash):  # another password; or what is kept was damaged, and is nobody's
            return False

    def _hash(self, given: bytes) -> str:
        with self._turn():
            made: bytes = self._argon2.hash_secret(
                given, secrets.token_bytes(SALT_BYTES), PASSES, MEMORY_KIB, LANES, DIGEST_BYTES, self._argon2.Type.ID
            )
        return made.decode()

    def _nobody(self) -> str:
        """A hash in today's form that no password has: checking against it costs what any check costs."""
        if not self._nobodys:
            salt, digest = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(DIGEST_BYTES)
            self._nobodys = f"{PARAMETERS}{_base64(salt)}${_base64(digest)}"
        return self._nobodys

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._count:
            if self._waiting >= QUEUE:
                raise TooManyAtOnce
            self._waiting += 1
        came = self._turns.acquire(timeout=PATIENCE_S)
        with self._count:
            self._waiting -= 1
            self.done += came
        if not came:
            raise TooManyAtOnce
        try:
            yield
        finally:
            self._turns.release()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


def _bytes_of(password: str) -> bytes:
    """The password in one form whatever keyboard it came from (NFKC, as NIST SP 800-63B asks), whole."""
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")


def check_password(password: str, *, name: str) -> None:
    """Refuses what is guessed first.

    Raises:
        UsageError: it is too short or too long, one of the commonest or made of one, or the person's name.
    """
    # What is longer than allowed is not even looked at.
    length = len(unicodedata.normalize("NFKC", password)) if len(password) <= LONGEST else len(password)
    if not SHORTEST <= length <= LONGEST:
        raise UsageError(f"A password has {SHORTEST} to {LONGEST:,} characters.", hint=ADVICE)
    plain, own = same(password), same(name)
    if plain == own or EDGES.sub("", plain) == EDGES.sub("", own) != "":
        raise UsageError("The password is the name.", hint=ADVICE)
    only_digits_and_signs = not EDGES.sub("", plain)
    if only_digits_and_signs or guesses(password, name=name) < LEAST_GUESSES:
        raise UsageError(
            "That password is tried early: a common one, or made of common words, names, dates or runs of keys.",
            hint=ADVICE,
        )


def guesses(password: str, *, name: str) -> float:
    """How many others are tried before it, by the estimate of zxcvbn; the person's name is tried first.

    Wheeler, "zxcvbn: Low-Budget Password Strength Estimation", USENIX Security 2016.
    """
    zxcvbn: Any = require("zxcvbn", what="choosing a password", extra="auth")
    # It takes 2 ms for what it looks at, and looks at no more.
    known = [one for one in (name, *WORDS.findall(name), "aweigh") if one]
    return float(zxcvbn.zxcvbn(password[:MOST_ESTIMATED], user_inputs=known)["guesses"])
