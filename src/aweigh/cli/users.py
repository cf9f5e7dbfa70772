"""``aweigh users``: who may come in through the door of the servers here."""

import csv
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.cli.door import (
    ROLES,
    at_the_door,
    at_the_terminal,
    help_alone,
    json_option,
    moment,
    person_document,
    person_of,
    role_named,
)
from aweigh.cli.terminal import Steps, aligned, print_document
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aweigh.guard.guard import Guard, Person

SQLITE_HEAD = b"SQLite format 3\x00"
INVITE_HOURS = 24

role_option = click.option(
    "--role", type=click.Choice(ROLES), default="viewer", show_default=True, help="What they may do."
)
hours_option = click.option(
    "--hours", type=click.IntRange(1, 720), default=INVITE_HOURS, show_default=True, help="How long the link is good."
)
url_option = click.option("--url", metavar="URL", default="", help="Where the server is, for the whole link.")


@click.group("users", invoke_without_command=True)
@click.pass_context
def users(ctx: click.Context) -> None:
    """Say who may come in.

    People are where the servers look: in the PostgreSQL of DATABASE_URL, or in a file of the state folder of this
    machine (AWEIGH_STATE_DIR). What is changed here holds in running servers within five seconds, and is in the audit
    log.
    """
    help_alone(ctx)


@users.command("add")
@click.argument("name", metavar="NAME")
@role_option
@hours_option
@url_option
@click.option("--no-invite", is_flag=True, help="Make no link: a provider will vouch for them (NAME is their e-mail).")
@json_option
def add(name: str, role: str, hours: int, url: str, no_invite: bool, as_json: bool) -> None:
    """Add somebody, and print the link with which they choose a password, once."""
    with at_the_door() as guard:
        person = guard.add_person(name, role_named(role), by=at_the_terminal())
        token = None if no_invite else guard.invite(person.id, by=at_the_terminal(), hours=hours)
    if as_json:
        print_document({"person": person_document(person), "invite": _link(token, url)})
        return
    steps = Steps()
    steps.line("person", f"{person.name}, {person.role.label}")
    _tell_link(steps, token, url, hours)


@users.command("list")
@json_option
def list_people(as_json: bool) -> None:
    """List everybody who may come in."""
    with at_the_door() as guard:
        people = guard.people()
    if as_json:
        print_document({"people": [person_document(one) for one in people]})
        return
    if not people:
        Steps().line("people", "nobody yet: the first server that starts prints a link for the first admin")
        return
    rows = [("name", "role", "signs in by", "last seen", "")]
    for one in people:
        ways = ["password"] * one.has_password + ["code"] * one.has_totp + ["provider"] * (one.oidc is not None)
        state = "disabled" if one.disabled else ""
        rows.append((one.name, one.role.label, " + ".join(ways) or "no way yet", moment(one.last_seen), state))
    click.echo("\n".join(aligned(rows)))


@users.command("role")
@click.argument("name", metavar="NAME")
@click.argument("role", type=click.Choice(ROLES))
@json_option
def set_role(name: str, role: str, as_json: bool) -> None:
    """Give somebody another role; their sessions end."""
    _change(name, lambda guard, one: guard.set_role(one.id, role_named(role), by=at_the_terminal()), as_json=as_json)


@users.command("disable")
@click.argument("name", metavar="NAME")
@json_option
def disable(name: str, as_json: bool) -> None:
    """Keep somebody out: their sessions end, and their keys open nothing until they are enabled again."""
    _change(name, lambda guard, one: guard.set_disabled(one.id, True, by=at_the_terminal()), as_json=as_json)


@users.command("enable")
@click.argument("name", metavar="NAME")
@json_option
def enable(name: str, as_json: bool) -> None:
    """Let somebody in again who was disabled."""
    _change(name, lambda guard, one: guard.set_disabled(one.id, False, by=at_the_terminal()), as_json=as_json)


