"""Releases of a stored bundle that need no index, and how long a test waits for what becomes of them."""

import sys
import time
from pathlib import Path

from aweigh.targets.heroku.boot import Patience
from aweigh.targets.heroku.render import Shape, render, source_of
from aweigh.targets.heroku.wish import Packed
from aweigh.targets.release import Release
from aweigh.targets.tarball import tarball

TESTS = Path(__file__).parents[1]
BUNDLE = TESTS / "bundles" / "format-1-onnx.aweigh"
SOURCE = TESTS.parent / "src"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
QUICK = Patience(build_s=60, release_s=30, addon_s=10, boot_s=40, poll_s=0.1)
DYNO_ENV = {"PYTHONPATH": str(SOURCE), "AWEIGH_WORKERS": "1", "AWEIGH_DRAIN_DELAY_S": "0"}
"""Of servers that are given the environment that runs here."""


def released(*, auth="none", path=None, web=None, files=None, **more):
    """Return a release of the stored bundle, or of one at a path, whose API alone is served."""
    command = web or f"aweigh serve penguins.aweigh --host 0.0.0.0 --auth {auth} --workers 1 --no-ui"
    return Release(
        name=more.pop("name", "penguins"),
        python=PYTHON,
        processes={"web": command} | more.pop("processes", {}),
        files={"penguins.aweigh": path or BUNDLE, **(files or {})},
        requirements=more.pop("requirements", ""),
        bundle="penguins.aweigh",
        has_ui=more.pop("has_ui", False),
        **more,
    )


def packed(release, **shape):
    """Return its source."""
    return Packed(tarball(source_of(release, render(release, Shape(**shape)))))


def short(seconds):
    """Pause as little as goes: a test need not be polite."""
    time.sleep(min(seconds, 0.1))
