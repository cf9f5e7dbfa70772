"""What the commands of the door share: the guard of the variables that the server reads, and who is at the terminal."""

import getpass
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.cli.terminal import Steps
    from aweigh.guard.guard import Guard, Key, Person
    from aweigh.guard.identity import Identity, Role
    from aweigh.targets.release import Release

ROLES = ("viewer", "predictor", "operator", "admin")
SCOPES = ("read", "predict", "feedback", "operate", "admin")

AUTHS = ("none", "password", "oidc")

auth_option = click.option(
    "--auth", type=click.Choice(AUTHS), default="password", show_default=True,
    help="Who may come in: people who sign in (password, oidc) and keys, or anybody (none).",
)  # fmt: skip
no_ui_option = click.option("--no-ui", is_flag=True, help="Deploy the API alone.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def help_alone(ctx: click.Context) -> None:
    """Prints what a group of commands says of itself, where none of them was typed."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@contextmanager
def at_the_door() -> Iterator["Guard"]:
    """The guard that the servers of this machine, or of DATABASE_URL, ask as well."""
    from aweigh.guard.guard import open_guard

    guard = open_guard(os.environ)
    try:
        yield guard
    finally:
        guard.close()


def at_the_terminal() -> "Identity":
    """Whoever types: for the audit log, since who can write to the database needs no role."""
    from aweigh.guard.identity import Identity, Role

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return Identity("nobody", "terminal", f"{user} at a terminal", Role.VIEWER, frozenset())


def person_of(guard: "Guard", name: str) -> "Person":
    """The person of that name or id.

    Raises:
        UsageError: there is none.
    """
    found = guard.person(name)
    if found is None:
        raise UsageError(f"Nobody is named {name[:60]!r}.", hint="see 'aweigh users list'")
    return found


def role_named(name: str) -> "Role":
    """The role of one of ``ROLES``."""
    from aweigh.guard.identity import Role

    return Role[name.upper()]


def moment(at: float | None) -> str:
    """A moment as it is shown: UTC, to the minute."""
    return "never" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"


def person_document(person: "Person") -> dict[str, object]:
    """A person as JSON."""
    return {
        "id": person.id,
        "name": person.name,
        "role": person.role.label,
        "disabled": person.disabled,
        "password": person.has_password,
        "totp": person.has_totp,
        "oidc": None if person.oidc is None else {"issuer": person.oidc[0], "subject": person.oidc[1]},
        "created": person.created,
        "last_seen": person.last_seen,
    }


def key_document(key: "Key") -> dict[str, object]:
    """A key as JSON, without what opens."""
    return {
        "id": key.id,
        "owner": key.owner,
        "label": key.label,
        "scopes": sorted(key.scopes),
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
        "last_used": key.last_used,
    }


def check_own_door(release: "Release", auth: str, steps: "Steps") -> None:
    """Where a web line of the owner's is run as it is, no door of aweigh's is before it: that is said, or refused.

    Raises:
        UsageError: a door was asked for.
    """
    from aweigh.targets.release import START

    web = release.processes.get("web", "")
    is_asked = click.get_current_context().get_parameter_source("auth") is ParameterSource.COMMANDLINE
    if web.startswith(START):
        said = re.search(r"--auth[ =](none|password|oidc)(?=\s|$)", web)
        if is_asked and said is not None and said[1] != auth:
            raise UsageError(
                f"The Procfile's web line says --auth {said[1]}, and --auth {auth} is asked for.",
                hint="change the Procfile, or leave --auth out",
            )
        return
    if is_asked and auth != "none":
        raise UsageError(
            f"The Procfile's web line is run as it is: no --auth {auth} stands before it.",
            hint="write web: aweigh serve app.py --host 0.0.0.0 --auth password into it, or leave --auth out",
        )
    steps.line("open", "the Procfile's web line is run as it is: anybody may come in, unless it asks them itself")
