"""The project's own tools: what make runs before and around the tests."""

import re
import runpy
import subprocess
import sys
import tomllib

import click
import pytest
from packaging.requirements import Requirement


@pytest.fixture(scope="module")
def check_tree(root):
    return runpy.run_path(str(root / "tools" / "check_tree.py"))


@pytest.fixture(scope="module")
def cli_reference(root):
    return runpy.run_path(str(root / "tools" / "cli_reference.py"))


# Put together here, so that this file does not hold what is looked for.
@pytest.mark.parametrize(
    "line",
    [
        "see /" + "home/anna/model.joblib",
        "'/" + "Users/anna/x'",
        "cd /" + "root/aweigh",
        'path = "/' + 'tmp/x.aweigh"',
        "https://" + "py" + "pi.org/project/x",
        "https://files.python" + "hosted.org/x",
        "https://mirror.example.com/" + "simple/",
        "--" + "index-url x",
        "--" + "find-links x",
    ],
)
def test_a_machine_or_a_registry_is_seen(check_tree, line):
    assert len(check_tree["offences"]("page.md", f"fine\n{line}\n".encode())) == 1
    assert check_tree["offences"]("page.md", f"fine\n{line}\n".encode())[0].startswith("page.md:2: ")


@pytest.mark.parametrize(
    "line",
    [
        "the root/home folder, a/home/b, https://example.org/home/page and https://example.org/work/x",
        "`/v1/predict`, `/health/live`, `/etc/passwd`, src/aweigh/tmp/x, ${HOME}/root/x",
        "pip reaches a registry; conda-forge too; see https://docs.python.org/3/",
        "a page about simple/ things",
    ],
)
def test_what_is_harmless_is_let_be(check_tree, line):
    assert check_tree["offences"]("page.md", line.encode()) == []


def test_a_lock_with_addresses_is_seen(check_tree):
    assert len(check_tree["offences"]("sub/uv" + ".lock", b"")) == 1


def test_a_command_is_written_with_all_that_it_takes(cli_reference):
    @click.command(help="Score a file.\n\n\b\n  aweigh score x.csv\n\nMore of it.", epilog="The end.")
    @click.argument("data")
    @click.option("--output", "-o", required=True, help="Where to | put it.")
    @click.option("--workers", default=2, envvar="AWEIGH_WORKERS", help="How many.")
    @click.option("--ui/--no-ui", default=True, help="With the app.")
    @click.option("--inner", hidden=True)
    def score():
        """Score."""

    context = click.Context(score, info_name="score", parent=click.Context(click.Group("aweigh"), info_name="aweigh"))
    assert cli_reference["section"](score, context).split("\n\n") == [
        "## aweigh score",
        "Score a file.",
        "```text\naweigh score x.csv\n```",
        "More of it.",
        "```text\naweigh score [OPTIONS] DATA\n```",
        """\
| | | without it |
|---|---|---|
| `DATA` |  |  |
| `-o`, `--output TEXT` | Where to \\| put it. Required. |  |
| `--workers INTEGER` | How many. Also from `AWEIGH_WORKERS`. | `2` |
| `--ui`, `--no-ui` | With the app. |  |""",
        "The end.",
    ]


def test_the_first_python_that_is_new_enough_is_found(root, tmp_path):
    """Names that are missing, shims that lead nowhere and old Pythons are passed over."""
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1 && exit 0\nexit 1\n')
    old.chmod(0o755)
    tool = str(root / "tools" / "find_python")
    done = subprocess.run(
        [tool, "no-such-python", str(old), sys.executable], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == sys.executable
    done = subprocess.run([tool, "no-such-python", str(old)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "error: no usable Python found" in done.stderr
    assert f"{old} is Python 3.9.1" in done.stderr
    assert "hint:" in done.stderr


def test_make_alone_lists_every_target(root):
    done = subprocess.run(["make", "--no-print-directory"], cwd=root, capture_output=True, text=True, check=True)
    listed = {line.split()[1] for line in done.stdout.splitlines()}
    assert {"demo", "test", "lint", "unit", "integration", "e2e", "docs", "requirements", "clean"} <= listed


def test_the_locks_name_no_address_and_hash_everything(root):
    for path in sorted((root / "requirements").glob("*.txt")):
        lines = path.read_text(encoding="utf-8").splitlines()
        entries = [line for line in lines if line and not line.startswith((" ", "#"))]
        assert len(entries) > (0 if path.name == "fuzz.txt" else 10)
        assert [line for line in entries if not (line.endswith("\\") and "==" in line)] == []
        assert not any("://" in line for line in lines)
        assert sum("--hash=sha256:" in line for line in lines) >= len(entries)


def test_the_locks_are_what_the_project_asks_for(root):
    """Every dependency is at a version that is asked for, in the lock of development or in one of those beside it.

    Beside it are Ray, others' clients and what fuzzing needs; the demo's holds nothing else than development's.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    beside = {"ray": (extras.pop("ray"), extras.pop("stores"), groups.pop("ray")), "clients": (groups.pop("clients"),),
              "fuzz": (groups.pop("fuzz"),)}  # fmt: skip
    asked = {"dev": (project["project"]["dependencies"], *extras.values(), *groups.values()), **beside}
    locked = {
        path.stem: dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", path.read_text(), re.MULTILINE))
        for path in (root / "requirements").glob("*.txt")
    }
    assert locked.keys() == {*asked, "demo"}
    for name, lists in asked.items():
        for requirement in (Requirement(one) for few in lists for one in few if isinstance(one, str)):
            if requirement.name != "aweigh":
                found = locked[name][re.sub(r"[-_.]+", "-", requirement.name).lower()]
                assert requirement.specifier.contains(found, prereleases=True), requirement
    assert locked["demo"].items() <= locked["dev"].items()
    assert list(locked["fuzz"]) == ["atheris"]
