"""Logs without anybody's data: what an exception says is withheld, since libraries quote the cell that they fail on.

Of an exception a log keeps its type, where it was raised, and all that led there; a file that cannot be opened keeps
the system's reason, a module that is missing its name. It holds for every logger of the process, also those of
libraries, because the record itself is made so. ``AWEIGH_LOG_MESSAGES=kept`` turns it off.
"""

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TextIO

from aweigh.errors import AweighError, DataError, ModelError

WITHHELD = "(message withheld)"
MOST_CHAINED = 20
CHATTY = (
    "asyncio", "httpcore", "httpx", "multipart", "psycopg", "psycopg.pool", "python_multipart", "redis", "saq",
    "streamlit", "tornado", "urllib3", "uvicorn", "uvicorn.access", "uvicorn.asgi", "uvicorn.error", "watchdog",
    "websockets", "websockets.client", "websockets.server", "PIL", "matplotlib", "fsspec", "pyarrow", "h11",
)  # fmt: skip
"""Libraries that, asked to tell everything, tell what went over the line."""


def install() -> None:
    """From here on no log of this process carries what an exception says."""
    make = logging.getLogRecordFactory()
    if getattr(make, "is_discreet", False):
        return

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return discreet(make(*args, **kwargs))

    made.is_discreet = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(made)
    for name in CHATTY:
        logger = logging.getLogger(name)
        logger.setLevel(max(logging.WARNING, logger.level))
    sys.excepthook = _hook
    threading.excepthook = _thread_hook
    sys.unraisablehook = _unraisable
    warnings.showwarning = _show_warning


def discreet(record: logging.LogRecord) -> logging.LogRecord:
    """The record without what exceptions say, in its text and behind it."""
    if record.exc_info and record.exc_info[1] is not None:
        record.exc_text = told(record.exc_info[1])
        record.exc_info = None
    if isinstance(record.msg, BaseException):
        record.msg, record.args = sentence(record.msg), ()
    elif isinstance(record.args, tuple):
        record.args = tuple(_argument(one) for one in record.args)
    elif isinstance(record.args, dict):
        record.args = {key: _argument(one) for key, one in record.args.items()}
    if record.name == "asyncio" and isinstance(record.msg, str):
        record.msg = record.msg.partition("\n")[0]  # behind it stand tasks, and what they ended with
    return record


def _argument(value: object) -> object:
    return sentence(value) if isinstance(value, BaseException) else value


def told(error: BaseException) -> str:
    """An exception with all that led to it, as a traceback tells it, but for what each says."""
    return "\n".join(_chain(error, set()))


def _chain(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen and len(seen) < MOST_CHAINED:
        yield from _chain(before, seen)
        yield "\nThat led to:\n" if error.__cause__ is not None else "\nWhile that was handled:\n"
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):"
        yield "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
    yield sentence(error)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            if id(one) not in seen and len(seen) < MOST_CHAINED:
                yield "\nOne of them:\n"
                yield from _chain(one, seen)


def sentence(error: BaseException) -> str:
    """An exception in a line: its type, and what it says where that is nobody's data."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(error, AweighError) and not isinstance(error, DataError | ModelError):
        return f"{name}: {error.message}"
    if isinstance(error, OSError):
        return f"{name}: {error.strerror}" if error.strerror else name
    if isinstance(error, ImportError):
        return f"{name}: {error.name}" if error.name else name
    return f"{name} {WITHHELD}" if error.args else name


# -- what is not logged and still printed ----------------------------------------------------------------------------


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write(told(error.with_traceback(trace)) + "\n")


def _thread_hook(caught: threading.ExceptHookArgs) -> None:
    if caught.exc_value is not None and not isinstance(caught.exc_value, SystemExit):
        sys.stderr.write(f"Exception in a thread:\n{told(caught.exc_value)}\n")


def _unraisable(caught: Any) -> None:
    if caught.exc_value is not None:
        sys.stderr.write(f"Exception that nobody could handle:\n{told(caught.exc_value)}\n")


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
    line: str | None = None,
) -> None:  # fmt: skip
    del message, line
    (file or sys.stderr).write(f"{filename}:{lineno}: {category.__name__} {WITHHELD}\n")
