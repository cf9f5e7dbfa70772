"""``aweigh forget``: a person's rows leave everything that stores them, and it is looked again whether any is left."""

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from aweigh.cli.terminal import Steps, print_document
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.runtime.subject import Keeper, Subject

REMAINS = 1
"""The exit code when something is still there."""


@click.command("forget")
@click.option("--column", required=True, metavar="NAME", help="The column that tells people apart, such as email.")
@click.option("--subject", "value", required=True, metavar="VALUE",
              help="The person's value in it; '-' asks for it, so that it is in no history of commands.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only count what there is.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; the steps go to standard error.")
def forget(column: str, value: str, dry_run: bool, as_json: bool) -> int:
    """Erase a person's rows from everything that stores them: files and results of jobs, known answers.

    Where that is, is what the servers are told as well: DATABASE_URL, REDIS_URL and AWEIGH_STATE_DIR. What was found
    and erased is told of each store, and it is searched again: the exit code is 0 when nothing is left in that column,
    else 1. The same value in another column stays: name that column as well.
    """
    from aweigh import registry
    from aweigh.database.place import state_folder
    from aweigh.runtime.subject import Subject
    from aweigh.secret import Secret
    from aweigh.server.settings import read_settings

    if value == "-":
        value = click.prompt("the person's value", hide_input=True, err=True)
    if not value.strip() or not column.strip():
        raise UsageError(
            "Nobody is named by an empty value.", hint="aweigh forget --column email --subject ana@example.org"
        )
    subject = Subject(column, Secret(value))
    state = state_folder(os.environ, named=read_settings(os.environ).state_dir)
    steps = Steps(json=as_json)
    found = []
    with ExitStack() as stack:
        for module in registry.keepers():
            for keeper in module.open_keepers(os.environ, state=state):
                stack.callback(keeper.close)
                found.append(_forget(keeper, subject, dry_run=dry_run, steps=steps))
    left = sum(int(str(one["left"])) for one in found)
    if as_json:
        print_document({"column": column, "dry_run": dry_run, "stores": found, "left": left})
    elif dry_run:
        steps.line("dry run", "nothing was erased")
    else:
        steps.line(
            "left",
            "nothing is left in that column; where the value stands in others, it stays"
            if not left
            else f"{left} are still there: run it again when they are let go of",
        )
    return REMAINS if left else 0


def _forget(keeper: "Keeper", subject: "Subject", *, dry_run: bool, steps: Steps) -> dict[str, object]:
    """What was found in one store, erased there, and found again."""
    held = keeper.find(subject)
    if dry_run:
        steps.line("store", f"{keeper.name}: {held.count} found")
        for note in held.notes:
            steps.line("note", note)
        return {"store": keeper.name, "found": held.count, "erased": 0, "left": held.count, "notes": list(held.notes)}
    erased = keeper.erase(subject)
    again = keeper.find(subject)
    notes = list(dict.fromkeys((*held.notes, *erased.notes)))
    steps.line("store", f"{keeper.name}: {held.count} found, {erased.count} erased, {again.count} left")
    for note in notes:
        steps.line("note", note)
    return {
        "store": keeper.name, "found": held.count, "erased": erased.count, "left": again.count, "notes": notes,
    }  # fmt: skip
