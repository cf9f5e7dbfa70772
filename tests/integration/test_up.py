"""`aweigh up`: real processes of a Procfile, with $PORT, .env, a dyno's memory, signals and exit codes."""

import importlib.util
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from aweigh.errors import ConfigError, UsageError
from aweigh.targets.local.cgroup import make_group, was_killed
from aweigh.targets.local.dotenv import read_dotenv
from aweigh.targets.local.environ import environ_of
from aweigh.targets.local.lines import lines_of
from aweigh.targets.local.run import Command, Rules, run_commands
from aweigh.targets.local.tree import kill_tree, tree_bytes, tree_of

MB = 2**20
START_S = 30.0
has_honcho = pytest.mark.needs("honcho")

SERVER = """
import http.server, os
http.server.HTTPServer(('', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
SERVE = "web: python server.py\n"


class Up:
    """`aweigh up` in a process of its own; `told` is what it has printed so far."""

    def __init__(self, *arguments: object) -> None:
        self.told: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "aweigh", "up", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.told.append(line.rstrip())

    @property
    def text(self) -> str:
        return "\n".join(self.told)

    def until(self, pattern: str) -> None:
        """Wait until it has printed such a line."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if re.search(pattern, self.text):
                return
            if self.process.poll() is not None and not self._reader.is_alive():
                break
            time.sleep(0.02)
        pytest.fail(f"no {pattern!r} in\n{self.text}", pytrace=False)

    def end(self, sent: int | None = None) -> int:
        if sent is not None:
            self.process.send_signal(sent)
        code = self.process.wait(START_S)
        self._reader.join(5)
        return code


@pytest.fixture
def up():
    """Return what starts `aweigh up`; whatever still runs at the end is ended."""
    running: list[Up] = []

    def start(*arguments: object) -> Up:
        running.append(Up(*arguments))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                one.process.wait(10)
            one.process.kill()
        one.process.wait()
        if one.process.stdout is not None:
            one.process.stdout.close()


def command(line: str, folder: Path, *, port: int | None = None, name: str = "web.1") -> Command:
    environ = environ_of(folder, base=os.environ, own={}, web_concurrency=2)
    return Command(name, line, folder, environ | {"PORT": str(port or 0)}, port=port)


def run(*commands: Command, **rules: float) -> tuple[int, str]:
    output = io.StringIO()
    held = Rules(**({"boot_s": 20.0, "stop_s": 5.0} | rules))
    code = run_commands(commands, rules=held, output=output, colour=False)
    return code, output.getvalue()


# -- the command ------------------------------------------------------------------------------------------------------


@has_honcho
def test_release_web_and_worker_run_as_on_a_dyno(tmp_path, up, free_port):
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "Procfile").write_text(
        SERVE
        + "worker: echo worker $DYNO on $PORT says $GREETING; echo home is $HOME.; sleep 60\n"
        + "release: echo migrating $WEB_CONCURRENCY\n"
    )
    (tmp_path / ".env").write_text("GREETING='good day'  # said\n")
    port = free_port()
    one = up(tmp_path, "--port", port, "--size", "standard-2x")
    one.until(r"web\.1 listens on port")
    one.until(rf"worker\.1 +\| worker worker\.1 on {port + 100} says good day")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        f"http://127.0.0.1:{port}/", timeout=10
    ) as page:
        assert page.status == 200
    assert one.end(signal.SIGINT) == 130
    home = re.search(r"home is (\S+)[.]", one.text)
    assert home is not None
    assert home[1] != os.environ.get("HOME")
    assert not Path(home[1]).exists()
    assert one.text.index("migrating 4") < one.text.index("web.1 started")
    assert "1,024 MB for each process (R14)" in one.text
    assert "stopping web.1 with SIGTERM" in one.text
    assert "SIGKILL" not in one.text


