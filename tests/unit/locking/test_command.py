"""`aweigh lock` from end to end: an index on this machine, a fresh environment, real imports, files as they are."""

import json
import os
import sys
from pathlib import Path

import pytest

from aweigh.__main__ import main
from aweigh.bundle.requirements import Pinned, read_lock
from aweigh.errors import MissingExtra, RemoteError, StorageFull
from aweigh.locking.accelerators import card_notes
from aweigh.locking.interpreter import find_interpreter, newest_interpreter
from aweigh.locking.lock import make_lock
from aweigh.locking.loose import OWN_HEAD
from aweigh.locking.proof import Tried, install_arguments, not_installed, prove

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def app(tmp_path):
    (tmp_path / "app.py").write_text("import os\nimport oldapp\nimport yaml\n")
    (tmp_path / "requirements.txt").write_text("oldapp==1.0\npyyaml\n")
    return tmp_path


def packages(path):
    return {one.name: one.version for one in read_lock(path.read_text())}


def files(folder):
    return sorted(one.name for one in folder.iterdir())


@pytest.mark.slow
def test_without_a_path_it_is_this_folder(app, capsys, monkeypatch):
    monkeypatch.chdir(app)
    assert main(["lock", "--dry-run", "--no-prove"]) == 0
    assert "oldapp==1.0" in capsys.readouterr().out


def test_a_folder_is_locked_proven_and_written(app, capsys):
    assert main(["lock", str(app)]) == 0
    told = capsys.readouterr().out
    assert "as of 2022-08-12, the day after the newest pin, oldapp 1.0, was released" not in told
    assert "as of 2022-08-12, the day after the pin, oldapp 1.0, was released" in told
    assert "installed by its hashes, imports oldapp, os, yaml" in told
    assert told.splitlines()[-1].startswith("  next")
    assert packages(app / "requirements.txt") == {"oldapp": "1.0", "chart": "4.2", "pyyaml": "6.0"}
    assert (app / "requirements.in").read_text() == "oldapp==1.0\npyyaml\n"
    assert (app / ".python-version").read_text() == f"{RUNNING}\n"
    first = (app / "requirements.txt").read_bytes()
    assert main(["lock", str(app), "--no-prove"]) == 0
    assert (app / "requirements.txt").read_bytes() == first
    assert files(app) == [".python-version", "app.py", "requirements.in", "requirements.txt"]


def test_a_proof_that_fails_writes_nothing_and_names_the_import(app, capsys):
    before = {one.name: one.read_bytes() for one in app.iterdir()}
    assert main(["lock", str(app), "--as-of", "today"]) == 1
    told = capsys.readouterr().out
    assert "1 of 3 imports fail" in told
    assert "import oldapp: ModuleNotFoundError: No module named 'chart.four'" in told
    assert "--as-of 2022-08-12 takes for all the rest what there was then" in told
    assert told.splitlines()[-1].split() == [
        "next",
        *f"aweigh lock {app} --python {RUNNING} --as-of 2022-08-12".split(),
    ]
    assert {one.name: one.read_bytes() for one in app.iterdir()} == before


