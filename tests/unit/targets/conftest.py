"""A few packages to resolve from a folder, in place of an index, and a wheel of aweigh that asks for them."""

import hashlib
import io
import zipfile

import pytest

from aweigh.targets.wheel import Wheel

OFFERED = {
    ("alpha", "1.0"): ["beta>=1"],
    ("beta", "1.0"): [],
    ("beta", "1.5"): [],
    ("beta", "2.0"): [],
    ("doors", "1.0"): ["hinges"],
    ("hinges", "3.0"): [],
    ("streamlit", "1.12.0"): [],
    ("streamlit", "1.70.0"): [],
    ("frames", "1.0"): [],
    ("click", "1.0"): [],
}


def wheel_file(name, version, requires):
    out = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    metadata = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {one}" for one in requires),
    ]
    with zipfile.ZipFile(out, "w") as made:
        made.writestr(zipfile.ZipInfo(f"{info}/METADATA"), "\n".join(metadata) + "\n")
        made.writestr(
            zipfile.ZipInfo(f"{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        made.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "")
    return out.getvalue()


@pytest.fixture
def hashes(tmp_path, monkeypatch):
    """Offer packages in a folder and nowhere else; return the sha256 of each by name and version."""
    folder = tmp_path / "offered"
    folder.mkdir()
    found = {}
    for (name, version), requires in OFFERED.items():
        content = wheel_file(name, version, requires)
        (folder / f"{name}-{version}-py3-none-any.whl").write_bytes(content)
        found[name, version] = hashlib.sha256(content).hexdigest()
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return found


@pytest.fixture
def small_wheel():
    """Return a wheel that needs alpha, with extras that need more."""
    requires = (
        "alpha>=1",
        "doors; extra == 'auth'",
        "streamlit>=1.67; extra == 'ui'",
        "beta<2; extra == 'redis'",
        "aweigh[auth]; extra == 'all'",
    )
    return Wheel("aweigh-0.1.0-py3-none-any.whl", b"wheel", requires)
