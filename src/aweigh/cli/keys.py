"""``aweigh keys``: keys of programs that ask the servers here."""

from typing import TYPE_CHECKING

import click

from aweigh.cli.door import (
    SCOPES,
    at_the_door,
    at_the_terminal,
    help_alone,
    json_option,
    key_document,
    moment,
    person_of,
)
from aweigh.cli.terminal import Steps, aligned, print_document

if TYPE_CHECKING:
    from aweigh.guard.guard import Key
    from aweigh.secret import Secret

DAYS = 90


@click.group("keys", invoke_without_command=True)
@click.pass_context
def keys(ctx: click.Context) -> None:
    """Make and end keys for programs, which send them as: Authorization: Bearer KEY.

    A key belongs to somebody, and may do no more than they may. It is shown once and kept as a hash; what is changed
    here holds in running servers within five seconds, and is in the audit log.
    """
    help_alone(ctx)


@keys.command("add")
@click.argument("label", metavar="LABEL")
@click.option("--owner", required=True, metavar="NAME", help="Whose key it is.")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, default=("read", "predict"),
              help="What it is for; may be given several times (default: read and predict).")  # fmt: skip
@click.option("--days", type=click.IntRange(1, 3650), default=DAYS, show_default=True, help="How long it is good.")
@click.option("--no-expiry", is_flag=True, help="Good until it is revoked.")
@json_option
def add(label: str, owner: str, scopes: tuple[str, ...], days: int, no_expiry: bool, as_json: bool) -> None:
    """Make a key, and print it this once. LABEL says what it is for."""
    from aweigh.guard.identity import SCOPES as KNOWN

    with at_the_door() as guard:
        person = person_of(guard, owner)
        wanted = [one for one in KNOWN if one in scopes]
        key, text = guard.add_key(person, label, wanted, expires_days=None if no_expiry else days, by=at_the_terminal())
    _tell(key, text, as_json=as_json)


@keys.command("list")
@click.option("--owner", metavar="NAME", help="Only those of one person.")
@json_option
def list_keys(owner: str | None, as_json: bool) -> None:
    """List keys, the newest first, without what opens."""
    with at_the_door() as guard:
        names = {one.id: one.name for one in guard.people()}
        found = guard.keys(None if owner is None else person_of(guard, owner).id)
    if as_json:
        print_document({"keys": [key_document(one) | {"owner_name": names.get(one.owner)} for one in found]})
        return
    if not found:
        Steps().line("keys", "none yet")
        return
    rows = [("id", "label", "owner", "for", "until", "last used", "")]
    for one in found:
        until = "without end" if one.expires is None else moment(one.expires)
        state = "" if one.revoked is None else f"revoked {moment(one.revoked)}"
        rows.append(
            (
                one.id,
                one.label,
                names.get(one.owner, "-"),
                " ".join(sorted(one.scopes)),
                until,
                moment(one.last_used),
                state,
            )
        )
    click.echo("\n".join(aligned(rows)))


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@json_option
def revoke(key_id: str, as_json: bool) -> None:
    """End a key."""
    with at_the_door() as guard:
        key = guard.revoke_key(key_id, by=at_the_terminal())
    if as_json:
        print_document({"key": key_document(key)})
    else:
        Steps().line("revoked", f"{key.id}, {key.label}: opens nothing any more, in five seconds at the latest")


@keys.command("rotate")
@click.argument("key_id", metavar="ID")
@click.option("--overlap-hours", type=click.IntRange(0, 2160), default=24, show_default=True, metavar="HOURS",
              help="How long the old one is still good.")  # fmt: skip
@json_option
def rotate(key_id: str, overlap_hours: int, as_json: bool) -> None:
    """Make a new key in the place of one, which ends a day later."""
    with at_the_door() as guard:
        key, text = guard.rotate_key(key_id, overlap_hours=overlap_hours, by=at_the_terminal())
    _tell(key, text, as_json=as_json)


def _tell(key: "Key", text: "Secret", *, as_json: bool) -> None:
    if as_json:
        print_document({"key": key_document(key), "secret": text.reveal()})
        return
    steps = Steps()
    until = "until it is revoked" if key.expires is None else f"until {moment(key.expires)} UTC"
    steps.line("key", f"{key.id}, {key.label}: {', '.join(sorted(key.scopes))}, {until}")
    steps.line("secret", text.reveal())
    steps.more("shown this once: put it where the program reads its secrets")
