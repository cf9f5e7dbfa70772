"""What a killed process left beside a file of the user's goes at the next run; what is being written stays."""

import os

from tests.unit.oci.test_image import image_in

from aweigh.oci.layout import Named, write_archive
from aweigh.oci.leftovers import clear, held
from aweigh.oci.store import Store


def age(*paths):
    """Make them look as if they had been left two minutes ago."""
    for path in paths:
        os.utime(path, (path.stat().st_atime - 120, path.stat().st_mtime - 120))


def test_an_archive_that_was_left_half_written_is_gone_with_the_next(tmp_path):
    store = Store(tmp_path / "store")
    left = tmp_path / f".m.tar-{'0' * 16}.part"
    others = tmp_path / f".other.tar-{'0' * 16}.part"
    for path in (left, others):
        path.write_bytes(b"half")
    age(left, others)
    write_archive(Named([image_in(store)], "m", "1"), store, tmp_path / "m.tar", created_s=0)
    assert sorted(one.name for one in tmp_path.iterdir()) == [others.name, "m.tar", "store"]


def test_what_is_being_written_stays(tmp_path):
    at_work, left = tmp_path / "x-1", tmp_path / "x-2"
    for folder in (at_work, left):
        (folder / "below").mkdir(parents=True)
    age(at_work, left)
    with held(at_work):
        clear(tmp_path, "x-*")
        assert [one.name for one in tmp_path.iterdir()] == ["x-1"]
    clear(tmp_path, "x-*")
    assert [*tmp_path.iterdir()] == []


def test_what_was_made_just_now_stays_whoever_has_not_said_yet_that_he_is_at_work_on_it(tmp_path):
    (tmp_path / "x-1").mkdir()
    clear(tmp_path, "x-*")
    assert (tmp_path / "x-1").is_dir()


def test_a_link_leads_nowhere(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "x-1").symlink_to(tmp_path / "precious")
    clear(tmp_path, "x-*")
    assert (tmp_path / "precious").is_dir()
    clear(tmp_path / "none", "x-*")
