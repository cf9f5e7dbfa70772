"""The wheel that people install: whole, and holding nothing else."""

import subprocess
import sys
import zipfile

import pytest


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=60)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.mark.needs("git")
def test_every_file_of_the_package_is_in_it_and_nothing_else(wheel, root):
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "src/aweigh"], cwd=root, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    expected = {name.removeprefix("src/") for name in tracked if name and (root / name).exists()}
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert expected - names == set()
    assert {name for name in names if not name.startswith("aweigh/")} == set()
    assert {name for name in names if name.endswith((".pyc", ".aweigh", ".part"))} == set()


def test_data_licence_and_types_travel(wheel):
    names = wheel.namelist()
    assert {"aweigh/data/penguins.csv", "aweigh/data/README.md", "aweigh/py.typed"} <= set(names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_its_metadata_says_what_it_needs(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = wheel.read(name).decode()
    assert "Requires-Python: >=3.11\n" in metadata
    assert "License-Expression: Apache-2.0\n" in metadata
    # What is heavy is asked for only by extras.
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: ") and "extra ==" not in line]
    assert not any(word in line for line in needed for word in ("pandas", "scikit-learn", "streamlit", "pyarrow"))
