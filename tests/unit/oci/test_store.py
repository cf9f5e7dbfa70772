"""What is kept on this machine: whole, this user's alone, and never wrong for ever."""

import json
import os
import tempfile

import pytest
from tests.unit.oci.test_image import image_in

from aweigh.errors import ConfigError, DamagedImage, StorageFull
from aweigh.oci.documents import Descriptor
from aweigh.oci.download import check_room
from aweigh.oci.layout import Named, write_archive
from aweigh.oci.store import Store, cache_folder


def test_a_cache_that_others_may_write_to_is_not_used(tmp_path):
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    folder = cache_folder(environ)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert cache_folder(environ) == folder
    folder.chmod(0o777)
    with pytest.raises(ConfigError, match="this user's alone"):
        cache_folder(environ)


def test_a_cache_that_somebody_else_has_laid_out_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "theirs").mkdir(mode=0o700)
    (tmp_path / f"aweigh-{os.getuid()}").symlink_to(tmp_path / "theirs")
    with pytest.raises(ConfigError, match="this user's alone"):
        cache_folder({})


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_cache_of_another_user_s_is_not_used(tmp_path):
    folder = cache_folder({"XDG_CACHE_HOME": str(tmp_path)})
    os.chown(folder, 12345, 12345)
    with pytest.raises(ConfigError, match="this user's alone"):
        cache_folder({"XDG_CACHE_HOME": str(tmp_path)})


def test_a_cache_where_a_file_is_is_told_in_a_sentence(tmp_path):
    (tmp_path / "aweigh").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        cache_folder({"XDG_CACHE_HOME": str(tmp_path)})


def test_a_cache_in_a_place_where_no_folder_can_be_is_told_in_a_sentence():
    with pytest.raises(ConfigError, match="cannot be written") as caught:
        cache_folder({"XDG_CACHE_HOME": "/proc/none"})
    assert "XDG_CACHE_HOME" in caught.value.hint


def test_an_archive_holds_no_blob_that_was_changed(tmp_path):
    store = Store(tmp_path / "store")
    image = image_in(store)
    layer = image.manifest.layers[-1]
    store.path(layer.digest).write_bytes(bytes(layer.size))
    with pytest.raises(DamagedImage, match="was changed"):
        write_archive(Named([image], "m", "1"), store, tmp_path / "m.tar", created_s=0)
    assert not [one for one in tmp_path.iterdir() if one.name != "store"], "nothing is left of it"
    assert not store.has(layer)


def test_nobody_s_link_is_written_through(tmp_path):
    store = Store(tmp_path / "store")
    precious = tmp_path / "precious"
    precious.write_text(json.dumps("kept"))
    (tmp_path / ".m.tar.part").symlink_to(precious)
    write_archive(Named([image_in(store)], "m", "1"), store, tmp_path / "m.tar", created_s=0)
    assert json.loads(precious.read_text()) == "kept"


def test_a_blob_larger_than_the_disk_is_refused_before_it_fills_it(tmp_path):
    with pytest.raises(StorageFull, match="has room for"):
        check_room(Descriptor("", f"sha256:{'0' * 64}", 2**60), tmp_path)
