"""Guard: the one face of the door. The server, the pages and the command line know nothing else of it.

Its methods ask a database or compute a password's hash, so a server calls them in threads; all of them may be called
from several at once. ``known`` and ``limits.spend_held`` alone ask nobody.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from aweigh.database.opening import Database, open_database
from aweigh.database.place import state_folder
from aweigh.database.redis import connect
from aweigh.errors import AweighError, ConfigError, StorageDown, StorageFull
from aweigh.guard import sessions as session_module
from aweigh.guard.audit import AuditLog, Entry, Verdict
from aweigh.guard.budget import Budget, budget_of
from aweigh.guard.fresh import FRESH_S, LONGEST, Fresh
from aweigh.guard.identity import UNKNOWN, Identity, Role, Scope, Unknown, role_of
from aweigh.guard.keyring import Keyring
from aweigh.guard.keys import Key
from aweigh.guard.keys import id_of as key_id_of
from aweigh.guard.limits import Limits, SqlLeases
from aweigh.guard.passwords import Passwords
from aweigh.guard.people import Person, find
from aweigh.guard.redis_store import RedisLeases, RedisSessions
from aweigh.guard.roster import Desk, Roster
from aweigh.guard.sessions import SessionInfo, SqlSessions
from aweigh.guard.signing_in import Refusal, SignedIn, SigningIn
from aweigh.guard.tables import GUARD
from aweigh.guard.throttle import Throttle
from aweigh.secret.read import read_secret

if TYPE_CHECKING:
    from aweigh.guard.sweep import Verdict as SweepVerdict

__all__ = [
    "FRESH_S",
    "UNKNOWN",
    "Entry",
    "Guard",
    "Identity",
    "Key",
    "Person",
    "Refusal",
    "Role",
    "Scope",
    "SessionInfo",
    "SignedIn",
    "Unknown",
    "Verdict",
    "open_guard",
]

FILE = "guard.sqlite"
TOTP_FROM = "AWEIGH_TOTP_FROM"
SUSPECTED = "answers.sweep_suspected"


class Guard:
    """Who may come in, who is there, and what they did."""

    def __init__(
        self,
        database: Database,
        *,
        redis: object | None = None,
        budget: Budget | None = None,
        totp_from: Role | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # A clock that is set back must not make an answer last: seconds are counted by one that never is.
        self._fresh = Fresh(clock=time.monotonic if clock is time.time else clock)
        kept = SqlSessions(database, clock=clock) if redis is None else RedisSessions(redis, clock=clock)
        self._desk = desk = Desk(
            database=database,
            sessions=kept,
            passwords=Passwords(),
            throttle=Throttle(database, clock=clock),
            audit=AuditLog(database, clock=clock),
            fresh=self._fresh,
            clock=clock,
        )
        self.limits = Limits(
            budget or Budget(), SqlLeases(database, clock=clock) if redis is None else RedisLeases(redis), clock=clock
        )
        self.known = self._fresh.known
        self.is_due = self._fresh.is_due

        roster = Roster(desk)
        self.people = roster.people
        self.person = roster.person
        self.add_person = roster.add_person
        self.import_legacy = roster.import_legacy
        self.set_role = roster.set_role
        self.set_disabled = roster.set_disabled
        self.remove_person = roster.remove_person
        self.set_password = roster.set_password
        self.invite = roster.invite
        self.first_run = roster.first_run
        self.invited = roster.invited
        self.start_totp = roster.start_totp
        self.confirm_totp = roster.confirm_totp
        self.remove_totp = roster.remove_totp
        self.recovery_codes_left = roster.recovery_codes_left

        self._signing_in = signing_in = SigningIn(desk, roster, totp_from=totp_from)
        self.sign_in = signing_in.sign_in
        self.sign_in_code = signing_in.sign_in_code
        self.confirm = signing_in.confirm
        self.accept_invite = signing_in.accept_invite
        self.sign_in_oidc = signing_in.sign_in_oidc
        self.renew = signing_in.renew
        self.sign_out = signing_in.sign_out
        self.sign_out_everywhere = signing_in.sign_out_everywhere
        self.sessions = signing_in.sessions
        self.end_session = signing_in.end_session

        self._keyring = keyring = Keyring(desk)
        self.add_key = keyring.add_key
        self.keys = keyring.keys
        self.key = keyring.key
        self.revoke_key = keyring.revoke_key
        self.rotate_key = keyring.rotate_key

    def close(self) -> None:
        """Closes what was opened."""
        with suppress(StorageDown, StorageFull):
            self.limits.close()
        self._desk.sessions.close()
        self._desk.database.close()

    @property
    def place(self) -> str:
        """What people and keys are kept in: ``sqlite`` or ``postgresql``."""
        return self._desk.database.place

    @property
    def hashes(self) -> int:
        """How many passwords this process has hashed."""
        return self._desk.passwords.done

    def identify(self, credential: bytes, kind: Literal["session", "key"]) -> Identity | None:
        """Whose cookie or key it is; remembered, a no as well, for at most ``FRESH_S`` seconds."""
        if len(credential) > LONGEST:
            return None
        turn = self._fresh.turn
        found = self._session(credential) if kind == "session" else self._key(credential)
        identity, lives_s = found if found is not None else (None, FRESH_S)
        self._fresh.remember(credential, identity, turn=turn, lives_s=lives_s)
        return identity

    @property
    def turn(self) -> int:
        """Another number once something was forgotten: what was looked up before may no longer be right."""
        return self._fresh.turn

    def identify_page(self, token: bytes, session_digest: str) -> Identity | None:
        """Whose session it is that a page asks in the name of; remembered by the page's token, as ``identify`` does."""
        turn = self._fresh.turn
        found = self._look_up(session_digest, touch=True)
        identity, lives_s = found if found is not None else (None, FRESH_S)
        self._fresh.remember(token, identity, turn=turn, lives_s=lives_s)
        return identity

    def is_current(self, session_digest: str, *, touch: bool = False) -> bool:
        """Whether a session goes on, for what stays open; ``touch``: it is being used."""
        return self._look_up(session_digest, touch=touch) is not None

    def audit(
        self, event: str, *, by: Identity | None, what: Mapping[str, str] | None = None, client: str = ""
    ) -> None:
        """Adds to the audit log; never a password, a code, a token or a row."""
        if by is None and client:
            self._desk.audit.write_loose(event, what=what or {}, client=client)
        else:
            self._desk.audit.write(event, by=by, what=what or {}, client=client)

    def suspect(self, identity: Identity, verdict: "SweepVerdict") -> bool:
        """Writes down that an identity's rows look made up, once a day on all replicas; whether it was done now."""
        if not self.limits.first_today("sweep", identity):
            return False
        what = {"rows": str(verdict.rows)}
        for name, share in (("unlikely rows", verdict.strange), ("cells too far out", verdict.outer)):
            if share is not None:
                what[name] = f"{share:.0%}"
        try:
            self._desk.audit.write(SUSPECTED, by=identity, what=what)
        except AweighError:
            with suppress(AweighError):
                self.limits.not_today("sweep", identity)
            raise
        return True

    def suspected(self, identity_id: str) -> Entry | None:
        """The last time that an identity's rows looked made up, as far as the latest part of the log tells."""
        return self._desk.audit.last(SUSPECTED, by=identity_id)

    def audit_log(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Entries of the audit log behind a number."""
        return self._desk.audit.read(after=after, limit=limit)

    def latest_audit(self, limit: int = 100) -> list[Entry]:
        """The last entries of the audit log, the newest first."""
        return self._desk.audit.latest(limit)

    def verify_audit_log(self, *, head: str = "") -> Verdict:
        """Whether no entry was changed, removed or moved; with a ``head`` that was kept, whether none was cut off."""
        return self._desk.audit.verify(head=head)

    def _session(self, credential: bytes) -> tuple[Identity, float] | None:
        if session_module.SHAPE.match(credential) is None:
            return None
        return self._look_up(session_module.digest_of(credential), touch=True)

    def _key(self, credential: bytes) -> tuple[Identity, float] | None:
        if not credential.isascii() or key_id_of(credential.decode()) is None:
            return None
        return self._keyring.identify(credential.decode())

    def _look_up(self, digest: str, *, touch: bool) -> tuple[Identity, float] | None:
        desk, now = self._desk, self._desk.clock()
        session = desk.sessions.get(digest)
        row = find(desk.database.run, "id", session.person) if session is not None else None
        if session is None or row is None or row.disabled or row.epoch != session.epoch:
            return None
        if touch and session.seen < now - session_module.TOUCH_S:
            desk.sessions.touch(session)
            desk.database.run("UPDATE aweigh_people SET seen = ? WHERE id = ? RETURNING id", (now, row.id))
        return self._signing_in.identity_of(row, digest), session.expires() - now


def open_guard(
    environ: Mapping[str, str], *, state_dir: str | None = None, clock: Callable[[], float] = time.time
) -> Guard:
    """The guard of this machine (an SQLite file in the state folder), or of ``DATABASE_URL``.

    Where ``REDIS_URL`` is set, sessions and budgets are there. Nothing is opened before it is first asked.

    Raises:
        ConfigError: a variable says what cannot be.
        MissingExtra: what it needs is not installed.
    """
    folder = state_folder(environ, named=state_dir or environ.get("AWEIGH_STATE_DIR", "").strip() or None)
    url = read_secret(environ, "REDIS_URL")
    asked = environ.get(TOTP_FROM, "").strip().lower()
    if asked and role_of(asked) is None:
        raise ConfigError(f"{TOTP_FROM} names no role.", hint="viewer, predictor, operator or admin")
    return Guard(
        open_database(environ, file=folder / FILE, parts=(GUARD,)),
        redis=None if url is None else connect(url, extra="redis"),
        budget=budget_of(environ),
        totp_from=role_of(asked) if asked else None,
        clock=clock,
    )
