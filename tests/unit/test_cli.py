"""The frame of the command line: help without imports, errors as sentences, exit codes, Ctrl-C and closed pipes."""

import json
import os
import re
import resource
import signal
import subprocess
import sys

import click
import pytest

from aweigh.__main__ import main
from aweigh.cli import COMMANDS, cli
from aweigh.errors import DamagedBundle, MissingExtra, ProofFailed, RemoteError, UsageError

AWEIGH = [sys.executable, "-m", "aweigh"]

LOOK = "hint: run the same again with --debug to see where\n"

FAULTS = {
    "usage": UsageError("The port is no number."),
    "proof": ProofFailed("Nothing agrees.", hint="try this"),
    "damaged": DamagedBundle("A byte differs.", hint="fetch it again"),
    "remote": RemoteError("The other side is silent."),
    "extra": MissingExtra("Reading Parquet", extra="files"),
    "system": FileNotFoundError(2, "No such file or directory", "sample.csv"),
    "unforeseen": ZeroDivisionError("division by zero"),
    "stop": KeyboardInterrupt(),
    "bare": ValueError(),
}


@click.command()
@click.argument("kind")
@click.option("--json", "as_json", is_flag=True)
def fail(kind, as_json):
    """Fail in the way that was asked for."""
    raise FAULTS[kind]


@click.command()
def count():
    """Print a lot."""
    for number in range(200_000):
        click.echo(f"line {number}")


@pytest.fixture
def failing(monkeypatch):
    monkeypatch.setitem(COMMANDS, "fail", (f"{__name__}:fail", "fail"))


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize(
    ("kind", "exit_code", "told"),
    [
        ("usage", 2, "error: The port is no number.\n"),
        ("proof", 1, "error: Nothing agrees.\nhint: try this\n"),
        ("damaged", 3, "error: A byte differs.\nhint: fetch it again\n"),
        ("remote", 4, "error: The other side is silent.\n"),
        ("system", 1, "error: No such file or directory: sample.csv\n"),
        (
            "unforeseen",
            1,
            "error: Something unforeseen happened: ZeroDivisionError: division by zero\n" + LOOK,
        ),
        (
            "bare",
            1,
            "error: Something unforeseen happened: ValueError\n" + LOOK,
        ),
    ],
)
def test_an_error_is_a_sentence_a_hint_and_an_exit_code(capsys, kind, exit_code, told):
    assert main(["fail", kind]) == exit_code
    said = capsys.readouterr()
    assert said.err == told
    assert said.out == ""


@pytest.mark.usefixtures("failing")
def test_a_missing_extra_says_what_to_install(capsys):
    assert main(["fail", "extra"]) == 2
    assert "[files]" in capsys.readouterr().err


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("arguments", [["--debug", "fail", "proof"], ["fail", "proof", "--debug"]])
def test_debug_shows_the_traceback_before_the_sentence(capsys, arguments):
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):")
    assert said.endswith("error: Nothing agrees.\nhint: try this\n")
    assert said.count("try this") == 1


@pytest.mark.usefixtures("failing")
def test_with_json_a_failure_is_one_document_too(capsys):
    assert main(["fail", "damaged", "--json"]) == 3
    document = {"code": "damaged_bundle", "message": "A byte differs.", "hint": "fetch it again"}
    assert json.loads(capsys.readouterr().out) == {"error": document}


@pytest.mark.usefixtures("failing")
def test_ctrl_c_says_what_it_left(capsys):
    assert main(["fail", "stop"]) == 130
    assert capsys.readouterr().err.strip() == "stopped: nothing was left half-written"


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fial"], "error: No command is named 'fial'. Did you mean 'fail'?\nhint: aweigh --help\n"),
        (["zzzzzz"], "error: No command is named 'zzzzzz'.\nhint: aweigh --help\n"),
        (["fail"], "error: Missing argument 'KIND'.\nhint: aweigh fail KIND\n"),
        (
            ["deploy", "ray", "my model.aweigh", "--dry-run"],
            "error: Missing option '--app'.\nhint: aweigh deploy ray 'my model.aweigh' --app NAME\n",
        ),
        (
            ["deploy", "kubernetes", "m.aweigh"],
            (
                "error: Missing option '--app'.\nhint: aweigh deploy kubernetes m.aweigh --app NAME "
                "--image REGISTRY/NAME:TAG\n"
            ),
        ),
        (
            ["forget", "--subject", "ada@example.org"],
            "error: Missing option '--column'.\nhint: aweigh forget --column NAME --subject VALUE\n",
        ),
        (
            ["up", "--port", "abc"],
            "error: Invalid value for '--port': 'abc' is no whole number from 1 to 65000.\nhint: aweigh up --help\n",
        ),
        (
            ["up", "--port", "65536"],
            "error: Invalid value for '--port': 65536 is no whole number from 1 to 65000.\nhint: aweigh up --help\n",
        ),
        (
            ["up", "--stop-timeout", "0"],
            "error: Invalid value for '--stop-timeout': 0.0 is no number from 0.1 to 3600.\nhint: aweigh up --help\n",
        ),
        (
            ["rollback", "compose", "x3", "--app", "a"],
            (
                "error: Invalid value for '[VERSION]': 'x3' is no release: write v12, or 12.\n"
                "hint: aweigh rollback compose --help\n"
            ),
        ),
        (
            ["deploy", "docker", "m.aweigh"],
            "error: deploy knows no 'docker': it is called compose here.\nhint: aweigh deploy compose --help\n",
        ),
    ],
)
def test_a_slip_of_the_fingers_is_told_what_was_meant(capsys, arguments, said):
    assert main(arguments) == 2
    assert capsys.readouterr().err == said


