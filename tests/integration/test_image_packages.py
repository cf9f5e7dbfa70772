"""The layers of an image's packages: real wheels of a real index, for machines that this is not."""

import importlib.util
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from aweigh.bundle.lock import resolve
from aweigh.bundle.requirements import write_lock
from aweigh.errors import ConfigError, StorageFull, UnsuitableImage
from aweigh.oci.documents import Platform
from aweigh.oci.image import Config, RootFs
from aweigh.oci.layers import Layer
from aweigh.oci.store import Store
from aweigh.targets.image.base import Base
from aweigh.targets.image.packages import (
    Compiler,
    Making,
    compile_modules,
    find_compiler,
    packages_layer,
    pinned_of,
    platform_of,
    split_own,
    wheel_layer,
)
from aweigh.targets.wheel import own_wheel

MACHINES = {"amd64": 62, "arm64": 183}
"""What an ELF file says of itself (``e_machine``)."""
CREATED_S = 315532800
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"


def base_of(architecture: str, libc: str = "2.36") -> Base:
    """A base as it would be found, without a registry."""
    platform = Platform(architecture, "linux")
    config = Config(architecture=architecture, os="linux", rootfs=RootFs("layers", ()))
    return Base("example.org/base:1", "sha256:" + "0" * 64, platform, config, (), "/usr/bin/python3.12", libc)


@pytest.fixture(scope="module")
def lock() -> str:
    """Two packages, one with a program of its own, one compiled."""
    found = resolve(["msgspec", "click", "markdown-it-py"], python="3.12", fixed={})
    assert not isinstance(found, str), found
    return write_lock(found)


def unpacked(store: Store, layer: Layer) -> dict[str, tarfile.TarInfo | bytes]:
    """The files of a layer."""
    content = store.path(layer.descriptor.digest).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {one.name: archive.extractfile(one).read() if one.isfile() else one for one in archive}


@pytest.mark.parametrize("architecture", MACHINES)
def test_wheels_are_the_image_s_machine_s_and_not_this_one_s(architecture, lock, tmp_path):
    store = Store(tmp_path / "store")
    files = unpacked(store, packages_layer(lock, base_of(architecture), python="3.12", making=Making(store, CREATED_S)))
    compiled = {name: one for name, one in files.items() if name.endswith(".so")}
    assert compiled
    for name, content in compiled.items():
        assert int.from_bytes(content[18:20], "little") == MACHINES[architecture], name
        assert "cpython-312" in name
    site = "opt/venv/lib/python3.12/site-packages"
    assert f"{site}/click/core.py" in files
    assert files["opt/venv/bin/markdown-it"].startswith(b"#!/opt/venv/bin/python\n"), "not this machine's Python"
    assert files["opt/venv/bin/python"].linkname == "/usr/bin/python3.12"
    assert b"home = /usr/bin\n" in files["opt/venv/pyvenv.cfg"]


