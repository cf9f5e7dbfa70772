"""Documents of a deployment are written whole, or not at all."""

from pathlib import Path

import pytest

from aweigh.cli.documents import write_documents
from aweigh.errors import UsageError


def test_contents_and_copies_of_files_are_written_by_their_paths(tmp_path):
    (tmp_path / "wheel").write_bytes(b"w")
    write_documents({"Procfile": b"web: x\n", "a/b.whl": tmp_path / "wheel"}, tmp_path / "out")
    assert (tmp_path / "out" / "Procfile").read_bytes() == b"web: x\n"
    assert (tmp_path / "out" / "a" / "b.whl").read_bytes() == b"w"


def test_what_is_there_is_left_alone(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(UsageError, match="is not empty"):
        write_documents({"Procfile": b""}, tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]


def test_nothing_is_left_of_documents_of_which_one_could_not_be_written(tmp_path):
    with pytest.raises(UsageError, match="cannot be written: No such file or directory") as told:
        write_documents({"Procfile": b"web: x\n", "a.whl": tmp_path / "gone"}, tmp_path / "out")
    assert "--output-dir" in str(told.value.hint)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("folder", ["/proc/none/out", "/dev/null", "/dev/null/out"])
def test_a_folder_that_cannot_be_is_told_in_a_sentence(folder):
    with pytest.raises(UsageError, match="cannot be written") as told:
        write_documents({"Procfile": b""}, Path(folder))
    assert told.value.hint
