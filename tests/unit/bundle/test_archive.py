"""The one-file form: one way to write it, and every other way is refused by its name."""

import hashlib
import os
import signal
import stat
import struct
import subprocess
import sys
import zipfile
import zlib

import pytest

from aweigh.bundle import archive, atomic
from aweigh.bundle.archive import list_archive, write_bundle
from aweigh.bundle.names import MAX_FILES, check_names
from aweigh.errors import DamagedBundle, TooLarge

FILES = {"b/ü.txt": "später".encode(), "a.txt": b"first", "manifest.json": b"{}", "empty": b""}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.aweigh"


def zip_of(path, files=FILES, **changes):
    """A zip by Python's own module, near to ours, with changes to each of its entries."""
    with zipfile.ZipFile(path, "w") as made:
        for name, content in sorted(files.items()):
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            for key, value in changes.items():
                setattr(info, key, value)
            made.writestr(info, content)
    return path


def contents(path):
    return {name: member.read() for name, member in list_archive(path).items()}


def test_what_is_written_is_read(path):
    write_bundle(FILES, path)
    assert contents(path) == FILES
    assert list(list_archive(path)) == sorted(FILES)


def test_an_empty_archive_is_read(path):
    write_bundle({}, path)
    assert contents(path) == {}


def test_others_can_read_it(path):
    write_bundle(FILES, path)
    with zipfile.ZipFile(path) as made:
        assert {name: made.read(name) for name in made.namelist()} == FILES
        assert made.testzip() is None
        assert {info.date_time for info in made.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in made.infolist()} == {stat.S_IFREG | 0o644}
        assert {info.compress_type for info in made.infolist()} == {zipfile.ZIP_STORED}


