"""The roster: who may come in, and every change of it, each with its entry in the audit log in one transaction."""

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from aweigh.database.opening import Database
from aweigh.database.part import Run
from aweigh.errors import StorageDown, StorageFull, UsageError
from aweigh.guard import totp
from aweigh.guard.audit import AuditLog
from aweigh.guard.fresh import Fresh
from aweigh.guard.identity import Identity, Role
from aweigh.guard.names import check_name, key_of, same
from aweigh.guard.passwords import Passwords, check_password
from aweigh.guard.people import Person, Row, everybody, find, find_linked, insert, keep_an_admin, need
from aweigh.guard.redis_store import RedisSessions
from aweigh.guard.sessions import SqlSessions
from aweigh.guard.throttle import Throttle

FIRST_ADMIN = "admin"
ID = re.compile(r"p_[0-9a-f]{16}\Z")
INVITE_HOURS = 24
LONGEST_INVITE_HOURS = 24 * 30
TOKEN_BYTES = 32
TOKEN_CHARACTERS = 43
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Desk:
    """What all who work at the door share."""

    database: Database
    sessions: SqlSessions | RedisSessions
    passwords: Passwords
    throttle: Throttle
    audit: AuditLog
    fresh: Fresh
    clock: Callable[[], float]

    def new_epoch(self, run: Run, person_id: str) -> int:
        """Ends all sessions of a person, whatever becomes of the store of sessions."""
        ((epoch,),) = run("UPDATE aweigh_people SET epoch = epoch + 1 WHERE id = ? RETURNING epoch", (person_id,))
        return int(epoch)

    def clear(self, person_id: str, *, epoch: int = 0, keep: str = "") -> None:
        """Tidies up behind a new epoch: sessions that have ended are removed, and one goes on."""
        self.fresh.forget(lambda _: True)
        with suppress(StorageDown, StorageFull):  # they have ended all the same
            if keep:
                self.sessions.keep(keep, epoch=epoch)
            self.sessions.remove_all(person_id, keep=keep)
        self.fresh.forget(lambda _: True)


