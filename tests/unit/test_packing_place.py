"""Where a bundle is written: over another bundle, and over nothing else."""

import pytest

from aweigh.bundle.archive import write_bundle
from aweigh.errors import UsageError
from aweigh.packing import pack
from aweigh.packing.place import check_place, place_of


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x03\x04", b"\x80\x04N."])
def test_what_is_no_bundle_is_not_written_over_and_nothing_is_read(tmp_path, content):
    path = tmp_path / "model.joblib"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is there already, and is no bundle"):
        place_of(path, "m-1.aweigh")
    told = []
    with pytest.raises(UsageError, match="is there already, and is no bundle"):
        pack(tmp_path / "none.joblib", "none.csv", output=path, tell=lambda step, _text: told.append(step))
    assert told == []
    assert path.read_bytes() == content


def test_a_bundle_is_written_over_and_a_folder_written_into(tmp_path):
    path = tmp_path / "m.aweigh"
    write_bundle({"manifest.json": b"{}"}, path)
    assert place_of(path, "m-1.aweigh") == path
    assert place_of(tmp_path, "m-1.aweigh") == tmp_path / "m-1.aweigh"
    write_bundle({"other.json": b"{}"}, path)
    with pytest.raises(UsageError):
        place_of(path, "m-1.aweigh")
    (tmp_path / "m-1.aweigh").write_text("mine")
    with pytest.raises(UsageError):
        place_of(tmp_path, "m-1.aweigh")


def test_a_folder_that_is_not_there_is_said(tmp_path):
    check_place(None)
    with pytest.raises(UsageError, match="There is no folder"):
        check_place(tmp_path / "none" / "m.aweigh")
