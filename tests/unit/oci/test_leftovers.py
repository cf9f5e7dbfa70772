"""What a killed process left beside a file of the user's goes at the next run; what is being written stays."""

from tests.unit.oci.test_image import image_in

from aweigh.oci.layout import Named, write_archive
from aweigh.oci.leftovers import clear, held
from aweigh.oci.store import Store


def test_an_archive_that_was_left_half_written_is_gone_with_the_next(tmp_path):
    store = Store(tmp_path / "store")
    left = tmp_path / f".m.tar-{'0' * 16}.part"
    others = tmp_path / f".other.tar-{'0' * 16}.part"
    for path in (left, others):
        path.write_bytes(b"half")
    write_archive(Named([image_in(store)], "m", "1"), store, tmp_path / "m.tar", created_s=0)
    assert sorted(one.name for one in tmp_path.iterdir()) == [others.name, "m.tar", "store"]


def test_what_is_being_written_stays(tmp_path):
    at_work, left = tmp_path / "x-1", tmp_path / "x-2"
    for folder in (at_work, left):
        (folder / "below").mkdir(parents=True)
    with held(at_work):
        clear(tmp_path, "x-*")
        assert [one.name for one in tmp_path.iterdir()] == ["x-1"]
    clear(tmp_path, "x-*")
    assert [*tmp_path.iterdir()] == []


def test_a_link_leads_nowhere(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "x-1").symlink_to(tmp_path / "precious")
    clear(tmp_path, "x-*")
    assert (tmp_path / "precious").is_dir()
    clear(tmp_path / "none", "x-*")
