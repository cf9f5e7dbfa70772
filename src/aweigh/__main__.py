"""``aweigh`` and ``python -m aweigh``: run the command line and tell every error in a sentence.

Exit codes: 0 done, 1 failed, 2 put wrongly, 3 not trusted, 4 the other side of a network, 130 stopped by Ctrl-C,
143 by SIGTERM.
"""

import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from aweigh.cli import COMMANDS, cli
from aweigh.cli.terminal import clean, paint, print_document
from aweigh.errors import AweighError

FAILED = 1
STOPPED = 130
"""128 + SIGINT, as shells count it."""
ENDED = 143
"""128 + SIGTERM."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with _sigterm_as_interrupt() as sent:
        code = _run(arguments)
    return ENDED if sent and code == STOPPED else code


@contextmanager
def _sigterm_as_interrupt() -> Iterator[list[int]]:
    """Let the first SIGTERM end a command as Ctrl-C does, so that it clears away what it made; yields those sent.

    A command that takes the signal itself (a server, a worker, ``up``) puts its own handler in this one's place. A
    program that is started begins with the system's, and a process that is forked sets what it wants. Whoever has
    taken the signal before, or has had it ignored, keeps it.
    """
    sent: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        sent.append(number)
        if len(sent) == 1:  # one more, while things are removed, is not to break that off
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield sent
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield sent
    finally:
        if signal.getsignal(signal.SIGTERM) is interrupt:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(arguments: list[str]) -> int:
    """Run it, and tell what came of it; the exit code."""
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


def _example(context: click.Context) -> str:
    """The whole line, with all that the command has to be given: the arguments that were typed, a word for the rest."""
    words = [context.command_path]
    for one in context.command.params:
        if not one.required:
            continue
        word = one.metavar or (one.name or "").upper()
        if isinstance(one, click.Argument):
            typed = context.params.get(one.name or "")
            words.append(word if typed is None or one.nargs != 1 else shlex.quote(str(typed)))
        else:
            words.append(f"{one.opts[-1]} {word}")
    return " ".join(words)


def _plainly(message: str, kind: click.ParamType[Any]) -> str:
    """What click says of a value that is no number of a range, in words; of all others what it says.

    >>> _plainly("'abc' is not a valid integer range.", click.IntRange(1, 65535))
    "'abc' is no whole number from 1 to 65535."
    """
    value, found, _ = message.rpartition(" is not ")
    if not found or not isinstance(kind, click.IntRange | click.FloatRange):
        return message
    number = "whole number" if isinstance(kind, click.IntRange) else "number"
    bounds = f"of at least {kind.min}" if kind.max is None else f"from {kind.min} to {kind.max}"
    return f"{value} is no {number} {bounds}."


def _facts(error: Exception) -> tuple[str, str | None, str, int]:
    """One sentence, a hint, a stable word for programs, and the exit code."""
    if isinstance(error, AweighError):
        return error.message, error.hint, error.code, error.exit_code
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help" if context is not None else None
        if isinstance(error, click.MissingParameter) and context is not None:
            hint = _example(context)
        told = error.format_message()
        if isinstance(error, click.BadParameter) and error.param is not None:
            told = told.replace(error.message, _plainly(error.message, error.param.type))
        return " ".join(told.split()), hint, "usage", error.exit_code
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