@has_honcho
def test_nothing_starts_behind_a_release_that_fails(tmp_path, up):
    (tmp_path / "Procfile").write_text("release: echo no database; exit 3\nweb: echo started anyway\n")
    one = up(tmp_path)
    assert one.end() == 3
    assert "no database" in one.text
    assert "started anyway" not in "\n".join(one.told[6:])
    assert "nothing else was started" in one.text


@has_honcho
def test_the_first_that_ends_ends_the_others_and_says_how(tmp_path, up, free_port):
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "Procfile").write_text(SERVE + "worker: sleep 1; exit 7\n")
    one = up(tmp_path, "--port", free_port())
    assert one.end() == 7
    assert "worker.1 exited with status 7" in one.text
    assert "web.1 exited with status 143" in one.text


@has_honcho
def test_what_cannot_be_run_is_said(tmp_path, up):
    one = up(tmp_path)
    assert one.end() == 2
    assert "There is nothing to start" in one.text
    (tmp_path / "Procfile").write_text("web: true\n")
    two = up(tmp_path, "--only", "wrker")
    assert two.end() == 2
    assert "No process type is called 'wrker'." in two.text
    (tmp_path / ".env").write_text("not a setting s3cr3t\n")
    three = up(tmp_path)
    assert three.end() == 2
    assert "Line 1 of .env is no setting" in three.text
    assert "s3cr3t" not in three.text


@pytest.mark.skipif(importlib.util.find_spec("honcho") is not None, reason="honcho is installed here")
def test_without_honcho_it_says_what_to_install(tmp_path, up):
    (tmp_path / "Procfile").write_text("web: true\n")
    one = up(tmp_path)
    assert one.end() == 2
    assert "[up]" in one.text


# -- its rules, made small --------------------------------------------------------------------------------------------


@has_honcho
def test_what_does_not_listen_in_time_is_ended_as_r10(tmp_path, free_port):
    port = free_port()
    code, told = run(command("sleep 60", tmp_path, port=port), boot_s=0.6)
    assert code == 137
    assert f"Error R10 (Boot timeout): nothing listens on $PORT ({port}) within 0.6 s" in told


@pytest.mark.slow
@has_honcho
def test_what_outlives_sigterm_is_killed(tmp_path):
    stubborn = "trap '' TERM; echo ready; while true; do sleep 0.1; done"
    began = time.monotonic()
    code, told = run(command(stubborn, tmp_path), command("sleep 1", tmp_path, name="worker.1"), stop_s=0.5)
    assert code == 0
    assert time.monotonic() - began < 15
    assert "web.1 Error R12 (Exit timeout)" in told
    assert "web.1 exited with status 137" in told


@pytest.mark.slow
@has_honcho
def test_memory_beyond_the_quota_is_told_and_beyond_its_double_ended(tmp_path):
    grow = "import time; x = [bytearray(b'1') * (120 * 2**20)]; time.sleep(1.2); x.append(x[0] * 1); time.sleep(60)"
    code, told = run(command(f'python -c "{grow}"', tmp_path), quota_bytes=100 * MB, kill_bytes=200 * MB)
    assert code == 137
    assert "Error R14 (Memory quota exceeded): it takes 1" in told
    assert told.index("Error R14") < told.index("Error R15 (Memory quota vastly exceeded)")


@pytest.mark.slow
@has_honcho
def test_a_child_in_the_background_holds_nothing_up_and_is_not_left(tmp_path):
    code, told = run(command("sleep 61.5 & echo $! > pid; exit 4", tmp_path))
    assert code == 4, told
    pid = int((tmp_path / "pid").read_text())
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(5)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@has_honcho
def test_output_that_is_no_text_and_without_end_of_line_is_shown(tmp_path):
    code, told = run(command("printf 'a\\377b'; exit 0", tmp_path))
    assert code == 0
    assert "a\ufffdb" in told


@has_honcho
def test_a_folder_that_is_gone_is_an_end_and_no_wait(tmp_path):
    code, told = run(command("true", tmp_path / "gone"))
    assert code == 126
    assert "cannot be started" in told


