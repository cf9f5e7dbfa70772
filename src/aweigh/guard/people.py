"""People: who they are, what they may, and what they prove it with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aweigh.database.part import Run
from aweigh.errors import UsageError
from aweigh.guard.identity import Role

SELECT = (
    "SELECT id, name, same, role, disabled, password, legacy, totp, counter, issuer, subject, epoch, created, seen "
    "FROM aweigh_people "
)
INSERT = (
    "INSERT INTO aweigh_people "
    "(id, name, same, role, disabled, password, legacy, totp, counter, issuer, subject, epoch, created, seen) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id"
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may come in, as others are shown them."""

    id: str
    name: str
    role: Role
    disabled: bool
    has_password: bool
    has_totp: bool
    oidc: tuple[str, str] | None
    created: float
    last_seen: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """A person as kept; what must not be shown is left out of its ``repr``."""

    id: str
    name: str
    same: str
    role: Role
    disabled: bool
    password: str | None = field(repr=False)
    legacy: bool
    totp: str | None = field(repr=False)
    counter: int
    issuer: str | None
    subject: str | None
    epoch: int
    created: float
    seen: float | None

    @property
    def has_way_in(self) -> bool:
        """Whether they can sign in, by a password or a provider, or have only been invited."""
        return self.password is not None or self.issuer is not None

    def shown(self) -> Person:
        """The person without what proves it."""
        return Person(
            id=self.id,
            name=self.name,
            role=self.role,
            disabled=self.disabled,
            has_password=self.password is not None,
            has_totp=self.totp is not None,
            oidc=(self.issuer, self.subject) if self.issuer is not None and self.subject is not None else None,
            created=self.created,
            last_seen=self.seen,
        )


def row_of(found: Sequence[tuple[Any, ...]]) -> Row | None:
    """The first row, of what ``SELECT`` selects."""
    if not found:
        return None
    values = dict(zip(Row.__slots__, found[0], strict=True))
    values |= {
        "role": Role(values["role"]),
        "disabled": bool(values["disabled"]),
        "legacy": bool(values["legacy"]),
    }
    return Row(**values)


def find(run: Run, column: str, value: str) -> Row | None:
    """The person of that ``id`` or ``same`` name."""
    statements = {"id": SELECT + "WHERE id = ?", "same": SELECT + "WHERE same = ?"}
    return row_of(run(statements[column], (value,)))


def find_linked(run: Run, issuer: str, subject: str) -> Row | None:
    """The person whom an identity provider vouches for."""
    return row_of(run(SELECT + "WHERE issuer = ? AND subject = ?", (issuer, subject)))


def everybody(run: Run) -> list[Row]:
    """All people, by name."""
    found = run(SELECT + "ORDER BY same", ())
    return [row for row in (row_of([one]) for one in found) if row is not None]


def insert(run: Run, row: Row) -> bool:
    """Adds a person; whether the name was free."""
    kept = [getattr(row, one) for one in Row.__slots__]
    return bool(run(INSERT, [int(one) if isinstance(one, bool | Role) else one for one in kept]))


def need(row: Row | None) -> Row:
    """The person.

    Raises:
        UsageError: there is none.
    """
    if row is None:
        raise UsageError("There is no such person.", hint="see 'aweigh users list'")
    return row


def keep_an_admin(run: Run, row: Row) -> None:
    """Looks that somebody else may administer, before this one no longer may; under the lock of the audit log.

    Who has been invited and has no way in yet keeps nobody's place but another's like them.

    Raises:
        UsageError: this is the last one.
    """
    if row.role is not Role.ADMIN or row.disabled:
        return
    others = run(
        "SELECT password IS NOT NULL OR issuer IS NOT NULL FROM aweigh_people "
        "WHERE role = ? AND disabled = 0 AND id <> ?",
        (int(Role.ADMIN), row.id),
    )
    if not others:
        raise UsageError("This is the last admin.", hint="make somebody else an admin first")
    if row.has_way_in and not any(has_way_in for (has_way_in,) in others):
        raise UsageError(
            "This is the last admin who can sign in: the others have been invited and have not come yet.",
            hint="wait until one of them has, or make somebody else an admin first",
        )
