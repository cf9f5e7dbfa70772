"""The keyring: keys of programs, made, revoked, replaced, and looked up."""

import hmac
from collections.abc import Iterable
from typing import Any

from aweigh.database.part import Run
from aweigh.errors import UsageError
from aweigh.guard.identity import SCOPES, SCOPES_OF, Identity, Scope, role_within
from aweigh.guard.keys import EACH, LONGEST_DAYS, Key, digest_of, id_of, new_text
from aweigh.guard.names import check_name
from aweigh.guard.people import Person, find, need
from aweigh.guard.roster import Desk
from aweigh.secret import Secret

DAY_S = 86_400.0
HOUR_S = 3600.0
TOUCH_S = 60.0
DAYS = 90
SELECT = "SELECT id, owner, label, scopes, created, expires, revoked, used, digest FROM aweigh_keys "


class Keyring:
    """Keys of programs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._run = desk.database.run

    def add_key(
        self,
        owner: Person,
        label: str,
        scopes: Iterable[Scope],
        *,
        expires_days: int | None = DAYS,
        by: Identity | None,
    ) -> tuple[Key, Secret]:
        """A new key, and its text, which is never to be had again.

        Raises:
            UsageError: the label is none, the owner may not do that much, is disabled or has too many keys.
        """
        wanted = frozenset(scopes)
        if not wanted or not wanted <= set(SCOPES):
            raise UsageError("A key is for one or more scopes.", hint=f"known: {', '.join(SCOPES)}")
        if expires_days is not None and not 1 <= expires_days <= LONGEST_DAYS:
            raise UsageError("A key is good for 1 day to 10 years, or without end.", hint=f"days: 1 to {LONGEST_DAYS}")
        expires = None if expires_days is None else self._desk.clock() + expires_days * DAY_S
        shown = check_name(label, what="label")
        with self._desk.audit.change() as run:
            return self._add(run, owner.id, shown, wanted, expires=expires, by=by)

    def keys(self, owner_id: str | None = None) -> list[Key]:
        """All keys, or one person's, the newest first."""
        if owner_id is None:
            found = self._run(SELECT + "ORDER BY created DESC, id", ())
        else:
            found = self._run(SELECT + "WHERE owner = ? ORDER BY created DESC, id", (owner_id,))
        return [_key(row) for row in found]

    def key(self, key_id: str) -> Key | None:
        """The key of that id."""
        return _find(self._run, key_id)

    def revoke_key(self, key_id: str, *, by: Identity | None) -> Key:
        """Ends a key.

        Raises:
            UsageError: there is no such key.
        """
        with self._desk.audit.change() as run:
            key = _need(_find(run, key_id))
            if key.revoked is None:
                run("UPDATE aweigh_keys SET revoked = ? WHERE id = ?", (self._desk.clock(), key.id))
                facts = {"key": key.id, "label": key.label, "owner": key.owner}
                self._desk.audit.append(run, "key.revoked", by=by, what=facts)
        self._desk.fresh.forget(lambda one: one.id == key.id)
        return _need(_find(self._run, key_id))

    def rotate_key(self, key_id: str, *, overlap_hours: int = 24, by: Identity | None) -> tuple[Key, Secret]:
        """A new key in the place of one that ends so many hours from now; it is good for as long as that one was.

        Raises:
            UsageError: there is no such key, or it has ended.
        """
        if not 0 <= overlap_hours <= 24 * 90:
            raise UsageError("Two keys overlap for 0 hours to 90 days.", hint="0: the old one ends at once")
        now = self._desk.clock()
        with self._desk.audit.change() as run:
            old = _need(_find(run, key_id))
            if not old.is_alive(now):
                raise UsageError("This key has ended.", hint="make a new one with 'aweigh keys add'")
            expires = None if old.expires is None else now + (old.expires - old.created)
            ends = now + overlap_hours * HOUR_S
            ends = ends if old.expires is None else min(ends, old.expires)
            run("UPDATE aweigh_keys SET expires = ? WHERE id = ?", (ends, old.id))
            made = self._add(run, old.owner, old.label, old.scopes, expires=expires, by=by, replaces=old.id)
        self._desk.fresh.forget(lambda one: one.id == old.id)
        return made

    def identify(self, text: str) -> tuple[Identity, float] | None:
        """Whose key it is and for how many seconds more; None: nobody's. Its use is written down once a minute."""
        key_id = id_of(text)
        found = self._run(SELECT + "WHERE id = ?", (key_id,)) if key_id else []
        if not found or not hmac.compare_digest(found[0][-1], digest_of(text)):
            return None
        key, now = _key(found[0]), self._desk.clock()
        owner = find(self._run, "id", key.owner)
        if not key.is_alive(now) or owner is None or owner.disabled:
            return None
        if key.last_used is None or key.last_used < now - TOUCH_S:
            self._run("UPDATE aweigh_keys SET used = ? WHERE id = ? RETURNING id", (now, key.id))
        scopes = key.scopes & SCOPES_OF[owner.role]
        lives_s = float("inf") if key.expires is None else key.expires - now
        return Identity("key", key.id, key.label, role_within(scopes), scopes, payer=owner.id), lives_s

    def _add(
        self,
        run: Run,
        owner_id: str,
        label: str,
        scopes: frozenset[Scope],
        *,
        expires: float | None,
        by: Identity | None,
        replaces: str = "",
    ) -> tuple[Key, Secret]:
        owner = need(find(run, "id", owner_id))
        if owner.disabled:
            raise UsageError("This person is disabled.", hint="enable them first")
        if not scopes <= SCOPES_OF[owner.role]:
            more = ", ".join(sorted(scopes - SCOPES_OF[owner.role]))
            raise UsageError(
                f"A key may do no more than its owner: not {more}.", hint=f"its owner's role is {owner.role.label}"
            )
        now = self._desk.clock()
        ((count,),) = run(
            "SELECT count(*) FROM aweigh_keys WHERE owner = ? AND revoked IS NULL AND (expires IS NULL OR expires > ?)",
            (owner.id, now),
        )
        if count >= EACH:
            raise UsageError(f"This person has {EACH} keys already.", hint="revoke those that nobody uses")
        key_id, text = new_text()
        run(
            "INSERT INTO aweigh_keys (id, owner, label, scopes, digest, created, expires, revoked, used) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
            (key_id, owner.id, label, " ".join(sorted(scopes)), digest_of(text.reveal()), now, expires),
        )
        facts = {"key": key_id, "label": label, "owner": owner.id, "scopes": " ".join(sorted(scopes))}
        facts |= {"replaces": replaces} if replaces else {}
        self._desk.audit.append(run, "key.rotated" if replaces else "key.added", by=by, what=facts)
        return Key(key_id, owner.id, label, scopes, now, expires, None, None), text


def _find(run: Run, key_id: str) -> Key | None:
    found = run(SELECT + "WHERE id = ?", (key_id,))
    return _key(found[0]) if found else None


def _key(row: tuple[Any, ...]) -> Key:
    key_id, owner, label, scopes, created, expires, revoked, used, _ = row
    return Key(key_id, owner, label, frozenset(scopes.split()), created, expires, revoked, used)


def _need(key: Key | None) -> Key:
    if key is None:
        raise UsageError("There is no such key.", hint="see 'aweigh keys list'")
    return key