@users.command("remove")
@click.argument("name", metavar="NAME")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Remove somebody, with their sessions and keys. What they did stays in the audit log."""
    with at_the_door() as guard:
        person = person_of(guard, name)
        guard.remove_person(person.id, by=at_the_terminal())
    if as_json:
        print_document({"removed": person_document(person)})
    else:
        Steps().line("removed", f"{person.name}, with all sessions and keys")


@users.command("invite")
@click.argument("name", metavar="NAME")
@hours_option
@url_option
@json_option
def invite(name: str, hours: int, url: str, as_json: bool) -> None:
    """Print a link with which somebody chooses a new password, once: also for who has forgotten theirs."""
    with at_the_door() as guard:
        person = person_of(guard, name)
        token = guard.invite(person.id, by=at_the_terminal(), hours=hours)
    if as_json:
        print_document({"person": person_document(person), "invite": _link(token, url)})
        return
    _tell_link(Steps(), token, url, hours)


@users.command("import")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@role_option
@json_option
def import_people(path: Path, role: str, as_json: bool) -> None:
    """Take over people from a FILE of names and unsalted SHA-256 hashes of passwords.

    FILE is a CSV with the columns username and password, or the SQLite file that a common sample of a login for
    Streamlit keeps (table userstable). Each hash is wrapped in Argon2id at once, and replaced by one of the password
    itself when its owner first signs in. Who is here already stays as they are.
    """
    with path.open("rb") as file:
        is_sqlite = file.read(len(SQLITE_HEAD)) == SQLITE_HEAD
    found = _read_sqlite(path) if is_sqlite else _read_csv(path)
    taken, left = [], []
    steps = Steps(json=as_json)
    with at_the_door() as guard, steps.progress("import", total=len(found), unit="people") as progress:
        for name, digest in found:
            try:
                taken.append(guard.import_legacy(name, role_named(role), digest, by=at_the_terminal()))
            except UsageError as error:
                left.append({"name": name, "why": error.message})
            progress.add(1)
    if as_json:
        print_document({"imported": [person_document(one) for one in taken], "left": left})
    else:
        steps.line("imported", f"{len(taken)} of {len(found)} people, as {role}")
        for one in left:
            steps.more(f"{one['name']}: {one['why']}")
    if found and not taken:
        raise UsageError("Nobody was imported.", hint="the password of each is 64 of the characters 0-9 and a-f")


@users.command("reset-totp")
@click.argument("name", metavar="NAME")
@json_option
def reset_totp(name: str, as_json: bool) -> None:
    """Turn somebody's second factor off: for who has lost the phone and the recovery codes."""
    _change(name, lambda guard, one: guard.remove_totp(one.id, by=at_the_terminal()), as_json=as_json)


@users.command("sign-out")
@click.argument("name", metavar="NAME")
@json_option
def sign_out(name: str, as_json: bool) -> None:
    """End all sessions of somebody."""
    _change(name, lambda guard, one: guard.sign_out_everywhere(one.id, by=at_the_terminal()), as_json=as_json)


def _link(token: str | None, url: str) -> str | None:
    return None if token is None else f"{url.rstrip('/')}/invite/{token}"


def _tell_link(steps: Steps, token: str | None, url: str, hours: int) -> None:
    if token is not None:
        steps.line("link", f"{_link(token, url)}")
        where = "" if url else "; put the server's address before it"
        steps.more(f"good once, for {hours} h{where}. Whoever has it chooses the password.")


def _change(name: str, change: "Callable[[Guard, Person], object]", *, as_json: bool) -> None:
    """Change something about a person, and say how they stand then."""
    with at_the_door() as guard:
        person = person_of(guard, name)
        change(guard, person)
        after = person_document(person_of(guard, person.id))
    if as_json:
        print_document({"person": after})
        return
    state = ", disabled" if after["disabled"] else ""
    Steps().line("person", f"{after['name']}, {after['role']}{state}")


def _read_csv(path: Path) -> list[tuple[str, str]]:
    """Names and hashes of a CSV.

    Raises:
        UsageError: it is none, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError("The file is neither a CSV nor an SQLite file.", hint="columns: username, password") from error
    if rows and not {"username", "password"} <= rows[0].keys():
        raise UsageError("The file lacks a column.", hint="its first line is: username,password")
    return [(row["username"] or "", row["password"] or "") for row in rows]


def _read_sqlite(path: Path) -> list[tuple[str, str]]:
    """Names and hashes of the sample's own file, which is only read.

    Raises:
        UsageError: it has no such table.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT username, password FROM userstable").fetchall()
    except sqlite3.Error as error:
        raise UsageError(
            "The file has no table userstable with the columns username and password.", hint="export it as a CSV"
        ) from error
    return [(str(name), str(digest)) for name, digest in found]