@pytest.mark.usefixtures("failing")
def test_an_unknown_option_names_the_help_of_its_command(capsys):
    assert main(["fail", "usage", "--jsn"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: No such option")
    assert "--json" in said
    assert said.endswith("hint: aweigh fail --help\n")


@pytest.mark.usefixtures("failing")
def test_help_of_a_command_names_debug(capsys):
    assert main(["fail", "--help"]) == 0
    assert main(["fail", "-h"]) == 0
    assert capsys.readouterr().out.count("--debug") == 2


def test_every_command_is_there_and_says_what_the_list_says():
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert isinstance(command, click.Command), name
        assert command.help, name
        assert re.fullmatch(r"[A-Z][^\n]{,80}[.]", COMMANDS[name][1]), f"{name}: a short sentence"


def test_without_a_command_the_help_is_shown(capsys):
    assert main([]) == 0
    bare = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == bare
    assert all(re.search(rf"^  {name} ", bare, re.MULTILINE) for name in COMMANDS)


def test_version():
    done = subprocess.run([*AWEIGH, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert re.fullmatch(r"aweigh \d+\.\d+\.\d+\S*\n", done.stdout)


def cpu_seconds(*arguments):
    """The least CPU time of three runs: other work on the machine may lengthen it, nothing shortens it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # tracing has its price
    least = float("inf")
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*AWEIGH, *arguments], env=env, capture_output=True, check=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        least = min(least, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return least


def test_help_answers_at_once():
    """0.09 s where it was measured, more on a busy machine; a heavy import would cost more than all of it."""
    assert cpu_seconds("--help") < 0.3


def in_a_process(code):
    """Run main in a process of its own, with the commands of this module to call."""
    start = f"import sys, importlib.util; spec = importlib.util.spec_from_file_location('faults', {__file__!r}); "
    load = "sys.modules['faults'] = m = importlib.util.module_from_spec(spec); spec.loader.exec_module(m); "
    add = "from aweigh.cli import COMMANDS; COMMANDS['count'] = ('faults:count', 'count'); "
    return [sys.executable, "-c", start + load + add + code]


def test_a_reader_that_has_seen_enough_is_no_error():
    command = in_a_process("from aweigh.__main__ import main; sys.exit(main(['count']))")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"line 0\n"
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(timeout=60) == 1
    assert said == b""


def test_a_real_interrupt_exits_130():
    command = in_a_process(
        "import click, time; on = lambda: (print('on', flush=True), time.sleep(60)); "
        "m.wait = click.Command('wait', callback=on); "
        "COMMANDS['wait'] = ('faults:wait', 'wait'); from aweigh.__main__ import main; sys.exit(main(['wait']))"
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"on\n"
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read().strip() == b"stopped: nothing was left half-written"


WAITING = """
import click, signal, tempfile, time

def wait():
    with tempfile.TemporaryDirectory(prefix="aweigh-", dir=sys.argv[1]):
        try:
            print("on", flush=True)
            time.sleep(60)
        finally:
            print("clearing", flush=True)
            time.sleep(0.5)

m.wait = click.Command("wait", callback=wait)
COMMANDS["wait"] = ("faults:wait", "wait")
from aweigh.__main__ import main
sys.exit(main(["wait"]))
"""


def waiting(folder, *, before=""):
    """Run a command that has a temporary folder, waits in it, and takes a moment to clear up."""
    return [*in_a_process(f"{before}{WAITING}"), str(folder)]


def test_a_command_that_is_terminated_clears_up_as_on_ctrl_c_and_exits_143(tmp_path):
    with subprocess.Popen(waiting(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"on\n"
        assert list(tmp_path.iterdir())
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == b"clearing\n"
        process.send_signal(signal.SIGTERM)  # a platform may send it twice: what is removed is removed to its end
        assert process.wait(timeout=60) == 143
        assert process.stderr.read().strip() == b"stopped: nothing was left half-written"
    assert list(tmp_path.iterdir()) == []


def test_who_has_sigterm_ignored_keeps_that(tmp_path):
    command = waiting(tmp_path, before="import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"on\n"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130


@pytest.mark.usefixtures("failing")
def test_a_command_leaves_the_signal_as_it_was():
    before = signal.getsignal(signal.SIGTERM)
    main(["fail", "usage"])
    assert signal.getsignal(signal.SIGTERM) is before