def test_the_bytes_are_those_of_every_machine(path):
    """Written down once: other bytes for the same files mean another format, or a machine that matters."""
    write_bundle(FILES, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == "bfb3787fc5d8b1bbd887e85ccbbfea3583db528baa17625691f487986c221322"


def test_the_order_of_the_files_makes_no_difference(path, tmp_path):
    write_bundle(FILES, path)
    write_bundle(dict(reversed(FILES.items())), tmp_path / "y")
    assert path.read_bytes() == (tmp_path / "y").read_bytes()


def test_the_same_bytes_whatever_the_process_is_like(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from aweigh.bundle.archive import write_bundle;"
        "os.umask(int(sys.argv[2], 8)); os.chdir(sys.argv[3]);"
        "write_bundle({n: n.encode() * 99 for n in {'z', 'a/b', 'é', 'm.json', 'a/c'}}, Path(sys.argv[1]))"
    )
    made = []
    for seed, umask, zone, cwd in [("0", "022", "UTC", "/"), ("1234", "077", "Pacific/Apia", str(tmp_path))]:
        out = tmp_path / seed
        env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        subprocess.run([sys.executable, "-c", code, str(out), umask, cwd], env=env, check=True, timeout=60)
        made.append(out)
    assert made[0].read_bytes() == made[1].read_bytes()
    assert [stat.S_IMODE(one.stat().st_mode) for one in made] == [0o644, 0o600]


# -- refused, each by its own file -----------------------------------------------------------------------------------


def refused(path, why):
    with pytest.raises(DamagedBundle) as caught:
        list_archive(path)
    assert why in caught.value.message
    return caught.value


def test_a_compressed_file_is_refused_with_a_way_out(path):
    error = refused(zip_of(path, compress_type=zipfile.ZIP_DEFLATED), "'a.txt' is compressed")
    assert "folder" in error.hint


def test_a_bomb_is_refused_before_anything_is_unpacked(path):
    """Ten megabytes of zeros in ten kilobytes: what is compressed is not even opened."""
    refused(zip_of(path, {"model/model.onnx": bytes(10_000_000)}, compress_type=zipfile.ZIP_BZIP2), "is compressed")


def test_a_link_is_refused(path):
    refused(zip_of(path, external_attr=(stat.S_IFLNK | 0o777) << 16), "'a.txt' is a link")


def test_a_folder_entry_is_refused(path):
    refused(zip_of(path, {"model/": b""}), "'model/' is a folder")
    refused(zip_of(path, {"model": b""}, external_attr=(stat.S_IFDIR | 0o755) << 16), "'model' is a folder")


@pytest.mark.parametrize("change", [{"extra": b"\x01\x00\x00\x00"}, {"comment": b"hello"}])
def test_extra_fields_and_comments_of_entries_are_refused(path, change):
    refused(zip_of(path, **change), "extra field or a comment")


@pytest.mark.parametrize(
    "change",
    [{"date_time": (2020, 1, 1, 0, 0, 0)}, {"create_system": 0}, {"external_attr": (stat.S_IFREG | 0o4755) << 16},
     {"internal_attr": 1}, {"create_version": 63}],
)  # fmt: skip
def test_a_zip_of_another_program_is_refused(path, change):
    error = refused(zip_of(path, **change), "not a bundle as aweigh writes it")
    assert "pack it anew" in error.hint


def test_a_comment_of_the_archive_is_refused(path):
    write_bundle(FILES, path)
    with zipfile.ZipFile(path, "a") as made:
        made.comment = b"made by hand"
    refused(path, "it carries a comment")


def test_data_after_the_archive_is_refused(path):
    write_bundle(FILES, path)
    path.write_bytes(path.read_bytes() + b"\n")
    refused(path, "data follows it")


def test_data_before_the_archive_is_refused(path):
    write_bundle(FILES, path)
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    refused(path, "data before the archive")


def test_data_between_the_parts_is_refused(path):
    write_bundle(FILES, path)
    whole = path.read_bytes()
    *_, offset, comment = struct.unpack("<4s4H2IH", whole[-22:])
    moved = whole[-22:-6] + struct.pack("<IH", offset + 4, comment)
    path.write_bytes(whole[:offset] + b"evil" + whole[offset:-22] + moved)
    refused(path, "does not end where the directory begins")


def test_an_empty_file_and_a_text_are_no_bundles(path):
    path.write_bytes(b"")
    refused(path, "'x.aweigh' is no bundle")
    path.write_bytes(b"species,island\n" * 100)
    refused(path, "'x.aweigh' is no bundle")


@pytest.mark.parametrize("cut_bytes", [1, 10, 18])
def test_an_archive_that_lacks_its_last_bytes_is_called_cut_short_and_by_its_name(path, cut_bytes):
    write_bundle(FILES, path)
    path.write_bytes(path.read_bytes()[:-cut_bytes])
    error = refused(path, "'x.aweigh' is not a bundle as aweigh writes it: it is cut short.")
    assert error.hint == "copy it again from where it came"


def test_an_archive_cut_short_is_refused(path):
    write_bundle(FILES, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedBundle):
            list_archive(path)
    path.write_bytes(whole[:-30])
    refused(path, "cut short")


def rewritten(path, entries, count=None):
    """An archive by our own layout, entries given as (name, content, changes of the entry)."""
    body = b""
    listed = []
    for name, content, changes in entries:
        entry = archive._Entry(name, zlib.crc32(content), len(content), len(body))
        body += entry.local() + content
        listed.append(entry._replace(**changes))
    directory = archive._directory(listed, len(body))
    if count is not None:
        directory = directory[:-14] + struct.pack("<HH", count, count) + directory[-10:]
    path.write_bytes(body + directory)
    return path


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"/etc/passwd", "an absolute path"),
        (b"../up", "leads elsewhere"),
        (b"a/../../up", "leads elsewhere"),
        (b"./a", "leads elsewhere"),
        (b"a//b", "leads elsewhere"),
        (b"a\\b", "a backslash"),
        (b"..\\up", "a backslash"),
        (b"C:/x", "a drive letter"),
        (b"c:x", "a drive letter"),
        (b"", "an empty name"),
        (b"a\x00b", "a character"),
        (b"a\nb", "a character"),
        (b"x\x1b[2J", "a character"),
        (b"ab:stream", "a character"),
        ("a\u202eb".encode(), "a character"),
        (b"nul.txt", "a device's name"),
        (b"a/COM1", "a device's name"),
        (b"a.", "at the edge"),
        (b"a /b", "at the edge"),
        ("e\u0301".encode(), "normal form"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x" * 600, "longer than"),
        (b"x" * 300, "a part longer than"),
    ],
)
def test_names_that_lead_elsewhere_or_mean_something_else_are_refused(path, name, why):
    refused(rewritten(path, [(name, b"x", {})]), why)