class Roster:
    """People and what they prove themselves with."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._run = desk.database.run

    def people(self) -> list[Person]:
        """Everybody who may come in, by name."""
        return [row.shown() for row in everybody(self._run)]

    def person(self, name_or_id: str) -> Person | None:
        """The person of that id or name."""
        key = key_of(name_or_id)
        row = find(self._run, "id", name_or_id) if ID.match(name_or_id) else None
        row = find(self._run, "same", key) if row is None and key is not None else row
        return None if row is None else row.shown()

    def add_person(self, name: str, role: Role, *, by: Identity | None) -> Person:
        """Adds somebody, who has no way in until there is an invite, a password or a provider who vouches.

        Raises:
            UsageError: the name is taken, or is no name.
        """
        with self._desk.audit.change() as run:
            return self._add(run, name, role, by=by).shown()

    def import_legacy(self, name: str, role: Role, sha256_hex: str, *, by: Identity | None = None) -> Person:
        """Adds somebody with the unsalted SHA-256 of a password, as a common sample for Streamlit keeps it.

        It is wrapped in Argon2id at once, and replaced by one of the password itself at the first sign-in.

        Raises:
            UsageError: the name is taken or is none, or the hash is none.
            Busy: too many passwords are being hashed.
        """
        kept = self._desk.passwords.hash_legacy(sha256_hex.strip().lower())
        with self._desk.audit.change() as run:
            row = self._add(run, name, role, by=by, password=kept)
        return row.shown()

    def set_role(self, person_id: str, role: Role, *, by: Identity | None) -> Person:
        """Gives somebody another role, and ends their sessions.

        Raises:
            UsageError: there is no such person, or no other admin would be left.
        """
        with self._desk.audit.change() as run:
            row = need(find(run, "id", person_id))
            if role is row.role:
                return row.shown()
            if role is not Role.ADMIN:
                keep_an_admin(run, row)
            run("UPDATE aweigh_people SET role = ? WHERE id = ?", (int(role), row.id))
            self._desk.new_epoch(run, row.id)
            self._note(run, "person.role", row, by=by, was=row.role.label, role=role.label)
        self._desk.clear(row.id)
        return need(find(self._run, "id", person_id)).shown()

    def set_disabled(self, person_id: str, disabled: bool, *, by: Identity | None) -> Person:  # noqa: FBT001  the noun is in the name
        """Keeps somebody out, with all sessions and keys, or lets them in again.

        Raises:
            UsageError: there is no such person, or no other admin would be left.
        """
        with self._desk.audit.change() as run:
            row = need(find(run, "id", person_id))
            if disabled is row.disabled:
                return row.shown()
            if disabled:
                keep_an_admin(run, row)
            run("UPDATE aweigh_people SET disabled = ? WHERE id = ?", (int(disabled), row.id))
            run("DELETE FROM aweigh_invites WHERE person = ?", (row.id,))
            self._desk.new_epoch(run, row.id)
            self._note(run, "person.disabled" if disabled else "person.enabled", row, by=by)
        self._desk.clear(row.id)
        return need(find(self._run, "id", person_id)).shown()

    def remove_person(self, person_id: str, *, by: Identity | None) -> None:
        """Removes somebody, with all sessions and keys.

        Raises:
            UsageError: there is no such person, or no other admin would be left.
        """
        with self._desk.audit.change() as run:
            row = need(find(run, "id", person_id))
            keep_an_admin(run, row)
            run("DELETE FROM aweigh_people WHERE id = ?", (row.id,))
            run("DELETE FROM aweigh_recovery WHERE person = ?", (row.id,))
            run("DELETE FROM aweigh_invites WHERE person = ?", (row.id,))
            run("DELETE FROM aweigh_keys WHERE owner = ?", (row.id,))
            self._note(run, "person.removed", row, by=by)
        self._desk.throttle.forget(row.same)
        self._desk.clear(row.id)

    def set_password(
        self, person_id: str, password: str, *, by: Identity | None, keep_session: str = "", client: str = ""
    ) -> None:
        """Gives somebody a password, and ends their sessions but one.

        Raises:
            UsageError: there is no such person, or the password is too short or one of the commonest.
            Busy: too many passwords are being hashed.
        """
        row = need(find(self._run, "id", person_id))
        check_password(password, name=row.name)
        kept = self._desk.passwords.hash(password)
        with self._desk.audit.change() as run:
            row = need(find(run, "id", person_id))
            epoch = self.keep_password(run, row, kept)
            self._note(run, "person.password", row, by=by, client=client)
        self._desk.clear(row.id, epoch=epoch, keep=keep_session)

    def keep_password(self, run: Run, row: Row, kept: str) -> int:
        """Keeps the hash of a new password; the epoch that begins with it."""
        run("UPDATE aweigh_people SET password = ?, legacy = 0 WHERE id = ?", (kept, row.id))
        run("DELETE FROM aweigh_invites WHERE person = ?", (row.id,))
        return self._desk.new_epoch(run, row.id)

    # -- invites

    def invite(self, person_id: str, *, by: Identity | None, hours: int = INVITE_HOURS) -> str:
        """A token that lets somebody choose a password, once, within so many hours.

        Raises:
            UsageError: there is no such person, or they are kept out, or the hours are too many.
        """
        if not 1 <= hours <= LONGEST_INVITE_HOURS:
            raise UsageError("An invite is good for 1 hour to 30 days.", hint=f"hours: 1 to {LONGEST_INVITE_HOURS}")
        with self._desk.audit.change() as run:
            row = need(find(run, "id", person_id))
            if row.disabled:
                raise UsageError("This person is disabled.", hint="enable them first")
            return self._invite(run, row, by=by, hours=hours)

    def first_run(self) -> str | None:
        """The first admin's invite, where nobody is known yet; of replicas that start at once one gets it.

        It is given again when it has run out and nobody but that admin, without a way in, is there.
        """
        with self._desk.audit.change() as run:
            there = everybody(run)
            if not there:
                row = self._add(run, FIRST_ADMIN, Role.ADMIN, by=None)
            elif _is_unclaimed_admin(there):
                row = there[0]
                if run("SELECT 1 FROM aweigh_invites WHERE person = ? AND expires > ?", (row.id, self._desk.clock())):
                    return None
            else:
                return None
            return self._invite(run, row, by=None, hours=INVITE_HOURS)

    def invited(self, token: str) -> Person | None:
        """Whom the token is for, while it is good."""
        row = self.invited_row(self._run, token)
        return None if row is None else row.shown()

    def invited_row(self, run: Run, token: str) -> Row | None:
        """As ``invited``, within a transaction or not."""
        if len(token) != TOKEN_CHARACTERS or not token.isascii():
            return None
        found = run(
            "SELECT person FROM aweigh_invites WHERE digest = ? AND expires > ?", (_digest(token), self._desk.clock())
        )
        row = find(run, "id", found[0][0]) if found else None
        return None if row is None or row.disabled else row

    def use_invite(self, run: Run, token: str) -> Row | None:
        """Takes the token: whose it was, if it was still good."""
        row = self.invited_row(run, token)
        if row is None or not run("DELETE FROM aweigh_invites WHERE digest = ? RETURNING person", (_digest(token),)):
            return None
        return row

    # -- a second factor

    def start_totp(self, person_id: str) -> tuple[str, str]:
        """A secret for an authenticator app, and what a QR code of it says; nothing is kept before it is confirmed.

        Raises:
            UsageError: there is no such person.
        """
        row = need(find(self._run, "id", person_id))
        secret = totp.new_secret()
        return secret, totp.uri_of(secret, name=row.name)

    def confirm_totp(self, person_id: str, secret: str, code: str, *, by: Identity | None = None) -> list[str]:
        """Turns the second factor on, with a code that shows that the app has the secret.

        What comes back are the codes for when the app is lost, shown this once.

        Raises:
            UsageError: there is no such person, it is on already, or the code is not of the secret.
        """
        counter = (
            totp.counter_of(secret, totp.plain_code(code), now=self._desk.clock()) if totp.is_secret(secret) else None
        )
        if counter is None:
            raise UsageError("That is not the code that the app shows now.", hint="look at the clock of the phone")
        codes = totp.new_recovery_codes()
        with self._desk.audit.change() as run:
            row = need(find(run, "id", person_id))
            if row.totp is not None:
                raise UsageError("A second factor is on already.", hint="turn it off first")
            run("UPDATE aweigh_people SET totp = ?, counter = ? WHERE id = ?", (secret, counter, row.id))
            run("DELETE FROM aweigh_recovery WHERE person = ?", (row.id,))
            for one in codes:
                run(
                    "INSERT INTO aweigh_recovery (digest, person) VALUES (?, ?)",
                    (recovery_digest(row.id, one), row.id),
                )
            self._note(run, "person.totp_on", row, by=by)
        self._desk.fresh.forget(lambda _: True)
        return codes

    def remove_totp(self, person_id: str, *, by: Identity | None) -> None:
        """Turns the second factor off.

        Raises:
            UsageError: there is no such person.
        """
        with self._desk.audit.change() as run:
            row = need(find(run, "id", person_id))
            run("UPDATE aweigh_people SET totp = NULL WHERE id = ?", (row.id,))
            run("DELETE FROM aweigh_recovery WHERE person = ?", (row.id,))
            self._note(run, "person.totp_off", row, by=by)
        self._desk.fresh.forget(lambda _: True)

    def recovery_codes_left(self, person_id: str) -> int:
        """How many of the codes for a lost app are still good."""
        ((count,),) = self._run("SELECT count(*) FROM aweigh_recovery WHERE person = ?", (person_id,))
        return int(count)

    # -- people whom a provider vouches for

    def link(self, name: str, issuer: str, subject: str, *, role: Role, email_verified: bool) -> Row | None:
        """The person whom a provider vouches for and who comes for the first time; None when the name is another's.

        Somebody who was added by their e-mail address beforehand, and has no other way in, is that person if the
        provider has verified the address. Nobody else is ever taken for who has the same name.
        """
        with self._desk.audit.change() as run:
            row = find(run, "same", key_of(name) or "")
            if row is None:
                return self._add(run, name, role, by=None, linked=(issuer, subject))
            if not email_verified or row.disabled or row.password is not None or row.issuer is not None:
                return None
            run("UPDATE aweigh_people SET issuer = ?, subject = ? WHERE id = ?", (issuer, subject, row.id))
            run("DELETE FROM aweigh_invites WHERE person = ?", (row.id,))
            self._note(run, "person.linked", row, by=None, issuer=issuer)
        return find_linked(self._run, issuer, subject)

    # -- steps of the above

    def _add(
        self,
        run: Run,
        name: str,
        role: Role,
        *,
        by: Identity | None,
        password: str | None = None,
        linked: tuple[str, str] | tuple[None, None] = (None, None),
    ) -> Row:
        shown = check_name(name, what="name")
        if ID.match(shown):
            raise UsageError("That is no name.", hint="it reads as the id of somebody")
        row = Row(
            id=f"p_{secrets.token_hex(8)}",
            name=shown,
            same=same(shown),
            role=role,
            disabled=False,
            password=password,
            legacy=password is not None,
            totp=None,
            counter=0,
            issuer=linked[0],
            subject=linked[1],
            epoch=1,
            created=self._desk.clock(),
            seen=None,
        )
        if not insert(run, row):
            raise UsageError("Somebody has that name already.", hint="choose another")
        how = {"imported": "sha256"} if password is not None else {"issuer": linked[0]} if linked[0] else {}
        self._note(run, "person.added", row, by=by, role=role.label, **how)
        return row

    def _invite(self, run: Run, row: Row, *, by: Identity | None, hours: int) -> str:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        now = self._desk.clock()
        run("DELETE FROM aweigh_invites WHERE expires <= ?", (now,))
        run(
            "INSERT INTO aweigh_invites (digest, person, expires) VALUES (?, ?, ?)",
            (_digest(token), row.id, now + hours * HOUR_S),
        )
        self._note(run, "person.invited", row, by=by, hours=str(hours))
        return token

    def _note(self, run: Run, event: str, row: Row, *, by: Identity | None, client: str = "", **what: str) -> None:
        facts: Mapping[str, str] = {"person": row.id, "name": row.name} | what
        self._desk.audit.append(run, event, by=by, what=facts, client=client)


def recovery_digest(person_id: str, code: str) -> str:
    """What is kept of a code for a lost app."""
    return _digest(f"{person_id}\0{totp.plain_code(code)}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_unclaimed_admin(there: list[Row]) -> bool:
    """Whether all there is is one admin who has no way in."""
    if len(there) != 1:
        return False
    only = there[0]
    return only.role is Role.ADMIN and not only.has_way_in and not only.disabled
