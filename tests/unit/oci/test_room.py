"""How much is kept of what images are made of: up to a limit, what was used last, and nothing half written."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aweigh.errors import ConfigError
from aweigh.oci.documents import Descriptor
from aweigh.oci.room import LIMIT_VARIABLE, USUAL_LIMIT_BYTES, limit_of, opened_store
from aweigh.oci.store import Store

DAY_S = 86_400
BLOB_BYTES = 1000


def environ_in(folder: Path, limit_bytes: int | None = None) -> dict[str, str]:
    """A cache below a folder, and its limit."""
    said = {} if limit_bytes is None else {LIMIT_VARIABLE: str(limit_bytes)}
    return {"XDG_CACHE_HOME": str(folder)} | said


def three_blobs(folder: Path) -> tuple[Store, list[Descriptor]]:
    """A store with three blobs, used three, two and one days ago."""
    found = []
    with opened_store(environ_in(folder)) as store:
        for days, letter in ((3, b"a"), (2, b"b"), (1, b"c")):
            digest = store.keep(letter * BLOB_BYTES)
            then = store.path(digest).stat().st_mtime - days * DAY_S
            os.utime(store.path(digest), (then, then))
            found.append(Descriptor("", digest, BLOB_BYTES))
    return store, found


def there(store: Store, blobs: list[Descriptor]) -> list[bool]:
    """Which of the blobs are there; looking uses none of them."""
    return [store.path(one.digest).exists() for one in blobs]


def test_what_was_not_used_for_the_longest_time_makes_room(tmp_path):
    store, blobs = three_blobs(tmp_path)
    with opened_store(environ_in(tmp_path, 2 * BLOB_BYTES)):
        assert there(store, blobs) == [False, True, True]


def test_a_blob_that_is_looked_up_is_used_and_stays(tmp_path):
    store, blobs = three_blobs(tmp_path)
    assert store.has(blobs[0])
    with opened_store(environ_in(tmp_path, BLOB_BYTES)):
        assert there(store, blobs) == [True, False, False]


def test_a_note_that_is_read_is_used_and_stays(tmp_path):
    with opened_store(environ_in(tmp_path)) as store:
        store.note("old", "an old note")
        store.note("new", "a new note!")
    for path in (store.folder / "notes").iterdir():
        then = path.stat().st_mtime - DAY_S
        os.utime(path, (then, then))
    assert store.noted("old", str) == "an old note"
    with opened_store(environ_in(tmp_path, 15)):
        assert (store.noted("old", str), store.noted("new", str)) == ("an old note", None)


def test_what_a_build_adds_is_cut_to_the_limit_when_it_ends(tmp_path):
    with opened_store(environ_in(tmp_path, BLOB_BYTES)) as store:
        digests = [store.keep(letter * BLOB_BYTES) for letter in (b"a", b"b")]
        assert all(store.path(one).exists() for one in digests), "nothing goes that this build uses"
    assert [store.path(one).exists() for one in digests] == [False, True]


def test_the_usual_limit_takes_nothing_of_little(tmp_path):
    store, blobs = three_blobs(tmp_path)
    with opened_store(environ_in(tmp_path)):
        assert there(store, blobs) == [True, True, True]


AT_WORK = """
import os, sys
from aweigh.oci.room import opened_store
with opened_store(os.environ) as store, store.workshop() as shop, store.written() as file:
    (shop / "package").write_bytes(b"half")
    file.write(b"half"); file.flush()
    print("at work", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def somebody_at_work(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that builds: it has a blob half written, and packages half installed."""
    with subprocess.Popen(
        [sys.executable, "-c", AT_WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | environ_in(folder),
    ) as process:  # fmt: skip
        try:
            assert process.stdout.readline() == "at work\n"
            yield process
        finally:
            process.kill()


def halves(folder: Path) -> list[Path]:
    """What is half written."""
    return [*folder.rglob(".part-*")]


def test_nothing_goes_while_another_build_runs(tmp_path):
    store, blobs = three_blobs(tmp_path)
    with somebody_at_work(tmp_path):
        with opened_store(environ_in(tmp_path, 0)):
            pass
        assert there(store, blobs) == [True, True, True]
        assert len(halves(tmp_path)) == 2
    with opened_store(environ_in(tmp_path, 0)):
        assert there(store, blobs) == [False, False, False]


def test_what_a_killed_build_left_is_gone_at_the_next(tmp_path):
    with somebody_at_work(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(halves(tmp_path)) == 2
    with opened_store(environ_in(tmp_path)) as store:
        assert halves(tmp_path) == []
    assert store.folder.is_dir()


def test_nobody_s_folder_is_emptied_through_a_link(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    store, _ = three_blobs(tmp_path)
    (store.folder / ".part-link").symlink_to(precious)
    with opened_store(environ_in(tmp_path)):
        assert not (store.folder / ".part-link").is_symlink()
    assert (precious / "file").read_text() == "kept"


@pytest.mark.parametrize("said", ["much", "-1", "5 GB", "1e9", "9" * 40, "٣"])
def test_a_limit_that_is_no_number_of_bytes_is_refused(said, tmp_path):
    with (
        pytest.raises(ConfigError, match=LIMIT_VARIABLE),
        opened_store(environ_in(tmp_path) | {LIMIT_VARIABLE: said}),
    ):
        pass


def test_no_limit_said_is_the_usual_one():
    assert limit_of({}) == limit_of({LIMIT_VARIABLE: " "}) == USUAL_LIMIT_BYTES
    assert limit_of({LIMIT_VARIABLE: "0"}) == 0