# -- its pieces -------------------------------------------------------------------------------------------------------


def test_settings_are_read_as_they_stand():
    text = '\ufeff# c\n\nexport A=1\nB = "x\\ny \\"q\\" $A" # c\nC=\'a # b\'\nD=a#b # c\nE=\nA=2\n'
    assert read_dotenv(text) == {"A": "2", "B": 'x\ny "q" $A', "C": "a # b", "D": "a#b", "E": ""}


@pytest.mark.parametrize("text", ["A", "1A=2", "=x", "A B=1", "A=\0"])
def test_what_is_no_setting_is_refused_by_its_line(text):
    with pytest.raises(ConfigError, match=r"Line 2 of \.env"):
        read_dotenv(f"OK=1\n{text}\n")


def test_lines_are_the_procfiles_or_those_that_deploy_would_write(tmp_path):
    with pytest.raises(UsageError, match="nothing to start"):
        lines_of(tmp_path)
    (tmp_path / "app.py").write_text("import streamlit as st\n")
    assert lines_of(tmp_path).processes == {"web": "aweigh serve app.py --host 0.0.0.0 --auth password"}
    (tmp_path / "my model.aweigh").write_bytes(b"x")
    assert lines_of(tmp_path, auth="none").processes["web"].startswith("aweigh serve 'my model.aweigh' --host")
    (tmp_path / "Procfile").write_text("web: a\nweb: b\n???\n")
    own = lines_of(tmp_path)
    assert (own.processes, own.own, len(own.notes)) == ({"web": "b"}, True, 2)
    (tmp_path / "Procfile").write_text("")
    with pytest.raises(ConfigError, match="no line"):
        lines_of(tmp_path)
    with pytest.raises(UsageError, match="nothing at"):
        lines_of(tmp_path / "gone")


def test_a_process_gets_what_a_dyno_has_and_nothing_of_this_shells(tmp_path):
    base = {"PATH": "/bin", "PORT": "1", "VIRTUAL_ENV": "/v", "KEPT": "1"}
    found = environ_of(tmp_path, base=base, own={"KEPT": "2"}, web_concurrency=2, programs=Path("/p"))
    assert found["PATH"] == f"/p{os.pathsep}/bin"
    assert (found["WEB_CONCURRENCY"], found["KEPT"]) == ("2", "2")
    assert not {"PORT", "VIRTUAL_ENV"} & set(found)


def test_a_tree_is_all_that_came_of_a_process_and_ends_with_it():
    process = subprocess.Popen(
        ["/bin/sh", "-c", "sleep 60 & sh -c 'sleep 60 & echo ok; wait'"], start_new_session=True, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ok\n"
    found = tree_of(process.pid)
    assert len(found) == 4
    assert tree_bytes(process.pid) > 0
    kill_tree(process.pid)
    process.wait(10)
    process.stdout.close()
    assert tree_of(process.pid) == []


def test_a_control_group_is_made_where_that_may_be(tmp_path):
    base = tmp_path / "user"
    base.mkdir()
    (base / "cgroup.controllers").write_text("cpu memory\n")
    (base / "cgroup.subtree_control").write_text("cpu\n")
    group = make_group("g", most_bytes=100, root=tmp_path, own="/user")
    assert group == base / "g"
    assert (base / "cgroup.subtree_control").read_text() == "+memory"
    assert (group / "memory.max").read_text() == "100"
    assert not was_killed(group)
    (group / "memory.events").write_text("oom 1\noom_kill 1\n")
    assert was_killed(group)
    assert make_group("g", most_bytes=100, root=tmp_path, own="/user") is None, "it is there"
    (base / "cgroup.controllers").write_text("cpu\n")
    assert make_group("h", most_bytes=100, root=tmp_path, own="/user") is None
    assert make_group("h", most_bytes=100, root=tmp_path, own="/nowhere") is None
