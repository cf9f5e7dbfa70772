"""What people type for every platform alike: the number of a release, and a secret that no command line shows."""

import sys
from collections.abc import Sequence

import click

from aweigh.errors import UsageError
from aweigh.secret import Secret

MOST_DIGITS = 10
"""Of a release's number."""


class Version(click.ParamType[int]):
    """A release: ``v12`` or 12."""

    name = "version"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        number = str(value).removeprefix("v")
        if not (number.isdecimal() and number.isascii() and len(number) < MOST_DIGITS and int(number) > 0):
            self.fail(f"{str(value)[:40]!r} is no release: write v12, or 12.", param, ctx)
        return int(number)


def asked_secret(name: str) -> Secret:
    """The value of a secret, asked for at the terminal, else the next line of standard input.

    Raises:
        UsageError: there is none.
    """
    if sys.stdin.isatty():
        return Secret(click.prompt(name, hide_input=True, err=True))
    value = sys.stdin.readline().rstrip("\n")
    if not value:
        raise UsageError(f"There is no value for {name[:40]}.", hint="standard input has a line for each --secret")
    return Secret(value)


def changes_of(
    changes: Sequence[str], *, unset: Sequence[str], hidden: Sequence[str]
) -> dict[str, str | Secret | None]:
    """What becomes of settings: ``NAME=VALUE``, those taken away (None), and secrets, which are asked for.

    Raises:
        UsageError: one changes nothing, or a secret has no value.
    """
    wanted: dict[str, str | Secret | None] = dict.fromkeys(unset)
    for one in changes:
        name, sign, value = one.partition("=")
        if not sign:
            raise UsageError(f"{one[:40]!r} changes nothing.", hint="write NAME=VALUE, or --unset NAME")
        wanted[name] = value
    return wanted | {name: asked_secret(name) for name in hidden}
