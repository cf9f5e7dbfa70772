"""Layers: the same files are the same bytes, and what other programs unpack is what was put in."""

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from aweigh.errors import DataError
from aweigh.oci.layers import Entry, entries_of, write_layer

FILES = {
    "opt/venv/bin/python": Entry(target="/usr/bin/python3.11"),
    "app/model.aweigh": Entry(b"bundle" * 1000),
    "state": Entry(mode=0o700, owner=10001),
    "opt/venv/bin/aweigh": Entry(b"#!/bin/sh\n", 0o755),
    "opt/" + "long" * 40 + "/name": Entry("ünïcode".encode()),
}


def written(entries: dict[str, Entry], **more: int) -> tuple[bytes, object]:
    """The bytes of a layer, and what is told of it."""
    file = io.BytesIO()
    layer = write_layer(entries, file, created_s=more.get("created_s", 315532800), history="files")
    return file.getvalue(), layer


def test_the_same_files_are_the_same_bytes_in_any_order():
    content, layer = written(FILES)
    again, same = written(dict(reversed(FILES.items())))
    assert again == content
    assert same == layer
    assert layer.descriptor.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert layer.descriptor.size == len(content)
    assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(content)).hexdigest()}"


def test_bytes_do_not_depend_on_where_files_lie_nor_when_they_were_written(tmp_path: Path):
    found = []
    for name, mtime in (("here", 1_000_000_000), ("there/deeper", 1_700_000_000)):
        folder = tmp_path / name
        (folder / "pkg").mkdir(parents=True)
        (folder / "pkg" / "a.py").write_text("a = 1\n")
        (folder / "run").write_text("#!/bin/sh\n")
        (folder / "run").chmod(0o700)
        (folder / "link").symlink_to("pkg/a.py")
        for path in folder.rglob("*"):
            if not path.is_symlink():
                os.utime(path, (mtime, mtime))
        found.append(written(entries_of(folder, below="opt"))[0])
    assert found[0] == found[1]


def test_what_is_unpacked_is_what_was_put_in():
    content, _ = written(FILES)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        members = archive.getmembers()
        by_name = {one.name: one for one in members}
        assert archive.extractfile("app/model.aweigh").read() == b"bundle" * 1000
    names = [one.name for one in members]
    assert all(str(Path(name).parent) in {".", *names[:i]} for i, name in enumerate(names)), "a folder stands first"
    assert {one.mtime for one in members} == {315532800}
    assert {(one.uid, one.gid) for one in members if one.name != "state"} == {(0, 0)}
    assert {one.uname + one.gname for one in members} == {""}
    state = by_name["state"]
    assert (state.isdir(), state.mode, state.uid, state.gid) == (True, 0o700, 10001, 10001)
    assert by_name["opt/venv/bin/python"].linkname == "/usr/bin/python3.11"
    assert by_name["opt/venv/bin/aweigh"].mode == 0o755
    assert by_name["app"].mode == 0o755


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../b", "a//b", "./a", "a\0b", "a/"])
def test_paths_that_lead_out_are_refused(name):
    with pytest.raises(DataError, match="called"):
        written({name: Entry(b"")})


def test_a_file_that_is_gone_is_said(tmp_path: Path):
    with pytest.raises(DataError, match="app/model"):
        written({"app/model": Entry(tmp_path / "gone")})


def test_a_pipe_is_no_file(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="neither"):
        entries_of(tmp_path, below="app")
