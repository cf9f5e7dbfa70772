"""aweigh's own wheel: what a builder would make of the same files, from wherever it runs."""

import base64
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from aweigh._version import __version__
from aweigh.errors import ConfigError
from aweigh.targets.wheel import own_wheel, wheel_of


@pytest.fixture(scope="module")
def built(root, tmp_path_factory):
    """Return the wheel that the project's own builder makes."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=60)
    return next(folder.glob("*.whl"))


def opened(content):
    return zipfile.ZipFile(io.BytesIO(content))


def metadata_of(archive):
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    return HeaderParser().parsestr(archive.read(name).decode())


def same_requirement(text):
    """A requirement, and the truth of its marker for each extra and some environments: two writings may be one."""
    requirement = Requirement(text)
    marker, requirement.marker = requirement.marker, None
    worlds = [
        {"extra": extra, "sys_platform": platform, "python_version": python}
        for extra in ("", "ui", "auth", "xgboost", "jobs", "audit", "heroku", "redis")
        for platform in ("linux", "win32")
        for python in ("3.11", "3.14")
    ]
    return str(requirement), tuple(marker is None or marker.evaluate(world) for world in worlds)


def test_a_checkouts_wheel_is_what_the_builder_makes(root, built):
    ours, theirs = opened(wheel_of(root / "src" / "aweigh").content), zipfile.ZipFile(built)
    info = f"aweigh-{__version__}.dist-info"
    assert set(ours.namelist()) == set(theirs.namelist())
    same = [name for name in theirs.namelist() if not name.endswith(("/METADATA", "/RECORD", "/WHEEL"))]
    assert [name for name in same if ours.read(name).strip() != theirs.read(name).strip()] == []
    assert f"{info}/licenses/LICENSE" in ours.namelist()
    mine, built_by_them = metadata_of(ours), metadata_of(theirs)
    for key in ("Name", "Version", "Summary", "License-Expression", "License-File", "Requires-Python"):
        assert mine[key] == built_by_them[key]
    assert set(mine.get_all("Provides-Extra")) == set(built_by_them.get_all("Provides-Extra"))
    assert set(mine.get_all("Classifier")) == set(built_by_them.get_all("Classifier"))
    # The builder writes out what an extra takes over from others; installers do the same with what is written here.
    asked, expected = (
        {one for one in map(same_requirement, metadata.get_all("Requires-Dist")) if any(one[1])}
        for metadata in (mine, built_by_them)
    )
    assert asked == expected
    assert any(one.startswith("aweigh[") and one.endswith("extra == 'all'") for one in mine.get_all("Requires-Dist"))


def test_its_record_is_right():
    wheel = own_wheel()
    assert re.fullmatch(r"aweigh-[\w.!+]+-py3-none-any\.whl", wheel.name)
    assert wheel.sha256 == hashlib.sha256(wheel.content).hexdigest()
    archive = opened(wheel.content)
    (record,) = [name for name in archive.namelist() if name.endswith("/RECORD")]
    lines = [line.rsplit(",", 2) for line in archive.read(record).decode().splitlines()]
    assert sorted(name for name, _, _ in lines) == sorted(archive.namelist())
    for name, digest, size in lines:
        content = archive.read(name)
        expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        assert (digest, size) == (("", "") if name == record else (f"sha256={expected}", str(len(content)))), name
    assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_two_checkouts_at_two_times_give_the_same_bytes(root, tmp_path):
    for one in ("first", "second"):
        shutil.copytree(root / "src", tmp_path / one / "src", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(root / name, tmp_path / one / name)
    package = tmp_path / "second" / "src" / "aweigh"
    os.utime(package / "errors.py", (1, 1))
    (package / "errors.py").chmod(0o755)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"")
    (package / ".hidden").write_text("")
    (package / "forgotten.aweigh").write_text("")
    assert wheel_of(tmp_path / "first" / "src" / "aweigh") == wheel_of(package)


@pytest.fixture
def installed(built, tmp_path):
    """Return the package of a built wheel that was unpacked as an installer does."""
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path / "site-packages")
    return tmp_path / "site-packages" / "aweigh"


def test_an_installed_aweigh_is_put_together_again(built, installed):
    info = next(installed.parent.glob("*.dist-info"))
    for name in ("INSTALLER", "REQUESTED", "direct_url.json"):
        (info / name).write_text("pip")
    record = (info / "RECORD").read_text()
    (info / "RECORD").write_text(
        f"{record}../../../bin/aweigh,sha256=x,1\naweigh/__pycache__/errors.cpython-311.pyc,,\n{info.name}/INSTALLER,,\n"
    )
    wheel = wheel_of(installed)
    ours, theirs = opened(wheel.content), zipfile.ZipFile(built)
    assert set(ours.namelist()) == set(theirs.namelist())
    assert [
        name
        for name in theirs.namelist()
        if not name.endswith(("/RECORD", "/WHEEL")) and ours.read(name) != theirs.read(name)
    ] == []
    assert wheel.name == built.name


@pytest.mark.parametrize("name", ["aweigh/errors.py", "aweigh/data/penguins.csv", "aweigh/__main__.py"])
def test_an_installed_aweigh_with_a_file_missing_is_refused(installed, name):
    (installed.parent / name).unlink()
    with pytest.raises(ConfigError, match=re.escape(f"{name} is missing")) as caught:
        wheel_of(installed)
    assert str(installed.parent) not in str(caught.value)
    assert caught.value.hint == "install aweigh again"


def test_an_installed_aweigh_without_its_record_is_refused(installed):
    (next(installed.parent.glob("*.dist-info")) / "RECORD").unlink()
    with pytest.raises(ConfigError, match="its metadata is missing"):
        wheel_of(installed)


def test_a_copy_that_nobody_installed_is_refused(root, tmp_path):
    shutil.copytree(root / "src" / "aweigh", tmp_path / "aweigh", ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.raises(ConfigError, match="was not installed by an installer"):
        wheel_of(tmp_path / "aweigh")


@pytest.mark.parametrize("text", ["", "[project]\nname = 'another'\n", "[project\n", "[project]\nname = 'aweigh'\n"])
def test_a_checkout_whose_project_cannot_be_read_is_refused(root, tmp_path, text):
    shutil.copytree(root / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"its pyproject\.toml is missing or cannot be read"):
        wheel_of(Path(tmp_path / "src" / "aweigh"))


def test_a_wheel_of_what_was_installed_from_a_wheel_is_that_wheel(tmp_path):
    wheel = own_wheel()
    opened(wheel.content).extractall(tmp_path)
    assert wheel_of(tmp_path / "aweigh") == wheel
