"""Section ``size``: the site-packages of a fresh environment made from the bundle's own locks, without and with the UI.

It installs from the package registry (half a minute), so it runs only when it is asked for: ``--only size``.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from bench.models import A, Model, ensure
from bench.places import CACHE, ROOT
from bench.results import read
from bench.servers import AWEIGH, PEER_KINDS, Server

LOCKS = {"api": "requirements.txt", "ui": "requirements-ui.txt"}
LISTED = 8
APP = "aweigh"
UI_EXTRA = "ui"


def measure(*, tell: Callable[[str], None]) -> dict[str, Any]:
    """``{"api": {"mb", "started_mb", "compiled_mb", "largest", "packages"}, "ui": ..., "peers": {name: mb}}``; in MiB.

    ``mb`` is what is installed, aweigh included, without what Python compiles (``.pyc``); ``started_mb`` with what it
    has compiled once the bundle was served, ``compiled_mb`` with everything compiled, as pip does it. ``packages`` says
    of each distribution its ``mb``, its ``pyc_mb`` (of everything) and who asks for it (``by``).
    """
    ensure(A, tell=tell)
    found: dict[str, Any] = {}
    for name, lock in LOCKS.items():
        with tempfile.TemporaryDirectory(prefix="size-", dir=CACHE) as folder:
            site = _install(Path(folder), lock)
            sizes = {one.name: _mb(one) for one in site.iterdir()}
            _serve_once(Path(folder) / "venv", ui=name == "ui")
            started = sum(map(_blocks_mb, site.rglob("*.pyc")))
            _compile(Path(folder) / "venv", site)
            packages = _packages_of(site, {"", UI_EXTRA} if name == "ui" else {""})
        largest = sorted(sizes.items(), key=lambda one: -one[1])[:LISTED]
        total = sum(sizes.values())
        compiled = total + sum(one["pyc_mb"] for one in packages.values())
        found[name] = {
            "mb": round(total, 1),
            "started_mb": round(total + started, 1),
            "compiled_mb": round(compiled, 1),
            "largest": {k: round(v, 1) for k, v in largest},
            "packages": packages,
        }
        told = {key: value for key, value in found[name].items() if key != "packages"}
        tell(f"{name}: {told}")
    peers = [kind for kind in PEER_KINDS if kind.installed]
    measured = {kind.name: round(sum(map(_mb, _site(kind.python.parents[1]).iterdir())), 1) for kind in peers}
    found["peers"] = read("size").get("peers", {}) | measured  # one that is not installed keeps its last figure
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
    return _site(venv)


def _serve_once(venv: Path, *, ui: bool) -> None:
    """Serves the bundle from that environment until it has answered: Python keeps what it compiled."""

    def command(model: Model, port: int) -> list[str]:
        given = AWEIGH.command(model, port)
        return [str(venv / "bin" / "python"), *(one for one in given[1:] if not (ui and one == "--no-ui"))]

    # Without the checkout's own modules, which would be compiled in their place.
    with Server(replace(AWEIGH, command=command, env={"PYTHONPATH": ""}), A):
        pass


def _compile(venv: Path, site: Path) -> None:
    """What pip does with every package that it installs, and Python with every module that it imports."""
    compile_all = [str(venv / "bin" / "python"), "-m", "compileall", "-qq", str(site)]
    subprocess.run(compile_all, check=False)  # templates among the packages' files are no Python


def _site(venv: Path) -> Path:
    return next((venv / "lib").glob("python*")) / "site-packages"


def _mb(path: Path) -> float:
    """MiB on disk; what Python compiles for itself later is left out, so that used and unused environments compare."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file() and one.suffix != ".pyc"]
    return sum(map(_blocks_mb, files))


def _blocks_mb(path: Path) -> float:
    return path.stat().st_blocks * 512 / 2**20


# -- whose it is -----------------------------------------------------------------------------------------------------


def _packages_of(site: Path, extras: set[str]) -> dict[str, dict[str, Any]]:
    """Of each distribution, the largest first, its size, that of its compiled files, and who asks for it."""
    there = {canonical(one.metadata["Name"]): one for one in distributions(path=[str(site)])}
    owner = {site / file: name for name, one in there.items() for file in one.files or ()}
    found = {name: {"mb": 0.0, "pyc_mb": 0.0} for name in there}
    for path in site.rglob("*"):
        compiled = path.suffix == ".pyc"
        source = path.parent.parent / f"{path.name.split('.')[0]}.py" if compiled else path
        name = owner.get(source) or owner.get(path)
        if name is not None and path.is_file():
            found[name]["pyc_mb" if compiled else "mb"] += _blocks_mb(path)
    by = asked_by(there, extras)
    ordered = sorted(found, key=lambda name: -found[name]["mb"])
    return {name: {k: round(v, 2) for k, v in found[name].items()} | {"by": by.get(name, [])} for name in ordered}


def asked_by(there: dict[str, Distribution], extras: set[str]) -> dict[str, list[str]]:
    """Of each distribution those that require it; only what aweigh with those extras leads to is looked at."""
    from packaging.requirements import Requirement

    found: dict[str, list[str]] = {}
    waiting, seen = [(APP, frozenset(extras))], set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen or name not in there:
            continue
        seen.add((name, wanted))
        for text in there[name].requires or ():
            one = Requirement(text)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in wanted):
                needed = canonical(one.name)
                if name not in found.setdefault(needed, []):
                    found[needed].append(name)
                waiting.append((needed, frozenset({"", *one.extras})))
    return {name: sorted(names) for name, names in found.items()}


def canonical(name: str) -> str:
    """A distribution's name as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()