def test_nothing_of_this_machine_is_in_it(lock, tmp_path):
    store = Store(tmp_path / "store")
    files = unpacked(store, packages_layer(lock, base_of("amd64"), python="3.12", making=Making(store, CREATED_S)))
    for name, content in files.items():
        assert "__pycache__" not in name
        assert name.rsplit("/", 1)[-1] not in {".lock", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
        if isinstance(content, bytes):
            assert str(tmp_path).encode() not in content, name
            assert sys.prefix.encode() not in content, name
            assert b"aweigh-image-" not in content, name


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}]
from tests.integration.test_image_packages import CREATED_S, base_of
from aweigh.oci.store import Store
from aweigh.targets.image.packages import Making, packages_layer, wheel_layer
from aweigh.targets.wheel import own_wheel
store, lock = Store(Path(sys.argv[1])), Path(sys.argv[2]).read_text()
print(packages_layer(lock, base_of("amd64"), python="3.12", making=Making(store, CREATED_S)).descriptor.digest)
print(wheel_layer(own_wheel(), python="3.12", making=Making(store, CREATED_S)).descriptor.digest)
"""


def test_the_same_lock_is_the_same_bytes_in_another_folder_and_another_process(lock, tmp_path):
    root = Path(__file__).parents[2]
    found = []
    for name in ("one", "another folder"):
        place = tmp_path / name
        place.mkdir()
        (place / "lock.txt").write_text(lock)
        environ = os.environ | {
            "TMPDIR": str(place),
            "PYTHONHASHSEED": str(len(found)),
            "PYTHONPATH": f"{root}:{root / 'src'}",
        }
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(root=str(root)), str(place / "store"), str(place / "lock.txt")],
            capture_output=True, text=True, check=True, env=environ, cwd=place, timeout=300,
        )  # fmt: skip
        found.append(done.stdout.split())
    assert found[0] == found[1]
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in found[0])


def test_what_was_built_is_not_built_again(lock, tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    first = packages_layer(lock, base_of("amd64"), python="3.12", making=Making(store, CREATED_S))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    assert packages_layer(lock, base_of("amd64"), python="3.12", making=Making(store, CREATED_S)) == first
    with pytest.raises(ConfigError, match="No package index"):
        packages_layer(lock, base_of("arm64"), python="3.12", making=Making(store, CREATED_S))


def test_a_package_without_a_wheel_for_the_machine_is_named(tmp_path):
    found = resolve(["numpy==2.4.0"], python="3.12", fixed={})
    assert not isinstance(found, str), found
    with pytest.raises(UnsuitableImage, match=r"numpy has no wheel for Python 3.12 on x86_64-manylinux_2_17"):
        packages_layer(
            write_lock(found), base_of("amd64", libc="2.17"), python="3.12", making=Making(Store(tmp_path), CREATED_S)
        )


def test_requirements_without_hashes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="click has no hash"):
        packages_layer("click==8.1.8\n", base_of("amd64"), python="3.12", making=Making(Store(tmp_path), CREATED_S))


@pytest.mark.parametrize(
    ("architecture", "libc", "platform"),
    [
        ("amd64", "2.36", "x86_64-manylinux_2_36"),
        ("arm64", "2.31", "aarch64-manylinux_2_31"),
        ("amd64", "2.30", "x86_64-manylinux_2_28"),
        ("amd64", "2.99", "x86_64-manylinux_2_40"),
    ],
)
def test_the_newest_wheels_that_the_base_runs_are_asked_for(architecture, libc, platform):
    assert platform_of(base_of(architecture, libc)) == platform


@pytest.mark.parametrize(("architecture", "libc"), [("s390x", "2.36"), ("amd64", "2.5"), ("amd64", "1.0")])
def test_a_base_without_wheels_is_refused(architecture, libc):
    with pytest.raises(UnsuitableImage):
        platform_of(base_of(architecture, libc))


@pytest.mark.slow
def test_modules_are_compiled_as_the_same_bytes_wherever_they_lay(tmp_path):
    compiler = find_compiler(OWN)
    found = []
    for name in ("one", "two"):
        store = Store(tmp_path / name)
        made = Making(store, CREATED_S, compiler)
        layer = wheel_layer(own_wheel(), python=OWN, making=made)
        found.append(layer)
    assert found[0] == found[1]
    files = unpacked(store, layer)
    site = f"opt/venv/lib/python{OWN}/site-packages"
    compiled = files[f"{site}/aweigh/__pycache__/errors.cpython-{OWN.replace('.', '')}.pyc"]
    assert compiled[:4] == importlib.util.MAGIC_NUMBER
    assert compiled[8:16] == importlib.util.source_hash(files[f"{site}/aweigh/errors.py"])
    assert str(tmp_path).encode() not in compiled
    assert b".part-" not in compiled


def program(folder: Path, line: str) -> Path:
    """A program that stands for an interpreter."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("exec sleep 60", "it has not ended after 0.2 s"),
        ("echo no luck >&2; exit 3", "no luck"),
        ("exit 3", "status 3"),
        (None, "No such file"),
    ],
)
def test_an_interpreter_that_does_not_compile_is_told_in_a_sentence(line, told, tmp_path):
    python = tmp_path / "none" if line is None else program(tmp_path, line)
    made = Making(Store(tmp_path / "store"), CREATED_S, Compiler(python, "3.12.1"))
    with pytest.raises(ConfigError, match=told) as caught:
        compile_modules(tmp_path, made, timeout_s=0.2 if line and "sleep" in line else 20)
    assert "--no-bytecode" in caught.value.hint


def test_a_disk_that_is_full_is_no_fault_of_the_interpreter_s(tmp_path):
    python = program(tmp_path, "echo 'OSError: [Errno 28] No space left on device' >&2; exit 1")
    with pytest.raises(StorageFull):
        compile_modules(tmp_path, Making(Store(tmp_path / "store"), CREATED_S, Compiler(python, "3.12.1")))


@pytest.mark.parametrize(
    ("requirements", "told"), [("streamlit\n", "'streamlit'"), ("click==8.1.8\nclick==8.1.8\n", "click twice")]
)
def test_requirements_that_are_no_lock_are_told_with_what_writes_one(requirements, told):
    with pytest.raises(ConfigError, match=r"requirements\.txt is no lock") as caught:
        pinned_of(requirements)
    assert told in caught.value.message
    assert "aweigh lock" in caught.value.hint


def test_what_is_under_way_is_told(tmp_path, lock):
    heard = []
    packages_layer(lock, base_of("amd64"), python="3.12", making=Making(Store(tmp_path), CREATED_S, tell=heard.append))
    assert [one.rpartition(": ")[2] for one in heard] == ["fetching", "compiling", "compressing"]


def test_aweigh_s_own_layer_holds_its_wheel_and_its_program(tmp_path):
    store, wheel = Store(tmp_path), own_wheel()
    files = unpacked(store, wheel_layer(wheel, python="3.12", making=Making(store, CREATED_S)))
    assert "opt/venv/lib/python3.12/site-packages/aweigh/__main__.py" in files
    assert files["opt/venv/bin/aweigh"].startswith(b"#!/opt/venv/bin/python\n")


def test_aweigh_s_line_is_told_from_the_others():
    wheel = "aweigh-0.1.0.dev0-py3-none-any.whl"
    line = f"./wheels/{wheel} \\\n    --hash=sha256:{'a' * 64}\n"
    other = f"click==8.1.8 \\\n    --hash=sha256:{'b' * 64}\n"
    assert split_own(other + line) == (other, wheel)
    assert split_own(line + other) == (other, wheel)
    assert split_own(f"./wheels/{wheel}[ui,auth]\n{other}") == (other, wheel)
    assert split_own(other) == (other, None)
