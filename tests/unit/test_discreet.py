"""Logs carry no cell: what an exception says is withheld wherever it would be told, and where it came from is not."""

import logging
import subprocess
import sys
import textwrap

import pytest

from aweigh.errors import ConfigError, InvalidRows, Problem
from aweigh.schema import Column, Output, Schema
from aweigh.server.discreet import discreet, sentence, told
from aweigh.ui.row import from_query, to_query

CELL = "zq-4711-cell"


def record(message, *arguments, error=None, name="a"):
    info = None if error is None else (type(error), error, error.__traceback__)
    return discreet(logging.LogRecord(name, logging.ERROR, __file__, 1, message, arguments, info))


def written(one):
    return logging.Formatter("%(name)s %(message)s").format(one)


def chained():
    """Return an exception with a cause, a context, a note and a group around it, each of which quotes the cell."""
    try:
        try:
            float(CELL)
        except ValueError as error:
            error.add_note(CELL)
            raise KeyError(CELL) from error
    except KeyError:
        try:
            raise RuntimeError(CELL)
        except RuntimeError as error:
            return ExceptionGroup(CELL, [error, LookupError(CELL)])


def test_a_traceback_keeps_where_it_was_and_loses_what_was_said():
    text = written(record("it failed", error=chained()))
    assert CELL not in text
    for kind in ("ValueError", "KeyError", "RuntimeError", "LookupError", "ExceptionGroup"):
        assert f"{kind} (message withheld)" in text
    assert "in chained" in text
    assert "float(CELL)" in text


@pytest.mark.parametrize(
    "one",
    [
        record("it failed: %s", ValueError(CELL)),
        record("it failed: %r and %s", ValueError(CELL), 3),
        record("%(why)s", {"why": ValueError(CELL)}),
        record(ValueError(CELL)),
        record(f"Task exception was never retrieved\nfuture: <Task exception=ValueError('{CELL}')>", name="asyncio"),
        record("x", error=InvalidRows((Problem("wrong_type", f"expected a number, got '{CELL}'"),))),
    ],
    ids=range(6),
)
def test_an_exception_among_the_words_is_its_type(one):
    assert CELL not in written(one)


def test_what_is_nobody_s_data_is_told():
    assert sentence(ConfigError("aweigh.toml has an unknown key x.")).endswith("aweigh.toml has an unknown key x.")
    assert sentence(FileNotFoundError(2, "No such file", CELL)) == "FileNotFoundError: No such file"
    assert sentence(ModuleNotFoundError("no", name="pyarrow")) == "ModuleNotFoundError: pyarrow"
    assert sentence(ValueError()) == "ValueError"
    assert written(record("%d rows of %s", 3, "x")) == "a 3 rows of x"


def test_an_exception_that_leads_back_to_itself_has_an_end():
    one, other = ValueError(CELL), KeyError(CELL)
    one.__cause__, other.__cause__ = other, one
    assert told(one).count("withheld") == 2


def test_a_process_that_has_it_writes_no_cell_anywhere():
    """Loggers of libraries with handlers of their own, threads, tasks, warnings, and the end of the process."""
    code = f"""
        import asyncio, logging, sys, threading, warnings
        from aweigh.server.discreet import install
        install(); install()
        own = logging.getLogger("library"); own.propagate = False
        own.addHandler(logging.StreamHandler(sys.stdout))
        def fail(): raise ValueError("{CELL}")
        try: fail()
        except ValueError: own.exception("first")
        thread = threading.Thread(target=fail); thread.start(); thread.join()
        async def main():
            task = asyncio.create_task(asyncio.to_thread(fail))
            await asyncio.sleep(0.05)
        logging.basicConfig(stream=sys.stdout)
        asyncio.run(main())
        warnings.warn("{CELL}")
        class Ends:
            def __del__(self): fail()
        Ends()
        fail()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    code_lines = ("raise ValueError", "warn(")
    lines = [line for line in said.splitlines() if CELL in line and not any(one in line for one in code_lines)]
    assert lines == []
    assert done.returncode == 1
    assert said.count("ValueError (message withheld)") == 5
    assert "UserWarning (message withheld)" in said


def test_no_cell_of_a_personal_column_is_in_a_link():
    columns = tuple(
        Column(name=name, type="text", dtype="str", typical="x", personal=personal)
        for name, personal in {"mail": "drop", "who": "keep", "size": None}.items()
    )
    schema = Schema(columns=columns, output=Output(task="number", name="y"))
    row = {"mail": CELL, "who": CELL, "size": "7"}
    assert to_query(schema, row) == "?size=7"
    assert from_query(schema, {"size": "7"})[0] == {"mail": "x", "who": "x", "size": "7"}
