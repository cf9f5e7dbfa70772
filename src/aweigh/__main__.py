"""``aweigh`` and ``python -m aweigh``: run the command line and tell every error in a sentence.

Exit codes: 0 done, 1 failed, 2 put wrongly, 3 not trusted, 4 the other side of a network, 130 stopped by Ctrl-C.
"""

import os
import sys
import traceback

import click

from aweigh.cli import COMMANDS, cli
from aweigh.cli.terminal import clean, paint, print_document
from aweigh.errors import AweighError

FAILED = 1
STOPPED = 130
"""128 + SIGINT, as shells count it."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        result = cli.main(args=arguments, prog_name="aweigh", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped: nothing was left half-written", err=True)
        return STOPPED
    except BrokenPipeError:
        # Whoever read the output has seen enough. The interpreter flushes once more when it ends: into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001  the one place where every error becomes a sentence
        if isinstance(error, click.UsageError) and error.ctx is None and arguments and arguments[0] in COMMANDS:
            # click's parser says of an option without its value not whose it is.
            error.ctx = click.Context(click.Command(arguments[0]), info_name=f"aweigh {arguments[0]}")
        return _tell(error, debug="--debug" in arguments, as_json="--json" in arguments)
    return result if isinstance(result, int) else 0


def _tell(error: Exception, *, debug: bool, as_json: bool) -> int:
    """Say what went wrong in at most four lines on standard error; the exit code."""
    sentence, hint, code, exit_code = _facts(error)
    if debug:
        error.__notes__ = [note for note in getattr(error, "__notes__", ()) if note != f"hint: {hint}"]  # told below
        traceback.print_exception(error)
    click.echo(f"{paint('error:', 'red', stream=sys.stderr)} {clean(sentence)}", err=True)
    if hint:
        click.echo(f"{paint('hint:', 'bold', stream=sys.stderr)} {clean(hint)}", err=True)
    if as_json:
        told = {"code": code, "message": sentence, "hint": hint}
        print_document({"error": {key: value for key, value in told.items() if value}})
    return exit_code


def _facts(error: Exception) -> tuple[str, str | None, str, int]:
    """One sentence, a hint, a stable word for programs, and the exit code."""
    if isinstance(error, AweighError):
        return error.message, error.hint, error.code, error.exit_code
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help" if context is not None else None
        return " ".join(error.format_message().split()), hint, "usage", error.exit_code
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if isinstance(error.filename, str) else ""
        return f"{error.strerror}{where}", None, "system", FAILED
    text = " ".join(str(error).split())
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return (
        f"Something unforeseen happened: {told}",
        "run the same again with --debug to see where",
        "unforeseen",
        FAILED,
    )


if __name__ == "__main__":
    sys.exit(main())
