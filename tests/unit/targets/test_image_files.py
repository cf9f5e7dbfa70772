"""What is read of a base's files, which anybody may have written."""

import gzip
import io
import re
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from aweigh.errors import DamagedImage
from aweigh.oci.documents import OCI_LAYER_GZIP, Descriptor, descriptor_of
from aweigh.oci.store import Store
from aweigh.targets.image import files
from aweigh.targets.image.files import Facts, look

GLIBC = b"\0GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n\0"
PYTHON, LIBC = "usr/local/bin/python3.12", "lib/x86_64-linux-gnu/libc.so.6"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


def archive(*members: tuple[str, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    """Files as an archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as made:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return out.getvalue()


def kept(store: Store, content: bytes) -> Descriptor:
    """A layer of these compressed bytes."""
    store.keep(content)
    return descriptor_of(content, OCI_LAYER_GZIP)


def layer(store: Store, *members: tuple[str, bytes]) -> Descriptor:
    """A layer of these files."""
    return kept(store, gzip.compress(archive(*members), mtime=0))


def test_pythons_and_the_c_library_are_found(store):
    base = layer(store, ("./" + LIBC, GLIBC), (f"/{PYTHON}", b"x"))
    assert look((base,), store) == Facts({"3.12": f"/{PYTHON}"}, "2.36")


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_of_any_length_are_read_over(kind, store):
    content = archive(("a" * 5000, b"y" * 700), (PYTHON, b"x"), (LIBC, GLIBC), kind=kind)
    assert look((kept(store, gzip.compress(content)),), store) == Facts({"3.12": f"/{PYTHON}"}, "2.36")


@pytest.mark.parametrize("hides", ["usr/local/bin/.wh.python3.12", "usr/.wh.local", "usr/local/bin/.wh..wh..opq"])
def test_what_a_higher_layer_removes_is_not_there(hides, store):
    below = layer(store, (PYTHON, b"x"), (LIBC, GLIBC))
    assert look((below, layer(store, (hides, b""))), store).pythons == {}
    again = layer(store, (hides, b""), (PYTHON, b"new"))
    assert look((below, again), store).pythons == {"3.12": f"/{PYTHON}"}


def test_of_two_pythons_the_one_on_the_usual_path_is_taken(store):
    both = layer(store, (PYTHON, b"x"), (LIBC, GLIBC), ("usr/bin/python3.12", b"the system's, without a library"))
    assert look((both,), store).pythons == {"3.12": f"/{PYTHON}"}


def test_a_layer_compressed_in_many_pieces_is_read_to_its_end(store):
    content = archive((PYTHON, b"x"), (LIBC, GLIBC))
    pieces = b"".join(gzip.compress(content[at : at + 512]) for at in range(0, len(content), 512))
    assert look((kept(store, pieces),), store) == Facts({"3.12": f"/{PYTHON}"}, "2.36")


def header(kind: bytes, size: int) -> bytes:
    """The block before a file of that kind and size."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_name_of_gigabytes_takes_no_memory(kind, store):
    bomb = kept(store, gzip.compress(header(kind, 64 * 2**20) + bytes(64 * 2**20)))
    tracemalloc.start()
    try:
        with pytest.raises(DamagedImage, match="cannot be unpacked"):
            look((bomb,), store)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_files_without_number_take_no_memory(store):
    bomb = kept(store, gzip.compress(header(tarfile.REGTYPE, 0) * 20_000, 1))
    tracemalloc.start()
    try:
        assert look((bomb,), store) == Facts({}, "")
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_what_unpacks_without_end_is_refused(store, monkeypatch):
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 2**20)
    half = layer(store, ("a", bytes(2**19)))
    assert look((half,), store) == Facts({}, "")
    with pytest.raises(DamagedImage, match="cannot be unpacked"):
        look((half, half), store)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        gzip.compress(archive(("a", b"x" * 900)))[:-60],
        gzip.compress(header(tarfile.REGTYPE, 10**6)),
        gzip.compress(b"\x01" * 512),
        gzip.compress(header(tarfile.XHDTYPE, 512) + b"999999 path=x\n".ljust(512, b"\0")),
        gzip.compress(header(tarfile.XHDTYPE, 512) + b"12 size=-512\n".ljust(512, b"\0") + header(tarfile.REGTYPE, 0)),
    ],
    ids=["empty", "text", "cut off", "short", "noise", "long header", "negative size"],
)
def test_what_is_no_archive_is_refused(content, store):
    with pytest.raises(DamagedImage):
        look((kept(store, content or b" "),), store)


def test_a_layer_that_was_changed_on_this_machine_is_fetched_again(store):
    base = layer(store, (PYTHON, b"x"), (LIBC, GLIBC))
    content = store.path(base.digest).read_bytes()
    store.path(base.digest).write_bytes(bytes(len(content)))
    with pytest.raises(DamagedImage, match=re.escape("was changed")):
        look((base,), store)
    assert not store.has(base), "what went wrong once does not go wrong for ever"
