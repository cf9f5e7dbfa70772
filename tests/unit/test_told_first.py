"""What costs nothing to know is told before a model is read: where the output goes, and the first look at a sample.

The models and bundles of these tests are not there: whoever looked for one first would say so instead.
"""

import os
from pathlib import Path

import pandas as pd
import pytest

import aweigh
from aweigh.__main__ import main
from aweigh.bundle.atomic import require_writable, require_writable_below
from aweigh.errors import DataError, MalformedBody, UsageError

ELSEWHERE = "make it first, or name another place with -o"
UNWRITABLE = [
    ("nope/x.out", "There is no folder {}/nope.", ELSEWHERE),
    ("nope/deep/x.out", "There is no folder {}/nope/deep.", ELSEWHERE),
    ("file/x.out", "{}/file is no folder.", "name another place with -o"),
    ("file/deep/x.out", "{}/file is no folder.", ELSEWHERE),
]


@pytest.fixture
def there(tmp_path):
    (tmp_path / "file").write_text("a\n1\n")
    return tmp_path


@pytest.mark.parametrize(("name", "told", "hint"), UNWRITABLE)
def test_a_place_that_takes_no_file_is_named_with_a_way_out(there, name, told, hint):
    with pytest.raises(UsageError) as caught:
        require_writable(there / name)
    assert caught.value.message == told.format(there)
    assert caught.value.hint == hint


def test_it_is_tried_and_not_looked_up():
    """/proc lets root write by its mode, and takes no file all the same."""
    with pytest.raises(UsageError, match="The folder /proc takes no new file") as caught:
        require_writable(Path("/proc/x.csv"))
    assert caught.value.hint == "name another place with -o"


def test_nothing_is_left_behind_where_a_file_could_be_made(tmp_path, monkeypatch):
    require_writable(tmp_path / "x.csv")
    require_writable_below(tmp_path / "a" / "b")
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)  # a system that has no unnamed files
    require_writable(tmp_path / "x.csv")
    monkeypatch.chdir(tmp_path)
    require_writable(Path("x.csv"))
    require_writable(Path("/dev/stdout"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/deep"])
def test_no_folder_is_made_below_a_file(there, name):
    with pytest.raises(UsageError, match="/file is no folder"):
        require_writable_below(there / name)


COMMANDS = {
    "pack": "pack nowhere.joblib --data file -o {}/nope/x.out",
    "predict": "predict nowhere.aweigh file -o {}/nope/x.csv",
    "predict a set": "predict nowhere.aweigh . -o {}/file/deep",
    "eject": "eject nowhere.aweigh -o {}/file/deep",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_look_at_their_output_first(there, command, monkeypatch, capsys):
    monkeypatch.chdir(there)
    assert main(COMMANDS[command].format(there).split()) == 2
    err = capsys.readouterr().err
    assert f"error: There is no folder {there}/nope." in err or f"error: {there}/file is no folder." in err
    assert "hint: " in err
    assert "nowhere" not in err


def test_where_bad_rows_go_is_looked_at_as_well(there, monkeypatch, capsys):
    monkeypatch.chdir(there)
    assert main(["predict", "nowhere.aweigh", "file", "-o", "x.csv", "--bad", "nope/bad.jsonl"]) == 2
    assert "error: There is no folder nope." in capsys.readouterr().err


SAMPLES = {
    "empty.csv": ("", MalformedBody, "'empty.csv' is empty.", "names the columns"),
    "header.csv": ("size,price\n", DataError, "The sample has no rows.", "like those the model was trained on"),
    "other.csv": ("size,prize\n1,2\n", UsageError, "The sample has no column 'price'.", "did you mean 'prize'?"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_looked_at_before_the_model_is_read(name, tmp_path):
    content, kind, told, hint = SAMPLES[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(kind) as caught:
        aweigh.pack(tmp_path / "nowhere.joblib", tmp_path / name, target="price", output=tmp_path)
    assert caught.value.message == told
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (pd.DataFrame({"size": [], "price": []}), "The sample has no rows"),
        (pd.DataFrame({"a": [1]}), "no column 'price'"),
    ],
)
def test_so_is_a_frame(frame, told, tmp_path):
    with pytest.raises((DataError, UsageError), match=told):
        aweigh.pack(tmp_path / "nowhere.joblib", frame, target="price", output=tmp_path)


def test_a_good_sample_lets_the_model_be_looked_for(tmp_path):
    (tmp_path / "good.csv").write_text("size,price\n1,2\n")
    with pytest.raises(UsageError, match=r"nowhere\.joblib is no file"):
        aweigh.pack(tmp_path / "nowhere.joblib", tmp_path / "good.csv", target="price", output=tmp_path)


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        (
            "predict in.csv b.aweigh -o out.csv",
            "'in.csv' is a table, and the bundle comes first.",
            "aweigh predict b.aweigh in.csv -o out.csv",
        ),
        ("serve nope.aweigh", "'nope.aweigh' cannot be read: No such file or directory.", "check its name"),
        ("plan nope", "'nope' cannot be read: No such file or directory.", "check its name"),
        ("pack m.joblib --target", "Option '--target' requires an argument.", "aweigh pack --help"),
    ],
)
def test_each_has_a_hint_that_can_be_typed(line, error, hint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("in.csv", "b.aweigh"):
        (tmp_path / name).write_text("a,b\n1,2\n")
    assert main(line.split()) in {2, 3}
    err = capsys.readouterr().err
    assert f"error: {error}\n" in err
    assert f"hint: {hint}" in err
