"""Marks of what tests show: checked when they are collected, recorded when they pass, and never claimed beyond that."""

import json
import runpy
import subprocess
import sys

import pytest
from tests.shown import Record, marks_of, merged, read, write

CONFTEST = """\
import pytest
from pathlib import Path
from tests.shown import Recorder

def pytest_addoption(parser):
    parser.addoption("--record-shown", type=Path)

def pytest_configure(config):
    config.addinivalue_line("markers", "shows(place, *verbs, how)")
    config.pluginmanager.register(Recorder(config.getoption("--record-shown")), "shown")

class Thing:
    versions = "Thing 1.2"

@pytest.fixture
def thing():
    return Thing()

@pytest.fixture
def fails_late():
    yield
    raise ValueError
"""
TESTS = """\
import pytest

@pytest.mark.shows("ssh", "deploy", "status", how="real run")
def test_passes(thing): pass

@pytest.mark.shows("heroku", "logs", how="local server")
@pytest.mark.parametrize("one", [1, 2])
def test_some(one): assert one == 1

@pytest.mark.shows("heroku", "scale", how="local server")
def test_is_skipped(): pytest.skip("not here")

@pytest.mark.shows("heroku", "config", how="local server")
def test_fails_behind(fails_late): pass

def test_shows_nothing(): pass
"""
SSH = Record("ssh", "deploy", "real run", "test_it.py::test_passes", "2026-01-02", "systemd 252")


@pytest.fixture
def run(tmp_path, root):
    """Return a function that runs pytest on a file of tests, with words: its exit code, and what it printed."""
    (tmp_path / "conftest.py").write_text(CONFTEST)

    def ran(tests, *words):
        (tmp_path / "test_it.py").write_text(tests)
        (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {root} {root / 'src'}\n")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return ran


@pytest.mark.parametrize(
    "words", [(), pytest.param(("-n", "1"), marks=pytest.mark.slow)], ids=["one process", "a worker"]
)
def test_what_passed_is_recorded_and_nothing_else(run, tmp_path, words):
    path = tmp_path / "shown.json"
    old = [
        Record("ssh", "status", "real run", "test_it.py::test_passes", "2020-01-01", "systemd 1"),
        Record("heroku", "logs", "local server", "test_it.py::test_some[2]", "2020-01-01", ""),
        Record("heroku", "scale", "local server", "test_it.py::test_is_skipped", "2020-01-01", ""),
        Record("compose", "logs", "real run", "test_other.py::test_it", "2020-01-01", "Docker 1"),
    ]
    write(path, old)
    code, out = run(TESTS, f"--record-shown={path}", *words)
    assert code == 1, out
    found = {(one.place, one.verb, one.test, one.on): one.date for one in read(path)}
    assert found.pop(("heroku", "scale", "test_it.py::test_is_skipped", "")) == "2020-01-01"
    assert found.pop(("compose", "logs", "test_other.py::test_it", "Docker 1")) == "2020-01-01"
    assert found.keys() == {
        ("ssh", "deploy", "test_it.py::test_passes", "Thing 1.2"),
        ("ssh", "status", "test_it.py::test_passes", "Thing 1.2"),
        ("heroku", "logs", "test_it.py::test_some[1]", ""),
    }
    assert all(date > "2026-01-01" for date in found.values())


@pytest.mark.slow
def test_a_mark_without_a_cell_ends_the_collection(run):
    mark = '@pytest.mark.shows("ssh", "deploy", "pipeline", how="real run")'
    code, out = run(f"import pytest\n\n{mark}\ndef test_it(): pass\n")
    assert code != 0
    assert "test_it.py::test_it: the table has no cell for 'pipeline' at 'ssh'" in out
    assert "passed" not in out


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        (pytest.mark.shows("nowhere", "deploy", how="real run"), "no cell for 'deploy' at 'nowhere'"),
        (pytest.mark.shows("heroku", "deploy", "fly", how="real run"), "no cell for 'fly' at 'heroku'"),
        (pytest.mark.shows("heroku", "deploy by images", "golden rows", how="surely"), "'surely' is none of real run"),
        (pytest.mark.shows("ssh", "deploy"), "None is none of real run"),
    ],
)
def test_a_mark_names_a_place_a_verb_and_a_way_that_there_are(request, mark, told):
    request.node.add_marker(mark)
    try:
        with pytest.raises(pytest.UsageError, match=told):
            marks_of(request.node)
    finally:
        request.node.own_markers.remove(mark.mark)


def test_records_are_written_in_one_order_each_once(tmp_path):
    path = tmp_path / "shown.json"
    other = Record("heroku", "deploy", "local server", "test_a.py::test_it", "2026-01-02", "é")
    write(path, [SSH, other, SSH])
    first = path.read_bytes()
    write(path, reversed(read(path)))
    assert path.read_bytes() == first
    assert [one["place"] for one in json.loads(path.read_text())] == ["heroku", "ssh"]
    write(path, [])
    assert read(path) == []


def test_a_test_that_ran_again_counts_as_it_ended():
    assert merged([SSH], [], {SSH.test}) == []
    assert merged([SSH], [], {"test_it.py::another"}) == [SSH]


@pytest.fixture(scope="module")
def table(root):
    return runpy.run_path(str(root / "tools" / "targets_table.py"))


def test_a_cell_says_what_was_recorded_and_no_more(table):
    claims = {
        ("ssh", "deploy", "real run", SSH.test),
        ("ssh", "deploy", "schema", "test_it.py::test_schema"),
        ("ssh", "logs", "real run", SSH.test),
    }
    gone = Record("ssh", "status", "real run", "test_it.py::test_gone", "2026-01-02", "")
    changed = Record("ssh", "logs", "schema", SSH.test, "2026-01-02", "")
    records = table["standing"]([SSH, gone, changed], claims)
    assert records == [SSH]
    cell = table["cell"]
    assert cell("ssh", "deploy", records, claims) == "real run, 2026-01-02"
    assert cell("ssh", "deploy", [], claims) == "**not run**"
    assert cell("ssh", "logs", records, claims) == "**not run**"
    assert cell("ssh", "status", records, claims) == "**no test**"
    assert cell("ssh", "promote", records, claims) == "-"
    schema = Record("ssh", "deploy", "schema", "test_it.py::test_schema", "2026-03-04", "")
    assert cell("ssh", "deploy", [schema], claims) == "schema, 2026-03-04"
    assert cell("ssh", "deploy", [schema, SSH], claims) == "real run, 2026-01-02"
    page = table["page"](records, claims)
    assert "- deploy, real run (2026-01-02, systemd 252): `test_it.py::test_passes`" in page
    assert "- deploy, schema (not run): `test_it.py::test_schema`" in page
