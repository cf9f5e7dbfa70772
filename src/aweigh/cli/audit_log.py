"""``aweigh audit-log``: who did what when, and whether anybody has changed what it says."""

import re

import click

from aweigh.cli.door import at_the_door, help_alone, json_option
from aweigh.cli.terminal import Steps, aligned, print_document
from aweigh.errors import DamagedLog, UsageError

HASH = re.compile(r"[0-9a-f]{64}\Z")


@click.group("audit-log", invoke_without_command=True)
@click.pass_context
def audit_log(ctx: click.Context) -> None:
    """Show who did what when, and check that nobody has changed it.

    Every change of people, keys and sessions is an entry; each entry's hash covers the one before it.
    """
    help_alone(ctx)


@audit_log.command("show")
@click.option("--after", type=click.IntRange(0), metavar="NUMBER", help="Only entries behind that one, in their order.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many.")
@json_option
def show(after: int | None, limit: int, as_json: bool) -> None:
    """Show the last entries, or those behind a number."""
    with at_the_door() as guard:
        entries = guard.audit_log(after, limit) if after is not None else guard.latest_audit(limit)[::-1]
    if as_json:
        fields = ("number", "at", "event", "by", "by_name", "client", "what", "hash")
        print_document({"entries": [{name: getattr(one, name) for name in fields} for one in entries]})
        return
    if not entries:
        Steps().line("log", "empty")
        return
    rows = [
        (
            str(one.number),
            one.at[:19].replace("T", " "),
            one.event,
            one.by_name or "-",
            one.client or "-",
            ", ".join(f"{key} {value}" for key, value in one.what.items()),
        )
        for one in entries
    ]
    click.echo("\n".join(aligned([("", "when (UTC)", "what", "by", "from", ""), *rows], right=frozenset({0}))))


@audit_log.command("verify")
@click.option("--head", metavar="HASH", help="A hash that this command printed before, kept elsewhere: its "
              "entry must still be there.")  # fmt: skip
@json_option
def verify(head: str | None, as_json: bool) -> None:
    """Compute all hashes anew: finds an entry that was changed, removed or moved.

    Who can write to the database can also compute the whole chain anew, or cut off its end: keep the hash that is
    printed somewhere else, and give it back with --head.
    """
    if head is not None and HASH.match(head) is None:
        raise UsageError("That is no hash of an entry.", hint="64 of the characters 0-9 and a-f")
    with at_the_door() as guard:
        verdict = guard.verify_audit_log(head=head or "")
    if verdict.first_bad is not None:
        raise DamagedLog(
            f"The audit log is not as it was written: at entry {verdict.first_bad}, {verdict.reason}.",
            hint="keep a copy of the database as it is, and look who can write to it",
        )
    if as_json:
        print_document({"entries": verdict.entries, "head": verdict.head})
        return
    steps = Steps()
    steps.line("log", f"{verdict.entries} entries, each as it was written{', the kept one among them' if head else ''}")
    if verdict.head:
        steps.line("head", verdict.head)
        steps.next(f"aweigh audit-log verify --head {verdict.head}")
