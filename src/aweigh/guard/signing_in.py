"""Signing in and out: what is asked, in which order, and that every refusal is alike.

Whoever has no such name, is disabled or has another password gets one answer, after one Argon2 hash. That a code is
needed is told only after the right password.
"""

from dataclasses import dataclass, field
from typing import Literal

from aweigh.errors import UsageError
from aweigh.guard import sessions, totp
from aweigh.guard.identity import SCOPES_OF, Identity, Role
from aweigh.guard.names import key_of
from aweigh.guard.passwords import BUSY_RETRY_S, TooManyAtOnce, check_password
from aweigh.guard.people import Row, find, find_linked, need
from aweigh.guard.roster import Desk, Roster, recovery_digest
from aweigh.guard.second_step import is_good, named_in, ticket_of
from aweigh.guard.sessions import ABSOLUTE_S, Session, SessionInfo, new_secret
from aweigh.secret import Secret

CLIENT_CHARACTERS = 100
TYPED = 256
"""Characters of a code that are looked at."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session has begun; ``cookie`` is its secret.

    ``must_enrol``: there is nothing but the account page until there is a second factor.
    """

    cookie: Secret
    identity: Identity
    max_age_s: int
    must_enrol: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """No session has begun. ``code_needed``: the password was right, and a code is asked for.

    Then ``ticket`` is what ``sign_in_code`` takes in place of name and password; when it has run out: ``too_late``.
    """

    kind: Literal["wrong", "code_needed", "throttled", "too_late"]
    retry_after_s: int = 0
    ticket: Secret = field(default=Secret(""), compare=False)


WRONG = Refusal("wrong")
TOO_LATE = Refusal("too_late")
BUSY = Refusal("throttled", BUSY_RETRY_S)


