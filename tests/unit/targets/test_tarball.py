"""The tarball: the same bytes for the same files, nothing but what is meant, and large files in pieces."""

import errno
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tracemalloc

import pytest

from aweigh.errors import DataError
from aweigh.targets import tarball as tarball_module
from aweigh.targets.tarball import tarball, write_tarball


def lay(root):
    (root / "pages").mkdir(parents=True)
    (root / "app.py").write_text("import streamlit\n")
    (root / "pages" / "ä.py").write_text("")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o711)
    (root / "large.bin").write_bytes(b"0123456789" * 10_000)
    return {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}


def members(content):
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {one.name: (one, archive.extractfile(one).read()) for one in archive}


def test_two_folders_at_two_times_give_the_same_bytes(tmp_path):
    first, second = lay(tmp_path / "first"), lay(tmp_path / "second")
    for path in second.values():
        os.utime(path, (1, 1))
    second["app.py"].chmod(0o600)
    second["run.sh"].chmod(0o755)
    documents = {"Procfile": b"web: x\n"}
    made = tarball({**first, **documents})
    assert tarball({**documents, **dict(reversed(second.items()))}) == made
    code = (
        "import sys; from pathlib import Path; from aweigh.targets.tarball import tarball; "
        "root = Path(sys.argv[1]); "
        "files = {p.relative_to(root).as_posix(): p for p in root.rglob('*') if p.is_file()}; "
        "sys.stdout.buffer.write(tarball({**files, 'Procfile': b'web: x\\n'}))"
    )
    again = subprocess.run([sys.executable, "-c", code, tmp_path / "first"], check=True, capture_output=True)
    assert again.stdout == made


def test_what_is_in_it(tmp_path):
    found = members(tarball({**lay(tmp_path / "a"), "Procfile": b"web: x\n"}))
    assert list(found) == ["Procfile", "app.py", "large.bin", "pages/ä.py", "run.sh"]
    assert found["large.bin"][1] == b"0123456789" * 10_000
    assert {name: oct(one.mode) for name, (one, _) in found.items()} == dict.fromkeys(found, "0o644") | {
        "run.sh": "0o755"
    }
    assert {(one.mtime, one.uid, one.gid, one.uname, one.gname) for one, _ in found.values()} == {
        (315532800, 0, 0, "", "")
    }


def test_what_never_travels_is_left_out_of_any_mapping(tmp_path):
    pointer = tmp_path / "model.joblib"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    files = {".git/config": b"", ".venv/bin/x": b"", "a/__pycache__/x.pyc": b"", "model.joblib": pointer, "app.py": b""}
    assert list(members(tarball(files))) == ["app.py"]


def test_to_a_file_it_is_the_same_and_is_counted(tmp_path):
    files = lay(tmp_path / "a")
    told = write_tarball(files, tmp_path / "out.tgz")
    content = (tmp_path / "out.tgz").read_bytes()
    assert content == tarball(files)
    assert (told.size_bytes, told.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_large_file_is_never_in_memory(tmp_path):
    large = tmp_path / "large.bin"
    with large.open("wb") as stream:
        stream.truncate(64 * 2**20)
    tracemalloc.start()
    write_tarball({"large.bin": large}, tmp_path / "out.tgz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20
    with gzip.open(tmp_path / "out.tgz") as stream:
        assert sum(map(len, iter(lambda: stream.read(2**20), b""))) > 64 * 2**20


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\\b", "a\0b"])
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(DataError, match="No file of a release can be named"):
        tarball({name: b""})


def test_a_file_that_is_gone_or_none_is_named_and_nothing_is_left(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("gone", "'gone' cannot be read: No such file"), ("pipe", "'pipe' is no file")):
        with pytest.raises(DataError, match=why):
            write_tarball({name: tmp_path / name}, tmp_path / "out.tgz")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_file_that_becomes_shorter_is_named():
    with pytest.raises(DataError, match="'x' became shorter while it was read"):
        tarball_module._Reading(io.BytesIO(b"12"), "x").read(3)


def test_a_full_disk_is_told_as_such_and_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught:
        write_tarball({"x": os.urandom(2**20)}, tmp_path.joinpath("/dev/full"))
    assert caught.value.errno == errno.ENOSPC