@pytest.mark.parametrize(("one", "other"), [("a", "a"), ("A", "a"), ("straße", "STRASSE"), ("É", "é")])
def test_a_name_that_stands_twice_is_refused(path, one, other):
    names = sorted([one, other])
    refused(rewritten(path, [(name.encode(), b"x", {}) for name in names]), "twice")


def test_a_file_that_is_a_folder_too_is_refused(path):
    refused(rewritten(path, [(b"Model", b"x", {}), (b"model/x", b"x", {})]), "as a file and as a folder")


def test_names_are_counted_and_no_folder_is_one():
    with pytest.raises(DamagedBundle, match=r"more than 4,096 files"):
        check_names(f"{i}" for i in range(MAX_FILES + 1))
    with pytest.raises(DamagedBundle, match="a folder"):
        check_names(["model/"])


def test_files_out_of_order_are_refused(path):
    refused(rewritten(path, [(b"b", b"x", {}), (b"a", b"x", {})]), "not in order")


def test_files_that_overlap_are_refused(path):
    """Two entries over the same bytes, as a bomb of overlapping files does (Fifield 2019)."""
    refused(rewritten(path, [(b"a", b"x", {}), (b"b", b"x", {"offset": 0})]), "overlaps")


def test_a_gap_between_files_is_refused(path):
    refused(rewritten(path, [(b"a", b"xyz", {"size": 2}), (b"b", b"x", {})]), "does not follow")


def test_a_size_beyond_the_file_is_refused(path):
    refused(rewritten(path, [(b"a", b"x", {"size": 10_000})]), "does not end where the directory begins")


@pytest.mark.parametrize("change", [{"crc": 1}, {"name": b"c"}])
def test_a_header_that_differs_from_the_directory_is_refused(path, change):
    refused(rewritten(path, [(b"a", b"x", {}), (b"b", b"x", change)]), "differs from the directory")


def patched(path, position, replacement):
    """The archive with bytes of its (first) directory entry replaced, counted from the entry's start."""
    whole = bytearray(path.read_bytes())
    *_, offset, _ = struct.unpack("<4s4H2IH", whole[-22:])
    whole[offset + position : offset + position + len(replacement)] = replacement
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("position", "replacement", "why"),
    [
        (8, b"\x01\x08", "is encrypted"),
        (10, b"\x63\x00", "is compressed"),
        (20, b"\x07\x00\x00\x00", "has two sizes"),
        (20, b"\xff" * 8, "zip64"),
        (30, b"\x04\x00", "extra field"),
    ],
)
def test_odd_entries_are_refused(path, position, replacement, why):
    write_bundle({"a": b"12345"}, path)
    patched(path, position, replacement)
    refused(path, why)


def test_zip64_is_refused(path):
    with zipfile.ZipFile(path, "w") as made, made.open("a", "w", force_zip64=True) as stream:
        stream.write(b"x")
    with pytest.raises(DamagedBundle):
        list_archive(path)
    write_bundle({"a": b"x"}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-6] + b"\xff\xff\xff\xff\x00\x00")
    refused(path, "zip64")


def test_too_many_files_are_refused_by_their_count_alone(path):
    refused(rewritten(path, [(b"a", b"x", {})], count=MAX_FILES + 1), "more than 4,096 files")


def test_a_count_that_is_not_so_is_refused(path):
    refused(rewritten(path, [(b"a", b"x", {}), (b"b", b"x", {})], count=1), "its directory is not as aweigh writes it")


