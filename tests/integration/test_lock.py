"""The guide of 2022, followed to the letter, against a real index: what it pins, what it forgot to, and what works."""

import subprocess
import sys

import pytest

from aweigh.bundle.requirements import read_lock
from aweigh.locking.interpreter import find_interpreter

GUIDE = "streamlit==1.12.0\nscikit-learn==1.1.2\npandas==1.4.3\nnumpy==1.23.1\njoblib==1.1.0\n"
APP = "import hashlib\n\nimport joblib\nimport pandas as pd\nimport sklearn\nimport streamlit as st\n"
UNREACHABLE = 4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def guide(tmp_path):
    (tmp_path / "requirements.txt").write_text(GUIDE)
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def lock(folder, *options):
    """Run the command; return its exit code and all that it printed, as one line."""
    done = subprocess.run(
        [sys.executable, "-m", "aweigh", "lock", str(folder), *options], capture_output=True, text=True, check=False
    )
    if done.returncode == UNREACHABLE:
        pytest.skip(done.stderr.strip())
    sys.stdout.write(done.stdout + done.stderr)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def needs_python(version):
    if find_interpreter(version) is None:
        pytest.skip(f"there is no Python {version} on this machine")


def test_the_guide_is_locked_as_of_its_time_and_imports(guide):
    needs_python("3.10")
    code, told = lock(guide, "--python", "3.10")
    assert code == 0, told
    assert "as of 2022-08-12, the day after the newest pin, streamlit 1.12.0, was released" in told
    assert "installed by its hashes, imports hashlib, joblib, pandas, sklearn and 1 more" in told
    versions = {one.name: one.version for one in read_lock((guide / "requirements.txt").read_text())}
    assert int(versions["altair"].partition(".")[0]) < 5
    assert all(f"{line}\n" in GUIDE for line in (f"{name}=={versions[name]}" for name in ("streamlit", "numpy")))
    assert (guide / "requirements.in").read_text() == GUIDE
    assert (guide / ".python-version").read_text() == "3.10\n"
    first = (guide / "requirements.txt").read_bytes()
    assert lock(guide, "--no-prove")[0] == 0
    assert (guide / "requirements.txt").read_bytes() == first


def test_the_guide_of_today_dies_where_altair_went_on(guide):
    needs_python("3.10")
    code, told = lock(guide, "--python", "3.10", "--as-of", "today")
    assert code == 1
    assert "import streamlit: ModuleNotFoundError: No module named 'altair.vegalite.v4'" in told
    assert "--as-of 2022-08-12" in told
    assert (guide / "requirements.txt").read_text() == GUIDE


@pytest.mark.parametrize(("python", "version"), [("3.11", "1.23.2"), ("3.12", "1.26.0")])
def test_on_a_newer_python_the_guides_numpy_is_explained(guide, python, version):
    code, told = lock(guide, "--python", python)
    assert code == 2
    said = f"numpy 1.23.1 has no wheel for Python 3.11 or newer: take Python 3.10, or numpy {version}"
    assert said in told
    assert "all pins can be installed on Python 3.10: lock again with --python 3.10" in told
