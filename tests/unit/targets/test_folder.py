"""Which files of a folder travel: held against git itself, and what never goes whatever anybody says."""

import os
import random
import subprocess

import pytest

from aweigh.errors import DataError, TooLarge, UsageError
from aweigh.targets import folder as folder_module
from aweigh.targets.folder import list_folder

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def lay(root, *names, text=""):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_what_nobody_deploys_stays_behind(tmp_path):
    lay(tmp_path, "app.py", "pages/one.py", ".streamlit/config.toml", "setup.sh", "wheels/x.whl")
    lay(
        tmp_path,
        ".git/config",
        ".venv/bin/python",
        "pages/__pycache__/one.pyc",
        "node_modules/a.js",
        ".env",
        "a/.DS_Store",
    )
    found = list_folder(tmp_path)
    assert list(found.files) == [".streamlit/config.toml", "app.py", "pages/one.py", "setup.sh", "wheels/x.whl"]
    assert found.left_out == ((".env", "it holds secrets of this machine"),)


RULES = {
    ".gitignore": "*.log\n/build/\n!keep.log\ndata/*\n!data/small.csv\n# note\n\\#odd\n**/tmp\nfoo/**/bar\nsp ace.txt\n"
    "[ab].txt\n",
    "sub/.gitignore": "*.csv\n!wanted.csv\n/only-here\n!*.log\n",
    "deep/er/.gitignore": "*\n!.gitignore\n!one.txt\n",
}
NAMES = [
    *(
        "app.log",
        "keep.log",
        "build/x",
        "sub/build/x",
        "data/small.csv",
        "data/large.csv",
        "data/more/small.csv",
        "#odd",
    ),
    *(
        "tmp",
        "a/tmp/x",
        "foo/bar",
        "foo/1/2/bar",
        "foo/1/bar/x",
        "sp ace.txt",
        "a.txt",
        "c.txt",
        "sub/a.csv",
        "sub/x.log",
    ),
    *(
        "sub/wanted.csv",
        "sub/only-here",
        "sub/deep/only-here",
        "deep/er/one.txt",
        "deep/er/two.txt",
        "deep/er/x/one.txt",
    ),
]


@pytest.mark.needs("git")
def test_what_git_ignores_stays_behind(tmp_path):
    for name, text in RULES.items():
        lay(tmp_path, name, text=text)
    chosen = random.Random(0)
    lay(tmp_path, *[name for name in NAMES if name != "tmp"], "tmp")
    lay(tmp_path, *[f"{chosen.choice(['a', 'sub', 'deep/er', 'foo'])}/{chosen.choice('abcx')}.{end}" for end in
                    ("log", "csv", "txt", "py") for _ in range(5)])  # fmt: skip
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    listed = subprocess.run(
        ["git", "-C", tmp_path, "-c", "core.excludesFile=/dev/null", "ls-files", "-z", "-o", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert list(list_folder(tmp_path).files) == sorted(listed.rstrip("\0").split("\0"))


def test_the_platforms_own_list_counts_too(tmp_path):
    lay(tmp_path, "app.py", "notebook.ipynb", "docs/a.md", "tests/docs/b.md")
    lay(tmp_path, ".slugignore", text="*.ipynb\n/docs\n")
    found = list_folder(tmp_path)
    assert list(found.files) == [".slugignore", "app.py", "tests/docs/b.md"]
    assert found.left_out == (("docs/", "ignored"), ("notebook.ipynb", "ignored"))


def test_a_pointer_of_git_lfs_is_no_model(tmp_path):
    lay(tmp_path, "model.joblib", text=POINTER)
    lay(tmp_path, "about-lfs.md", text=POINTER + "x" * 2000)
    found = list_folder(tmp_path)
    assert list(found.files) == ["about-lfs.md"]
    assert found.left_out == (("model.joblib", "a pointer of Git LFS, whose content is not here"),)


def test_links_and_pipes(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    lay(root, "app.py", "folder/x.py")
    lay(outside, "secret.txt")
    (root / "out.txt").symlink_to(outside / "secret.txt")
    (root / "all").symlink_to(outside)
    (root / "again").symlink_to(root / "folder")
    (root / "loop").symlink_to(root)
    (root / "nothing").symlink_to(root / "no")
    (root / "alias.py").symlink_to(root / "app.py")
    os.mkfifo(root / "pipe")
    found = list_folder(root)
    assert list(found.files) == ["alias.py", "app.py", "folder/x.py"]
    assert dict(found.left_out) == {
        "out.txt": "a link that leads out of the folder",
        "all": "a link that leads out of the folder",
        "again": "a link to a folder",
        "loop": "a link to a folder",
        "nothing": "a link to nothing",
        "pipe": "no file",
    }


def test_what_cannot_be_listed_is_said(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="'no' is no folder"):
        list_folder(tmp_path / "no")
    (tmp_path / os.fsdecode(b"\xff.py")).write_text("")
    with pytest.raises(DataError, match="no text"):
        list_folder(tmp_path)
    (tmp_path / os.fsdecode(b"\xff.py")).unlink()
    lay(tmp_path, "a", "b", "c")
    monkeypatch.setattr(folder_module, "MOST_FILES", 2)
    with pytest.raises(TooLarge, match="more than 2 files"):
        list_folder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe*\x00", b"\\\n", b"[\n[a-\n!\n!!\n**\n***/\n", b"*.py " * 1000])
def test_odd_rules_are_no_crash(tmp_path, content):
    lay(tmp_path, "app.txt")
    (tmp_path / ".gitignore").write_bytes(content)
    try:
        list_folder(tmp_path)
    except DataError as error:
        assert ".gitignore holds a pattern" in error.message  # noqa: PT017  either is fine, a crash is not