def look_at_all(path):
    for member in list_archive(path).values():
        member.look(keep_bytes=0)


def test_every_flipped_byte_is_seen_by_headers_or_checksum(path):
    """No byte of an archive is free: each one flipped is refused, in the headers or by the file's CRC-32."""
    write_bundle({"a.txt": b"first", "b/c": b"second"}, path)
    whole = path.read_bytes()
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 0x10
        path.write_bytes(flipped)
        with pytest.raises(DamagedBundle):
            look_at_all(path)


def test_what_would_be_refused_is_not_written(path):
    with pytest.raises(DamagedBundle, match="leads elsewhere"):
        write_bundle({"../x": b""}, path)
    assert list(path.parent.iterdir()) == []


def test_more_than_four_gigabytes_are_not_written(path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BUNDLE_BYTES", 1000)
    with pytest.raises(TooLarge, match="4 GiB"):
        write_bundle({"a": bytes(901)}, path)
    write_bundle({"a": bytes(800)}, path)
    monkeypatch.setattr(archive, "MAX_BUNDLE_BYTES", 800)
    refused(path, "larger than 4 GiB")


# -- whole or not at all ---------------------------------------------------------------------------------------------

NAMED = [pytest.param(False, id="unnamed"), pytest.param(True, id="part")]


@pytest.fixture(params=NAMED)
def way(request, monkeypatch):
    """Write by way of an unnamed file, and by way of a hidden one, as where the system has no unnamed files."""
    if request.param:
        monkeypatch.setattr(atomic, "_open_unnamed", lambda _: None)
    return request.param


def half_written(path):
    with atomic.whole_file(path) as stream:
        stream.write(b"new")
        stream.flush()
        raise ZeroDivisionError


def test_an_error_leaves_what_was_there(path, way):
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        half_written(path)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_the_new_takes_the_place_of_the_old(path, way):
    path.write_bytes(b"old")
    with atomic.whole_file(path) as stream:
        stream.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_link_keeps_pointing_and_its_target_is_written(path, way):
    target = path.with_name("target")
    path.symlink_to(target)
    write_bundle({"a": b"x"}, path)
    assert path.is_symlink()
    assert contents(target) == {"a": b"x"}


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic.whole_file(pipe) as stream:
        stream.write(b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_folder_in_the_way_is_an_error_and_nothing_is_left(path, way):
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write_bundle({"a": b"x"}, path)
    assert list(path.parent.iterdir()) == [path]


WRITE = (
    "import sys, os; from pathlib import Path; from aweigh.bundle import archive, atomic;"
    "named = sys.argv[2] == 'True';"
    "atomic._open_unnamed = (lambda folder: None) if named else atomic._open_unnamed;"
)


def test_a_full_disk_leaves_nothing(path, way):
    """A limit on the size of files is, to the one who writes, a disk that is full."""
    path.write_bytes(b"old")
    code = WRITE + (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "archive.write_bundle({'a': bytes(1_000_000)}, Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(path), str(way)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_kill_leaves_the_old_and_no_litter_where_the_system_can(path, way):
    path.write_bytes(b"old")
    code = WRITE + (
        "import time\n"
        "with atomic.whole_file(Path(sys.argv[1])) as stream:\n"
        "    stream.write(bytes(100_000)); stream.flush(); print('on', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path), str(way)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"on\n"
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    assert path.read_bytes() == b"old"
    left = [one.name for one in path.parent.iterdir() if one != path]
    if way:
        assert [name.startswith(".x.aweigh.") and name.endswith(".part") for name in left] == [True]
    else:
        assert left == []


def test_reading_takes_no_more_memory_than_a_chunk(path):
    """A large model is looked at a megabyte at a time."""
    write_bundle({"model/model.onnx": b"\x08" + bytes(64 * 2**20)}, path)
    code = (
        "import sys, resource; from pathlib import Path; from aweigh.bundle.archive import list_archive;"
        "members = list_archive(Path(sys.argv[1])); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "members['model/model.onnx'].look(keep_bytes=512);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) < 16 * 1024