class SigningIn:
    """The way in, and out."""

    def __init__(self, desk: Desk, roster: Roster, *, totp_from: Role | None) -> None:
        self._desk = desk
        self._roster = roster
        self._totp_from = totp_from

    def sign_in(self, name: str, password: str, code: str = "", *, client: str) -> SignedIn | Refusal:
        """Begins a session for who knows the password, and the code where one is needed."""
        desk = self._desk
        key = key_of(name) or ""
        row = find(desk.database.run, "same", key)
        ticket = desk.throttle.charge(key, client)
        if ticket.retry_after_s:
            return Refusal("throttled", ticket.retry_after_s)
        try:
            kept = (row.password, row.legacy) if row is not None else (None, False)
            right = desk.passwords.matches(kept[0], password, legacy=kept[1])
        except TooManyAtOnce:
            desk.throttle.refund(ticket)
            return BUSY
        if row is None or row.disabled or not right:
            return self._refused("wrong", row, client)
        if row.totp is not None and not code.strip():
            desk.throttle.refund(ticket)
            return Refusal("code_needed", ticket=ticket_of(row, now=desk.clock()))
        if row.totp is not None and not self._takes(row, code[:TYPED]):
            return self._refused("wrong code", row, client)
        desk.throttle.succeeded(ticket, key, client)
        self._upgrade(row, password)
        return self.begin(row, client=client, how="password" if row.totp is None else "password and code")

    def sign_in_code(self, ticket: str, code: str, *, client: str) -> SignedIn | Refusal:
        """The second step: begins a session for who had the password right a moment ago and has the code now."""
        desk = self._desk
        named = named_in(ticket)
        row = find(desk.database.run, "id", named[0]) if named is not None else None
        if row is None or row.disabled or row.totp is None or not is_good(ticket, row, now=desk.clock()):
            return TOO_LATE
        charged = desk.throttle.charge(row.same, client)
        if charged.retry_after_s:
            return Refusal("throttled", charged.retry_after_s)
        if not self._takes(row, code[:TYPED]):
            return self._refused("wrong code", row, client)
        desk.throttle.succeeded(charged, row.same, client)
        return self.begin(row, client=client, how="password and code")

    def confirm(self, person_id: str, password: str, *, client: str) -> Refusal | None:
        """Asks somebody who is signed in for their password again; None: it is right.

        Raises:
            UsageError: there is no such person.
        """
        row = need(find(self._desk.database.run, "id", person_id))
        ticket = self._desk.throttle.charge(row.same, client)
        if ticket.retry_after_s:
            return Refusal("throttled", ticket.retry_after_s)
        try:
            right = self._desk.passwords.matches(row.password, password, legacy=row.legacy)
        except TooManyAtOnce:
            self._desk.throttle.refund(ticket)
            return BUSY
        if not right:
            return self._refused("wrong", row, client)
        self._desk.throttle.refund(ticket)
        return None

    def accept_invite(self, token: str, password: str, *, client: str) -> SignedIn | Refusal:
        """Gives whom the token is for a password, and begins a session; a second factor is still asked for.

        Raises:
            UsageError: the password is too short or one of the commonest; the token stays good.
        """
        desk = self._desk
        row = self._roster.invited_row(desk.database.run, token)
        if row is None:
            return WRONG
        check_password(password, name=row.name)
        try:
            kept = desk.passwords.hash(password)
        except TooManyAtOnce:
            return BUSY
        with desk.audit.change() as run:
            row = self._roster.use_invite(run, token)
            if row is None:
                return WRONG
            self._roster.keep_password(run, row, kept)
            facts = {"person": row.id, "name": row.name}
            desk.audit.append(run, "person.accepted", by=self.identity_of(row, ""), what=facts, client=client)
        desk.clear(row.id)
        row = need(find(desk.database.run, "id", row.id))
        if row.totp is not None:
            return Refusal("code_needed")
        return self.begin(row, client=client, how="invite")

    def sign_in_oidc(
        self,
        issuer: str,
        subject: str,
        name: str,
        email_verified: bool = False,  # noqa: FBT001, FBT002  a claim, told as it came
        *,
        role: Role | None,
        client: str,
    ) -> SignedIn | Refusal:
        """Begins a session for whom a provider vouches.

        ``role`` is what the provider's claims make of them; None: what they have here, and nobody new. ``name`` is how
        they are shown; with ``email_verified`` it is an e-mail address that the provider has verified.
        """
        desk = self._desk
        row = find_linked(desk.database.run, issuer, subject)
        if row is None:
            try:
                row = self._linked(issuer, subject, name, role=role, email_verified=email_verified)
            except UsageError:
                row = None
        if row is None or row.disabled:
            return self._refused("provider", row, client)
        if role is not None and role is not row.role:
            try:
                self._roster.set_role(row.id, role, by=None)
            except UsageError:  # the last admin stays one
                desk.audit.write("person.role_kept", by=None, what={"person": row.id, "name": row.name})
            row = need(find(desk.database.run, "id", row.id))
        return self.begin(row, client=client, how=f"provider {issuer}")

    def begin(self, row: Row, *, client: str, how: str) -> SignedIn:
        """Begins a session, always with a new id."""
        desk = self._desk
        secret, now = new_secret(), desk.clock()
        digest = sessions.digest_of(secret.reveal().encode())
        desk.sessions.add(Session(digest, row.id, row.epoch, now, now, client[:CLIENT_CHARACTERS]))
        identity = self.identity_of(row, digest)
        with desk.audit.change() as run:
            run("UPDATE aweigh_people SET seen = ? WHERE id = ?", (now, row.id))
            desk.audit.append(run, "session.begun", by=identity, what={"how": how}, client=client)
        return SignedIn(secret, identity, int(ABSOLUTE_S), must_enrol=self.must_enrol(row))

    def renew(self, identity: Identity, *, client: str, how: str) -> SignedIn:
        """Begins another session in place of this one, for who has just shown again who they are.

        Raises:
            UsageError: the person is not there any more.
        """
        found = self.begin(need(find(self._desk.database.run, "id", identity.id)), client=client, how=how)
        self.sign_out(identity, client=client)
        return found

    def sign_out(self, identity: Identity, *, client: str = "") -> None:
        """Ends a session."""
        if not identity.session:
            return
        self._desk.sessions.remove(identity.session)
        self._desk.fresh.forget(lambda one: one.session == identity.session)
        self._desk.audit.write("session.ended", by=identity, what={}, client=client)

    def end_session(self, person_id: str, session_id: str, *, by: Identity | None) -> None:
        """Ends one of a person's sessions, by the id that ``sessions`` tells."""
        if any(one.digest == session_id for one in self._desk.sessions.all_of(person_id)):
            self._desk.sessions.remove(session_id)
            self._desk.fresh.forget(lambda one: one.session == session_id)
            self._desk.audit.write("session.ended", by=by, what={"person": person_id})

    def sign_out_everywhere(self, person_id: str, *, by: Identity | None, keep_session: str = "") -> None:
        """Ends all sessions of a person, but one if it is named.

        Raises:
            UsageError: there is no such person.
        """
        with self._desk.audit.change() as run:
            row = need(find(run, "id", person_id))
            epoch = self._desk.new_epoch(run, row.id)
            facts = {"person": row.id, "name": row.name}
            self._desk.audit.append(run, "session.all_ended", by=by, what=facts)
        self._desk.clear(row.id, epoch=epoch, keep=keep_session)

    def sessions(self, person_id: str) -> list[SessionInfo]:
        """A person's sessions, the newest first."""
        row = find(self._desk.database.run, "id", person_id)
        return [
            SessionInfo(one.digest, one.created, one.seen, one.expires(), one.client)
            for one in self._desk.sessions.all_of(person_id)
            if row is not None and one.epoch == row.epoch
        ]

    def identity_of(self, row: Row, session: str) -> Identity:
        """Who somebody is, once signed in. Without the second factor that their role needs they may do nothing yet."""
        if self.must_enrol(row):
            return Identity("person", row.id, row.name, Role.VIEWER, frozenset(), session)
        return Identity("person", row.id, row.name, row.role, SCOPES_OF[row.role], session)

    def must_enrol(self, row: Row) -> bool:
        """Whether this person needs a second factor and has none. Who comes from a provider has that one's."""
        return (
            self._totp_from is not None
            and row.role >= self._totp_from
            and row.totp is None
            and row.password is not None
        )

    def _linked(self, issuer: str, subject: str, name: str, *, role: Role | None, email_verified: bool) -> Row | None:
        """Who comes from a provider for the first time."""
        if role is None:
            found = find(self._desk.database.run, "same", key_of(name) or "")
            if found is None:
                return None
            role = found.role
        return self._roster.link(name, issuer, subject, role=role, email_verified=email_verified)

    def _takes(self, row: Row, typed: str) -> bool:
        """Whether it is a code of now that was not used before, or one for a lost app; it is used up by this."""
        run, code = self._desk.database.run, totp.plain_code(typed)
        counter = totp.counter_of(row.totp or "", code, now=self._desk.clock())
        if counter is not None:
            return bool(
                run(
                    "UPDATE aweigh_people SET counter = ? WHERE id = ? AND totp = ? AND counter < ? RETURNING id",
                    (counter, row.id, row.totp, counter),
                )
            )
        digest = recovery_digest(row.id, code)
        if not run("DELETE FROM aweigh_recovery WHERE digest = ? AND person = ? RETURNING person", (digest, row.id)):
            return False
        self._desk.audit.write("person.recovery_used", by=None, what={"person": row.id, "name": row.name})
        return True

    def _upgrade(self, row: Row, password: str) -> None:
        """Keeps a password as it would be kept today, where it was imported or hashed with less."""
        if row.password is None or (not row.legacy and self._desk.passwords.is_of_today(row.password)):
            return
        try:
            kept = self._desk.passwords.hash(password)
        except TooManyAtOnce:  # at the next sign-in, then
            return
        self._desk.database.run(
            "UPDATE aweigh_people SET password = ?, legacy = 0 WHERE id = ? AND password = ? RETURNING id",
            (kept, row.id, row.password),
        )

    def _refused(self, why: str, row: Row | None, client: str) -> Refusal:
        """The one answer. The log names whom it was about, if it is anybody: what was typed may be a password."""
        facts = {"why": why} | ({} if row is None else {"person": row.id, "name": row.name})
        self._desk.audit.write_loose("session.refused", what=facts, client=client)
        return WRONG
