"""Section ``size``: the site-packages of a fresh environment made from the bundle's own locks, without and with the UI.

It installs from the package registry (half a minute), so it runs only when it is asked for: ``--only size``.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.models import A, ensure
from bench.places import CACHE, ROOT
from bench.servers import PEER_KINDS

LOCKS = {"api": "requirements.txt", "ui": "requirements-ui.txt"}
LISTED = 8


def measure(*, tell: Callable[[str], None]) -> dict[str, Any]:
    """``{"api": {"mb", "largest"}, "ui": ..., "peers": {name: mb}}``; MiB on disk, aweigh itself included."""
    ensure(A, tell=tell)
    found: dict[str, Any] = {}
    for name, lock in LOCKS.items():
        with tempfile.TemporaryDirectory(prefix="size-", dir=CACHE) as folder:
            packages = _install(Path(folder), lock)
            sizes = {one.name: _mb(one) for one in packages.iterdir()}
        largest = sorted(sizes.items(), key=lambda one: -one[1])[:LISTED]
        found[name] = {"mb": round(sum(sizes.values()), 1), "largest": {k: round(v, 1) for k, v in largest}}
        tell(f"{name}: {found[name]}")
    peers = [kind for kind in PEER_KINDS if kind.installed]
    found["peers"] = {kind.name: round(sum(map(_mb, _packages(kind.python.parents[1]).iterdir())), 1) for kind in peers}
    tell(f"peers: {found['peers']}")
    return found


def _install(folder: Path, lock: str) -> Path:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    with zipfile.ZipFile(A.bundle) as archive:
        (folder / lock).write_bytes(archive.read(lock))
    venv = folder / "venv"
    run = [uv, "venv", "--quiet", "--python", sys.executable, str(venv)]
    subprocess.run(run, check=True)
    install = [uv, "pip", "install", "--quiet", "--no-config", "--python", str(venv / "bin" / "python")]
    subprocess.run([*install, "--require-hashes", "-r", str(folder / lock)], check=True)
    subprocess.run([*install, "--no-deps", str(ROOT)], check=True)
    return _packages(venv)


def _packages(venv: Path) -> Path:
    return next((venv / "lib").glob("python*")) / "site-packages"


def _mb(path: Path) -> float:
    """MiB on disk; what Python compiles for itself later is left out, so that used and unused environments compare."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file() and one.suffix != ".pyc"]
    return sum(one.stat().st_blocks * 512 for one in files) / 2**20
