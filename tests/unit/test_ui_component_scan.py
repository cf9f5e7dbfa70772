"""No package is searched for components where the generated pages are shown; a script of a user's own finds them."""

import importlib.metadata
import os
import subprocess
import sys

import pytest

pytest.importorskip("streamlit")

from streamlit.components.v2 import manifest_scanner
from streamlit.components.v2.component_manager import BidiComponentManager

from aweigh.ui.component_scan import SCANS, look_for_no_components


@pytest.fixture
def looked_through(monkeypatch):
    """Return the packages whose metadata Streamlit has asked for."""
    monkeypatch.setattr(manifest_scanner, SCANS, getattr(manifest_scanner, SCANS))  # and put it back afterwards
    packages = []
    distributions = importlib.metadata.distributions

    def asked(**context):
        packages.extend(distributions(**context))
        return iter(packages)

    monkeypatch.setattr(importlib.metadata, "distributions", asked)
    return packages


def test_the_packages_are_looked_through_until_it_is_said_that_there_are_none(looked_through):
    manager = BidiComponentManager()
    manager.discover_and_register_components(start_file_watching=False)
    assert looked_through, "this Streamlit looks in another way: component_scan.py is idle"
    looked_through.clear()
    look_for_no_components()
    manager.discover_and_register_components(start_file_watching=False)
    assert looked_through == []


def test_a_streamlit_that_looks_in_another_way_is_left_as_it_is(monkeypatch):
    monkeypatch.delattr(manifest_scanner, SCANS)
    look_for_no_components()
    assert not hasattr(manifest_scanner, SCANS)


def test_a_streamlit_that_has_no_such_module_starts_as_ever(monkeypatch):
    monkeypatch.setitem(sys.modules, "streamlit.components.v2", None)
    look_for_no_components()


PROGRAM = """
import asyncio, sys
from pathlib import Path
from aweigh.ui.host import create_ui
from streamlit.components.v2.get_bidi_component_manager import get_bidi_component_manager

ui = create_ui(api_url="http://127.0.0.1:1", script=Path(sys.argv[1]) if sys.argv[1:] else None)

async def start():
    async with ui.lifespan()(ui):
        print(get_bidi_component_manager().get_metadata("dial.knob") is not None)

asyncio.run(start())
"""


@pytest.mark.parametrize("own", [True, False])
def test_a_script_of_a_users_own_finds_the_component_of_a_package(own, tmp_path):
    package, told = tmp_path / "dial", tmp_path / "dial-1.0.dist-info"
    package.mkdir()
    told.mkdir()
    (package / "__init__.py").touch()
    (package / "pyproject.toml").write_text(
        '[project]\nname = "dial"\nversion = "1.0"\n[[tool.streamlit.component.components]]\nname = "knob"\n'
    )
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: dial\nVersion: 1.0\nRequires-Dist: streamlit\n")
    script = tmp_path / "app.py"
    script.touch()
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, *([str(script)] if own else [])]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", str(tmp_path)])}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    assert done.stdout.splitlines()[-1] == str(own)
