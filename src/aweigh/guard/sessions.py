"""Sessions of people, on the server: a cookie holds a random secret, the store its SHA-256 and nothing of the secret.

A session carries its person's *epoch* of when it was made. Ending all of somebody's sessions is a new epoch in the same
transaction as what made it necessary, so that none is left over where the store of sessions is down at that moment.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from aweigh.database.opening import Database
from aweigh.secret import Secret

IDLE_S = 12 * 3600.0
ABSOLUTE_S = 7 * 86_400.0
TOUCH_S = 60.0
"""How often it is written down, at most, that a session was used."""
EACH = 50
"""The most that one person has; the oldest is ended by another."""
SECRET_BYTES = 32
SHAPE = re.compile(rb"[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, slots=True)
class Session:
    """A session as it is kept; ``digest`` is its id."""

    digest: str
    person: str
    epoch: int
    created: float
    seen: float
    client: str

    def expires(self) -> float:
        """When it ends if nothing is heard of it."""
        return min(self.seen + IDLE_S, self.created + ABSOLUTE_S)


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as its person is shown it."""

    id: str
    created: float
    last_seen: float
    expires: float
    client: str


def new_secret() -> Secret:
    """256 bits, as a cookie holds them."""
    return Secret(base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("="))


def digest_of(secret: bytes) -> str:
    """The id of the session that has this secret."""
    return hashlib.sha256(secret).hexdigest()


class SqlSessions:
    """Sessions in the database."""

    def __init__(self, database: Database, *, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def add(self, session: Session) -> None:
        """Keeps a new one; those that have run out are forgotten on the way."""
        now = self._clock()
        with self._database.together() as run:
            run("DELETE FROM aweigh_sessions WHERE seen <= ? OR created <= ?", (now - IDLE_S, now - ABSOLUTE_S))
            run(
                "DELETE FROM aweigh_sessions WHERE digest IN (SELECT digest FROM aweigh_sessions WHERE person = ? "
                "ORDER BY created DESC LIMIT 1000000 OFFSET ?)",
                (session.person, EACH - 1),
            )
            run(
                "INSERT INTO aweigh_sessions (digest, person, epoch, created, seen, client) VALUES (?, ?, ?, ?, ?, ?)",
                (session.digest, session.person, session.epoch, session.created, session.seen, session.client),
            )

    def get(self, digest: str) -> Session | None:
        """The session of that id, if it has not run out."""
        found = self._database.run(
            "SELECT digest, person, epoch, created, seen, client FROM aweigh_sessions WHERE digest = ?", (digest,)
        )
        session = Session(*found[0]) if found else None
        return session if session is not None and session.expires() > self._clock() else None

    def touch(self, session: Session) -> None:
        """It was used now."""
        self._database.run(
            "UPDATE aweigh_sessions SET seen = ? WHERE digest = ? AND seen < ? RETURNING digest",
            (self._clock(), session.digest, self._clock()),
        )

    def keep(self, digest: str, *, epoch: int) -> None:
        """It goes on in its person's new epoch."""
        self._database.run("UPDATE aweigh_sessions SET epoch = ? WHERE digest = ? RETURNING digest", (epoch, digest))

    def remove(self, digest: str) -> None:
        """Ends one."""
        self._database.run("DELETE FROM aweigh_sessions WHERE digest = ? RETURNING digest", (digest,))

    def remove_all(self, person: str, *, keep: str = "") -> None:
        """Ends all of a person's but one."""
        self._database.run(
            "DELETE FROM aweigh_sessions WHERE person = ? AND digest <> ? RETURNING digest", (person, keep)
        )

    def all_of(self, person: str) -> list[Session]:
        """A person's, the newest first."""
        found = self._database.run(
            "SELECT digest, person, epoch, created, seen, client FROM aweigh_sessions WHERE person = ? "
            "ORDER BY created DESC",
            (person,),
        )
        return [one for one in (Session(*row) for row in found) if one.expires() > self._clock()]

    def close(self) -> None:
        """Nothing: the database is closed by who opened it."""