def test_an_import_that_requirements_lack_fails_and_is_told(app, capsys):
    (app / "requirements.txt").write_text("oldapp==1.0\n")
    assert main(["lock", str(app)]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "app.py:3 imports yaml, which requirements.txt lacks: add pyyaml to it" in told
    assert "import yaml: ModuleNotFoundError: No module named 'yaml'" in told


def test_every_pin_is_explained_on_the_terminal(app, capsys):
    (app / "requirements.txt").write_text("arrays==1.23.1\n")
    assert main(["lock", str(app), "--python", "3.13"]) == 2
    told = capsys.readouterr()
    said = "arrays 1.23.1 has no wheel for Python 3.11 or newer: take Python 3.10, or arrays 2.0"
    assert said in " ".join(told.out.split())
    assert said in told.err
    assert files(app) == ["app.py", "requirements.txt"]


def test_one_json_document(app, capsys):
    assert main(["lock", str(app), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["as_of"], document["python"]) == ("2022-08-12", RUNNING)
    assert document["proof"] == {
        "holds": True, "imported": ["oldapp", "os", "yaml"], "failures": [], "untried": None, "hint": None,
    }  # fmt: skip
    assert document["requirements"][0] == {"requirement": "oldapp==1.0", "origin": "requirements.txt:1"}
    assert document["lock"] == (app / "requirements.txt").read_text()


def test_a_dry_run_prints_the_lock_and_writes_nothing(app, capsys):
    assert main(["lock", str(app), "--dry-run", "--no-prove"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(OWN_HEAD)
    assert len(read_lock(told.out)) == 3
    assert "next" in told.err
    assert files(app) == ["app.py", "requirements.txt"]


def test_what_a_person_wrote_is_not_written_over(app, capsys):
    output = app / "mine.txt"
    output.write_text("mine\n")
    assert main(["lock", str(app), "--no-prove", "-o", str(output)]) == 2
    assert "was not written by aweigh lock" in capsys.readouterr().err
    assert output.read_text() == "mine\n"
    assert main(["lock", str(app), "--no-prove", "-o", str(output), "--force"]) == 0
    assert len(packages(output)) == 3
    assert (app / "requirements.txt").read_text() == "oldapp==1.0\npyyaml\n"
    (app / "requirements.in").write_text("another\n")
    assert main(["lock", str(app), "--no-prove"]) == 2
    assert "there is another one already" in capsys.readouterr().err
    assert (app / "requirements.in").read_text() == "another\n"
    for place in (app, app / "no" / "lock.txt"):
        assert main(["lock", str(app), "--no-prove", "-o", str(place)]) == 2


def test_a_folder_that_cannot_be_written_to_is_left_as_it_was(app, capsys):
    (app / "sub").mkdir()
    (app / "sub").chmod(0o500)
    if os.geteuid() == 0:
        (app / "sub").rmdir()
        (app / "sub").symlink_to("/proc/self/fdinfo")
    assert main(["lock", str(app), "--no-prove", "-o", str(app / "sub" / "lock.txt")]) == 1
    assert capsys.readouterr().err.startswith("error:")
    assert (app / "requirements.txt").read_text() == "oldapp==1.0\npyyaml\n"


@pytest.mark.parametrize("text", ["yesterday", "2022-13-01", "", "01.09.2022"])
def test_a_day_that_is_none_is_refused(app, capsys, text):
    assert main(["lock", str(app), "--as-of", text]) == 2
    assert "--as-of" in capsys.readouterr().err


@pytest.mark.slow
def test_where_no_interpreter_is_the_lock_is_written_unproven(app, capsys, monkeypatch, tmp_path_factory):
    nowhere = str(tmp_path_factory.mktemp("nowhere"))
    for name in ("PYENV_ROOT", "XDG_DATA_HOME", "PATH", "HOME"):
        monkeypatch.setenv(name, nowhere)
    other = "3.9" if RUNNING != "3.9" else "3.10"
    assert find_interpreter(other) is None
    assert main(["lock", str(app), "--python", other]) == 0
    told = capsys.readouterr().out
    assert f"not tried: there is no Python {other} on this machine" in told
    assert f"uv python install {other}" in told
    assert len(packages(app / "requirements.txt")) == 3


def test_a_program_that_does_not_tell_its_version_compiles_nothing(tmp_path, monkeypatch):
    shim = tmp_path / "python3.9"
    shim.write_text('#!/bin/sh\ncase "$*" in *implementation*) echo cpython 3.9;; *) exit 1;; esac\n')
    shim.chmod(0o755)
    for name in ("PYENV_ROOT", "PATH", "HOME"):
        monkeypatch.setenv(name, f"{tmp_path}:{os.environ['PATH']}" if name == "PATH" else str(tmp_path))
    assert find_interpreter("3.9") == shim
    assert newest_interpreter("3.9") is None


def test_a_user_without_a_home_has_no_pyenv_and_no_error(tmp_path, monkeypatch):
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("PYENV_ROOT", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(Path, "home", nowhere)
    assert newest_interpreter("3.99") is None


def test_a_shim_that_stands_for_no_python_is_passed_over(tmp_path, monkeypatch):
    shim = tmp_path / "python3.9"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    for name in ("PYENV_ROOT", "XDG_DATA_HOME", "PATH", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    assert find_interpreter("3.9") is None
    assert find_interpreter(RUNNING) is not None


def locked(*lines, folder):
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n")
    return make_lock(folder / "requirements.txt", python=RUNNING, proof=False)


@pytest.mark.slow
def test_an_import_that_ends_the_process_is_told_and_the_rest_is_tried(tmp_path):
    text = locked("crashing", "loud", "pyyaml", folder=tmp_path).text
    proof = prove(text, python=RUNNING, tried=Tried(("crashing", "loud", "yaml")))
    assert proof.imported == ("yaml",)
    assert [(one.module, one.error) for one in proof.failures] == [
        ("crashing", "it ended the process (SIGSEGV)"),
        ("loud", "SystemExit: the last line"),
    ]


@pytest.mark.slow
def test_requirements_alone_are_proven_by_what_they_bring(tmp_path):
    (tmp_path / "requirements.txt").write_text("pyyaml\noldapp==1.0\n")
    proof = make_lock(tmp_path / "requirements.txt").proof
    assert proof.holds
    assert proof.imported == ("oldapp", "yaml")


def test_what_is_installed_is_held_to_its_hashes(tmp_path):
    made = locked("pyyaml", folder=tmp_path)
    changed = made.text.replace("sha256:" + made.resolved.packages[0].hashes[0], "sha256:" + "0" * 64)
    with pytest.raises(RemoteError, match="could not be installed") as caught:
        prove(changed, python=RUNNING, tried=Tried(("yaml",)))
    assert "secret" not in caught.value.message
    words = install_arguments(find_interpreter(RUNNING), built=("x",))[1]
    assert {"--require-hashes", "--no-config", "--no-binary"} <= set(words)


def test_the_code_under_proof_gets_no_variables_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    text = locked("pyyaml", folder=tmp_path).text
    (tmp_path / "yaml").mkdir()  # nor is what lies in the folder imported
    (tmp_path / "yaml" / "__init__.py").write_text("1/0")
    monkeypatch.chdir(tmp_path)
    assert prove(text, python=RUNNING, tried=Tried(("yaml",))).holds


def test_a_full_disk_is_told_as_such():
    told = "error: Failed to extract archive\n  cause: No space left on device (os error 28)"
    assert isinstance(not_installed(told, "3.12"), StorageFull)
    assert isinstance(not_installed("error: hash mismatch", "3.12"), RemoteError)


def test_without_what_reads_requirements_the_extra_is_named(app, monkeypatch):
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    with pytest.raises(MissingExtra) as caught:
        make_lock(app)
    assert caught.value.extra == "pack"


@pytest.mark.slow
def test_another_python_beside_it_is_told(app, capsys):
    (app / ".python-version").write_text("3.10\n")
    assert main(["lock", str(app), "--python", "3.12", "--no-prove"]) == 0
    assert ".python-version says 3.10, and this lock is for 3.12" in capsys.readouterr().out
    assert (app / ".python-version").read_text() == "3.10\n"


def test_graphics_cards_are_told_with_the_way_without():
    def notes(*names):
        return " ".join(card_notes([Pinned(name, version, ()) for name, version in names]))

    assert "extra-index-url" in notes(("torch", "2.15.0"), ("nvidia-cublas", "13"))
    assert notes(("torch", "2.15.0+cpu"), ("numpy", "2")) == ""
    assert "tensorflow-cpu instead" in notes(("tensorflow", "2.21.0"))
    assert "xgboost-cpu instead" in notes(("xgboost", "3.0"), ("nvidia-nccl-cu12", "2"))
    assert notes(("xgboost-cpu", "3.0"), ("tensorflow-cpu", "2")) == ""
    assert "nvidia-x" in notes(("jax", "1"), ("nvidia-x", "1"))
