"""What people type for every platform alike: the number of a release, and a secret that no command line shows."""

import sys

import click

from aweigh.errors import UsageError
from aweigh.secret import Secret


class Version(click.ParamType[int]):
    """A release: ``v12`` or 12."""

    name = "version"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        return click.IntRange(1)(str(value).removeprefix("v"), param, ctx)


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
